"""Estimates beside real refits, in words: how they compare, what noise stands under them, and the grade.

Stands on metrics, grade and display; knows neither models nor solvers. Source: METHODS.md 10, DESIGN.md 7.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upweight.display.blocks import Document, Facts, GradeView, Point, Reasons, Scatter, Section, Sentence
from upweight.display.figures import draw_agreement
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import Effect, count, number, percent, short
from upweight.validation.grade import Agreement, Grade
from upweight.validation.metrics import Comparison, settled, spearman

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Check", "Group", "Noise", "agreement", "size_rank"]


@dataclass(frozen=True, eq=False)
class Noise:
    """How far apart fits of the same rows are, and what the model's own solver says of our refits.

    `floor` [q], in the measurement's unit: |m(the model as fitted) − m(its exact optimum)|, None where there is none.
    `gap`: distance between the model's own solver and our refit on the training rows' predictions, both without the
    same tenth of the rows, as a share of what that removal does; `own`: what of it the solver's tol can explain, in
    the same unit. None where it was not run, and `reason` says why.
    """

    floor: NDArray[np.float64] | None
    gap: float | None
    own: float = 0.0
    reason: str = ""
    of: str = "own solver"  # what `reason` speaks of


@dataclass(frozen=True)
class Group:
    """Rows removed together; estimate (the sum) and refit (None: no optimum without them), averaged over queries."""

    name: str
    rows: int
    estimate: float
    refit: float | None


@dataclass(frozen=True, eq=False)
class Check:
    """Rows that were really removed: `estimate` and `refit` [q, r] in the measurement's unit, and how they agree."""

    row_ids: tuple[Any, ...]
    estimate: NDArray[np.float64]
    refit: NDArray[np.float64]
    base: NDArray[np.float64]  # [q] the measurement with all rows
    comparison: Comparison
    groups: tuple[Group, ...]
    noise: Noise
    ranking: tuple[tuple[str, float], ...]  # rank correlation with the sizes of the refits: estimates, cheap baselines
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
        """Share of the refits above the noise, and above 1 % of their query's largest, whose sign was right."""
        return self.comparison.signs

    @property
    def noise_floor(self) -> float | None:
        """How far apart fits of the same rows are, in the measurement's unit, averaged over queries."""
        return None if self.noise.floor is None else float(self.noise.floor.mean())

    def sentence(self) -> str:
        """One line: what was done and how it came out."""
        c = self.comparison
        parts = []
        if c.pearson is not None:
            parts.append(f"correlation {number(c.pearson, decimals=3)}")
        if c.signs is not None:
            parts.append(f"sign right {round(c.signs * c.counted)} of {c.counted}")
        if c.slope is not None:
            parts.append(f"real effect {number(c.slope, decimals=2)} times the estimate")
        done = f"{count(len(self.row_ids), 'row')} really removed, model refitted"
        return f"{done}: {', '.join(parts)}" if parts else done

    def plot(self, ax: Any = None) -> "Axes":
        """Refits over estimates, every query of every row removed, on y = x; returns matplotlib's axes.

        ax: axes to draw on; None: new ones. Raises: MissingExtra without matplotlib.
        """
        why = self.comparison.reasons.get("slope", "")
        title = f"slope {number(self.slope, decimals=2, reason=why)} · grade {self.grade.letter}"
        return draw_agreement(ax, self.estimate, self.refit, self.unit, title)

    def document(self) -> Document:
        """The Trust section on its own."""
        return Document("Check", grade=self.grade_view(), sections=(self.section(),))

    def grade_view(self) -> GradeView:
        """The grade as a block."""
        return GradeView(self.grade.letter, self.grade.reasons, self.grade.would_raise, self.grade.checked)  # type: ignore[arg-type]

    def section(self) -> Section:
        """Estimates against refits, the numbers with their intervals, the noise, the baselines, the grade."""
        pairs = [*self._agreement(), *self._noise(), *self._groups()]
        points = tuple(
            Point(float(e), float(t), str(row))
            for row, es, ts in zip(self.row_ids, self.estimate.T, self.refit.T, strict=True)
            for e, t in zip(es, ts, strict=True)
        )
        caption = f"estimate against real removal, {count(len(points), 'pair')}; the line is agreement"
        scatter = Scatter(caption, f"estimate ({self.unit})", f"refit ({self.unit})", points, "y = x")
        answer = Sentence(self.sentence(), strong=True)
        return Section("Trust", "trust", (answer, scatter, Facts(tuple(pairs)), Reasons(self.grade_view())))

    def _agreement(self) -> list[tuple[str, str]]:
        c = self.comparison
        signs = f"right in {{}} of {c.counted} refits above the noise and above 1 % of the largest"
        said = {
            "pearson": ("correlation", "{}", c.pearson),
            "spearman": ("ranking", "{} rank correlation", c.spearman),
            "slope": ("size", "the real effect is {} times the estimate", c.slope),
            "signs": ("sign", signs, c.signs),
        }
        out = []
        for name, (label, text, value) in said.items():
            if value is None:
                out.append((label, number(None, reason=c.reasons.get(name, ""))))
                continue
            shown = str(round(value * c.counted)) if name == "signs" else number(value, decimals=3)
            out.append((label, text.format(shown) + _between(c.intervals.get(name), name == "signs")))
        return out

    def _noise(self) -> list[tuple[str, str]]:
        typical = float(np.sqrt(np.mean(self.refit**2))) if self.refit.size else 0.0
        floor = self.noise_floor
        if floor is None:
            out = [("noise", number(None, reason="the optimum of all rows was not found"))]
        else:
            share = f", {percent(floor / typical)} of a typical refit" if typical > 0 else ""
            out = [("noise", f"the model as fitted is {number(floor, self.unit)} from its optimum{share}")]
        if self.noise.gap is not None:
            said = f"without a tenth of the rows it is {percent(self.noise.gap)} of the effect away from our refit"
            if self.noise.own > 0.01:
                said += f" (its tol can leave about {percent(self.noise.own)})"
            out.append(("own solver", said))
        else:
            out.append((self.noise.of, self.noise.reason))
        if self.ranking:
            ranks = ", ".join(f"{name} {number(value, decimals=2)}" for name, value in self.ranking)
            out.append(("who ranks", f"sizes of the refits, rank correlation: {ranks}"))
        return out

    def _groups(self) -> list[tuple[str, str]]:
        base = float(self.base.mean())
        out = []
        for group in self.groups:
            estimate, refit = (
                short(Effect(x, base, self.measurement, self.unit, reason="no optimum without them"))
                for x in (group.estimate, group.refit)
            )
            out.append((f"{group.rows} rows", f"{group.name}: estimates add up to {estimate}, refit {refit}"))
        return out

    def __repr__(self) -> str:
        return f"<Check: {self.sentence()}, grade {self.grade.letter}>"

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())


def agreement(
    comparison: Comparison,
    refit: NDArray[np.float64],
    noise: Noise,
    unfinished: int,
    shown_off: float | None,
) -> Agreement:
    """What of a comparison the grade reads; refit [q, r], `shown_off` as in Agreement."""
    return Agreement(
        pearson=comparison.pearson,
        spearman=comparison.spearman,
        slope=comparison.slope,
        signs=comparison.signs,
        rows=refit.shape[1],
        absent=tuple(dict.fromkeys(comparison.reasons.values())),
        unfinished=unfinished,
        shown_off=shown_off,
        convention_gap=noise.gap,
        own_noise=noise.own,
    )


def size_rank(size: NDArray[np.float64], refit: NDArray[np.float64]) -> float | None:
    """How well `size` [q, r] ranks the sizes of the real effects: rank correlation, averaged over queries."""
    found = [spearman(settled(s), settled(np.abs(t))) for s, t in zip(size, refit, strict=True)]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def _between(span: tuple[float, float] | None, share: bool) -> str:
    if span is None or span[0] == span[1]:
        return ""
    low, high = (percent(x) if share else number(x, decimals=3) for x in span)
    return f" (95 %: {low} to {high})"
