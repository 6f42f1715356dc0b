"""The hinges on their margin: their inverse while they come and go, and a solution to rounding."""

import numpy as np
import pytest

from upweight.features import DenseFeatures
from upweight.removal.hinges import Hinges
from upweight.removal.inside_margin import Inside


def members(free: bool, columns: int = 9) -> Inside:
    """Seven of twelve hinges, entered one after another."""
    draw = np.random.default_rng(0)
    x, sign = draw.normal(size=(12, columns)), np.where(draw.random(12) < 0.5, -1.0, 1.0)
    inverse = np.append(np.full(columns, 2.0), 0.0 if free else 2.0)
    ones = np.ones(12)
    made = Inside(Hinges(DenseFeatures(x, np.float64), np.arange(12), sign, ones, ones, inverse, free))
    for k in (3, 0, 7, 11, 5, 2, 9):
        made.enter(k)
    return made


def written_out(inside: Inside) -> np.ndarray:
    """[0 sᵀ; s Q] of the members from the features, in their order."""
    hinges = inside.hinges
    x = hinges.features.take(hinges.row[inside.members]) * hinges.sign[inside.members, None]
    q = x @ np.diag(hinges.inverse) @ x.T
    s = hinges.sign[inside.members]
    return np.block([[np.zeros((1, 1)), s[None]], [s[:, None], q]]) if hinges.free else q


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("gone", [(0,), (6,), (2, 5, 0), (6, 5, 4, 3, 2, 1)])
def test_matrix_and_inverse_are_those_of_the_members(free: bool, gone: tuple[int, ...]) -> None:
    """Whoever leaves, first or last; the others' order may change, all of it together."""
    inside = members(free)
    left = list(inside.members)
    for j in gone:
        left.remove(inside.members[j])
        inside.leave(j)
    assert sorted(inside.members) == sorted(left)
    np.testing.assert_allclose(inside.matrix, written_out(inside), atol=1e-12)
    np.testing.assert_allclose(inside.inverse @ inside.matrix, np.eye(len(inside.matrix)), atol=1e-9)
    inside.leave(0)
    inside.enter(left[0] if left[0] not in inside.members else 1)
    np.testing.assert_allclose(inside.matrix, written_out(inside), atol=1e-12)


@pytest.mark.parametrize("spoilt", [0.0, 1e-4, 0.9])
def test_a_solution_is_good_to_rounding_whatever_the_inverse(spoilt: float) -> None:
    """Refined while that helps; with an inverse that is no help, by least squares."""
    inside = members(True)
    b = np.random.default_rng(1).normal(size=8)
    noise = np.random.default_rng(2).normal(size=(8, 8))
    inside.inverse = inside.inverse + spoilt * np.abs(inside.inverse).max() * noise
    np.testing.assert_allclose(inside.solve_closely(b), np.linalg.solve(written_out(inside), b), rtol=1e-9)
