"""Answers as matplotlib axes: influence against distance, estimates against refits, a row's features.

Stands on words; `plot` of scores, checks and features stands on it. The one file that imports matplotlib, when it
draws. Source: the Display convention of scikit-learn; colours: UX.md 5, signs by shape as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upweight.display.words import Verdict, verdict_label
from upweight.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Sides", "draw_agreement", "draw_features", "draw_influence", "draw_two"]

UP, DOWN, PLAIN = "#0B63A5", "#B84A00", "#5B5B57"
MANY = 3000  # points past which a vector file would be slow to open: they are drawn as a picture in it


@dataclass(frozen=True)
class Sides:
    """What rows of positive and of negative score are called: ("helpful", "harmful") for a loss."""

    positive: Verdict
    negative: Verdict


def draw_influence(
    ax: Any,
    distance: NDArray[np.float64] | None,
    values: NDArray[np.float64],
    sides: Sides,
    x_label: str,
    y_label: str,
    title: str,
) -> "Axes":
    """Scores [n] over distance [n], each row a ▲ or ▼; distance None: over the rank of the row, the largest first."""
    axes = _axes(ax)
    if distance is None:
        rank = np.empty(len(values))
        rank[np.argsort(-np.abs(values), kind="stable")] = np.arange(1, len(values) + 1)
        distance = rank
    axes.axhline(0.0, color=PLAIN, linewidth=0.8, linestyle=(0, (5, 4)), zorder=1)
    parts: tuple[tuple[Verdict, NDArray[np.bool_]], ...] = (
        (sides.positive, values > 0),
        (sides.negative, values < 0),
        ("no effect", values == 0),
    )
    for verdict, at in parts:
        if not at.any():
            continue
        marker, color = _marker(verdict)
        axes.scatter(
            distance[at],
            values[at],
            marker=marker,
            c=color,
            s=26,
            alpha=1.0 if len(values) <= 200 else 0.6,
            linewidths=0,
            label=f"{verdict_label(verdict)} ({int(at.sum()):,})",
            rasterized=len(values) > MANY,
        )
    axes.set(xlabel=_plain(x_label), ylabel=_plain(y_label), title=_plain(title))
    axes.legend(frameon=False, fontsize="small")
    return axes


def draw_agreement(ax: Any, estimate: NDArray[np.float64], refit: NDArray[np.float64], unit: str, title: str) -> "Axes":
    """Real removals over estimates, both in `unit`, on the line where they are equal; both axes have one scale."""
    axes = _axes(ax)
    x, y = estimate.ravel(), refit.ravel()
    ends = np.array([0.0, 0.0])
    if len(x):
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        room = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
        ends = np.array([low - room, high + room])
        axes.set(xlim=ends, ylim=ends)
    axes.plot(ends, ends, color=PLAIN, linewidth=0.8, linestyle=(0, (5, 4)), label="y = x", zorder=1)
    axes.scatter(x, y, s=26, facecolors="none", edgecolors=UP, rasterized=len(x) > MANY)
    axes.set(xlabel=_plain(f"estimate ({unit})"), ylabel=_plain(f"refit ({unit})"), title=_plain(title))
    axes.set_aspect("equal", adjustable="box")
    axes.legend(frameon=False, fontsize="small")
    return axes


def draw_two(
    ax: Any,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    other: NDArray[np.bool_] | None,
    x_label: str,
    y_label: str,
    title: str,
) -> "Axes":
    """Two models' influence [n] of the same rows: each row a circle, where it is of another class [n] a triangle."""
    axes = _axes(ax)
    axes.axhline(0.0, color=PLAIN, linewidth=0.8, linestyle=(0, (5, 4)), zorder=1)
    axes.axvline(0.0, color=PLAIN, linewidth=0.8, linestyle=(0, (5, 4)), zorder=1)
    same = np.ones(len(x), dtype=bool) if other is None else ~other
    parts = (("rows" if other is None else "same class", same, "o", UP), ("another class", ~same, "v", DOWN))
    for label, at, marker, color in parts:
        if at.any():
            axes.scatter(
                x[at], y[at], marker=marker, c=color, s=26, alpha=0.7, linewidths=0, rasterized=len(x) > MANY,
                label=f"{label} ({int(at.sum()):,})",
            )  # fmt: skip
    axes.set(xlabel=_plain(x_label), ylabel=_plain(y_label), title=_plain(title))
    axes.legend(frameon=False, fontsize="small")
    return axes


def draw_features(ax: Any, names: Sequence[str], effects: NDArray[np.float64], x_label: str, title: str) -> "Axes":
    """One bar a feature, the first on top; a bar's side, colour and mark (▲ ▼) say the sign.

    Raises: InputError where there is no feature to draw.
    """
    if not len(names):
        raise InputError("there is no feature to draw: none has an effect.")
    axes = _axes(ax)
    at = np.arange(len(names))
    axes.barh(at, effects, color=[UP if value > 0 else DOWN for value in effects], height=0.7)
    for i, value in enumerate(effects):
        axes.annotate(
            "▲" if value > 0 else "▼",
            (float(value), float(i)),
            xytext=(4 if value > 0 else -4, 0),
            textcoords="offset points",
            ha="left" if value > 0 else "right",
            va="center",
            color=UP if value > 0 else DOWN,
            fontsize="small",
        )
    axes.axvline(0.0, color=PLAIN, linewidth=0.8)
    axes.set_yticks(at, labels=[_plain(str(name)) for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel=_plain(x_label), title=_plain(title))
    return axes


def _axes(ax: Any) -> "Axes":
    """The axes given, or new ones.

    Raises: MissingExtra without matplotlib.
    """
    if ax is not None:
        axes: Axes = ax
        return axes
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtra('plotting needs matplotlib: pip install "upweight[plot]"') from error
    _, made = pyplot.subplots(layout="constrained")
    return made


def _marker(verdict: Verdict) -> tuple[str, str]:
    if verdict in ("helpful", "raises"):
        return "^", UP
    return ("v", DOWN) if verdict in ("harmful", "lowers") else ("o", PLAIN)


def _plain(text: str) -> str:
    """A column may be called "price_$": matplotlib would read what stands between two of these as a formula."""
    return text.replace("$", r"\$")
