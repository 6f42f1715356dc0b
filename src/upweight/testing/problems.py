"""Small seeded linear heads that between them meet every branch: everybody's conformance tests run over this table.

Each is fitted to rounding by the reference's own Newton method. To add one: a builder and a line in PROBLEMS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.output_loss import Logistic, OutputLoss, Separate, Softmax, Squared
from upweight.params import Params
from upweight.shapes import Array, Namespace
from upweight.solvers.base import Status
from upweight.testing.reference import Matrix, Plain, inverse, refit

__all__ = ["PROBLEMS", "Problem", "in_namespace", "problem"]

Generator = np.random.Generator


@dataclass(frozen=True)
class Problem:
    """A head at its optimum, what may be said of it, and its dense answers."""

    name: str
    build: Callable[[Generator], LinearHead] = field(repr=False)
    may_report: tuple[Status, ...] = ()  # beside CONVERGED
    singular: bool = False  # columns are collinear and not penalised: answers are compared where data can see them

    @cached_property
    def head(self) -> LinearHead:
        """The fitted head, in numpy."""
        seed = sum(ord(letter) << (5 * at % 40) for at, letter in enumerate(self.name))
        return _fitted(self.build(np.random.default_rng(seed)))

    @cached_property
    def hessian(self) -> Matrix:
        """H [p, p], no gauge."""
        return Plain.of(self.head).hessian()

    @cached_property
    def inverse(self) -> Matrix:
        """H⁻¹ off the gauge [p, p]; the pseudo-inverse where singular."""
        return inverse(self.hessian, Plain.of(self.head).gauge(), self.singular)

    @cached_property
    def condition(self) -> float:
        """Largest over smallest eigenvalue, of those that are not 0 by construction."""
        values = np.linalg.eigvalsh(self.hessian)
        low = values > 1e-10 * values[-1] if self.singular else np.arange(len(values)) >= self._gauges
        return float(values[-1] / max(values[low][0], 1e-16 * values[-1]))

    @property
    def _gauges(self) -> int:
        return len(Plain.of(self.head).gauge())

    def right_hand_sides(self, k: int) -> Matrix:
        """[k, p]: row gradients, and where nothing is singular random directions, off the gauge."""
        plain = Plain.of(self.head)
        rng = np.random.default_rng(k)
        out = np.zeros((k, len(plain.where)))
        for at in range(k):
            if at % 2 == 0 or self.singular:
                out[at] = plain.row_gradient(at % len(plain.x))
            else:
                out[at] = rng.normal(size=len(plain.where))
        gauge = plain.gauge()
        return out - out @ gauge.T @ gauge


def problem(name: str) -> Problem:
    """The problem of this name."""
    return next(p for p in PROBLEMS if p.name == name)


def in_namespace(head: LinearHead, xp: Namespace) -> LinearHead:
    """The same head with its arrays in another namespace."""

    def moved(a: Array) -> Any:
        return None if a is None else xp.asarray(np.asarray(a))

    return replace(
        head,
        features=DenseFeatures(moved(head.features.take(np.arange(head.n))[:, :-1]), xp.float64),
        targets=moved(head.targets),
        weights=moved(head.weights),
        params=replace(head.params, matrix=moved(head.params.matrix)),
        penalty=moved(head.penalty),
        linear_penalty=moved(head.linear_penalty),
    )


def _fitted(head: LinearHead) -> LinearHead:
    return replace(head, params=replace(head.params, matrix=refit(head, [])))


def _head(
    x: Matrix,
    y: Any,
    loss: OutputLoss,
    penalty: Any = 0.05,
    intercept_penalty: float = 0.0,
    weights: Any = None,
    free: Any = None,
    intercept: bool = True,
    normalization: str = "sum",
) -> LinearHead:
    (n, d), c = x.shape, loss.outputs
    lam = np.zeros((c, d + 1))
    lam[:, :d] = penalty
    lam[:, d] = intercept_penalty
    mask = np.ones((c, d + 1), dtype=bool) if free is None else np.hstack([free, np.ones((c, 1), dtype=bool)])
    mask[:, d] = intercept
    columns = (*(f"x{j}" for j in range(d)), "intercept")
    params = Params(np.zeros((c, d + 1)), mask, tuple(f"y{a}" for a in range(c)), columns)
    weights = np.ones(n) if weights is None else weights
    return LinearHead(DenseFeatures(x, np.float64), loss, y, weights, params, lam, normalization)


def _classes(rng: Generator, x: Matrix, c: int) -> Any:
    z = x @ rng.normal(size=(x.shape[1], c)) + rng.gumbel(size=(len(x), c))
    y = np.argmax(z, axis=1)
    y[:c] = np.arange(c)
    return y


def _binary(rng: Generator, n: int = 60, d: int = 4, **kwargs: Any) -> LinearHead:
    x = rng.normal(size=(n, d))
    return _head(x, _classes(rng, x, 2).astype(float), Separate(Logistic()), **kwargs)


def _softmax(rng: Generator, n: int = 60, d: int = 4, c: int = 3, **kwargs: Any) -> LinearHead:
    x = rng.normal(size=(n, d))
    return _head(x, _classes(rng, x, c), Softmax(c), **kwargs)


def _ridge(rng: Generator, n: int = 40, d: int = 5, targets: int = 1, **kwargs: Any) -> LinearHead:
    x = rng.normal(size=(n, d))
    y = x @ rng.normal(size=(d, targets)) + rng.normal(size=(n, targets))
    return _head(x, y[:, 0] if targets == 1 else y, Separate(Squared(), targets), **kwargs)


def _zeros_and_twos(rng: Generator) -> LinearHead:
    return _binary(rng, weights=np.where(np.arange(60) % 7 == 0, 0.0, np.where(np.arange(60) % 5 == 0, 2.0, 1.0)))


def _support(rng: Generator) -> LinearHead:
    """What L1 leaves: each class its own non-zero coordinates, their signs' pull fixed."""
    head = _softmax(rng, free=np.array([[1, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 1]], dtype=bool))
    pull = np.where(head.params.free & (head.penalty > 0), 0.01 * np.sign(rng.normal(size=(3, 5))), 0.0)
    return replace(head, linear_penalty=pull)


