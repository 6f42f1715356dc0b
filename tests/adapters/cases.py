"""Every estimator that upweight reads, in the settings that change its objective, and that objective written anew.

Other tests import ESTIMATORS: fit a case with `fit`, and read what it was fitted on from `data`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, logsumexp, xlogy
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
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

N, D = 90, 4


@dataclass(frozen=True)
class Data:
    """What an estimator is fitted on."""

    x: Any
    y: Any
    weight: Any = None

    @property
    def weights(self) -> Any:
        """Ones where none are given."""
        return np.ones(self.x.shape[0]) if self.weight is None else self.weight


@dataclass(frozen=True)
class Case:
    """One estimator: how to make it and its data, what F is, and how near to F's optimum its own solver comes."""

    name: str
    make: Callable[[], Any]
    data: Callable[[], Data]
    objective: Callable[[Any, Data], float]
    normalization: str
    tol: float = 1e-6  # largest |∇F| at the fitted parameters, before polishing
    kinks: bool = False  # the loss has kinks: F has no gradient at its optimum, and `tol` is on the outputs there

    def fit(self) -> Any:
        """The estimator, fitted on its data."""
        data = self.data()
        kwargs = {} if data.weight is None else {"sample_weight": data.weight}
        return self.make().fit(data.x, data.y, **kwargs)


def _x(seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(N, D)) * np.array([1.0, 2.0, 0.5, 1.0]) + 0.3


def _weights() -> Any:
    return np.random.default_rng(5).integers(1, 4, size=N).astype(float)


def classes(c: int, labels: Any = None, weighted: bool = False, sparse: bool = False) -> Callable[[], Data]:
    """Noisy classes, unevenly filled."""

    def data() -> Data:
        rng = np.random.default_rng(c)
        x = _x()
        z = x @ rng.normal(size=(D, c)) + np.linspace(0.8, -0.8, c) + rng.gumbel(size=(N, c))
        codes = np.argmax(z, axis=1)
        y = codes if labels is None else np.asarray(labels)[codes]
        return Data(sp.csr_array(x * (np.abs(x) > 0.4)) if sparse else x, y, _weights() if weighted else None)

    return data


def numbers(targets: int = 0, weighted: bool = False, sparse: bool = False) -> Callable[[], Data]:
    """A noisy linear target, or several."""

    def data() -> Data:
        rng = np.random.default_rng(11)
        x = _x()
        y = x @ rng.normal(size=(D, max(targets, 1))) + 2.0 + rng.standard_t(4, size=(N, max(targets, 1)))
        return Data(
            sp.csr_array(x * (np.abs(x) > 0.4)) if sparse else x,
            y if targets else y[:, 0],
            _weights() if weighted else None,
        )

    return data


def counts(weighted: bool = False, positive: bool = False) -> Callable[[], Data]:
    """Counts, or positive numbers, with a log-linear mean."""

    def data() -> Data:
        rng = np.random.default_rng(13)
        x = _x() * 0.5
        mean = np.exp(x @ np.array([0.5, -0.3, 0.4, 0.1]) + 0.5)
        y = rng.gamma(2.0, mean / 2.0) if positive else rng.poisson(mean).astype(float)
        return Data(x, y, _weights() if weighted else None)

    return data


# -- objectives, written from the documentation of each estimator ----------------------------------------------------


def _z(model: Any, data: Data) -> Any:
    coef = np.atleast_2d(model.coef_.toarray() if sp.issparse(model.coef_) else model.coef_)
    return data.x @ coef.T + np.reshape(model.intercept_, (1, -1))


def _squared(model: Any) -> float:
    return float(np.sum(np.square(model.coef_)))


def _class_weights(model: Any, data: Data, weighted_count: bool) -> Any:
    if model.class_weight is None:
        return np.ones(N)
    if model.class_weight == "balanced":
        w = data.weights if weighted_count else np.ones(N)
        each = {label: np.sum(w) / (len(model.classes_) * np.sum(w[data.y == label])) for label in model.classes_}
    else:
        each = {label: model.class_weight.get(label, 1.0) for label in model.classes_}
    return np.array([each[label] for label in data.y.tolist()])


