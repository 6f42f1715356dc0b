"""Every loss: derivatives by complex steps of its formula, convexity, concordance, predictions, extreme outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn._loss import HalfGammaLoss, HalfPoissonLoss, HalfTweedieLoss

from upweight.output_loss import (
    Gamma,
    Hinge,
    Huber,
    HuberWithScale,
    Insensitive,
    Logistic,
    ModifiedHuber,
    OneVsRest,
    OutputLoss,
    Poisson,
    Scalar,
    Scaled,
    Separate,
    Softmax,
    Squared,
    SquaredHinge,
    SquaredInsensitive,
    Tweedie,
    Weighted,
)


@dataclass(frozen=True)
class Row:
    """A loss, its targets, and its formula written a second way, analytic so that complex steps pass through."""

    name: str
    loss: OutputLoss
    targets: Callable[[Any, int], Any]
    formula: Callable[[Any, Any], Any]  # (z [c] complex, y) -> complex


def _zero_one(rng: Any, b: int) -> Any:
    return rng.integers(0, 2, size=b).astype(float)


def _real(rng: Any, b: int) -> Any:
    return rng.normal(size=b)


def _positive(rng: Any, b: int) -> Any:
    return rng.gamma(2.0, size=b) + 0.05


def _count(rng: Any, b: int) -> Any:
    return rng.poisson(1.5, size=b).astype(float)


def _huber(z: Any, y: Any) -> Any:
    r = z[0] - y
    size = r if r.real > 0 else -r
    return 0.5 * r**2 if size.real <= 0.7 else 0.7 * (size - 0.35)


def _hinge(z: Any, y: Any) -> Any:
    t = (2 * y - 1) * z[0]
    return (1 - t) ** 2 if t.real < 1 else 0 * t


def _rounded(short: Any) -> Any:
    return 0.3 * np.log(1 + np.exp(short / 0.3))


def _outside(z: Any, y: Any) -> Any:
    r = z[0] - y if z[0].real > y else y - z[0]
    return (r - 0.4) ** 2 if r.real > 0.4 else 0 * r


def _modified(z: Any, y: Any) -> Any:
    t = (2 * y - 1) * z[0]
    return -4 * t if t.real < -1 else _hinge(z, y)


def _joint(z: Any, y: Any) -> Any:
    t = (y - z[0]) / z[1]
    size = t if t.real > 0 else -t
    return z[1] + z[1] * (t**2 if size.real <= 1.35 else 2.7 * size - 1.35**2)


def _softplus(z: Any, y: Any) -> Any:
    return np.log(1 + np.exp((1 - 2 * y) * z))


ROWS = (
    Row("squared", Separate(Squared()), _real, lambda z, y: 0.5 * (z[0] - y) ** 2),
    Row("logistic", Separate(Logistic()), _zero_one, lambda z, y: _softplus(z[0], y)),
    Row("poisson", Separate(Poisson()), _count, lambda z, y: np.exp(z[0]) - y * z[0]),
    Row("gamma", Separate(Gamma()), _positive, lambda z, y: y * np.exp(-z[0]) + z[0]),
    *(
        Row(
            f"tweedie {p}",
            Separate(Tweedie(p)),
            _count,
            lambda z, y, p=p: -y * np.exp((1 - p) * z[0]) / (1 - p) + np.exp((2 - p) * z[0]) / (2 - p),
        )
        for p in (1.2, 1.5, 1.9)
    ),
    Row("scaled", Scaled(Separate(Poisson()), 2.5, "units"), _count, lambda z, y: 2.5 * (np.exp(z[0]) - y * z[0])),
    Row("huber", Separate(Huber(0.7)), _real, _huber),
    Row("squared hinge", Separate(SquaredHinge()), _zero_one, _hinge),
    Row("hinge", Separate(Hinge(0.3)), _zero_one, lambda z, y: _rounded(1 - (2 * y - 1) * z[0])),
    Row(
        "insensitive",
        Separate(Insensitive(0.4, 0.3)),
        _real,
        lambda z, y: _rounded(z[0] - y - 0.4) + _rounded(y - z[0] - 0.4),
    ),
    Row("squared insensitive", Separate(SquaredInsensitive(0.4)), _real, _outside),
    Row("modified huber", Separate(ModifiedHuber()), _zero_one, _modified),
    Row("huber with scale", HuberWithScale(1.35), _real, _joint),
    Row(
        "softmax",
        Softmax(4),
        lambda rng, b: rng.integers(0, 4, size=b),
        lambda z, y: np.log(np.sum(np.exp(z))) - z[y],
    ),
    Row(
        "one against rest",
        OneVsRest(Weighted(Logistic(), (2.0, 0.5, 1.0), (1.0, 3.0, 1.0)), outputs=3),
        lambda rng, b: np.eye(3)[rng.integers(0, 3, size=b)],
        lambda z, y: np.sum(np.where(y > 0.5, [2.0, 0.5, 1.0], [1.0, 3.0, 1.0]) * _softplus(z, y)),
    ),
    Row(
        "squared, several",
        Separate(Squared(), outputs=3),
        lambda rng, b: rng.normal(size=(b, 3)),
        lambda z, y: 0.5 * np.sum((z - y) ** 2),
    ),
)
EVERY = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
SCALARS: tuple[tuple[Scalar, float], ...] = (
    (Logistic(), 1.0),
    (Poisson(), 1.0),
    (Poisson(), 0.0),
    (Gamma(), 1.0),
    (Tweedie(1.3), 1.0),
    (SquaredHinge(), 1.0),
    (ModifiedHuber(), 0.0),
    (Huber(1.0), 0.0),
    (Hinge(1e-3), 1.0),
    (Hinge(), 0.0),
    (Insensitive(0.1, 1e-3), 0.0),
    (SquaredInsensitive(0.1), 0.0),
)
B = 40


def _points(row: Row) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(B, row.loss.outputs)) * 1.5
    if isinstance(row.loss, HuberWithScale):
        z[:, 1] = np.exp(0.4 * z[:, 1])
    return z, row.targets(rng, B)


@EVERY
def test_values_differ_by_the_formula(row: Row) -> None:
    """ℓ(z) − ℓ(z′) is the formula's: only a constant of y may be left out there."""
    z, y = _points(row)
    ours = row.loss.value(z, y) - row.loss.value(z[::-1].copy(), y)
    theirs = [(row.formula(z[i] + 0j, y[i]) - row.formula(z[B - 1 - i] + 0j, y[i])).real for i in range(B)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@EVERY
def test_gradient_is_the_complex_step(row: Row) -> None:
    """∂ℓ/∂z to rounding."""
    z, y = _points(row)
    step = 1e-30j * np.eye(row.loss.outputs)
    theirs = [[row.formula(z[i] + h, y[i]).imag / 1e-30 for h in step] for i in range(B)]
    np.testing.assert_allclose(row.loss.gradient(z, y), theirs, rtol=1e-12, atol=1e-13)


@EVERY
def test_curvature_is_the_gradients_derivative_and_psd(row: Row) -> None:
    """Central differences of the gradient away from kinks; symmetric; no negative eigenvalue."""
    z, y = _points(row)
    ours, h = row.loss.curvature(z, y), 1e-6
    shifts = h * np.eye(row.loss.outputs)
    theirs = np.stack([(row.loss.gradient(z + s, y) - row.loss.gradient(z - s, y)) / (2 * h) for s in shifts], axis=2)
    np.testing.assert_allclose(ours, theirs, atol=2e-8 * max(1.0, float(np.max(ours))))
    np.testing.assert_array_equal(ours, np.swapaxes(ours, 1, 2))
    assert np.min(np.linalg.eigvalsh(ours)) > -1e-15


@EVERY
def test_predict_jacobian_is_its_derivative(row: Row) -> None:
    """∂ predict / ∂z by central differences."""
    z, _ = _points(row)
    h = 1e-6
    shifts = h * np.eye(row.loss.outputs)
    theirs = np.stack([(row.loss.predict(z + s) - row.loss.predict(z - s)) / (2 * h) for s in shifts], axis=2)
    np.testing.assert_allclose(row.loss.predict_jacobian(z), theirs, atol=1e-8 * max(1.0, float(np.max(theirs))))


@EVERY
def test_concordance_bounds_the_third_derivative(row: Row) -> None:
    """|third along Δ| <= M · range(Δ) · second along Δ, the range being |Δ| where outputs are separate."""
    if row.loss.concordance is None:
        return
    z, y = _points(row)
    rng, h = np.random.default_rng(8), 1e-5
    for _ in range(20):
        delta = rng.normal(size=row.loss.outputs)
        second = [np.einsum("a,bac,c->b", delta, row.loss.curvature(z + t * h * delta, y), delta) for t in (-1, 0, 1)]
        third = (second[2] - second[0]) / (2 * h)
        spread = np.max(np.abs(delta)) if row.loss.separate else np.ptp(delta)
        assert np.all(np.abs(third) <= row.loss.concordance * spread * second[1] * (1 + 1e-6) + 1e-9)


@EVERY
def test_null_outputs_are_seen_by_no_target(row: Row) -> None:
    """A shift along them changes neither the loss nor the prediction."""
    z, y = _points(row)
    for direction in row.loss.null_outputs:
        np.testing.assert_allclose(row.loss.value(z + 3 * direction, y), row.loss.value(z, y), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(row.loss.predict(z + 3 * direction), row.loss.predict(z), rtol=1e-12)


@pytest.mark.parametrize(("scalar", "y"), SCALARS, ids=lambda v: getattr(v, "name", str(v)))
@pytest.mark.parametrize("z", [-700.0, -40.0, 0.0, 40.0, 700.0])
def test_extreme_outputs_stay_finite(scalar: Scalar, y: float, z: float) -> None:
    """Outputs of ±700 give finite numbers and no warning."""
    at, target = np.array([[z]]), np.array([[y]])
    for function in (scalar.value, scalar.first, scalar.second):
        assert np.all(np.isfinite(function(at, target)))
    assert np.all(np.isfinite(scalar.mean(at)))
    assert np.all(np.isfinite(scalar.mean_slope(at)))


def test_logistic_keeps_its_digits_at_the_ends() -> None:
    """A loss of e^{−700} is not rounded to 0, nor its derivatives; on the wrong side the loss is 700."""
    z, one, zero = np.array([[700.0]]), np.array([[1.0]]), np.array([[0.0]])
    tiny, loss = np.exp(-700.0), Logistic()
    assert loss.value(z, one)[0, 0] == pytest.approx(tiny, rel=1e-12)
    assert loss.first(z, one)[0, 0] == pytest.approx(-tiny, rel=1e-12)
    assert loss.second(z, one)[0, 0] == pytest.approx(tiny, rel=1e-12)
    assert loss.value(z, zero)[0, 0] == pytest.approx(700.0)
    assert loss.first(z, zero)[0, 0] == pytest.approx(1.0)


def test_softmax_keeps_its_digits_at_the_ends() -> None:
    """1 − p_y as the sum of the other classes: e^{−700} and e^{−40} survive; rows of the curvature sum to 0."""
    z, y = np.array([[0.0, -700.0, -701.0], [40.0, 0.0, -700.0], [700.0, -700.0, 0.0]]), np.array([0, 0, 1])
    loss = Softmax(3)
    value, gradient = loss.value(z, y), loss.gradient(z, y)
    assert value[0] == pytest.approx(np.exp(-700.0) + np.exp(-701.0), rel=1e-12)
    assert value[1] == pytest.approx(np.exp(-40.0), rel=1e-12)
    assert value[2] == pytest.approx(1400.0)
    assert gradient[0, 0] == pytest.approx(-value[0], rel=1e-12)
    assert gradient[2] == pytest.approx([1.0, -1.0, 0.0])
    np.testing.assert_allclose(np.sum(loss.curvature(z, y), axis=2), 0.0, atol=1e-300)  # denormals round


@pytest.mark.parametrize(
    ("scalar", "theirs"),
    [(Poisson(), HalfPoissonLoss()), (Gamma(), HalfGammaLoss()), (Tweedie(1.4), HalfTweedieLoss(power=1.4))],
    ids=lambda v: type(v).__name__,
)
def test_half_deviance_is_scikit_learns_with_its_constant(scalar: Scalar, theirs: Any) -> None:
    """A perfect prediction costs 0, and every other what scikit-learn says."""
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=30), rng.gamma(2.0, size=30)
    expected = theirs.loss(y, z) + theirs.constant_to_optimal_zero(y)
    np.testing.assert_allclose(scalar.value(z, y), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(scalar.value(np.log(y), y), 0.0, atol=1e-12)


def test_huber_with_scale_is_infinite_outside_its_domain() -> None:
    """A scale of 0 or less is no scale: a line search turns back."""
    assert np.isposinf(HuberWithScale(1.35).value(np.array([[0.0, -1.0]]), np.array([0.0]))[0])


def test_one_against_rest_is_uniform_where_every_class_says_no() -> None:
    """modified_huber's probabilities can all be 0."""
    loss = OneVsRest(ModifiedHuber(), outputs=4)
    np.testing.assert_allclose(loss.predict(np.full((1, 4), -2.0)), 0.25)
    assert np.all(np.isfinite(loss.predict_jacobian(np.full((1, 4), -2.0))))


@EVERY
def test_loss_keeps_the_protocol(row: Row) -> None:
    """Name, unit and shapes are there for whoever reads it."""
    assert isinstance(row.loss, OutputLoss)
    assert row.loss.unit
    assert row.loss.name


@pytest.mark.parametrize("width", [1e-3, 0.1])
def test_rounded_hinge_is_above_the_hinge_by_t_log_2_at_most(width: float) -> None:
    """At the kink exactly so; a few widths away the loss, its slope and its flatness are the hinge's own."""
    y = np.ones(5)
    z = 1.0 + width * np.array([-60.0, -1.0, 0.0, 1.0, 60.0])
    rounded, plain = Hinge(width), Hinge()
    over = rounded.value(z, y) - plain.value(z, y)
    assert over[2] == pytest.approx(width * np.log(2.0))
    assert np.all((over >= 0) & (over <= over[2]))
    far = [0, 4]
    np.testing.assert_array_equal(rounded.value(z, y)[far], plain.value(z, y)[far])
    np.testing.assert_array_equal(rounded.first(z, y)[far], plain.first(z, y)[far])
    np.testing.assert_array_equal(rounded.second(z, y)[far], [0.0, 0.0])
    assert rounded.second(z, y)[2] == pytest.approx(0.25 / width)
    assert rounded.smooth
    assert not plain.smooth
