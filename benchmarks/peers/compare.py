"""How near a peer's scores come to the dense float64 answer: pure functions of two [q, n] arrays.

Stands on problem.py and numpy; run.py stands on it. A score is the change of a query's loss when a row is
removed, to first order, (1/n) grad(query) H^-1 grad(row), in upweight's sign and scale.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.problem import Problem

Scores = NDArray[np.float64]

SOLVED = 1e-12
MAX_STEPS = 5000


def pearson(scores: Scores, reference: Scores) -> float:
    """Correlation over all pairs of query and row at once; nan where either is constant."""
    a, b = scores.ravel() - scores.mean(), reference.ravel() - reference.mean()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else float("nan")


def query_pearson(scores: Scores, reference: Scores) -> float:
    """The mean over queries of each query's own correlation: one strong query cannot carry the others."""
    return float(np.mean([pearson(s, r) for s, r in zip(scores, reference, strict=True)]))


def slope(scores: Scores, reference: Scores) -> float:
    """The slope through the origin of reference on scores: 1 is right, < 1 means the scores are too large."""
    return float(np.vdot(scores, reference) / np.vdot(scores, scores)) if scores.any() else float("nan")


def relative_error(scores: Scores, reference: Scores) -> float:
    """Frobenius norm of the difference over that of the reference."""
    return float(np.linalg.norm(scores - reference) / np.linalg.norm(reference))


def agreement(scores: NDArray[np.floating], reference: Scores) -> dict[str, float]:
    """All four of one peer; the reference's first queries if the peer answered fewer.

    Raises: ValueError if the rows differ, or a score is not finite.
    """
    if scores.shape[1] != reference.shape[1] or len(scores) > len(reference):
        raise ValueError(f"scores {scores.shape} have no counterpart in the reference {reference.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(scores))} of {scores.size} scores are not finite")
    held, truth = scores.astype(np.float64), reference[: len(scores)].astype(np.float64)
    return {
        "pearson": pearson(held, truth),
        "query_pearson": query_pearson(held, truth),
        "slope": slope(held, truth),
        "relative_error": relative_error(held, truth),
    }


def reference_scores(problem: Problem) -> Scores:
    """First-order scores [q, n] in float64, for a subset that has no dense reference.

    Conjugate gradients on all queries at once to a relative residual of 1e-12; curvature and penalty exact.
    Raises: RuntimeError if some query is not solved.
    """
    n = len(problem.X_train)
    X = np.hstack([problem.X_train.astype(np.float64), np.ones((n, 1))])
    Q = np.hstack([problem.X_query.astype(np.float64), np.ones((len(problem.X_query), 1))])
    theta = np.hstack([problem.W, problem.b[:, None]])
    penalty = np.full(X.shape[1], problem.lam)
    penalty[-1] = 0.0  # the intercept is free
    P, U = _moments(X @ theta.T, problem.y_train)
    rhs = _moments(Q @ theta.T, problem.y_query)[1][:, :, None] * Q[:, None, :]

    def curvature(v: Scores) -> Scores:
        out = np.empty_like(v)
        for one, row in zip(out, v, strict=True):
            T = X @ row.T
            T = P * (1 - P) * T if problem.binary else P * (T - (P * T).sum(1, keepdims=True))
            one[:] = T.T @ X / n + penalty * row
        return out

    solution = _solve(curvature, rhs)
    return np.stack([np.einsum("ic,ic->i", X @ s.T, U) for s in solution]) / n


def _moments(logits: Scores, y: NDArray[np.int64]) -> tuple[Scores, Scores]:
    """Probabilities and probability minus target, [rows, c]."""
    if logits.shape[1] == 1:
        p = 0.5 * (1 + np.tanh(0.5 * logits))
        return p, p - y[:, None]
    e = np.exp(logits - logits.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    return p, p - np.eye(logits.shape[1])[y]


def _solve(curvature: Callable[[Scores], Scores], rhs: Scores) -> Scores:
    def dot(u: Scores, v: Scores) -> Scores:
        products: Scores = np.sum(u * v, axis=(1, 2), keepdims=True)
        return products

    x, r, d = np.zeros_like(rhs), rhs.copy(), rhs.copy()
    start = now = dot(r, r)
    for _ in range(MAX_STEPS):
        if (now <= SOLVED**2 * start).all():
            return x
        hd = curvature(d)
        step = np.where(now > 0, now / np.where(now > 0, dot(d, hd), 1.0), 0.0)
        x, r = x + step * d, r - step * hd
        before, now = now, dot(r, r)
        d = r + np.where(before > 0, now / np.where(before > 0, before, 1.0), 0.0) * d
    raise RuntimeError(
        f"the subset's reference is not solved in {MAX_STEPS} steps: worst residual {np.sqrt((now / start).max()):.1e}"
    )
