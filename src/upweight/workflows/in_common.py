"""What the rows that move a prediction most have in common, in a sentence; nothing where nothing holds.

Stands on slices and validation.slices; explain stands on it. Source: UX.md 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upweight.display.numbers import digits
from upweight.display.words import percent
from upweight.validation.slices import Lift, lifted
from upweight.workflows.slices import Slice, Slices

__all__ = ["LEADING", "Common", "in_common", "leading"]

LEADING = 10  # rows of each kind that are looked at
APART = 3.0  # rows that do so many times what the next does stand apart, and are looked at alone


@dataclass(frozen=True)
class Common:
    """`hits` of the `of` rows that come first on one side lie in a slice that holds `share` of all training rows."""

    side: str  # "harmful", "helpful", "raises", "lowers", or "either"
    slice: Slice
    hits: int
    of: int
    share: float
    p: float
    tried: int

    @property
    def sentence(self) -> str:
        """ "In common: 4 of the 5 most harmful rows have loop = open (12 % of all; p = 0.003, corrected for …)" """
        k = self.of
        rows = {
            "either": f"{k} most influential rows",
            "raises": f"{k} rows whose removal raises it most",
            "lowers": f"{k} rows whose removal lowers it most",
        }.get(self.side, f"{k} most {self.side} rows")
        some = f"all {rows}" if self.hits == k else f"{self.hits} of the {rows}"
        p = f"p = {digits(self.p, 1)}" if self.p > 0 else "p < 10⁻³⁰⁰"
        return (
            f"In common: {some} have {self.slice.words} ({percent(self.share)} of all; {p}, "
            f"corrected for {self.tried:,} tests)."
        )


def leading(order: Sequence[int], size: NDArray[np.float64]) -> list[int]:
    """The rows of `order`, the strongest first, that are looked at: LEADING of them, or those that stand apart.

    The cut reads how much each row does [n], never what it holds: a test of what the rows hold stays exact.
    """
    first = list(order[: LEADING + 1])
    drops = [(size[first[i - 1]] / size[first[i]], i) for i in range(2, len(first)) if size[first[i]] > 0]
    if drops and max(drops)[0] >= APART:
        return first[: max(drops)[1]]
    return first[:LEADING]


def in_common(slices: Slices, sides: Mapping[str, Sequence[int]]) -> tuple[Common, ...]:
    """What holds of the rows of each side, the clearest first; what the label alone says comes last."""
    groups = {side: list(at) for side, at in sides.items() if len(at) > 1}
    if not groups or not slices.slices:
        return ()
    label = np.asarray([one.kind == "label" for one in slices.slices])
    names = list(groups)

    def common(one: Lift) -> Common:
        return Common(names[one.group], slices.slices[one.slice], one.hits, one.of, one.share, one.p, one.tried)

    found = [common(one) for one in lifted(slices.member, list(groups.values()), slices.classes, label)]
    return tuple(sorted(found, key=lambda one: one.slice.kind == "label"))
