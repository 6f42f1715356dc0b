"""The doctor: everything wrong at once, each thing that is fine said too, sizes and times; nothing is moved."""

import contextlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.workflows.networks import MESSY
from upweight.errors import FileError, InputError
from upweight.workflows import diagnosis, doctor_curvature, doctor_table, doctor_training
from upweight.workflows.doctor import Diagnosis, diagnose
from upweight.workflows.doctor_network import diagnose_network
from upweight.workflows.imported import called
from upweight.workflows.torch_task import TorchTask
from upweight.workflows.trial import can_watch, within

Module = Callable[..., str]


def said(found: Diagnosis, level: Any, about: str | None = None) -> str:
    """All sentences of one level, with their cures."""
    return "\n".join(f"{f.said} {f.cure}" for f in found.of(level) if about in (None, f.about))


def squares(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).square().mean(1)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """80 rows with a constant column, an empty target, a gap, a class of one row."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=80), "b": draw.normal(size=80), "still": 1.0})
    frame["label"] = np.where(frame["a"] + draw.normal(size=80) > 0, "yes", "no")
    frame.loc[3, "b"] = np.nan
    frame.loc[4, "label"] = None
    frame.loc[5, "label"] = "maybe"
    frame.to_csv("t.csv", index=False)
    return Path("t.csv")


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """80 rows with nothing to complain of."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(draw.normal(size=(80, 2)), columns=["a", "b"])
    frame["label"] = (frame["a"] + draw.normal(size=80) > 0).astype(int)
    frame.to_csv("p.csv", index=False)
    return Path("p.csv")


def test_a_plain_table_is_fine(plain: Path) -> None:
    """Each thing looked at has a line; sizes, memory, solver and times are there."""
    found = diagnose(plain, "label")
    assert found.fine
    about = {finding.about for finding in found.findings}
    assert about >= {"rows", "columns", "target", "split", "fit", "solver", "memory", "disk", "leverage"}
    assert found.sizes == {"rows": 80, "columns": 3, "classes": 2, "parameters": 3}
    assert found.solver == "cholesky"
    assert found.memory is not None
    assert found.memory > 0
    assert set(found.seconds) == {"fit", "explain", "check"}
    assert found.form()["outcome"] == "ok"


def test_what_is_odd_about_a_table_is_said_at_once(table: Path) -> None:
    """Constant column, gap, row without a target, class of one row."""
    found = diagnose(table, "label")
    assert not found.fine
    assert not found.of("problem")
    for part in ("'still' left out: constant", "1 missing value in 'b'", "1 row (4)", "'maybe'"):
        assert part in said(found, "warning")
    assert "warning" in found.sentence


def test_nothing_to_look_at_is_bad_input(table: Path) -> None:
    """No file, no target."""
    with pytest.raises(FileError, match="no such file"):
        diagnose("none.csv", "label")
    with pytest.raises(InputError, match="Likely: 'label'"):
        diagnose(table)
    assert "no target 'lable'" in said(diagnose(table, "lable"), "problem")


def test_a_model_that_does_not_fit_the_table_is_told_in_all_its_parts(plain: Path) -> None:
    """Its kind, its fit and its classes, each a problem of its own."""
    frame = pd.read_csv(plain)
    x, y = frame[["a", "b"]], frame["label"]
    for name, model in {
        "bayes.skops": GaussianNB().fit(x, y.replace(1, 7)),
        "wide.skops": RidgeClassifier().fit(x.assign(c=1.0), y),
        "fresh.skops": LogisticRegression(),
    }.items():
        skops.io.dump(model, name)
    bayes = diagnose(plain, "label", model="bayes.skops")
    assert "GaussianNB" in said(bayes, "problem", "model")
    assert "1" in said(bayes, "problem", "target")
    assert "'c'" in said(diagnose(plain, "label", model="wide.skops"), "problem", "columns")
    assert "not fitted" in said(diagnose(plain, "label", model="fresh.skops"), "problem", "model")
    absent = diagnose(plain, "label", model="absent.skops")
    assert "absent.skops" in said(absent, "problem", "model")
    assert absent.of("ok")  # the table is looked at all the same


def test_a_fit_of_other_rows_and_one_that_ran_out_of_steps(plain: Path) -> None:
    """A problem, and a warning."""
    frame = pd.read_csv(plain)
    x, y = frame[["a", "b"]], frame["label"]
    skops.io.dump(LogisticRegression(tol=1e-8).fit(x, 1 - y), "other.skops")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skops.io.dump(LogisticRegression(max_iter=1, tol=1e-10).fit(x, y), "short.skops")
    assert "not the rows, labels or weights" in said(diagnose(plain, "label", model="other.skops"), "problem", "fit")
    assert "has not converged" in said(diagnose(plain, "label", model="short.skops"), "warning", "fit")


