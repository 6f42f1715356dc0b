"""Estimates beside real refits: which rows are removed, how they compare, and what noise stands under it.

Stands on metrics and grade; knows neither models nor solvers: it is handed estimates and a function that refits.
Source: METHODS.md 10, DESIGN.md 7.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.display.blocks import Document, Facts, GradeView, Point, Reasons, Scatter, Section, Sentence
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import count, number, percent, short
from upweight.display.words import Effect as _Effect
from upweight.validation.grade import Agreement, Grade
from upweight.validation.metrics import Comparison, compare_with_refits, spearman

__all__ = ["Check", "Noise", "agreement", "stratified", "stratified_groups"]


@dataclass(frozen=True)
class Noise:
    """How much refits of the same data differ, in the measurement's unit, and what the model's own solver says.

    `floor`: typical |m(the model as fitted) − m(its exact optimum)|. `convention_gap`: relative distance between the
    model's own solver and our refit, both without the same group of rows; None where it was not run, with `reason`.
    """

    floor: float
    convention_gap: float | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Check:
    """Rows that were really removed: `estimate` and `refit` [q, r] in the measurement's unit, and how they agree."""

    row_ids: tuple[Any, ...]
    estimate: NDArray[np.float64]
    refit: NDArray[np.float64]
    comparison: Comparison
    groups: tuple[tuple[int, float, float], ...]  # (rows in the group, summed estimate, refit), averaged over queries
    noise: Noise
    baseline: float | None  # rank correlation of a cheap ranking (similarity of the rows) with the refits' size
    unfinished: int
    measurement: str
    unit: str
    grade: Grade

    @property
    def pearson(self) -> float | None:
        """Correlation of estimates and refits."""
        return self.comparison.pearson

    @property
    def spearman(self) -> float | None:
        """Rank correlation."""
        return self.comparison.spearman

    @property
    def slope(self) -> float | None:
        """refit = slope × estimate."""
        return self.comparison.slope

    @property
    def signs(self) -> float | None:
        """Share of refits above the noise floor whose sign was estimated right."""
        return self.comparison.signs

    def sentence(self) -> str:
        """One line: what was done and how it came out."""
        c = self.comparison
        parts = [f"{count(len(self.row_ids), 'row')} really removed, model refitted"]
        if c.pearson is not None:
            parts.append(f"correlation {number(c.pearson, decimals=3)}")
        if c.signs is not None:
            counted = int(np.sum(np.abs(self.refit) > self.noise.floor))
            parts.append(f"sign right {round(c.signs * counted)} of {counted}")
        if c.slope is not None:
            parts.append(f"real effect {number(c.slope, decimals=2)} times the estimate")
        return parts[0] + (": " + ", ".join(parts[1:]) if len(parts) > 1 else "")

    def document(self) -> Document:
        """The Trust section on its own."""
        return Document("Check", self.sentence(), grade=self.grade_view(), sections=(self.section(),))

    def grade_view(self) -> GradeView:
        """The grade as a block."""
        return GradeView(self.grade.letter, self.grade.reasons, self.grade.would_raise, self.grade.checked)  # type: ignore[arg-type]

    def section(self) -> Section:
        """Estimates against refits, the numbers with their intervals, the noise floor, the baseline, the grade."""
        c = self.comparison
        pairs = []
        for name, value in (("correlation", c.pearson), ("rank", c.spearman), ("slope", c.slope), ("signs", c.signs)):
            key = {"correlation": "pearson", "rank": "spearman"}.get(name, name)
            span = c.intervals.get(key)
            between = f"  (95 %: {number(span[0], decimals=3)} to {number(span[1], decimals=3)})" if span else ""
            pairs.append((name, number(value, decimals=3, reason="no spread") + between))
        pairs.append(("noise floor", number(self.noise.floor, self.unit) + ", how much two refits of the same data differ"))
        if self.noise.convention_gap is not None:
            gap = f"{percent(self.noise.convention_gap)} apart from ours without the same group of rows"
            pairs.append(("own solver", gap))
        elif self.noise.reason:
            pairs.append(("own solver", self.noise.reason))
        if self.baseline is not None:
            said = f"similarity of rows alone ranks the refits' size with {number(self.baseline, decimals=2)}"
            pairs.append(("baseline", said))
        for size, estimate, refit in self.groups:
            words = [short(_Effect(x, None, self.measurement, self.unit)) for x in (estimate, refit)]
            pairs.append((f"group of {size}", f"estimate {words[0]}, refit {words[1]}"))
        points = tuple(
            Point(float(e), float(t), str(row))
            for row, es, ts in zip(self.row_ids, self.estimate.T, self.refit.T, strict=True)
            for e, t in zip(es, ts, strict=True)
        )
        caption = f"estimate against real removal, {count(len(points), 'pair')}; the line is agreement"
        scatter = Scatter(caption, f"estimate ({self.unit})", f"refit ({self.unit})", points, "y = x")
        return Section("Trust", "trust", (Sentence(self.sentence(), strong=True), scatter, Facts(tuple(pairs)), Reasons(self.grade_view())))

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())


def stratified(values: NDArray[np.float64], rows: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Positions of rows to remove: a third of the largest, a sixth of the smallest, the rest at random; ascending."""
    n = values.shape[1]
    if n <= rows:
        return np.arange(n)
    order = np.argsort(-np.abs(values).sum(axis=0), kind="stable")
    top, bottom = order[: -(-rows // 3)], order[n - rows // 6 :]
    rest = np.setdiff1d(order, np.concatenate([top, bottom]))
    drawn = generator.choice(rest, size=rows - len(top) - len(bottom), replace=False)
    return np.sort(np.concatenate([top, bottom, drawn]))


def stratified_groups(values: NDArray[np.float64], generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Three groups to remove whole: the most harmful hundredth, the most helpful, and a random one."""
    n = values.shape[1]
    size = max(2, n // 100)
    if n < 4 * size:
        return []
    order = np.argsort(values.sum(axis=0), kind="stable")
    return [order[:size], order[n - size :], generator.choice(n, size=size, replace=False)]


def agreement(
    estimate: NDArray[np.float64], refit: NDArray[np.float64], noise: Noise, generator: np.random.Generator, unfinished: int
) -> tuple[Comparison, Agreement]:
    """The comparison, and what of it the grade reads."""
    comparison = compare_with_refits(estimate, refit, noise.floor, generator)
    typical = float(np.sqrt(np.mean(refit**2))) if refit.size else 0.0
    enough = None not in (comparison.pearson, comparison.spearman, comparison.slope)
    return comparison, Agreement(
        pearson=comparison.pearson or 0.0,
        spearman=comparison.spearman or 0.0,
        slope=comparison.slope or 0.0,
        signs=1.0 if comparison.signs is None else comparison.signs,
        pairs=comparison.pairs if enough else 0,
        unfinished=unfinished,
        convention_gap=noise.convention_gap,
        noise=noise.floor / typical if typical > 0 else 0.0,
    )


def size_rank(similarity: NDArray[np.float64], refit: NDArray[np.float64]) -> float | None:
    """How well a cheap similarity [q, r] ranks the size of the real effects."""
    return spearman(similarity.ravel(), np.abs(refit).ravel()) if refit.size > 2 else None


Refit = Callable[[Sequence[Sequence[int]]], tuple[NDArray[np.float64], NDArray[np.bool_]]]
