"""Each training row's loss under a model that has not seen it, nor its group, nor a later row.

Stands on influence and folds; asked stands on it, where no rows were held out.
"""

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import to_numpy
from upweight.influence import Influence
from upweight.tables.arrangement import Arrangement
from upweight.tables.folds import folds

__all__ = ["losses_out_of_fold"]


def losses_out_of_fold(influence: Influence, arrangement: Arrangement) -> tuple[NDArray[np.float64], str]:
    """[n], NaN where no model could be asked; and how they were come by, in one sentence.

    arrangement: of the training rows. Where it holds nothing, each row alone is left out (estimated, METHODS.md 2.1);
    else real refits without whole groups, or without all later rows.
    """
    own = influence.attribution
    parts = folds(arrangement)
    if not parts:
        loss = to_numpy(own.loss.value(own.outputs, own.targets)) + influence.self_influence().values[0]
        return np.asarray(loss), "no row was held out: the worst are those with most loss under a model without them"
    states, converged = own.refitted([[int(i) for i in part.out] for part in parts])
    loss = np.full(own.n, np.nan)
    for j, part in enumerate(parts):
        if converged[j]:
            z = own.row_outputs_at(states[j : j + 1], [int(i) for i in part.tested])[0]
            loss[part.tested] = to_numpy(own.loss.value(z, own.targets[part.tested]))
    others = "" if arrangement.groups is None else f" with another {arrangement.group_column!r}"
    earlier = "other" if arrangement.times is None else f"earlier (by {arrangement.time_column!r})"
    return loss, f"no row was held out: the worst are those with most loss under a model of {earlier} rows{others} only"
