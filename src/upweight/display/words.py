"""The one place where a number becomes a sentence: signs, units, digits and the words of every face.

Stands on numbers, and re-exports what the faces use; blocks, both renderers and every face stand on it.
Source: UX.md 6, DESIGN.md 2.
"""

import math
from dataclasses import dataclass
from typing import Literal

from upweight.display.numbers import DASH, absent, among, count, digits, finite, minus, number, percent, unit_of

__all__ = [
    "CHECKED_B",
    "DASH",
    "GRADES",
    "Effect",
    "Verdict",
    "absent",
    "among",
    "count",
    "group_title",
    "mark",
    "measured",
    "number",
    "percent",
    "sentence",
    "short",
    "size",
    "verdict",
    "verdict_label",
]

Verdict = Literal["helpful", "harmful", "raises", "lowers", "no effect", "unknown"]

GRADES = {
    "A": "checked against refits and agrees",
    "B": "signals fine, not refitted",
    "C": "signs of trouble, ranks only",
    "D": "do not act on this",
}
CHECKED_B = "refits agree, less closely than an A asks"
_MEASUREMENTS = {
    "loss": "the loss",
    "log_prob": "the log-probability",
    "prob": "the probability",
    "margin": "the margin",
    "prediction": "the prediction",
    "parameter": "the parameter",
}
_WHERE = {"loss": "on this prediction", "log_prob": "of this label", "prob": "of this label"}
_NOTHING = 1e-12  # a change this small beside the measurement is rounding of a float64 solve
_READABLE = 1e15  # past this a number is a power of ten
_LARGEST_SHARE = 10.0  # past 1,000 % a share of the measurement says less than the two values


@dataclass(frozen=True)
class Effect:
    """What would happen to a measurement without the row or rows, in the measurement's own unit.

    change: value after the removal minus value now (DESIGN.md 2), or None where it could not be computed;
    base: the value now; better: which way is good, None where neither is; reason: why change is absent.
    """

    change: float | None
    base: float | None = None
    measurement: str = "loss"
    unit: str = "nats"
    better: Literal["lower", "higher"] | None = "lower"
    reason: str = ""


def verdict(effect: Effect) -> Verdict:
    """What the row does (helpful, harmful); where neither way is better, what its removal does (raises, lowers).

    Sign: change > 0 is helpful where lower is better, harmful where higher is better, else "raises".
    """
    change = finite(effect.change)
    if change is None:
        return "unknown"
    base = finite(effect.base)
    if change == 0 or (base is not None and abs(change) <= _NOTHING * abs(base)):
        return "no effect"
    if effect.better is None:
        return "raises" if change > 0 else "lowers"
    return "helpful" if (change > 0) == (effect.better == "lower") else "harmful"


def verdict_label(value: Verdict) -> str:
    """The verdict as it is shown; "raises" says that the removal does so, never the row."""
    return {"raises": "removal raises", "lowers": "removal lowers", "unknown": "not known"}.get(value, value)


def mark(value: Verdict, unicode: bool = True) -> str:
    """The shape of a sign: ▲ for helpful and raises, ▼ for harmful and lowers (^ and v in ASCII)."""
    shapes = {
        "helpful": "▲^",
        "raises": "▲^",
        "harmful": "▼v",
        "lowers": "▼v",
        "no effect": "·.",
        "unknown": "–-",
    }
    return shapes[value][0 if unicode else 1]


def sentence(effect: Effect, rows: str = "this row", where: str | None = None, doing: str = "removing") -> str:
    """The whole sentence: what the removal would do to what, by how much, and what that makes of the row.

    where: what the measurement is taken on; None: the measurement's usual words ("on this prediction"). doing: what is
    done to the rows.
    """
    name = effect.measurement
    place = _WHERE.get(name, "") if where is None else where
    what = f"{measured(name)} {place}".strip()
    value = verdict(effect)
    if value == "unknown":
        return f"what {doing} {rows} would do to {what} is not known{_because(effect.reason)}"
    if value == "no effect":
        return f"{doing} {rows} would leave {what} as it is: no effect"
    change = effect.change or 0.0
    end = f": {value}" if value in ("helpful", "harmful") else ""
    beside = _beside(effect)
    return f"{doing} {rows} would {_verb(change)[0]} {what} by {_size(effect)}{beside}{end}"


