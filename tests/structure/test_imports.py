"""Which module may import which: six bands, each from those before it, no circles, and nothing heavy too early."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import upweight

SOURCE = Path(upweight.__file__).parent
BANDS = {
    1: {
        "errors", "shapes", "arrays", "randomness", "files", "store",
    },
    2: {
        "features", "params", "output_loss", "linear_head", "measurement", "gradients", "perturbation",
        "derivatives", "network", "network_health", "optimisers", "training_run", "training_start",
        "training_step",
    },
    3: {
        "curvature", "solvers", "newton",
    },
    4: {
        "sensitivity", "removal", "attribution", "validation", "display", "saved_scores", "scores", "relabel",
        "feature_effects", "mainstay",
    },
    5: {
        "adapters", "tables", "questions", "outcomes", "saving", "influence", "workflows", "evidence",
    },
    6: {
        "cli",
    },
}  # fmt: skip
BESIDE = {"", "extend", "testing"}  # the front door, the protocols, the problems: they may import anything
BAND = {name: number for number, names in BANDS.items() for name in names}
MODULES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
HEAVY = ("numpy", "scipy", "pandas", "sklearn", "torch")


def imports(module: str) -> Iterator[str]:
    """Our own modules that this one imports, anywhere in its text."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "upweight":
            assert node.level == 0, f"{module}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "upweight")


def room(module: str) -> str:
    """The part of the tree that a module lies in: errors, solvers …; "" for the package itself."""
    return [*module.split("."), ""][1]


def test_every_module_has_a_band() -> None:
    """A new file or folder takes a place in the table above, once."""
    assert sum(len(names) for names in BANDS.values()) == len(BAND)
    assert {room(module) for module in MODULES} == BAND.keys() | BESIDE


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module: str) -> None:
    """No module imports from a band above its own; the tests' own kit is imported by nobody but itself."""
    if room(module) in BESIDE:
        return
    for imported in imports(module):
        assert room(imported) not in BESIDE, f"{module} imports {imported}"
        assert BAND[room(imported)] <= BAND[room(module)], f"{module} imports {imported}, from a band above"


def test_rooms_have_no_circles() -> None:
    """Inside a band too, one room stands on the other and not both on each other."""
    graph = {name: {room(i) for m in MODULES if room(m) == name for i in imports(m)} - {name} for name in BAND}
    list(TopologicalSorter(graph).static_order())


def test_modules_have_no_circles() -> None:
    """Nor do the files of a room."""
    graph = {module: set(imports(module)) - {module} for module in MODULES if module != "upweight"}
    list(TopologicalSorter(graph).static_order())


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_upweight_imports_nothing_heavy() -> None:
    """`import upweight` alone loads none of numpy, scipy, pandas, scikit-learn, torch."""
    assert run(f"import sys, upweight; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


def test_influence_imports_no_torch() -> None:
    """Nor does the whole of the scikit-learn path load torch, the command line, or what saving and plotting take."""
    names = ("torch", "skops", "matplotlib", "typer", "upweight.cli")
    assert run(f"import sys\nfrom upweight import Influence\nprint([m for m in {names} if m in sys.modules])") == "[]"


def test_the_scikit_learn_path_works_where_torch_cannot_be_found() -> None:
    """With torch hidden by an import finder: fit, scores, a refit."""
    code = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Hidden())
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from upweight import Influence
X, y = load_iris(return_X_y=True)
influence = Influence.from_sklearn(LogisticRegression(max_iter=1000).fit(X, y), X, y)
print(influence.scores(X[:2]).values.shape, len(influence.without([0, 1]).rows), "torch" in sys.modules)
"""
    assert run(code) == "(2, 150) 2 False"
