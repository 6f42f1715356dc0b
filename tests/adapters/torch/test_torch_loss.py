"""A loss is one number a row; ours are recognised up to a factor, others read by autograd, the rest refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upweight.adapters.torch_loss import RowLoss, read_loss
from upweight.errors import InputError
from upweight.output_loss import Scaled

N = 40
DRAW = torch.Generator().manual_seed(0)
Z1, Z3 = torch.randn(N, 1, generator=DRAW), torch.randn(N, 3, generator=DRAW)
CLASSES = torch.randint(0, 3, (N,), generator=DRAW)
SIDES = torch.randint(0, 2, (N, 1), generator=DRAW).float()
NUMBERS = torch.randn(N, 1, generator=DRAW)
SEVERAL = torch.randn(N, 3, generator=DRAW)
COUNTS = torch.poisson(torch.full((N, 1), 3.0), generator=DRAW)
MANY = torch.randint(0, 2, (N, 3), generator=DRAW).float()


def read(loss: Any, z: Tensor, y: Tensor) -> RowLoss:
    return read_loss(loss, z, y, tuple(range(len(z))))


def per_output(loss: Any, how: str) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda z, y: getattr(loss(z, y), how)(dim=1)


def flat(loss: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda z, y: loss(z[:, 0], y)


RECOGNISED: dict[str, tuple[Any, Tensor, Tensor, str, float, str, str]] = {
    "cross entropy": (nn.CrossEntropyLoss(reduction="none"), Z3, CLASSES, "softmax", 1.0, "nats", "classification"),
    "its function": (
        lambda z, y: F.cross_entropy(z, y, reduction="none"),
        Z3,
        CLASSES,
        "softmax",
        1.0,
        "nats",
        "classification",
    ),
    "by hand": (
        lambda z, y: torch.logsumexp(z, 1) - z.gather(1, y[:, None])[:, 0],
        Z3,
        CLASSES,
        "softmax",
        1.0,
        "nats",
        "classification",
    ),
    "in bits": (
        lambda z, y: F.cross_entropy(z, y, reduction="none") / np.log(2),
        Z3,
        CLASSES,
        "scaled_softmax",
        1 / np.log(2),
        "1.4427 × nats",
        "classification",
    ),
    "logits": (nn.BCEWithLogitsLoss(reduction="none"), Z1, SIDES, "logistic", 1.0, "nats", "classification"),
    "flat logits": (
        flat(nn.BCEWithLogitsLoss(reduction="none")),
        Z1,
        SIDES[:, 0],
        "logistic",
        1.0,
        "nats",
        "classification",
    ),
    "softplus": (lambda z, y: F.softplus((1 - 2 * y) * z), Z1, SIDES, "logistic", 1.0, "nats", "classification"),
    "several logits": (
        per_output(nn.BCEWithLogitsLoss(reduction="none"), "mean"),
        Z3,
        MANY,
        "scaled_logistic",
        1 / 3,
        "mean nats",
        "regression",
    ),
    "squared": (
        nn.MSELoss(reduction="none"),
        Z1,
        NUMBERS,
        "scaled_squared",
        2.0,
        "squared error",
        "regression",
    ),
    "half": (lambda z, y: 0.5 * (z - y) ** 2, Z1, NUMBERS, "squared", 1.0, "half squared error", "regression"),
    "mean squared": (
        per_output(nn.MSELoss(reduction="none"), "mean"),
        Z3,
        SEVERAL,
        "scaled_squared",
        2 / 3,
        "mean squared error",
        "regression",
    ),
    "squared of sides": (
        nn.MSELoss(reduction="none"),
        Z1,
        SIDES,
        "scaled_squared",
        2.0,
        "squared error",
        "regression",
    ),
    "squared of whole numbers": (
        lambda z, y: (z[:, 0] - y.float()) ** 2,
        Z1,
        CLASSES,
        "scaled_squared",
        2.0,
        "squared error",
        "regression",
    ),
    "poisson": (nn.PoissonNLLLoss(reduction="none"), Z1, COUNTS, "poisson", 1.0, "half deviance", "regression"),
}


@pytest.mark.parametrize("name", RECOGNISED)
def test_a_loss_of_ours_is_recognised(name: str) -> None:
    """By value and gradient: its factor, unit, kind; and its own value at the model's outputs."""
    loss, z, y, wanted, factor, unit, kind = RECOGNISED[name]
    found = read(loss, z, y)
    assert found.loss.name == wanted
    assert (found.loss.factor if isinstance(found.loss, Scaled) else 1.0) == pytest.approx(factor, rel=1e-9)
    assert found.loss.unit == unit
    assert ("classification" if found.classes else "regression") == kind
    assert found.convex
    own = loss(z.double(), y.double() if y.is_floating_point() else y).reshape(-1).numpy()
    ours = found.loss.value(z.double().numpy(), found.targets)
    gap = ours - own
    if name == "poisson":  # up to a constant of each row
        assert found.notes
        moved = loss(z.double() + 1.0, y.double()).reshape(-1).numpy()
        np.testing.assert_allclose(found.loss.value(z.double().numpy() + 1.0, found.targets) - moved, gap, atol=1e-12)
    else:
        np.testing.assert_allclose(gap, 0.0, atol=1e-12)


