"""Fitted models as linear heads: one line an entry."""

from typing import Any

from sklearn.linear_model import LogisticRegression, Ridge

from upweight.adapters.assemble import assemble
from upweight.adapters.base import Adapted, Stationarity
from upweight.adapters.logistic import read_logistic
from upweight.adapters.ridge import read_ridge

__all__ = ["READERS", "Adapted", "Stationarity", "adapt"]

READERS = {
    LogisticRegression: read_logistic,
    Ridge: read_ridge,
}


def adapt(estimator: Any, x: Any, y: Any, sample_weight: Any = None) -> Adapted:
    """The user's fitted estimator, alone or inside pipelines and searches, as a linear head.

    Raises: UnsupportedModel for models that have no linear head here, by name; InputError for data that it cannot be.
    """
    return assemble(READERS, estimator, x, y, sample_weight)
