"""The user's y as a head's targets: class labels of any type through classes_, numbers for regression.

Stands on errors; the readers stand on it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from upweight.display.words import count
from upweight.errors import InputError, UnsupportedModel, listed
from upweight.shapes import Array, Float

__all__ = [
    "Encoder",
    "class_codes",
    "class_encoder",
    "class_factors",
    "count_steps",
    "number_encoder",
    "refuse_missing",
    "target_names",
    "target_unit",
    "training_codes",
]


def class_codes(y: Any, classes: Sequence[Any], where: str = "y") -> Array:
    """Class index [n] of each label; True, 1 and 1.0 are the same label, "1" is another.

    Raises: InputError for labels that are missing or that the model has not seen.
    """
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise InputError(f"{where} has shape {values.shape}; a classifier's labels are one per row. Give one column.")
    refuse_missing(values, where)
    lookup = {_plain(label): k for k, label in enumerate(classes)}
    codes = np.array([lookup.get(label, -1) for label in values.tolist()], dtype=np.int64)
    if np.any(codes < 0):
        strange = list(dict.fromkeys(values[codes < 0].tolist()))
        rows = np.flatnonzero(codes < 0)
        raise InputError(
            f"{where} holds {count(len(rows), 'label')} that the model was not fitted on ({listed(strange)}; first at "
            f"position {int(rows[0])}). Its classes are {listed(list(classes), 10)}."
        )
    return codes


def training_codes(labels: Array, classes: tuple[Any, ...]) -> Array:
    """Class index of each training row, [n]; empty for a regression.

    Raises: InputError for fewer than two classes and for more classes than rows.
    """
    if not classes:
        return np.zeros(0, dtype=np.int64)
    codes = class_codes(labels, classes)
    held = np.unique(codes)
    if len(held) < 2:
        raise InputError(
            f"y holds one class ({classes[held[0]]!r}) in all {len(codes)} rows: nothing tells classes apart. "
            "Give the rows that the model was fitted on."
        )
    if len(classes) > len(codes):
        raise InputError(f"the model has {len(classes)} classes and y has {len(codes)} rows. Give all of them.")
    return codes


Encoder = Callable[..., Array]  # (y, where="y") -> targets; `where` is what errors call it


def class_encoder(classes: Sequence[Any], code: Callable[[Array], Array]) -> Encoder:
    """The user's labels -> targets, `code` turning class indices into what the loss reads."""

    def encode(y: Any, where: str = "y") -> Array:
        return code(class_codes(y, classes, where))

    return encode


def number_encoder(outputs: int, flat: bool) -> Encoder:
    """The user's numbers -> float64 targets [n] (flat) or [n, outputs]."""

    def encode(y: Any, where: str = "y") -> Array:
        try:
            values = np.asarray(y, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{where} is not a number in every row ({error}). A regression needs numbers.") from error
        if flat and values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if not flat and values.ndim == 1 and outputs == 1:
            values = values[:, None]
        if values.ndim != (1 if flat else 2) or (not flat and values.shape[1] != outputs):
            wanted = "[n]" if flat else f"[n, {outputs}]"
            raise InputError(f"{where} has shape {values.shape} where the model was fitted on {wanted}.")
        refuse_missing(values, where)
        return values

    return encode


def refuse_missing(values: Array, where: str) -> None:
    """Raises: InputError that names the positions of NaN, None and infinity."""
    missing = np.asarray(pd.isna(values), dtype=bool)
    if values.dtype.kind == "f":
        missing = missing | np.isinf(values)
    rows = np.flatnonzero(missing.reshape(len(values), -1).any(axis=1))
    if len(rows):
        raise InputError(
            f"{where} has no finite value in {count(len(rows), 'row')} (position {listed(rows.tolist())}). "
            "Fill them in, or leave these rows out."
        )


def class_factors(
    class_weight: Any, classes: Sequence[Any], codes: Array, counted: Float[Array, " n"]
) -> Float[Array, " c"]:
    """One factor per class: of a dict, or "balanced" against the `counted` weight of each class.

    Raises: UnsupportedModel for any other class_weight.
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str) and class_weight == "balanced":
        held = np.bincount(codes, weights=counted, minlength=len(classes))
        return np.sum(counted) / (len(classes) * np.where(held > 0, held, 1.0))
    if isinstance(class_weight, dict):
        plain = {_plain(label): float(factor) for label, factor in class_weight.items()}
        return np.array([plain.get(_plain(label), 1.0) for label in classes])
    raise UnsupportedModel(f"class_weight={class_weight!r} is not known here. Use a dict, 'balanced' or None.")


def target_names(y: Any) -> tuple[str, ...]:
    """What the user calls the target, or the targets; ("y",) where y has no name."""
    columns = getattr(y, "columns", None)
    if columns is not None:
        return tuple(str(name) for name in columns)
    name = getattr(y, "name", None)
    return (str(name) if name is not None else "y",)


def target_unit(y: Any) -> str:
    """The name of one target that has one."""
    names = target_names(y)
    return names[0] if len(names) == 1 and names[0] != "y" else "target units"


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


def count_steps(estimator: Any) -> int | None:
    """The most iterations that any of the estimator's fits took; None where it does not say."""
    steps = np.ravel(np.asarray(getattr(estimator, "n_iter_", None), dtype=object))
    known = [int(step) for step in steps if step is not None]
    return max(known) if known else None
