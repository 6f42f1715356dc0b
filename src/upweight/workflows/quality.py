"""How good a model is on the rows it has not seen, in one clause.

Stands on table_model and reading; the commands and the demo stand on it.
"""

import numpy as np

from upweight.display.words import number, percent
from upweight.workflows.reading import says
from upweight.workflows.table_model import TableModel

__all__ = ["quality"]


def quality(table: TableModel) -> str:
    """ "right on 96.9 % of held-out rows"; of numbers the mean error beside that of guessing the mean; or empty."""
    at = table.held_out
    if not len(at):
        return ""
    read, _ = says(table.influence, table.x(at))
    truth = table.y(at)
    if table.influence.adapted.kind == "classification":
        right = np.mean([said == true for said, true in zip(read, truth.tolist(), strict=True)])
        return f"right on {percent(float(right), decimals=1)} of held-out rows"
    values = truth.astype(float).to_numpy()
    error = float(np.mean(np.abs(np.asarray(read) - values)))
    guess = float(np.mean(np.abs(np.mean(np.asarray(table.influence.adapted.labels, dtype=float)) - values)))
    unit = table.influence.adapted.unit
    return f"off by {number(error, unit)} on held-out rows (guessing the mean: {number(guess)})"
