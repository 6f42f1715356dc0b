"""How much a user writes: logical lines from a trained model to the ten rows that count most, in each library.

    python benchmarks/lines.py     the table, written to benchmarks/results/lines.{txt,json}

The snippets are benchmarks/quickstarts/; each peer's is in the style of its own documentation, whose address is its
docstring. A logical line is one statement: an import, a def, a call over six lines of text; the docstring is none. In
scope, so not counted: the trained model, X, y, X_query, y_query, and what training needed of torch. Each snippet is
run in its library's environment, where there is one: a count of code that does not run would say nothing.
"""

import ast
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from output import write
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers import environments  # noqa: E402

__all__ = ["count", "data", "run"]

QUICKSTARTS = Path(__file__).parent / "quickstarts"
DOORS = {
    "torch": ("upweight_torch", "captum", "pydvl", "dattri", "kronfluence"),
    "scikit-learn": ("upweight_sklearn", "pyinfluence"),
}
DATA = {"torch": load_digits, "scikit-learn": load_breast_cancer}
REACH = 3
N, QUERIES, SEED = 300, 5, 0
SECONDS = 300.0


def run() -> dict[str, Any]:
    """Counts, runs, prints, writes; what was found."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for door, names in DOORS.items():
            path = Path(folder) / f"{door}.npz"
            np.savez(path, **data(door))
            for name in names:
                source = (QUICKSTARTS / f"{name}.py").read_text(encoding="utf-8")
                found.append(
                    {
                        "door": door,
                        "library": name.partition("_")[0],
                        "lines": count(source),
                        "documented": ast.get_docstring(ast.parse(source)),
                    }
                    | _tried(name, path)
                )
    document = {
        "benchmark": "lines",
        "reach": REACH,
        "problem": {"rows": N, "queries": QUERIES, "seed": SEED},
        "versions": {"python": platform.python_version(), "upweight": version("upweight")},
        "quickstarts": found,
    }
    write("lines", document, _table(found))
    return document


def count(source: str) -> int:
    """Statements, nested ones too, without the docstring."""
    tree = ast.parse(source)
    statements = sum(isinstance(node, ast.stmt) for node in ast.walk(tree))
    return statements - (ast.get_docstring(tree) is not None)


def data(door: str) -> dict[str, Any]:
    """Rows and queries of scikit-learn's digits or breast cancer, standardised."""
    X, y = DATA[door](return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(X))[: N + QUERIES]
    X, y = StandardScaler().fit(X[order[:N]]).transform(X[order]), y[order].astype(np.int64)
    return {"X": X[:N], "y": y[:N], "X_query": X[N:], "y_query": y[N:]}


def _tried(name: str, path: Path) -> dict[str, Any]:
    """Whether it runs, and its library's version; why not."""
    library, _, own = name.partition("_")
    if not own and not environments.ready(library):
        return {"version": None, "runs": None, "reason": "its environment is not made"}
    python = sys.executable if own else str(environments.python(library))
    with tempfile.TemporaryDirectory() as folder:
        command = [python, str(ROOT / "benchmarks" / "quickstart_scope.py"), str(path), str(QUICKSTARTS / f"{name}.py")]
        sys.stderr.write(f"{name}\n")
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return {"version": None, "runs": False, "reason": f"stopped after {SECONDS:.0f} s"}
    pins = () if own else environments.PINS[library]
    pinned = version("upweight") if own else pins[-1].partition("==")[2]
    reason = "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
    return {"version": pinned, "runs": done.returncode == 0, "reason": reason, "printed": done.stdout[-1000:]}


def _table(found: list[dict[str, Any]]) -> str:
    """80 columns."""
    lines = [
        "lines: statements from a trained model and its rows to the ten rows that count",
        "",
        f"{'model of':<14}{'library':<13}{'version':<9}{'lines':>5}  runs",
    ]
    for one in found:
        runs = {True: "yes", False: "no", None: "not tried"}[one["runs"]]
        lines.append(f"{one['door']:<14}{one['library']:<13}{one['version'] or '–':<9}{one['lines']:>5}  {runs}")
    lines += ["", "written in the style of"]
    lines += [f"  {one['library']:<13}{one['documented']}" for one in found]
    lines += [
        "",
        f"to reach: {REACH} of upweight's, by both doors. Counted: imports, definitions, calls;",
        "not the model, the rows and what training needed of torch. runs: each in its",
        "library's environment. The others print row numbers; upweight's print the rows,",
        "the change of the loss without each and, of a linear model, a refit beside it.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run()
