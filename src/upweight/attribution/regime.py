"""What a score of a network means, decided once: which curvature, which damping, and which counterfactual.

The rule, written down:
1. The Hessian, undamped, where it does not bend down and training ended near the minimum that it predicts:
   √(gᵀH⁻¹g) <= NEAR √F for the gradient g that is left. A removal is then followed to the *optimum*; the residual term
   (METHODS.md 5) takes what is left of g into account.
2. Elsewhere the Gauss-Newton matrix with damping max(the penalty, a tenth of its mean eigenvalue): the *proximal*
   response, which stays near the trained outputs and weights (Bae et al., 2022) and is no retraining.
3. Where `train` goes on from the model under study (a TrainingRun of SGD with its `start` there): the Gauss-Newton
   matrix with damping 1/ρ, for the run's reach ρ, η K: it lets a direction that does not bend move by ρ times its
   pull, as the run does. Row gradients are those where the run is on its way to, d = C⁻¹∇F: *continued*.
A damping that the user gives is added in 1, where it also decides whether the Hessian still bends down, and replaces
that of 2 and 3.
Stands on curvature and solvers; the attribution of a network stands on it. Sources: METHODS.md 3, 5.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from upweight.curvature import Curvature
from upweight.curvature.ggn import GGN
from upweight.curvature.hessian import Hessian
from upweight.curvature.spectrum import lowest, mean_eigenvalue
from upweight.curvature.written import Written
from upweight.display.words import number
from upweight.errors import InputError
from upweight.gradients.autodiff import AutodiffSource
from upweight.network import Network
from upweight.removal.network_leverage import where_training_ends
from upweight.shapes import Float
from upweight.solvers import CG, Cholesky, Prepared, Solver, Status
from upweight.solvers.auto import solve_by_name

__all__ = ["WRITTEN_OUT", "Regime", "decide", "solver_for", "solver_named"]

NEAR = 0.1
SHARE = 0.1  # of the mean eigenvalue
WRITTEN_OUT = 1500  # parameters up to which a curvature is written out: p products
BY_ROWS = 4000  # the same where it is the Gauss-Newton matrix alone, made of the rows' Jacobians
HELD = 0.5  # of the lowest bend: a loss of penalty beyond it would leave a direction that next to nothing holds
BENDS = 30.0  # roundings of the largest eigenvalue below which a negative one is rounding


@dataclass(frozen=True, eq=False)
class Regime:
    """`curvature` holds its damping; `shift` d = C⁻¹∇F is what training still had to go, None in the second case."""

    network: Network
    curvature: Any  # Curvature
    prepared: Prepared
    shift: Float[Tensor, " p"] | None
    damping: float
    lowest: float | None  # Rayleigh quotient of the Hessian's lowest direction that was met; None in the third case
    left: float  # √(gᵀH⁻¹g / F); inf where the Hessian bends down
    counterfactual: str  # "optimum", "proximal" or "continued"
    reason: str

    @cached_property
    def near(self) -> bool:
        """Whether the implicit function theorem is used where it holds."""
        return self.counterfactual == "optimum"

    @property
    def held(self) -> Float[Tensor, " p"]:
        """What of the curvature's diagonal a row has its share of, in mean form."""
        return self.network.penalty + (self.damping if self.counterfactual == "continued" else 0.0)

    @cached_property
    def pull(self) -> Float[Tensor, " p"] | None:
        """What a row takes its share of in mean form, −ḡ; None: the penalty's pull Λθ, as at an optimum.

        Where training goes on it ends at θ − d with a gradient of δd: −ḡ = Λ(θ − d) − δd.
        """
        if self.counterfactual != "continued" or self.shift is None:
            return None
        return self.network.penalty_gradient - self.held * self.shift

    @property
    def rows_where_it_ends(self) -> AutodiffSource:
        """Row gradients where training was on its way to."""
        return where_training_ends(self.network, self.shift, self.pull)

    def at_removal(self, solver: Solver) -> tuple[Any, Prepared]:
        """The curvature that single removals see: the penalty has lost a mean share in mean form.

        It keeps that share where the Hessian's lowest direction is held by little more: a network's need not be convex.
        """
        network = self.network
        present = float((network.weights > 0).sum())
        share = float((network.shares * (network.weights > 0)).sum()) / max(1.0, present)
        lost = network.scale * share * float(network.penalty.max())
        if self.near and self.lowest is not None and lost > HELD * self.lowest:
            return self.curvature, self.prepared
        return self.with_penalty(1.0 - network.scale * share, solver)

    def with_penalty(self, factor: float, solver: Solver) -> tuple[Any, Prepared]:
        """The same with another factor on the penalty."""
        if factor == 1.0 or not bool((self.held != 0).any()):
            return self.curvature, self.prepared
        if isinstance(self.curvature, Written):
            moved: Any = self.curvature.shifted((factor - 1.0) * self.held)
        else:
            moved = replace(self.curvature, penalty_factor=factor)
        return moved, solver.prepare(moved)


