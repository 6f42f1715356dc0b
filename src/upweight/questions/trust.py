"""How far an answer can be trusted: its signals, and the check against real refits that ends in a grade."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.arrays import to_numpy
from upweight.attribution import Attribution
from upweight.errors import InputError
from upweight.questions.base import Answer, Question
from upweight.questions.on_queries import OnQueries
from upweight.questions.on_set import as_predicted
from upweight.randomness import generator
from upweight.removal.effects import query_outputs
from upweight.solvers import Status
from upweight.validation.check import Check, Noise, agreement, size_rank, stratified, stratified_groups
from upweight.validation.grade import Signals, grade

__all__ = ["check", "signals"]

SignalsOf = Callable[[Sequence[int], Answer], Signals]
SEPARATED = 0.02  # nats: a mean training loss below it with every row on its side


def signals(adapted: Adapted, attribution: Attribution, shown: Sequence[int], answer: Answer) -> Signals:
    """What is known without a refit; `shown`: positions of the rows that a person will read."""
    fit = adapted.stationarity
    residual = max((float(np.max(to_numpy(s.residual), initial=0.0)) for s in answer.solutions), default=0.0)
    trouble = [status for s in answer.solutions for status in s.status if status is not Status.CONVERGED]
    leverage = attribution.leverage
    return Signals(
        mismatch=fit.mismatch,
        unconverged=None if fit.polished else fit.unconverged,
        residual=residual,
        tol=attribution.solver.tol,
        solver_trouble=trouble[0].value if trouble else None,
        reciprocal_condition=attribution.prepared.reciprocal_condition,
        leverage=attribution.leverage_of(shown),
        quadratic=attribution.head.loss.concordance == 0.0,
        alone=int(np.sum(to_numpy(leverage.alone)[list(shown)])),
        separable=_separable(adapted, attribution),
        damping_change=_damping_change(attribution, answer),
        missing=answer.missing,
    )


def check(question: Question, signals_of: SignalsOf, rows: int, seed: int) -> Check:
    """Removes stratified rows and groups for real, compares, grades."""
    adapted, attribution = question.adapted, question.attribution
    draws = generator(seed, "check")
    answer = question.scores("leverage")
    at = stratified(answer.values, min(rows, attribution.head.n), draws)
    refit = question.refits([int(i) for i in at]).T
    finished = np.isfinite(refit).all(axis=0)
    at, refit, estimate = at[finished], refit[:, finished], answer.values[:, at[finished]]
    groups = stratified_groups(answer.values, draws)
    noise = _noise(question, [int(i) for i in at], refit, draws)
    comparison, agreed = agreement(estimate, refit, noise, draws, int((~finished).sum()))
    similarity = question.similarity()
    shown = np.argsort(-np.abs(answer.values).sum(axis=0), kind="stable")[:10].tolist()
    found = replace(signals_of(shown, answer), agreement=agreed)
    return Check(
        row_ids=tuple(adapted.row_ids[i] for i in at),
        estimate=estimate,
        refit=refit,
        comparison=comparison,
        groups=tuple(_group(question, answer.values, group) for group in groups),
        noise=noise,
        baseline=None if similarity is None else size_rank(similarity[:, at], refit),
        unfinished=int((~finished).sum()),
        measurement=question.name,
        unit=question.unit,
        grade=grade(found),
    )


def _group(question: Question, values: NDArray[np.float64], rows: NDArray[np.int64]) -> tuple[int, float, float]:
    real = question.after([[int(i) for i in rows]])[0] - question.now()
    return len(rows), float(values[:, rows].sum(axis=1).mean()), float(real.mean())


def _noise(question: Question, at: Sequence[int], refit: NDArray[np.float64], draws: np.random.Generator) -> Noise:
    """The user's own solver on the same rows, and without a tenth of them, beside our refits of the same."""
    adapted, attribution, cold_refit = question.adapted, question.attribution, question.adapted.cold_refit
    if not isinstance(question, OnQueries) or cold_refit is None:
        return Noise(0.0, None, "not compared: this measurement reads no predictions")

    def ours(sets: Sequence[Sequence[int]]) -> tuple[NDArray[np.float64], bool]:
        vectors, converged = attribution.refitted(sets)
        z = attribution.outputs_at(vectors, question.features)
        shaped = [as_predicted(adapted, attribution, z[j]) for j in range(len(sets))]
        return np.asarray(shaped), bool(converged.all())

    def own(removed: Sequence[int]) -> NDArray[np.float64]:
        return predictions_of(adapted, cold_refit(removed), question.x_query)

    head = attribution.head
    now = as_predicted(adapted, attribution, query_outputs(head, question.features))
    rows = [int(i) for i in draws.choice(head.n, size=max(1, head.n // 10), replace=False)]
    moved, converged = ours([rows])
    size = float(np.linalg.norm(moved[0] - now))
    if not converged or size == 0:
        return Noise(0.0, None, "not compared: without a tenth of the rows there is no optimum to compare")
    try:
        again, without = own([]), own(rows)
    except InputError as error:
        return Noise(0.0, None, f"not compared: {error}")
    alone, _ = ours([[row] for row in at])
    typical = float(np.sqrt(np.mean((alone - now[None]) ** 2))) if len(at) else 0.0
    share = float(np.sqrt(np.mean((again - now) ** 2))) / typical if typical > 0 else 0.0
    floor = share * float(np.sqrt(np.mean(refit**2))) if refit.size else 0.0
    return Noise(floor, float(np.linalg.norm(without - moved[0])) / size)


def predictions_of(adapted: Adapted, model: Any, x: Any) -> NDArray[np.float64]:
    """An estimator's own predictions, in the form of `as_predicted`."""
    if adapted.kind == "regression":
        return np.asarray(model.predict(x), dtype=float)
    return np.asarray(model.predict_proba(x) if adapted.has_probability else model.decision_function(x), dtype=float)


def _separable(adapted: Adapted, attribution: Attribution) -> bool:
    """Every training row on its side, and hardly any loss left: only the penalty holds θ."""
    head = attribution.head
    if adapted.kind != "classification" or not head.loss.smooth:
        return False
    losses = to_numpy(head.loss.value(head.outputs, head.targets))[to_numpy(head.weights) > 0]
    return bool(losses.max(initial=0.0) < np.log(2.0) and losses.mean() < SEPARATED)


def _damping_change(attribution: Attribution, answer: Answer) -> float | None:
    """Relative change of the solves when the damping doubles; None without damping."""
    if attribution.damping == 0.0 or not answer.solutions:
        return None
    x = answer.solutions[0].x
    xp_x = to_numpy(x)
    twice = Attribution(attribution.head, attribution.solver, 2.0 * attribution.damping)
    b = to_numpy(attribution._removal[0].matmul(x))
    again = to_numpy(twice._removal[1](b).x)
    size = float(np.linalg.norm(xp_x))
    return float(np.linalg.norm(again - xp_x)) / size if size > 0 else 0.0
