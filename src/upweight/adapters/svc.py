"""SVC for two classes and SVR: hinges over exact features of the kernel, λ = 1/(C n), sum form, intercept free.

A linear kernel reads the columns themselves, any other the features of its kernel on the training rows. The gamma that
was found ("scale" depends on X) stays. "balanced" counts rows without their weights. Probabilities that SVC fits behind
its decision values are not read. Source: METHODS.md 1 and 2.5, scikit-learn's svm/_base.py, libsvm.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lstsq

from upweight.adapters.kernel_map import KernelMap, kernel_map, named_kernel
from upweight.adapters.labels import class_codes, class_encoder, class_factors, number_encoder
from upweight.adapters.promise import no_promise
from upweight.adapters.reading import Kinks, Reading, Task, refitting, regression_names
from upweight.errors import UnsupportedModel
from upweight.output_loss import Hinge, Insensitive, Separate
from upweight.shapes import Array, Float

__all__ = ["read_svc", "read_svr"]

KERNELS = ("linear", "poly", "rbf", "sigmoid")
STOPS = 10.0  # libsvm stops where the two rows that miss their margins by most miss them by tol together


def read_svc(task: Task) -> Reading:
    """SVC of two classes.

    Raises: UnsupportedModel for more classes, precomputed kernels and functions.
    """
    estimator = task.estimator
    classes = tuple(estimator.classes_.tolist())
    if len(classes) > 2:
        raise UnsupportedModel(
            f"SVC of {len(classes)} classes is {len(classes) * (len(classes) - 1) // 2} fits, one for each pair of "
            "classes, that vote. Fit it on the rows of two classes, or use LinearSVC, which has one fit a class."
        )
    _refuse_kernel(task)
    codes = class_codes(task.y, classes)
    factors = class_factors(estimator.class_weight, classes, codes, np.ones(task.n))
    settings = {} if estimator.class_weight is None else {"class_weight": dict(zip(classes, factors, strict=True))}
    weights = task.sample_weight * factors[codes]
    side = 2.0 * codes - 1.0
    pulls = _pulls(task, np.ones(task.n))
    return _reading(
        task,
        loss=Separate(Hinge()),
        targets=codes.astype(np.float64),
        weights=weights,
        classes=classes,
        output_names=(str(classes[1]),),
        encode=class_encoder(classes, lambda k: k.astype(np.float64)),
        unit=1.0,
        dual=None if pulls is None else np.clip(side * pulls, 0.0, None),
        wrong_side=pulls is not None and bool(np.any(side * pulls < 0)),
        settings=settings,
        order=codes,
        class_factors=factors,
    )


def read_svr(task: Task) -> Reading:
    """SVR.

    Raises: UnsupportedModel for precomputed kernels and functions.
    """
    _refuse_kernel(task)
    encode = number_encoder(1, True)
    targets = encode(task.y)
    pulls = _pulls(task, np.ones(task.n))
    spread = float(np.sqrt(np.cov(targets, aweights=task.sample_weight, ddof=0)))
    dual = None if pulls is None else np.concatenate([np.clip(pulls, 0.0, None), np.clip(-pulls, 0.0, None)])
    return _reading(
        task,
        loss=Separate(Insensitive(float(task.estimator.epsilon))),
        targets=targets,
        weights=task.sample_weight,
        classes=(),
        output_names=regression_names(task, 1),
        encode=encode,
        unit=spread if spread > 0 else 1.0,
        dual=dual,
        wrong_side=False,
        settings={},
        order=np.zeros(task.n, dtype=np.int64),
        class_factors=None,
    )


def _reading(
    task: Task,
    *,
    loss: Separate,
    targets: Array,
    weights: Float[Array, " n"],
    classes: tuple[Any, ...],
    output_names: tuple[str, ...],
    encode: Any,
    unit: float,
    dual: Float[Array, " m"] | None,
    wrong_side: bool,
    settings: dict[str, Any],
    order: Array,
    class_factors: Float[Array, " k"] | None,
) -> Reading:
    estimator, n = task.estimator, task.n
    linear = estimator.kernel == "linear"
    gamma = float(estimator._gamma)
    mapped, phi = (None, None) if linear else _map(task, gamma)
    strength = float(estimator.C) * n
    columns = task.d if mapped is None else len(mapped.pivots)
    matrix = np.zeros((1, columns + 1))
    matrix[0, -1] = float(np.ravel(estimator.intercept_)[0])
    support = _csr(estimator.support_vectors_)
    held = support if mapped is None else mapped(support)
    pull = estimator.dual_coef_
    matrix[0, :-1] = np.ravel(pull.toarray() if sp.issparse(pull) else pull) @ held
    penalty = np.full_like(matrix, 1.0 / strength)
    penalty[0, -1] = 0.0
    frozen = [*(("class weights",) if settings else ())]
    if isinstance(estimator.gamma, str) and not linear:
        settings = settings | {"gamma": gamma}
        frozen.insert(0, "gamma")
    limit = int(estimator.max_iter)
    finished = None if limit < 0 else int(estimator.fit_status_) == 0
    return Reading(
        loss=loss,
        targets=targets,
        weights=weights,
        matrix=matrix,
        free=np.ones_like(matrix, dtype=bool),
        penalty=penalty,
        normalization="sum",
        classes=classes,
        output_names=output_names,
        encode=encode,
        write=_writer(task, mapped, order),
        refit=refitting(task, estimator, **settings),
        promise=no_promise("libsvm", None, None),
        spread=np.ones(1),
        frozen=tuple(frozen),
        class_factors=class_factors,
        map=mapped,
        phi=phi,
        kinks=Kinks(
            unit=unit,
            solver="libsvm",
            bound=STOPS * float(estimator.tol),  # of a miss, since the dual is known
            finished=True if finished is None else finished,
            dual=None if dual is None else dual / strength,
            fault=_fault(task, wrong_side),
        ),
    )


def _map(task: Task, gamma: float) -> tuple[KernelMap, Float[Array, "n r"]]:
    estimator = task.estimator
    kernel = named_kernel(estimator.kernel, gamma=gamma, degree=estimator.degree, coef0=estimator.coef0)
    return kernel_map(kernel, task.x, task.name, task.n)


def _refuse_kernel(task: Task) -> None:
    kernel = task.estimator.kernel
    if kernel not in KERNELS:
        what = "a precomputed kernel" if kernel == "precomputed" else "a kernel of your own"
        raise UnsupportedModel(
            f"{task.name} with {what} has no columns to read a query from, only values of its kernel against all "
            "training rows. Use kernel='rbf', 'poly' or 'linear'."
        )


def _pulls(task: Task, ones: Float[Array, " n"]) -> Float[Array, " n"] | None:
    """dual_coef_ of each row; None where its support rows are no rows of these."""
    support = np.asarray(task.estimator.support_, dtype=np.int64)
    if not len(support) or int(support.max()) >= task.n:
        return None
    coef = task.estimator.dual_coef_
    out = np.zeros_like(ones)
    out[support] = np.ravel(coef.toarray() if sp.issparse(coef) else coef)
    return out


def _fault(task: Task, wrong_side: bool) -> str | None:
    """What of the model's own support rows is not so in these."""
    estimator = task.estimator
    support = np.asarray(estimator.support_, dtype=np.int64)
    told = "these are not the rows, labels or weights that the model was fitted on"
    if len(support) and int(support.max()) >= task.n:
        return f"the model's support rows go up to position {int(support.max())} and X has {task.n} rows: {told}"
    kept, held = task.x[support], _csr(estimator.support_vectors_)
    gap = abs(_csr(kept) - held)
    if len(support) and float(gap.max()) > 1e-6 * max(float(abs(held).max()), 1e-300):
        return f"the model's support rows are not these rows at the same positions: {told}"
    if wrong_side:
        return f"support rows pull to the other side than their labels: {told}"
    return None


