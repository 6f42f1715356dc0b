"""Scatters: shapes by sign, an honest frame, and every point accounted for."""

import math
import xml.etree.ElementTree as ElementTree

import pytest

from upweight.display.blocks import Point, Scatter
from upweight.display.plots import characters, described, frame, svg

POINTS = (
    Point(0.1, 0.11, "7", "helpful"),
    Point(-0.2, -0.19, "5", "harmful"),
    Point(0.0, 0.01, "6"),
    Point(math.nan, 0.3, "0"),
    Point(0.3, math.inf, "1"),
)
SCATTER = Scatter("Estimate against refit", "refit", "estimate", POINTS, "y = x")
NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_shapes_carry_the_sign() -> None:
    """One ▲, one ▼, one circle with their rows' names; title and description; no style attribute."""
    root = ElementTree.fromstring(svg(SCATTER, "p"))
    shapes = {element.get("class"): element for element in root.iter() if element.get("class")}
    assert shapes["uw-up"].find(f"{NAMESPACE}title").text == "row 7, helpful"
    assert shapes["uw-down"].find(f"{NAMESPACE}title").text == "row 5, harmful"
    assert shapes["uw-dot"].tag == f"{NAMESPACE}circle"
    assert root.get("aria-labelledby") == "p-t p-d"
    assert root.find(f"{NAMESPACE}title").text == "Estimate against refit"
    assert not any("style" in element.attrib for element in root.iter())


def test_the_line_is_where_both_axes_agree() -> None:
    """With y = x both axes have one range, so that the line runs from corner to corner."""
    seen = frame(SCATTER)
    assert seen.x == seen.y
    line = next(e for e in ElementTree.fromstring(svg(SCATTER, "p")).iter() if e.get("class") == "uw-line")
    assert (line.get("x1"), line.get("y1"), line.get("x2"), line.get("y2")) == ("84", "346", "544", "36")


def test_points_without_a_place_are_counted() -> None:
    """Nothing is dropped in silence."""
    assert described(SCATTER) == (
        "estimate against refit: 3 points, 1 helpful, 1 harmful, 2 points left out (no finite value)"
    )


@pytest.mark.parametrize("values", [(), (0.0,), (3.0, 3.0), (1e-300, 2e-300), (-1e299, 1e299), (1e16, 1e16 + 2)])
@pytest.mark.parametrize("line", ["y = x", "y = 0", None])
def test_any_range_can_be_drawn(values: tuple[float, ...], line) -> None:
    """No point, one, equal or extreme ones: both drawings hold, and no coordinate is nan or inf."""
    scatter = Scatter("c", "x", "y", tuple(Point(v, v) for v in values), line)
    drawn = svg(scatter, "p")
    ElementTree.fromstring(drawn)
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert all(len(text) <= 60 for text in characters(scatter, 60))


def test_characters_show_points_over_the_line() -> None:
    """▲ ▼ ● in a frame, in ASCII ^ v *; every line within the width."""
    text = "\n".join(characters(SCATTER, 50))
    assert {"▲", "▼", "●", "·"} <= set(text)
    plain = "\n".join(characters(SCATTER, 50, unicode=False))
    assert plain.isascii()
    assert {"^", "v", "*", "."} <= set(plain)
