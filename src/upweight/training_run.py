"""A training run as a value: from weights of the rows and a seed to a model, and k such runs side by side.

A step's loss is (n / |B|) s Σ_{i∈B} w_i ℓ_i + ½ θᵀΛθ over its batch B, with the objective's own s: 1/Σw ("mean") or
1/n ("sum"). Full batch, that is F itself: in the mean form weight 0 is the row deleted and weight 2 a second copy. In
mini-batches it is F without bias, whatever the weights, and with weights 1 the plain mean of the batch. A batch's own
weight sum is not the divisor: the mates of a removed row would pull harder in the steps where it stood and nowhere
else, and a batch whose rows all left would have no loss. A row of weight 0 keeps its place in the order, which is
therefore the same with and without it. Stands on training_step, training_start, optimisers. Source: METHODS.md 1, 5.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from upweight.errors import InputError, UnsupportedModel, listed
from upweight.optimisers import SGD, Optimiser, Tensors
from upweight.randomness import generator
from upweight.training_start import Factory, fresh, seeded, started, state_of
from upweight.training_step import Batch, RowLoss, activations, gradients, side_by_side, trained, why_apart

__all__ = ["Progress", "TrainingRun"]

Progress = Callable[[int, int], None]  # steps done, steps in all

CACHED = 8 * 2**20  # bytes of activations that models may share on a CPU: beyond it, one after another is faster
STATE = 2**30  # bytes of parameters, gradients and moments of the models that run side by side on a CPU
COPIES = 6  # of the parameters that a step holds; and of a forward pass's activations, about
MIXERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """`train(weights, seed) -> model`, whose `many` trains k at once.

    `module`: one (never changed) or a function that builds it. `row_loss(outputs, targets) -> [b]`, without penalty.
    `steps` or `epochs`; `batch_size` None: all rows at each step. `schedule(step, from 0)` multiplies the learning
    rate. `penalty`: Λ's diagonal, one number for every parameter that trains, or name -> number or tensor; weight decay
    is the optimiser's and adds to it. `start`: None, first values drawn from the seed; else the state to continue from.
    `mode` "train": dropout draws its masks by seed and step, batch norm is refused; "eval": as the model is used.
    """

    module: nn.Module | Factory
    row_loss: RowLoss
    inputs: Tensor | tuple[Tensor, ...]
    targets: Tensor
    optimiser: Optimiser
    steps: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    schedule: Callable[[int], float] | None = None
    penalty: float | Mapping[str, Any] = 0.0
    normalization: str = "mean"
    start: Mapping[str, Tensor] | None = None
    mode: str = "train"

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise InputError(f"give steps or epochs, one of them; got steps={self.steps!r}, epochs={self.epochs!r}.")
        for name in ("steps", "epochs", "batch_size"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)!r}. Give 1 or more.")
        for name, allowed in (("normalization", ("mean", "sum")), ("mode", ("train", "eval"))):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}. Give {' or '.join(map(repr, allowed))}.")
        lengths = [len(values) for values in (*self._data.inputs, self.targets)]
        if len(set(lengths)) > 1:
            raise InputError(f"inputs and targets have {', '.join(map(str, lengths))} rows. Give one target per row.")
        unknown = sorted(self._penalty.keys() - trained(self._prototype).keys())
        if unknown:
            raise InputError(f"penalty names {listed(unknown)}, no parameter that trains. See named_parameters().")

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.targets)

    @property
    def total_steps(self) -> int:
        """Steps of one run."""
        return self.steps if self.steps is not None else (self.epochs or 0) * -(-self.n // self._size)

    @property
    def decoupled(self) -> bool:
        """Whether weight decay is no part of the loss (AdamW): no F with this penalty has the run's end as minimum."""
        return self.optimiser.decoupled and self.optimiser.weight_decay > 0

    def penalties(self) -> Tensors:
        """Λ by parameter that trains, as F has it: the penalty, and a weight decay that is not decoupled."""
        decay = 0.0 if self.optimiser.decoupled else self.optimiser.weight_decay
        return {
            name: torch.zeros_like(p) + self._penalty.get(name, 0.0) + decay
            for name, p in trained(self._prototype).items()
        }

    @cached_property
    def reach(self) -> float | None:
        """ρ: how far one run moves along a constant gradient of 1, in a direction that does not bend; None but for SGD.

        Σ_t η_t Σ_{s≤t} β^{t−s}, η K where there is neither momentum nor schedule: 1/ρ is the damping that stands for
        stopping after K steps. Source: METHODS.md 3, 5 (SOURCE with one segment).
        """
        if not isinstance(self.optimiser, SGD):
            return None
        beta, velocity, moved = self.optimiser.momentum, 0.0, 0.0
        for step in range(self.total_steps):
            velocity = beta * velocity + 1.0
            pull = 1.0 + beta * velocity if self.optimiser.nesterov else velocity
            moved += self.optimiser.learning_rate * self._factor(step) * pull
        return moved

    def continues(self, values: Mapping[str, Tensor]) -> bool:
        """Whether it goes on from these values: from every one of them that `start` names, and it names parameters."""
        if self.start is None:
            return False
        ours = {name: value for name, value in self.start.items() if name in values}
        return bool(trained(self._prototype).keys() & ours.keys()) and all(
            value.shape == values[name].shape and bool(torch.equal(value.to(values[name]), values[name]))
            for name, value in ours.items()
        )

    @cached_property
    def one_by_one(self) -> str:
        """Why `many` trains one model after another, for people to read; "" where k models run as one."""
        few = self._data.at(torch.arange(min(self.n, 2), device=self.targets.device))
        return why_apart(self._prototype, self.row_loss, few, lambda: self._masks(0, 0))

    def __call__(self, weights: Any, seed: int = 0) -> nn.Module:
        """The trained model: `run`."""
        return self.run(weights, seed)

    def run(self, weights: Any, seed: int = 0, progress: Progress | None = None) -> nn.Module:
        """A model trained on weights [n], the caller's own, in evaluation mode; interrupted, nothing is left of it.

        Raises: InputError for weights that are none, or a loss that is not one number per row; UnsupportedModel.
        """
        return self._alone(self._shares(torch.as_tensor(weights)[None])[0], seed, _counted(progress, self.total_steps))

    def many(self, weights: Any, seeds: Sequence[int], progress: Progress | None = None) -> Tensors:
        """Every parameter and buffer [k, ...] of k runs on weights [k, n]; each equals its `run` to rounding."""
        shares = self._shares(torch.as_tensor(weights))
        if len(shares) != len(seeds):
            raise InputError(f"weights are {len(shares)} sets for {len(seeds)} seeds. Give one seed for each.")
        out = {name: v.new_empty((len(seeds), *v.shape)) for name, v in state_of(self._prototype).items()}
        done, total = 0, len(seeds) * self.total_steps
        for chunk in self._chunks(seeds):
            tick = _counted(progress, total, done, len(chunk))
            if len(chunk) == 1:
                found = state_of(self._alone(shares[chunk[0]], seeds[chunk[0]], tick))
            else:
                found = self._together(shares[chunk], [seeds[j] for j in chunk], tick)
            for name, value in found.items():
                out[name][chunk] = value
            done += len(chunk) * self.total_steps
        return out

    def _alone(self, shares: Tensor, seed: int, tick: Callable[[int], None]) -> nn.Module:
        model = self._model(seed)
        parameters = trained(model)
        state = self.optimiser.start(parameters)
        for step, rows in enumerate(self._order(seed)):
            with self._masks(seed, step):
                found = gradients(model, self.row_loss, self._data.at(rows), _at(shares, rows))
            self._advance(parameters, found, state, step)
            tick(step + 1)
        return model.eval()

    def _together(self, shares: Tensor, seeds: Sequence[int], tick: Callable[[int], None]) -> Tensors:
        """k models as one, each parameter stacked [k, ...]."""
        models = {seed: self._model(seed) for seed in set(seeds)}
        states = {name: torch.stack([state_of(models[s])[name] for s in seeds]) for name in state_of(self._prototype)}
        parameters = {name: states[name] for name in trained(self._prototype)}
        fixed = {name: value for name, value in states.items() if name not in parameters}
        shared = self._size == self.n or len(models) == 1
        orders = [self._order(seed) for seed in (seeds[:1] if shared else seeds)]
        find = side_by_side(self._prototype, self.row_loss, shared)
        state = self.optimiser.start(parameters)
        for step, each in enumerate(zip(*orders, strict=True)):
            rows = each[0] if shared else torch.stack(each)
            with self._masks(seeds[0], step):
                found = find(parameters, fixed, _at(shares, rows), self._data.at(rows))
            self._advance(parameters, found, state, step)
            tick(step + 1)
        return states

    def _advance(self, parameters: Tensors, found: Tensors, state: Any, step: int) -> None:
        """One step of the optimiser, one model or k stacked ones."""
        pulled = {
            name: g + self._penalty[name] * parameters[name].detach() if name in self._penalty else g
            for name, g in found.items()
        }
        self.optimiser.step(parameters, pulled, state, self.optimiser.learning_rate * self._factor(step), step + 1)

    def _factor(self, step: int) -> float:
        """What the schedule multiplies the learning rate with."""
        return 1.0 if self.schedule is None else float(self.schedule(step))

    def _order(self, seed: int) -> Iterator[Tensor]:
        """The rows of each step: every epoch a permutation of its own, drawn by seed and epoch alone."""
        device, starts = self.targets.device, range(0, self.n, self._size)
        everything = torch.arange(self.n, device=device)
        for step in range(self.total_steps):
            epoch, place = divmod(step, len(starts))
            if place == 0 and self._size < self.n:
                everything = torch.as_tensor(generator(seed, "order", epoch).permutation(self.n), device=device)
            yield everything[starts[place] : starts[place] + self._size]

    def _chunks(self, seeds: Sequence[int]) -> Iterator[list[int]]:
        """Which runs go side by side: as many as fit, and with dropout only those whose masks are the same."""
        together = 1 if self.one_by_one else self._at_once
        keys = [seed if self._draws else 0 for seed in seeds]
        for key in dict.fromkeys(keys):
            members = [j for j, other in enumerate(keys) if other == key]
            yield from (members[i : i + together] for i in range(0, len(members), together))

    def _shares(self, weights: Tensor) -> Tensor:
        """n s w [k, n]: what each row's loss is multiplied with, before the batch's size divides."""
        if weights.ndim != 2 or weights.shape[1] != self.n:
            raise InputError(f"weights have shape {tuple(weights.shape[1:])} and there are {self.n:,} rows.")
        w = weights.detach().to("cpu", torch.float64)
        bad = (~torch.isfinite(w) | (w < 0)).any(dim=0).nonzero()[:, 0].tolist()
        if bad:
            raise InputError(f"weights are negative or not finite in rows {listed(bad)}. Give 0 or more.")
        total = w.sum(dim=1, keepdim=True)
        if not bool((total > 0).all()):
            raise InputError("weights are 0 for every row. Leave some rows in.")
        scaled = w * (self.n / total) if self.normalization == "mean" else w
        return scaled.to(self.targets.device, next(iter(trained(self._prototype).values())).dtype)

    def _model(self, seed: int) -> nn.Module:
        """A model at its start, in the mode that it trains in."""
        device = self._data.inputs[0].device
        model = fresh(self._own, seed, device) if self.start is None else started(self._own, self.start, device)
        model.train(self.mode == "train")
        mixing = [
            f"{name!r} ({type(part).__name__})"
            for name, part in model.named_modules()
            if isinstance(part, MIXERS) and (part.training or part.running_mean is None)
        ]
        if mixing:
            raise UnsupportedModel(
                f"{', '.join(mixing)}: batch norm mixes the rows of a batch while it trains, so a row of weight 0 "
                'would still move the others. Train with frozen statistics (mode="eval") or with LayerNorm.'
            )
        if not trained(model):
            raise UnsupportedModel(f"{type(model).__name__} has no parameter that requires a gradient: nothing trains.")
        return model

    def _masks(self, seed: int, step: int) -> AbstractContextManager[None]:
        """Torch's randomness for this step; none is forked where the model draws nothing."""
        return seeded(self._data.inputs[0].device, seed, "masks", step) if self._draws else nullcontext()

    @cached_property
    def _draws(self) -> bool:
        """Whether a forward pass draws random numbers (dropout, whoever calls it)."""
        device = self._data.inputs[0].device
        few = self._data.at(torch.arange(min(self.n, 2), device=device))
        with seeded(device, 0, "draws"), torch.no_grad():
            before = _generators(device)
            self._prototype(*few.inputs)
            return not torch.equal(before, _generators(device))

    @cached_property
    def _at_once(self) -> int:
        """How many models fit side by side."""
        few = self._data.at(torch.arange(min(self.n, 2), device=self.targets.device))
        with self._masks(0, 0):
            live = activations(self._prototype, few) / len(few.targets) * self._size
        state = COPIES * sum(v.nbytes for v in state_of(self._prototype).values())
        if self.targets.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.targets.device)[0]
            return max(1, int(free / 2 // (state + COPIES * live)))
        return max(1, int(min(CACHED // max(live, 1), STATE // max(state, 1))))

    @cached_property
    def _prototype(self) -> nn.Module:
        """A model for names, shapes and functional calls; its values are never read."""
        return self._model(0)

    @cached_property
    def _own(self) -> nn.Module | Factory:
        """What each run copies: the module as it was when this run was described, whatever becomes of it."""
        return copy.deepcopy(self.module) if isinstance(self.module, nn.Module) else self.module

    @cached_property
    def _data(self) -> Batch:
        inputs = self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)
        return Batch(inputs, self.targets)

    @cached_property
    def _penalty(self) -> Mapping[str, Any]:
        if isinstance(self.penalty, Mapping):
            return self.penalty
        return dict.fromkeys(trained(self._prototype), self.penalty) if self.penalty else {}

    @property
    def _size(self) -> int:
        """Rows of a batch."""
        return self.n if self.batch_size is None else min(self.batch_size, self.n)


def _at(shares: Tensor, rows: Tensor) -> Tensor:
    """shares [n] or [k, n] at rows [b] or [k, b]."""
    return shares[..., rows] if rows.ndim == 1 else shares.gather(1, rows)


def _generators(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _counted(progress: Progress | None, total: int, before: int = 0, models: int = 1) -> Callable[[int], None]:
    """What each step calls: progress in steps of all models."""
    if progress is None:
        return lambda step: None
    return lambda step: progress(before + step * models, total)
