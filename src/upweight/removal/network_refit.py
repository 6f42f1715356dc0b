"""Real removals from a network's objective: its minimum without some rows, from θ on, and whether it is a minimum.

Few parameters: Newton steps with the Hessian's eigenvectors, bends taken by their size so that every step leads down,
damped where F does not fall; the Hessian at θ serves all sets until a step gains too little by it. Many: L-BFGS with a
strong Wolfe search, then Newton steps by conjugate gradients. Each refit ends with the lowest curvature where it
stands: a saddle is no truth. One set after another: under one vmap k Hessians took as long. Stands on network,
curvature, solvers. Source: Nocedal & Wright (2006), chapters 3, 7.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from upweight.curvature.hessian import Hessian
from upweight.curvature.spectrum import lowest
from upweight.derivatives import differentiable, pulled
from upweight.errors import InputError, listed
from upweight.network import Network
from upweight.randomness import generator
from upweight.shapes import Float
from upweight.solvers.cg import CG

__all__ = ["NetworkRefits", "in_double", "refit_network", "refit_objectives"]

DENSE = 1000  # parameters up to which the Hessian is written out
STEPS = 300  # gradients of a Newton refit; most need three to ten
ROUNDS, ROUND = 50, 60  # of L-BFGS: so many times so many iterations
SEEN = 100.0  # epsilons of F: a smaller fall is not seen
TRIES = 14  # ten times the damping each: the last is a very short step down the gradient
SUFFICIENT = 1e-4  # Armijo's share of the predicted decrease
SLOW = 0.2  # a step that leaves more of the decrement than this asks for a new Hessian
LANCZOS, POWERS = 60, 12  # products
BLIND = 4.0  # √epsilons of √F: nearer than that F does not tell a point from its minimum (flat directions: a gradient
# of rounding is divided by next to nothing)
ROUNDING = 20.0  # epsilons of √F + ‖θ‖_H: less of a decrement cannot be seen


@dataclass(frozen=True, eq=False)
class NetworkRefits:
    """k refits: θ without each set, what is left of the gradient, and the lowest curvature there."""

    vectors: Float[Tensor, "k p"]
    gradient: Float[Tensor, " k"]  # ‖∇F‖
    decrement: Float[Tensor, " k"]  # √(∇Fᵀ H⁻¹ ∇F): how far from the optimum, in the norm of H; at most, by L-BFGS
    lowest: Float[Tensor, " k"]  # smallest eigenvalue of the Hessian; by L-BFGS, of the directions that Lanczos saw
    steps: tuple[int, ...]
    said: tuple[str, ...]  # why this is no minimum; "" where it is one

    @property
    def converged(self) -> tuple[bool, ...]:
        """Which are minima."""
        return tuple(not why for why in self.said)


def refit_network(
    network: Network,
    removals: Sequence[Sequence[int]],
    tol: float = 1e-9,
    progress: Callable[[int, int], None] | None = None,
) -> NetworkRefits:
    """The minimum of F without each of these sets of rows (positions), from the network's θ on; () refits with all.

    Mean form: the divisor loses the rows' weights; sum form: it stays. `tol`: the decrement at which a refit stops,
    relative to how far it moved (L-BFGS: the gradient, relative to the first). `progress(sets done, sets)`.
    Raises: InputError for rows that do not exist, or a set that leaves no weight.
    """
    return refit_objectives(network, [_without(network, rows) for rows in removals], tol, progress)


def refit_objectives(
    network: Network,
    objectives: Sequence[Network],
    tol: float = 1e-9,
    progress: Callable[[int, int], None] | None = None,
) -> NetworkRefits:
    """The minimum of each of these objectives, near relations of `network`'s own (other weights, targets or inputs)."""
    bowl = _Bowl.of(network) if network.size <= DENSE and objectives else None
    found: list[_Refit] = []
    for objective in objectives:
        found.append(_search(objective, tol) if bowl is None else _newton(objective, bowl, tol))
        if progress is not None:
            progress(len(found), len(objectives))
    numbers = {
        name: torch.tensor([getattr(refit, name) for refit in found], dtype=torch.float64)
        for name in ("gradient", "decrement", "lowest")
    }
    vectors = torch.stack([refit.vector for refit in found]) if found else network.vector.new_zeros((0, network.size))
    return NetworkRefits(vectors, **numbers, steps=tuple(r.steps for r in found), said=tuple(r.said for r in found))


