"""Groups of rows removed from a logistic regression: four estimates against refits, at 1, 5, 15 and 30 % of the rows.

    python benchmarks/group.py            the table, written to benchmarks/results/group.{txt,json}
    python benchmarks/group.py --small    one draw of the data and four columns, nothing written

METHODS.md 2.2's problem: 300 rows, 8 columns, a group is the rows with the largest values of one column. The error of a
group is ‖estimate − refit‖ / ‖refit‖ of the change of the log-odds of fresh queries.
"""

import argparse
import platform
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from output import write
from sklearn.linear_model import LogisticRegression

from upweight import Influence
from upweight.removal.group import group_newton

__all__ = ["run"]

N, D, QUERIES, DRAWS = 300, 8, 50, 20
SHARES = (0.01, 0.05, 0.15, 0.30)
REACH = {0.05: 0.04, 0.15: 0.08}  # median error of the corrected group Newton, at most
ESTIMATES = ("plain sum", "one by one", "Newton step", "corrected")


def run(small: bool = False) -> dict[str, Any]:
    """Measures, prints, writes (the small one prints only); what was found."""
    start = time.perf_counter()
    errors: dict[float, list[list[float]]] = {share: [] for share in SHARES}
    seconds: dict[str, list[float]] = {"estimate": [], "refit": []}
    for draw in range(1 if small else DRAWS):
        influence, x, queries = _problem(draw)
        for column in range(4 if small else D):
            order = np.argsort(-x[:, column], kind="stable")
            for share in SHARES:
                rows = [int(i) for i in order[: round(share * N)]]
                errors[share].append(_errors(influence, rows, queries, seconds))
    table = [
        {
            "share": share,
            "rows": round(share * N),
            "groups": len(errors[share]),
            "median": dict(zip(ESTIMATES, np.median(errors[share], axis=0).tolist(), strict=True)),
            "worst": dict(zip(ESTIMATES, np.max(errors[share], axis=0).tolist(), strict=True)),
            "to_reach": REACH.get(share),
        }
        for share in SHARES
    ]
    document = {
        "benchmark": "group",
        "problem": f"logistic, {N} rows, {D} columns, C = 1",
        "seeds": [0, 0 if small else DRAWS - 1],
        "seconds": round(time.perf_counter() - start, 1),
        "milliseconds": {name: 1e3 * float(np.median(times)) for name, times in seconds.items()},
        "machine": {"processor": platform.processor() or platform.machine(), "system": platform.platform()},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": version("scikit-learn"),
            "upweight": version("upweight"),
        },
        "groups": table,
    }
    text = _table(document)
    if small:
        print(text)
    else:
        write("group", document, text)
    return document


def _problem(seed: int) -> tuple[Influence, Any, Any]:
    """Rows, labels drawn from a logistic model, its fit, and fresh queries."""
    rng = np.random.default_rng(seed)
    x, queries, slope = rng.normal(size=(N, D)), rng.normal(size=(QUERIES, D)), rng.normal(size=D)
    y = (rng.random(N) < 1.0 / (1.0 + np.exp(-x @ slope))).astype(int)
    return Influence.from_sklearn(LogisticRegression(tol=1e-10).fit(x, y), x, y), x, queries


def _errors(influence: Influence, rows: list[int], queries: Any, seconds: dict[str, list[float]]) -> list[float]:
    """Of each estimate, in the order of ESTIMATES."""
    start = time.perf_counter()
    effect = influence.group(rows, queries, np.ones(QUERIES, dtype=int), "margin")
    middle = time.perf_counter()
    truth = effect.refit().truth
    seconds["estimate"].append(middle - start)
    seconds["refit"].append(time.perf_counter() - middle)
    if truth is None or not np.isfinite(truth).all():
        raise AssertionError(f"the refit without {len(rows)} rows found no optimum")
    attribution: Any = influence.attribution
    step = group_newton(attribution.head, attribution.prepared, np.asarray(rows), np.zeros(len(rows)))
    one = np.column_stack([queries, np.ones(QUERIES)]) @ step.delta
    found = (effect.plain, effect.leverage_sum, one, effect.estimate)
    return [float(np.linalg.norm(estimate - truth) / np.linalg.norm(truth)) for estimate in found]


def _table(document: dict[str, Any]) -> str:
    """80 columns."""
    milliseconds = document["milliseconds"]
    lines = [
        f"group: {document['problem']}, {document['groups'][0]['groups']} groups along one column each",
        "median relative error of the change of fresh queries' log-odds against refits",
        "",
        "rows removed  plain sum  one by one  Newton step  corrected  to reach  worst",
    ]
    for one in document["groups"]:
        cells = [_percent(one["median"][name]) for name in ESTIMATES]
        errors = "".join(f"{cell:>{width}}" for cell, width in zip(cells, (10, 12, 13, 11), strict=True))
        reach = "" if one["to_reach"] is None else f"{one['to_reach']:.0%}"
        lines.append(f"{one['rows']:>4} ({one['share']:>3.0%})  {errors}{reach:>10}{one['worst']['corrected']:>7.1%}")
    lines += [
        "",
        "one by one: each row's own Newton step with its leverage, added up",
        "corrected: the group's Newton step and one correction by the gradient that it",
        "finds; what influence.group answers. worst: its largest error",
        f"{milliseconds['estimate']:.1f} ms an estimate, {milliseconds['refit']:.1f} ms a refit",
    ]
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.01 else f"{share:.2%}"


def main() -> None:
    """Parses and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="one draw; nothing is written")
    run(small=parser.parse_args().small)


if __name__ == "__main__":
    sys.exit(main())
