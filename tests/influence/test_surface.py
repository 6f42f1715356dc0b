"""The public surface of DESIGN.md section 3, name by name, for a scikit-learn model and for a torch network."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import upweight
from tests.influence.network_cases import CASES, N, asked, trained
from upweight import Influence, Scores
from upweight.saving import TorchSource

LATER = {"review", "audit", "compare", "index", "from_trainer", "memory"}  # names that other parts bring
SURFACE: dict[str, tuple[str, ...]] = {
    "from_sklearn": ("estimator", "X", "y", "sample_weight", "solver", "damping", "smoothing"),
    "from_torch": ("model", "loss", "data", "penalty", "params", "normalization", "solver", "damping", "train"),
    "scores": ("X_query", "y_query", "measurement", "removal"),
    "self_influence": (),
    "group": ("rows", "X_query", "y_query"),
    "reweight": ("rows", "factor", "X_query", "y_query"),
    "relabel": ("X_query", "y_query"),
    "features": ("X_query", "y_query", "rows"),
    "smallest_flip": ("x_query", "to"),
    "without": ("rows",),
    "check": ("X_query", "y_query"),
    "save": ("path",),
    "load": ("path",),
}
BEYOND = {"hangs_on", "positions", "row_ids", "without_each"}  # not in DESIGN.md 3; the first is asked for since
DEFAULTS = {
    "from_sklearn": {"sample_weight": None, "solver": "auto", "damping": 0.0, "smoothing": None},
    "from_torch": {
        "penalty": 0.0,
        "params": "all",
        "normalization": "mean",
        "solver": "auto",
        "damping": "auto",
        "train": None,
    },
    "scores": {"y_query": None, "measurement": "loss", "removal": "leverage"},
    "smallest_flip": {"to": None},
}
OF_SCORES = ("values", "top", "unit", "meaning", "grade", "how", "to_frame", "plot", "save", "load", "_repr_html_")


def parameters(name: str) -> dict[str, Any]:
    """Name -> default."""
    found = inspect.signature(getattr(Influence, name)).parameters
    return {key: value.default for key, value in found.items() if key != "self"}


def test_what_can_be_imported() -> None:
    """Influence and Scores, and of the rest no more than the design names."""
    assert {"Influence", "Scores"} <= set(upweight.__all__) <= {"Influence", "Scores", "review", "audit", "compare"}


def test_influence_has_the_methods_of_the_design() -> None:
    """No name more, but those written down here."""
    public = {name for name in vars(Influence) if not name.startswith("_")}
    assert public - LATER == set(SURFACE) | BEYOND


@pytest.mark.parametrize("name", SURFACE)
def test_parameters_are_those_of_the_design(name: str) -> None:
    """In its order; what came after has a default, so that a call by the design's names works."""
    have = parameters(name)
    names = tuple(key for key in have if key not in LATER)
    assert names[: len(SURFACE[name])] == SURFACE[name]
    assert all(have[key] is not inspect.Parameter.empty for key in names[len(SURFACE[name]) :])
    for key, value in DEFAULTS.get(name, {}).items():
        assert have[key] == value


@pytest.mark.parametrize("name", OF_SCORES)
def test_scores_have_the_names_of_the_design(name: str) -> None:
    """Attributes and methods."""
    assert name in dir(Scores) or name in Scores.__dataclass_fields__


CASE = CASES[0]


@lru_cache
def door(kind: str) -> tuple[Influence, Any, Any]:
    """An influence of each kind, X and y of its queries."""
    x, y, x_query, y_query = CASE.data
    if kind == "torch":
        return asked(CASE, trained(CASE, "settled")), x_query, y_query
    model = LogisticRegression(C=1.0, tol=1e-10).fit(x.numpy(), y.numpy())
    return Influence.from_sklearn(model, x.numpy(), y.numpy()), x_query.numpy(), y_query.numpy()


def reload(influence: Influence, path: Path) -> Influence:
    """Saved and read again."""
    influence.save(path / "it.upweight")
    code = isinstance(influence.source, TorchSource)  # a network's file holds none
    given = {"model": trained(CASE, "settled"), "loss": CASE.loss} if code else {}
    return Influence.load(path / "it.upweight", **given)


ANSWERS: dict[str, Callable[[Influence, Any, Any, Path], Any]] = {
    "scores": lambda i, x, y, _: i.scores(x, y).values.shape == (len(y), N),
    "scores, no labels": lambda i, x, _, __: i.scores(x, measurement="prob", removal="first_order").better is None,
    "scores to a frame": lambda i, x, y, _: len(i.scores(x, y).to_frame()) == len(y) * N,
    "scores as HTML": lambda i, x, y, _: "<" in i.scores(x, y)._repr_html_(),
    "top": lambda i, x, y, _: i.scores(x, y).top(3, query=1)["refit"].notna().all(),
    "self_influence": lambda i, *_: i.self_influence().values.shape == (1, N),
    "group": lambda i, x, y, _: np.isfinite(i.group([1, 2], x, y).refit().truth).all(),
    "reweight": lambda i, x, y, _: np.isfinite(i.reweight([1, 2], 2.0, x, y).refit().truth).all(),
    "relabel": lambda i, x, y, _: i.relabel(x, y).values.shape == (len(y), N, 2),
    "features": lambda i, x, y, _: i.features(x, y, [0, 3]).values.shape == (len(y), 2, 3),
    "smallest_flip": lambda i, x, *_: bool(i.smallest_flip(x[:1]).sentence),
    "hangs_on": lambda i, *_: len(i.hangs_on(rows=2).rows) == 2,
    "without": lambda i, *_: type(i.without([0]).model) is type(i.adapted.rebuild(i.attribution.vector)),
    "check": lambda i, x, y, _: i.check(x, y, rows=4).grade.letter in "ABCD",
    "save and load": lambda i, x, y, p: np.allclose(reload(i, p).scores(x, y).values, i.scores(x, y).values),
    "scores.save": lambda i, x, y, p: (
        i.scores(x, y).save(p / "scores.upweight") is None
        and Scores.load(p / "scores.upweight").meaning == i.scores(x, y).meaning
    ),
}


@pytest.mark.parametrize("kind", ["sklearn", "torch"])
@pytest.mark.parametrize("name", ANSWERS)
def test_both_doors_answer(name: str, kind: str, tmp_path: Path) -> None:
    """By the same names and shapes."""
    influence, x, y = door(kind)
    with torch.random.fork_rng():
        assert ANSWERS[name](influence, x, y, tmp_path)


@pytest.mark.parametrize("kind", ["sklearn", "torch"])
def test_row_ids_are_the_tables(kind: str) -> None:
    """A DataFrame's index, for a network too."""
    x, y, _, _ = CASE.data
    table = pd.DataFrame(x.numpy(), columns=["a", "b", "c"], index=[f"row {i}" for i in range(N)])
    if kind == "sklearn":
        influence = Influence.from_sklearn(LogisticRegression().fit(table, y.numpy()), table, y.numpy())
    else:
        influence = asked(CASE, trained(CASE, "settled"), data=(table, y.numpy()))
    assert influence.row_ids == tuple(table.index)
    assert influence.scores(table.iloc[:2], y.numpy()[:2]).top(1)["row"].iloc[0] in influence.row_ids
