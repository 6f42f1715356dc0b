"""The convex benchmark's problems, and their dense float64 answers by a path of its own: numpy and scipy alone.

MNIST, 10 classes, every row, lambda = 0.01, 100 test images as queries; ones against sevens for two classes; digits
for a quick run. A problem is fitted by scikit-learn, then taken to its optimum by Newton steps with the dense Hessian,
so that estimates, references and refits start from the same theta. Files stay in benchmarks/.cache.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

__all__ = ["CACHE", "MNIST", "Problem", "digits", "fitted", "mnist", "ones_and_sevens", "reference", "refits", "strata"]

ROOT = Path(__file__).resolve().parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist.npz"
CACHE = ROOT / "benchmarks" / ".cache"
LAMBDA, QUERIES = 0.01, 100
OPTIMUM = 1e-13  # largest entry of the gradient
REFITTED = 1e-9  # of its way, the last step of a refit
BLOCK = 2000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """The arrays of benchmarks/peers/problem.py; W has c rows, or 1 for two classes."""

    name: str
    X: NDArray[np.float32]
    y: NDArray[np.int64]
    X_query: NDArray[np.float32]
    y_query: NDArray[np.int64]
    W: Floats
    b: Floats

    def save(self, path: Path) -> None:
        """As the peers read it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {"X_train": self.X, "y_train": self.y, "X_query": self.X_query, "y_query": self.y_query}
        np.savez(path, **arrays, W=self.W, b=self.b, lam=LAMBDA)

    @property
    def theta(self) -> Floats:
        """[c, d + 1], the intercept last."""
        return np.hstack([self.W, self.b[:, None]])

    def estimator(self) -> LogisticRegression:
        """A fitted LogisticRegression at these parameters."""
        made = LogisticRegression(C=1.0 / (LAMBDA * len(self.X)), max_iter=1000)
        made.classes_ = np.unique(self.y)
        made.coef_, made.intercept_ = self.W.copy(), self.b.copy()
        made.n_iter_, made.n_features_in_ = np.array([100], dtype=np.int32), self.X.shape[1]
        return made


def mnist(rows: int | None = None) -> Problem:
    """All rows, or the first so many, refitted."""
    x, y, xq, yq = _read()
    name = "mnist" if rows is None else f"mnist-{rows}"
    return _cached(name, x[:rows], y[:rows], xq[:QUERIES], yq[:QUERIES], exact=rows is None)


def ones_and_sevens(rows: int = 10_000, queries: int = 2) -> Problem:
    """Two classes: label 1 is a seven."""
    x, y, xq, yq = _read()
    at, to = np.flatnonzero((y == 1) | (y == 7))[:rows], np.flatnonzero((yq == 1) | (yq == 7))[:queries]
    return _cached("ones-and-sevens", x[at], (y[at] == 7) + 0, xq[to], (yq[to] == 7) + 0, exact=True)


def digits() -> Problem:
    """The small one: 1,697 rows of 64 columns, 100 queries; needs no file."""
    held = load_digits()
    x, y = (held.data / 16.0).astype(np.float32), held.target.astype(np.int64)
    return fitted("digits", x[QUERIES:], y[QUERIES:], x[:QUERIES], y[:QUERIES], exact=True)


def _read() -> tuple[Any, Any, Any, Any]:
    if not MNIST.exists():
        raise FileNotFoundError(str(MNIST))
    with np.load(MNIST) as held:
        x, xq = (held[name].reshape(len(held[name]), -1) / np.float32(255) for name in ("X_train", "X_test"))
        return x.astype(np.float32), held["y_train"].astype(np.int64), xq.astype(np.float32), held["y_test"].astype(int)


def _cached(name: str, x: Any, y: Any, xq: Any, yq: Any, exact: bool) -> Problem:
    path = CACHE / f"{name}.npz"
    if path.exists():
        with np.load(path) as held:
            return Problem(name, x, y, xq, yq, held["W"], held["b"])
    made = fitted(name, x, y, xq, yq, exact)
    CACHE.mkdir(parents=True, exist_ok=True)
    np.savez(path, W=made.W, b=made.b)
    return made


def fitted(name: str, x: Any, y: Any, xq: Any, yq: Any, exact: bool) -> Problem:
    """scikit-learn's fit; `exact`: then at its optimum to OPTIMUM."""
    found = LogisticRegression(C=1.0 / (LAMBDA * len(x)), tol=1e-6, max_iter=1000).fit(x, y)
    problem = Problem(name, x, y, xq, yq, found.coef_.astype(np.float64), found.intercept_.astype(np.float64))
    if not exact:
        return problem
    theta, solve, before = problem.theta, factor(problem), np.inf
    for _ in range(30):
        gradient = _gradient(problem, theta)
        here = float(np.abs(gradient).max())
        if here <= OPTIMUM and here > 0.5 * before:  # as far down as rounding lets it
            break
        before = here
        theta = theta - solve(gradient.reshape(-1)).reshape(theta.shape)
    if len(theta) > 1:
        theta[:, -1] -= theta[:, -1].mean()  # the gauge: scikit-learn's intercepts sum to zero
    return Problem(name, x, y, xq, yq, theta[:, :-1], theta[:, -1])


# -- the dense answer -------------------------------------------------------------------------------------------------


def _probabilities(z: Floats) -> Floats:
    if z.shape[-1] == 1:
        return 1.0 / (1.0 + np.exp(-z))
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def _targets(y: Any, c: int) -> Floats:
    return y[:, None].astype(np.float64) if c == 1 else np.eye(c)[y]


def _rows(x: Any) -> Floats:
    return np.hstack([x.astype(np.float64), np.ones((len(x), 1))])


def _penalty(problem: Problem) -> Floats:
    out = np.full(problem.theta.shape, LAMBDA)
    out[:, -1] = 0.0
    return out


