"""A torch module, its loss and its data as `Adapted`: a linear head where the model is linear in what moves, else a
network.

Stands on torch_linear and torch_network; influence stands on it, and imports torch only through it.
"""

from typing import Any

from upweight.adapters.base import Adapted
from upweight.adapters.torch_linear import as_head, is_linear
from upweight.adapters.torch_network import as_network
from upweight.adapters.torch_reading import Reading, read

__all__ = ["adapt_torch", "understood"]


def adapt_torch(
    model: Any,
    loss: Any,
    data: Any,
    penalty: Any = 0.0,
    params: Any = "all",
    normalization: str = "mean",
    train: Any = None,
) -> Adapted:
    """The trained model and its rows. The module is never changed, its mode neither.

    Raises: UnsupportedModel, InputError: see the checks of each part.
    """
    return understood(read(model, loss, data, penalty, params, normalization, train))


def understood(given: Reading) -> Adapted:
    """What was read, as the objective that it is.

    Raises: InputError.
    """
    return as_head(given) if is_linear(given) else as_network(given)
