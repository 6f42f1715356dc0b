"""What a review knows of every row under one set of labels: fits that saw it, fits that did not, its say in others.

Stands on fits and removal; signals read it. Sources: METHODS.md 2.1 (a row taken out), 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.removal.gram_leverage import own_moves, row_gram
from upweight.removal.leverage import leverage_corrected
from upweight.solvers import CG, Cholesky
from upweight.solvers.auto import choose
from upweight.workflows.review.fits import FACTORED, Learner, logits, out_of_fold
from upweight.workflows.review.problem import Codes, Floats

__all__ = [
    "NEAREST",
    "SCHEDULES",
    "Evidence",
    "Outside",
    "Rows",
    "gather",
    "look",
    "own_loss",
    "probabilities",
    "reweighted",
    "strongest_other",
]

NEAREST = 10
NEAR_ROWS = 20_000  # rows up to which nearest ones are looked for among all
GRAM_ROWS = 8_000  # rows up to which their Gram matrix is held (float32: 256 MB)
DEAR = 5e11  # flops of one set of leverages, some seconds, beyond which signals that take them are left out
LEAST_WEIGHT = 0.02
SOLVED, STEPS = 0.03, 200  # relative residual of a fold's influence, where H is too large to factor: enough to rank
SCHEDULES: dict[str, tuple[float, ...]] = {  # the power of p(label) / p(likeliest) that a row weighs in each round
    "no round": (),
    "one round": (0.5,),
    "two rounds": (0.5, 0.5),
    "two rounds, the second in full": (0.5, 1.0),
}


Outside = tuple[Floats, list[LinearHead]]  # logits [n, k], and the fit without each fold


@dataclass(frozen=True, eq=False)
class Rows:
    """What does not depend on the labels: nearest rows, and how a row is taken out."""

    own: Learner
    firm: Learner  # under the review's penalty; `own` where that is the model's
    nearest: Codes | None  # [n, NEAREST] positions of the rows of largest cosine, itself left out; None: too many rows
    gram: NDArray[np.floating] | None  # K for `own_moves`; None: another way is cheaper

    @cached_property
    def flops(self) -> float:
        """What one set of leverages costs."""
        head = self.own.problem.head
        return 1.3 * float(head.n) ** 3 if self.gram is not None else choose(head).flops

    def moves(self, head: LinearHead) -> Floats | None:
        """[n, c] how far each row's own outputs move when it leaves; None: too dear."""
        if self.flops > DEAR:
            return None
        if self.gram is not None:
            return own_moves(head, self.gram)
        curvature = HeadCurvature(head)
        return np.asarray(leverage_corrected(curvature, choose(head).solver.prepare(curvature)).moves)


def look(own: Learner) -> Rows:
    """The rows under the model's own penalty."""
    head = own.problem.head
    apt = head.c == 1 and bool(np.all(head.penalty[0, :-1] > 0)) and head.params.size > FACTORED
    gram = row_gram(head, np.float32) if apt and head.n <= min(GRAM_ROWS, 2 * head.params.size) else None
    return Rows(own, own, _nearest(head, gram), gram)