def logistic(c: float, l1_ratio: float = 0.0) -> Callable[[Any, Data], float]:
    """(1/n)(Σ w ℓ + penalty / C), liblinear's intercept included in the penalty."""

    def value(model: Any, data: Data) -> float:
        z = _z(model, data)
        z = np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z
        own = z[np.arange(N), np.searchsorted(model.classes_, data.y)]
        losses = logsumexp(z, axis=1) - own
        theta = np.ravel(model.coef_)
        if getattr(model, "solver", "") == "liblinear":
            theta = np.append(theta, np.ravel(model.intercept_) / model.intercept_scaling)
        penalty = 0.5 * (1 - l1_ratio) * np.sum(theta**2) + l1_ratio * np.sum(np.abs(theta))
        return float((np.sum(data.weights * _class_weights(model, data, True) * losses) + penalty / c) / N)

    return value


def one_against_rest(model: Any, data: Data) -> float:
    """The c binary objectives added up."""
    total = 0.0
    for k, fit in enumerate(model.estimators_):
        label = model.classes_[-1] if len(model.estimators_) == 1 else model.classes_[k]
        side = Data(data.x, (data.y == label).astype(int), data.weight)
        total += logistic(fit.C)(fit, side)
    return total


def ridge(alpha: Any) -> Callable[[Any, Data], float]:
    """(1/n)(½ Σ w r² + ½ Σ α ‖coef‖²)."""

    def value(model: Any, data: Data) -> float:
        r = _z(model, data) - np.reshape(data.y, (N, -1))
        each = np.sum(np.atleast_2d(model.coef_) ** 2, axis=1) * np.ravel(alpha if alpha is not None else model.alpha_)
        return float((0.5 * np.sum(data.weights[:, None] * r**2) + 0.5 * np.sum(each)) / N)

    return value


def ridge_classifier(alpha: float | None) -> Callable[[Any, Data], float]:
    """Ridge on ±1; class weights count rows without their weights."""

    def value(model: Any, data: Data) -> float:
        z = _z(model, data)
        labels = model.classes_[1:] if z.shape[1] == 1 else model.classes_
        y = np.where(np.asarray(data.y)[:, None] == np.asarray(labels)[None], 1.0, -1.0)
        w = data.weights * _class_weights(model, data, False)
        strength = model.alpha_ if alpha is None else alpha
        return float((0.5 * np.sum(w[:, None] * (z - y) ** 2) + 0.5 * strength * _squared(model)) / N)

    return value


def elastic_net(model: Any, data: Data) -> float:
    """Σ w ½ r² / Σ w + α (l1_ratio |coef|₁ + ½ (1 − l1_ratio) ‖coef‖²)."""
    r = _z(model, data) - np.reshape(data.y, (N, -1))
    alpha = getattr(model, "alpha_", None) or model.alpha
    share = getattr(model, "l1_ratio_", getattr(model, "l1_ratio", 1.0))
    w = data.weights
    penalty = share * np.sum(np.abs(model.coef_)) + 0.5 * (1 - share) * _squared(model)
    return float(np.sum(w[:, None] * r**2) / (2 * np.sum(w)) + alpha * penalty)


def glm(power: float) -> Callable[[Any, Data], float]:
    """Σ w · half deviance / Σ w + ½ α ‖coef‖²."""

    def value(model: Any, data: Data) -> float:
        z, y = _z(model, data)[:, 0], data.y
        if power == 0:
            losses = 0.5 * (y - z) ** 2
        elif power == 1:
            losses = xlogy(y, y / np.exp(z)) - y + np.exp(z)
        elif power == 2:
            losses = y / np.exp(z) - 1 - np.log(y / np.exp(z))
        else:
            mu = np.exp(z)
            losses = (
                y ** (2 - power) / ((1 - power) * (2 - power))
                - y * mu ** (1 - power) / (1 - power)
                + mu ** (2 - power) / (2 - power)
            )
        return float(np.average(losses, weights=data.weights) + 0.5 * model.alpha * _squared(model))

    return value


