"""Mails and whether they are spam, as counts of words."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from harness import Run
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.feature_extraction.text import CountVectorizer

from data.files import path_to

__all__ = ["Mails", "mails"]

TESTED = 169  # rows of the stand-in that are held out


@dataclass(frozen=True)
class Mails:
    """Rows of two kinds, to train on and to test on, and the paper's penalty for them."""

    name: str
    X: Any  # [n, d] sparse, or dense of the stand-in
    y: NDArray[np.int64]
    X_test: Any
    y_test: NDArray[np.int64]
    penalty: float


def mails(run: Run) -> Mails:
    """Enron1, four fifths to train on, words that five mails have; else scikit-learn's breast cancer."""
    file = path_to(run, "enron1.parquet")
    if file is None:
        return _cells()
    held = pd.read_parquet(file)
    train, test = held[held["split"] == "train"], held[held["split"] == "test"]
    words = CountVectorizer(min_df=5, stop_words="english", token_pattern=r"(?u)\b[A-Za-z][A-Za-z]+\b")
    x = words.fit_transform(train["text"]).astype(float)
    y, yt = (part["spam"].to_numpy().astype(np.int64) for part in (train, test))
    return Mails("Enron1, four fifths to train on", x, y, words.transform(test["text"]).astype(float), yt, 1e-4)


def _cells() -> Mails:
    held = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(held.target))
    x = (held.data - held.data.mean(axis=0)) / held.data.std(axis=0)
    train, test = order[TESTED:], order[:TESTED]
    name = "not the paper's data: scikit-learn's breast cancer"
    return Mails(name, x[train], held.target[train], x[test], held.target[test], 1.0 / len(train))
