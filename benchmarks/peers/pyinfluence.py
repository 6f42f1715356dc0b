"""pyinfluence: the explicit Hessian of a scikit-learn LogisticRegression; binary problems only.

Run in its own environment, from the repository's root: python -m benchmarks.peers.pyinfluence --list
It needs a binary problem file (W [1, d], b [1], labels 0 and 1): MNIST's ones (0) against its sevens (1), the
first 10,000 such rows and two such queries, fitted with the same lam = 0.01, as run.py --binary-problem.
Source of the default: InfluenceFunctions of pyinfluence 0.5.0 (mode "loss", damping 1e-5). It reads the
penalty from the estimator's C and leaves the intercept free, divides by n itself, and its positive score
means that removal raises the loss: sign and scale are upweight's as they are.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pyinfluence import InfluenceFunctions
from sklearn.linear_model import LogisticRegression

from benchmarks.peers.measure import Peer, Setting, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.translation import TRANSLATIONS

FROM_C = "from the estimator's C, intercept free"


def score(problem: Problem, setting: Setting) -> NDArray[np.floating]:
    attributor = InfluenceFunctions(mode="loss", **setting.options)
    attributor.fit(estimator(problem), problem.X_train, problem.y_train)
    found: NDArray[np.floating] = attributor.explain(problem.X_query, problem.y_query)
    return found


def floor(problem: Problem) -> Callable[[], object]:
    """One float32 pass over all rows in numpy (no torch here): logits, log loss, gradient."""
    X, y = problem.X_train, problem.y_train.astype(np.float32)
    w, b = problem.W[0].astype(np.float32), np.float32(problem.b[0])

    def run() -> object:
        logits = X @ w + b
        loss = np.mean(np.logaddexp(np.float32(0), logits) - y * logits)
        residual = 0.5 * (1 + np.tanh(0.5 * logits)) - y
        return loss, residual @ X / np.float32(len(X)), residual.mean()

    return run


def estimator(problem: Problem) -> LogisticRegression:
    """A LogisticRegression at the problem's parameters, as if fitted there."""
    if not problem.binary:
        raise SystemExit("pyinfluence takes binary problems only: this one has several logits a row.")
    model = LogisticRegression(C=1.0 / (problem.lam * len(problem.X_train)))
    model.coef_, model.intercept_ = problem.W, problem.b
    model.classes_, model.n_features_in_ = np.array([0, 1]), problem.W.shape[1]
    model.n_iter_ = np.array([1])
    return model


PEER = Peer(
    distribution="pyinfluence",
    settings={
        "default": Setting({}, FROM_C, documented_default=True),
        "damping=0": Setting({"damping": 0.0}, FROM_C),
    },
    score=score,
    to_upweight=lambda problem: TRANSLATIONS["pyinfluence"].factor(len(problem.X_train)),
    translation=TRANSLATIONS["pyinfluence"].words,
    floor=floor,
    also=("numpy", "scikit-learn"),
)

if __name__ == "__main__":
    main(PEER)