def in_double(network: Network) -> Network:
    """The same objective in float64, whose refits are as exact as they can be; the user's module stays as it is."""

    def wide(value: Tensor) -> Tensor:
        return value.double() if value.is_floating_point() else value

    inputs = tuple(map(wide, network.inputs)) if isinstance(network.inputs, tuple) else wide(network.inputs)
    return replace(
        network,
        module=copy.deepcopy(network.module).double(),
        inputs=inputs,
        targets=wide(network.targets),
        weights=network.weights.double(),
        penalty=network.penalty.double(),
        state={name: wide(value) for name, value in network.values.items()},
    )


@dataclass(frozen=True, eq=False)
class _Refit:
    vector: Tensor
    gradient: float
    decrement: float
    lowest: float
    steps: int
    said: str


@dataclass(frozen=True, eq=False)
class _Bowl:
    """The Hessian at one θ by its eigenvectors, every bend taken by its size."""

    lowest: float
    largest: float
    stiffness: Tensor  # [p] |λ|, at least a rounding of the largest
    axes: Tensor  # [p, p]

    @classmethod
    def of(cls, network: Network) -> "_Bowl":
        bends, axes = torch.linalg.eigh(Hessian(network).dense().double())
        largest = max(float(bends.abs().max()), torch.finfo(torch.float64).tiny)
        flat = 100 * torch.finfo(network.dtype).eps * largest
        return cls(float(bends[0]), largest, bends.abs().clamp(min=flat), axes)

    def along(self, v: Tensor) -> Tensor:
        return v.double() @ self.axes

    def decrement(self, g: Tensor) -> float:
        return float((self.along(g) ** 2 / self.stiffness).sum().sqrt())

    def length(self, v: Tensor) -> float:
        return float((self.along(v) ** 2 * self.stiffness).sum().sqrt())

    def direction(self, g: Tensor, damping: float) -> Tensor:
        return -(self.axes @ (self.along(g) / (self.stiffness + damping * self.largest))).to(g.dtype)


@dataclass(frozen=True, eq=False)
class _Point:
    vector: Tensor
    value: float
    gradient: Tensor

    @property
    def norm(self) -> float:
        return float(torch.linalg.vector_norm(self.gradient.double()))


def _newton(f: Network, bowl: _Bowl, tol: float) -> _Refit:
    start = point = _evaluate(f, f.vector)
    damping, left, goal, steps = 0.0, 0.0, 0.0, 0
    fresh, drowned = False, False  # whether the bowl is this point's own; whether F's fall is lost in rounding
    epsilon = torch.finfo(f.dtype).eps
    while True:
        left = bowl.decrement(point.gradient)
        size = abs(point.value) ** 0.5 + bowl.length(start.vector)
        goal = max(tol * bowl.length(point.vector - start.vector), ROUNDING * epsilon * size)
        done = left <= goal or drowned or steps >= STEPS
        moved = None if done else _descend(f, point, bowl, damping, left)
        if moved is None and fresh:
            break
        if moved is not None:
            before, (point, damping, remains) = point, moved
            steps, fresh = steps + 1, False
            drowned = remains > 0.5 * left and before.value - point.value <= SEEN * epsilon * abs(point.value)
        if moved is None or remains > SLOW * left:
            bowl, fresh = _Bowl.of(f.at(point.vector)), True
    settled = left <= max(1e3 * goal, BLIND * epsilon**0.5 * abs(point.value) ** 0.5)
    said = _why(f, bowl.lowest, bowl.largest, settled, point.norm)
    return _Refit(point.vector, point.norm, left, bowl.lowest, steps, said)


def _descend(f: Network, point: _Point, bowl: _Bowl, damping: float, left: float) -> tuple[_Point, float, float] | None:
    """The next point, its damping, and what is left of the decrement by this bowl; None where no step leads down."""
    noise = ROUNDING * torch.finfo(f.dtype).eps * abs(point.value)
    for _ in range(TRIES):
        direction = bowl.direction(point.gradient, damping)
        slope = float((direction.double() * point.gradient.double()).sum())
        new = _evaluate(f, point.vector + direction)
        remains = bowl.decrement(new.gradient)
        falls = new.value <= point.value + SUFFICIENT * slope
        if falls or (remains <= 0.5 * left and new.value <= point.value + noise):
            return new, damping / 10 if damping > 1e-8 else 0.0, remains
        damping = max(10 * damping, 1e-6)
    return None


