"""Numbers become the right words: sign, unit, digits, and a dash where there is none."""

import math
from itertools import product

import pytest

from upweight.display.words import (
    GRADES,
    Effect,
    among,
    count,
    group_title,
    mark,
    number,
    percent,
    sentence,
    short,
    size,
    verdict,
    verdict_label,
)

MEASUREMENTS = [
    ("loss", "nats"),
    ("log_prob", "nats"),
    ("prob", "probability"),
    ("margin", "logit"),
    ("prediction", "mg"),
    ("parameter:bmi", ""),
    ("auroc", ""),
]
VERDICTS = {
    ("lower", True): "helpful",
    ("lower", False): "harmful",
    ("higher", True): "harmful",
    ("higher", False): "helpful",
    (None, True): "raises",
    (None, False): "lowers",
}


@pytest.mark.parametrize(("measurement", "unit"), MEASUREMENTS)
@pytest.mark.parametrize(("better", "rises"), VERDICTS)
def test_verdict_follows_the_sign_and_what_is_better(measurement: str, unit: str, better, rises: bool) -> None:
    """change > 0 is helpful where lower is better, harmful where higher is; verb, mark and verdict agree."""
    effect = Effect(0.031 if rises else -0.031, 0.28, measurement, unit, better)
    value = verdict(effect)
    assert value == VERDICTS[better, rises]
    said = sentence(effect)
    assert f"would {'raise' if rises else 'lower'} the" in said.replace("auroc", "the auroc")
    assert short(effect).startswith("rise " if rises else "fall ")
    assert said.endswith(f": {value}") == (better is not None)
    assert mark(value) == ("▲" if value in ("helpful", "raises") else "▼")
    assert mark(value, unicode=False) == ("^" if value in ("helpful", "raises") else "v")


@pytest.mark.parametrize(
    ("effect", "said", "brief"),
    [
        (
            Effect(-0.031, 0.28),
            "removing this row would lower the loss on this prediction by 0.031 nats (11 %): harmful",
            "fall 11 %",
        ),
        (
            Effect(0.00089, 0.156),
            "removing this row would raise the loss on this prediction by 0.00089 nats (0.57 %): helpful",
            "rise 0.57 %",
        ),
        (
            Effect(1e-7, 0.156),
            "removing this row would raise the loss on this prediction by 1.0 × 10⁻⁷ nats (less than 0.001 %): helpful",
            "rise less than 0.001 %",
        ),
        (
            Effect(-0.031, 0.61, "prob", "probability", "higher"),
            "removing this row would lower the probability of this label by 3.1 percentage points "
            "(from 61.0 to 57.9 %): helpful",
            "fall 3.1 points",
        ),
        (
            Effect(0.411, -0.348, "margin", "logit", "higher"),
            "removing this row would raise the margin by 0.41 logits (from −0.35 to 0.06 logits): harmful",
            "rise 0.41 logits",
        ),
        (
            Effect(3.1, 152.0, "prediction", "mg", None),
            "removing this row would raise the prediction by 3.1 mg (from 152.0 to 155.1 mg)",
            "rise 3.1 mg",
        ),
        (
            Effect(-310.0, 15213.0, "parameter:bmi", "", None),
            "removing this row would lower the parameter bmi by 310 (from 15,213 to 14,903)",
            "fall 310",
        ),
        (
            Effect(-120.0, 3021.0, "loss", "mg²"),
            "removing this row would lower the loss on this prediction by 120 mg² (4 %): harmful",
            "fall 4 %",
        ),
    ],
)
def test_sentences_in_full(effect: Effect, said: str, brief: str) -> None:
    """Number, unit, what it is beside the measurement, and the verdict, in words that are fixed."""
    assert sentence(effect) == said
    assert short(effect) == brief
    assert size(effect) == brief.split(" ", 1)[1]


def test_removal_is_what_raises_never_the_row() -> None:
    """Where neither way is better, the label says that the removal raises it, so that no sign can be misread."""
    assert verdict_label("raises") == "removal raises"
    assert verdict_label("harmful") == "harmful"
    assert group_title("raises", "prediction") == "without it the prediction here would rise"


