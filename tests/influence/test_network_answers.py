"""Every question of a network: answered, beside real refits, or refused by name with the reason."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.influence.network_cases import CASES, Dense, N, asked, cross_entropy, trained
from tests.training.cases import rows
from upweight import Influence
from upweight.errors import InputError, UnsupportedModel, UnsupportedQuestion
from upweight.optimisers import SGD
from upweight.removal.network_refit import refit_network
from upweight.training_run import TrainingRun

BY_NAME = {case.name: case for case in CASES}
REFITTED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "check": lambda i, x, y: i.check(x, y, rows=4),
    "without": lambda i, *_: i.without([0]),
    "smallest_flip": lambda i, x, _: i.smallest_flip(x[:1]),
    "hangs_on": lambda i, x, y: i.hangs_on(x, y, rows=1),
    "group, refitted": lambda i, x, y: i.group([0], x, y).refit(),
}
ESTIMATED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "scores": lambda i, x, y: i.scores(x, y).values,
    "self_influence": lambda i, *_: i.self_influence().values,
    "group": lambda i, x, y: i.group([0, 1], x, y).estimate,
    "reweight": lambda i, x, y: i.reweight([0, 1], [0.5, 2.0], x, y).estimate,
    "relabel": lambda i, x, y: i.relabel(x, y).values,
    "features": lambda i, x, y: i.features(x, y, [0]).values,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_needs_no_refit_is_answered_anywhere(case: Any) -> None:
    """A network stopped early, without `train`: every estimate is finite; what needs a refit says what to give."""
    influence = asked(case, trained(case, "stopped"))
    x, y = case.data[2], case.data[3]
    for name, ask in ESTIMATED.items():
        assert np.isfinite(ask(influence, x, y)).all(), name
    for name, ask in REFITTED.items():
        if name == "smallest_flip" and case.kind == "numbers":
            continue  # asks for a value first
        with pytest.raises(UnsupportedQuestion, match=r"from_torch\(\.\.\., train=train\)"):
            ask(influence, x, y)


@pytest.mark.parametrize("name", ["tanh", "numbers", "one logit", "convolution", "lstm", "gru"])
def test_estimates_agree_with_the_next_minimum(name: str) -> None:
    """Rows of leverage < 0.3: Pearson >= 0.95 (seen: 0.987 to 0.998), sizes within 20 % (seen: 1 to 7 %)."""
    case = BY_NAME[name]
    influence = asked(case, trained(case, "settled"))
    x, y = case.data[2], case.data[3]
    network = influence.attribution.network
    found = refit_network(network, [[], *([i] for i in range(N))])
    ends = [case.loss(network.outputs(vector, x), y).detach() for vector in found.vectors]
    real = torch.stack([end - ends[0] for end in ends[1:]], 1).numpy()
    fine = np.array(found.converged[1:]) & (influence.attribution.leverages() < 0.3)
    assert fine.sum() >= 18
    estimate = influence.scores(x, y).values[:, fine]
    assert np.corrcoef(estimate.ravel(), real[:, fine].ravel())[0, 1] >= 0.95
    assert np.sum(estimate * real[:, fine]) / np.sum(estimate**2) == pytest.approx(1.0, abs=0.2)
    shown = influence.scores(x, y).top(2, query=0)
    at = shown["row"].to_numpy(dtype=int)
    known = np.array(found.converged[1:])[at]
    refit = shown["refit"].astype(float).to_numpy()
    np.testing.assert_allclose(refit[known], real[0, at][known], atol=1e-5 * np.abs(real).max())


def net() -> nn.Module:
    """Untrained."""
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)).double()


X, Y = rows(40)
RUN = TrainingRun(net, cross_entropy, X, Y, SGD(0.5, momentum=0.8), steps=300, penalty=0.05)


@lru_cache
def by_training() -> Influence:
    """The run's own model at seed 0, refitted by the run."""
    return Influence.from_torch(RUN(torch.ones(40), 0), cross_entropy, (X, Y), penalty=0.05, train=RUN)


