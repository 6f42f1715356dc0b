"""Over-represented slices: exact tails against counting every draw, and the correction against its definition."""

from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp

from upweight.validation.slices import lifted


def test_p_is_the_share_of_all_draws() -> None:
    """Of all ways to draw 4 of 12 rows, those with so many members or more; the family holds one slice."""
    inside = np.zeros(12, dtype=int)
    inside[[0, 1, 2, 7]] = 1
    draws = [inside[list(rows)].sum() for rows in combinations(range(12), 4)]
    (found,) = lifted(sp.csr_matrix(inside[:, None]), [[0, 1, 2, 7]])
    assert found.p == pytest.approx(np.mean(np.asarray(draws) >= 4), rel=1e-12)
    assert (found.hits, found.of, found.share, found.tried) == (4, 4, 4 / 12, 1)


def test_p_among_rows_of_the_same_labels() -> None:
    """With strata the draw takes as many rows of each label: a slice that is one label says nothing more."""
    strata = np.repeat([0, 1], 20)
    group = [20, 21, 22, 23, 24, 0]
    inside = np.zeros((40, 2), dtype=int)
    inside[20:, 0] = 1  # the label again
    inside[[20, 21, 22, 23, 24, 30], 1] = 1
    plain = lifted(sp.csr_matrix(inside), [list(range(20, 26))])
    assert {found.slice for found in plain} == {0, 1}
    (found,) = lifted(sp.csr_matrix(inside), [group], strata)
    draws = [inside[list(rows), 1].sum() for rows in combinations(range(20, 40), 5)]
    alike = float(np.mean(np.asarray(draws) >= 5))
    assert found.slice == 1
    assert found.p == pytest.approx(alike * found.tried, rel=1e-9)


def test_slices_that_could_never_show_are_not_tried() -> None:
    """A slice of one row, or of all rows, has no p below the level, and costs the others nothing."""
    inside = np.zeros((30, 40), dtype=int)
    inside[:6, 0] = 1
    inside[np.arange(20), 1 + np.arange(20)] = 1
    inside[:, 21:] = 1
    (found,) = lifted(sp.csr_matrix(inside), [[0, 1, 2, 3, 4, 5]])
    assert (found.slice, found.tried) == (0, 1)


def test_nothing_is_found_in_nothing() -> None:
    """No groups, or no slices: no lift."""
    assert lifted(sp.csr_matrix((5, 0)), [[0, 1]]) == []
    assert lifted(sp.csr_matrix(np.ones((5, 2), dtype=int)), []) == []