BY_AUTOGRAD: dict[str, tuple[Any, Tensor, Tensor, bool, str]] = {
    "label smoothing": (nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1), Z3, CLASSES, True, "probabilities"),
    "class weights": (
        nn.CrossEntropyLoss(reduction="none", weight=torch.tensor([1.0, 2.0, 5.0])),
        Z3,
        CLASSES,
        True,
        "probabilities",
    ),
    "positive weight": (
        nn.BCEWithLogitsLoss(reduction="none", pos_weight=torch.tensor([3.0])),
        Z1,
        SIDES,
        True,
        "sided",
    ),
    "huber": (nn.HuberLoss(reduction="none"), Z1, NUMBERS, True, "number"),
    "smooth l1": (nn.SmoothL1Loss(reduction="none"), Z1, NUMBERS, True, "number"),
    "quartic": (lambda z, y: (z - y) ** 4, Z1, NUMBERS, True, "number"),
    "cosine": (lambda z, y: 1 - torch.cos(z - y), Z1, 3 * NUMBERS, False, "number"),
    "gaussian": (
        lambda z, y: F.gaussian_nll_loss(z[:, :1], y, z[:, 1:2].exp(), reduction="none"),
        Z3[:, :2],
        NUMBERS,
        False,
        "number",
    ),
    "soft targets": (nn.CrossEntropyLoss(reduction="none"), Z3, SEVERAL.softmax(1), True, "number"),
}


@pytest.mark.parametrize("name", BY_AUTOGRAD)
def test_any_other_loss_is_read_by_autograd(name: str) -> None:
    """Value, gradient and curvature equal central differences of the user's own function in float64."""
    loss, z, y, convex, kind = BY_AUTOGRAD[name]
    found = read(loss, z, y)
    assert not isinstance(found.loss, Scaled)
    assert found.convex is convex
    assert found.has_probability is (kind == "probabilities")
    assert bool(found.classes) is (kind != "number")
    at, c, h = z.double().numpy(), z.shape[1], 1e-5
    y64 = y.double() if y.is_floating_point() else y
    module = loss.double() if isinstance(loss, nn.Module) else loss
    np.testing.assert_allclose(found.loss.value(at, found.targets), module(z.double(), y64).reshape(-1), rtol=1e-12)
    gradient, curvature = found.loss.gradient(at, found.targets), found.loss.curvature(at, found.targets)
    for k in range(c):
        step = h * np.eye(c)[k]
        up, down = (found.loss.value(at + s * step, found.targets) for s in (1, -1))
        np.testing.assert_allclose(gradient[:, k], (up - down) / (2 * h), atol=1e-6)
        rise, fall = (found.loss.gradient(at + s * step, found.targets) for s in (1, -1))
        if name not in ("huber", "smooth l1"):
            np.testing.assert_allclose(curvature[:, k], (rise - fall) / (2 * h), atol=1e-5)


def test_directions_that_a_loss_does_not_see_are_found() -> None:
    """A softmax-like loss is blind to the same shift of all outputs; a squared one to nothing."""
    smooth = read(BY_AUTOGRAD["label smoothing"][0], Z3, CLASSES).loss
    np.testing.assert_allclose(np.abs(smooth.null_outputs), [[3**-0.5] * 3])
    assert read(lambda z, y: ((z - y) ** 4).sum(1), Z3, SEVERAL).loss.null_outputs.shape == (0, 3)
    blind = read(lambda z, y: (z[:, 0] - y[:, 0]) ** 4 + (z[:, 1] - y[:, 1]) ** 4, Z3, SEVERAL).loss
    np.testing.assert_allclose(np.abs(blind.null_outputs), [[0.0, 0.0, 1.0]], atol=1e-12)


def test_separate_outputs_are_found() -> None:
    """A curvature without entries off its diagonal."""
    assert read(lambda z, y: ((z - y) ** 4).sum(1), Z3, SEVERAL).loss.separate
    assert not read(BY_AUTOGRAD["label smoothing"][0], Z3, CLASSES).loss.separate


