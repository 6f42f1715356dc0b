"""`package.module:function`: a network explained and checked, what it may return, what is said of everything else."""

import importlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.conftest import Run
from tests.cli.test_start import BLOCKED, python
from tests.workflows.networks import NETS
from upweight import Influence

Module = Callable[..., str]


def given(name: str) -> Any:
    """What the function returns, in this process."""
    file, _, function = name.partition(":")
    return getattr(importlib.import_module(file), function)()


def answer(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def test_a_query_is_explained_as_python_does(run: Run, module: Module) -> None:
    """--row counts the function's queries; estimates and refits are those of Influence.from_torch."""
    name = module("small")
    result = run("explain", name, "--row", "2", "--measurement", "loss", "--json")
    found = answer(result)
    assert "training" in result.stderr  # what the user's code prints is not on stdout
    (prediction,) = found["predictions"]
    task = given(name)
    queries = task.pop("queries")
    influence = Influence.from_torch(**task)
    scores = influence.scores(queries[0][2:3], queries[1][2:3])
    assert prediction["origin"] == "one of the function's queries"
    assert prediction["now"] == pytest.approx(float(scores.base[0]))
    for effect in (*prediction["helpful"], *prediction["harmful"]):
        assert effect["estimate"] == pytest.approx(float(scores.values[0, effect["id"]]), rel=1e-6)
        assert effect["refit"] == pytest.approx(float(scores.refitter([effect["id"]])[0, 0]), rel=1e-6)
    assert found["held_out"]["rows"] == 6
    assert found["harmful_overall"]["held_out_rows"] == 6
    assert "own" not in prediction


def test_a_training_row_is_taken_out_where_refits_are_cheap(run: Run, module: Module) -> None:
    """It does not explain itself: the model that answers is at the minimum without it."""
    name = module("alone")
    found = answer(run("explain", name, "--row", "7", "--measurement", "loss", "--json"))
    task = given(name)
    influence = Influence.from_torch(**task)
    refit = influence.without([7]).model
    x, y = task["data"]
    with torch.no_grad():
        expected = float(task["loss"](refit(x[7:8]), y[7:8])[0])
    (prediction,) = found["predictions"]
    assert prediction["now"] == pytest.approx(expected, rel=1e-6)
    assert found["train_rows"] == 39
    assert any("row 7 was taken out" in note for note in found["notes"])
    shown = [e["id"] for kind in ("helpful", "harmful", "nearest") for e in prediction[kind]]
    assert 7 not in shown
    assert max(shown) > 7  # the others keep their ids


@pytest.mark.parametrize(("function", "words"), [("early", ()), ("alone", ("--keep",))])
def test_a_training_row_that_stays_is_listed_apart(
    run: Run,
    module: Module,
    function: str,
    words: tuple[str, ...],
) -> None:
    """Its own influence is not among the others', and that of a network without cheap refits is estimated only."""
    name = module(function)
    found = answer(run("explain", name, "--row", "3", *words, "--json"))
    (prediction,) = found["predictions"]
    shown = [e["id"] for kind in ("helpful", "harmful", "nearest") for e in prediction[kind]]
    assert prediction["own"]["id"] == 3
    assert 3 not in shown
    page = run("explain", name, "--row", "3", *words)
    assert "Row 3 is itself a training row, and is listed apart" in page.stdout
    if function == "early":
        assert found["check"] is None
        assert prediction["flip"] is None
        assert all(e["refit"] is None for e in prediction["helpful"])
        assert "not refitted" in page.stdout
        assert "nothing was refitted" in page.stdout
        assert found["grade"]["checked"] is False


def test_the_worst_are_the_queries_with_most_loss(run: Run, module: Module) -> None:
    """In falling order; without queries, training rows."""
    found = answer(run("explain", module("small"), "--worst", "3", "--json"))
    losses = [p["now"] for p in found["predictions"]]
    assert losses == sorted(losses, reverse=True)
    early = answer(run("explain", module("early"), "--worst", "2", "--json"))
    assert len(early["predictions"]) == 2
    assert all("own" in prediction for prediction in early["predictions"])
    assert any("the function gives no queries: the worst are" in note for note in early["notes"])


def test_classes_have_a_probability_and_a_flip_is_sought(run: Run, module: Module) -> None:
    """As a table's, confirmed by a refit where one is found."""
    found = answer(run("explain", module("classes"), "--row", "0", "--json"))
    (prediction,) = found["predictions"]
    assert prediction["probability"] is not None
    assert prediction["says"] in (0, 1)
    assert prediction["flip"] is not None


def test_pictures_are_drawn_and_the_report_is_written(run: Run, module: Module, tmp_path: Path) -> None:
    """Image-like tensors are pictures; queries may come without their truths."""
    result = run("explain", module("pictures"), "--row", "1", "--report", tmp_path / "r.html")
    assert result.exit_code == 0, result.stderr
    assert "▀" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    text = (tmp_path / "r.html").read_text()
    assert "data:image/png" in text
    assert "sha256" in text


def test_several_inputs_and_targets_are_measured_by_their_loss(run: Run, module: Module) -> None:
    """No prediction is one number there, so the loss is what changes."""
    found = answer(run("explain", module("several"), "--row", "1", "--json"))
    (prediction,) = found["predictions"]
    assert prediction["measurement"] == "loss"
    assert math.isfinite(prediction["now"])
    assert len(prediction["truth"]) == 2
    assert {name.split()[0] for name in prediction["row"]} == {"input"}


def test_no_rows_leaves_out_what_rows_hold(run: Run, module: Module) -> None:
    """Ids only."""
    found = answer(run("explain", module("small"), "--row", "0", "--no-rows", "--json"))
    assert "row" not in found["predictions"][0]
    assert "label" not in found["predictions"][0]["helpful"][0]


def test_check_refits_to_the_next_minimum(run: Run, module: Module) -> None:
    """The same form as a table's, measured on the function's queries."""
    found = answer(run("check", module("small"), "--rows", "8", "--json"))
    assert found["measured_on"] == "6 queries"
    assert found["command"] == "check"
    assert len(found["check"]["rows"]) == 8
    assert found["check"]["pearson"] > 0.9


def test_check_by_training_and_its_exit_code(run: Run, module: Module, tmp_path: Path) -> None:
    """`train` is what refits; below --min-grade the code is 1."""
    name = module("again")
    result = run("check", name, "--rows", "4", "--min-grade", "A", "--junit", tmp_path / "j.xml")
    assert result.exit_code == 1, result.stderr
    assert "grade" in (tmp_path / "j.xml").read_text()
    assert "training row" in result.stdout
    without = run("check", module("early"))
    assert without.exit_code == 2
    assert "train(weights" in without.stderr


@pytest.mark.parametrize(
    ("text", "function", "said"),
    [
        (NETS, "nope", "has no function 'nope'"),
        (NETS, "ROWS", "'ROWS' is a int, not a function"),
        ("def f():\n    return 3\n", "f", "returned a int. It must return (model, loss, data)"),
        ("def f():\n    return 1, 2\n", "f", "returned 2 values"),
        ("def f():\n    return {'model': 1, 'los': 2}\n", "f", "a mapping with 'los'"),
        ("def f():\n    return {'model': 1, 'loss': 2}\n", "f", "without 'data'"),
        ("def f():\n    return 1, 2, 3\n", "f", "the model is a int, not a torch.nn.Module"),
        ("def f():\n    return 1 / 0\n", "f", "raised ZeroDivisionError: division by zero"),
        ("raise ValueError('not today')\n", "f", "raised ValueError: not today"),
        ("import sys\nsys.exit(3)\n", "f", "left the program (SystemExit: 3)"),
        ("def f(:\n", "f", "raised SyntaxError"),
        ("import no_such_thing\n", "f", "imports 'no_such_thing', which is not installed"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "check", "doctor"])
def test_what_cannot_be_called_is_bad_input(
    run: Run,
    module: Module,
    text: str,
    function: str,
    said: str,
    command: str,
) -> None:
    """The name, what was seen, and code 2; the traceback with --debug alone."""
    result = run(command, module(function, text))
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_fault_of_the_users_code_shows_its_line_and_with_debug_its_traceback(run: Run, module: Module) -> None:
    """Also one that only shows later, in the loss."""
    text = NETS + "\ndef odd(z, y):\n    raise KeyError('colour')\n\n\ndef broken():\n    return net(), odd, rows(9)\n"
    name = module("broken", text)
    result = run("explain", name)
    assert result.exit_code == 2
    line = text.splitlines().index("    raise KeyError('colour')") + 1
    assert f"raised KeyError: 'colour' ({name.partition(':')[0]}.py, line {line})" in result.stderr
    assert "Traceback" in run("explain", name, "--debug").stderr


def test_a_module_that_is_not_there(run: Run, module: Module) -> None:
    """Said with the folder that was looked in; and a name that is neither."""
    module("small")
    result = run("explain", "no_such_module:f")
    assert result.exit_code == 2
    assert "there is no module 'no_such_module' in " in result.stderr
    assert "package.module:function" in run("explain", "da:ta.csv").stderr


@pytest.mark.parametrize("device", ["cuda:97", "meta", "warp"])
def test_a_device_that_is_not_there_is_refused(run: Run, module: Module, device: str) -> None:
    """Before the function is called, naming those that are."""
    result = run("explain", module("small"), "--device", device)
    assert result.exit_code == 2
    assert f"--device '{device}'" in result.stderr
    assert "'cpu'" in result.stderr
    assert "training" not in result.stderr


def test_options_stay_with_their_kind(run: Run, module: Module, loans: Path) -> None:
    """A table's on a network, and the other way round."""
    result = run("explain", module("small"), "--target", "y", "--id", "z")
    assert result.exit_code == 2
    assert "--target and --id are for tables" in result.stderr
    result = run("explain", loans, "--target", "outcome", "--device", "cuda")
    assert result.exit_code == 2
    assert "--device 'cuda' is for a network" in result.stderr
    assert run("explain", module("small"), "--row", "1", "--worst", "2").exit_code == 2
    unknown = run("explain", module("small"), "--row", "99")
    assert unknown.exit_code == 2
    assert "there is no row '99'" in unknown.stderr


def test_without_torch_the_line_that_installs_it_is_given(module: Module) -> None:
    """Whether the function's module asks for torch, or nobody does before us."""
    for text in (NETS, "def small():\n    return 1, 2, 3\n"):
        done = python(BLOCKED + "from upweight.cli import main; main()", "explain", module("small", text))
        assert done.returncode == 2
        assert "pip install 'upweight[torch]'" in done.stderr
