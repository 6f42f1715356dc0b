"""Models whose grade is known beforehand: twenty healthy ones, and failures of each kind."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)

from upweight import Influence
from upweight.adapters import adapt

__all__ = ["FAILURES", "HEALTHY", "WRONG_NORMALISATIONS", "Asked", "election"]


@dataclass(frozen=True)
class Asked:
    """A model with its rows and the queries that it is asked about."""

    influence: Influence
    x: Any
    y: Any

    def letters(self) -> tuple[str, str]:
        """The grade before a check and after it."""
        scores = self.influence.scores(self.x, self.y)
        return scores.grade.letter, self.influence.check(self.x, self.y).grade.letter


def table(seed: int, n: int = 300, d: int = 3, scale: float = 1.0) -> tuple[Any, Any, Any]:
    """x [n + 3, d], a linear signal [n + 3], a generator: the last three rows are queries."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + 3, d))
    return x, scale * x @ rng.normal(size=d) / np.sqrt(d), rng


def fitted(estimator: Any, x: Any, y: Any, weights: Any = None) -> Asked:
    """On all but the last three rows, which are asked about."""
    estimator.fit(x[:-3], y[:-3], sample_weight=weights)
    return Asked(Influence.from_sklearn(estimator, x[:-3], y[:-3], weights), x[-3:], y[-3:])


def regression(estimator: Any, seed: int, n: int = 300, d: int = 3, far: float = 0.0, **more: Any) -> Asked:
    """`far`: how far out row 0 lies, in standard deviations of a column."""
    x, signal, rng = table(seed, n, d)
    x[0, 0] += far
    y = signal + rng.normal(size=len(x))
    return fitted(estimator, x, y, **more)


def classes(estimator: Any, seed: int, c: int = 2, n: int = 300, d: int = 3, twice: int = 0) -> Asked:
    """c classes with noise; the first `twice` rows stand there a second time."""
    x, _, rng = table(seed, n, d)
    z = x @ rng.normal(size=(d, c)) / np.sqrt(d)
    y = np.argmax(z + rng.gumbel(size=z.shape), axis=1)
    return fitted(estimator, np.concatenate([x[:twice], x]), np.concatenate([y[:twice], y]))


def counts(estimator: Any, seed: int, gamma: bool = False) -> Asked:
    """Counts, or positive numbers."""
    x, signal, rng = table(seed, scale=0.5)
    mean = np.exp(signal + 0.5)
    return fitted(estimator, x, rng.gamma(2.0, mean / 2.0) + 1e-3 if gamma else rng.poisson(mean).astype(float))


def weighted(estimator: Any, seed: int) -> Asked:
    """Weights between a half and two."""
    return regression(estimator, seed, weights=np.random.default_rng(seed).uniform(0.5, 2.0, size=300))


def all_twice(estimator: Any, seed: int) -> Asked:
    """Sixty rows, each five times over."""
    x, signal, rng = table(seed, 60)
    y = signal + rng.normal(size=len(x))
    many = np.concatenate([np.repeat(np.arange(60), 5), [60, 61, 62]])
    return fitted(estimator, x[many], y[many])


HEALTHY: dict[str, Callable[[], Asked]] = {
    "ridge": lambda: regression(Ridge(), 0),
    "ridge, a row of leverage 0.9": lambda: regression(Ridge(), 1, n=60, far=25.0),
    "ridge, leverage over a half everywhere": lambda: regression(Ridge(alpha=0.01), 2, n=40, d=25),
    "ridge, more columns than rows": lambda: regression(Ridge(alpha=5.0), 3, n=30, d=60),
    "ridge, a strong penalty": lambda: regression(Ridge(alpha=1000.0), 4),
    "ridge, hardly a penalty": lambda: regression(Ridge(alpha=1e-6), 5),
    "ridge, weights": lambda: weighted(Ridge(), 6),
    "ridge, every row five times": lambda: all_twice(Ridge(), 7),
    "least squares": lambda: regression(LinearRegression(), 8),
    "least squares, a row of leverage 0.9": lambda: regression(LinearRegression(), 9, n=60, far=25.0),
    "elastic net": lambda: regression(ElasticNet(alpha=0.01, tol=1e-10), 10),
    "logistic": lambda: classes(LogisticRegression(), 11),
    "logistic, no penalty": lambda: classes(LogisticRegression(C=np.inf), 12),
    "logistic, a strong penalty": lambda: classes(LogisticRegression(C=0.01), 13),
    "logistic, liblinear": lambda: classes(LogisticRegression(solver="liblinear"), 14),
    "logistic, a hundred rows twice": lambda: classes(LogisticRegression(), 15, twice=100),
    "multinomial": lambda: classes(LogisticRegression(C=0.1), 16, c=4, n=500),
    "poisson": lambda: counts(PoissonRegressor(alpha=0.1), 17),
    "gamma": lambda: counts(GammaRegressor(alpha=0.1), 18, gamma=True),
    "tweedie": lambda: counts(TweedieRegressor(power=1.5, alpha=0.1), 19, gamma=True),
}