def test_a_table_that_takes_long_is_not_fitted(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cost is said, with the solver that would be chosen."""
    monkeypatch.setattr(doctor_table, "LONG", 0.0)
    found = diagnose(plain, "label")
    assert "so its fit and its rows were not looked at" in said(found, "warning", "model")
    assert found.solver == "cholesky"
    assert set(found.seconds) == {"fit"}
    assert "leverage" not in {finding.about for finding in found.findings}


def test_memory_and_disk_that_do_not_suffice_are_problems(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the numbers."""
    monkeypatch.setattr(diagnosis, "available_memory", lambda: 1000)
    monkeypatch.setattr(diagnosis, "WRITTEN", {"report": 10**18})
    found = diagnose(plain, "label")
    assert "are needed and 1.0 kB are free" in said(found, "problem", "memory")
    assert "are free here" in said(found, "problem", "disk")


def test_a_network_at_its_minimum_is_fine(module: Module) -> None:
    """Data, loss, parameters, queries, minimum, refits, times."""
    found = diagnose(module("small"))
    assert not found.of("problem"), said(found, "problem")
    about = {finding.about for finding in found.of("ok")}
    assert about >= {
        "mode",
        "device",
        "data",
        "loss",
        "params",
        "queries",
        "fit",
        "layers",
        "memory",
        "minimum",
        "refits",
    }
    assert found.sizes["parameters"] == 11
    assert "the lowest curvature met is" in said(found, "ok", "minimum")
    assert set(found.seconds) == {"ready", "explain", "check"}


def test_everything_wrong_with_a_network_is_said_at_once(module: Module) -> None:
    """Mode, loss, penalty, normalization and train, in one go; layers by name."""
    found = diagnose(module("messy", MESSY))
    assert "'norm' (BatchNorm1d), 'drop' (Dropout) are in training mode" in said(found, "problem", "mode")
    assert "nn.CrossEntropyLoss(reduction='none')" in said(found, "problem", "loss")
    assert "penalty is -1.0" in said(found, "problem", "penalty")
    assert "'median'" in said(found, "problem", "normalization")
    assert "cannot be called with (weights, seed)" in said(found, "problem", "train")
    assert "1 of 6 tensors take no gradient" in said(found, "ok", "params")
    assert found.sentence.startswith("5 problems")


def test_the_mode_of_every_layer_is_left_as_it_was() -> None:
    """Looked at in evaluation mode, and put back."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.Linear(3, 2))
    model[2].eval()
    before = [layer.training for layer in model.modules()]
    diagnose_network(TorchTask("m:f", model, squares, (torch.randn(5, 3), torch.randn(5, 2))))
    assert [layer.training for layer in model.modules()] == before


@pytest.mark.parametrize(
    ("function", "about", "part"),
    [
        ("infinite", "model", "'0.weight'"),
        ("overflowing", "numbers", "layer '"),
        ("augmented", "data", "two passes over the data differ"),
    ],
)
def test_numbers_and_data_that_forbid_an_answer(module: Module, function: str, about: str, part: str) -> None:
    """NaN parameters, outputs that are not finite, data drawn anew: beside the loss that is no loss of rows."""
    found = diagnose(module(function, MESSY))
    assert part in said(found, "problem", about)


def test_a_loader_that_shuffles_is_fine_and_one_that_drops_rows_is_not() -> None:
    """Both are said."""
    data = TensorDataset(torch.randn(10, 3), torch.randn(10, 2))
    model = nn.Linear(3, 2).eval()
    shuffles = diagnose_network(TorchTask("m:f", model, squares, DataLoader(data, 5, shuffle=True)))
    assert "the loader shuffles" in said(shuffles, "ok", "data")
    drops = diagnose_network(TorchTask("m:f", model, squares, DataLoader(data, 4, drop_last=True)))
    assert "drop_last" in said(drops, "warning", "data")


def test_training_that_stopped_early_is_a_warning_with_its_numbers(module: Module) -> None:
    """The gradient left, how the Hessian bends or what a step would gain, and that nothing can be refitted."""
    found = diagnose(module("early"))
    assert "training has not converged" in said(found, "warning", "fit")
    assert "curvature met is" in said(found, "warning", "minimum")
    assert "no train is given" in said(found, "warning", "refits")
    assert "check" not in found.seconds


def test_train_is_timed_and_tried(module: Module) -> None:
    """A run that gives the model again; one that ignores its weights; one that takes too long."""
    found = diagnose(module("again"))
    assert "gives this model again" in said(found, "ok", "train")
    assert found.seconds["check"] == pytest.approx(found.seconds["train"] * 30)


def test_train_that_ignores_its_weights_is_a_problem(module: Module) -> None:
    """Tried by leaving rows out."""
    task = called(module("again"))
    train = task["train"]
    task["train"] = lambda weights, seed: train(torch.ones_like(weights), seed)
    found = diagnose_network(TorchTask("m:f", **task))
    assert "weights" in said(found, "problem", "train")


def test_train_that_takes_too_long_is_stopped(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what a check would take at least is said."""
    monkeypatch.setattr(doctor_training, "TRIAL", 0.2)
    task = called(module("again"))
    task["train"] = lambda weights, seed: time.sleep(30)
    start = time.perf_counter()
    found = diagnose_network(TorchTask("m:f", **task))
    assert time.perf_counter() - start < 20
    assert "takes more than" in said(found, "warning", "refits")


def test_a_curvature_that_takes_long_is_not_made(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is said, from a few products."""
    monkeypatch.setattr(doctor_curvature, "LONG", 0.0)
    found = diagnose(module("small"))
    assert "how it bends was not looked at" in said(found, "warning", "curvature")
    assert found.seconds["explain"] > found.seconds["ready"] > 0


def test_queries_of_another_shape_are_a_problem() -> None:
    """Both shapes are named."""
    data = (torch.randn(9, 3), torch.randn(9, 2))
    task = TorchTask("m:f", nn.Linear(3, 2).eval(), squares, data, queries=(torch.randn(2, 4), None))
    assert "[4] float32; those of the training rows are [3]" in said(diagnose_network(task), "problem", "queries")


def test_a_call_is_stopped_in_time_and_the_alarm_is_put_back() -> None:
    """None where it was stopped, though it catches every Exception; else its seconds."""

    def stubborn() -> None:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(5)

    assert can_watch()
    assert within(0.1, stubborn) is None
    took = within(5.0, lambda: time.sleep(0.01))
    assert took is not None
    assert 0.01 <= took < 5.0
    with pytest.raises(KeyError):
        within(5.0, lambda: {}["x"])
