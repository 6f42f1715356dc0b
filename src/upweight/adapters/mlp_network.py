"""The network of a fitted multi-layer perceptron: its layers as torch modules in float64, its loss, its batches.

The objective is the one whose gradient scikit-learn follows: losses summed over outputs, α ‖W‖² / 2 on the weights and
not on the intercepts, both divided by the weight of all rows (lbfgs) or of a batch's (sgd, adam). So the penalty stands
against a sum whatever the solver, and λ is α times the mean of 1 / rows over the batches.
Stands on network; adapters/mlp asks. Source: METHODS.md 1; sklearn.neural_network, _backprop.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from upweight.adapters.labels import Encoder, class_encoder, number_encoder
from upweight.display.words import count
from upweight.errors import InputError, UnsupportedModel, listed
from upweight.network import Network, RowLoss
from upweight.output_loss import Logistic, OutputLoss, Poisson, Separate, Softmax, Squared
from upweight.shapes import Array

__all__ = ["batches_of", "held_out", "layers_of", "loss_of", "network_of", "tensor_of", "write_layers"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
    "identity": nn.Identity,
}


def loss_of(final: Any, labels: Array) -> tuple[tuple[Any, ...], Encoder, OutputLoss, RowLoss]:
    """Classes, the user's labels as targets, the loss for numpy, and for torch.

    Raises: UnsupportedModel for several labels a row; InputError for negative targets of a Poisson loss.
    """
    if hasattr(final, "classes_"):
        classes = tuple(np.asarray(final.classes_).tolist())
        if final.out_activation_ == "softmax":
            return classes, class_encoder(classes, lambda k: k), Softmax(len(classes)), _cross_entropy
        if final.n_outputs_ > 1:
            raise UnsupportedModel(
                f"{type(final).__name__} gives {final.n_outputs_} labels a row at once (multilabel). Fit one model for "
                "each label."
            )
        return classes, class_encoder(classes, lambda k: k.astype(np.float64)), Separate(Logistic()), _binary
    c = final.n_outputs_
    encode = number_encoder(c, flat=c == 1)
    if final.loss != "poisson":
        return (), encode, Separate(Squared(), c), _half_squared
    bad = np.flatnonzero((encode(labels).reshape(len(labels), -1) < 0).any(axis=1)).tolist()
    if bad:
        raise InputError(
            f"y is negative in {count(len(bad), 'row')} (position {listed(bad)}), which has no Poisson loss. Fit "
            "MLPRegressor(loss='squared_error'), or correct them."
        )
    return (), encode, Separate(Poisson(), c), _poisson


def _cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(z, y, reduction="none")


def _binary(z: Tensor, y: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(z[:, 0], y, reduction="none")


def _half_squared(z: Tensor, y: Tensor) -> Tensor:
    return 0.5 * (z - y.reshape(z.shape)).square().sum(dim=1)


def _poisson(z: Tensor, y: Tensor) -> Tensor:
    own = y.reshape(z.shape)
    each: Tensor = z.exp() - own * z + torch.special.xlogy(own, own) - own
    return each.sum(dim=1)


def network_of(
    final: Any, row_loss: RowLoss, matrix: Array, targets: Array, weights: Array, batches: Sequence[int]
) -> Network:
    """The objective at the fitted parameters; `batches`: rows of each batch of a pass, which set λ."""
    module = layers_of(final)
    named = list(module.named_parameters())
    share = final.alpha * float(np.mean(1.0 / np.asarray(batches)))
    penalty = [
        torch.full((p.numel(),), share if name.endswith("weight") else 0.0, dtype=torch.float64) for name, p in named
    ]
    return Network(
        module=module,
        row_loss=row_loss,
        chosen=tuple(name for name, _ in named),
        inputs=tensor_of(matrix),
        targets=tensor_of(targets),
        weights=tensor_of(weights),
        penalty=torch.cat(penalty),
        normalization="sum",
    )


def tensor_of(array: Array) -> Tensor:
    """The same numbers, in the same memory where torch takes it: rows in order, not read-only."""
    return torch.as_tensor(np.require(array, requirements=["C", "W"]))


def batches_of(final: Any, n: int) -> list[int]:
    """Rows of each batch of a pass over the data."""
    if final.solver == "lbfgs":
        return [n]
    n -= held_out(final, n)
    size = min(200, n) if final.batch_size == "auto" else min(int(final.batch_size), n)
    return [min(size, n - start) for start in range(0, n, size)]


def held_out(final: Any, n: int) -> int:
    """Rows that early stopping judges by, as train_test_split counts them; lbfgs knows no such thing."""
    return ceil(final.validation_fraction * n) if final.early_stopping and final.solver != "lbfgs" else 0


def layers_of(final: Any) -> nn.Sequential:
    """The layers, with the fitted coefficients; its outputs are logits or linear predictors."""
    layers: list[nn.Module] = []
    for weight, bias in zip(final.coefs_, final.intercepts_, strict=True):
        layer = nn.Linear(weight.shape[0], weight.shape[1], dtype=torch.float64)
        layers += [layer, ACTIVATIONS[final.activation]()]
        with torch.no_grad():
            layer.weight.copy_(torch.as_tensor(weight.T.copy()))
            layer.bias.copy_(torch.as_tensor(bias))
    return nn.Sequential(*layers[:-1]).eval()


def write_layers(final: Any, state: Mapping[str, Tensor]) -> None:
    """Puts a state of the module into an estimator, in its own type."""
    for k in range(len(final.coefs_)):
        like = final.coefs_[k].dtype
        final.coefs_[k] = state[f"{2 * k}.weight"].cpu().numpy().T.astype(like)
        final.intercepts_[k] = state[f"{2 * k}.bias"].cpu().numpy().astype(like)