def _nearest(head: LinearHead, gram: NDArray[np.floating] | None) -> Codes | None:
    """By the Gram matrix where one penalty scales all columns."""
    n, d = head.n, head.features.columns - 1
    if n > NEAR_ROWS or n <= NEAREST:
        return None
    lengths = np.sqrt(np.maximum(np.asarray(head.features.squares(np.append(np.ones(d), 0.0))), 0.0))
    inverse = np.where(lengths > 0, 1.0 / np.where(lengths > 0, lengths, 1.0), 0.0)
    if gram is not None and np.ptp(head.penalty[0, :-1]) > 0.0:
        gram = None
    found = np.empty((n, NEAREST), dtype=np.int64)
    step = max(1, 2**22 // n)
    for start in range(0, n, step):
        at = np.arange(start, min(n, start + step))
        if gram is not None:
            products = np.array(gram[at], dtype=np.float64)
        else:
            x = np.asarray(head.features.take(at))
            x[:, -1] = 0.0
            products = np.array(head.features.matmul(x, slice(0, n)).T)
        products *= inverse[None, :]
        products[np.arange(len(at)), at] = -np.inf
        found[at] = np.argpartition(-products, NEAREST - 1, axis=1)[:, :NEAREST]
    return found


@dataclass(frozen=True, eq=False)
class Evidence:
    """Logits [n, k] and effects [n] under these labels; None where a part was left out."""

    codes: Codes
    inside: Floats  # of the model as it is fitted to all rows
    firm_inside: Floats  # the same under the review's penalty
    alone: Floats | None  # without the row itself
    outside: Floats  # out of fold
    firm_outside: Floats
    rounds: Floats  # out of fold after the rounds of the schedule, under the review's penalty
    removal: Floats | None  # change of the held-out loss of other folds without the row (> 0: helpful)
    relabel: Floats | None  # change of that loss if the row took its suggested label
    held_out: Floats | None  # that loss now: the sum over the rows of other folds
    near: Floats | None  # share of the nearest rows with another label
    fold: Codes

    @property
    def loss(self) -> Floats:
        """[n] of the model as it is fitted, nats."""
        return own_loss(self.inside, self.codes)

    @property
    def loss_without(self) -> Floats | None:
        """[n] the same without the row itself."""
        return None if self.alone is None else own_loss(self.alone, self.codes)

    @property
    def rounds_loss(self) -> Floats:
        """[n] out of fold, after the rounds."""
        return own_loss(self.rounds, self.codes)

    @property
    def removal_share(self) -> Floats:
        """[n] change of the held-out loss of other folds without the row, as a share of it."""
        assert self.removal is not None  # the evidence is whole
        assert self.held_out is not None
        return self.removal / np.where(self.held_out > 0, self.held_out, 1.0)


def gather(
    rows: Rows,
    codes: Codes,
    fold: Codes,
    schedule: Sequence[float],
    tol: float,
    whole: bool = True,
    outside: Outside | None = None,
    own_outside: Outside | None = None,
) -> Evidence:
    """Everything under these labels; `whole`: what takes solves too.

    `outside`, `own_outside`: the out-of-fold fits under the review's and the model's penalty, where made already.
    """
    same = rows.firm is rows.own
    given = codes is rows.own.problem.codes
    inside = rows.own.first if given else rows.own.fit(codes, tol=tol)
    firm = inside if same else rows.firm.first if given else rows.firm.fit(codes, tol=tol)
    if outside is None:
        outside = out_of_fold(rows.firm, codes, fold, tol=tol)
    own = outside if same else own_outside
    if own is None:
        own = out_of_fold(rows.own, codes, fold, tol=tol)
    moves = rows.moves(inside) if whole else None
    last = reweighted(rows.firm, codes, fold, outside, schedule, tol)[-1]
    removal, relabel, held_out = _effects(own[1], strongest_other(last, codes), fold) if whole else (None, None, None)
    return Evidence(
        codes=codes,
        inside=logits(inside),
        firm_inside=logits(firm),
        alone=None if moves is None else logits(inside, np.asarray(inside.outputs) + moves),
        outside=own[0],
        firm_outside=outside[0],
        rounds=last,
        removal=removal,
        relabel=relabel,
        held_out=held_out,
        near=None if rows.nearest is None else np.mean(codes[rows.nearest] != codes[:, None], axis=1),
        fold=fold,
    )


def reweighted(
    learner: Learner,
    codes: Codes,
    fold: Codes,
    outside: Outside,
    schedule: Sequence[float],
    tol: float,
) -> list[Floats]:
    """Out-of-fold logits before any round and after each: rows weigh (p(label) / p(likeliest))^power, at least 0.02.

    Suspected rows mislead their neighbours: they are weighed down, and all are asked again. Source: METHODS.md 8.
    """
    out, heads = [outside[0]], outside[1]
    for power in schedule:
        p = probabilities(out[-1])
        weights = np.maximum((p[np.arange(len(p)), codes] / p.max(axis=1)) ** power, LEAST_WEIGHT)
        z, heads = out_of_fold(learner, codes, fold, weights, [head.params.vector for head in heads], tol)
        out.append(z)
    return out


def probabilities(z: Floats) -> Floats:
    """[n, k] softmax."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def own_loss(z: Floats, codes: Codes) -> Floats:
    """[n] −log p of the label."""
    return np.asarray(logsumexp(z, axis=1) - z[np.arange(len(z)), codes])


def strongest_other(z: Floats, codes: Codes) -> Codes:
    """[n] the likeliest class beside the row's label."""
    others = z.copy()
    others[np.arange(len(z)), codes] = -np.inf
    return np.asarray(np.argmax(others, axis=1))


def _effects(heads: Sequence[LinearHead], to: Codes, fold: Codes) -> tuple[Floats, Floats, Floats]:
    """Of each row on the held-out loss of the folds that it is not in: without it, and with its label `to`; that loss.

    First order: s w_i q_i·u_i with q = X H⁻¹ Σ ∇ℓ over the fold held out, from one solve a fold.
    """
    n = len(fold)
    removal, relabel, per_fold = np.zeros(n), np.zeros(n), np.zeros(len(heads))
    for k, head in enumerate(heads):
        out = fold == k
        losses, u = np.asarray(head.loss.value(head.outputs, head.targets)), np.asarray(head.output_gradients)
        per_fold[k] = losses[out].sum()
        pull = sum(
            (np.asarray(head.features.rmatmul(np.where(out[:, None], u, 0.0)[at], at)) for at in head.batches(1)),
            np.zeros_like(head.params.matrix),
        )
        q = _outputs(head, _solved(head, head.params.collect(pull[None])[0]))
        w = np.where(out, 0.0, head.scale * head.weights)
        removal += w * np.sum(q * u, axis=1)
        moved = np.asarray(head.loss.gradient(head.outputs, to.astype(head.targets.dtype))) - u
        relabel -= w * np.sum(q * moved, axis=1)
    return removal, relabel, per_fold.sum() - per_fold[fold]


def _solved(head: LinearHead, b: Floats) -> Floats:
    """H⁻¹ b."""
    curvature = HeadCurvature(head)
    if curvature.size <= FACTORED:
        return np.asarray(Cholesky().prepare(curvature)(b[None]).x[0])
    return np.asarray(CG(tol=SOLVED, max_iterations=STEPS).prepare(curvature)(b[None]).x[0])


def _outputs(head: LinearHead, v: Floats) -> Floats:
    """X_i v [n, c]."""
    w = head.params.expand(v[None])[0]
    return np.concatenate([np.asarray(head.features.matmul(w, at)) for at in head.batches(1)])
