"""Training runs: what a weight means, one against many side by side, order, dropout, refusals."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.cases import MODULES, OPTIMISERS, a_run, cross_entropy, furthest, rows
from upweight.errors import InputError, UnsupportedModel
from upweight.optimisers import SGD, Adam, AdamW
from upweight.training_run import TrainingRun


def some_weights(k: int, n: int = 20) -> Tensor:
    """Weights [k, n]: all ones, one row left out, others between 0 and 2."""
    weights = torch.rand(k, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    weights[0], weights[1] = 1.0, 1.0
    weights[1, 3] = 0.0
    return weights


@pytest.mark.parametrize("normalization", ["mean", "sum"])
@pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS.keys())
def test_the_run_is_a_plain_loop_with_torch_optim(optimiser: Any, normalization: str) -> None:
    """Full batch: F written out with its penalty, torch.optim's optimiser, a schedule: the same model to 1e-12."""
    run = a_run(optimiser=optimiser, normalization=normalization, schedule=lambda step: 0.95**step)
    weights = some_weights(3)[2]
    model = run.run(weights, seed=4)
    plain = replace(run, steps=1, schedule=lambda step: 0.0).run(weights, seed=4)
    kind = {SGD: torch.optim.SGD, Adam: torch.optim.Adam, AdamW: torch.optim.AdamW}[type(optimiser)]
    settings: dict[str, Any] = {"lr": optimiser.learning_rate, "weight_decay": optimiser.weight_decay}
    settings |= {"momentum": optimiser.momentum, "nesterov": optimiser.nesterov} if kind is torch.optim.SGD else {}
    settings |= {"betas": optimiser.betas} if kind is not torch.optim.SGD else {}
    theirs = kind(plain.parameters(), **settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(theirs, lambda step: 0.95**step)
    inputs, targets = rows()
    for _ in range(12):
        theirs.zero_grad()
        divisor = weights.sum() if normalization == "mean" else 20
        loss = (weights * cross_entropy(plain(inputs), targets)).sum() / divisor
        (loss + 0.005 * sum((p**2).sum() for p in plain.parameters())).backward()
        theirs.step()
        schedule.step()
    assert furthest(model, plain) <= 1e-12


@pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS.keys())
@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize("module", MODULES)
def test_many_side_by_side_are_the_single_runs(module: str, batch_size: int | None, optimiser: Any) -> None:
    """k models as one equal k runs, with seeds of their own and with one for all, to rounding."""
    run = a_run(module, optimiser=optimiser, batch_size=batch_size)
    weights = some_weights(4)
    assert run.one_by_one == ""
    for seeds in ([0, 0, 0, 0], [0, 1, 0, 2]):
        states = run.many(weights, seeds)
        for j, seed in enumerate(seeds):
            for name, value in run.run(weights[j], seed).state_dict().items():
                torch.testing.assert_close(states[name][j], value, rtol=0, atol=1e-11)


@pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS.keys())
def test_weight_zero_is_the_row_deleted_and_two_a_second_copy(optimiser: Any) -> None:
    """In the full-batch mean form, to 1e-12."""
    run = a_run(optimiser=optimiser)
    weights = torch.ones(20, dtype=torch.float64)
    weights[[2, 11]], weights[5] = 0.0, 2.0
    stay = [*(i for i in range(20) if i not in (2, 11)), 5]
    shorter = replace(run, inputs=run.inputs[stay], targets=run.targets[stay])
    assert furthest(run.run(weights, 3), shorter.run(torch.ones(19), 3)) <= 1e-12


def test_the_sum_form_keeps_its_divisor() -> None:
    """A row that leaves makes the data count less against the penalty: the same as a loss times 19/20 over 19 rows."""
    run = a_run(normalization="sum")
    weights = torch.ones(20)
    weights[7] = 0.0
    stay = [i for i in range(20) if i != 7]
    shorter = replace(
        run, inputs=run.inputs[stay], targets=run.targets[stay], row_loss=lambda z, y: cross_entropy(z, y) * 19 / 20
    )
    assert furthest(run.run(weights, 0), shorter.run(torch.ones(19), 0)) <= 1e-12


def test_a_batch_is_its_plain_mean_and_f_without_bias() -> None:
    """Over an epoch the steps' gradients average to F's, any weights; with weights 1 each is its batch's mean."""
    run = a_run(batch_size=5, epochs=1, steps=None, optimiser=SGD(1e-7), penalty=0.0)
    for weights in some_weights(3):
        start, end = replace(run, optimiser=SGD(0.0)).run(weights, 2), run.run(weights, 2)
        inputs, targets = rows()
        loss = (weights * cross_entropy(start(inputs), targets)).sum() / weights.sum()
        loss.backward()
        for before, after in zip(start.parameters(), end.parameters(), strict=True):
            torch.testing.assert_close((before - after) / 4e-7, before.grad, rtol=1e-5, atol=1e-7)


