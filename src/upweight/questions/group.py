"""What some rows do together: removed, or weighing a factor of what they did; three estimates, and the truth beside.

Stands on the questions and attribution; influence asks. Source: METHODS.md 2.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.blocks import Block, Column, Document, Facts, RowTable, Section, Sentence, TableRow
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import DASH, Effect, among, count, number, percent, sentence, short, verdict
from upweight.errors import InputError, listed
from upweight.questions.base import ROW_REMOVED, Movable, measured_at, optimum
from upweight.removal.certificate import Certificate
from upweight.removal.group import GroupMoves

__all__ = ["GroupEffect", "Refitted", "factors_of", "group_effect"]

SHOWN = 5  # queries in what is shown
LISTED = 5  # row ids in a sentence
SHORT_OF = 0.25  # of the way, missed by the first Newton step: beyond it a refit should be asked for
UNSEEN = 1e-6  # of a held direction, beside the group's own rows: a query that sees less does not hang on it


@dataclass(frozen=True, eq=False)
class Refitted:
    """The measurement really refitted [q]: NaN where no optimum was found, and what is proved of it."""

    change: NDArray[np.float64]
    certificate: Certificate
    converged: bool


@dataclass(frozen=True, eq=False)
class GroupEffect:
    """Change of a measurement on each query when these rows together are removed, or weigh `factor` times as much.

    Sign: > 0, the measurement would rise. Unit: the measurement's own. `refit()` gives the same with `truth`.
    """

    rows: tuple[Any, ...]  # row ids
    factor: NDArray[np.float64]  # [rows] 0: removed, 1: as it was, 2: a second copy
    estimate: NDArray[np.float64]  # [q] group Newton, the measurement evaluated there; NaN: these rows alone decide it
    plain: NDArray[np.float64]  # [q] the rows' plain derivatives added up
    leverage_sum: NDArray[np.float64]  # [q] the rows' own Newton steps added up, evaluated there
    base: NDArray[np.float64]  # [q] the measurement now
    measurement: str
    unit: str
    better: str | None  # which way is good: "lower", "higher", or None
    meaning: str
    how: str
    left: float  # of the way, what the first Newton step was short of; `estimate` is corrected by it once
    warnings: tuple[str, ...] = ()
    refitter: Callable[[], Refitted] = field(default=lambda: _no_model(), repr=False)
    truth: NDArray[np.float64] | None = None  # [q] by a real refit; None before `refit()`, NaN without one optimum
    certificate: Certificate | None = None  # how exact the refit is

    def refit(self) -> "GroupEffect":
        """The same with the truth beside it: the model really refitted, once, with a certificate of how exact it is."""
        return self if self.truth is not None else self._refitted

    @cached_property
    def _refitted(self) -> "GroupEffect":
        found = self.refitter()
        lost = () if found.converged else (f"no optimum was found {self._without()}: there is no refit to show",)
        proof = found.certificate if found.converged else None
        return replace(self, truth=found.change, certificate=proof, warnings=(*self.warnings, *lost))

    @property
    def removed(self) -> bool:
        """Whether all of these rows leave."""
        return bool(np.all(self.factor == 0.0))

    def to_frame(self) -> pd.DataFrame:
        """One line a query: query, base, estimate, refit (after `refit()`), leverage_sum, plain."""
        columns: dict[str, Any] = {"query": range(len(self.base)), "base": self.base, "estimate": self.estimate}
        if self.truth is not None:
            real = [float(x) if np.isfinite(x) else None for x in self.truth]
            columns["refit"] = pd.Series(real, dtype=object) if None in real else real
        frame = pd.DataFrame({**columns, "leverage_sum": self.leverage_sum, "plain": self.plain})
        frame.attrs.update(measurement=self.measurement, unit=self.unit, meaning=self.meaning)
        return frame

    def effect(self, change: float, query: int = 0) -> Effect:
        """A change of query `query`, ready to be said in words; helpful and harmful where rows weigh less than now."""
        better: Any = self.better if bool(np.all(self.factor <= 1.0)) else None
        alone = np.isnan(self.estimate[query])
        reason = "these rows alone determine it" if alone else "the refit found no optimum"
        return Effect(change, float(self.base[query]), self.measurement, self.unit, better, reason)

    def sentence(self, query: int = 0) -> str:
        """One line: what would become of query `query`, by the refit where there is one.

        Raises: InputError for a query that there is not.
        """
        if not 0 <= query < len(self.base):
            raise InputError(f"query {query} is not there: this effect holds {_queries(len(self.base))}.")
        change = self.estimate if self.truth is None else self.truth
        effect = self.effect(float(change[query]), query)
        said = sentence(effect, self._subject(), doing="removing" if self.removed else "weighing")
        end = ", as estimated." if self.truth is None else ", really refitted."
        return f"{said[0].upper()}{said[1:]}{'.' if verdict(effect) == 'unknown' else end}"

    def document(self) -> Document:
        """What print and a notebook show."""
        columns = [Column("now"), Column("estimate"), Column("refit"), Column("one by one"), Column("plain sum")]
        if self.truth is None:
            del columns[2]
        lines = tuple(self._line(query) for query in range(min(SHOWN, len(self.base))))
        more = len(self.base) - len(lines)
        caption = f"change of the {self.measurement}" + (
            f"; {count(more, 'more query', 'more queries')}" if more else ""
        )
        blocks: list[Block] = [
            Sentence(self.sentence(), strong=True),
            RowTable(caption, tuple(columns), lines, id_name="query"),
        ]
        pairs = [("rows", f"{among(self.rows[:20])}{' …' if len(self.rows) > 20 else ''}")]
        if not self.removed:
            pairs.append(("factor", self._factor()))
        if self.certificate is not None:
            pairs.append(("exact", self.certificate.sentence))
        trust: list[Block] = [
            Facts(tuple(pairs)),
            *(Sentence(text) for text in (*self.warnings, self.how, self.meaning)),
        ]
        return Document(
            "Group" if self.removed else "Reweight",
            f"{count(len(self.rows), 'row')} · {_queries(len(self.base))}",
            sections=(Section("", "effect", tuple(blocks)), Section("Trust", "trust", tuple(trust))),
        )

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())

    def _line(self, query: int) -> TableRow:
        kinds = [self.estimate, self.leverage_sum, self.plain]
        if self.truth is not None:
            kinds.insert(1, self.truth)
        effects = [self.effect(float(change[query]), query) for change in kinds]
        best = effects[0 if self.truth is None else 1]
        judged = verdict(best) if self.removed else None
        return TableRow(str(query), (number(self.base[query]), *map(_cell, effects)), judged)

    def _subject(self) -> str:
        rows = f"these {len(self.rows):,} rows"
        if len(self.rows) <= LISTED:
            rows = f"row {self.rows[0]}" if len(self.rows) == 1 else f"{len(self.rows)} rows ({among(self.rows)})"
        return rows if self.removed else f"{rows} {self._factor()} times as much"

    def _factor(self) -> str:
        low, high = float(self.factor.min()), float(self.factor.max())
        return number(low) if low == high else f"{number(low)} to {number(high)}"

    def _without(self) -> str:
        return "without these rows" if self.removed else "with these weights"


def factors_of(factor: Any, rows: int) -> NDArray[np.float64]:
    """[rows] from one number for all of them, or one for each.

    Raises: InputError for anything else, a negative or NaN factor, or 1 throughout.
    """
    try:
        given = np.asarray(factor, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"factor is {factor!r}. Give a number >= 0, or one for each row.") from None
    if given.shape not in ((), (rows,)):
        raise InputError(f"factor has shape {given.shape} for {count(rows, 'row')}. Give one number, or one a row.")
    every = np.atleast_1d(given)
    bad = every[~(np.isfinite(every) & (every >= 0))]
    if len(bad):
        raise InputError(f"factor holds {listed(bad.tolist())}. Give numbers >= 0: 0 removes, 2 is a second copy.")
    if np.all(given == 1.0):
        raise InputError("factor 1 leaves every weight as it is. Give 0 to remove, 2 for a second copy.")
    return np.broadcast_to(given, (rows,)).copy()


def group_effect(question: Movable, rows: Sequence[int], factors: NDArray[np.float64]) -> GroupEffect:
    """Estimates by the rows (positions) and factors; the refit waits until it is asked for."""
    adapted, attribution = question.adapted, question.attribution
    moves = attribution.moved(rows, factors.tolist())
    base = question.now()
    states = moves.states
    newton, together = question.at(states[0:1])[0] - base, question.at(states[2:3])[0] - base
    plain = question.along(states[1:2])[0]
    unknown = np.abs(question.along(moves.along)[0]) > UNSEEN if moves.held else np.zeros(len(base), dtype=bool)
    removed = bool(np.all(factors == 0.0))
    done = "were removed" if removed else "weighed these factors times what they do"
    what = f"if {_these(len(rows))} {done}{' together' if removed and len(rows) > 1 else ''}"

    def refitted() -> Refitted:
        best = optimum(adapted, attribution)
        start = base if best is None else measured_at(question, best)
        vectors, converged = attribution.refitted([rows], [factors.tolist()])
        certificate = attribution.certificate(rows, vectors[0], factors.tolist())
        fine = bool(converged[0])
        change = question.at(vectors[0:1])[0] - start if fine else np.full(len(base), np.nan)
        return Refitted(np.where(unknown, np.nan, change), certificate, fine)

    return GroupEffect(
        rows=tuple(adapted.row_ids[i] for i in rows),
        factor=factors,
        estimate=np.where(unknown, np.nan, newton),
        plain=plain,
        leverage_sum=together,
        base=base,
        measurement=question.name,
        unit=question.unit,
        better=question.better,
        meaning=question.meaning.replace(ROW_REMOVED, what),
        how=f"{moves.how}; the {question.name} evaluated there",
        left=moves.left,
        warnings=_warnings(question, rows, factors, moves, int(unknown.sum())),
        refitter=refitted,
    )


def _warnings(
    question: Movable, rows: Sequence[int], factors: NDArray[np.float64], moves: GroupMoves, unknown: int
) -> tuple[str, ...]:
    """What a reader should know before acting on the estimate."""
    adapted = question.adapted
    found = [text for text in (adapted.stationarity.mismatch, adapted.stationarity.unconverged) if text]
    if moves.left > SHORT_OF:
        found.append(f"the first Newton step was {percent(moves.left)} short: ask refit() for the truth")
    gone = _classes_gone(question, rows, factors)
    if gone:
        found.append(
            f"all rows of class {listed(gone)} leave: the class stays in the list, but no row asks for it any more, "
            "so that what is left may have no optimum"
        )
    if moves.held:
        found.append(
            f"these rows alone determine {moves.held}: without them nothing says what it should be; "
            + (
                f"{unknown:,} of what is asked depends on it and has no answer"
                if unknown
                else "nothing asked depends on it"
            )
        )
    return tuple(found)


def _classes_gone(question: Movable, rows: Sequence[int], factors: NDArray[np.float64]) -> list[Any]:
    """Classes whose every row with a weight leaves."""
    adapted = question.adapted
    labels = np.asarray(adapted.labels)
    if adapted.kind != "classification" or labels.ndim > 1:
        return []
    weights = np.array(question.attribution.weights, dtype=np.float64)
    there = set(labels[weights > 0].tolist())
    weights[np.asarray(rows, dtype=int)] *= factors
    return [label for label in adapted.classes if label in there - set(labels[weights > 0].tolist())]


def _cell(effect: Effect) -> str:
    return DASH if verdict(effect) == "unknown" else short(effect)


def _these(rows: int) -> str:
    return "this row" if rows == 1 else f"these {rows:,} rows"


def _queries(q: int) -> str:
    return count(q, "query", "queries")


def _no_model() -> Refitted:
    raise InputError("this effect holds no model to refit. Ask influence.group again.")