def unconverged() -> Asked:
    """Three steps of lbfgs on columns of unequal size."""
    x, signal, rng = table(20)
    x[:, 1] *= 30.0
    y = (signal + rng.normal(size=len(x)) > 0).astype(int)
    return fitted(LogisticRegression(max_iter=3), x, y)


def separable(c: float, gap: float = 0.5) -> Asked:
    """Two classes with a gap between them and next to no penalty."""
    x, _, rng = table(21, n=150, d=3)
    w = rng.normal(size=3)
    side = x @ w / np.linalg.norm(w)
    x = x + np.outer(np.sign(side), w / np.linalg.norm(w)) * gap
    return fitted(LogisticRegression(C=c, tol=1e-8, max_iter=5000), x, (side > 0).astype(int))


def not_these(weights: bool = False, labels: bool = False, rows: bool = False) -> Asked:
    """Fitted with other weights, labels or rows than are given."""
    x, signal, rng = table(22)
    y = (signal + rng.normal(size=len(x)) > 0).astype(int)
    x, query = x[:-3], (x[-3:], y[-3:])
    y = y[:-3]
    given = rng.uniform(0.2, 3.0, size=len(x)) if weights else None
    model = LogisticRegression().fit(x, y, sample_weight=given)
    changed = np.where(np.arange(len(y)) < 30, 1 - y, y) if labels else y
    at = slice(60, None) if rows else slice(None)
    return Asked(Influence.from_sklearn(model, x[at], changed[at]), *query)


def near_singular() -> Asked:
    """Two columns that differ by rounding, and no penalty."""
    x, signal, rng = table(23)
    x[:, 2] = x[:, 1] * (1.0 + 1e-9 * rng.normal(size=len(x)))
    return fitted(LinearRegression(), x, signal + rng.normal(size=len(x)))


def alone() -> Asked:
    """A category with a single member, without a penalty."""
    x, signal, rng = table(24, n=60)
    x[:, 2] = 0.0
    x[[0, -1], 2] = 1.0  # row 0 and the last query
    return fitted(LinearRegression(), x, signal + rng.normal(size=len(x)))


FAILURES: dict[str, Callable[[], Asked]] = {
    "unconverged": unconverged,
    "separable, C = 10,000": lambda: separable(1e4),
    "separable, C = 1,000,000": lambda: separable(1e6),
    "separable by far, C = 1,000,000": lambda: separable(1e6, gap=3.0),
    "separable, no penalty": lambda: separable(np.inf),
    "wrong weights": lambda: not_these(weights=True),
    "wrong labels": lambda: not_these(labels=True),
    "wrong rows": lambda: not_these(rows=True),
    "near-singular": near_singular,
    "one row holds a direction": alone,
}


def divided_otherwise(asked: Asked, normalization: str) -> Asked:
    """The same model, read as if its refits divided by something else."""
    adapted = asked.influence.adapted
    assert adapted.objective.normalization != normalization
    return replace(
        asked, influence=Influence(replace(adapted, objective=replace(adapted.objective, normalization=normalization)))
    )


WRONG_NORMALISATIONS: dict[str, Callable[[], Asked]] = {
    "ridge as a mean": lambda: divided_otherwise(regression(Ridge(alpha=100.0), 25), "mean"),
    "logistic as a mean": lambda: divided_otherwise(classes(LogisticRegression(C=0.02), 26), "mean"),
    "poisson as a sum": lambda: divided_otherwise(counts(PoissonRegressor(alpha=0.5), 27), "sum"),
}


def election() -> Asked:
    """DATA.md 4, part 3: all but one of the young Clinton voters taken out; row 190 is asked about."""
    survey = sm.datasets.anes96.load_pandas().data
    age, vote = survey["age"].to_numpy(), survey["vote"].to_numpy().astype(int)
    brackets = [(age >= low) & (age < low + 10) for low in range(15, 75, 10)] + [age < 25, age >= 75]
    x = np.column_stack([survey[["TVnews", "selfLR", "educ", "income"]].to_numpy(), *brackets]).astype(float)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    train = np.setdiff1d(np.arange(944), np.random.default_rng(0).choice(944, 200, replace=False))
    young = train[(age[train] < 25) & (vote[train] == 0)]
    kept = np.setdiff1d(train, young[young != 1])
    frame = _frame(x[kept], kept)
    model = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000).fit(frame, vote[kept])
    return Asked(Influence(adapt(model, frame, vote[kept])), _frame(x[[190]], [190]), vote[[190]])


def _frame(x: Any, index: Any) -> Any:
    """A DataFrame whose index is the survey's row."""
    return pd.DataFrame(x, index=index, columns=[f"x{j}" for j in range(x.shape[1])])