def test_group_titles_agree_with_verdicts() -> None:
    """A list of harmful rows is one whose removal lowers a loss, or raises what should be high."""
    assert group_title("harmful") == "harmful: without it the loss here would fall"
    assert group_title("helpful") == "helpful: without it the loss here would rise"
    assert group_title("harmful", "margin") == "harmful: without it the margin here would rise"
    assert group_title("helpful", "gap", better="lower") == "helpful: without it gap here would rise"
    with pytest.raises(ValueError, match="no list is headed by 'no effect'"):
        group_title("no effect")


def test_absent_effects_keep_their_reason() -> None:
    """A change that is not there is a dash with its reason, never NaN; an exact zero is no effect."""
    for nothing in (None, math.nan, math.inf):
        effect = Effect(nothing, 0.3, reason="no refit after load")
        assert verdict(effect) == "unknown"
        assert short(effect) == "– (no refit after load)"
        assert "is not known (no refit after load)" in sentence(effect)
    assert verdict(Effect(0.0, 0.3)) == "no effect"
    assert verdict(Effect(1e-17, 0.3)) == "no effect"
    assert sentence(Effect(0.0, 0.3)).endswith("as it is: no effect")
    assert short(Effect(0.0)) == "stay the same"


def test_an_estimate_out_of_range_shows_no_impossible_value() -> None:
    """A probability estimated past one is given as a change alone."""
    assert "from" not in sentence(Effect(0.9, 0.61, "prob", "probability", "higher"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (1234.5678, "1,235"),
        (1234567, "1,234,567"),
        (0.156, "0.156"),
        (0.00031, "0.00031"),
        (-2, "−2"),
        (1.3e-9, "1.3 × 10⁻⁹"),
        (5e-324, "4.9 × 10⁻³²⁴"),
        (1.7e300, "1.7 × 10³⁰⁰"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    """Three digits that count, separators for thousands, a power of ten where nothing else is readable."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0057, "0.57 %"),
        (0.11, "11 %"),
        (0.0996, "10 %"),
        (0.9999, "99.9 %"),
        (1, "100 %"),
        (12.3, "1,230 %"),
        (1e-9, "less than 0.001 %"),
        (-0.04, "−4 %"),
        (1e307, "– (too large)"),
        (None, "–"),
    ],
)
def test_percent(share: float | None, text: str) -> None:
    """One space, two digits below ten, never rounded up to all of it."""
    assert percent(share) == text
    assert percent(0.969, decimals=1) == "96.9 %"


def test_counts_lists_and_units() -> None:
    """Singular and plural, thousands, lists as they are read."""
    assert count(1, "row") == "1 row"
    assert count(1797, "row") == "1,797 rows"
    assert count(2, "class", "classes") == "2 classes"
    assert among([832]) == "832"
    assert among([832, 678, 247]) == "832, 678 and 247"
    assert number(0.25, "logit") == "0.25 logits"
    assert number(None, "mg", reason="not refitted") == "– (not refitted)"


@pytest.mark.parametrize("better", ["lower", "higher", None])
def test_no_sentence_holds_nan_inf_or_none(better) -> None:
    """Whatever comes in, no face prints nan, inf or None."""
    values = [None, math.nan, math.inf, -math.inf, 0.0, 5e-324, -1e-12, 0.3, -7.0, 1e300, -1.7e308]
    for change, base, (name, unit) in product(values, values, MEASUREMENTS):
        effect = Effect(change, base, name, unit, better)
        for text in (sentence(effect), short(effect), size(effect)):
            assert not {"nan", "inf", "None", "-inf", "−inf"} & set(text.replace("(", " ").split()), text


def test_grades_are_the_four_of_the_words_list() -> None:
    """A to D, each with the meaning that the whole project uses."""
    assert list(GRADES) == ["A", "B", "C", "D"]
    assert GRADES["D"] == "do not act on this"
