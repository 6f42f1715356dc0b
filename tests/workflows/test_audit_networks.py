"""Audits of networks' heads: pixels within half a level, every flip by a head fitted from nothing on those images."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

from upweight import Influence, audit
from upweight.errors import UnsupportedModel
from upweight.workflows.audited import Audit

PENALTY = 0.002
DIGITS = load_digits()
TWO = np.flatnonzero(np.isin(DIGITS.target, (3, 8)))[:140]
IMAGES, LABELS = DIGITS.images[TWO][:, None], (DIGITS.target[TWO] == 8).astype(int)
TRAINED = 120


def features(dtype: torch.dtype) -> nn.Sequential:
    """A small net of random weights: convolution, tanh, 36 features."""
    draw = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, bias=False), nn.Tanh(), nn.Flatten()).to(dtype)
    with torch.no_grad():
        net[0].weight.copy_(0.15 * torch.randn(net[0].weight.shape, generator=draw, dtype=dtype))
    return net


def head_of(x: torch.Tensor, y: Any) -> LogisticRegression:
    """scikit-learn's fit of the same head: two logits are one under twice the penalty."""
    with torch.no_grad():
        read = features(x.dtype)(x).double().numpy()
    return LogisticRegression(C=2.0 / (PENALTY * len(y)), tol=1e-12, max_iter=20_000).fit(read, y)


def asked(dtype: torch.dtype) -> tuple[Influence, torch.Tensor]:
    x = torch.tensor(IMAGES, dtype=dtype)
    fitted = head_of(x[:TRAINED], LABELS[:TRAINED])
    head = nn.Linear(36, 2, dtype=dtype)
    with torch.no_grad():
        half = torch.as_tensor(fitted.coef_[0] / 2, dtype=dtype), torch.as_tensor(fitted.intercept_ / 2, dtype=dtype)
        head.weight.copy_(torch.stack([-half[0], half[0]]))
        head.bias.copy_(torch.cat([-half[1], half[1]]))
    model = nn.Sequential(features(dtype), head).eval()
    loss = nn.CrossEntropyLoss(reduction="none")
    data = (x[:TRAINED], torch.as_tensor(LABELS[:TRAINED]))
    return Influence.from_torch(model, loss, data, penalty={"1.weight": PENALTY}, params="head"), x[TRAINED:]


@pytest.fixture(scope="module", params=[torch.float64, torch.float32], ids=str)
def found(request: Any) -> tuple[Audit, torch.Tensor]:
    influence, rest = asked(request.param)
    z = influence.attribution.query_outputs(influence.adapted.read_query(rest))
    near = np.argsort(np.abs(z[:, 1] - z[:, 0]))[:2]
    query = rest[torch.as_tensor(near)]
    return audit(influence, X_query=query, rows=(1, 10), defences=("encoded", "levels"), levels=(1, 4), steps=40), query


def test_flips_of_pixels_are_refits_from_nothing(found: tuple[Audit, torch.Tensor]) -> None:
    """Half a grey level by default; the features of the altered images anew, the head fitted from nothing."""
    audited, query = found
    assert audited.flips() > 0
    for a in audited.attacks:
        x = torch.tensor(IMAGES[:TRAINED], dtype=query.dtype)
        for one in a.altered:
            assert one.before.shape == one.after.shape == (1, 8, 8)
            assert np.array_equal(one.before, IMAGES[one.row])
            assert np.abs(one.change).max() <= 0.4995
            assert 0.0 <= one.after.min() <= one.after.max() <= 16.0
            assert np.array_equal(np.round(one.after), one.before)
            x[one.row] = torch.as_tensor(one.after, dtype=query.dtype)
            assert np.array_equal(x[one.row].double().numpy(), one.after)  # as the tensor's own type holds it
        fitted = head_of(x, LABELS[:TRAINED])
        with torch.no_grad():
            read = features(query.dtype)(query[a.query : a.query + 1]).double().numpy()
            says = audited.refit(a.query).model(query[a.query : a.query + 1]).argmax(dim=1).item()
        margin = float(fitted.decision_function(read)[0]) * (1.0 if a.label == 1 else -1.0)
        assert margin == pytest.approx(a.after, abs=2e-3)
        assert a.flipped == (margin < 0)
        assert says == a.says_after == fitted.predict(read)[0]


def test_storing_the_images_again_undoes_all_and_whole_levels_nothing(found: tuple[Audit, torch.Tensor]) -> None:
    audited, _ = found
    table = audited.defences
    assert table["flipped"][table["kind"] == "encoded"].item() == 0
    levels = list(table["flipped"][table["kind"] == "levels"])
    assert levels == sorted(levels)
    assert levels[-1] > 0
    assert audited.columns == ()
    assert audited.within.shape == (1, 8, 8)


def test_a_network_that_moves_is_refused_by_name() -> None:
    """With what to use instead."""
    x = torch.as_tensor(IMAGES[:40].reshape(40, 64) / 16.0)
    model = nn.Sequential(nn.Linear(64, 3), nn.Tanh(), nn.Linear(3, 2)).double().eval()
    loss = nn.CrossEntropyLoss(reduction="none")
    whole = Influence.from_torch(model, loss, (x, torch.as_tensor(LABELS[:40])), penalty=0.1)
    with pytest.raises(UnsupportedModel, match="Sequential moves more than a linear head"):
        audit(whole, X_query=x[:1])