def _search(f: Network, tol: float) -> _Refit:
    """By L-BFGS as far as F itself shows a way down, then by Newton steps, which the gradient alone judges."""
    leaf = f.vector.clone().requires_grad_()
    steps = 0

    def closure() -> Tensor:
        nonlocal steps
        steps += 1
        here = _evaluate(f, leaf.detach().clone())
        leaf.grad = here.gradient
        return torch.tensor(here.value, dtype=torch.float64)

    point, epsilon = _evaluate(f, f.vector), torch.finfo(f.dtype).eps
    _, largest = _extremes(f)
    goal = max(max(tol, 100 * epsilon) * point.norm, ROUNDING * epsilon * (abs(point.value) * largest) ** 0.5)
    for _ in range(ROUNDS):
        if point.norm <= goal:
            break
        optimiser = torch.optim.LBFGS(  # a new one each round: what it remembers of a saddle would hold it there
            [leaf], 1.0, ROUND, 2 * ROUND, 0.0, 0.0, history_size=ROUND, line_search_fn="strong_wolfe"
        )
        optimiser.step(closure)  # type: ignore[no-untyped-call]
        before, point = point, _evaluate(f, leaf.detach().clone())
        if before.value - point.value <= SEEN * epsilon * abs(point.value):
            break
    while point.norm > goal:
        solution = CG(tol=1e-3).prepare(Hessian(f.at(point.vector)))(-point.gradient[None])
        new, steps = _evaluate(f, point.vector + solution.x[0]), steps + 1
        if not new.norm <= 0.5 * point.norm or new.value > point.value + SEEN * epsilon * abs(point.value):
            break
        point = new
    bend, largest = _extremes(f.at(point.vector))
    said = _why(f, bend, largest, point.norm <= goal, point.norm)
    decrement = point.norm / bend**0.5 if bend > 0 else float("inf")
    return _Refit(point.vector, point.norm, decrement, bend, steps, said)


def _why(f: Network, bend: float, largest: float, settled: bool, norm: float) -> str:
    """Why this is no minimum; "" where it is one."""
    if not bend >= -(torch.finfo(f.dtype).eps ** 0.5) * largest:
        return f"it ended where the curvature is {bend:.2g} in one direction: a saddle, or on the way down from one"
    if not settled:
        return f"a gradient of {norm:.2g} is left: no minimum was reached (a kink, none there is, or too many steps)"
    return ""


def _evaluate(f: Network, vector: Float[Tensor, " p"]) -> _Point:
    """F and ∇F in one pass."""
    value, total = 0.0, torch.zeros_like(vector)
    for rows in f.batches(1):
        leaf = vector.clone().requires_grad_()
        with differentiable(f.module, f.device):
            losses = f.losses(leaf, *f.batch(rows))
            total += pulled(losses, leaf, f.weights[rows][None])[0]
        value += float((f.weights[rows].double() * losses.detach().double()).sum())
    pull = f.penalty * vector
    energy = 0.5 * float((pull.double() * vector.double()).sum())
    return _Point(vector, f.scale * value + energy, f.scale * total + pull)


def _extremes(f: Network) -> tuple[float, float]:
    """The lowest bend that Lanczos finds, and about the largest in size, by power iteration."""
    hessian = Hessian(f)
    drawn = generator(0, "largest curvature").standard_normal((1, f.size))
    v, size = torch.as_tensor(drawn).to(f.device, f.dtype), 0.0
    for _ in range(POWERS):
        v = v / torch.linalg.vector_norm(v).clamp(min=torch.finfo(f.dtype).tiny)
        v = hessian.matmul(v)
        size = float(torch.linalg.vector_norm(v))
    return lowest(hessian, LANCZOS).rayleigh, max(size, torch.finfo(torch.float64).tiny)


def _without(network: Network, rows: Sequence[int]) -> Network:
    """F without these rows, as an objective of its own."""
    wrong = [row for row in rows if not 0 <= row < network.n]
    if wrong:
        raise InputError(f"rows {listed(wrong)} do not exist: there are {network.n:,}, from 0.")
    keep = torch.ones_like(network.weights)
    keep[torch.as_tensor(list(rows), dtype=torch.int64, device=keep.device)] = 0.0
    reduced, factor = network.without(keep)
    if not bool((reduced.weights > 0).any()):
        raise InputError(f"without these {len(rows):,} rows no row is left to fit.")
    return replace(reduced, penalty=reduced.penalty * factor)
