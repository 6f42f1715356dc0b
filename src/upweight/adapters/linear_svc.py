"""LinearSVC and LinearSVR: liblinear's hinges, squared or plain, λ = 1/(C n), sum form, the intercept penalised.

λ / intercept_scaling² on the intercept (l1: / intercept_scaling). More than two classes are one fit each against the
rest, whose class weight counts on its own side alone; "balanced" counts weighted rows. The plain losses have kinks.
Source: METHODS.md 1 (mapping table), scikit-learn's svm/_base.py, liblinear.
"""

import numpy as np

from upweight.adapters.labels import class_codes, class_encoder, class_factors, count_steps, number_encoder
from upweight.adapters.promise import Promise, no_promise, relative_to_start
from upweight.adapters.reading import Kinks, Reading, Task, layout, refitting, regression_names, write_linear
from upweight.errors import UnsupportedModel
from upweight.output_loss import Hinge, Insensitive, Scalar, Separate, SquaredHinge, SquaredInsensitive, Weighted
from upweight.shapes import Array, Float

__all__ = ["read_linear_svc", "read_linear_svr"]

STOPS = 10.0  # liblinear's dual stops where projected gradients span tol: F − F* is below tol × the mean box


def read_linear_svc(task: Task) -> Reading:
    """LinearSVC with either loss and penalty.

    Raises: UnsupportedModel for multi_class="crammer_singer".
    """
    estimator = task.estimator
    classes = tuple(estimator.classes_.tolist())
    if estimator.multi_class != "ovr" and len(classes) > 2:
        raise UnsupportedModel(
            f"LinearSVC(multi_class={estimator.multi_class!r}) ties its classes by a loss that is not read here. "
            "Use multi_class='ovr'."
        )
    if estimator.multi_class != "ovr":
        raise UnsupportedModel(
            f"LinearSVC(multi_class={estimator.multi_class!r}) of two classes has another loss than the hinge. "
            "Use multi_class='ovr'."
        )
    codes = class_codes(task.y, classes)
    c = 1 if len(classes) == 2 else len(classes)
    factors = class_factors(estimator.class_weight, classes, codes, task.sample_weight)
    plain = estimator.loss == "hinge"
    scalar: Scalar = Hinge() if plain else SquaredHinge()

    def code(k: Array) -> Array:
        return k.astype(np.float64) if c == 1 else np.eye(c)[k]

    weights, settings = task.sample_weight, {}
    if estimator.class_weight is not None:
        settings = {"class_weight": dict(zip(classes, factors, strict=True))}
        if c == 1:
            weights = weights * factors[codes]
        else:
            scalar = Weighted(scalar, positive=tuple(factors.tolist()), negative=(1.0,) * c)
    ridge, l1 = _penalties(task, c)
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, c)
    rarest = max(int(np.min(np.bincount(codes, minlength=len(classes)))), 1) / task.n
    return Reading(
        loss=Separate(scalar, outputs=c),
        targets=code(codes),
        weights=weights,
        matrix=matrix,
        free=free,
        penalty=ridge,
        normalization="sum",
        classes=classes,
        output_names=(str(classes[1]),) if c == 1 else tuple(str(label) for label in classes),
        encode=class_encoder(classes, code),
        write=write_linear,
        refit=refitting(task, estimator, **settings),
        promise=_promise(task, rarest, l1 is not None),
        spread=np.ones(c),
        l1=l1,
        frozen=("class weights",) if settings else (),
        class_factors=factors if c == 1 else None,
        kinks=_kinks(task, 1.0) if plain else None,
    )


def read_linear_svr(task: Task) -> Reading:
    """LinearSVR with either loss."""
    estimator = task.estimator
    encode = number_encoder(1, True)
    targets = encode(task.y)
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, 1)
    ridge, _ = _penalties(task, 1)
    plain, epsilon = estimator.loss == "epsilon_insensitive", float(estimator.epsilon)
    spread = float(np.sqrt(np.cov(targets, aweights=task.sample_weight, ddof=0)))
    return Reading(
        loss=Separate(Insensitive(epsilon) if plain else SquaredInsensitive(epsilon)),
        targets=targets,
        weights=task.sample_weight,
        matrix=matrix,
        free=free,
        penalty=ridge,
        normalization="sum",
        classes=(),
        output_names=regression_names(task, 1),
        encode=encode,
        write=write_linear,
        refit=refitting(task, estimator),
        promise=_promise(task, 1.0, False),
        spread=np.array([2.0 * float(np.sqrt(np.average(targets**2, weights=task.sample_weight)))]),
        kinks=_kinks(task, spread if spread > 0 else 1.0) if plain else None,
    )


def _penalties(task: Task, c: int) -> tuple[Float[Array, "c D"], Float[Array, "c D"] | None]:
    estimator = task.estimator
    strength = 1.0 / (float(estimator.C) * task.n)
    scaling = float(estimator.intercept_scaling) if estimator.fit_intercept else 1.0
    ridge, l1 = np.zeros((c, task.d + 1)), np.zeros((c, task.d + 1))
    if getattr(estimator, "penalty", "l2") == "l1":
        l1[:, :-1], l1[:, -1] = strength, strength / scaling
        if not estimator.fit_intercept:
            l1[:, -1] = 0.0
        return ridge, l1
    ridge[:, :-1], ridge[:, -1] = strength, strength / scaling**2 if estimator.fit_intercept else 0.0
    return ridge, None


def _promise(task: Task, rarest: float, l1: bool) -> Promise:
    """The primal solvers promise a gradient relative to the start's; the dual ones watch their own steps."""
    estimator = task.estimator
    steps, limit = count_steps(estimator), int(estimator.max_iter)
    dual = estimator.dual
    if dual == "auto":
        dual = not l1 and task.n < task.d
    if dual:
        return no_promise("liblinear (dual)", steps, limit)
    scaling = float(estimator.intercept_scaling)
    return relative_to_start("liblinear", float(estimator.tol) * rarest, steps, limit, scaling, 1 if l1 else 2)


def _kinks(task: Task, unit: float) -> Kinks:
    estimator = task.estimator
    steps = count_steps(estimator)
    return Kinks(
        unit=unit,
        solver="liblinear",
        bound=STOPS * float(estimator.tol),
        finished=None if steps is None else steps < int(estimator.max_iter),
    )