def _wide(rng: Generator, loss: Callable[[Generator, Matrix], tuple[Any, OutputLoss]]) -> LinearHead:
    x = rng.normal(size=(25, 90)) * (rng.random((25, 90)) < 0.1)
    return _head(x, *loss(rng, x), penalty=0.02)


def _near_singular(rng: Generator) -> LinearHead:
    x = rng.normal(size=(50, 5)) * np.array([1.0, 1.0, 1.0, 1e-3, 1.0])
    x[:, 4] = x[:, 0] + 3e-7 * rng.normal(size=50)
    return _head(x, x[:, 0] + rng.normal(size=50), Separate(Squared()), penalty=1e-13)


def _collinear(rng: Generator) -> LinearHead:
    x = rng.normal(size=(40, 4))
    x[:, 3] = x[:, 0] - x[:, 1]
    return _head(x, x @ np.ones(4) + rng.normal(size=40), Separate(Squared()), penalty=0.0)


def _row_per_class(rng: Generator) -> LinearHead:
    return _head(rng.normal(size=(5, 3)), np.arange(5), Softmax(5), penalty=0.2)


def _duplicates(rng: Generator) -> LinearHead:
    head = _binary(rng, n=30)
    x, y = np.asarray(head.features.take(np.arange(30)))[:, :-1], head.targets
    return _head(np.vstack([x, x, x[:5]]), np.concatenate([y, y, 1.0 - y[:5]]), Separate(Logistic()))


PROBLEMS: tuple[Problem, ...] = (
    Problem("binary logistic", _binary),
    Problem("softmax", _softmax),  # one null direction: the same shift of all intercepts
    Problem("softmax unpenalised", lambda r: _softmax(r, n=90, penalty=0.0)),  # d + 1 of them
    Problem("softmax, mean form", lambda r: _softmax(r, weights=r.uniform(0.5, 2, 60), normalization="mean")),
    Problem("softmax, two classes", lambda r: _softmax(r, c=2)),
    Problem("ridge", _ridge),
    Problem("ridge, two targets", lambda r: _ridge(r, targets=2)),
    Problem("ridge, mean of the rows", lambda r: _ridge(r, normalization="mean")),
    Problem("one against the rest, per row", lambda r: _one_against_rest(r)),
    Problem("weights 0 and 2", _zeros_and_twos),
    Problem("masked by L1", _support),
    Problem("a penalty for each coordinate", lambda r: _softmax(r, penalty=r.uniform(0.01, 1.0, (3, 4)))),
    Problem("penalised intercept", lambda r: _binary(r, intercept_penalty=0.05)),
    Problem("no intercept", lambda r: _softmax(r, intercept=False)),
    Problem("wide, ridge", lambda r: _wide(r, lambda g, x: (g.normal(size=25), Separate(Squared())))),
    Problem("wide, softmax", lambda r: _wide(r, lambda g, x: (_classes(g, x, 3), Softmax(3)))),
    Problem("near-singular", _near_singular, (Status.STALLED, Status.OUT_OF_STEPS)),
    Problem("collinear without penalty", _collinear, (Status.STALLED,), singular=True),
    Problem("tall", lambda r: _binary(r, n=300, d=3), (Status.OUT_OF_STEPS,)),  # LiSSA reads it in noisy batches
    Problem("one row per class", _row_per_class),
    Problem("duplicates", _duplicates),
)


def _one_against_rest(rng: Generator) -> LinearHead:
    x = rng.normal(size=(60, 4))
    y = np.eye(3)[_classes(rng, x, 3)]
    return _head(x, y, Separate(Logistic(), 3), penalty=0.02, normalization="rows")
