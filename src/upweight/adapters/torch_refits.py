"""Refits of a network by the user's own training: weight 0 for the rows that left, the same seed.

A run that ends the same without the rows, or otherwise with the same seed, answers nothing and is refused. Stands on
torch; torch_network hands it to the attribution.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from upweight.display.words import count
from upweight.errors import InputError, listed
from upweight.network import Network

__all__ = ["SEED", "Refits", "trained_on"]

SEED = 0
SAME = 1e-5  # relative difference of two runs on one machine: summation order, no other draw

State = Mapping[str, Tensor]


def trained_on(train: Callable[..., Any], weights: Tensor, seed: int) -> nn.Module:
    """The model that the user's training returns.

    Raises: InputError where it returns no module.
    """
    model = train(weights, seed)
    if not isinstance(model, nn.Module):
        raise InputError(f"train returned a {type(model).__name__}. It must return the trained torch.nn.Module.")
    return model


class Refits:
    """`train(weights [n], seed) -> model`; where it has `many(weights [k, n], seeds)`, all runs of a call are one."""

    def __init__(self, train: Callable[..., Any], network: Network) -> None:
        self.train, self.network = train, network

    def __call__(self, weights: Tensor) -> tuple[list[State], NDArray[np.bool_]]:
        """weights [k, n] -> the states of k runs, and whether each ended in finite numbers.

        Raises: InputError for a `train` that ignores its weights or its seed, or returns another model.
        """
        states = self._states(weights)
        for each, state in zip(weights, states, strict=True):
            changed = torch.nonzero(each != self.network.weights)[:, 0].tolist()
            if changed and _equal(state, self._whole):
                raise InputError(
                    f"train gave the same model whatever the weights of {count(len(changed), 'row')} "
                    f"({listed(changed)}): it ignores its weights. Multiply each row's loss by its weight, and divide "
                    "by their sum."
                )
        finite = [all(bool(torch.isfinite(value).all()) for value in state.values()) for state in states]
        return states, np.asarray(finite, dtype=bool)

    @cached_property
    def _whole(self) -> State:
        """All rows, run twice: one seed, one model."""
        everything = self.network.weights[None]
        state = self._states(everything)[0]
        if not hasattr(self.train, "many"):
            again = self._states(everything)[0]
            if not _equal(state, again, SAME):
                raise InputError(
                    "train gave two models for the same weights and the same seed: it ignores its seed. Begin it with "
                    "torch.manual_seed(seed), and draw the order of rows from it."
                )
        return state

    def _states(self, weights: Tensor) -> list[State]:
        if hasattr(self.train, "many"):
            found = self.train.many(weights, [SEED] * len(weights))
            states: list[State] = [
                {name: value[k].detach() for name, value in found.items()} for k in range(len(weights))
            ]
        else:
            states = [_state(trained_on(self.train, each, SEED)) for each in weights]
        known = self.network.values
        for state in states:
            strange = [name for name in known if name not in state or state[name].shape != known[name].shape]
            if strange:
                raise InputError(f"train returned another model: {listed(strange)} differ. Return the same class.")
        return [{name: state[name].to(known[name]) for name in known} for state in states]


def _state(model: nn.Module) -> State:
    own = [*model.named_parameters(), *model.named_buffers()]
    return {name: value.detach().clone() for name, value in own}


def _equal(a: State, b: State, tol: float = 0.0) -> bool:
    for name, value in a.items():
        if not value.is_floating_point():
            continue
        size = float(value.abs().max()) if value.numel() else 0.0
        if not bool(((value - b[name]).abs() <= tol * size).all()):
            return False
    return True