def huber(model: Any, data: Data) -> float:
    """(1/n)(Σ w (σ + σ H(r/σ)) + α ‖coef‖²)."""
    t = (data.y - _z(model, data)[:, 0]) / model.scale_
    h = np.where(np.abs(t) <= model.epsilon, t**2, 2 * model.epsilon * np.abs(t) - model.epsilon**2)
    return float((np.sum(data.weights * model.scale_ * (1 + h)) + model.alpha * _squared(model)) / N)


def sgd(model: Any, data: Data) -> float:
    """Σ w ℓ / n + α R(coef), each class against the rest; a class weight counts on the class's own side."""
    z = _z(model, data)
    w = np.repeat(data.weights[:, None], z.shape[1], axis=1)
    y = np.reshape(data.y, (N, -1))
    if hasattr(model, "classes_"):
        labels = model.classes_[1:] if z.shape[1] == 1 else model.classes_
        y = np.where(np.asarray(data.y)[:, None] == np.asarray(labels)[None], 1.0, -1.0)
        own = _class_weights(model, data, False)
        w = w * (own[:, None] if z.shape[1] == 1 else np.where(y > 0, own[:, None], 1.0))
    t, r = y * z, np.abs(z - y)
    losses = {
        "log_loss": -np.log(expit(t)),
        "squared_hinge": np.maximum(0, 1 - t) ** 2,
        "modified_huber": np.where(t >= -1, np.maximum(0, 1 - t) ** 2, -4 * t),
        "hinge": np.maximum(0, 1 - t),
        "epsilon_insensitive": np.maximum(0, r - model.epsilon),
        "squared_epsilon_insensitive": np.maximum(0, r - model.epsilon) ** 2,
        "squared_error": 0.5 * r**2,
        "huber": np.where(r <= model.epsilon, 0.5 * r**2, model.epsilon * r - 0.5 * model.epsilon**2),
    }[model.loss]
    share = {"l2": 0.0, "l1": 1.0, "elasticnet": model.l1_ratio, None: 0.0}[model.penalty]
    penalty = share * np.sum(np.abs(model.coef_)) + 0.5 * (1 - share) * _squared(model)
    return float(np.sum(w * losses) / N + (0.0 if model.penalty is None else model.alpha) * penalty)


def liblinear(model: Any, data: Data) -> float:
    """(1/n)(Σ w ℓ + ½ (‖coef‖² + (intercept / scaling)²) / C), each class against the rest."""
    z = _z(model, data)
    w = np.repeat(data.weights[:, None], z.shape[1], axis=1)
    if hasattr(model, "classes_"):
        labels = model.classes_[1:] if z.shape[1] == 1 else model.classes_
        y = np.where(np.asarray(data.y)[:, None] == np.asarray(labels)[None], 1.0, -1.0)
        own = _class_weights(model, data, True)
        w = w * (own[:, None] if z.shape[1] == 1 else np.where(y > 0, own[:, None], 1.0))
        short = np.maximum(0, 1 - y * z)
    else:
        short = np.maximum(0, np.abs(z - np.reshape(data.y, (N, 1))) - model.epsilon)
    losses = short if model.loss in ("hinge", "epsilon_insensitive") else short**2
    last = np.ravel(model.intercept_) / model.intercept_scaling
    theta = np.append(np.ravel(model.coef_), last if model.fit_intercept else [])
    l1 = getattr(model, "penalty", "l2") == "l1"
    penalty = np.sum(np.abs(theta)) if l1 else 0.5 * np.sum(theta**2)
    return float((np.sum(w * losses) + penalty / model.C) / N)


