"""Pages that list what the code holds name all of it, and nothing else."""

import json
import re
import tomllib
import warnings
from pathlib import Path
from typing import Any

import blocks
import generated
import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier

import upweight.errors
from upweight.adapters import NETWORKS, READERS, adapt
from upweight.solvers import SOLVERS

ROOT = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    """A page's text."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, heads and rules left out."""
    found = re.findall(r"^\|.*\|\n\|[-|]+\|\n((?:\|.*\|\n)*)", text, re.MULTILINE)
    return [[[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in t.splitlines()] for t in found]


def names(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def test_models_page_names_every_reader() -> None:
    """The table of models holds the estimators of READERS, then those of NETWORKS, in the same order."""
    listed = [name for row in tables(page("models.md"))[0] for name in names(row[0])]
    assert listed == [kind.__name__ for kind in (*READERS, *NETWORKS)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", [*READERS, *NETWORKS], ids=lambda kind: kind.__name__)
def test_models_page_states_form_and_penalty(kind: type[Any]) -> None:
    """The column "form" and "λ" are what the adapter reads from a small fit."""
    row = next(r for r in tables(page("models.md"))[0] if names(r[0]) == [kind.__name__])
    fitted, x, y = small_fit(kind)
    head = adapt(fitted, x, y).objective
    assert row[3] == head.normalization
    params = fitted.get_params()
    chosen = {
        "C": np.ravel(getattr(fitted, "C_", params.get("C", params.get("estimator__C", 1.0))))[0],
        "α": getattr(fitted, "alpha_", params.get("alpha", 0.0)),
        "l1_ratio": getattr(fitted, "l1_ratio_", params.get("l1_ratio", 0.0)),
    }
    stated = row[2].replace("−", "-").replace("C n", "C * n").replace("2 α", "2 * α").replace("α (", "α * (")
    expected = eval(stated, {"n": len(y), "b": len(y), **chosen})
    assert float(np.max(np.asarray(head.penalty))) == pytest.approx(float(expected), rel=1e-9)


def small_fit(kind: type[Any]) -> tuple[Any, Any, Any]:
    """An estimator of this class with its own defaults, fitted on 60 rows; α small enough for l1 to keep columns."""
    draws = np.random.default_rng(0)
    x = draws.normal(size=(60, 3))
    y: Any = np.exp(x @ [0.5, -0.5, 0.2] + 0.1 * draws.normal(size=60))
    estimator = kind(LogisticRegression()) if kind is OneVsRestClassifier else kind()
    if is_classifier(estimator):
        y = (x @ [1.0, -1.0, 0.5] + draws.normal(size=60) > 0).astype(int)
    settings = {"alpha": 0.05, "loss": "log_loss"} if kind is SGDClassifier else {"alpha": 0.05}
    estimator.set_params(**{name: value for name, value in settings.items() if name in estimator.get_params()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return estimator.fit(x, y), x, y


def test_models_page_refuses_what_the_code_refuses() -> None:
    """Each classifier and regressor of this scikit-learn stands in a table; the refused with the code's own reason."""
    taken = {name for row in tables(page("models.md"))[0] for name in names(row[0])}
    rows = tables(page("models.md"))[-1]
    said = {name: row[1] for row in rows for name in names(row[0])}
    for reason, refused in generated.refused().items():
        for name in refused:
            assert said.get(name) == reason, f"{name}: run python docs/generated.py"
    assert not taken & set(said)
    assert taken | set(said) >= set(generated.estimators())


def test_solvers_page_names_every_solver() -> None:
    """The table and SOLVERS hold the same names."""
    assert [names(row[0])[0] for row in tables(page("solvers.md"))[0]] == list(SOLVERS)


def test_errors_page_names_every_error() -> None:
    """The table has each class of errors.py, with the builtin that it also is."""
    rows = {names(row[0])[0]: names(row[1])[0] for row in tables(page("errors.md"))[0]}
    classes = {name for name in upweight.errors.__all__ if isinstance(getattr(upweight.errors, name), type)}
    assert set(rows) == classes
    for name, builtin in rows.items():
        bases = [base.__name__ for base in getattr(upweight.errors, name).__mro__ if base.__module__ == "builtins"]
        assert bases[0] == builtin, name


def test_commands_page_shows_every_help_text() -> None:
    """Each command has its block `upweight NAME --help`, which the tests of blocks run."""
    from upweight.cli import app

    shown = [c for b in blocks.blocks(page("commands.md")) if b.kind == "console" for c, _ in blocks.commands(b.body)]
    known = [info.name or info.callback.__name__ for info in app.registered_commands if info.callback]
    assert [c.split()[1] for c in shown if re.fullmatch(r"upweight \w+ --help", c)] == known


@pytest.mark.parametrize("command", ["explain", "check"])
def test_commands_page_lists_every_key(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of keys and what --json prints at its top are the same."""
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    x = draws.normal(size=(60, 2))
    lines = [f"{a:.3f},{b:.3f},{'yes' if a > draws.normal() else 'no'}" for a, b in x]
    Path("small.csv").write_text("\n".join(["height,width,bought", *lines]), encoding="utf-8")
    more = " --worst 1" if command == "explain" else ""
    keys = json.loads(blocks.call(f"upweight {command} small.csv --target bought --json{more}")).keys()
    rows = next(table for table in tables(page("commands.md")) if names(table[0][0]) == ["upweight"])
    assert {names(row[0])[0] for row in rows if row[1] in ("both", command)} == set(keys)


def test_dependencies_page_gives_a_reason_for_each() -> None:
    """Runtime dependencies and extras are those of pyproject; development packages are named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def packages(lines: list[str]) -> set[str]:
        return {re.match(r"[A-Za-z0-9_-]+", line)[0] for line in lines} - {"upweight"}  # type: ignore[index]

    runtime, extras = tables(page("dependencies.md"))
    assert {names(row[0])[0] for row in runtime} == packages(project["dependencies"])
    optional = project["optional-dependencies"]
    for_users = {key: packages(lines) for key, lines in optional.items() if key not in ("dev", "docs")}
    assert {row[1]: {names(r[0])[0] for r in extras if r[1] == row[1]} for row in extras} == for_users
    development = page("dependencies.md").partition("## Development")[2]
    missing = (packages(optional["dev"]) | packages(optional["docs"])) - set(names(development))
    assert not missing


def test_architecture_page_names_every_module() -> None:
    """One line a module, and no line without one."""
    bands = page("architecture.md").partition("<!-- modules")[2].partition("<!-- end")[0]
    listed = re.findall(r"^\| `([^`]+)` \|", bands, re.MULTILINE)
    known = {key.removesuffix("/__init__") for key in generated.modules()}
    assert set(listed) == known, f"run python docs/generated.py: {sorted(set(listed) ^ known)}"


@pytest.mark.parametrize("note", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=lambda path: path.stem[:4])
def test_decision_names_places_and_tests_that_exist(note: Path) -> None:
    """A note's table names modules or pages, and its last line tests, that are there."""
    text = note.read_text(encoding="utf-8")
    for path in re.findall(r"`(tests/[\w/]+\.py)`", text):
        assert (ROOT / path).exists(), path
    assert "**Pinned by** `tests/" in text
    known = set(generated.modules())
    for row in tables(text)[0]:
        for name in names(row[0]):
            place = name.removesuffix("/*")
            assert place in known or f"{place}/__init__" in known, f"{note.name}: {name}"


def test_benchmarks_page_includes_every_result() -> None:
    """Tables are taken from the files that the benchmarks write."""
    included = re.findall(r"\{literalinclude\} \.\./benchmarks/results/(\S+)", page("benchmarks.md"))
    assert sorted(included) == sorted(path.name for path in (ROOT / "benchmarks" / "results").glob("*.txt"))


def test_every_picture_has_the_script_that_draws_it() -> None:
    """Pictures are made by scripts of the same name beside them, from real runs."""
    shown = {
        m for p in blocks.PAGES for m in re.findall(r"!\[[^]]+\]\([\w/]*figures/(\w+)\.svg\)", p.read_text("utf-8"))
    }
    figures = ROOT / "docs" / "figures"
    assert shown == {path.stem for path in figures.glob("*.svg")} == {path.stem for path in figures.glob("*.py")}


def test_every_page_is_reached_from_the_index() -> None:
    """A page that no table of contents names is not read."""
    trees = [
        b.body for p in blocks.PAGES for b in blocks.blocks(p.read_text(encoding="utf-8")) if b.kind == "{toctree}"
    ]
    reached = {line.split("/")[-1] for tree in trees for line in tree.split("\n") if line and not line.startswith(":")}
    pages = {p.stem if p.stem != "index" else p.parent.name for p in blocks.PAGES if p.is_relative_to(ROOT / "docs")}
    assert pages - {"docs", "decisions"} == reached - {"index"}
