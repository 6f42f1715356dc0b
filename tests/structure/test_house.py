"""The house style, where a program can read it; and the public surface, pinned."""

import ast
from pathlib import Path

import pytest

import upweight
from upweight import extend

SOURCE = Path(upweight.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]
PROTOCOLS = [
    "Adapted", "Answer", "Attribution", "Batched", "Curvature", "Dense", "Features", "GradientSource", "LinearHead",
    "Measurement", "OutputLoss", "Params", "Perturbable", "Perturbation", "Prepared", "Question", "Reading",
    "Response", "RootPlusDiagonal", "RowJacobians", "RowKernel", "Scalar", "Sensitivity", "Solution", "Solver",
    "Stationarity", "Status", "Task", "WithDiagonal",
]  # fmt: skip


def test_the_public_surface_is_pinned() -> None:
    """What `from upweight import …` offers, no more and no less, and each name is there."""
    assert upweight.__all__ == ["Influence", "Scores", "audit", "compare", "review"]
    assert [getattr(upweight, name).__name__ for name in upweight.__all__] == upweight.__all__
    assert dir(upweight) == sorted(upweight.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Influense'"):
        upweight.Influense  # noqa: B018


def test_the_protocols_are_pinned() -> None:
    """What those import who add a loss, curvature, solver, source or question."""
    assert extend.__all__ == PROTOCOLS
    assert all(hasattr(extend, name) for name in PROTOCOLS)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_has_one_idea_and_says_which(path: Path) -> None:
    """Under 400 lines, a docstring, and no drawer called utils."""
    text = path.read_text()
    assert len(text.splitlines()) < 400
    assert ast.get_docstring(ast.parse(text)), "a module says what it is"
    assert not {"utils", "util", "helpers", "misc", "common"} & set(path.with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_is_public_says_what_it_does(path: Path) -> None:
    """Every public class, function, method and property has a docstring."""
    for owner in ast.walk(ast.parse(path.read_text())):
        if not isinstance(owner, ast.Module | ast.ClassDef) or getattr(owner, "name", "").startswith("_"):
            continue
        for node in owner.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"line {node.lineno}: {node.name}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_private_names_stay_at_home(path: Path) -> None:
    """A leading underscore means that no other file imports it or reaches for it on another module's object."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("upweight"):
            assert not [alias.name for alias in node.names if alias.name.startswith("_")], f"line {node.lineno}"
