"""Every solver that needs no linear head on networks' curvatures in torch: right to its stated residual, or it says."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

# ruff: noqa: E402
from tests.network.cases import CASES, of_type
from upweight.curvature.ggn import GGN
from upweight.curvature.hessian import Hessian
from upweight.curvature.over_rows import OverRows
from upweight.errors import UnsupportedQuestion
from upweight.solvers import CG, SOLVERS, Cholesky, LiSSA, Solver, Status, Woodbury
from upweight.solvers.low_rank import LowRank
from upweight.solvers.preconditioner import Diagonal

SETTINGS: dict[str, Solver] = {name: kind() for name, kind in SOLVERS.items() if kind is not Woodbury}
SETTINGS["lissa"] = LiSSA(max_iterations=1500)
SETTINGS["lissa in batches"] = LiSSA(tol=0.2, batch=4, max_iterations=400)
SETTINGS["cg, diagonal"] = CG(preconditioner=Diagonal())

PROBLEMS = {
    "linear, hessian": ("linear softmax", Hessian, 0.01),
    "tanh, gauss-newton": ("tanh", GGN, 0.1),
    "convolution, gauss-newton": ("convolution", GGN, 0.1),
    "attention, gauss-newton": ("attention", GGN, 0.1),
    "recurrent, hessian that bends up": ("gru", Hessian, 0.5),
    "positions, gauss-newton": ("tied, one loss for several positions", GGN, 0.5),
}
NARROW_NOISE = 1e-5  # what float32 products are known to, of the largest eigenvalue

every_solver = pytest.mark.parametrize("name", SETTINGS)
every_problem = pytest.mark.parametrize("label", PROBLEMS)
every_type = pytest.mark.parametrize("dtype", ["float64", "float32"])


@lru_cache
def curvature(label: str, dtype: str = "float64") -> OverRows:
    name, kind, damping = PROBLEMS[label]
    network = next(case for case in CASES if case.name == name).network
    made: OverRows = kind(of_type(network, getattr(torch, dtype)), damping=damping)
    return made


@lru_cache
def matrix(label: str) -> Any:
    """H in float64; tests/network compares it with double autograd."""
    return curvature(label).dense().numpy()


def questions(p: int, k: int = 3) -> Any:
    return np.random.default_rng(p).normal(size=(k, p))


def prepared(name: str, of: OverRows) -> Any:
    """Ready; a solver that needs the diagonal skips the curvature without one, which is refused below."""
    if name == "cg, diagonal" and isinstance(of, Hessian):
        pytest.skip("a Hessian does not know its diagonal")
    return SETTINGS[name].prepare(of)


@every_type
@every_problem
@every_solver
def test_solver_is_right_or_says_so(name: str, label: str, dtype: str) -> None:
    """Answers are of the network's type, within condition × (residual, and what its products are known to)."""
    of, h = curvature(label, dtype), matrix(label)
    b = questions(of.size)
    solution = prepared(name, of)(torch.as_tensor(b, dtype=of.network.dtype))
    assert solution.x.dtype is of.network.dtype
    assert bool(torch.isfinite(solution.x).all())
    assert not solution.x.requires_grad
    exact = np.linalg.solve(h, b.T).T
    error = np.linalg.norm(solution.x.numpy() - exact, axis=1) / np.linalg.norm(exact, axis=1)
    noise = 1e-13 if dtype == "float64" else NARROW_NOISE
    assert all(status is Status.CONVERGED for status in solution.status), solution.explain(0)
    assert np.all(error <= np.linalg.cond(h) * (np.asarray(solution.residual) + noise))
    promised = 1e-4 if isinstance(SETTINGS[name], CG) and dtype == "float32" else SETTINGS[name].tol
    assert np.all(np.asarray(solution.residual) <= promised)


