"""Models that are refused, by the name of the class or of one of its bases: why, and what to use instead.

Stands on errors; `assemble` asks it for every class that has no reader.
"""

from typing import Any

from upweight.errors import InputError, UnsupportedModel

__all__ = ["refuse", "refuse_positive", "refuse_smoothing"]

NO_PARAMETERS = "has no parameters to differentiate. Use a linear model"
SEVERAL = "is several fits at once, and each has its own rows. Pass one of them: a linear model"
LATER = "is not supported yet; its part comes later. Until then use {instead}"

# the first line whose name is among the model's class and its bases says the reason
REFUSED = {
    "BaseDecisionTree": NO_PARAMETERS,
    "BaseForest": NO_PARAMETERS,
    "BaseGradientBoosting": NO_PARAMETERS,
    "BaseHistGradientBoosting": NO_PARAMETERS,
    "BaseWeightBoosting": NO_PARAMETERS,
    "IsolationForest": NO_PARAMETERS,
    "BaseBagging": SEVERAL,
    "_BaseVoting": SEVERAL,
    "_BaseStacking": SEVERAL,
    "CalibratedClassifierCV": "is several fits with a calibration behind them. Pass the linear model inside, fitted",
    "BaseThresholdClassifier": "moves the threshold of a model. Pass the model inside, fitted",
    "_MultiOutputEstimator": "fits one model per target. Pass one of them, with its own target column",
    "_BaseChain": "feeds each model's output to the next. Fit one linear model per target",
    "OneVsOneClassifier": "fits a model per pair of classes. Use LogisticRegression",
    "OutputCodeClassifier": "fits a model per code bit. Use LogisticRegression",
    "TransformedTargetRegressor": "transforms the target. Transform y yourself and pass the regressor inside, fitted",
    "NeighborsBase": NO_PARAMETERS,
    "GaussianProcessClassifier": LATER.format(instead="LogisticRegression"),
    "GaussianProcessRegressor": LATER.format(instead="Ridge"),
    "OneClassSVM": "has no target, so no row has a label to weigh. Use a classifier: SVC",
    "SGDOneClassSVM": "has no target, so no row has a label to weigh. Use a classifier: SGDClassifier",
    "NuSVC": "sets its margin by the share of rows that may miss it, which a removal changes. Use SVC",
    "NuSVR": "sets its tube by the share of rows that may leave it, which a removal changes. Use SVR",
    "BaseMultilayerPerceptron": "is another perceptron than scikit-learn's own. Use MLPClassifier or MLPRegressor",
    "Perceptron": "has a loss without curvature. Use LogisticRegression or SGDClassifier(loss='log_loss')",
    "PassiveAggressiveClassifier": "has no objective that it minimises. Use LogisticRegression",
    "PassiveAggressiveRegressor": "has no objective that it minimises. Use Ridge",
    "_BaseNB": "is fitted by counting, not by minimising a loss. Use LogisticRegression",
    "LinearDiscriminantAnalysis": "is fitted from class means, not by minimising a loss. Use LogisticRegression",
    "QuadraticDiscriminantAnalysis": "is fitted from class means, not by minimising a loss. Use LogisticRegression",
    "SelfTrainingClassifier": "labels rows by its own guesses. Pass the model inside, fitted",
    "NearestCentroid": "is fitted from class means, not by minimising a loss. Use LogisticRegression",
    "IsotonicRegression": NO_PARAMETERS,
    "_PLS": "is fitted by projections, not by minimising a loss. Use Ridge",
    "OrthogonalMatchingPursuit": "picks columns one by one. Use Lasso, or LinearRegression on those that it picked",
    "OrthogonalMatchingPursuitCV": "picks columns one by one. Use Lasso, or LinearRegression on those that it picked",
    "MultiTaskElasticNetCV": "ties its targets by a group penalty. Use ElasticNet or Ridge with the same y",
    "MultiTaskLassoCV": "ties its targets by a group penalty. Use Lasso or Ridge with the same y",
    "MultiTaskElasticNet": "ties its targets by a group penalty. Use ElasticNet or Ridge with the same y",
    "Lars": "stops along a path. Use Lasso with the same alpha",
    "RANSACRegressor": "drops rows by chance. Use HuberRegressor",
    "TheilSenRegressor": "takes a median of subsets. Use HuberRegressor",
    "QuantileRegressor": "has a loss without curvature. Use HuberRegressor",
    "BayesianRidge": "fits its penalty with its parameters. Use Ridge with the alpha that it found (lambda_ / alpha_)",
    "ARDRegression": "fits its penalties with its parameters. Use Ridge",
    "BaseDummy": NO_PARAMETERS,
    "DummyClassifier": NO_PARAMETERS,
    "DummyRegressor": NO_PARAMETERS,
    "ClusterMixin": "has no target. Use a classifier or a regressor: a linear model",
}


def refuse(estimator: Any) -> UnsupportedModel:
    """The error for a model without a reader."""
    kind = type(estimator)
    for base in kind.__mro__:
        if base.__name__ in REFUSED:
            return UnsupportedModel(f"{kind.__name__} {REFUSED[base.__name__]}; docs/models.md lists those that work.")
    known = next((base.__name__ for base in kind.__mro__[1:] if base.__module__.startswith("sklearn.linear_model")), "")
    if known and not kind.__module__.startswith("sklearn."):
        return UnsupportedModel(
            f"{kind.__name__} is a class of its own over {known} and may fit something else. "
            f"Pass a {known} itself; docs/models.md lists the models that work."
        )
    return UnsupportedModel(
        f"{kind.__name__} is not a model that upweight knows. Use a linear model of scikit-learn; "
        "docs/models.md lists those that work."
    )


def refuse_positive(estimator: Any) -> None:
    """Raises: UnsupportedModel for coefficients that are held at or above 0."""
    if getattr(estimator, "positive", False):
        name = type(estimator).__name__
        raise UnsupportedModel(
            f"{name}(positive=True) holds coefficients at 0 by a constraint, which a row's weight may release. "
            f"Use {name}(positive=False); docs/models.md lists the models that work."
        )


def refuse_smoothing(smoothing: float | None, name: str) -> None:
    """Raises: InputError where a width is given for kinks that the loss of this model has not."""
    if smoothing is not None:
        raise InputError(
            f"smoothing is {smoothing!r}, and the loss of this {name} has no kinks to round. Leave smoothing out: it "
            "is for SVC, SVR, and LinearSVC, LinearSVR and SGD with loss='hinge' or 'epsilon_insensitive'."
        )