def libsvm(model: Any, data: Data) -> float:
    """(1/n)(Σ w ℓ + ½ aᵀKa / C) over its support rows."""
    dual = model.dual_coef_.toarray() if sp.issparse(model.dual_coef_) else model.dual_coef_
    held = model.support_vectors_
    kernel = pairwise_kernels(
        held,
        metric=model.kernel,
        filter_params=True,
        gamma=model._gamma,
        degree=model.degree,
        coef0=model.coef0,
    )
    if hasattr(model, "classes_"):
        w = data.weights * _class_weights(model, data, False)
        losses = np.maximum(0, 1 - np.where(data.y == model.classes_[1], 1, -1) * model.decision_function(data.x))
    else:
        w, losses = data.weights, np.maximum(0, np.abs(model.predict(data.x) - data.y) - model.epsilon)
    return float((np.sum(w * losses) + 0.5 * np.sum(dual * (dual @ kernel)) / model.C) / N)


def kernel_ridge(model: Any, data: Data) -> float:
    """(1/n)(½ Σ w r² + ½ α aᵀKa), for each target."""
    kernel = model._get_kernel(model.X_fit_)
    dual = np.reshape(model.dual_coef_, (len(kernel), -1))
    r = np.reshape(model.predict(data.x), (N, -1)) - np.reshape(data.y, (N, -1))
    each = np.ravel(model.alpha) * np.sum(dual * (kernel @ dual), axis=0)
    return float((0.5 * np.sum(data.weights[:, None] * r**2) + 0.5 * np.sum(each)) / N)


# -- the table -------------------------------------------------------------------------------------------------------

WORDS = ("ape", "bee", "cat", "dog")
TIGHT: dict[str, Any] = {"tol": 1e-12, "max_iter": 20_000}
EXACT: dict[str, Any] = {"solver": "newton-cholesky", "tol": 1e-14}
SGD: dict[str, Any] = {"tol": None, "max_iter": 4000, "random_state": 0, "average": 1000, "alpha": 0.01}
SGD |= {"learning_rate": "invscaling", "eta0": 0.05}
LINEAR: dict[str, Any] = {"tol": 1e-9, "max_iter": 200_000, "random_state": 0}  # liblinear's dual: by coordinates
SUM, MEAN, ROWS = "sum", "mean", "rows"


def _case(name: str, make: Callable[[], Any], data: Any, objective: Any, normalization: str, tol: float = 1e-6) -> Case:
    return Case(name, make, data, objective, normalization, tol)


def _kinked(
    name: str, make: Callable[[], Any], data: Any, objective: Any, normalization: str = "sum", tol: float = 1e-4
) -> Case:
    return Case(name, make, data, objective, normalization, tol, kinks=True)


