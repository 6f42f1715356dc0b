"""The same head fitted many times: other labels, other row weights, rows left out; close enough to the optimum to rank.

L-BFGS in coordinates where the Hessian of the first fit is 1 where that can be factored.
Stands on linear_head and curvature. Source: Liu & Nocedal (1989).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.optimize import minimize

from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.workflows.review.problem import Codes, Floats, Problem

__all__ = ["CLOSE", "ROUGH", "Learner", "logits", "out_of_fold"]

FACTORED = 1500  # parameters up to which coordinates are taken from the Hessian
CLOSE, ROUGH = 1e-6, 3e-5  # the last relative decrease of F: of what is shown, and of a trial
STEPS = 500


@dataclass(frozen=True, eq=False)
class Learner:
    """A problem under its penalty times `strength`."""

    problem: Problem
    strength: float = 1.0

    @cached_property
    def first(self) -> LinearHead:
        """The optimum under the problem's own labels."""
        start = self.problem.head
        if self.problem.own and self.strength == 1.0:
            return start
        return self._descend(self._penalised(self.problem.with_labels(self.problem.codes)), start.params.vector, CLOSE)

    def fit(
        self, codes: Codes, weights: Floats | None = None, start: Floats | None = None, tol: float = ROUGH
    ) -> LinearHead:
        """The head at its optimum under these labels, rows weighing `weights` times what they do.

        `start` None: from θ = 0. A start that has seen the labels of rows left out would tell of them.
        """
        head = self._penalised(self.problem.with_labels(codes, weights))
        return self._descend(head, np.zeros(head.params.size) if start is None else start, tol, self._root)

    def _penalised(self, head: LinearHead) -> LinearHead:
        return head if self.strength == 1.0 else replace(head, penalty=head.penalty * self.strength)

    @cached_property
    def _root(self) -> Floats | None:
        """L of H = L Lᵀ at the first fit; None where it is too large."""
        if self.first.params.size > FACTORED:
            return None
        h = HeadCurvature(self.first).dense()
        floor = 1e-10 * float(np.mean(np.diagonal(h)))
        return np.asarray(scipy.linalg.cholesky(h + floor * np.eye(len(h)), lower=True, check_finite=False))

    def _descend(self, head: LinearHead, start: Floats, tol: float, root: Floats | None = None) -> LinearHead:
        weigh, penalty, batches = head.scale * np.asarray(head.weights), np.asarray(head.penalty), list(head.batches(1))
        free, whole = np.asarray(head.params.free), np.array(head.params.matrix)

        def place(v: Floats) -> Floats:
            return start + (v if root is None else scipy.linalg.solve_triangular(root, v, lower=True, trans=1))

        def objective(v: Floats) -> tuple[float, Floats]:
            whole[free] = place(v)
            pull = penalty * whole
            value, total = 0.5 * float(np.sum(pull * whole)), np.zeros_like(whole)
            for at in batches:
                z, y = head.features.matmul(whole, at), head.targets[at]
                value += float(weigh[at] @ head.loss.value(z, y))
                total += head.features.rmatmul(head.loss.gradient(z, y) * weigh[at][:, None], at)
            g = (total + pull)[free]
            return value, g if root is None else scipy.linalg.solve_triangular(root, g, lower=True)

        done = minimize(
            objective, np.zeros_like(start), jac=True, method="L-BFGS-B",
            options={"ftol": tol, "gtol": tol, "maxiter": STEPS, "maxcor": 10},
        )  # fmt: skip
        return head.at(place(done.x))


def out_of_fold(
    learner: Learner,
    codes: Codes,
    fold: Codes,
    weights: Floats | None = None,
    starts: Sequence[Floats] | None = None,
    tol: float = ROUGH,
) -> tuple[Floats, list[LinearHead]]:
    """Logits [n, k] of every row by the fit that has not seen it, and those fits: the fold's rows weigh 0 there."""
    heads, z = [], np.empty((len(codes), learner.problem.classes))
    for k in range(learner.problem.folds):
        inside = (fold != k).astype(np.float64)
        head = learner.fit(
            codes, inside if weights is None else inside * weights, None if starts is None else starts[k], tol
        )
        heads.append(head)
        z[fold == k] = logits(head)[fold == k]
    return z, heads


def logits(head: LinearHead, outputs: NDArray[np.float64] | None = None) -> Floats:
    """[n, k] whose softmax are the class probabilities; one logit of two classes is put beside a 0."""
    z = head.outputs if outputs is None else outputs
    return np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else np.asarray(z)
