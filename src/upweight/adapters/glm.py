"""PoissonRegressor, GammaRegressor and TweedieRegressor: half deviance and λ = α in the mean form, intercept free.

Source: METHODS.md 1 (mapping table), scikit-learn's _glm/glm.py.
"""

import numpy as np

from upweight.adapters.labels import count_steps, number_encoder
from upweight.adapters.promise import largest_entry
from upweight.adapters.reading import Reading, Task, layout, refitting, regression_names, write_linear
from upweight.errors import InputError, UnsupportedModel, listed
from upweight.output_loss import Gamma, Poisson, Scalar, Separate, Squared, Tweedie

__all__ = ["read_gamma", "read_poisson", "read_tweedie"]


def read_poisson(task: Task) -> Reading:
    """PoissonRegressor."""
    return _read(task, Poisson(), zero=True)


def read_gamma(task: Task) -> Reading:
    """GammaRegressor."""
    return _read(task, Gamma(), zero=False)


def read_tweedie(task: Task) -> Reading:
    """TweedieRegressor where its loss is convex in the linear predictor: power 0 with the identity, 1 to 2 with log.

    Raises: UnsupportedModel elsewhere.
    """
    power, link = float(task.estimator.power), task.estimator.link
    if link == "auto":
        link = "identity" if power <= 0 else "log"
    if link == "identity" and power == 0:
        return _read(task, Squared(), zero=True)
    if link == "log" and 1 <= power <= 2:
        scalar: Scalar = Poisson() if power == 1 else Gamma() if power == 2 else Tweedie(power)
        return _read(task, scalar, zero=power < 2)
    raise UnsupportedModel(
        f"TweedieRegressor(power={power:g}, link={link!r}) has a loss that is not convex in its linear predictor. "
        "Use a power from 1 to 2 with the log link, or power=0 with the identity."
    )


def _read(task: Task, scalar: Scalar, zero: bool) -> Reading:
    estimator = task.estimator
    encode = number_encoder(1, True)
    targets = encode(task.y)
    if not isinstance(scalar, Squared):
        bad = np.flatnonzero(targets < 0 if zero else targets <= 0)
        if len(bad):
            raise InputError(
                f"y is {'negative' if zero else '0 or negative'} in {len(bad)} rows "
                f"(positions {listed(bad.tolist())}), which {task.name} cannot have been fitted on."
            )
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, 1)
    penalty = np.zeros_like(matrix)
    penalty[:, :-1] = estimator.alpha
    mean = float(np.average(targets, weights=task.sample_weight))
    start = mean if isinstance(scalar, Squared) else np.log(max(mean, np.finfo(float).tiny))
    at_start = scalar.first(np.full(task.n, start), targets)
    return Reading(
        loss=Separate(scalar),
        targets=targets,
        weights=task.sample_weight,
        matrix=matrix,
        free=free,
        penalty=penalty,
        normalization="mean",
        classes=(),
        output_names=regression_names(task, 1),
        encode=encode,
        write=write_linear,
        refit=refitting(task, estimator),
        promise=largest_entry(
            estimator.solver, float(estimator.tol), 1.0, count_steps(estimator), int(estimator.max_iter)
        ),
        spread=np.sqrt(np.average(at_start**2, weights=task.sample_weight))[None],
    )
