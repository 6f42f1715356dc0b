"""A scatter as inline SVG and as characters: axes, ticks, the line to compare with, signs by shape.

Stands on blocks and words; no matplotlib, no script, presentation attributes and classes only. Source: UX.md 4.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from upweight.display.blocks import Point, Scatter
from upweight.display.text import pad, to_ascii, width_of
from upweight.display.words import count, mark, number, verdict_label

__all__ = ["Frame", "characters", "described", "frame", "svg"]

_WIDTH, _HEIGHT = 560, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 16, 36, 54
_UP, _DOWN = ("helpful", "raises"), ("harmful", "lowers")


@dataclass(frozen=True)
class Frame:
    """The finite points, the range of each axis and the ticks in it; left_out: points that are not finite."""

    points: tuple[Point, ...]
    x: tuple[float, float]
    y: tuple[float, float]
    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    left_out: int


def frame(scatter: Scatter) -> Frame:
    """Ranges that hold every finite point and the line; both axes share one range where the line is y = x."""
    shown = tuple(p for p in scatter.points if _drawable(p.x) and _drawable(p.y))
    xs, ys = [p.x for p in shown], [p.y for p in shown]
    if scatter.line == "y = x":
        xs = ys = xs + ys
    elif scatter.line == "y = 0":
        ys = [*ys, 0.0]
    x, y = _range(xs), _range(ys)
    return Frame(shown, x, y, _ticks(*x), _ticks(*y), len(scatter.points) - len(shown))


def described(scatter: Scatter) -> str:
    """The plot in words: how many points of which sign, and what was left out."""
    seen = frame(scatter)
    signs: dict[str, int] = {}
    for point in seen.points:
        if point.verdict:
            signs[verdict_label(point.verdict)] = signs.get(verdict_label(point.verdict), 0) + 1
    parts = [count(len(seen.points), "point"), *(f"{n:,} {name}" for name, n in signs.items())]
    if seen.left_out:
        parts.append(f"{count(seen.left_out, 'point')} left out (no finite value)")
    return f"{scatter.y_label} against {scatter.x_label}: {', '.join(parts)}"


def svg(scatter: Scatter, name: str) -> str:
    """The plot as one <svg>; name: unique in its page, for the title's and description's ids."""
    seen = frame(scatter)
    parts = [
        f'<svg class="uw-plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="13" '
        f'aria-labelledby="{name}-t {name}-d" xmlns="http://www.w3.org/2000/svg">',
        f'<title id="{name}-t">{escape(scatter.caption)}</title>',
        f'<desc id="{name}-d">{escape(described(scatter))}</desc>',
    ]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for tick in seen.x_ticks:
        at = _f(_place(tick, seen.x, _LEFT, right))
        parts.append(f'<line class="uw-grid" stroke="#d8d8d2" x1="{at}" y1="{_TOP}" x2="{at}" y2="{bottom}"/>')
        parts.append(f'<text x="{at}" y="{bottom + 20}" text-anchor="middle">{_tick(tick, seen.x_ticks)}</text>')
    for tick in seen.y_ticks:
        y = _place(tick, seen.y, bottom, _TOP)
        parts.append(f'<line class="uw-grid" stroke="#d8d8d2" x1="{_LEFT}" y1="{_f(y)}" x2="{right}" y2="{_f(y)}"/>')
        text = _tick(tick, seen.y_ticks)
        parts.append(f'<text x="{_LEFT - 8}" y="{_f(y + 4)}" text-anchor="end">{text}</text>')
    parts.append(f'<path class="uw-axis" fill="none" stroke="#5b5b57" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>')
    if scatter.line:
        start, end = seen.x if scatter.line == "y = x" else (0.0, 0.0)
        y1, y2 = (_f(_place(v, seen.y, bottom, _TOP)) for v in (start, end))
        parts.append(
            f'<line class="uw-line" stroke="#1c1c1a" stroke-dasharray="5 4" '
            f'x1="{_LEFT}" y1="{y1}" x2="{right}" y2="{y2}"/>'
        )
    for point in seen.points:
        x, y = _place(point.x, seen.x, _LEFT, right), _place(point.y, seen.y, bottom, _TOP)
        parts.append(_svg_point(point, x, y))
    across = (_LEFT + right) // 2
    parts.append(f'<text x="{across}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(scatter.x_label)}</text>')
    parts.append(f'<text x="4" y="18">{escape(scatter.y_label)}</text></svg>')
    return "".join(parts)


def characters(scatter: Scatter, width: int, height: int = 12, unicode: bool = True) -> list[str]:
    """The plot as lines of at most `width` cells: ▲ ▼ ● on a frame with the ends of both axes."""
    seen = frame(scatter)
    ends = [_plain(v, unicode) for v in (seen.y[1], seen.y[0])]
    margin = max(width_of(end) for end in ends) + 1
    across = max(width - margin - 1, 8)
    grid = [[" "] * across for _ in range(height)]
    for column in range(across) if scatter.line else ():
        value = seen.x[0] + (seen.x[1] - seen.x[0]) * column / (across - 1) if scatter.line == "y = x" else 0.0
        grid[round(_place(value, seen.y, height - 1, 0))][column] = "·" if unicode else "."
    for point in seen.points:
        shape = _shape(point, unicode)
        grid[round(_place(point.y, seen.y, height - 1, 0))][round(_place(point.x, seen.x, 0, across - 1))] = shape
    labels = [ends[0], *[""] * (height - 2), ends[1]]
    lines = [f"{pad(label, margin, 'right')}|{''.join(row)}".rstrip() for label, row in zip(labels, grid, strict=True)]
    low, high = (_plain(v, unicode) for v in seen.x)
    space = max(1, across - width_of(low) - width_of(high))
    return [*lines, " " * margin + "+" + "-" * across, " " * (margin + 1) + low + " " * space + high]


def _shape(point: Point, unicode: bool) -> str:
    """The character of a point."""
    if point.verdict in _UP + _DOWN:
        return mark(point.verdict, unicode)
    return "●" if unicode else "*"


def _plain(value: float, unicode: bool) -> str:
    """A number for the end of an axis."""
    return number(value) if unicode else to_ascii(number(value))


def _svg_point(point: Point, x: float, y: float) -> str:
    """One point with its name: ▲ ▼ by sign, else a circle."""
    words = [f"row {point.id}" if point.id else "", verdict_label(point.verdict) if point.verdict else ""]
    title = f"<title>{escape(', '.join(w for w in words if w))}</title>" if any(words) else ""
    if point.verdict in _UP:
        return f'<path class="uw-up" fill="#0b63a5" d="M{_f(x)} {_f(y - 6)}l5.5 10h-11z">{title}</path>'
    if point.verdict in _DOWN:
        return f'<path class="uw-down" fill="#b84a00" d="M{_f(x)} {_f(y + 6)}l-5.5 -10h11z">{title}</path>'
    place = f'cx="{_f(x)}" cy="{_f(y)}" r="4.5"'
    return f'<circle class="uw-dot" fill="none" stroke="#5b5b57" stroke-width="1.5" {place}>{title}</circle>'


def _drawable(value: float) -> bool:
    """Finite, and far enough from overflow that a range can hold it."""
    return math.isfinite(value) and abs(value) < 1e300


def _range(values: Iterable[float]) -> tuple[float, float]:
    """The least and the greatest with a margin; something wide where there is one value or none."""
    seen = list(values) or [0.0, 1.0]
    low, high = min(seen), max(seen)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def _ticks(low: float, high: float, about: int = 5) -> tuple[float, ...]:
    """Round numbers (1, 2, 5 times a power of ten) inside the range."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough)
    return tuple(i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1))


def _tick(value: float, ticks: tuple[float, ...]) -> str:
    """A tick's number, with the digits that tell it from its neighbours."""
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else abs(value)
    if step <= 0 or not 1e-6 <= step < 1e9:
        return number(value)
    return number(value, decimals=max(0, -math.floor(math.log10(step) + 1e-9)))


def _place(value: float, span: tuple[float, float], start: float, end: float) -> float:
    """Where a value stands between the two ends of an axis."""
    return start + (end - start) * min(max((value - span[0]) / (span[1] - span[0]), 0.0), 1.0)


def _f(x: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{x:.1f}".removesuffix(".0")
