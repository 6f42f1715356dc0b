"""How far an answer can be trusted: its signals, and the check against real refits that ends in a grade.

Stands on the questions, attribution and validation; influence asks. Source: DESIGN.md 7, METHODS.md 10 and 11.6.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.arrays import to_numpy
from upweight.attribution import Attribution
from upweight.errors import InputError
from upweight.questions.base import Answer, Question, measured_at, optimum
from upweight.questions.own_solver import compare_with_own_solver
from upweight.randomness import generator
from upweight.solvers import Status
from upweight.validation.check import Check, Group, Noise, agreement, size_rank
from upweight.validation.grade import HIGH_LEVERAGE, Signals, grade
from upweight.validation.metrics import compare_with_refits, row_errors
from upweight.validation.sampling import shown, stratified, stratified_groups

__all__ = ["check", "signals"]

CERTAIN = 0.01  # nats: no training row has a larger loss, so only the penalty keeps θ from growing
NEARLY_CERTAIN, HELD = 0.1, 0.5  # the same with more loss left, where a row shown has a leverage above HELD
HOPELESS = (Status.NEGATIVE_CURVATURE, Status.NONFINITE_INPUT)
ROUGH = 0.05  # relative residual above which an unfinished solve is no answer; below it, a rough one


def signals(question: Question, answer: Answer, removal: str = "leverage") -> Signals:
    """What is known without a refit; rows shown: those with the largest scores."""
    adapted, attribution = question.adapted, question.attribution
    at = shown(answer.values)
    residual = max((float(np.max(to_numpy(s.residual), initial=0.0)) for s in answer.solutions), default=0.0)
    trouble = [status for s in answer.solutions for status in s.status if status in HOPELESS or residual > ROUGH]
    trouble = [status for status in trouble if status is not Status.CONVERGED]
    leverage = attribution.leverage_of([int(i) for i in at])
    return Signals(
        mismatch=adapted.stationarity.mismatch,
        unconverged=None if attribution.at_minimum else adapted.stationarity.unconverged,
        drift=_drift(question, answer, at),
        residual=residual,
        tol=attribution.solver.tol,
        solver_trouble=trouble[0].value if trouble else None,
        reciprocal_condition=attribution.prepared.reciprocal_condition,
        leverage=leverage,
        quadratic=attribution.exact and (removal == "leverage" or attribution.loss.concordance == 0.0),
        alone=attribution.alone(answer.solutions, at),
        separable=_separable(adapted, attribution, leverage),
        damping_change=_damping_change(attribution, answer, 2.0),
        damping_halved=_damping_change(attribution, answer, 0.5),
        missing=answer.missing,
        flat=attribution.flat and not (removal == "leverage" and attribution.exact),
    )


def check(question: Question, rows: int, seed: int) -> Check:
    """Removes stratified rows and groups for real, compares, grades.

    Raises: InputError for rows < 1.
    """
    if rows < 1:
        raise InputError(f"rows is {rows!r}. Give the number of rows to remove and refit for the check, at least 1.")
    adapted, attribution = question.adapted, question.attribution
    answer = question.scores("leverage")
    best = optimum(adapted, attribution)
    start = question.now() if best is None else measured_at(question, best)
    drawn = stratified(answer.values, rows, generator(seed, "check", "rows"))
    groups = stratified_groups(answer.values, generator(seed, "check", "groups"))
    sets = [[int(i)] for i in drawn] + [[int(i) for i in group] for _, group in groups]
    every = (question.after(sets) - start[None]).T  # in one go: trainings run side by side
    real, together = every[:, : len(drawn)], every[:, len(drawn) :]
    finished = np.isfinite(real).all(axis=0)
    at, refit, estimate = drawn[finished], real[:, finished], answer.values[:, drawn[finished]]
    floor = None if best is None else np.abs(_as_fitted(question) - start)
    said = attribution.refits_said()
    if said is None:
        noise = Noise(floor, *compare_with_own_solver(adapted, attribution, generator(seed, "check", "own solver")))
    else:
        noise = Noise(floor, None, reason=said, of="refits")
    below = np.zeros(len(refit)) if floor is None else floor
    comparison = compare_with_refits(estimate, refit, below, generator(seed, "check", "bootstrap"))
    unfinished = int((~finished).sum())
    off = _shown_off(attribution, answer, at, estimate, refit)
    agreed = agreement(comparison, refit, noise, unfinished, off)
    known = signals(question, answer)
    if said is not None and not attribution.refits_shown:  # refits by the training itself stop where it stopped
        known = replace(known, unconverged=None)
    return Check(
        row_ids=tuple(adapted.row_ids[i] for i in at),
        estimate=estimate,
        refit=refit,
        base=start,
        comparison=comparison,
        groups=tuple(_group(answer.values, together[:, j], name, group) for j, (name, group) in enumerate(groups)),
        noise=noise,
        ranking=_ranking(question, estimate, refit, at),
        unfinished=unfinished,
        measurement=question.name,
        unit=question.unit,
        grade=grade(replace(known, agreement=agreed)),
    )


def _as_fitted(question: Question) -> NDArray[np.float64]:
    """[q]: the measurement at the parameters that the user's own solver left."""
    fitted = question.adapted.fitted
    return question.now() if fitted is None else measured_at(question, fitted)


