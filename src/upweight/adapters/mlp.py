"""MLPClassifier and MLPRegressor as networks, answered as from_torch's are; lbfgs fits at the minimum they head for.

Stands on mlp_network and the files that read data; torch is imported when asked. Source: METHODS.md 1, 5.
"""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from upweight.adapters.base import Adapted, Stationarity
from upweight.adapters.inputs import count_rows, read_ids, read_weights
from upweight.adapters.labels import target_names, target_unit, training_codes
from upweight.adapters.mlp_network import batches_of, held_out, layers_of, loss_of, network_of, tensor_of, write_layers
from upweight.adapters.remarks import class_remarks, column_remarks
from upweight.adapters.sparse_features import features_of
from upweight.adapters.torch_trained import judge_network
from upweight.adapters.transformed import column_names, read_matrix
from upweight.adapters.wrappers import Unwrapped, refuse_unfitted, replaced
from upweight.attribution.network import NetworkAttribution
from upweight.attribution.network_inputs import NetworkInputs
from upweight.display.words import count
from upweight.errors import InputError
from upweight.network import Network
from upweight.removal.network_refit import refit_network
from upweight.removal.retraining import Retraining
from upweight.shapes import Array
from upweight.solvers import Solver

__all__ = ["adapt_mlp"]

WHOLE = "a refit keeps the penalty fixed against the sum of the losses of the rows that are left"
BATCHES = "a refit weighs the rows 0 and keeps, in each batch, the penalty fixed against the sum of the losses"
OTHER = 1e-3  # relative difference from the loss that lbfgs ended with: float32 and clipped probabilities stay below
DENSE = 1000  # parameters up to which a minimum is sought by Newton steps
AFFORDABLE = 1e9  # n p² up to which it is, some seconds


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
    given = read_matrix(wrapped, x, x, ids, names, "X")
    matrix = _dense(given)
    labels = np.asarray(y)
    classes, encode, loss, row_loss = loss_of(final, labels)
    targets = encode(labels)
    codes = training_codes(labels, classes)
    batches = batches_of(final, n)
    network = network_of(final, row_loss, matrix, targets, weights, batches)
    refits = Retraining(_training(final, given, labels), network)
    settled, stationarity = _at_minimum(final, network, _judge(final, network))
    remarks = [*column_remarks(features_of(given), x, names(matrix.shape[1])), *class_remarks(codes, classes)]

    def attribution(objective: Network, solver: str | Solver, damping: float | str) -> NetworkAttribution:
        return NetworkAttribution(
            objective, solver, damping or "auto", loss=loss, targets=targets, refitter=refits, to_minimum=True
        )

    def read_query(query: Any) -> NetworkInputs:
        query_ids = read_ids(query, None, count_rows(query, "X_query"), unique=False)
        found = _dense(read_matrix(wrapped, query, x, query_ids, names, "X_query"))
        return NetworkInputs(tensor_of(found))

    def rebuild(state: Mapping[str, Tensor]) -> Any:
        moved = copy.deepcopy(final)
        write_layers(moved, state)
        moved.loss_ = float("nan")  # that of another training: `_judge` would hold it against the rows
        return replaced(copy.deepcopy(estimator), moved)

    kept = [f"preprocessing ({', '.join(wrapped.transformers)})"] if wrapped.transformers else []
    kept += ["the settings that the search chose"] if wrapped.searched else []
    return Adapted(
        objective=settled,
        attribution=attribution,
        kind="classification" if classes else "regression",
        classes=classes,
        targets=() if classes else _output_names(y, loss.outputs),
        unit=target_unit(y),
        row_ids=ids,
        labels=labels,
        rows=x,
        read_query=read_query,
        read_target=lambda query: encode(query, "y_query"),
        rebuild=rebuild,
        cold_refit=None,
        stationarity=stationarity,
        model_name=type(final).__name__,
        has_probability=bool(classes),
        convention=(WHOLE if len(batches) == 1 else BATCHES) + (f"; frozen: {', '.join(kept)}" if kept else ""),
        notes=(*remarks, *_notes(final, n)),
        fitted=network.vector.numpy(),
        stages=wrapped.stages,
    )


def _judge(final: Any, network: Network) -> Stationarity:
    """As any network; lbfgs left the loss that it ended with, which these rows must give again."""
    judged = judge_network(network)
    if final.solver != "lbfgs" or not np.isfinite(final.loss_):
        return judged
    penalty = network.value - network.scale * float((network.weights * network.row_losses).sum())
    # scikit-learn's value is a mean over the outputs of a squared error; its gradient is the sum's
    outputs = network.c if getattr(final, "loss", "") == "squared_error" else 1
    own = ((network.value - penalty) / outputs + penalty) * network.n / float(network.weights.sum())
    if abs(own - final.loss_) <= OTHER * max(abs(own), abs(final.loss_), OTHER):
        return judged
    sentence = (
        f"training ended with a loss of {final.loss_:.4g}, and these rows have {own:.4g}: other rows, labels or "
        "weights than the model was fitted on"
    )
    return replace(judged, mismatch=sentence, unconverged=None)


def _at_minimum(final: Any, network: Network, judged: Stationarity) -> tuple[Network, Stationarity]:
    """The network where lbfgs was heading: it stops once its loss hardly falls, short of a minimum by what is seen."""
    costly = network.size > DENSE or float(network.n) * network.size**2 > AFFORDABLE
    if final.solver != "lbfgs" or judged.mismatch or costly:
        return network, judged
    found = refit_network(network, [()])
    if not found.converged[0]:
        return network, judged
    settled = network.at(found.vectors[0])
    there, here = (one.outputs(one.vector, one.inputs).detach() for one in (settled, network))
    return settled, replace(judged, polished=True, moved=float((there - here).abs().max()))


def _output_names(y: Any, c: int) -> tuple[str, ...]:
    names = target_names(y)
    return names if len(names) == c else tuple(f"y{k}" for k in range(c))


def _training(final: Any, matrix: Any, labels: Array) -> Callable[[Tensor, int], nn.Module]:
    """The estimator's own fit: weight 0 keeps a row's place in the order of batches, as another weight does."""
    state = int(final.random_state) if _seeded(final) else None

    def train(weights: Tensor, seed: int) -> nn.Module:
        own = {"random_state": seed if state is None else state, "warm_start": False, "verbose": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the user has seen it once, and notes say it
            model = clone(final).set_params(**own).fit(matrix, labels, sample_weight=weights.cpu().numpy())
        return layers_of(model)

    return train


def _seeded(final: Any) -> bool:
    return isinstance(final.random_state, Integral)


def _notes(final: Any, n: int) -> list[str]:
    notes: list[str] = []
    held = held_out(final, n)
    if held:
        notes.append(
            f"early stopping held {count(held, 'row')} out and ended training before its minimum: which rows is not "
            "known here, so they are scored as if trained on"
        )
    elif final.solver != "lbfgs" and final.n_iter_ >= final.max_iter:
        notes.append(f"training ended at its step limit (max_iter={final.max_iter}), not by itself")
    if final.solver != "lbfgs" and not _seeded(final):
        notes.append("random_state is not a number, so no refit starts where this fit did: give one to compare runs")
    return notes


def _dense(matrix: Any) -> Array:
    found: Sequence[Any] = matrix.toarray() if sp.issparse(matrix) else matrix
    return np.ascontiguousarray(found, dtype=np.float64)
