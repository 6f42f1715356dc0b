"""Real removals from a network, remembered: by the user's own training, or by going on to the next minimum.

The second is a refit only where the estimates are about that minimum; it costs a few Newton steps, a training run what
it costs. Stands on the network's removals; its attribution stands on it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upweight.errors import UnsupportedQuestion
from upweight.network import Network
from upweight.removal.changed_refit import Changed
from upweight.removal.network_group import reweighed
from upweight.removal.network_refit import refit_objectives
from upweight.removal.retraining import Retraining, State

__all__ = ["NetworkRefits", "State"]

Key = tuple[tuple[int, float], ...]  # rows and their factors


class NetworkRefits:
    """`cheap`: whether a refit goes on to the next minimum; else `train` makes it, or nothing can."""

    def __init__(self, network: Network, train: Retraining | None, cheap: bool) -> None:
        self.network, self.train, self.cheap = network, train, cheap
        self._known: dict[Key, tuple[State, bool]] = {}

    def of(
        self, sets: Sequence[Sequence[int]], factors: Sequence[Sequence[float]] | None = None
    ) -> tuple[list[State], NDArray[np.bool_]]:
        """States with each set's rows weighing `factors` (None: 0) times what they did, and which to believe.

        Raises: UnsupportedQuestion where there is no way to refit.
        """
        weighed = [[0.0] * len(rows) for rows in sets] if factors is None else factors
        keys = [
            tuple(sorted({int(r): float(f) for r, f in zip(rows, one, strict=True)}.items()))
            for rows, one in zip(sets, weighed, strict=True)
        ]
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        if new:
            states, converged = self._to_minimum(new) if self.cheap else self._trained(new)
            self._known.update({key: (states[j], bool(converged[j])) for j, key in enumerate(new)})
        return [self._known[key][0] for key in keys], np.array([self._known[key][1] for key in keys], dtype=bool)

    def said(self) -> str:
        """Which counterfactual these are, and what the training is worth.

        Raises: InputError for a training that ignores its weights.
        """
        if self.cheap or self.train is None:
            return "optimum: each goes on from the trained parameters to the next minimum, without the rows"
        return "; ".join(
            [self.train.verdict.counterfactual + ": " + self.train.verdict.said[0], *self.train.verdict.said[1:]]
        )

    def changed(self, changed: Changed) -> tuple[list[State], NDArray[np.bool_]]:
        """States with one row changed each, and which to believe.

        Raises: UnsupportedQuestion where refits are training runs, which take weights alone.
        """
        if not self.cheap:
            raise UnsupportedQuestion(
                "train(weights, seed) refits other weights, not other labels or inputs, so this is estimated only."
            )
        network = self.network
        others = []
        for j, row in enumerate(changed.rows):
            targets, weights = network.targets.clone(), network.weights.clone()
            if changed.targets is not None:
                targets[int(row)] = torch.as_tensor(changed.targets[j]).to(targets)
            if changed.weights is not None:
                weights[int(row)] = float(changed.weights[j])
            others.append(replace(network, targets=targets, weights=weights, divisor=1.0 / network.scale))
        return self._minima(others)

    def _to_minimum(self, keys: Sequence[Key]) -> tuple[Sequence[State], Any]:
        pairs = [([row for row, _ in key], [factor for _, factor in key]) for key in keys]
        return self._minima([reweighed(self.network, rows, factors)[0] for rows, factors in pairs])

    def _minima(self, objectives: Sequence[Network]) -> tuple[list[State], NDArray[np.bool_]]:
        found = refit_objectives(self.network, objectives)
        return [self.network.at(vector).values for vector in found.vectors], np.asarray(found.converged, dtype=bool)

    def _trained(self, keys: Sequence[Key]) -> tuple[Sequence[State], Any]:
        if self.train is None:
            raise UnsupportedQuestion(
                "a network that is not at a minimum is refitted by training it again: give "
                "from_torch(..., train=train), train(weights: [n], seed) -> model."
            )
        weights = self.network.weights.repeat(len(keys), 1)
        for j, key in enumerate(keys):
            for row, factor in key:
                weights[j, row] *= factor
        return self.train(weights)
