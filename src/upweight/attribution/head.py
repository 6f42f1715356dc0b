"""One linear head made ready for every question: its curvature prepared once, its leverages once, refits remembered.

Stands on solvers, sensitivity, removal; the adapters of linear models hand it over.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import blocks, namespace, to_numpy
from upweight.curvature import HeadCurvature
from upweight.features import DenseFeatures, Features, Subset, Taken, rounded
from upweight.gradients import HeadSource, PerturbedSource
from upweight.gradients.perturbed import replaced_inputs
from upweight.linear_head import LinearHead
from upweight.output_loss import OutputLoss
from upweight.perturbation import Perturbation
from upweight.removal.certificate import Certificate, certify
from upweight.removal.certified import certify_each
from upweight.removal.changed_refit import Changed, refit_changed
from upweight.removal.effects import Removals, gradient_directions, output_directions, query_outputs
from upweight.removal.group import GroupMoves, corrected, direction_name, group_newton, one_by_one, plain_sum
from upweight.removal.leverage import (
    SMALLEST_GAP,
    Leverage,
    largest_leverages,
    leverage_corrected,
    removal_curvature,
)
from upweight.removal.support import refit_on_support
from upweight.sensitivity import Implicit, Response
from upweight.shapes import Array, Bool, Float, Vector, Vectors
from upweight.solvers import Cholesky, Prepared, Solution, Solver
from upweight.solvers.auto import choose, solve_by_name

__all__ = ["HeadAttribution"]

FAR = 0.01  # of the bend at which a row would hold a direction alone

WRITTEN_OUT = 4000  # parameters: a certificate's H takes 128 MB
EVALUATED_FLOPS = 4e10  # a second or so: beyond it one solve a query, not one for each of its outputs
AT_ROUNDING = 1e-9  # √(gᵀH⁻¹g / F) below which no step is left to take
UNTOUCHED = 1e-6  # of the pull of the rows shown: a row that pulls less has no say in what is measured


class HeadAttribution:
    """Lazily: what no question has asked for is not computed."""

    def __init__(self, head: LinearHead, solver: str | Solver = "auto", damping: float = 0.0) -> None:
        self.head, self.damping = head, damping
        if solver == "auto":
            choice = choose(head)
            self.solver, self.reason = choice.solver, f"chosen by cost ({choice.reason.partition(': ')[2]})"
        else:
            self.solver = solve_by_name(solver) if isinstance(solver, str) else solver
            self.reason = "as asked"
        self._refits: dict[tuple[tuple[int, float], ...], tuple[Array, bool]] = {}

    @property
    def n(self) -> int:
        """Training rows."""
        return self.head.n

    @property
    def c(self) -> int:
        """Outputs of a row."""
        return self.head.c

    @property
    def size(self) -> int:
        """p."""
        return self.head.params.size

    @property
    def loss(self) -> OutputLoss:
        """Of a row's outputs."""
        return self.head.loss

    @property
    def vector(self) -> Vector:
        """θ."""
        return self.head.params.vector

    @property
    def outputs(self) -> Float[Array, "n c"]:
        """z of the training rows."""
        return self.head.outputs

    @property
    def targets(self) -> Array:
        """Encoded."""
        return self.head.targets

    @property
    def weights(self) -> Float[Array, " n"]:
        """Of the training rows."""
        return self.head.weights

    @property
    def exact(self) -> bool:
        """A quadratic loss, and one share for all rows."""
        shares = to_numpy(self.head.shares)
        return self.head.loss.concordance == 0.0 and bool(np.all(shares == shares[0]))

    @property
    def at_minimum(self) -> None:
        """The adapter polished it, or says why not."""
        return None

    @property
    def flat(self) -> bool:
        """Its loss bends where it should."""
        return False

    @property
    def counterfactual(self) -> str:
        """A convex fit ends at its optimum."""
        return "optimum"

    @property
    def refits_shown(self) -> bool:
        """A few Newton steps each."""
        return True

    def index(self, name: str) -> int:
        """Where the parameter of this name stands in θ.

        Raises: MeasurementError for an unknown one.
        """
        return self.head.params.index(name)

    def at(self, state: Vector) -> "HeadAttribution":
        """The same objective at another θ."""
        return HeadAttribution(self.head.at(state), self.solver)

    @cached_property
    def prepared(self) -> Prepared:
        """H (+ damping), made ready."""
        return self.solver.prepare(HeadCurvature(self.head).damped(self.damping))

    @cached_property
    def at_removal(self) -> tuple[HeadCurvature, Prepared]:
        """The curvature that single removals see; H itself where a refit divides by the same n."""
        if self.head.normalization == "sum":
            return HeadCurvature(self.head).damped(self.damping), self.prepared
        curvature = removal_curvature(self.head).damped(self.damping)
        return curvature, self.solver.prepare(curvature)

    @cached_property
    def _direct(self) -> Prepared:
        """The same curvature by a solver that has leverages: an iterative one without them would solve n · c times."""
        curvature, prepared = self.at_removal
        if prepared.leverages is not None or prepared.inverse is not None:
            return prepared
        return choose(self.head).solver.prepare(curvature)

    @cached_property
    def leverage(self) -> Leverage:
        """ũ, leverages and own moves of every row."""
        return leverage_corrected(self.at_removal[0], self._direct)

    def removals(self, v: Vectors, removal: str) -> Removals:
        """Change of k linear measurements without each row: removal "leverage" or "first_order"."""
        if removal == "leverage":
            return Removals.of(Implicit(self.at_removal[1]), self.leverage.source, v)
        return Removals.of(Implicit(self.prepared), HeadSource.plain(self.head), v)

    def perturbed(self, v: Vectors, perturbation: Perturbation, rows: NDArray[np.int64] | None) -> Response:
        """∂m/∂ε of k linear measurements in blocks of these rows (positions; None: all)."""
        return Implicit(self.prepared).adjoint(v, PerturbedSource(self.head, perturbation, rows))

    def replaced(self, images: Vectors, rows: NDArray[np.int64], inputs: Features) -> Float[Array, "k m"]:
        """Estimated change of k measurements if row `rows`[m] read inputs [m] instead; `images` are H⁻¹∇m."""
        parts = [
            replaced_inputs(self.head, images, rows[some], inputs.take(np.arange(some.start, some.stop)))
            for some in blocks(inputs.rows, 32.0 * inputs.columns)
        ]
        return namespace(images).concat(parts, axis=1)

    def unlike(self, rows: NDArray[np.int64], inputs: Features) -> Bool[Array, " m"]:
        """Whether inputs [m] are other than what the rows read now."""
        xp = namespace(self.head.weights)
        return xp.concat(
            [
                xp.any(inputs.take(np.arange(s.start, s.stop)) != self.head.features.take(rows[s]), axis=1)
                for s in blocks(inputs.rows, 32.0 * inputs.columns)
            ]
        )

    def changed(self, changed: Changed) -> tuple[Vectors, Bool[Array, " m"]]:
        """θ after refits with one row changed each [m, p], and whether each refit found its optimum."""
        refits = refit_changed(self.head, self._direct, changed)
        return refits.vectors, refits.converged

    def taken_out(self, removal: str) -> str:
        """How `removals` takes a row out, in words."""
        return "each row taken out by a Newton step with its leverage" if removal == "leverage" else "plain derivative"

    def query_outputs(self, inputs: Features) -> Float[Array, "q c"]:
        """z of the queries."""
        return query_outputs(self.head, inputs)

    def some(self, inputs: Features, at: NDArray[np.int64]) -> Subset:
        """These of the queries."""
        return Subset(inputs, at)

    def directions(self, inputs: Taken, dz: Float[Array, "q c"]) -> Vectors:
        """∇m = Xᵀ dz of every query [q, p]."""
        return gradient_directions(self.head.params, inputs, dz)

    def evaluates(self, queries: int) -> bool:
        """Whether one solve for each output of so many queries is cheap: then measurements are evaluated."""
        head = self.head
        return head.c == 1 or 4.0 * head.n * head.c**2 * head.features.columns * queries <= EVALUATED_FLOPS

    def output_removals(self, inputs: Taken, removal: str) -> Removals:
        """Change of every output of every query without each row [q · c, b]."""
        return self.removals(output_directions(self.head.params, inputs), removal)

    def own_moves(self) -> Float[Array, "n c"]:
        """How far each row's own outputs move when it leaves."""
        return self.leverage.moves

    def leverages(self) -> Float[Array, " n"]:
        """Of every row, in [0, 1)."""
        return self.leverage.h

    def refitted(
        self, sets: Sequence[Sequence[int]], factors: Sequence[Sequence[float]] | None = None
    ) -> tuple[Vectors, Bool[Array, " k"]]:
        """θ after really removing each set of rows (positions) [k, p], and whether each refit found its optimum.

        `factors`: what each set's rows weigh instead, times what they did.
        """
        weighed = [[0.0] * len(rows) for rows in sets] if factors is None else factors
        keys = [
            tuple(sorted({int(r): float(f) for r, f in zip(rows, one, strict=True)}.items()))
            for rows, one in zip(sets, weighed, strict=True)
        ]
        new = [key for key in dict.fromkeys(keys) if key not in self._refits]
        if new:
            plain = all(f == 0.0 for key in new for _, f in key)
            anew = None if plain else [[f for _, f in key] for key in new]
            refits = refit_on_support(self.head, self._direct, [[r for r, _ in key] for key in new], anew)
            for j, key in enumerate(new):
                self._refits[key] = (refits.vectors[j, :], bool(refits.converged[j]))
        xp = namespace(self.head.weights)
        if not keys:
            return xp.zeros((0, self.head.params.size), dtype=self.head.weights.dtype), np.zeros(0, dtype=bool)
        return xp.stack([self._refits[key][0] for key in keys]), np.asarray([self._refits[key][1] for key in keys])

    def refits_said(self) -> None:
        """The model's own solver is asked."""
        return None

    def optimum(self, settled: bool) -> Vector | None:
        """θ at the exact optimum of all rows, where removals start; None where there is none."""
        gradient, xp = self.head.gradient, namespace(self.head.weights)
        left = abs(float(xp.sum(gradient * self.prepared.apply(gradient[None])[0])))
        if settled or left <= AT_ROUNDING**2 * self.head.value:
            return self.vector
        vectors, converged = self.refitted([[]])
        return vectors[0, :] if bool(converged[0]) else None

    def states_of(self, state: Vector) -> Vectors:
        """One parameter vector as several."""
        return state[None, :]

    def outputs_at(self, states: Vectors, inputs: Features) -> Float[Array, "k q c"]:
        """z of the queries at k parameter vectors."""
        xp, c, k = namespace(states), self.head.c, states.shape[0]
        w = xp.reshape(self.head.params.place(states), (k * c, -1))
        z = inputs.matmul(w, slice(0, inputs.rows))
        return xp.permute_dims(xp.reshape(z, (inputs.rows, k, c)), (1, 0, 2))

    def row_outputs_at(self, states: Vectors, rows: Sequence[int]) -> Float[Array, "k r c"]:
        """z of training rows at k parameter vectors."""
        xp = namespace(states)
        x = self.head.features.take(xp.asarray(np.asarray(rows, dtype=np.int64)))
        return x[None, :, :] @ xp.matrix_transpose(self.head.params.place(states))

    def parameters_at(self, states: Vectors, index: int) -> Float[Array, " k"]:
        """One parameter at k parameter vectors."""
        return states[:, index]

    def moved(self, rows: Sequence[int], factors: Sequence[float]) -> GroupMoves:
        """Where θ goes, estimated, when these rows together weigh `factors` times what they did."""
        head, xp = self.head, namespace(self.head.weights)
        at, f = xp.asarray(np.asarray(rows, dtype=np.int64)), xp.asarray(np.asarray(factors), dtype=head.weights.dtype)
        step = group_newton(head, self.prepared, at, f, self.damping)
        delta, left = corrected(head, step, at, f, self.damping)
        deltas = (
            delta,
            plain_sum(head, self.prepared, at, f),
            one_by_one(self.at_removal[0], self._direct, at, f),
        )
        states = xp.stack([self.vector + delta for delta in deltas])
        how = "a Newton step on the objective with these weights, corrected once by the gradient that it finds: "
        how += step.how
        if step.held is None:
            return GroupMoves(states, left, how)
        z = self.row_outputs_at(xp.stack([self.vector, self.vector + step.held]), rows)
        along = self.vector + step.held / xp.max(xp.abs(z[1, :, :] - z[0, :, :]))
        return GroupMoves(states, left, how, direction_name(head.params, step.held), along[None, :])

    def certificate(self, rows: Sequence[int], state: Vector, factors: Sequence[float] | None = None) -> Certificate:
        """What is proved of the refit without these rows, or with these factors on their weights."""
        return certify(self.head, rows, state, self.certifier, factors)

    def certificates(self, sets: Sequence[Sequence[int]], states: Vectors) -> tuple[Certificate, ...]:
        """What is proved of each refit, side by side where the penalty bounds H from below."""
        return certify_each(self.head, sets, states, self._direct, self.certifier)

    def without(self, out: Sequence[int]) -> "HeadAttribution":
        """The same made ready around the refit without these rows, which keep their places with weight 0."""
        vectors, _ = self.refitted([out])
        keep = np.ones(self.head.n)
        keep[np.asarray(out, dtype=int)] = 0.0
        xp = namespace(self.head.weights)
        head, factor = self.head.at(vectors[0, :]).without(xp.asarray(keep, dtype=self.head.weights.dtype))
        # F over its factor: the divisor of the rows that are left and the whole penalty, so that shares stay theirs
        return HeadAttribution(replace(head, divisor=factor / head.scale), self.solver, self.damping)

    @property
    def certifier(self) -> Solver:
        """What certificates are solved with: directly where H can be written out, since a proof cannot be iterated."""
        return Cholesky() if self.head.params.size <= WRITTEN_OUT else self.solver

    def leverage_of(self, rows: Sequence[int]) -> float:
        """The largest leverage among these rows; those of all rows are made only where the solver has no other way."""
        if "leverage" not in self.__dict__ and rows:
            found = largest_leverages(self.at_removal[0], self._direct, np.asarray(rows, dtype=np.int64))
            if found is not None:
                return float(np.max(to_numpy(found)))
        return float(np.max(to_numpy(self.leverage.h)[list(rows)], initial=0.0))

    def alone(self, solutions: Sequence[Solution], shown: NDArray[np.int64]) -> int:
        """How many rows alone hold a direction that is measured: fitted exactly, they score 0 whatever they carry."""
        rows, head = self.held, self.head
        if not len(rows) or not solutions:
            return len(rows)

        def pulls(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            x = head.features.take(namespace(head.weights).asarray(rows))
            found = np.zeros(len(rows))
            for solution in solutions:
                w = head.params.expand(solution.x)
                for one in range(w.shape[0]):
                    found = np.maximum(found, np.abs(to_numpy(x @ w[one, :, :].T)).max(axis=1))
            return found

        return int(np.sum(pulls(rows) > UNTOUCHED * pulls(shown).max(initial=0.0)))

    def damping_change(self, solution: Solution, factor: float) -> float | None:
        """Relative change of these solves when the damping is multiplied; None without damping."""
        if self.damping == 0.0:
            return None
        x = solution.x
        b = self.at_removal[0].matmul(x)
        other = HeadAttribution(self.head, self.solver, factor * self.damping)
        again = to_numpy(other.at_removal[1](b).x)
        size = float(np.linalg.norm(to_numpy(x)))
        return float(np.linalg.norm(again - to_numpy(x))) / size if size > 0 else 0.0

    def nearness(self, inputs: Taken) -> NDArray[np.float64]:
        """Cosine of the features of each query with those of each row."""
        features = self.head.features
        x = to_numpy(inputs.take(np.arange(inputs.rows)))
        ones = np.ones(features.columns)
        lengths = np.sqrt(to_numpy(features.squares(ones))[None] * (x**2).sum(axis=1)[:, None])
        products = np.concatenate([to_numpy(features.matmul(x, rows)) for rows in self.head.batches(len(x))]).T
        return np.asarray(products / np.where(lengths > 0, lengths, 1.0))

    @cached_property
    def held(self) -> NDArray[np.int64]:
        """Rows that alone hold a direction of θ: none where each row bends penalised columns far less than needed."""
        dear = self._direct.row_leverages is not None or self._direct.leverages is None  # not all in one go
        if "leverage" not in self.__dict__ and dear and self._held_by_penalty():
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(to_numpy(self.leverage.alone))

    def _held_by_penalty(self) -> bool:
        """Whether only the constant is free and s w tr(S_i) ‖x_i‖² in units of the penalty is below 1/SMALLEST_GAP."""
        head, curvature = self.head, self.at_removal[0]
        xp = namespace(head.weights)
        penalty = xp.min(head.params.expand(curvature.diagonal[None, :])[0, :, :], axis=0)
        if not bool(xp.all(penalty[:-1] > 0)):
            return False
        scale = xp.concat([1.0 / penalty[:-1], xp.zeros_like(penalty[-1:])])
        bend = sum(xp.max(curvature.outputs.entry(a, a, slice(0, head.n))) for a in range(head.c))
        most = FAR / SMALLEST_GAP / max(float(head.scale * bend), float(xp.finfo(scale.dtype).smallest_normal))
        if isinstance(head.features, DenseFeatures) and head.features.reach(scale) < most:
            return True
        return float(xp.max(rounded(head.features, xp.float32).squares(scale))) < most