def decide(network: Network, solver: Solver, damping: float | str, reach: float | None = None) -> Regime:
    """The rule above, applied; `reach` ρ of the training that goes on from here, None where none does.

    Raises: InputError for a damping that is neither "auto" nor a number >= 0.
    """
    if damping != "auto" and not (isinstance(damping, int | float) and math.isfinite(damping) and damping >= 0):
        raise InputError(f"damping is {damping!r}. Give 'auto', or a number >= 0.")
    added = 0.0 if damping == "auto" else float(damping)
    if reach is not None:
        return _continued(network, solver, 1.0 / reach if damping == "auto" else added, damping == "auto")
    exact = written(Hessian(network, damping=added))
    bend, size = _ends(exact)
    if bend >= -BENDS * torch.finfo(network.dtype).eps * size:
        prepared = solver.prepare(exact)
        solution = prepared(network.gradient[None])
        slope = float(solution.x[0].double() @ network.gradient.double())
        left = math.sqrt(max(0.0, slope)) / math.sqrt(max(network.value, 1e-300))
        solved = solution.status[0] in (Status.CONVERGED, Status.STALLED) and slope >= 0.0
        if solved and left <= NEAR:
            return Regime(network, exact, prepared, solution.x[0], added, bend, left, "optimum", _optimum(left, added))
    else:
        left = math.inf
    gauss = written(GGN(network))
    least = float(network.penalty.max()) if network.size else 0.0
    delta = max(least, SHARE * mean_eigenvalue(gauss).value) if damping == "auto" else added
    curvature = gauss.damped(delta)
    why = _proximal(bend, left, delta, damping == "auto")
    return Regime(network, curvature, solver.prepare(curvature), None, delta, bend, left, "proximal", why)


def _continued(network: Network, solver: Solver, delta: float, auto: bool) -> Regime:
    curvature = written(GGN(network), BY_ROWS).damped(delta)
    prepared = solver.prepare(curvature)
    shift = prepared(network.gradient[None]).x[0]
    rule = "1/(learning rate × steps) of the run that goes on from here, momentum counted" if auto else "as given"
    why = f"damped by {number(delta)} ({rule}), rows as they are where that run is on its way to"
    return Regime(network, curvature, prepared, shift, delta, None, math.inf, "continued", why)


def solver_named(name: str) -> Solver:
    """The solver that a user asks for.

    Raises: InputError if there is none of this name.
    """
    found = solve_by_name(name)
    return CG() if name == "cg" else found  # a head's has a preconditioner that reads features


def solver_for(network: Network, continued: bool = False) -> tuple[Solver, str]:
    """The solver that its size asks for, and why."""
    if network.size <= (BY_ROWS if continued else WRITTEN_OUT):
        return Cholesky(), f"chosen because {network.size:,} parameters can be written out"
    tol = 1e-8 if network.dtype == torch.float64 else 1e-4
    return CG(tol=tol), f"chosen because {network.size:,} parameters cannot be written out"


def written(curvature: Any, most: int = WRITTEN_OUT) -> Curvature:
    """Written out where it has few parameters."""
    return Written(curvature.dense(), curvature.name, curvature) if curvature.size <= most else curvature


def _ends(curvature: Any) -> tuple[float, float]:
    """The lowest eigenvalue (met), and the size beside which it may be rounding."""
    if isinstance(curvature, Written):
        values = torch.linalg.eigvalsh(curvature.dense())
        return float(values[0]), float(values.abs().max())
    return lowest(curvature).rayleigh, abs(mean_eigenvalue(curvature).value) * math.sqrt(curvature.size)


def _optimum(left: float, damping: float) -> str:
    said = f"damped by {number(damping)}, as given" if damping else "undamped, at a minimum"
    if left > 1e-6:
        lower = f"a Newton step would lower its objective by {50.0 * left**2:.2g} %"
        said += f", with the gradient that training left ({lower})"
    return said


def _proximal(bend: float, left: float, delta: float, auto: bool) -> str:
    if math.isinf(left):
        why = f"the Hessian bends down by {number(abs(bend))}: training has not ended at a minimum"
    else:
        why = f"training is not at a minimum: a Newton step would lower its objective by {50.0 * left**2:.2g} %"
    rule = "max(penalty, a tenth of its mean eigenvalue)" if auto else "as given"
    return f"damped by {number(delta)} ({rule}), because {why}"
