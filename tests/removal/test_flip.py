"""The search for a small flipping set, on margins that are written down: which set it finds and when it gives up."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from upweight.removal.flip import Flip, smallest_flip

Margin = Callable[[frozenset[int]], float]


def found(
    n: int, margin: Margin, effects: Callable[[Sequence[int]], np.ndarray] | None = None, at_most: int = 50
) -> Flip | None:
    """The set for a margin that is a function of who left; effects are its exact differences unless given."""

    def exact(out: Sequence[int]) -> np.ndarray:
        gone = frozenset(out)
        return np.array([0.0 if i in gone else margin(gone | {i}) - margin(gone) for i in range(n)])

    def margins(sets: Sequence[Sequence[int]]) -> np.ndarray:
        return np.array([margin(frozenset(rows)) for rows in sets])

    return smallest_flip(margin(frozenset()), effects or exact, margins, at_most)


def test_additive_margins_take_the_largest_rows() -> None:
    """Where effects add up, the smallest set is the shortest prefix of the ranking; ties go by row order."""
    loss = np.array([0.1, 0.5, 0.3, 0.3, 0.2, -1.0])
    result = found(6, lambda gone: 1.0 - sum(loss[i] for i in gone))
    assert result is not None
    assert sorted(result.rows) == [1, 2, 3]
    assert result.before == 1.0
    assert result.predicted == pytest.approx(-0.1)
    assert result.margin == pytest.approx(-0.1)


def test_twins_do_not_mask_each_other() -> None:
    """Rows 0 and 1 are copies: alone neither counts for much, together they decide; the adaptive search sees it."""

    def margin(gone: frozenset[int]) -> float:
        twins = 0.05 * len(gone & {0, 1}) if len(gone & {0, 1}) < 2 else 1.2
        return 1.0 - twins - sum(0.04 for i in gone if i >= 2)

    result = found(40, margin)
    assert result is not None
    assert sorted(result.rows) == [0, 1]
    assert result.margin < 0


def test_a_row_that_turned_out_not_to_be_needed_is_put_back() -> None:
    """The estimate ranks a useless row first: backward pruning leaves it out of the set."""

    def margin(gone: frozenset[int]) -> float:
        return 1.0 - sum(0.6 for i in gone if i in (3, 4))

    def wrong(out: Sequence[int]) -> np.ndarray:
        effect = -np.array([0.9, 0.1, 0.1, 0.6, 0.59, 0.1])
        effect[list(out)] = 0.0
        return effect

    result = found(6, margin, wrong)
    assert result is not None
    assert sorted(result.rows) == [3, 4]


def test_underestimated_effects_still_end_in_the_shortest_prefix() -> None:
    """Estimates four times too large and four times too small: growing and bisecting meet at the same set."""
    real = np.linspace(0.02, 0.001, 100)
    for factor in (4.0, 0.25):

        def scaled(out: Sequence[int], factor: float = factor) -> np.ndarray:
            effect = -factor * real
            effect[list(out)] = 0.0
            return effect

        result = found(100, lambda gone: 0.2 - sum(real[i] for i in gone), scaled)
        assert result is not None
        assert len(result.rows) == int(np.argmax(np.cumsum(real) > 0.2)) + 1


@pytest.mark.parametrize("at_most", [0, 1, 3])
def test_none_is_found_where_none_of_that_size_flips_it(at_most: int) -> None:
    """Five rows are needed: with fewer allowed the answer is that none was found, after few refits."""
    assert found(20, lambda gone: 1.0 - 0.24 * len(gone), at_most=at_most) is None


def test_nothing_that_lowers_the_margin_means_none() -> None:
    """Every removal makes the prediction firmer, or does nothing at all."""
    assert found(5, lambda gone: 1.0 + 0.1 * len(gone)) is None
    assert found(5, lambda gone: 1.0) is None


def test_a_refit_without_an_optimum_confirms_nothing() -> None:
    """Margins of refits that found no optimum are infinite: their row stays, and others are found."""

    def margin(gone: frozenset[int]) -> float:
        return np.inf if 0 in gone else 1.0 - 0.6 * len(gone)

    def effects(out: Sequence[int]) -> np.ndarray:
        effect = np.full(6, -0.6)
        effect[0] = -0.7
        effect[list(out)] = 0.0
        return effect

    result = found(6, margin, effects)
    assert result is not None
    assert sorted(result.rows) == [1, 2]


def test_each_set_is_refitted_once() -> None:
    """The count of refits is that of different sets."""
    seen: list[tuple[int, ...]] = []

    def margins(sets: Sequence[Sequence[int]]) -> np.ndarray:
        seen.extend(tuple(sorted(rows)) for rows in sets)
        return np.array([1.0 - 0.3 * len(rows) for rows in sets])

    result = smallest_flip(1.0, lambda out: np.where(np.isin(np.arange(9), out), 0.0, -0.3), margins, 9)
    assert result is not None
    assert len(result.rows) == 4
    assert len(seen) == len(set(seen)) == result.refits
