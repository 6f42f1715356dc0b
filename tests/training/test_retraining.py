"""Refits by the user's own training, and the verdict on it."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.cases import MODULES, a_run, cross_entropy, rows
from upweight.errors import InputError
from upweight.network import Network
from upweight.optimisers import SGD
from upweight.removal.retraining import Retraining
from upweight.training_run import TrainingRun


def studied(model: nn.Module, n: int = 20) -> Network:
    """The model with the rows that it was trained on."""
    inputs, targets = rows(n)
    names = tuple(name for name, _ in model.named_parameters())
    p = sum(value.numel() for value in model.parameters())
    ones = torch.ones(n, dtype=torch.float64)
    return Network(
        model, cross_entropy, names, inputs, targets, ones, torch.full((p,), 0.01, dtype=torch.float64), "mean"
    )


class Loop:
    """A plain training function as users write one; `calls` counts."""

    def __init__(self, module: Callable[[], nn.Module] = MODULES["tanh"]) -> None:
        self.module, self.calls = module, 0

    def __call__(self, weights: Tensor, seed: int) -> nn.Module:
        """A few steps of gradient descent."""
        self.calls += 1
        torch.manual_seed(seed)
        return self.descend(weights)

    def descend(self, weights: Tensor) -> nn.Module:
        """From wherever torch's generator stands."""
        model = self.module().double()
        inputs, targets = rows(len(weights))
        optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(5):
            optimiser.zero_grad()
            ((weights * cross_entropy(model(inputs), targets)).sum() / weights.sum()).backward()
            optimiser.step()
        return model.eval()


class Deaf(Loop):
    """Ignores its weights."""

    def __call__(self, weights: Tensor, seed: int) -> nn.Module:
        """Every row weighs 1."""
        return super().__call__(torch.ones_like(weights), seed)


class Seedless(Loop):
    """Ignores its seed: every call draws anew."""

    def __call__(self, weights: Tensor, seed: int) -> nn.Module:
        """Another model each time."""
        return self.descend(weights)


ONES = torch.ones(20, dtype=torch.float64)


@pytest.mark.parametrize("kind", [Loop, None], ids=["loop", "TrainingRun"])
def test_the_model_again_is_same_init(kind: type[Loop] | None) -> None:
    """A training whose seed gives the model under study: removals are those of this very run."""
    train: Any = a_run() if kind is None else kind()
    retraining = Retraining(train, studied(train(ONES, 3)), (1, 3))
    verdict = retraining.verdict
    assert (verdict.counterfactual, verdict.deterministic, verdict.heeds_seed, verdict.seed) == (
        "same_init",
        True,
        True,
        3,
    )
    assert verdict.gap <= 1e-12
    assert verdict.spread is not None
    assert verdict.spread > 0.1
    assert "gives this model again at seed 3" in verdict.said[0]
    states, finite = retraining(retraining.network.weights.clone().index_fill_(0, torch.tensor([4]), 0.0)[None])
    assert finite.tolist() == [True]
    without = train(ONES.clone().index_fill_(0, torch.tensor([4]), 0.0), 3)
    for name, value in without.state_dict().items():
        torch.testing.assert_close(states[0][name], value, rtol=0, atol=1e-12)


def test_another_model_is_new_init() -> None:
    """A model that no asked seed gives: removals are those of the models that the training gives, and it is said."""
    train = a_run()
    verdict = Retraining(train, studied(train(ONES, 8)), (0, 1)).verdict
    assert verdict.counterfactual == "new_init"
    assert "does not give this model again" in verdict.said[0]
    model = Loop()(ONES, 0)
    assert Retraining(Loop(), studied(model)).verdict.counterfactual == "same_init"
    with torch.no_grad():
        model[0].weight += 0.01
    assert Retraining(Loop(), studied(model)).verdict.counterfactual == "new_init"


def test_sets_and_seeds() -> None:
    """Each set of rows has a state for each seed, equal to the run's; what is known is not run again."""
    train = Loop()
    network = studied(train(ONES, 0))
    retraining = Retraining(train, network, (0, 5))
    train.calls = 0
    told: list[tuple[int, int]] = []
    states = retraining.without([(2,), (2, 7)], lambda done, total: told.append((done, total)))
    assert (len(states), len(states[0]), train.calls) == (2, 2, 4)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    retraining.without([(7, 2), (2,)])
    assert train.calls == 4
    weights = ONES.clone()
    weights[[2, 7]] = 0.0
    for name, value in train(weights, 5).state_dict().items():
        assert torch.equal(states[1][1][name], value)
    assert retraining.without([]) == ()