@every_solver
def test_stated_residual_is_the_true_one(name: str) -> None:
    """By the dense matrix."""
    label = "tanh, gauss-newton"
    b = questions(curvature(label).size)
    solution = prepared(name, curvature(label))(torch.as_tensor(b))
    true = np.linalg.norm(b - solution.x.numpy() @ matrix(label), axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(solution.residual, true, rtol=1e-6, atol=1e-13)


@every_solver
def test_bare_operator_is_symmetric(name: str) -> None:
    """Or close to it for a solver that stops."""
    of = curvature("tanh, gauss-newton")
    b = torch.as_tensor(questions(of.size))
    bare = (prepared(name, of).apply(b) @ b.mT).numpy()
    np.testing.assert_allclose(bare, bare.T, rtol=0, atol=max(SETTINGS[name].tol, 1e-10) * np.abs(bare).max() * 20)


@every_solver
def test_nonfinite_rows_say_so_and_harm_no_other(name: str) -> None:
    """NaN in one question leaves the other as it is alone."""
    of = curvature("tanh, gauss-newton")
    b = torch.as_tensor(questions(of.size, 2))
    alone = prepared(name, of)(b[1:]).x[0]
    b[0, 3] = float("nan")
    solution = prepared(name, of)(b)
    assert solution.status == (Status.NONFINITE_INPUT, Status.CONVERGED)
    torch.testing.assert_close(solution.x[1], alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "cg, diagonal"])
def test_a_curvature_that_is_not_finite_says_so(name: str) -> None:
    """A weight that overflowed makes every product NaN: zeros, and the status, never an error or NaN."""
    of = curvature("tanh, gauss-newton")
    state = {key: value.clone() for key, value in of.network.values.items()}
    state["2.weight"][0, 0] = float("inf")
    broken = GGN(of.network.with_state(state), damping=0.1)
    solution = prepared(name, broken)(torch.as_tensor(questions(of.size, 2)))
    assert solution.status == (Status.NONFINITE_INPUT,) * 2
    assert bool(torch.isfinite(solution.x).all())
    assert not np.isnan(np.asarray(solution.residual)).any()
    assert "the curvature holds NaN or infinity" in solution.explain(0)


@every_type
@pytest.mark.parametrize("name", ["cholesky", "cg", "lissa"])
def test_negative_curvature_is_met_and_said(name: str, dtype: str) -> None:
    """A network that is not at a minimum: the lowest eigenvalue is in the status, and damping by it cures."""
    network = next(case for case in CASES if case.name == "gru").network
    of = Hessian(of_type(network, getattr(torch, dtype)))
    exact = float(np.linalg.eigvalsh(Hessian(network).dense().numpy())[0])
    assert exact < -1e-3
    b = torch.as_tensor(questions(of.size), dtype=of.network.dtype)
    solution = SETTINGS[name].prepare(of)(b)
    assert solution.status == (Status.NEGATIVE_CURVATURE,) * 3
    assert all(found == pytest.approx(exact, rel=1e-2) for found in solution.lowest)
    assert f"it bends by {solution.lowest[0]:.3g}" in solution.explain(0)
    if name == "cholesky":
        assert f"its lowest eigenvalue is {exact:.3g}" in SETTINGS[name].prepare(of).how
    factor = 3.0 if name == "lissa" else 1.1  # cured either way; a stationary series is slow near singular
    cured = SETTINGS[name].prepare(of.damped(factor * abs(solution.lowest[0])))(b)
    assert all(status is Status.CONVERGED for status in cured.status), cured.explain(0)


def test_what_a_network_lacks_is_refused_by_name() -> None:
    """The n-side and the low-rank preconditioner are a linear head's; a Hessian's diagonal costs p products."""
    for solver, named in (
        (Woodbury(), "solver='woodbury'"),
        (CG(preconditioner=LowRank()), r"LowRank\(\)"),
        (CG(preconditioner=Diagonal()), r"Diagonal\(\)"),
    ):
        with pytest.raises(UnsupportedQuestion, match=f"{named}.* Hessian .*Use "):
            solver.prepare(curvature("linear, hessian"))


def test_tolerance_follows_the_type() -> None:
    """1e-8 in float64 and 1e-4 in float32, and `how` says which; both can be set."""
    for dtype, said in (("float64", "1e-08"), ("float32", "1e-04")):
        assert f"to a residual of {said}" in CG().prepare(curvature("tanh, gauss-newton", dtype)).how
    assert CG(tol=1e-2).within("torch.float32") == 1e-2
    assert CG(single_tol=1e-6).within("torch.float32") == 1e-6
    assert "Gauss-Newton matrix" in Cholesky().prepare(curvature("tanh, gauss-newton")).how