def _csr(x: Any) -> Any:
    """A copy: products mark a sparse array as sorted, and the user's own is left as it is."""
    return sp.csr_array(x, copy=True) if sp.issparse(x) else x


def _writer(task: Task, mapped: KernelMap | None, order: Array) -> Callable[[Any, Float[Any, "1 D"]], None]:
    """Puts θ into a copy as pulls of training rows: the pivots', or the least that give a linear kernel's weights."""

    def write(copy: Any, moved: Float[Any, "1 D"]) -> None:
        if mapped is not None:
            rows, pull = mapped.pivots, mapped.dual(moved[:, :-1])[0]
        else:
            rows = np.arange(task.n)
            dense = task.x.toarray() if sp.issparse(task.x) else np.asarray(task.x, dtype=np.float64)
            pull = lstsq(dense.T, moved[0, :-1], lapack_driver="gelsd")[0]
        sorted_rows = np.argsort(order[rows], kind="stable")  # libsvm holds its support class by class
        sorted_rows = sorted_rows[pull[sorted_rows] != 0] if pull.any() else sorted_rows[:1]
        rows, pull = rows[sorted_rows], pull[sorted_rows]
        held = task.x[rows]
        flipped = -1.0 if len(getattr(copy, "classes_", ())) == 2 else 1.0  # scikit-learn turns libsvm's sign round
        copy.support_ = rows.astype(np.int32)
        if copy._sparse:
            copy.support_vectors_ = type(copy.support_vectors_)(held)
            at = (np.arange(len(pull)), np.array([0, len(pull)]))  # libsvm reads the values alone: zeros stay
            copy.dual_coef_ = type(copy.dual_coef_)((pull, *at), shape=(1, len(pull)))
            copy._dual_coef_ = type(copy.dual_coef_)((flipped * pull, *at), shape=(1, len(pull)))
        else:
            held = held.toarray() if sp.issparse(held) else held
            copy.support_vectors_ = np.ascontiguousarray(held, dtype=np.float64)
            copy.dual_coef_ = np.ascontiguousarray(pull[None, :])
            copy._dual_coef_ = np.ascontiguousarray(flipped * pull[None, :])
        copy.intercept_ = np.array([float(moved[0, -1])])
        copy._intercept_ = flipped * copy.intercept_
        counts = np.bincount(order[rows], minlength=2) if flipped < 0 else np.array([len(rows), 0])
        copy._n_support = counts.astype(np.int32)

    return write
