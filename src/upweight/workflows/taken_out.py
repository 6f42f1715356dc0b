"""The same table and model without rows that are asked about: a row, and with it its group, does not explain itself.

Stands on table_model; asked stands on it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from upweight.display.words import among, count
from upweight.errors import InputError, listed
from upweight.influence import Influence
from upweight.workflows.table_model import TableModel

__all__ = ["without"]


def without(table: TableModel, at: Sequence[int], solver: str = "auto") -> TableModel:
    """The same with rows of the file (positions), and their groups, taken out of the training rows; a model refitted.

    A default pipeline is fitted anew; the user's model keeps its preprocessing.
    Raises: InputError if they hold every row of a class, or leave too few.
    """
    out = np.intersect1d(table.arrangement.companions(at), table.train)
    if not len(out):
        return table
    kept = np.setdiff1d(table.train, out)
    y = table.influence.adapted.labels
    keeps = np.isin(table.train, out, invert=True)
    taken = listed(list(table.frame.index[np.asarray(at, dtype=int)]))
    if len(out) > len(at):
        taken += f" with every row of the same {table.arrangement.group_column!r}"
    if table.influence.adapted.kind == "classification":
        gone = [label for label in table.influence.adapted.classes if not np.any(y[keeps] == label)]
        if gone:
            raise InputError(
                f"taking {taken} out leaves no row of class {listed(gone)}, and a model "
                "without it could not be asked. Add --keep to leave them in."
            )
    if len(kept) < 2:
        raise InputError(
            f"taking {taken} out leaves {count(len(kept), 'training row')} to learn from. Add --keep to leave them in."
        )
    ids = list(table.frame.index[out])
    x = table.x(kept)
    labels = pd.Series(y[keeps], index=table.frame.index[kept], name=table.target)
    if table.model_path is None:
        model = clone(table.model).fit(x, labels)
    else:
        refit = table.influence.without(ids)
        if not refit.converged:
            raise InputError(
                f"without {listed(ids)} the model has no optimum to refit to. Add --keep to leave them in, "
                "or fit the model with a penalty."
            )
        model = refit.model
    influence = Influence.from_sklearn(model, x, labels, solver=solver)
    return replace(table, model=model, train=kept, influence=influence, notes=(*table.notes, _said(table, at, out)))


def _said(table: TableModel, at: Sequence[int], out: NDArray[np.int64]) -> str:
    """What was taken out, and what for."""
    ids = list(table.frame.index[out])
    own = np.isin(out, np.asarray(at, dtype=int))
    more = int((~own).sum())
    if len(ids) == 1:
        named = f"{table.id_name} {ids[0]}"
    elif not more:
        named = f"{table.id_name}s {among(ids[:5])}{' …' if len(ids) > 5 else ''}"
    else:
        asked = list(table.frame.index[np.asarray(at, dtype=int)])
        whose = f"{table.id_name}{'' if len(asked) == 1 else 's'} {among(asked[:5])}{' …' if len(asked) > 5 else ''}"
        named = f"the {len(ids):,} training rows with the {table.arrangement.group_column!r} of {whose}"
    one = len(ids) == 1
    explains = f"{'it does' if one else 'they do'} not explain {'itself' if one else 'themselves'}"
    if more:
        explains = f"no {table.arrangement.group_column!r} explains itself"
    return (
        f"{named} {'was' if one else 'were'} taken out of the training rows, so that {explains}: "
        f"the model that answers is refitted without {'it' if one else 'them'}"
    )
