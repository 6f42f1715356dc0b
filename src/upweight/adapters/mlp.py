"""MLPClassifier and MLPRegressor as networks: their layers as torch modules in float64, answered as from_torch's are.

The objective is the one whose gradient scikit-learn follows: losses summed over outputs, α ‖W‖² / 2 on the weights and
not on the intercepts, divided by all rows (lbfgs: the penalty stays against the sum) or by those of a batch (sgd, adam:
a mean, penalised with α / batch size). Stands on network and the files that read data; torch is imported when asked.
Source: METHODS.md 1; sklearn.neural_network, _backprop.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import clone
from torch import Tensor, nn
from torch.nn import functional

from upweight.adapters.base import Adapted
from upweight.adapters.inputs import count_rows, read_ids, read_weights
from upweight.adapters.labels import Encoder, class_codes, class_encoder, number_encoder
from upweight.adapters.torch_trained import judge_network
from upweight.adapters.transformed import column_names, read_matrix
from upweight.adapters.wrappers import Unwrapped, refuse_unfitted, replaced
from upweight.attribution.network import NetworkAttribution
from upweight.attribution.network_inputs import NetworkInputs
from upweight.errors import InputError, UnsupportedModel
from upweight.network import Network, RowLoss
from upweight.output_loss import Logistic, OutputLoss, Poisson, Separate, Softmax, Squared
from upweight.removal.retraining import Retraining
from upweight.shapes import Array
from upweight.solvers import Solver

__all__ = ["adapt_mlp"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
    "identity": nn.Identity,
}
DIVIDES = {
    "sum": "a refit keeps the penalty fixed against the sum of the losses of the rows that are left",
    "mean": "a refit divides the loss by the total weight of the rows that are left",
}


def adapt_mlp(wrapped: Unwrapped, estimator: Any, x: Any, y: Any, sample_weight: Any) -> Adapted:
    """`wrapped.final` is a fitted MLPClassifier or MLPRegressor, `estimator` what it stands in.

    Raises: UnsupportedModel for several labels a row; InputError.
    """
    final = wrapped.final
    refuse_unfitted(final)
    n = count_rows(x)
    if count_rows(y, "y") != n:
        raise InputError(f"X has {n} rows and y has {count_rows(y, 'y')}. Give one target per row.")
    ids, weights = read_ids(x, y, n), read_weights(sample_weight, n)
    names = column_names(wrapped, x)
    matrix = _dense(read_matrix(wrapped, x, x, ids, names, "X"))
    labels = np.asarray(y)
    classes, encode, loss, row_loss = _loss(final, labels)
    targets = encode(labels)
    form = "sum" if final.solver == "lbfgs" else "mean"
    module = _module(final)
    network = _network(final, module, row_loss, matrix, targets, weights, form)
    refits = Retraining(_training(final, matrix, labels), network)

    def attribution(objective: Network, solver: str | Solver, damping: float | str) -> NetworkAttribution:
        return NetworkAttribution(
            objective, solver, damping or "auto", loss=loss, targets=targets, refitter=refits, to_minimum=True
        )

    def read_query(query: Any) -> NetworkInputs:
        query_ids = read_ids(query, None, count_rows(query, "X_query"), unique=False)
        found = _dense(read_matrix(wrapped, query, x, query_ids, names, "X_query"))
        return NetworkInputs(torch.as_tensor(found))

    def rebuild(state: Mapping[str, Tensor]) -> Any:
        moved = copy.deepcopy(final)
        _write(moved, state)
        return replaced(copy.deepcopy(estimator), moved)

    kept = [f"preprocessing ({', '.join(wrapped.transformers)})"] if wrapped.transformers else []
    kept += ["the settings that the search chose"] if wrapped.searched else []
    return Adapted(
        objective=network,
        attribution=attribution,
        kind="classification" if classes else "regression",
        classes=classes,
        targets=() if classes else tuple(f"y{k}" for k in range(loss.outputs)) if loss.outputs > 1 else ("y",),
        unit=str(getattr(y, "name", None) or "target units"),
        row_ids=ids,
        labels=labels,
        rows=x,
        read_query=read_query,
        read_target=lambda query: encode(query, "y_query"),
        rebuild=rebuild,
        cold_refit=None,
        stationarity=judge_network(network),
        model_name=type(final).__name__,
        has_probability=bool(classes),
        convention=DIVIDES[form] + (f"; frozen: {', '.join(kept)}" if kept else ""),
        notes=_notes(final, form),
        stages=wrapped.stages,
    )


def _module(final: Any) -> nn.Sequential:
    """The layers, with the fitted coefficients; its outputs are logits or linear predictors."""
    layers: list[nn.Module] = []
    for weight, bias in zip(final.coefs_, final.intercepts_, strict=True):
        layer = nn.Linear(weight.shape[0], weight.shape[1], dtype=torch.float64)
        layers += [layer, ACTIVATIONS[final.activation]()]
        with torch.no_grad():
            layer.weight.copy_(torch.as_tensor(weight.T.copy()))
            layer.bias.copy_(torch.as_tensor(bias))
    return nn.Sequential(*layers[:-1]).eval()


def _write(final: Any, state: Mapping[str, Tensor]) -> None:
    for k in range(len(final.coefs_)):
        like = final.coefs_[k].dtype
        final.coefs_[k] = state[f"{2 * k}.weight"].cpu().numpy().T.astype(like)
        final.intercepts_[k] = state[f"{2 * k}.bias"].cpu().numpy().astype(like)


def _loss(final: Any, labels: Array) -> tuple[tuple[Any, ...], Encoder, OutputLoss, RowLoss]:
    """Classes, the user's labels as targets, the loss for numpy, and for torch.

    Raises: UnsupportedModel for several labels a row.
    """
    if hasattr(final, "classes_"):
        classes = tuple(np.asarray(final.classes_).tolist())
        if final.out_activation_ == "softmax":
            return classes, class_encoder(classes, lambda k: k), Softmax(len(classes)), _cross_entropy
        if len(classes) != 2 or (labels.ndim == 2 and labels.shape[1] > 1):
            raise UnsupportedModel(
                f"{type(final).__name__} gives {len(classes)} labels a row at once: fit one model for each label."
            )
        class_codes(labels, classes)
        return classes, class_encoder(classes, lambda k: k.astype(np.float64)), Separate(Logistic()), _binary
    c = final.n_outputs_
    scalar = Poisson() if getattr(final, "loss", "squared_error") == "poisson" else Squared()
    row_loss = _poisson if isinstance(scalar, Poisson) else _half_squared
    return (), number_encoder(c, flat=c == 1), Separate(scalar, c), row_loss


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


def _network(
    final: Any, module: nn.Sequential, row_loss: RowLoss, matrix: Array, targets: Array, weights: Array, form: str
) -> Network:
    names = tuple(name for name, _ in module.named_parameters())
    total = float(np.sum(weights))
    if form == "sum":
        share = final.alpha / len(matrix)
    else:
        share = final.alpha / (_batch_size(final, len(matrix)) * total / len(matrix))
    penalty = [torch.full((p.numel(),), share if name.endswith("weight") else 0.0) for name, p in _named(module)]
    return Network(
        module=module,
        row_loss=row_loss,
        chosen=names,
        inputs=torch.as_tensor(matrix),
        targets=torch.as_tensor(targets),
        weights=torch.as_tensor(weights),
        penalty=torch.cat(penalty).double(),
        normalization=form,
    )


def _named(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(module.named_parameters())


def _batch_size(final: Any, n: int) -> int:
    return min(200, n) if final.batch_size == "auto" else min(int(final.batch_size), n)


def _training(final: Any, matrix: Array, labels: Array) -> Callable[[Tensor, int], nn.Module]:
    """The estimator's own fit: weight 0 keeps a row's place in the order of batches, as another weight does."""
    state = final.random_state if isinstance(final.random_state, int) else None

    def train(weights: Tensor, seed: int) -> nn.Module:
        model = clone(final).set_params(random_state=seed if state is None else state, warm_start=False)
        return _module(model.fit(matrix, labels, sample_weight=weights.cpu().numpy()))

    return train


def _notes(final: Any, form: str) -> tuple[str, ...]:
    notes: list[str] = []
    if final.early_stopping:
        notes.append("early stopping held rows out and ended training before its minimum")
    if form == "mean" and not isinstance(final.random_state, int):
        notes.append("random_state is not a number, so no refit starts where this fit did: give one to compare runs")
    return tuple(notes)


def _dense(matrix: Any) -> Array:
    found: Sequence[Any] = matrix.toarray() if sp.issparse(matrix) else matrix
    return np.ascontiguousarray(found, dtype=np.float64)
