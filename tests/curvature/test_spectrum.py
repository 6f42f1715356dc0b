"""The lowest Rayleigh quotient and the mean eigenvalue, on matrices whose spectrum is known."""

from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np
import pytest

from upweight.curvature import HeadCurvature
from upweight.curvature.spectrum import lowest, mean_eigenvalue
from upweight.testing import PROBLEMS, Problem, in_namespace, problem


@dataclass(frozen=True)
class Products:
    """A matrix that cannot be written out."""

    h: Any

    @property
    def size(self) -> int:
        return len(self.h)

    def matmul(self, vectors: Any) -> Any:
        return vectors @ self.h

    def damped(self, damping: float) -> "Products":
        return Products(self.h + damping * np.eye(self.size))


@dataclass(frozen=True)
class Written(Products):
    def dense(self) -> Any:
        return self.h


def turned(values: Any, seed: int = 0) -> Any:
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return (turn * np.asarray(values)) @ turn.T


def test_a_direction_that_bends_down_is_found_among_many() -> None:
    """One negative eigenvalue of 300, an eighth of the largest in size: to 1 % in 20 products."""
    h = turned([*np.geomspace(1e-3, 8.0, 299), -1.0])
    found = lowest(Products(h))
    assert -1.0 - 1e-12 <= found.rayleigh <= -0.99
    assert np.linalg.norm(found.vector) == pytest.approx(1.0)
    assert found.vector @ h @ found.vector == pytest.approx(found.rayleigh, rel=1e-12)


@pytest.mark.parametrize("p", [1, 2, 7, 20])
def test_as_many_steps_as_parameters_give_the_eigenvalue(p: int) -> None:
    """Equal eigenvalues end the search early, and right."""
    for values in (np.linspace(-1.0, 2.0, p), np.ones(p), np.repeat([3.0, -2.0], [p - p // 2, p // 2])):
        assert lowest(Products(turned(values))).rayleigh == pytest.approx(min(values), abs=1e-10)
    assert lowest(Products(np.zeros((p, p)))).rayleigh == 0.0


@pytest.mark.parametrize("case", PROBLEMS, ids=lambda case: case.name)
def test_it_never_claims_less_than_the_lowest_eigenvalue(case: Problem) -> None:
    """An upper bound always, and no head of a convex loss bends down."""
    curvature = HeadCurvature(case.head)
    exact = np.linalg.eigvalsh(curvature.dense())
    found = lowest(curvature, seed=1)
    assert found.rayleigh >= exact[0] - 1e-13 * exact[-1]
    assert mean_eigenvalue(curvature).value == pytest.approx(exact.mean(), rel=1e-12)


def test_other_libraries_give_the_same() -> None:
    """A curvature that says what its vectors are made of is asked in that."""
    case = problem("softmax")
    there, here = HeadCurvature(in_namespace(case.head, array_api_strict)), HeadCurvature(case.head)
    assert lowest(there).rayleigh == pytest.approx(lowest(here).rayleigh, rel=1e-10)
    assert mean_eigenvalue(there).value == pytest.approx(mean_eigenvalue(here).value, rel=1e-12)


def test_mean_of_what_cannot_be_written_out_states_its_error() -> None:
    """Over 40 seeds the error that is stated is the one that is made; a matrix with no off-diagonal is exact."""
    h = turned(np.geomspace(1e-3, 1.0, 200))
    found = [mean_eigenvalue(Products(h), seed=seed) for seed in range(40)]
    gaps = np.array([mean.value - np.trace(h) / 200 for mean in found])
    stated = np.array([mean.error for mean in found])
    assert 0.6 < np.sqrt(np.mean(gaps**2)) / np.sqrt(np.mean(stated**2)) < 1.6
    assert found[0].samples == 32
    assert "from 32 random vectors" in found[0].how
    exact = mean_eigenvalue(Written(h))
    assert (exact.samples, exact.error, exact.how) == (0, 0.0, "exact")
    assert mean_eigenvalue(Products(np.diag([1.0, 2.0, 6.0]))).value == pytest.approx(3.0, rel=1e-14)


def test_a_curvature_that_is_not_finite_gives_nan() -> None:
    """And no error: whoever asks says what it means."""
    h = turned(np.ones(30))
    h[2, 3] = np.nan
    assert np.isnan(lowest(Products(h)).rayleigh)
    assert np.isnan(mean_eigenvalue(Products(h)).value)