def test_log_probabilities_are_read_as_logits() -> None:
    """NLLLoss behind LogSoftmax is cross-entropy, and its curvature is not 0."""
    found = read(nn.NLLLoss(reduction="none"), Z3.log_softmax(1), CLASSES)
    assert found.loss.name == "softmax"
    assert any("log-probabilities" in note for note in found.notes)


def test_probabilities_are_told_to_be_logits() -> None:
    """BCELoss behind a sigmoid works, as a regression, and the note says what would be more."""
    found = read(nn.BCELoss(reduction="none"), Z1.sigmoid(), SIDES)
    assert not found.classes
    assert any("use BCEWithLogitsLoss" in note for note in found.notes)


def test_targets_are_read_as_the_data_has_them() -> None:
    """Classes by number, any number type; an unknown one is refused; numbers keep their columns."""
    found = read(nn.CrossEntropyLoss(reduction="none"), Z3, CLASSES)
    assert found.encode(torch.tensor([2, 0])).tolist() == [2, 0]
    assert found.encode([2.0, 0.0]).tolist() == [2, 0]
    with pytest.raises(InputError, match="y_query holds 1 label that the model was not fitted on \\(7"):
        found.encode([7], "y_query")
    several = read(per_output(nn.MSELoss(reduction="none"), "mean"), Z3, SEVERAL)
    assert several.encode(SEVERAL[:2]).shape == (2, 3)
    with pytest.raises(InputError, match="shape"):
        several.encode([1.0])


REFUSED: dict[str, tuple[Any, Tensor, Tensor, str]] = {
    "mean": (nn.CrossEntropyLoss(), Z3, CLASSES, r"nn.CrossEntropyLoss\(reduction='mean'\) returns one number for 5"),
    "its remedy": (nn.CrossEntropyLoss(), Z3, CLASSES, r"Use nn.CrossEntropyLoss\(reduction='none'\)"),
    "sum": (nn.MSELoss(reduction="sum"), Z1, NUMBERS, r"nn.MSELoss\(reduction='sum'\) returns one number"),
    "several": (nn.MSELoss(), Z3, SEVERAL, r"reduction='none'\) and average its outputs"),
    "function": (F.cross_entropy, Z3, CLASSES, "cross_entropy returns one number .*reduction='none'"),
    "lambda": (lambda z, y: ((z - y) ** 2).mean(), Z1, NUMBERS, "the loss returns one number"),
    "per output": (nn.MSELoss(reduction="none"), Z3, SEVERAL, r"returns \[5, 3\] for 5 rows.*flatten\(1\).mean\(1\)"),
    "broadcast": (lambda z, y: (z - y) ** 2, Z1, NUMBERS[:, 0], "compares every output with every target"),
    "batch mean": (
        lambda z, y: F.cross_entropy(z, y).expand(len(z)),
        Z3,
        CLASSES,
        "the loss of row 0 is .* alone and .* among 5 rows: it depends on the other rows",
    ),
    "batch size": (
        lambda z, y: F.cross_entropy(z, y, reduction="none") / len(z),
        Z3,
        CLASSES,
        "the loss of row 0 .* a division by its size",
    ),
    "out of range": (
        nn.CrossEntropyLoss(reduction="none"),
        Z3,
        torch.where(torch.arange(N) % 20 == 7, 5, CLASSES),
        r"y is out of range in 2 rows \(row 7, 27: class 5\); the model has 3 outputs, so classes are 0 … 2",
    ),
    "ignored": (
        nn.CrossEntropyLoss(reduction="none"),
        Z3,
        torch.where(torch.arange(N) == 3, -100, CLASSES),
        r"y is -100 \(ignore_index\) in 1 row \(3\)",
    ),
    "float classes": (
        nn.CrossEntropyLoss(reduction="none"),
        Z3,
        CLASSES.float(),
        r"targets \[\d+\] float32.*y.long\(\)",
    ),
    "whole sides": (
        nn.BCEWithLogitsLoss(reduction="none"),
        Z1,
        NUMBERS[:, 0],
        r"cannot read outputs \[5, 1\] float32 and targets \[5\] float32",
    ),
    "infinite": (lambda z, y: -torch.log(y * 0 + z * 0)[:, 0], Z1, SIDES, "the loss is inf in 40 rows"),
    "none": (None, Z1, NUMBERS, "loss is None, which is not a function"),
    "class": (nn.MSELoss, Z1, NUMBERS, r"Give MSELoss\(reduction='none'\)"),
    "number": (lambda z, y: 3.0, Z1, NUMBERS, "returned 3.0 for 5 rows"),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_that_is_no_loss_of_a_row_is_refused(name: str) -> None:
    """With the exact change to make."""
    loss, z, y, said = REFUSED[name]
    with pytest.raises(InputError, match=said):
        read(loss, z, y)
