"""Held-out rows: every class on both sides where it can be, and the same rows for the same seed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upweight.errors import InputError
from upweight.tables.split import held_out


@given(labels=st.lists(st.sampled_from("abcde"), min_size=1, max_size=60), seed=st.integers(0, 99))
def test_classes_are_on_both_sides(labels: list[str], seed: int) -> None:
    """A class of two or more is trained on and held out, a single one trained on; each row is on one side."""
    frame = pd.DataFrame({"y": labels})
    counts = frame["y"].value_counts()
    if counts.max() < 2:
        with pytest.raises(InputError, match="too few to hold any out"):
            held_out(frame, "y", "classification", seed=seed)
        return
    train, test = held_out(frame, "y", "classification", seed=seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    for label, count in counts.items():
        assert (frame["y"].iloc[train] == label).any()
        assert (frame["y"].iloc[test] == label).any() == (count > 1)


def test_the_share_is_kept_over_many_small_classes() -> None:
    """Rounding is carried from class to class: 100 classes of six give 150 of 600, not 200."""
    frame = pd.DataFrame({"y": np.repeat(np.arange(100), 6)})
    assert len(held_out(frame, "y", "classification")[1]) == 150


def test_the_seed_decides() -> None:
    """The same seed, the same rows, whatever numpy's global state; another seed, others."""
    frame = pd.DataFrame({"y": np.linspace(0, 1, 200)})
    first = held_out(frame, "y", "regression", seed=3)
    np.random.default_rng().normal()
    again, other = held_out(frame, "y", "regression", seed=3), held_out(frame, "y", "regression", seed=4)
    assert len(first[1]) == 50
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
    assert first[0].dtype == np.int64


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_a_share_out_of_range_is_refused(fraction: float) -> None:
    """Neither side may be empty."""
    with pytest.raises(InputError, match="fraction must lie between 0 and 1"):
        held_out(pd.DataFrame({"y": [1, 2]}), "y", "regression", fraction)
