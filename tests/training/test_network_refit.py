"""Refits of a network's objective: real minima without the rows, or a word that they are none."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.cases import MODULES, cross_entropy, rows
from upweight.errors import InputError
from upweight.network import Network
from upweight.optimisers import SGD
from upweight.removal import network_refit
from upweight.removal.network_refit import in_double, refit_network
from upweight.training_run import TrainingRun

SETS = [(), (3,), (0, 5, 11), tuple(range(8))]


def network(module: str = "tanh", normalization: str = "mean", penalty: float = 0.05, n: int = 30) -> Network:
    """A net near a minimum, trained for a while; unequal weights."""
    inputs, targets = rows(n)
    weights = torch.linspace(0.5, 1.5, n, dtype=torch.float64)
    run = TrainingRun(
        MODULES[module]().double(), cross_entropy, inputs, targets, SGD(0.3, 0.9),
        steps=150, penalty=penalty, normalization=normalization,
    )  # fmt: skip
    model = run.run(weights, 0)
    names = tuple(name for name, _ in model.named_parameters())
    p = sum(value.numel() for value in model.parameters())
    return Network(
        model, cross_entropy, names, inputs, targets, weights,
        torch.full((p,), penalty, dtype=torch.float64), normalization,
    )  # fmt: skip


def written_out(net: Network, removed: tuple[int, ...], vector: Tensor) -> Tensor:
    """F over the rows that stay, divided as a refit divides."""
    stay = [i for i in range(net.n) if i not in removed]
    w = net.weights[stay]
    divisor = w.sum() if net.normalization == "mean" else net.n
    z = torch.func.functional_call(net.module, net.pieces(vector), (net.inputs[stay],))
    return (w * net.row_loss(z, net.targets[stay])).sum() / divisor + 0.5 * (net.penalty * vector**2).sum()


@pytest.mark.parametrize("normalization", ["mean", "sum"])
@pytest.mark.parametrize("module", ["tanh", "convolution", "recurrent", "attention"])
def test_a_refit_is_the_minimum_without_the_rows(module: str, normalization: str) -> None:
    """∇F over the rows that stay vanishes, its Hessian there bends up, at least as much as told."""
    net = network(module, normalization)
    refits = refit_network(net, SETS)
    assert refits.converged == (True,) * 4, refits.said
    for j, removed in enumerate(SETS):
        vector = refits.vectors[j].clone().requires_grad_()
        gradient = torch.autograd.grad(written_out(net, removed, vector), vector)[0]
        assert float(gradient.norm()) <= 1e-9
        bends = torch.linalg.eigvalsh(torch.func.hessian(lambda v, s=removed: written_out(net, s, v))(vector.detach()))
        share = 1.0 if normalization == "sum" else float(net.weights[list(removed)].sum() / net.weights.sum())
        factor = 1.0 if normalization == "sum" else 1.0 - share
        assert float(refits.lowest[j]) == pytest.approx(factor * float(bends[0]), rel=1e-6, abs=1e-9)
        assert float(bends[0]) > -1e-10  # queries and keys may turn together at no cost


def test_many_parameters_reach_the_same_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-BFGS ends where Newton does."""
    net = network()
    newton = refit_network(net, SETS[:3])
    monkeypatch.setattr(network_refit, "DENSE", 0)
    searched = refit_network(net, SETS[:3])
    assert searched.converged == (True,) * 3, searched.said
    torch.testing.assert_close(searched.vectors, newton.vectors, rtol=0, atol=1e-7)
    torch.testing.assert_close(searched.lowest, newton.lowest, rtol=1e-4, atol=0)
    assert bool((searched.gradient <= 1e-8).all())


def test_a_linear_model_is_scikit_learns() -> None:
    """Softmax regression without three rows equals LogisticRegression without them."""
    from sklearn.linear_model import LogisticRegression

    inputs, targets = rows(40)
    module = nn.Linear(4, 3).double()
    penalty = torch.cat([torch.full((12,), 0.1), torch.zeros(3)]).double()
    net = Network(module, cross_entropy, ("weight", "bias"), inputs, targets, torch.ones(40).double(), penalty, "sum")
    refit = refit_network(net, [(1, 2, 30)])
    stay = [i for i in range(40) if i not in (1, 2, 30)]
    reference = LogisticRegression(C=1 / (0.1 * 40), tol=1e-12, solver="newton-cg").fit(inputs[stay], targets[stay])
    torch.testing.assert_close(refit.vectors[0][:12].reshape(3, 4), torch.as_tensor(reference.coef_), atol=1e-7, rtol=0)
    assert refit.converged == (True,)


class Product(nn.Module):
    """y = a b x: at a = b = 0 a saddle."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """[b]."""
        return self.a * self.b * x


@pytest.mark.parametrize("dense", [1000, 0])
def test_a_saddle_is_no_truth(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the gradient vanishes and the curvature is negative, the refit says so."""
    monkeypatch.setattr(network_refit, "DENSE", dense)
    x = torch.linspace(1, 2, 5, dtype=torch.float64)
    net = Network(
        Product(), lambda z, y: (z - y) ** 2, ("a", "b"), x, x, torch.ones(5).double(), torch.zeros(2).double(), "mean"
    )
    refit = refit_network(net, [(0,)])
    assert refit.converged == (False,)
    assert float(refit.lowest[0]) < -1
    assert "a saddle" in refit.said[0]


@pytest.mark.parametrize("dense", [1000, 0])
def test_no_minimum_is_said(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss with a kink: the gradient does not vanish; nothing raises, nothing is NaN."""
    monkeypatch.setattr(network_refit, "DENSE", dense)
    x = torch.linspace(1, 2, 5, dtype=torch.float64)[:, None]
    module = nn.Linear(1, 1, bias=False).double()
    net = Network(
        module, lambda z, y: (z[:, 0] - y).abs(), ("weight",), x, torch.tensor([2.0, 2, 1, 3, 1]).double(),
        torch.ones(5).double(), torch.full((1,), 1e-3).double(), "mean",
    )  # fmt: skip
    refit = refit_network(net, [(0,)])
    assert refit.converged == (False,)
    assert "gradient of" in refit.said[0]
    assert bool(torch.isfinite(refit.vectors).all())


def test_float32_goes_as_far_as_it_can_and_in_double_further() -> None:
    """A float32 network converges to its own rounding; its copy in float64 to 1e-10, and the user's module stays."""
    net = network()
    single = replace(
        net, module=net.module.float(), inputs=net.inputs.float(), weights=net.weights.float(),
        penalty=net.penalty.float(), state={name: value.float() for name, value in net.values.items()},
    )  # fmt: skip
    rough, fine = refit_network(single, [(3,)]), refit_network(in_double(single), [(3,)])
    assert rough.converged == fine.converged == (True,)
    assert next(single.module.parameters()).dtype == torch.float32
    torch.testing.assert_close(rough.vectors.double(), fine.vectors, rtol=0, atol=1e-3)
    assert float(fine.gradient[0]) <= 1e-10


def test_progress_and_no_sets() -> None:
    """Sets done of all; none asked, none given."""
    told: list[Any] = []
    net = network()
    refit_network(net, SETS[:2], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert refit_network(net, []).vectors.shape == (0, net.size)


@pytest.mark.parametrize(
    ("removed", "words"), [((30, -1), "rows 30, -1 do not exist: there are 30"), (tuple(range(30)), "30 rows no row")]
)
def test_rows_that_cannot_leave_are_refused(removed: tuple[int, ...], words: str) -> None:
    """By their numbers."""
    with pytest.raises(InputError, match=words):
        refit_network(network(), [removed])
