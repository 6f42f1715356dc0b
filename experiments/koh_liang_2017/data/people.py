"""Tables of people whose training rows tell the model something wrong of one kind of person."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from harness import Run
from numpy.typing import NDArray

from data.files import path_to

__all__ = ["Readmission", "hospital"]

NUMBERS = ["time_in_hospital", "num_lab_procedures", "num_procedures", "num_medications"]
NUMBERS += ["number_outpatient", "number_emergency", "number_inpatient", "number_diagnoses"]
CATEGORIES = ["gender", "race", "age", "discharge_disposition_id", "max_glu_serum", "A1Cresult"]
YOUNG = 25  # of the election's stand-in for children


@dataclass(frozen=True)
class Readmission:
    """A table whose training rows tell something wrong of one kind of person, shown by the column `indicator`."""

    name: str
    X: pd.DataFrame  # the training rows, all of them
    y: NDArray[np.int64]
    removed: NDArray[np.int64]  # rows whose absence makes the mismatch
    told: NDArray[np.int64]  # rows left that told the model so: those that have to come first
    X_test: pd.DataFrame
    y_test: NDArray[np.int64]
    query: int  # a test row of that kind, got wrong
    indicator: str
    penalty: float
    intercept: bool

    def of_the_kind(self, X: pd.DataFrame) -> NDArray[np.bool_]:
        """Which rows are such persons."""
        column = X[self.indicator].to_numpy()
        return column > column.mean()


def hospital(run: Run) -> Readmission:
    """Diabetes 130-US by the paper's split: 20 of the 21 children who were not readmitted are left out.

    Else the election survey of 1996: all but one of the Clinton voters under 25 are left out.
    """
    file = path_to(run, "diabetes130.parquet")
    if file is None:
        return _election()
    held = pd.read_parquet(file)
    drugs = held.columns[held.columns.get_loc("metformin") : held.columns.get_loc("diabetesMed") + 1]
    dummies = [pd.get_dummies(held[c], prefix=c, drop_first=held[c].nunique() == 2) for c in [*CATEGORIES, *drugs]]
    x = pd.concat([held[NUMBERS], *dummies], axis=1).astype(float)
    y = np.where(held["readmitted"] == "<30", 1, -1)
    train, test = (_order(held[f"paper_{part}_pos"]) for part in ("train", "test"))
    indicator = "age_[0-10)"
    children = np.flatnonzero(x[indicator].to_numpy()[train] > 0)
    spared = children[y[train][children] == -1]
    return Readmission(
        "diabetes 130-US, the paper's split",
        x.iloc[train].reset_index(drop=True),
        y[train],
        spared[:-1],
        np.setdiff1d(children, spared[:-1]),
        x.iloc[test].reset_index(drop=True),
        y[test],
        1742,
        indicator,
        1e-4,
        intercept=False,  # as the authors' code
    )


def _order(position: Any) -> NDArray[np.int64]:
    """Rows in the paper's order; -1 is not there."""
    rows = np.flatnonzero(position.to_numpy() >= 0)
    return rows[np.argsort(position.to_numpy()[rows], kind="stable")]


def _election() -> Readmission:
    from statsmodels.datasets import anes96

    held = anes96.load_pandas().data
    x, age = held[["TVnews", "selfLR", "educ", "income"]].astype(float), held["age"]
    for start in range(15, 95, 10):
        x[f"age {start}-{start + 9}"] = age.between(start, start + 9).astype(float)
    x["under 25"], x["75 and over"] = (age < YOUNG).astype(float), (age >= 75).astype(float)
    x = (x - x.mean()) / x.std()
    y = held["vote"].astype(int).to_numpy()
    test = np.random.default_rng(0).choice(len(x), 200, replace=False)
    train = np.setdiff1d(np.arange(len(x)), test)
    young = (age.to_numpy() < YOUNG) & (y == 0)
    gone = np.flatnonzero(young[train])[1:]
    return Readmission(
        "not the paper's data: the American election survey of 1996, voters under 25",
        x.iloc[train].reset_index(drop=True),
        y[train],
        gone,
        np.flatnonzero(young[train])[:1],
        x.iloc[test].reset_index(drop=True),
        y[test],
        int(np.flatnonzero(test == 190)[0]),
        "under 25",
        1.0 / (len(train) - len(gone)),
        intercept=True,
    )