ESTIMATORS: tuple[Case, ...] = (
    # LogisticRegression: each solver, then each setting that changes F
    *(
        _case(
            f"logistic {solver} {c}",
            lambda s=solver: LogisticRegression(solver=s, C=0.7, random_state=0, **TIGHT),
            classes(c, weighted=True),
            logistic(0.7),
            SUM,
        )
        for solver in ("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga")
        for c in (2, 3)
    ),
    _case("logistic words", lambda: LogisticRegression(**EXACT), classes(3, WORDS), logistic(1.0), SUM),
    _case("logistic ±1", lambda: LogisticRegression(**EXACT), classes(2, (-1, 1)), logistic(1.0), SUM),
    _case("logistic bool", lambda: LogisticRegression(**EXACT), classes(2, (False, True)), logistic(1.0), SUM),
    _case("logistic floats", lambda: LogisticRegression(**EXACT), classes(3, (1.0, 2.0, 7.0)), logistic(1.0), SUM),
    _case("logistic no penalty", lambda: LogisticRegression(C=np.inf, **EXACT), classes(3), logistic(np.inf), SUM),
    _case(
        "logistic no intercept",
        lambda: LogisticRegression(fit_intercept=False, **EXACT),
        classes(3),
        logistic(1.0),
        SUM,
    ),
    *(
        _case(
            f"logistic balanced {c}",
            lambda: LogisticRegression(class_weight="balanced", **EXACT),
            classes(c, weighted=True),
            logistic(1.0),
            SUM,
        )
        for c in (2, 3)
    ),
    _case(
        "logistic class weights",
        lambda: LogisticRegression(class_weight={"ape": 2.0, "cat": 0.5}, **EXACT),
        classes(3, WORDS),
        logistic(1.0),
        SUM,
    ),
    _case("logistic sparse", lambda: LogisticRegression(**TIGHT), classes(3, sparse=True), logistic(1.0), SUM),
    _case(
        "liblinear",
        lambda: LogisticRegression(solver="liblinear", intercept_scaling=3.0, **TIGHT),
        classes(2, weighted=True),
        logistic(1.0),
        SUM,
    ),
    _case(
        "liblinear dual",
        lambda: LogisticRegression(solver="liblinear", dual=True, random_state=0, **TIGHT),
        classes(2),
        logistic(1.0),
        SUM,
    ),
    _case(
        "liblinear balanced",
        lambda: LogisticRegression(solver="liblinear", class_weight="balanced", **TIGHT),
        classes(2, weighted=True),
        logistic(1.0),
        SUM,
    ),
    _case(
        "liblinear l1",
        lambda: LogisticRegression(solver="liblinear", l1_ratio=1.0, C=0.15, intercept_scaling=2.0, **TIGHT),
        classes(2),
        logistic(0.15, 1.0),
        SUM,
    ),
    _case(
        "saga l1",
        lambda: LogisticRegression(solver="saga", l1_ratio=1.0, C=0.15, random_state=0, **TIGHT),
        classes(3),
        logistic(0.15, 1.0),
        SUM,
    ),
    _case(
        "saga elastic net",
        lambda: LogisticRegression(solver="saga", l1_ratio=0.5, C=0.1, random_state=0, **TIGHT),
        classes(3),
        logistic(0.1, 0.5),
        SUM,
    ),
    *(
        _case(
            f"logistic CV {c}",
            lambda: LogisticRegressionCV(
                Cs=[0.1, 1.0],
                cv=3,
                scoring="neg_log_loss",
                class_weight="balanced",
                use_legacy_attributes=False,
                l1_ratios=(0.0,),
                **TIGHT,
            ),
            classes(c, weighted=True),
            lambda model, data: logistic(model.C_)(model, data),
            SUM,
        )
        for c in (2, 3)
    ),
    *(
        _case(
            f"one against rest {c} {weight}",
            lambda w=weight: OneVsRestClassifier(LogisticRegression(class_weight=w, C=0.5, **EXACT)),
            classes(c, WORDS),
            one_against_rest,
            SUM,
        )
        for c in (2, 3)
        for weight in (None, "balanced")
    ),
    # least squares
    *(
        _case(
            f"ridge {solver}",
            lambda s=solver: Ridge(alpha=2.0, solver=s, random_state=0, **TIGHT),
            numbers(weighted=True),
            ridge(2.0),
            SUM,
        )
        for solver in ("auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga")
    ),
    _case("ridge no intercept", lambda: Ridge(fit_intercept=False), numbers(), ridge(1.0), SUM),
    _case(
        "ridge several",
        lambda: Ridge(alpha=np.array([1.0, 5.0, 0.1])),
        numbers(3, weighted=True),
        ridge([1.0, 5.0, 0.1]),
        SUM,
    ),
    _case("ridge sparse", lambda: Ridge(solver="sparse_cg", **TIGHT), numbers(sparse=True), ridge(1.0), SUM),
    _case("ridge CV", lambda: RidgeCV(alphas=[0.1, 1.0]), numbers(weighted=True), ridge(None), SUM),
    _case(
        "ridge CV per target",
        lambda: RidgeCV(alphas=[0.1, 1.0, 10.0], alpha_per_target=True),
        numbers(3),
        ridge(None),
        SUM,
    ),
    _case("linear", lambda: LinearRegression(), numbers(weighted=True), ridge(0.0), SUM),
    _case("linear several", lambda: LinearRegression(), numbers(2), ridge(0.0), SUM),
    *(
        _case(
            f"ridge classifier {c} {weight}",
            lambda w=weight: RidgeClassifier(alpha=3.0, class_weight=w),
            classes(c, WORDS, weighted=True),
            ridge_classifier(3.0),
            SUM,
        )
        for c in (2, 3)
        for weight in (None, "balanced")
    ),
    _case(
        "ridge classifier CV",
        lambda: RidgeClassifierCV(alphas=[0.1, 1.0], class_weight="balanced"),
        classes(3, weighted=True),
        ridge_classifier(None),
        SUM,
    ),
    # l1 on its support
    _case("lasso", lambda: Lasso(alpha=0.4, **TIGHT), numbers(weighted=True), elastic_net, MEAN),
    _case("lasso several", lambda: Lasso(alpha=0.4, **TIGHT), numbers(2), elastic_net, MEAN),
    _case("elastic net", lambda: ElasticNet(alpha=0.6, l1_ratio=0.7, **TIGHT), numbers(0, True), elastic_net, MEAN),
    _case("lasso CV", lambda: LassoCV(alphas=[0.3, 0.5], cv=3, **TIGHT), numbers(weighted=True), elastic_net, MEAN),
    _case(
        "elastic net CV",
        lambda: ElasticNetCV(alphas=[0.3, 0.5], l1_ratio=[0.5, 0.9], cv=3, **TIGHT),
        numbers(),
        elastic_net,
        MEAN,
    ),
    # generalised linear models
    _case("poisson", lambda: PoissonRegressor(alpha=0.1, **EXACT), counts(weighted=True), glm(1), MEAN),
    _case("poisson lbfgs", lambda: PoissonRegressor(alpha=0.1, **TIGHT), counts(), glm(1), MEAN),
    _case("gamma", lambda: GammaRegressor(alpha=0.1, **EXACT), counts(weighted=True, positive=True), glm(2), MEAN),
    _case("tweedie 1.5", lambda: TweedieRegressor(power=1.5, alpha=0.1, **EXACT), counts(True), glm(1.5), MEAN),
    _case("tweedie 0", lambda: TweedieRegressor(power=0, alpha=0.1, **EXACT), numbers(weighted=True), glm(0), MEAN),
    _case("huber", lambda: HuberRegressor(alpha=0.5, tol=1e-9, max_iter=20_000), numbers(0, True), huber, SUM, 1e-4),
    _case(
        "huber no intercept",
        lambda: HuberRegressor(epsilon=1.1, fit_intercept=False, tol=1e-9, max_iter=20_000),
        numbers(),
        huber,
        SUM,
        1e-4,
    ),
    # stochastic gradients: near the optimum of F, not at it
    *(
        _case(
            f"sgd {loss} {c}",
            lambda name=loss: SGDClassifier(loss=name, epsilon=0.5, **SGD),
            classes(c, WORDS, weighted=True),
            sgd,
            ROWS,
            3e-2,
        )
        for loss in ("log_loss", "modified_huber", "squared_hinge", "squared_error", "huber")
        for c in (2, 3)
    ),
    *(
        _case(
            f"sgd balanced {c}",
            lambda: SGDClassifier(loss="log_loss", class_weight="balanced", **SGD),
            classes(c, weighted=True),
            sgd,
            ROWS,
            3e-2,
        )
        for c in (2, 3)
    ),
    _case("sgd no penalty", lambda: SGDClassifier(loss="log_loss", penalty=None, **SGD), classes(2), sgd, ROWS, 3e-2),
    _case(
        "sgd elastic net",
        lambda: SGDClassifier(loss="log_loss", penalty="elasticnet", l1_ratio=0.5, **(SGD | {"average": False})),
        classes(2),
        sgd,
        ROWS,
        0.1,
    ),
    *(
        _case(
            f"sgd regressor {loss}",
            lambda name=loss: SGDRegressor(loss=name, epsilon=0.5, **SGD),
            numbers(weighted=True),
            sgd,
            ROWS,
            5e-2,
        )
        for loss in ("squared_error", "huber", "squared_epsilon_insensitive")
    ),
    *(
        _kinked(f"sgd hinge {c}", lambda: SGDClassifier(loss="hinge", **SGD), classes(c, WORDS, True), sgd, ROWS, 0.3)
        for c in (2, 3)
    ),
    _kinked(
        "sgd regressor epsilon_insensitive",
        lambda: SGDRegressor(loss="epsilon_insensitive", epsilon=0.5, **SGD),
        numbers(weighted=True),
        sgd,
        ROWS,
        0.3,
    ),
    # margins by liblinear
    *(
        _case(
            f"linear svc {c} {weight}",
            lambda w=weight: LinearSVC(C=0.5, class_weight=w, dual=False, intercept_scaling=3.0, **TIGHT),
            classes(c, WORDS, weighted=True),
            liblinear,
            SUM,
        )
        for c in (2, 3)
        for weight in (None, "balanced")
    ),
    _case("linear svc dual", lambda: LinearSVC(dual=True, **LINEAR), classes(2), liblinear, SUM),
    _case("linear svc no intercept", lambda: LinearSVC(fit_intercept=False, **TIGHT), classes(2), liblinear, SUM),
    _case("linear svc sparse", lambda: LinearSVC(**TIGHT), classes(2, sparse=True), liblinear, SUM),
    _case(
        "linear svc l1",
        lambda: LinearSVC(C=0.05, penalty="l1", dual=False, tol=1e-9, max_iter=20_000),
        classes(2),
        liblinear,
        SUM,
        1e-4,
    ),
    *(
        _kinked(
            f"linear svc hinge {c} {weight}",
            lambda w=weight: LinearSVC(loss="hinge", C=0.3, class_weight=w, intercept_scaling=2.0, **LINEAR),
            classes(c, weighted=True),
            liblinear,
        )
        for c in (2, 3)
        for weight in (None, "balanced")
    ),
    _case(
        "linear svr squared",
        lambda: LinearSVR(loss="squared_epsilon_insensitive", epsilon=0.3, dual=False, **TIGHT),
        numbers(weighted=True),
        liblinear,
        SUM,
    ),
    _kinked("linear svr", lambda: LinearSVR(epsilon=0.3, C=0.5, **LINEAR), numbers(weighted=True), liblinear),
    # kernels
    *(
        _kinked(
            f"svc {kernel} {weight}",
            lambda k=kernel, w=weight: SVC(kernel=k, class_weight=w, C=0.7, coef0=0.5, tol=1e-9),
            classes(2, WORDS, weighted=True),
            libsvm,
        )
        for kernel in ("rbf", "poly", "linear")
        for weight in (None, "balanced")
    ),
    _kinked("svc sparse", lambda: SVC(tol=1e-9), classes(2, sparse=True), libsvm),
    _kinked("svc sparse linear", lambda: SVC(kernel="linear", tol=1e-9), classes(2, sparse=True), libsvm),
    *(
        _kinked(f"svr {k}", lambda k=k: SVR(kernel=k, epsilon=0.3, tol=1e-9), numbers(weighted=True), libsvm)
        for k in ("rbf", "linear")
    ),
    *(
        _case(
            f"kernel ridge {kernel}",
            lambda k=kernel: KernelRidge(kernel=k, alpha=0.3, gamma=0.1),
            numbers(weighted=True),
            kernel_ridge,
            SUM,
        )
        for kernel in ("rbf", "poly", "linear", "laplacian")
    ),
    _case(
        "kernel ridge several",
        lambda: KernelRidge(kernel="rbf", alpha=np.array([0.3, 1.0, 2.0])),
        numbers(3),
        kernel_ridge,
        SUM,
    ),
)
