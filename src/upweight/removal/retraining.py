"""Real removals by the user's own training, `train(weights [n], seed) -> model`, and what that training is worth.

A run is remembered by its weights and seed; where `train` has `many(weights [k, n], seeds [k])`, the runs of a call
are one. Whether it heeds its weights and its seed, and ends in the model under study, is tried and said. Stands on
network and training_run. Source: METHODS.md 5, 10.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from upweight.errors import InputError
from upweight.network import Network
from upweight.randomness import generator
from upweight.training_run import Progress, TrainingRun
from upweight.training_start import state_of

__all__ = ["Retraining", "State", "Verdict"]

State: TypeAlias = Mapping[str, Tensor]  # every parameter and buffer of the user's module

JITTERS = 3.0  # times two equal runs' distance: a change below it is not seen
ROUNDED = 1e-4  # runs so near differ by the order of their sums, not by what they drew


@dataclass(frozen=True)
class Verdict:
    """What a training is worth; distances are between parameters, relative to the model's own length."""

    seed: int  # whose run on all rows is nearest to the model under study
    reproduces: bool  # whether that run is it
    deterministic: bool
    heeds_seed: bool | None  # None: one seed was asked for
    gap: float  # from the model under study to the nearest run on all rows
    jitter: float  # between two runs of the same weights and seed
    spread: float | None  # between runs of two seeds, on average
    effect: float | None  # of leaving out a third of the rows; None where there are too few
    continues: bool = False  # goes on from the model under study: `gap` is how far all rows take it
    said: tuple[str, ...] = ()

    @property
    def counterfactual(self) -> str:
        """ "continued" from the model under study, "same_init" where it comes out again, else "new_init"."""
        return "continued" if self.continues else "same_init" if self.reproduces else "new_init"


