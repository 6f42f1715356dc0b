"""Solvers by name on a network, and a network too large to be written out: the same answers."""

import numpy as np
import pytest
import torch
from torch import nn

from upweight import Influence
from upweight.attribution import regime

LOSS = nn.CrossEntropyLoss(reduction="none")
DECAY = 0.05


def settled() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A tanh network at its minimum, 60 rows."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=generator, dtype=torch.float64)
    y = (x[:, 0] + 0.5 * torch.randn(60, generator=generator, dtype=torch.float64) > 0).long()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    optimizer = torch.optim.LBFGS(
        net.parameters(), max_iter=2000, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = LOSS(net(x), y).mean() + 0.5 * DECAY * sum((p**2).sum() for p in net.parameters())
        value.backward()
        return value

    optimizer.step(closure)
    return net.eval(), x, y


@pytest.mark.parametrize("removal", ["first_order", "leverage"])
@pytest.mark.parametrize(("solver", "tol"), [("cg", 1e-6), ("lissa", 0.05)])
def test_a_named_solver_answers_a_network(solver: str, tol: float, removal: str) -> None:
    """Conjugate gradients to their residual, LiSSA to its hidden damping, as Cholesky answers."""
    net, x, y = settled()
    exact, found = (
        Influence.from_torch(net, LOSS, (x, y), penalty=DECAY, solver=name).scores(x[:3], y[:3], removal=removal).values
        for name in ("cholesky", solver)
    )
    assert np.linalg.norm(found - exact) <= tol * np.linalg.norm(exact)


def test_a_network_that_cannot_be_written_out_answers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """By products alone: scores, the leverage of the rows shown, a group and its refit's refusal."""
    net, x, y = settled()
    small = Influence.from_torch(net, LOSS, (x, y), penalty=DECAY)
    expected = small.scores(x[:3], y[:3], removal="first_order")
    monkeypatch.setattr(regime, "WRITTEN_OUT", 5)
    monkeypatch.setattr("upweight.attribution.network.WRITTEN_OUT", 5)
    large = Influence.from_torch(net, LOSS, (x, y), penalty=DECAY)
    found = large.scores(x[:3], y[:3])
    assert "too dear" in found.how
    np.testing.assert_allclose(found.values, expected.values, atol=1e-6 * np.abs(expected.values).max())
    rows = [3, 7]
    assert large.attribution.leverage_of(rows) == pytest.approx(small.attribution.leverage_of(rows), rel=1e-4)
    groups = [one.group(rows, x[:3], y[:3]).estimate for one in (small, large)]
    np.testing.assert_allclose(groups[1], groups[0], atol=1e-4 * np.abs(groups[0]).max())