def _gradient(problem: Problem, theta: Floats) -> Floats:
    total = np.zeros_like(theta)
    for s in range(0, len(problem.X), BLOCK):
        a = _rows(problem.X[s : s + BLOCK])
        total += (_probabilities(a @ theta.T) - _targets(problem.y[s : s + BLOCK], len(theta))).T @ a
    return np.asarray(total / len(problem.X) + _penalty(problem) * theta)


def factor(problem: Problem) -> Any:
    """[p, k] -> [p, k] by the Cholesky factor of the dense Hessian, its gauge pinned."""
    theta, (n, d) = problem.theta, problem.X.shape
    c, p = len(theta), d + 1
    h = np.zeros((c, p, c, p))
    for s in range(0, n, 10_000):
        a = _rows(problem.X[s : s + 10_000])
        prob = _probabilities(a @ theta.T)
        if c == 1:
            f = a * np.sqrt(prob * (1.0 - prob))
            h[0, :, 0, :] += f.T @ f / n
        for i in range(c):
            for j in range(i):
                f = a * np.sqrt(prob[:, i] * prob[:, j])[:, None]
                g = f.T @ f / n
                h[i, :, j, :] -= g
                h[j, :, i, :] -= g
                h[i, :, i, :] += g
                h[j, :, j, :] += g
    h = h.reshape(c * p, c * p)
    h[np.diag_indices(c * p)] += _penalty(problem).reshape(-1)
    if c > 1:
        shift = np.zeros((c, p))
        shift[:, -1] = c**-0.5
        h += np.trace(h) / len(h) * np.outer(shift, shift)
    decomposed = scipy.linalg.cho_factor(h, lower=True, overwrite_a=True, check_finite=False)
    return lambda b: scipy.linalg.cho_solve(decomposed, b, check_finite=False)


def _queries(problem: Problem) -> tuple[Floats, Floats]:
    a = _rows(problem.X_query)
    pulls = _probabilities(a @ problem.theta.T) - _targets(problem.y_query, len(problem.theta))
    return a, pulls


def reference(problem: Problem, solve: Any) -> Floats:
    """First-order scores [q, n]: (1/n) grad(query) H^-1 grad(row)."""
    a, pulls = _queries(problem)
    q, (c, p) = len(a), problem.theta.shape
    x = solve((pulls[:, :, None] * a[:, None, :]).reshape(q, c * p).T).T.reshape(q, c, p)
    out = np.empty((q, len(problem.X)))
    for s in range(0, len(problem.X), BLOCK):
        rows = _rows(problem.X[s : s + BLOCK])
        u = _probabilities(rows @ problem.theta.T) - _targets(problem.y[s : s + BLOCK], c)
        z = (rows @ x.reshape(q * c, p).T).reshape(len(rows), q, c)
        out[:, s : s + BLOCK] = np.einsum("iqc,ic->qi", z, u) / len(problem.X)
    return out


def strata(scores: Floats, rows: int, seed: int) -> NDArray[np.int64]:
    """A third of the largest effects, a third of the upper half, a third of the rest."""
    order, rng = np.argsort(-np.linalg.norm(scores, axis=0)), np.random.default_rng(seed)
    third, n = rows // 3, scores.shape[1]
    top = order[:third]
    middle = rng.choice(order[third : n // 2], third, replace=False)
    rest = rng.choice(order[n // 2 :], rows - 2 * third, replace=False)
    return np.concatenate([top, middle, rest])


def refits(problem: Problem, solve: Any, rows: NDArray[np.int64]) -> Floats:
    """Change of each query's loss [q, r] when each row alone is really left out and the model refitted, float64.

    Newton steps with the factor at theta, all refits side by side, until the last step is REFITTED of the way.
    Raises: RuntimeError if one does not get there.
    """
    theta, (n, _) = problem.theta, problem.X.shape
    (c, p), k = theta.shape, len(rows)
    moved, own = np.zeros((k, c, p)), _rows(problem.X[rows])
    target = _targets(problem.y[rows], c)
    for _ in range(20):
        at = theta + moved
        total = np.zeros((k * c, p))
        for s in range(0, n, BLOCK):
            a = _rows(problem.X[s : s + BLOCK])
            u = _probabilities((a @ at.reshape(k * c, p).T).reshape(len(a), k, c))
            u -= _targets(problem.y[s : s + BLOCK], c)[:, None, :]
            total += u.reshape(len(a), k * c).T @ a
        left = _probabilities(np.einsum("kp,kcp->kc", own, at)) - target
        gradient = (total.reshape(k, c, p) - left[:, :, None] * own[:, None, :]) / n + _penalty(problem) * at
        step = solve(gradient.reshape(k, c * p).T).T.reshape(k, c, p)
        moved -= step
        if np.all(np.linalg.norm(step, axis=(1, 2)) <= REFITTED * np.linalg.norm(moved, axis=(1, 2))):
            break
    else:
        raise RuntimeError("a leave-one-out refit did not converge")
    a, _ = _queries(problem)
    now = a @ theta.T
    after = now[:, None, :] + np.einsum("qp,kcp->qkc", a, moved)
    return np.asarray(_loss(after, problem.y_query[:, None]) - _loss(now[:, None, :], problem.y_query[:, None]))


def _loss(z: Floats, y: Any) -> Floats:
    if z.shape[-1] == 1:
        return np.logaddexp(0.0, z[..., 0]) - y * z[..., 0]
    top = z.max(axis=-1)
    total = top + np.log(np.exp(z - top[..., None]).sum(axis=-1))
    return np.asarray(total - np.take_along_axis(z, np.broadcast_to(y, z.shape[:-1])[..., None], axis=-1)[..., 0])