def _drift(question: Question, answer: Answer, at: NDArray[np.int64]) -> float | None:
    """How far the fit was from its optimum, beside the effect of a row shown; None where no optimum is known."""
    fit = question.adapted.stationarity
    if not fit.polished:
        return None if fit.unconverged else 0.0
    moved = np.abs(question.now() - _as_fitted(question))
    if answer.base is None:  # each row is measured on itself
        moved = moved[at]
    typical = float(np.sqrt(np.mean(answer.values[:, at] ** 2))) if len(at) else 0.0
    return float(np.sqrt(np.mean(moved**2))) / typical if typical > 0 else 0.0


def _shown_off(
    attribution: Attribution,
    answer: Answer,
    at: NDArray[np.int64],
    estimate: NDArray[np.float64],
    refit: NDArray[np.float64],
) -> float | None:
    """The largest error among the rows shown that have high leverage; None where one of them was not refitted."""
    h = to_numpy(attribution.leverages())
    high = [int(i) for i in shown(answer.values) if h[i] > HIGH_LEVERAGE]
    if not set(high) <= {int(i) for i in at}:
        return None
    return float(np.max(row_errors(estimate, refit)[np.isin(at, high)], initial=0.0))


def _group(values: NDArray[np.float64], change: NDArray[np.float64], name: str, rows: NDArray[np.int64]) -> Group:
    real, estimate = float(change.mean()), float(values[:, rows].sum(axis=1).mean())
    return Group(name, len(rows), estimate, real if np.isfinite(real) else None)


def _ranking(
    question: Question, estimate: NDArray[np.float64], refit: NDArray[np.float64], at: NDArray[np.int64]
) -> tuple[tuple[str, float], ...]:
    """The estimates beside two cheap rankings of the same rows: similarity to the query, and the row's own loss."""
    model, similarity = question.attribution, question.similarity()
    own = to_numpy(model.loss.value(model.outputs, model.targets))[at]
    sizes = {
        "these estimates": np.abs(estimate),
        "similar columns": None if similarity is None else similarity[:, at],
        "the row's own loss": np.broadcast_to(own, refit.shape),
    }
    ranks = {name: None if size is None else size_rank(size, refit) for name, size in sizes.items()}
    return tuple((name, rank) for name, rank in ranks.items() if rank is not None)


def _separable(adapted: Adapted, attribution: Attribution, leverage: float) -> bool:
    """Every training row fitted with near certainty: θ grows like log(1/λ), scores are quotients of tiny numbers."""
    if adapted.kind != "classification" or not attribution.loss.smooth:
        return False
    losses = to_numpy(attribution.loss.value(attribution.outputs, attribution.targets))
    losses = losses[to_numpy(attribution.weights) > 0]
    largest = float(np.max(losses, initial=0.0))
    return largest < CERTAIN or (largest < NEARLY_CERTAIN and leverage > HELD)


def _damping_change(attribution: Attribution, answer: Answer, factor: float) -> float | None:
    """Relative change of the solves when the damping is multiplied; None without damping."""
    return attribution.damping_change(answer.solutions[0], factor) if answer.solutions else None
