"""The automatic choice: which solver, with which numbers in its sentence."""

from dataclasses import replace

import pytest

from upweight.errors import InputError
from upweight.solvers import CG, SOLVERS, BlockCG, Status
from upweight.solvers.auto import Sizes, choose, solve_by_name
from upweight.solvers.low_rank import LowRank
from upweight.testing import problem

GB = 1e9


def dense(rows: int, outputs: int, columns: int, apart: bool = False) -> Sizes:
    """A head on dense features with a free intercept."""
    bent = outputs if apart else outputs - 1
    return Sizes(rows, outputs, columns, outputs * columns, float(columns), apart, bent, outputs)


@pytest.mark.parametrize(
    ("sizes", "solver"),
    [
        (dense(891, 1, 13, apart=True), "cholesky"),
        (dense(1797, 10, 65), "cholesky"),
        (dense(150, 1, 60_003, apart=True), "woodbury"),
        (replace(dense(300, 3, 50_000), touched=80.0), "woodbury"),
        (dense(60_000, 10, 785), "cg"),  # MNIST: direct would take four times as long
        (replace(dense(100_000, 20, 100_000), touched=100.0), "cg"),  # neither side fits
    ],
    ids=["small table", "digits", "few rows", "few sparse rows", "MNIST", "news"],
)
def test_choice(sizes: Sizes, solver: str) -> None:
    """One case for each branch of the rule."""
    choice = choose(sizes, memory=8 * GB)
    assert choice.name == solver
    assert type(choice.solver) is (BlockCG if solver == "cg" else SOLVERS[solver])
    assert choice.flops > 0
    assert choice.bytes > 0


def test_little_memory_rules_cholesky_out() -> None:
    """The number that does not fit stands in the sentence."""
    sizes = dense(20_000, 1, 1_500, apart=True)
    assert choose(sizes, memory=8 * GB).name == "cholesky"
    choice = choose(sizes, memory=0.03 * GB)
    assert choice.name == "cg"
    assert "1,500 × 1,500 Hessian would need 54 MB of the 30 MB that may be used" in choice.reason


@pytest.mark.parametrize(
    ("name", "solver", "said"),
    [
        ("softmax", "cholesky", "Cholesky: the 15 × 15 Hessian takes"),
        ("wide, ridge", "woodbury", "Woodbury: 25 × 25 (rows × outputs) takes"),
        ("wide, softmax", "woodbury", "Woodbury: 50 × 50 (rows × outputs) takes"),
    ],
)
def test_choice_for_a_head(name: str, solver: str, said: str) -> None:
    """A head's own sizes; a softmax row bends c − 1 outputs."""
    choice = choose(problem(name).head, memory=GB)
    assert choice.name == solver
    assert choice.reason.startswith(said)


def test_solver_by_name() -> None:
    """Each name of the registry; conjugate gradients come with their preconditioner."""
    for name, kind in SOLVERS.items():
        assert type(solve_by_name(name)) is kind
    found = solve_by_name("cg")
    assert isinstance(found, CG)
    assert isinstance(found.preconditioner, LowRank)


def test_unknown_solver_is_refused_with_the_names() -> None:
    """The error lists them all."""
    with pytest.raises(InputError, match=r"solver='qr' does not exist.*'cholesky', 'woodbury', 'cg', 'lissa'"):
        solve_by_name("qr")


def test_every_status_says_what_to_do() -> None:
    """Cause and remedy in each text."""
    for status in Status:
        assert status is Status.CONVERGED or any(
            word in status.value for word in ("Standardise", "Allow more", "Train it", "Check")
        )
