"""Numbers as a reader writes them: sensible digits, thousands separators, percent, and a dash for what is absent.

Stands on nothing; words re-exports what the faces use. Source: UX.md 6.
"""

import math
from collections.abc import Sequence

__all__ = ["DASH", "absent", "among", "count", "digits", "finite", "minus", "number", "percent", "unit_of"]

DASH = "–"
_UNITS = {"logit": "logits", "nat": "nats", "probability": ""}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, unit: str = "", decimals: int | None = None, reason: str = "") -> str:
    """A number with sensible digits (three significant below a thousand), thousands separators and its unit.

    decimals fixes the digits after the point; None, NaN and infinity are a dash with the reason.
    """
    x = finite(value)
    if x is None:
        return absent(reason)
    text = digits(x, 3) if decimals is None else f"{x:,.{decimals}f}"
    if text.strip("-0.,") == "":
        text = text.lstrip("-")
    unit = unit_of(unit)
    return f"{minus(text)} {unit}".strip()


def percent(share: float | None, decimals: int | None = None, reason: str = "") -> str:
    """A share as "0.57 %", "11 %", "1,200 %": two digits below ten, none after the point above."""
    x = finite(share)
    if x is None:
        return absent(reason)
    x *= 100
    if not math.isfinite(x):
        return absent(reason or "too large")
    if decimals is not None:
        text = f"{x:,.{decimals}f}"
    elif 99.5 <= abs(x) < 100:  # never rounded up to all of it
        text = f"{math.copysign(math.floor(abs(x) * 10) / 10, x):.1f}"
    elif 0 < abs(x) < 0.001:
        return "less than 0.001 %" if x > 0 else "between −0.001 and 0 %"
    else:
        text = digits(x, 2) if abs(x) < 9.95 else digits(float(round(x)), 15)
    if text.strip("-0.,") == "":
        text = text.lstrip("-")
    return f"{minus(text)} %"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: "1 row", "1,797 rows"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def among(values: Sequence[object]) -> str:
    """A list in a sentence: "832, 678 and 247"."""
    texts = [str(v) for v in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else DASH


def absent(reason: str = "") -> str:
    """What stands in the place of a value that is not there: a dash, with its reason."""
    return f"{DASH} ({reason})" if reason else DASH


def finite(value: float | None) -> float | None:
    """The value as a float, or None where there is none."""
    return float(value) if value is not None and math.isfinite(value) else None


def unit_of(unit: str) -> str:
    """The unit as it follows a number: "logits" for "logit", nothing for a probability."""
    return _UNITS.get(unit, unit)


def digits(x: float, significant: int) -> str:
    """x with this many significant digits, every digit before the point; far below one a power of ten."""
    if x == 0:
        return "0"
    power = math.floor(math.log10(abs(x)))
    if not -6 <= power < 15:
        mantissa, power_text = f"{x:.1e}".split("e")
        return f"{mantissa} × 10{str(int(power_text)).translate(_SUPERSCRIPT)}"
    text = f"{x:,.{max(0, significant - 1 - power)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def minus(text: str) -> str:
    """A real minus sign, which the ASCII renderer turns back."""
    return "−" + text[1:] if text.startswith("-") else text