def short(effect: Effect) -> str:
    """The change in two or three words, to follow "without it the loss would": "fall 11 %", "rise 0.4 mg"."""
    value = verdict(effect)
    if value == "unknown":
        return absent(effect.reason)
    if value == "no effect":
        return "stay the same"
    return f"{_verb(effect.change or 0.0)[1]} {size(effect)}"


def size(effect: Effect) -> str:
    """How far the measurement would move, without the direction: "11 %", "3.1 points", "0.4 mg"."""
    value = verdict(effect)
    if value in ("unknown", "no effect"):
        return absent(effect.reason) if value == "unknown" else "nothing"
    share = _share(effect) if effect.measurement == "loss" else None
    return percent(share) if share is not None else _size(effect).replace("percentage points", "points")


def group_title(
    value: Verdict,
    measurement: str = "loss",
    rows: str = "it",
    where: str = "here",
    better: Literal["lower", "higher"] | None = None,
) -> str:
    """The heading of a list of rows: "harmful: without it the loss here would fall".

    better: which way is good; None: the measurement's own (lower for the loss, higher for the rest).
    Raises: ValueError for a verdict that heads no list.
    """
    if value not in ("helpful", "harmful", "raises", "lowers"):
        raise ValueError(f"no list is headed by {value!r}. Use 'helpful', 'harmful', 'raises' or 'lowers'.")
    good = better or ("lower" if measurement == "loss" else "higher")
    rises = value == "raises" or (value == "helpful" and good == "lower") or (value == "harmful" and good == "higher")
    what = f"{measured(measurement)} {where}".strip()
    start = f"{value}: " if value in ("helpful", "harmful") else ""
    return f"{start}without {rows} {what} would {'rise' if rises else 'fall'}"


def measured(measurement: str) -> str:
    """The measurement with its article: "the loss", "the parameter bmi"; a callable keeps its own name."""
    kind, _, name = measurement.partition(":")
    if kind in _MEASUREMENTS:
        return f"{_MEASUREMENTS[kind]} {name}".strip()
    return measurement.strip("<>") or "the measurement"


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def _verb(change: float) -> tuple[str, str]:
    """What a removal does, and what the measurement does: ("lower", "fall")."""
    return ("raise", "rise") if change > 0 else ("lower", "fall")


def _share(effect: Effect) -> float | None:
    """|change| as a share of |base|, where that says something."""
    change, base = finite(effect.change), finite(effect.base)
    if change is None or not base:
        return None
    share = abs(change / base)
    return share if share <= _LARGEST_SHARE else None


def _size(effect: Effect) -> str:
    """|change| with its unit; a probability moves by percentage points."""
    size = abs(effect.change or 0.0)
    if effect.measurement == "prob" or effect.unit == "probability":
        return percent(size).removesuffix(" %") + " percentage points"
    unit = unit_of(effect.unit)
    return f"{digits(size, 2)} {unit}".strip()


def _beside(effect: Effect) -> str:
    """The change put beside the measurement: a share of a loss, else the two values."""
    change, base, share = finite(effect.change), finite(effect.base), _share(effect)
    if change is None or base is None:
        return ""
    if effect.measurement == "loss" and share is not None:
        return f" ({percent(share)})"
    scale = 100.0 if effect.measurement == "prob" or effect.unit == "probability" else 1.0
    values = (scale * base, scale * (base + change))
    if max(map(abs, values)) >= _READABLE or (scale > 1 and not 0 <= values[1] <= 100):
        return ""  # an estimate may leave the range that the measurement has
    decimals = max(0, 1 - math.floor(math.log10(abs(change) * scale)))
    if decimals > 6:  # the two values would read the same
        return f" ({percent(share)} of it)" if share is not None else ""
    before, after = (minus(f"{x:,.{decimals}f}") for x in values)
    unit = "%" if scale > 1 else unit_of(effect.unit)
    return f" (from {before} to {after} {unit}".rstrip() + ")"
