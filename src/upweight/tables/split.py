"""Rows to learn from and rows held out, the same for the same seed.

Stands on numpy; the commands stand on it.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.errors import InputError
from upweight.tables.target import Task

__all__ = ["held_out"]


def held_out(
    frame: pd.DataFrame, target: str, task: Task, fraction: float = 0.25, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in the frame, ascending: those to train on, those held out.

    Classes are split each in the same proportion, and one with two rows or more is on both sides; a class of a
    single row is trained on.
    Raises: InputError if the fraction leaves either side empty.
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"the held-out fraction must lie between 0 and 1, not at {fraction!r}.")
    draw = np.random.default_rng([seed, 0x5711])  # a stream of its own: other draws from this seed do not move it
    n = len(frame)
    if task == "classification":
        codes, _ = pd.factorize(frame[target], sort=True)
        groups = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    else:
        groups = [np.arange(n)]
    test = [np.empty(0, dtype=np.int64)]
    owed = 0.0  # rounding carried on from class to class, so that many small classes still add up
    for rows in groups:
        if len(rows) < 2:
            continue
        owed += fraction * len(rows)
        count = min(max(1, round(owed)), len(rows) - 1)
        owed -= count
        test.append(draw.permutation(rows)[:count])
    out = np.sort(np.concatenate(test)).astype(np.int64)
    if not len(out):
        raise InputError(f"{n:,} rows are too few to hold any out: a class, or the table, needs at least two.")
    return np.setdiff1d(np.arange(n, dtype=np.int64), out), out