def test_a_removed_row_leaves_the_others_where_they_are() -> None:
    """The rows of every step are decided by seed and epoch: each row once an epoch, weights or not."""
    seen: list[list[float]] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 3).double()

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x[:, 0].tolist())
            return self.linear(x)

    inputs = torch.arange(10, dtype=torch.float64)[:, None]
    run = TrainingRun(Watched, cross_entropy, inputs, torch.zeros(10, dtype=torch.int64), SGD(), epochs=2, batch_size=4)
    weights = torch.ones(10)
    orders = []
    for w in (weights, weights.clone().index_fill_(0, torch.tensor([3]), 0.0)):
        run.run(w, 0)
        seen.clear()
        run.run(w, 0)
        orders.append(copy.deepcopy(seen))
    assert orders[0] == orders[1]
    assert [len(step) for step in orders[0]] == [4, 4, 2, 4, 4, 2]
    first, second = [x for step in orders[0][:3] for x in step], [x for step in orders[0][3:] for x in step]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_batch_whose_rows_all_left_is_silent() -> None:
    """No division by zero: its step has the penalty's pull alone."""
    run = a_run(batch_size=1, steps=20)
    weights = torch.zeros(20)
    weights[4] = 1.0
    assert all(bool(torch.isfinite(p).all()) for p in run.run(weights, 0).parameters())


def test_a_seed_is_a_start_and_a_start_is_kept() -> None:
    """The same seed gives the same model to the bit, whatever was drawn before; a state goes on where it was."""
    run = a_run()
    ones = torch.ones(20)
    first = run.run(ones, 0)
    before = torch.get_rng_state()
    assert furthest(run.run(ones, 0), first) == 0.0
    assert torch.equal(torch.get_rng_state(), before), "nothing is seeded globally"
    assert furthest(run.run(ones, 1), first) > 0.1
    again = replace(run, start=first.state_dict(), steps=3)
    assert furthest(again.run(ones, 0), again.run(ones, 9)) == 0.0
    longer = replace(run, steps=15).run(ones, 0)
    assert furthest(again.run(ones, 0), longer) <= 1e-14


def test_a_factory_starts_as_it_likes() -> None:
    """A function that builds the model draws under the seed, whatever its initialisation is."""

    def build() -> nn.Module:
        model = nn.Linear(4, 3).double()
        nn.init.normal_(model.weight, std=0.01)
        return model

    inputs, targets = rows()
    run = TrainingRun(build, cross_entropy, inputs, targets, SGD(1e-9), steps=1)
    one, same, other = (run.run(torch.ones(20), seed).weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert float(one.detach().abs().max()) < 0.05


def test_the_users_module_is_never_changed() -> None:
    """Nor its mode, its gradients or its values."""
    run = a_run()
    module = run.module
    before = copy.deepcopy(module)
    run.run(torch.ones(20), 0)
    run.many(torch.ones(2, 20), [0, 1])
    assert furthest(module, before) == 0.0
    assert module.training
    assert all(p.grad is None for p in module.parameters())


def test_frozen_parameters_stay() -> None:
    """Parameters without a gradient keep their values, also at a fresh start, alone and side by side."""
    module = MODULES["tanh"]().double()
    module[0].requires_grad_(False)
    kept = module[0].weight.detach().clone()
    run = replace(a_run(), module=module)
    model = run.run(torch.ones(20), 5)
    assert torch.equal(model[0].weight, kept)
    states = run.many(torch.ones(2, 20), [5, 6])
    assert torch.equal(states["0.weight"][1], kept)
    torch.testing.assert_close(states["2.weight"][0], model[2].weight.detach())


def test_tied_parameters_are_one() -> None:
    """A parameter with two names has one state, and continues from it."""
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)).double()
    module[2].weight = module[0].weight
    run = replace(a_run(), module=module)
    model = run.run(torch.ones(20), 0)
    assert model[2].weight is model[0].weight
    states = run.many(torch.ones(2, 20), [0, 0])
    assert set(states) == {"0.weight", "0.bias", "2.bias"}
    torch.testing.assert_close(states["0.weight"][0], model[0].weight.detach())
    onward = replace(run, start={name: value[0] for name, value in states.items()}, optimiser=SGD(0.0))
    assert furthest(onward.run(torch.ones(20), 0), model) <= 1e-14


def test_dropout_draws_its_masks_by_seed_and_step() -> None:
    """The same masks with a row and without it, side by side and alone; none in evaluation mode."""
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    run = replace(a_run(batch_size=8), module=module)
    weights, seeds = some_weights(4), [0, 1, 0, 1]
    states = run.many(weights, seeds)
    before = torch.get_rng_state()
    for j, seed in enumerate(seeds):
        for name, value in run.run(weights[j], seed).state_dict().items():
            torch.testing.assert_close(states[name][j], value, rtol=0, atol=1e-12)
    assert torch.equal(torch.get_rng_state(), before)
    assert furthest(run.run(weights[0], 0), replace(run, mode="eval").run(weights[0], 0)) > 1e-3


