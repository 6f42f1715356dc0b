"""Fresh problems for the grade: one seed and one number each, from easy to hard, fitted by scikit-learn.

They vary in rows (40 to 400) and columns (2 to 20), heavy tails, correlation, label noise, class balance, penalty,
exact duplicates, sample weights, the solver's tol, and the number of queries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import (
    GammaRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
)

from upweight.randomness import generator

__all__ = ["KINDS", "Drawn", "draw"]

Values = NDArray[np.float64]
Generator = np.random.Generator


@dataclass(frozen=True)
class Drawn:
    """A fitted estimator with its rows, and queries from the same distribution."""

    kind: str
    estimator: Any
    x: Values
    y: Any
    sample_weight: Values | None
    x_query: Values
    y_query: Any


def draw(seed: int, number: int) -> Drawn:
    """Problem `number` of this seed; kinds take turns."""
    g = generator(seed, "benchmark grade", number)
    kind = list(KINDS)[number % len(KINDS)]
    n, d, q = _log(g, 40, 400), _log(g, 2, 20), int(g.integers(1, 6))
    x = _columns(g, n + q, d)
    y, estimator = KINDS[kind](g, x)
    x, y, x_query, y_query = x[:n], y[:n], x[n:], y[n:]
    if g.uniform() < 0.25:
        twice = g.integers(n, size=n // 5)
        x, y = np.concatenate([x, x[twice]]), np.concatenate([y, y[twice]])
    weights = g.uniform(0.5, 2.0, size=len(x)) if g.uniform() < 0.25 else None
    return Drawn(kind, estimator.fit(x, y, sample_weight=weights), x, y, weights, x_query, y_query)


def _log(g: Generator, low: int, high: int) -> int:
    return int(np.exp(g.uniform(np.log(low), np.log(high + 0.99))))


def _columns(g: Generator, rows: int, d: int) -> Values:
    """Gaussian or Student with 10 or 3 degrees of freedom (rows far out: leverage), mixed a little."""
    x = g.normal(size=(rows, d))
    freedom = g.choice([np.inf, 10.0, 3.0])
    if np.isfinite(freedom):
        x = x / np.sqrt(g.chisquare(freedom, size=(rows, 1)) / freedom)
    return np.asarray(x @ (np.eye(d) + g.uniform(0, 0.5) * g.normal(size=(d, d)) / np.sqrt(d)))


def _signal(g: Generator, x: Values, outputs: int = 1) -> Values:
    w = g.normal(size=(x.shape[1], outputs)) * g.uniform(0.3, 2.0) / np.sqrt(x.shape[1])
    return np.asarray(x @ w)


def _ridge(g: Generator, x: Values) -> tuple[Any, Any]:
    y = _signal(g, x)[:, 0] + g.uniform(0.1, 2.0) * g.standard_t(5, size=len(x))
    return y, LinearRegression() if g.uniform() < 0.2 else Ridge(alpha=10 ** g.uniform(-2, 2))


def _two_classes(g: Generator, x: Values) -> Any:
    z = _signal(g, x)[:, 0] + g.uniform(-1.5, 1.5)
    y = (g.uniform(size=len(x)) < 1.0 / (1.0 + np.exp(-z))).astype(int)
    y = np.where(g.uniform(size=len(x)) < g.uniform(0, 0.3), 1 - y, y)
    y[:4] = [0, 1, 0, 1]
    return y


def _binary(g: Generator, x: Values) -> tuple[Any, Any]:
    y = _two_classes(g, x)
    return y, LogisticRegression(C=10 ** g.uniform(-2, 1), max_iter=1000, tol=g.choice([1e-4, 1e-8]))


def _multinomial(g: Generator, x: Values) -> tuple[Any, Any]:
    c = int(g.integers(3, 6))
    z = _signal(g, x, c)
    y = np.argmax(z + g.gumbel(size=z.shape), axis=1)
    y = np.where(g.uniform(size=len(x)) < g.uniform(0, 0.3), g.integers(0, c, size=len(x)), y)
    y[: 2 * c] = np.tile(np.arange(c), 2)
    return y, LogisticRegression(C=10 ** g.uniform(-2, 1), max_iter=1000, tol=g.choice([1e-4, 1e-8]))


def _mean(g: Generator, x: Values) -> Values:
    return np.asarray(np.exp(np.clip(0.5 * _signal(g, x)[:, 0] + 0.5, -4, 4)))


def _poisson(g: Generator, x: Values) -> tuple[Any, Any]:
    return g.poisson(_mean(g, x)).astype(float), PoissonRegressor(alpha=10 ** g.uniform(-3, 0), max_iter=1000)


def _gamma(g: Generator, x: Values) -> tuple[Any, Any]:
    return g.gamma(2.0, _mean(g, x) / 2.0) + 1e-3, GammaRegressor(alpha=10 ** g.uniform(-3, 0), max_iter=1000)


def _sgd(g: Generator, x: Values) -> tuple[Any, Any]:
    y = _two_classes(g, x)
    settings: dict[str, Any] = {"alpha": 10 ** g.uniform(-3, -1), "max_iter": 5000, "tol": 1e-6, "average": True}
    return y, SGDClassifier(loss="log_loss", random_state=0, **settings)


KINDS: dict[str, Callable[[Generator, Values], tuple[Any, Any]]] = {
    "ridge": _ridge,
    "binary": _binary,
    "multinomial": _multinomial,
    "poisson": _poisson,
    "gamma": _gamma,
    "sgd": _sgd,
}
