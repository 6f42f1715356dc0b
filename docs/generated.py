"""Tables of the docs that the code itself knows: modules, refused models.

python docs/generated.py     writes them anew between their markers; tests/docs compares names and reasons
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "upweight"
TITLES = ["ground", "problem", "algebra", "estimates", "doors", "faces"]


def bands() -> dict[str, list[str]]:
    """The bands of the package, as the test that reads the imports has them, and what stands beside them."""
    test = ast.parse((ROOT / "tests" / "structure" / "test_imports.py").read_text(encoding="utf-8"))
    said = {
        node.targets[0].id: node.value
        for node in test.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    numbered, beside = said["BANDS"], said["BESIDE"]
    assert isinstance(numbered, ast.Dict)
    assert isinstance(beside, ast.Set)
    names = [[ast.literal_eval(name) for name in band.elts] for band in numbered.values if isinstance(band, ast.Set)]
    out = {f"{i} · {title}": band for i, (title, band) in enumerate(zip(TITLES, names, strict=True), 1)}
    return out | {"beside": [ast.literal_eval(name) or "__init__" for name in beside.elts]}


def modules() -> dict[str, Path]:
    """Every module by its place: `solvers/cg`."""
    return {str(p.relative_to(SOURCE).with_suffix("")): p for p in sorted(SOURCE.rglob("*.py"))}


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = re.split(r"\n\n|\.\n|\. (?=[A-Z`])", text, maxsplit=1)[0]
    return re.sub(r"\s+", " ", first).rstrip(".").replace("|", r"\|")


def module_tables() -> str:
    """One table a band, one line a module."""
    known, out = modules(), []
    for band, names in bands().items():
        lines = []
        for name in names:
            own = [key for key in known if key == name or key.startswith(f"{name}/")]
            lines += [f"| `{key.removesuffix('/__init__')}` | {sentence(known.pop(key))} |" for key in own]
        if lines:
            out += [f"### {band}", "", "| module | is |", "|---|---|", *lines, ""]
    if known:
        raise SystemExit(f"no band in tests/structure/test_imports.py names {sorted(known)}")
    return "\n".join(out)


def refused() -> dict[str, list[str]]:
    """Reason -> the classifiers and regressors of scikit-learn that are refused with it."""
    from upweight.adapters import NETWORKS, READERS
    from upweight.adapters.refusals import refuse

    taken = {kind.__name__ for kind in (*READERS, *NETWORKS)}
    out: dict[str, list[str]] = {}
    for name, kind in estimators().items():
        if name not in taken:
            said = str(refuse(object.__new__(kind))).removeprefix(f"{name} ").partition("; docs/models.md")[0]
            out.setdefault(said, []).append(name)
    return out


def estimators() -> dict[str, type[Any]]:
    """scikit-learn's classifiers and regressors."""
    from sklearn.utils import all_estimators

    found = all_estimators(type_filter=["classifier", "regressor"])
    return {name: kind for name, kind in found if not hasattr(kind, "best_estimator_") and "SearchCV" not in name}


def refusal_table() -> str:
    """One line a reason."""
    lines = [f"| {', '.join(f'`{name}`' for name in names)} | {said} |" for said, names in refused().items()]
    return "\n".join(["| model | why it is refused, and what to use |", "|---|---|", *lines, ""])


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "modules": ("architecture.md", module_tables),
    "refused": ("models.md", refusal_table),
}

if __name__ == "__main__":
    for name, (page, made) in TABLES.items():
        path = ROOT / "docs" / page
        text = path.read_text(encoding="utf-8")
        start, end = f"<!-- {name}: docs/generated.py -->\n", "<!-- end -->"
        before, rest = text.split(start)
        path.write_text(f"{before}{start}{made()}{end}{rest.partition(end)[2]}", encoding="utf-8")