def test_many_runs_are_one() -> None:
    """A train with `many` is asked once for all that is new, and gives what single runs give."""
    run = a_run(batch_size=7)
    asked: list[int] = []

    class Many:
        def __call__(self, weights: Tensor, seed: int) -> nn.Module:
            raise AssertionError("one by one")

        def many(self, weights: Tensor, seeds: list[int]) -> dict[str, Tensor]:
            asked.append(len(seeds))
            return run.many(weights, seeds)

    retraining = Retraining(Many(), studied(run(ONES, 0)), (0, 1))
    states = retraining.without([(1,), (2,), (3,)])
    assert asked == [6]
    plain = Retraining(run, retraining.network, (0, 1))
    told: list[tuple[int, int]] = []
    same = plain.without([(1,), (2,), (3,)], lambda done, total: told.append((done, total)))
    assert told[-1] == (72, 72)
    for one, other in zip(states, same, strict=True):
        for a, b in zip(one, other, strict=True):
            assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_training_that_ignores_its_weights_is_refused() -> None:
    """With the number of rows whose weight made no difference, whichever question comes first."""
    retraining = Retraining(Deaf(), studied(Deaf()(ONES, 0)))
    with pytest.raises(InputError, match="ignores its weights: it gives the same model with and without 6 of 20 rows"):
        retraining.verdict  # noqa: B018
    with pytest.raises(InputError, match="ignores its weights"):
        retraining(ONES.clone().index_fill_(0, torch.tensor([4]), 0.0)[None])


def test_rows_that_do_nothing_are_no_fault() -> None:
    """A row of no gradient leaves the model as it is, and the training is not blamed."""

    class Blind(Loop):
        def __call__(self, weights: Tensor, seed: int) -> nn.Module:
            seen = weights.clone()
            seen[4] = 0.0
            return super().__call__(seen, seed)

    retraining = Retraining(Blind(), studied(Blind()(ONES, 0)))
    states, _ = retraining(ONES.clone().index_fill_(0, torch.tensor([4]), 0.0)[None])
    assert torch.equal(states[0]["0.weight"], retraining.whole[0]["0.weight"])


def test_a_training_that_draws_from_elsewhere_is_measured() -> None:
    """Two runs of one seed differ: the noise is measured, and no run is the model's own."""
    train = Seedless()
    verdict = Retraining(train, studied(train(ONES, 0)), (0, 1)).verdict
    assert (verdict.deterministic, verdict.counterfactual, verdict.heeds_seed) == (False, "new_init", None)
    assert verdict.jitter > 0.1
    assert any("differ by" in said and "torch.manual_seed(seed)" in said for said in verdict.said)


def test_seeds_that_change_nothing_are_said() -> None:
    """A full-batch run that continues from a state has no noise over seeds."""
    model = a_run()(ONES, 0)
    run = replace(a_run(), start=model.state_dict(), optimiser=SGD(1e-9))
    verdict = Retraining(run, studied(model), (0, 1)).verdict
    assert verdict.heeds_seed is False
    assert verdict.spread == 0.0
    assert verdict.counterfactual == "continued"
    assert "noise floor over seeds is 0" in verdict.said[-1]


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), r"'0.weight' has shape \[6, 4\] and"),
        (lambda: nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)), "it has no '2.weight'"),
        (
            lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Linear(3, 3)),
            "yours has no '3.weight'",
        ),
    ],
)  # fmt: skip
def test_another_architecture_is_refused(module: Callable[[], nn.Module], words: str) -> None:
    """By the first parameter that differs."""
    with pytest.raises(InputError, match=words):
        Retraining(Loop(module), studied(Loop()(ONES, 0))).without([(1,)])


def test_what_is_no_model_is_refused() -> None:
    """None, and NaN on all rows; without some rows NaN is a refit that failed."""
    model = Loop()(ONES, 0)
    with pytest.raises(InputError, match="train returned a NoneType"):
        Retraining(lambda weights, seed: None, studied(model)).without([(1,)])

    def diverging(weights: Tensor, seed: int) -> nn.Module:
        found = Loop()(weights, seed)
        if weights[1] == 0 or weights.sum() == 20:
            with torch.no_grad():
                found[0].bias[0] = float("nan")
        return found

    with pytest.raises(InputError, match=r"all rows gives numbers in '0\.bias'"):
        Retraining(diverging, studied(model)).verdict  # noqa: B018
    weights = ONES.expand(2, 20).clone()
    weights[0, 1] = weights[1, 2] = 0.0
    assert Retraining(diverging, studied(model))(weights)[1].tolist() == [False, True]


def test_the_model_under_study_keeps_its_values() -> None:
    """A training that goes on with the user's own model is refused, and the model is as it was."""
    model = Loop()(ONES, 0)
    before = copy.deepcopy(model)

    def onward(weights: Tensor, seed: int) -> nn.Module:
        with torch.no_grad():
            model[0].weight *= 0.5
        return model

    with pytest.raises(InputError, match=r"changed the model under study \('0.weight'\)"):
        Retraining(onward, studied(model)).without([(1,)])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))


def test_an_interrupted_call_keeps_what_is_done() -> None:
    """Ctrl-C in the third run: the first two are remembered."""
    train = Loop()
    retraining = Retraining(train, studied(train(ONES, 0)))
    train.calls = 0

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retraining.without([(1,), (2,), (3,)], stop)
    retraining.without([(1,), (2,), (3,)])
    assert train.calls == 3


def test_settings_are_checked() -> None:
    """Seeds, each once; a TrainingRun of as many rows as the data."""
    network = studied(Loop()(ONES, 0))
    with pytest.raises(InputError, match=r"seeds are \(1, 1\)"):
        Retraining(Loop(), network, (1, 1))
    inputs, targets = rows(19)
    run = TrainingRun(MODULES["tanh"]().double(), cross_entropy, inputs, targets, SGD(), steps=1)
    with pytest.raises(InputError, match="train was given 19 rows and data has 20"):
        Retraining(run, network)
