"""Fitted models as linear heads, perceptrons as networks: one line an entry."""

from collections.abc import Callable
from typing import Any

from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from upweight.adapters.assemble import assemble
from upweight.adapters.base import Adapted, Inputs, Stationarity
from upweight.adapters.glm import read_gamma, read_poisson, read_tweedie
from upweight.adapters.huber import read_huber
from upweight.adapters.kernel_ridge import read_kernel_ridge
from upweight.adapters.lasso import read_elastic_net, read_elastic_net_cv, read_lasso, read_lasso_cv
from upweight.adapters.linear_svc import read_linear_svc, read_linear_svr
from upweight.adapters.logistic import read_logistic, read_logistic_cv
from upweight.adapters.one_vs_rest import read_one_vs_rest
from upweight.adapters.reading import Reading, Task
from upweight.adapters.refusals import refuse_smoothing
from upweight.adapters.ridge import (
    read_least_squares,
    read_ridge,
    read_ridge_classifier,
    read_ridge_classifier_cv,
    read_ridge_cv,
)
from upweight.adapters.sgd import read_sgd_classifier, read_sgd_regressor
from upweight.adapters.svc import read_svc, read_svr
from upweight.adapters.wrappers import unwrap
from upweight.errors import MissingExtra

__all__ = ["NETWORKS", "READERS", "Adapted", "Inputs", "Stationarity", "adapt"]

NETWORKS = (MLPClassifier, MLPRegressor)  # through torch, which is imported when one is asked
READERS: dict[type, Callable[[Task], Reading]] = {
    LogisticRegression: read_logistic,
    LogisticRegressionCV: read_logistic_cv,
    OneVsRestClassifier: read_one_vs_rest,
    LinearRegression: read_least_squares,
    Ridge: read_ridge,
    RidgeCV: read_ridge_cv,
    RidgeClassifier: read_ridge_classifier,
    RidgeClassifierCV: read_ridge_classifier_cv,
    Lasso: read_lasso,
    LassoCV: read_lasso_cv,
    ElasticNet: read_elastic_net,
    ElasticNetCV: read_elastic_net_cv,
    PoissonRegressor: read_poisson,
    GammaRegressor: read_gamma,
    TweedieRegressor: read_tweedie,
    HuberRegressor: read_huber,
    SGDClassifier: read_sgd_classifier,
    SGDRegressor: read_sgd_regressor,
    LinearSVC: read_linear_svc,
    LinearSVR: read_linear_svr,
    SVC: read_svc,
    SVR: read_svr,
    KernelRidge: read_kernel_ridge,
}


def adapt(estimator: Any, x: Any, y: Any, sample_weight: Any = None, smoothing: float | None = None) -> Adapted:
    """The user's fitted estimator, alone or in pipelines and searches, as a linear head at its optimum or a network.

    `smoothing`: t of the hinges that derivatives are taken of; None: so small that it hardly moves an output.
    Raises: UnsupportedModel for models that are not read here, by name; InputError for data that it cannot be;
    MissingExtra for a perceptron without torch.
    """
    wrapped = unwrap(estimator)
    if type(wrapped.final) in NETWORKS:
        refuse_smoothing(smoothing, type(wrapped.final).__name__)
        return _mlp(type(wrapped.final).__name__)(wrapped, estimator, x, y, sample_weight)
    return assemble(READERS, estimator, x, y, sample_weight, smoothing)


def _mlp(name: str) -> Callable[..., Adapted]:
    """Raises: MissingExtra where torch is not installed."""
    try:
        from upweight.adapters.mlp import adapt_mlp
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise MissingExtra(f"{name} needs torch: pip install 'upweight[torch]'.") from missing
    return adapt_mlp