def test_estimates_agree_with_training_again() -> None:
    """Batched refits at the fixed seed; the noise floor is 0; the check names them, and a C for training is no more."""
    check = by_training().check(X[:8], Y[:8], rows=12)
    assert "same_init" in check.noise.reason
    assert check.noise_floor == 0.0
    assert check.pearson is not None
    assert check.pearson >= 0.85  # seen: 0.918 over rows of any leverage
    assert not any("has not converged" in reason for reason in check.grade.reasons)


def test_a_model_of_another_seed_is_new_init() -> None:
    """The same training from another start ends elsewhere: refits are those of the models that it gives."""
    influence = Influence.from_torch(RUN(torch.ones(40), 3), cross_entropy, (X, Y), penalty=0.05, train=RUN)
    check = influence.check(X[:8], Y[:8], rows=4)
    assert check.noise.reason.startswith("new_init")
    assert check.noise_floor is not None
    assert check.noise_floor > 0


@pytest.mark.parametrize("name", REFITTED)
def test_training_answers_what_needs_a_refit(name: str) -> None:
    """With `train` every question is answered."""
    assert str(REFITTED[name](by_training(), X[:3], Y[:3]))


def test_a_group_is_near_its_training() -> None:
    """Four rows at once: within 20 % of the batched refit's size (seen: 5 %); the plain sum is further away."""
    effect = by_training().group([1, 4, 9, 16], X[:8], Y[:8]).refit()
    assert effect.truth is not None
    off, plain = (np.linalg.norm(e - effect.truth) for e in (effect.estimate, effect.plain))
    assert off < 0.2 * np.linalg.norm(effect.truth)
    assert off < plain


def test_a_bend_downwards_is_reported_by_its_rayleigh_quotient() -> None:
    """The lowest eigenvalue of the dense Hessian, in words and as a number; the counterfactual is the proximal one."""
    case = BY_NAME["tanh"]
    model = trained(case, "stopped")
    scores, dense = asked(case, model).scores(case.data[2], case.data[3]), Dense(case, model)
    lowest = float(torch.linalg.eigvalsh(dense.hessian)[0])
    assert lowest < 0
    assert asked(case, model).attribution.regime.lowest == pytest.approx(lowest, rel=1e-8)
    assert f"bends down by {-lowest:.3g}" in scores.how.replace("\u2212", "-")
    assert "Counterfactual: proximal (" in scores.meaning


def test_decoupled_decay_is_no_penalty() -> None:
    """AdamW is read as one without; SGD's weight decay is the penalty."""
    case = BY_NAME["tanh"]
    model = trained(case, "settled")
    decoupled = asked(case, model, penalty=torch.optim.AdamW(model.parameters(), weight_decay=0.05))
    assert float(decoupled.attribution.network.penalty.max()) == 0.0
    assert any("decoupled" in note for note in decoupled.scores(case.data[2], case.data[3]).notes)
    coupled = asked(case, model, penalty=torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.05))
    assert coupled.attribution.at_minimum
    same = asked(case, model).scores(case.data[2], case.data[3]).values
    np.testing.assert_array_equal(coupled.scores(case.data[2], case.data[3]).values, same)


class Fragile(nn.Module):
    """The logarithm of something that one row makes negative."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.scale, self.head = nn.Linear(3, 3), nn.Identity(), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, 2]."""
        return self.head(self.scale(torch.log(self.body(x) + 50.0)))  # type: ignore[no-any-return]


def test_numbers_that_are_not_finite_are_named() -> None:
    """The first layer and the row."""
    case = BY_NAME["tanh"]
    x = case.data[0].clone()
    x[5] = 1e4 * torch.sign(x[5])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Fragile().double().eval()
    with pytest.raises((InputError, UnsupportedModel), match=r"'scale' \(Identity\) gives NaN or infinity for row 5"):
        asked(case, model, data=(x, case.data[1]))
