"""A torch model as a scikit-learn estimator reads, and the user's own training run without some rows.

Stands on torch_reading; the check compares refits with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from upweight.adapters.torch_forward import outputs_of
from upweight.adapters.torch_reading import Reading
from upweight.errors import InputError
from upweight.shapes import Array

__all__ = ["Predictor", "cold_refit"]

SEED = 0


@dataclass(frozen=True, eq=False)
class Predictor:
    """A module as a scikit-learn estimator reads: predictions of rows as they are shown."""

    module: nn.Module
    read: Reading

    def predict(self, x: Any) -> Array:
        """[q] or [q, m] means."""
        found = self._predicted(x)
        return found[:, 0] if found.shape[1] == 1 else found

    def predict_proba(self, x: Any) -> Array:
        """[q, classes]."""
        p = self._predicted(x)
        return np.concatenate([1.0 - p, p], axis=1) if p.shape[1] == 1 else p

    def decision_function(self, x: Any) -> Array:
        """[q] or [q, c]."""
        return self.predict(x)

    def _predicted(self, x: Any) -> Array:
        known = self.read.rows.inputs
        given = [np.stack(parts) for parts in zip(*x, strict=True)] if len(known) > 1 else [np.asarray(x)]
        inputs = tuple(
            torch.as_tensor(part).reshape(len(part), *like.shape[1:]).to(like)
            for part, like in zip(given, known, strict=True)
        )
        was = self.module.training
        try:
            z = outputs_of(self.module.eval(), inputs)
        finally:
            self.module.train(was)
        return np.asarray(self.read.loss.loss.predict(z.reshape(len(z), -1).double().cpu().numpy()))


def cold_refit(read: Reading, train: Callable[..., Any]) -> Callable[[Sequence[int]], Predictor]:
    """The user's own training with weight 0 for the rows that left."""

    def refit(removed: Sequence[int]) -> Predictor:
        weights = read.weights.copy()
        weights[np.asarray(removed, dtype=np.int64)] = 0.0
        model = train(torch.as_tensor(weights).to(read.rows.inputs[0].device), SEED)
        if not isinstance(model, nn.Module):
            raise InputError(f"train returned a {type(model).__name__}. It must return the trained torch.nn.Module.")
        return Predictor(model, read)

    return refit