def test_what_vmap_cannot_do_runs_one_by_one_and_says_so() -> None:
    """A path that depends on values: the reason, and the same states as its runs."""

    class Branching(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            z = super().forward(x)
            return z if z.sum() > 0 else 2 * z

    run = replace(a_run(), module=Branching(4, 3).double(), steps=3)
    assert run.one_by_one.startswith("torch.func.vmap does not support Branching: ")
    states = run.many(some_weights(2), [0, 1])
    for name, value in run.run(some_weights(2)[1], 1).state_dict().items():
        assert torch.equal(states[name][1], value)


def test_models_that_do_not_fit_go_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number at once gives the same to rounding."""
    whole = a_run().many(some_weights(5), [0] * 5)
    run = a_run()
    monkeypatch.setitem(run.__dict__, "_at_once", 2)
    for name, value in run.many(some_weights(5), [0] * 5).items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=1e-12)


def test_progress_counts_and_an_interruption_leaves_nothing() -> None:
    """Steps of all models; Ctrl-C inside dropout's forked randomness leaves torch's as it was."""
    module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    run = replace(a_run(), module=module)
    told: list[tuple[int, int]] = []
    run.many(torch.ones(3, 20), [0, 0, 1], lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (36, 36)
    told.clear()
    run.run(torch.ones(20), 0, lambda done, total: told.append((done, total)))
    assert told == [(i + 1, 12) for i in range(12)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before, values = torch.get_rng_state(), copy.deepcopy(module)
    with pytest.raises(KeyboardInterrupt):
        run.run(torch.ones(20), 0, stop)
    assert torch.equal(torch.get_rng_state(), before)
    assert furthest(module, values) == 0.0


def test_the_penalty_of_f_is_said() -> None:
    """Weight decay that is in the gradient adds to Λ; AdamW's does not, and `decoupled` says it."""
    for optimiser, want, decoupled in (
        (SGD(weight_decay=0.1), 0.11, False),
        (AdamW(weight_decay=0.1), 0.01, True),
        (AdamW(weight_decay=0.0), 0.01, False),
    ):
        run = a_run(optimiser=optimiser)
        assert run.decoupled is decoupled
        assert {float(v) for value in run.penalties().values() for v in value.flatten()} == {want}
    run = a_run(penalty={"0.weight": 0.5})
    assert {name for name, value in run.penalties().items() if bool((value > 0).any())} == {"0.weight"}


class Bare(nn.Module):
    """Parameters that no reset_parameters draws."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.inner.scale = nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"steps": None}, InputError, "steps=None, epochs=None"),
        ({"batch_size": 0}, InputError, "batch_size is 0"),
        ({"normalization": "rows"}, InputError, "normalization is 'rows'"),
        ({"targets": torch.zeros(19)}, InputError, "20, 19 rows"),
        ({"penalty": {"0.wait": 1.0}}, InputError, "penalty names '0.wait'"),
        ({"start": {"0.weight": torch.zeros(5, 4)}}, InputError, "'0.bias' is missing"),
        ({"start": {"0.weight": torch.zeros(4, 4)}}, InputError, r"'0.weight' has shape \(4, 4\) and the model's"),
        ({"module": Bare()}, UnsupportedModel, "'inner' has parameters and no reset_parameters"),
        ({"module": nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))}, UnsupportedModel, r"'1' \(BatchNorm1d\)"),
        ({"module": nn.Linear(4, 3).requires_grad_(False)}, UnsupportedModel, "Linear has no parameter that requires"),
    ],
)  # fmt: skip
def test_refusals_name_what_is_wrong(change: dict[str, Any], error: type[Exception], words: str) -> None:
    """Before anything is trained."""
    with pytest.raises(error, match=words):
        replace(a_run(), **change)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (torch.ones(19), r"shape \(19,\) and there are 20 rows"),
        (torch.ones(20).index_fill_(0, torch.tensor([3, 8]), -1.0), "not finite in rows 3, 8"),
        (torch.ones(20) * float("nan"), "rows 0, 1, 2 and 17 more"),
        (torch.zeros(20), "0 for every row"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Tensor, words: str) -> None:
    """With the rows that are wrong."""
    with pytest.raises(InputError, match=words):
        a_run().run(weights, 0)


def test_a_loss_that_is_not_per_row_is_refused() -> None:
    """A batch mean, alone and side by side."""
    run = replace(a_run(), row_loss=nn.functional.cross_entropy)
    with pytest.raises(InputError, match=r"loss of 20 rows has shape \(\)"):
        run.run(torch.ones(20), 0)
    with pytest.raises(InputError, match=r"loss of 20 rows has shape \(\)"):
        run.many(torch.ones(2, 20), [0, 0])


def test_batch_norm_trains_with_frozen_statistics() -> None:
    """In evaluation mode from a given state, side by side too."""
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()
    module[1].running_mean.fill_(0.3)
    run = replace(a_run(), module=module, start=module.state_dict(), mode="eval")
    states = run.many(some_weights(2), [0, 1])
    assert float(states["1.running_mean"].mean()) == pytest.approx(0.3)
    for name, value in run.run(some_weights(2)[1], 1).state_dict().items():
        torch.testing.assert_close(states[name][1], value)
