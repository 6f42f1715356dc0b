"""One network made ready for every question: its regime decided once, its leverages once, refits remembered.

Stands on the regime, gradients and removal; the torch adapter hands it over. Leverages need the Jacobian of every row,
so they are made where the curvature is written out; a larger network is answered by the plain derivative, and says so.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upweight.attribution.network_inputs import NetworkInputs, flat, numbers, parts_of
from upweight.attribution.network_moves import estimated_moves
from upweight.attribution.network_refits import NetworkRefits, State
from upweight.attribution.regime import WRITTEN_OUT, Regime, decide, solver_for, solver_named
from upweight.curvature.written import Written
from upweight.display.words import number
from upweight.errors import MeasurementError, UnsupportedQuestion, listed
from upweight.gradients.autodiff import query_directions
from upweight.gradients.autodiff_perturbed import PerturbedNetworkSource, replaced_inputs
from upweight.network import Network
from upweight.output_loss import OutputLoss
from upweight.perturbation import Perturbation
from upweight.removal.certificate import Certificate
from upweight.removal.changed_refit import Changed
from upweight.removal.effects import Removals
from upweight.removal.group import GroupMoves
from upweight.removal.network_group import reweighed
from upweight.removal.network_leverage import NetworkLeverage, leverage_corrected, leverages_of
from upweight.removal.retraining import Retraining
from upweight.sensitivity import Implicit, Response
from upweight.shapes import Bool, Float
from upweight.solvers import Cholesky, Prepared, Solution, Solver

__all__ = ["NetworkAttribution"]

SETTLED = 1e-3  # √(gᵀH⁻¹g / F): a Newton step would lower F by less than 5e-7 of it
SOLVES = 64  # right-hand sides of a call up to which measurements are evaluated where products iterate
ELEMENT = re.compile(r"^(?P<name>.+?)(\[(?P<at>[\d, ]+)\])?$")


class NetworkAttribution:
    """Lazily: what no question has asked for is not computed."""

    def __init__(
        self,
        network: Network,
        solver: str | Solver,
        damping: float | str,
        *,
        loss: OutputLoss,
        targets: NDArray[Any],
        refitter: Retraining | None = None,
        to_minimum: bool = False,  # the next minimum is the refit where there is one, before any refitter
    ) -> None:
        self.network, self.loss, self.targets = network, loss, targets
        self.refitter, self.to_minimum = refitter, to_minimum
        self.asked = damping
        if solver == "auto":
            self.solver, self._why = solver_for(network, self._reach is not None)
        else:
            self.solver = solver_named(solver) if isinstance(solver, str) else solver
            self._why = "as asked"

    @cached_property
    def refits(self) -> NetworkRefits:
        """Real removals, remembered."""
        near = self._written and self.regime.near
        return NetworkRefits(self.network, self.refitter, near and (self.refitter is None or self.to_minimum))

    # -- the model --------------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Training rows."""
        return self.network.n

    @property
    def c(self) -> int:
        """Outputs of a row."""
        return self.network.c

    @property
    def size(self) -> int:
        """p."""
        return self.network.size

    @property
    def vector(self) -> Float[Tensor, " p"]:
        """θ."""
        return self.network.vector

    @property
    def damping(self) -> float:
        """What the rule came to."""
        return self.regime.damping

    @property
    def exact(self) -> bool:
        """A network's removal is never one step."""
        return False

    @property
    def at_minimum(self) -> bool | None:
        """Whether nothing is left that training could gain and a removal would feel."""
        return self.regime.near and self.regime.left <= SETTLED

    @property
    def reason(self) -> str:
        """Why this solver, and on which curvature."""
        return f"{self._why}; {self.regime.reason}"

    @property
    def refits_shown(self) -> bool:
        """Where a refit is a search for the next minimum of few parameters; a training run has to be asked for."""
        return self.refits.cheap

    @property
    def flat(self) -> bool:
        """Its loss bends where it should."""
        return False

    @property
    def counterfactual(self) -> str:
        """What is predicted."""
        return self.regime.counterfactual

    @cached_property
    def outputs(self) -> NDArray[np.float64]:
        """z of the training rows."""
        network = self.network
        parts = [network.outputs(network.vector, network.batch(rows)[0]).detach() for rows in network.batches(0)]
        return numbers(torch.cat(parts))

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Of the training rows."""
        return numbers(self.network.weights)

    def index(self, name: str) -> int:
        """Where "layer.weight[2, 3]" stands in θ.

        Raises: MeasurementError for an unknown one.
        """
        match = ELEMENT.match(name)
        known = self.network.chosen
        if match is None or match["name"] not in known:
            raise MeasurementError(f"parameter {name!r} is not one of {listed(known)}. Write NAME[i, j].")
        layer, shape = match["name"], self.network.shape_of(match["name"])
        at = tuple(int(part) for part in match["at"].split(",")) if match["at"] else ()
        if len(at) != len(shape) or any(i >= size for i, size in zip(at, shape, strict=True)):
            raise MeasurementError(f"parameter {layer!r} has the shape {list(shape)}: {name!r} names no entry of it.")
        start: int = self.network.position(layer).start
        return start + int(np.ravel_multi_index(at, shape))

    def at(self, state: State | NDArray[np.float64]) -> "NetworkAttribution":
        """The same objective at another θ, a state or a vector [p]."""
        if isinstance(state, np.ndarray):
            return self._around(self.network.at(self._tensor(state)))
        return self._around(self.network.with_state(state))

    def without(self, out: Sequence[int]) -> "NetworkAttribution":
        """The same made ready around the refit without these rows, which keep their places with weight 0."""
        states, _ = self.refitted([out])
        keep = torch.ones_like(self.network.weights)
        keep[torch.as_tensor(list(out), dtype=torch.int64)] = 0.0
        return self._around(self.network.with_state(states[0]).without(keep)[0])

    def _around(self, network: Network) -> "NetworkAttribution":
        return NetworkAttribution(
            network,
            self.solver,
            self.asked,
            loss=self.loss,
            targets=self.targets,
            refitter=self.refitter,
            to_minimum=self.to_minimum,
        )

    # -- queries ----------------------------------------------------------------------------------------------------

    def query_outputs(self, inputs: NetworkInputs) -> NDArray[np.float64]:
        """z of the queries."""
        return numbers(self.network.outputs(self.network.vector, inputs.inputs).detach())

    def some(self, inputs: NetworkInputs, at: NDArray[np.int64]) -> NetworkInputs:
        """These of the queries."""
        return inputs.some(at)

    def directions(self, inputs: NetworkInputs, dz: Any) -> Float[Tensor, "q p"]:
        """∇m = Jᵀ dz of every query."""
        return query_directions(self.network, inputs.inputs, self._tensor(dz))

    def evaluates(self, queries: int) -> bool:
        """Whether one solve for each output of so many queries is cheap: then measurements are evaluated."""
        return self._written and (self.c == 1 or queries * self.c <= SOLVES * 16)

    # -- removals ---------------------------------------------------------------------------------------------------

    @cached_property
    def regime(self) -> Regime:
        """Which curvature and damping, and what a score then means."""
        return decide(self.network, self.solver, self.asked, self._reach)

    @property
    def prepared(self) -> Prepared:
        """The curvature, made ready. Singular directions are a network's nature: residuals say when one is asked."""
        return replace(self.regime.prepared, reciprocal_condition=None)

    @cached_property
    def at_removal(self) -> tuple[Any, Prepared]:
        """The curvature that single removals see."""
        return self.regime.at_removal(self.solver)

    @cached_property
    def leverage(self) -> NetworkLeverage:
        """ũ, leverages and own moves of every row."""
        direct, regime = self._direct.prepare(self.at_removal[0]), self.regime
        return leverage_corrected(self.network, direct, regime.shift, regime.pull)

    def removals(self, v: Float[Tensor, "k p"], removal: str) -> Removals:
        """Change of k linear measurements without each row: "leverage" (where it is affordable) or "first_order"."""
        if removal == "leverage" and self._written:
            return Removals.of(Implicit(self.at_removal[1]), self.leverage.source, v)
        return Removals.of(Implicit(self.prepared), self.regime.rows_where_it_ends, v)

    def taken_out(self, removal: str) -> str:
        """How a row is taken out, in words."""
        if removal == "leverage" and self._written:
            return "each row taken out by a Gauss-Newton step with its leverage"
        if removal == "leverage":
            return f"plain derivative (the leverages of {self.size:,} parameters are too dear)"
        return "plain derivative"

    def output_removals(self, inputs: NetworkInputs, removal: str) -> Removals:
        """Change of every output of every query without each row [q · c, b]."""
        q, c = inputs.rows, self.c
        each = inputs.some(np.repeat(np.arange(q), c))
        unseen = np.asarray(self.loss.null_outputs)  # a shift that no target sees has no answer, and needs none
        basis = np.eye(c) - unseen.T @ unseen
        return self.removals(query_directions(self.network, each.inputs, self._tensor(np.tile(basis, (q, 1)))), removal)

    def own_moves(self) -> NDArray[np.float64]:
        """How far each row's own outputs move when it leaves.

        Raises: UnsupportedQuestion where leverages are not affordable.
        """
        if not self._written:
            raise UnsupportedQuestion(
                f"self-influence needs the leverage of every row, which is made for up to {WRITTEN_OUT:,} parameters; "
                f"{self.size:,} were chosen. Use params='head', or fewer parameters."
            )
        return numbers(self.leverage.moves)

    def leverages(self) -> NDArray[np.float64]:
        """Of every row; zeros where they are not affordable."""
        return np.clip(numbers(self.leverage.h), 0.0, 1.0) if self._written else np.zeros(self.n)

    def leverage_of(self, rows: Sequence[int]) -> float:
        """The largest leverage among these rows."""
        if not rows:
            return 0.0
        if "leverage" in self.__dict__:
            return float(np.max(self.leverages()[list(rows)]))
        at = self._index(rows)
        return float(np.clip(numbers(leverages_of(self.network, self.at_removal[1], at)), 0.0, 1.0).max())

    def alone(self, solutions: Sequence[Solution], shown: NDArray[np.int64]) -> int:
        """How many rows alone hold a direction."""
        return int(self.leverage.alone.sum()) if "leverage" in self.__dict__ else 0

    def damping_change(self, solution: Solution, factor: float) -> float | None:
        """Relative change of these solves when the damping is multiplied; None without damping."""
        if self.damping == 0.0:
            return None
        x = solution.x
        b = self.regime.curvature.matmul(x)
        other = self._direct.prepare(self.regime.curvature.damped((factor - 1.0) * self.damping))
        again, size = other(b).x, float(x.norm())
        return float((again - x).norm()) / size if size > 0 else 0.0

    def nearness(self, inputs: NetworkInputs) -> NDArray[np.float64]:
        """Cosine of the inputs, of the outputs where inputs are not numbers."""
        ours, theirs = flat(self.network.inputs), flat(inputs.inputs)
        if ours is None or theirs is None:
            ours, theirs = self.outputs, self.query_outputs(inputs)
        size = np.linalg.norm(theirs, axis=1)[:, None] * np.linalg.norm(ours, axis=1)[None]
        return np.asarray(theirs @ ours.T / np.where(size > 0, size, 1.0))

    # -- changed rows ---------------------------------------------------------------------------------------------

    def perturbed(self, v: Tensor, perturbation: Perturbation, rows: NDArray[np.int64] | None) -> Response:
        """∂m/∂ε of k linear measurements in blocks of these rows (positions; None: all)."""
        at = None if rows is None else self._index(rows)
        return Implicit(self.prepared).adjoint(v, PerturbedNetworkSource(self.network, perturbation, at))

    def replaced(self, images: Tensor, rows: NDArray[np.int64], inputs: NetworkInputs) -> Float[Tensor, "k m"]:
        """Estimated change of k measurements if row `rows`[m] read inputs [m] instead; `images` are C⁻¹∇m."""
        return replaced_inputs(self.network, images, self._index(rows), inputs.inputs)

    def unlike(self, rows: NDArray[np.int64], inputs: NetworkInputs) -> Bool[NDArray[Any], " m"]:
        """Whether inputs [m] are other than what the rows read now."""
        now, _ = self.network.batch(self._index(rows))
        pairs = zip(parts_of(now), parts_of(inputs.inputs), strict=True)
        differ = [(a != b).reshape(len(a), -1).any(dim=1) for a, b in pairs]
        return np.asarray(torch.stack(differ).any(dim=0).cpu())

    def changed(self, changed: Changed) -> tuple[list[State], Bool[NDArray[Any], " m"]]:
        """States after refits with one row changed each, and whether each found its minimum.

        Raises: UnsupportedQuestion for a network that is refitted by `train`, which takes weights alone.
        """
        return self.refits.changed(changed)

    # -- refits -----------------------------------------------------------------------------------------------------

    def refitted(
        self, sets: Sequence[Sequence[int]], factors: Sequence[Sequence[float]] | None = None
    ) -> tuple[list[State], Bool[NDArray[Any], " k"]]:
        """States after really removing each set of rows, and whether each refit can be believed.

        `factors`: what each set's rows weigh instead, times what they did.
        Raises: UnsupportedQuestion where there is no way to refit.
        """
        return self.refits.of(sets, factors)

    def moved(self, rows: Sequence[int], factors: Sequence[float]) -> GroupMoves:
        """Where θ goes, estimated, when these rows together weigh `factors` times what they did."""
        each = (self.leverage.source, self.at_removal[1]) if self._written else None
        return estimated_moves(self.regime, self._direct, each, rows, factors)

    def refits_said(self) -> str:
        """Which counterfactual the refits are, and what the user's training is worth."""
        return self.refits.said()

    def optimum(self, settled: bool) -> State | None:
        """The state in which removals start, all rows kept: what the same training ends in; None where it fails."""
        states, converged = self.refitted([[]])
        return states[0] if converged[0] else None

    def states_of(self, state: State) -> list[State]:
        """One state as several."""
        return [state]

    def outputs_at(self, states: Sequence[State], inputs: NetworkInputs) -> Float[NDArray[Any], "k q c"]:
        """z of the queries at k states."""
        moved = [self.network.with_state(state) for state in states]
        found = [numbers(one.outputs(one.vector, inputs.inputs).detach()) for one in moved]
        return np.stack(found) if found else np.zeros((0, inputs.rows, self.c))

    def row_outputs_at(self, states: Sequence[State], rows: Sequence[int]) -> Float[NDArray[Any], "k r c"]:
        """z of training rows at k states."""
        at = self._index(rows)
        return self.outputs_at(states, NetworkInputs(self.network.batch(at)[0]))

    def parameters_at(self, states: Sequence[State], index: int) -> Float[NDArray[Any], " k"]:
        """One parameter at k states."""
        return np.asarray([float(self.network.with_state(state).vector[index]) for state in states])

    def certificate(self, rows: Sequence[int], state: State, factors: Sequence[float] | None = None) -> Certificate:
        """A network's refit proves nothing about the optimum: what is said is the gradient that it left."""
        weighed = [0.0] * len(rows) if factors is None else factors
        there, _ = reweighed(self.network.with_state(state), rows, weighed)
        left = float(there.gradient.norm())
        said = f"a network's training ends where it ends, so nothing is proved (gradient left {number(left)})"
        return Certificate(None, None, left, said, False, self.prepared)

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _direct(self) -> Solver:
        """What leverages and groups are made by: exact where the curvature is written out, whoever solves else."""
        return Cholesky() if self._written else self.solver

    @property
    def _written(self) -> bool:
        return self.size <= WRITTEN_OUT or (self._reach is not None and isinstance(self.regime.curvature, Written))

    @property
    def _reach(self) -> float | None:
        """Of the training that goes on from this θ; None where there is none, and where it goes on from another."""
        to = self.refitter
        return to.reach if to is not None and torch.equal(self.vector, to.network.vector) else None

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=self.network.dtype, device=self.network.device)

    def _index(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        return torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.network.device)
