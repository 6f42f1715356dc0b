"""The picture of row 9: a panel for each question, drawn from the numbers of its JSON."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["picture"]


def picture(numbers: dict[str, Any]) -> Figure:
    """Six panels, in the order of the questions."""
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    _draw_groups(axes[0], numbers["groups"]["error"])
    head = numbers["head"]
    for name, colour in (("head", "tab:orange"), ("all", "tab:blue")):
        said = f"{name}: {head['against refits of all'][name]['pearson']:.3f}"
        axes[1].scatter(head["estimates"][name], head["change"], s=7, color=colour, label=said, linewidths=0)
    _diagonal(axes[1], head["change"], "head or all parameters, refits that go on")
    _draw_architectures(axes[2], numbers["architecture"])
    again = numbers["restart"]["correlation"]["estimate"]
    ways = [way for way in again if way != "estimate"]
    axes[3].bar(ways, [again[way] for way in ways], 0.6, color="tab:blue")
    axes[3].set_ylim(min(0.0, *(again[way] for way in ways)), 1.02)
    axes[3].set_title("restart or continue: correlation of refits with estimates", fontsize="small")
    few, sets = numbers["hangs on"], {"moved": "found", "largest self-influence": "self-influence", "random": "random"}
    for k, (key, said) in enumerate(sets.items()):
        axes[4].bar(np.arange(len(few)) + 0.27 * (k - 1), [100 * one[key] for one in few], 0.25, label=said)
    axes[4].set_xticks(range(len(few)), [f"{one['rows']} of {one['of']:,} rows" for one in few])
    axes[4].set_yscale("log")
    axes[4].set_title("without so few rows all predictions move (points)", fontsize="small")
    free = numbers["label-free"]
    said = f"margin: {free['checks']['margin']['pearson']:.5f}"
    axes[5].scatter(free["estimates"], free["change"], s=7, color="tab:green", label=said, linewidths=0)
    _diagonal(axes[5], free["change"], "a new input without its label")
    for one in axes:
        one.tick_params(labelsize="x-small")
    for k, place in ((0, "lower right"), (1, "upper left"), (2, "upper right"), (4, "upper left"), (5, "upper left")):
        axes[k].legend(fontsize="x-small", loc=place)
    return figure


def _draw_groups(axes: Any, error: dict[str, Any]) -> None:
    shares = list(error)
    at = [100 * float(share) for share in shares]
    for said in ("plain sum", "sum with leverage", "group Newton"):
        middle = [100 * error[share][said]["median"] for share in shares]
        band = [[100 * error[share][said][end] for share in shares] for end in ("tenth", "nine tenths")]
        (line,) = axes.plot(at, middle, marker="o", ms=3, label=said)
        axes.fill_between(
            [100 * float(share) for share in shares], *band, color=line.get_color(), alpha=0.15, linewidth=0
        )
    axes.set_yscale("log")
    axes.set_xlabel("% of the rows removed", fontsize="x-small")
    axes.set_title("groups: error against refits (%), median and 80 % of groups", fontsize="small")


def _draw_architectures(axes: Any, found: dict[str, Any]) -> None:
    seeds = {f"{name},\ntwo seeds": one for name, one in found["own seeds"].items() if "each pair" in one}
    bars = {**seeds, **{name.replace(", ", ",\n"): one for name, one in found["between"].items()}}
    axes.barh(
        list(bars), [one["rank correlation"] for one in bars.values()], color="tab:blue", label="rank correlation"
    )
    high = [(k, one["ceiling"]) for k, one in enumerate(bars.values()) if "ceiling" in one]
    axes.scatter([x for _, x in high], [k for k, _ in high], marker="|", s=300, color="black", label="ceiling by seeds")
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.set_title("the same predictions, other seeds and architectures", fontsize="small")


def _diagonal(axes: Any, truth: NDArray[Any], title: str) -> None:
    ends = [float(np.min(truth)), float(np.max(truth))]
    axes.plot(ends, ends, color="black", linewidth=0.6)
    axes.set_xlabel("estimate (log-odds)", fontsize="x-small")
    axes.set_ylabel("refit", fontsize="x-small")
    axes.set_title(title, fontsize="small")