@dataclass(frozen=True, eq=False)
class Retraining:
    """The user's training of one network, at one or several seeds."""

    train: Callable[..., Any]
    network: Network
    seeds: tuple[int, ...] = (0,)
    _remembered: dict[tuple[bytes, int], State] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds are {self.seeds!r}. Give one or more, each once.")
        if isinstance(self.train, TrainingRun) and self.train.n != self.network.n:
            raise InputError(
                f"train was given {self.train.n:,} rows and data has {self.network.n:,}. Give it the same."
            )

    def __call__(self, weights: Tensor) -> tuple[list[State], NDArray[np.bool_]]:
        """weights [k, n] -> the states of k runs at `seed`, and whether each ended in finite numbers.

        Raises: InputError for a training that ignores its weights, or returns something else than the user's model.
        """
        states = self.states(weights, self.seed)
        whole = self.states(self.network.weights[None], self.seed)[0]
        changed = (weights != self.network.weights).any(dim=1).tolist()
        if any(moved and self._distance(state, whole) == 0.0 for moved, state in zip(changed, states, strict=True)):
            self.verdict  # noqa: B018  rows may do nothing; a third of them must
        finite = [all(bool(torch.isfinite(value).all()) for value in state.values()) for state in states]
        return states, np.asarray(finite, dtype=bool)

    def without(
        self, removals: Sequence[Sequence[int]], progress: Progress | None = None
    ) -> tuple[tuple[State, ...], ...]:
        """For each set of rows (positions) the states of its runs, one for each seed: their measurements are averaged.

        `progress`: runs done of all, of a TrainingRun its steps.
        """
        weights = torch.stack([self._weights(rows) for rows in removals]) if removals else None
        if weights is None:
            return ()
        pairs = [(row, seed) for row in weights for seed in self.seeds]
        states = self._run(torch.stack([row for row, _ in pairs]), [seed for _, seed in pairs], progress)
        r = len(self.seeds)
        return tuple(tuple(states[j : j + r]) for j in range(0, len(states), r))

    def states(self, weights: Tensor, seed: int, progress: Progress | None = None) -> list[State]:
        """The states of k runs on weights [k, n] at one seed."""
        return self._run(weights, [seed] * len(weights), progress)

    @cached_property
    def whole(self) -> tuple[State, ...]:
        """The states of the runs on all rows, one for each seed: what removals are compared with."""
        return self.without([()])[0]

    @cached_property
    def seed(self) -> int:
        """The seed whose run on all rows is nearest to the model under study."""
        if len(self.seeds) == 1:
            return self.seeds[0]
        gaps = [self._distance(state, self.network.values) for state in self.whole]
        return self.seeds[int(np.argmin(gaps))]

    @cached_property
    def continues(self) -> bool:
        """Whether train goes on from the model under study."""
        return isinstance(self.train, TrainingRun) and self.train.continues(self.network.values)

    @property
    def reach(self) -> float | None:
        """Of a training that goes on from here; None for any other."""
        return self.train.reach if isinstance(self.train, TrainingRun) and self.continues else None

    @cached_property
    def verdict(self) -> Verdict:
        """From a run on all rows for each seed, one of them twice, and one without a third of the rows.

        Raises: InputError for a training that ends the same without a third of the rows.
        """
        third = self._third
        pair = [self.network.weights, *([] if third is None else [third])]
        first, *fewer = self._run(torch.stack(pair), [self.seed] * len(pair), None)
        strange = next((name for name, value in first.items() if not bool(torch.isfinite(value).all())), None)
        if strange is not None:
            raise InputError(f"train on all rows gives numbers in {strange!r} that are not finite. Train more gently.")
        jitter = self._distance(self._trained(self.network.weights[None].clone(), [self.seed], None)[0], first)
        effect = self._distance(fewer[0], first) if fewer else None
        deterministic = jitter <= ROUNDED
        if effect is not None and effect <= JITTERS * jitter and deterministic:
            lost = int((pair[1] != self.network.weights).sum())
            raise InputError(
                f"train ignores its weights: it gives the same model with and without {lost:,} of {self.network.n:,} "
                "rows. Multiply each row's loss by its weight, and divide by their sum."
            )
        gap = min(self._distance(state, self.network.values) for state in self.whole)
        apart = [self._distance(a, b) for i, a in enumerate(self.whole) for b in self.whole[i + 1 :]]
        spread = float(np.mean(apart)) if apart else None
        heeds = None if spread is None or not deterministic else spread > JITTERS * jitter
        near = max(torch.finfo(self.network.dtype).eps ** 0.5, JITTERS * jitter)
        same = deterministic and gap <= near
        found = Verdict(self.seed, same, deterministic, heeds, gap, jitter, spread, effect, self.continues)
        return replace(found, said=tuple(_words(found)))

    @cached_property
    def _third(self) -> Tensor | None:
        """Weights without a third of the rows that have one; None where nothing would be left."""
        weighted = torch.nonzero(self.network.weights > 0)[:, 0].cpu().numpy()
        if len(weighted) < 2:
            return None
        drawn = generator(0, "a third of the rows").choice(weighted, max(1, len(weighted) // 3), replace=False)
        return self._weights(drawn.tolist())

    def _weights(self, out: Sequence[int]) -> Tensor:
        """The network's own, 0 for these rows."""
        weights = self.network.weights.clone()
        weights[torch.as_tensor(list(out), dtype=torch.int64, device=weights.device)] = 0.0
        return weights

    def _run(self, weights: Tensor, seeds: Sequence[int], progress: Progress | None) -> list[State]:
        """States [k], from memory where they were run before."""
        keys = [(row.cpu().numpy().tobytes(), seed) for row, seed in zip(weights, seeds, strict=True)]
        fresh = {key: j for j, key in enumerate(keys) if key not in self._remembered}
        new = list(fresh.values())
        if hasattr(self.train, "many") and new:
            found = self._trained(weights[new].clone(), [seeds[j] for j in new], progress)
            self._remembered.update(zip(fresh, found, strict=True))
        else:
            for done, (key, j) in enumerate(fresh.items()):  # each is kept at once, for whoever interrupts the next
                self._remembered[key] = self._trained(weights[j : j + 1].clone(), [seeds[j]], None)[0]
                if progress is not None:
                    progress(done + 1, len(new))
        return [self._remembered[key] for key in keys]

    def _trained(self, weights: Tensor, seeds: Sequence[int], progress: Progress | None) -> list[State]:
        """The user's training, run; the model under study must come out of it as it was."""
        if isinstance(self.train, TrainingRun):
            return [self._matched(state) for state in _apart(self.train.many(weights, seeds, progress), len(seeds))]
        studied = [*self.network.values.items(), *state_of(self.network.module).items()]
        before = [value.clone() for _, value in studied]
        try:
            if hasattr(self.train, "many"):
                found = _apart(self.train.many(weights, seeds), len(seeds))
            else:
                found = [_state(self.train(row, seed)) for row, seed in zip(weights, seeds, strict=True)]
        finally:
            touched = []
            for (name, value), old in zip(studied, before, strict=True):
                if not torch.equal(value, old):
                    touched.append(name)
                    value.copy_(old)
        if touched:
            raise InputError(
                f"train changed the model under study ({touched[0]!r}), which has its values back. Train a copy of it: "
                "copy.deepcopy(model), or a new one."
            )
        return [self._matched(state) for state in found]

    def _matched(self, state: State) -> State:
        """The state by the user's names, of the model's types and place."""
        known = self.network.values
        for name, value in known.items():
            if name not in state:
                raise InputError(f"train returned another model: it has no {name!r}. Return one of the same class.")
            if state[name].shape != value.shape:
                raise InputError(
                    f"train returned another model: {name!r} has shape {list(state[name].shape)} and yours "
                    f"{list(value.shape)}. Return one of the same class and sizes."
                )
        extra = next((name for name in state if name not in known), None)
        if extra is not None:
            raise InputError(f"train returned another model: yours has no {extra!r}. Return one of the same class.")
        return {name: state[name].to(value) for name, value in known.items()}

    def _distance(self, a: State, b: State) -> float:
        """‖a − b‖ over parameters and buffers, relative to the model under study's length."""
        square, size = 0.0, 0.0
        for name, value in self.network.values.items():
            if value.is_floating_point():
                square += float(((a[name].double() - b[name].double()) ** 2).sum())
                size += float((value.double() ** 2).sum())
        return float((square / max(size, torch.finfo(torch.float64).tiny)) ** 0.5)


def _words(found: Verdict) -> list[str]:
    """What a person should know of this training."""
    if found.continues:
        said = [
            f"train goes on from this model, with and without the row in the same order at seed {found.seed} (with all "
            f"rows it moves by {found.gap:.2g} of its length)"
        ]
    elif found.reproduces:
        said = [f"train gives this model again at seed {found.seed} (relative distance {found.gap:.1e})"]
    else:
        said = [
            f"train does not give this model again (relative distance {found.gap:.2g} at seed {found.seed}): removals "
            "are those of the models that it does give"
        ]
    if not found.deterministic:
        said.append(
            f"two runs with the same weights and seed differ by {found.jitter:.2g}: train ignores its seed, or draws "
            "from elsewhere. Begin it with torch.manual_seed(seed), and draw the order of rows from it"
        )
        if found.effect is not None and found.effect <= JITTERS * found.jitter:
            said.append(
                f"leaving out a third of the rows moves the model by {found.effect:.2g}, no more than that noise"
            )
    if found.heeds_seed:
        said.append(f"runs of two seeds differ by {found.spread:.2g}")
    elif found.heeds_seed is False:
        said.append("every seed gives the same model: nothing is drawn from it, and the noise floor over seeds is 0")
    return said


def _state(model: Any) -> State:
    if not isinstance(model, nn.Module):
        raise InputError(f"train returned a {type(model).__name__}. It must return the trained torch.nn.Module.")
    own = [*model.named_parameters(), *model.named_buffers()]
    return {name: value.detach().clone() for name, value in own}


def _apart(stacked: Mapping[str, Tensor], k: int) -> list[State]:
    wrong = next((name for name, value in stacked.items() if value.shape[:1] != (k,)), None)
    if wrong is not None:
        raise InputError(f"train.many gave {wrong!r} of shape {list(stacked[wrong].shape)} for {k} runs.")
    return [{name: value[j].detach() for name, value in stacked.items()} for j in range(k)]
