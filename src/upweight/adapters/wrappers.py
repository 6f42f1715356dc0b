"""Pipelines at any depth and searches, taken off: the frozen transformers and the final estimator inside.

Stands on errors; `assemble` stands on it.
"""

from dataclasses import dataclass
from typing import Any

from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from upweight.errors import InputError, UnsupportedModel

__all__ = ["Unwrapped", "refuse_unfitted", "replaced", "unwrap"]


@dataclass(frozen=True)
class Unwrapped:
    """`final` and the transformer stages before it, in order."""

    final: Any
    stages: tuple[Pipeline, ...]  # each a pipeline of transformers only, not empty
    searched: bool = False

    @property
    def transformers(self) -> tuple[str, ...]:
        """Class names of what is frozen, in order."""
        return tuple(
            type(step).__name__
            for stage in self.stages
            for _, step in stage.steps
            if step is not None and step != "passthrough"
        )


def unwrap(estimator: Any) -> Unwrapped:
    """The final estimator of pipelines and searches.

    Raises: UnsupportedModel where there is none; InputError for a search that was not fitted.
    """
    stages: list[Pipeline] = []
    searched = False
    while True:
        if isinstance(estimator, BaseSearchCV):
            name = type(estimator).__name__
            if not estimator.refit:
                raise UnsupportedModel(
                    f"{name}(refit=False) holds no fitted model. Fit it with refit=True, or pass the model that you "
                    "chose, fitted."
                )
            if not hasattr(estimator, "best_estimator_"):
                raise InputError(f"{name} is not fitted. Call its fit first.")
            estimator, searched = estimator.best_estimator_, True
        elif isinstance(estimator, Pipeline):
            if not estimator.steps:
                raise UnsupportedModel("the pipeline has no steps. Pass one that ends in a linear model.")
            name, last = estimator.steps[-1]
            if last is None or last == "passthrough" or not hasattr(last, "predict"):
                kind = last if last is None or isinstance(last, str) else type(last).__name__
                raise UnsupportedModel(
                    f"the pipeline's last step {name!r} ({kind!r}) has no parameters to differentiate. "
                    "End it with a linear model; docs/models.md lists those that work."
                )
            if len(estimator.steps) > 1:
                stages.append(estimator[:-1])
            estimator = last
        else:
            return Unwrapped(estimator, tuple(stages), searched)


def replaced(estimator: Any, final: Any) -> Any:
    """`estimator`, whose wrappers now hold `final`: call it on a copy, since it writes."""
    if isinstance(estimator, BaseSearchCV):
        estimator.best_estimator_ = replaced(estimator.best_estimator_, final)
        return estimator
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        estimator.steps[-1] = (name, replaced(last, final))
        return estimator
    return final


def refuse_unfitted(estimator: Any) -> None:
    """Raises: InputError where the final estimator has not been fitted."""
    try:
        check_is_fitted(estimator)
    except Exception as error:
        raise InputError(f"{type(estimator).__name__} is not fitted. Call its fit first.") from error
