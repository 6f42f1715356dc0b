"""Lines of characters: wrapped, turned to ASCII, and commands that paste."""

import shlex

import pytest

from upweight.display.text import clean, command_lines, to_ascii, width_of, wrap

COMMANDS = [
    ".venv/bin/upweight explain demo/digits.csv --target label --model demo/model.skops --row 46",
    "upweight explain '/tmp/a folder/" + "x" * 90 + "/d it.csv' --target 'my label' --report \"a b.html\"",
    "upweight explain /tmp/" + "abc/" * 40 + " --row 1",
]


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("width", [20, 33, 66, 80])
def test_a_command_pastes_whatever_the_width(line: str, width: int) -> None:
    """A shell reads the lines as the one command that they were, and none is wider than asked."""
    lines = command_lines(line, width)
    assert max(map(width_of, lines)) <= width
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(line)


def test_an_option_stays_with_its_value() -> None:
    """A line never ends between --model and what it names, where there is room for both."""
    assert command_lines(COMMANDS[0], 66)[1] == "  --model demo/model.skops --row 46"


def test_wrapping_keeps_a_number_and_its_percent_sign() -> None:
    """Lines break at spaces, hanging lines are indented, and "11 %" stays whole."""
    assert wrap("it would fall 11 % at most", 16, hanging=2) == ["it would fall", "  11 % at most"]
    assert wrap("", 10) == [""]
    assert wrap("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert all(width_of(line) <= 7 for line in wrap("手書き数字の画像", 7))


def test_ascii_keeps_the_meaning() -> None:
    """Our own signs have a likeness, accents fall, other scripts are escaped rather than lost."""
    assert to_ascii("▲ ▼ ● ○ · – − × … ≤ “a”") == '^ v * o | - - x ... <= "a"'
    assert to_ascii("1.3 × 10⁻⁹ café") == "1.3 x 10^-9 cafe"
    assert to_ascii("数") == "\\u6570"


def test_clean_takes_control_characters_only() -> None:
    """What a terminal obeys becomes a space; letters of every script stay."""
    assert clean("a\x1b[31m\nb\u202ec 数é") == "a [31m b c 数é"
