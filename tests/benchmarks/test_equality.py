"""The table of translations is right on a problem solved by hand; upweight's doors agree on the benchmark's own."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def equality(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, as `python benchmarks/equality.py` sees it."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("equality")
    for name in [name for name in sys.modules if name.split(".")[0] in ("benchmarks", "equality", "output")]:
        sys.modules.pop(name)


def test_every_factor_on_a_mean_with_a_penalty(equality: Any) -> None:
    """θ minimises (1/n) Σ w_i ½ (θ − x_i)² + ½ λ θ², so θ(w) = Σ w_i x_i / (Σ w_i + n λ): every library's number,
    written as its quantity says, becomes the derivative of ½ (θ − q)² on w_i → 0.
    """
    x, lam, query = np.array([0.3, -1.2, 2.5, 0.9, -0.4]), 0.1, 1.7
    n = len(x)
    theta = x.sum() / (n * (1 + lam))
    step = 1e-6
    truth = []
    for i in range(n):
        weights = np.ones((2, n))
        weights[:, i] += [step, -step]
        moved = weights @ x / (weights.sum(axis=1) + n * lam)
        losses = 0.5 * (moved - query) ** 2
        truth.append(-(losses[0] - losses[1]) / (2 * step))
    m, g, mean_curvature, sum_curvature = theta - query, theta - x, 1 + lam, n * (1 + lam)
    own = {
        "captum": m * g / sum_curvature,
        "dattri": g / mean_curvature * m,
        "kronfluence": m * g / mean_curvature,
        "pydvl": m * g / mean_curvature,
        "pyinfluence": m * g / mean_curvature / n,
        "koh-liang": -m * g / mean_curvature,
    }
    without = np.array([np.delete(x, i).sum() / (n * (1 + lam) - 1) for i in range(n)])
    translations = equality.TRANSLATIONS
    assert set(own) | {"dfbeta"} == set(translations)
    for name, scores in own.items():
        np.testing.assert_allclose(translations[name].factor(n) * scores, truth, rtol=1e-8)
    np.testing.assert_allclose(translations["dfbeta"].factor(n) * (theta - without), without - theta)


def test_own_doors_agree(equality: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """from_torch by head and by autograd, with and without a curvature, the dense reference: to 1e-8; 80 columns."""
    document = equality.run(small=True)
    assert len(document["compared"]) == 4
    assert all(one["passes"] and one["difference"] <= 1e-8 for one in document["compared"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_difference_is_of_the_worst_query(equality: Any) -> None:
    """Each query by its own largest score."""
    ours = np.array([[1.0, -2.0], [100.0, 50.0]])
    assert equality.difference(ours + np.array([[0.0, 0.02], [0.5, 0.0]]), ours) == pytest.approx(0.01)
