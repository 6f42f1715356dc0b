"""MNIST, 60,000 rows, 10 classes, 100 queries: time, memory and error of every row's influence, on the public path.

    python benchmarks/convex.py            the table, written to benchmarks/results/convex.{txt,json}
    python benchmarks/convex.py --small    digits, in seconds

Times are ratios to the floor, one plain float32 forward and backward pass over the same rows in the same process;
floor and method alternate, the least of several repeats counts. `adapt` is from_sklearn, `ask` is scores. The problem
and its dense answer are left in benchmarks/.cache for the peers:
peers/run.py --problem .cache/mnist-problem.npz --reference .cache/mnist-reference.npy.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from convex_problem import CACHE, Problem, digits, factor, mnist, ones_and_sevens, reference, refits, strata
from output import write
from threadpoolctl import threadpool_info

from upweight import Influence
from upweight.solvers import BlockCG, Solver

__all__ = ["run"]

SEED, REFITS, REPEATS = 0, 200, 6
SIZES = (10_000, 20_000, 40_000)


@dataclass(frozen=True)
class Case:
    """One question; `most` is the ratio that it has to stay under."""

    name: str
    queries: int
    removal: str
    solver: Solver | str
    most: float


CASES = (
    Case("first order", 100, "first_order", "auto", 150),
    Case("first order, 2 %", 100, "first_order", BlockCG(tol=2e-2), 75),
    Case("one query, 2 %", 1, "first_order", BlockCG(tol=2e-2), 25),
    Case("leave one out", 100, "leverage", "auto", 250),
)
BINARY = Case("two classes", 2, "first_order", BlockCG(tol=1e-3), 20)


@dataclass
class Found:
    """A case's numbers."""

    case: str
    rows: int
    queries: int
    most: float
    floor_ms: float
    adapt: float
    ask: float
    megabytes: float | None = None
    error: float | None = None
    one_less_pearson: float | None = None
    slope: float | None = None
    worst_row: float | None = None
    how: str = ""
    grade: str = ""


def run(small: bool = False, repeats: int = REPEATS) -> dict[str, Any]:
    """Measures, prints, writes (the small one prints only); what was found."""
    try:
        problem = digits() if small else mnist()
    except FileNotFoundError as missing:
        print(f"{missing} is missing: the convex benchmark needs MNIST there.", file=sys.stderr)
        sys.exit(2)
    start = time.perf_counter()
    truth, rows, real = _truth(problem)
    found = []
    for case in CASES:
        print(f"{problem.name}: {case.name}", file=sys.stderr)
        found.append(_measured(problem, case, repeats, truth, rows, real))
    slopes: dict[str, float] = {}
    if not small:
        for one, case in zip(found, CASES, strict=True):
            one.megabytes = _memory(case)
        found.append(_binary(repeats))
        slopes = _growth(found, min(2, repeats))
        problem.save(CACHE / f"{problem.name}-problem.npz")
    document = {
        "benchmark": "convex",
        "problem": problem.name,
        "seed": SEED,
        "repeats": repeats,
        "refits": len(rows),
        "seconds": round(time.perf_counter() - start, 1),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "threads": [(pool["internal_api"], pool["num_threads"]) for pool in threadpool_info()],
        },
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": version("scikit-learn"),
            "upweight": version("upweight"),
        },
        "slope_in_rows": slopes,
        "cases": [asdict(one) for one in found],
    }
    text = table(document)
    if small:
        print(text)
    else:
        write("convex", document, text)
    return document


def table(document: dict[str, Any]) -> str:
    """80 columns."""
    load = document["machine"]["load"][0]
    lines = [
        f"convex: {document['problem']}, lambda = 0.01, {document['machine']['cores']} cores, load {load:.1f}",
        "times are ratios to one plain float32 forward and backward pass over the rows",
        "",
        "case               floor  adapt    ask   most    MB    error   slope  worst row",
    ]
    for one in document["cases"]:
        cells = [
            f"{one['case']:17}",
            f"{one['floor_ms']:4.0f}ms",
            f"{one['adapt']:6.1f}",
            f"{one['ask']:6.1f}",
            f"{one['most']:6.0f}",
            "     " if one["megabytes"] is None else f"{one['megabytes']:5.0f}",
            f"{one['error']:8.1e}",
            f"{one['slope']:7.4f}",
            "" if one["worst_row"] is None else f"{one['worst_row']:10.2%}",
        ]
        lines.append(" ".join(cells).rstrip())
    lines += ["", f"error: of first order against dense float64, of leave one out against {document['refits']} refits"]
    for name, slope in document["slope_in_rows"].items():
        lines.append(f"log-log slope of time in rows, 10,000 to 60,000, {name}: {slope:.2f}")
    return "\n".join(lines)


def _truth(problem: Problem) -> tuple[Any, Any, Any]:
    """Dense scores, the rows refitted, and their refits; from the cache where MNIST is asked."""
    cached, held = problem.name != "digits", CACHE / f"{problem.name}-truth.npz"
    if cached and held.exists():
        with np.load(held) as file:
            return np.load(CACHE / f"{problem.name}-reference.npy"), file["rows"], file["refits"]
    solve = factor(problem)
    scores = reference(problem, solve)
    rows = strata(scores, REFITS if cached else 30, SEED)
    real = refits(problem, solve, rows)
    if cached:
        np.save(CACHE / f"{problem.name}-reference.npy", scores)
        np.savez(held, rows=rows, refits=real)
    return scores, rows, real


def _floor(problem: Problem) -> float:
    """Seconds of one plain pass."""
    x, c = problem.X, len(problem.W)
    w, b = problem.W.astype(np.float32), problem.b.astype(np.float32)
    targets = problem.y.astype(np.float32) if c == 1 else np.eye(c, dtype=np.float32)[problem.y]
    start = time.perf_counter()
    if c == 1:
        z = 1.0 / (1.0 + np.exp(-(x @ w[0] + b[0])))
        (z - targets) @ x
    else:
        z = x @ w.T + b
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        z -= targets
        z.T @ x
    return time.perf_counter() - start


def _timed(problem: Problem, case: Case, repeats: int) -> tuple[float, float, float, Any]:
    """Seconds of the floor, of from_sklearn and of scores, the least of each; and the scores.

    The floor takes its turn after every answer: as many tries, and caches as warm as the answer meets them. Five in a
    row would find rows that an answer, which needs the cache for more than them, has to fetch again.
    """
    model, floor, adapt, ask = problem.estimator(), np.inf, np.inf, np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        influence = Influence.from_sklearn(model, problem.X, problem.y, solver=case.solver)
        middle = time.perf_counter()
        some = slice(0, case.queries)
        scores = influence.scores(problem.X_query[some], problem.y_query[some], removal=case.removal)
        end = time.perf_counter()
        adapt, ask, floor = min(adapt, middle - start), min(ask, end - middle), min(floor, _floor(problem))
    return floor, adapt, ask, scores


def _measured(problem: Problem, case: Case, repeats: int, truth: Any, rows: Any, real: Any) -> Found:
    floor, adapt, ask, scores = _timed(problem, case, repeats)
    found = Found(case.name, len(problem.X), case.queries, case.most, 1e3 * floor, adapt / floor, ask / floor)
    found.how, found.grade = scores.how, scores.grade.letter
    values, exact = scores.values, truth[: case.queries]
    if case.removal == "leverage":
        values, exact = values[:, rows], real
        sizes = np.linalg.norm(exact, axis=0)
        found.worst_row = float(np.max(np.linalg.norm(values - exact, axis=0) / sizes))
    found.error = float(np.linalg.norm(values - exact) / np.linalg.norm(exact))
    found.one_less_pearson = 1.0 - float(np.corrcoef(values.ravel(), exact.ravel())[0, 1])
    found.slope = float(np.vdot(values, exact) / np.vdot(values, values))
    return found


def _binary(repeats: int) -> Found:
    problem = ones_and_sevens()
    problem.save(CACHE / "ones-and-sevens-problem.npz")
    solve = factor(problem)
    truth = reference(problem, solve)
    np.save(CACHE / "ones-and-sevens-reference.npy", truth)
    return _measured(problem, BINARY, max(10, repeats), truth, None, None)


def _growth(found: list[Found], repeats: int) -> dict[str, float]:
    """Log-log slope of the time of scores, over SIZES and all rows."""
    out = {}
    for one, case in zip(found, CASES, strict=False):
        print(f"{case.name} on fewer rows", file=sys.stderr)
        seconds = [_timed(mnist(n), case, repeats)[2] for n in SIZES]
        seconds.append(one.ask * one.floor_ms / 1e3)
        out[case.name] = float(np.polyfit(np.log([*SIZES, one.rows]), np.log(seconds), 1)[0])
    return out


def _memory(case: Case) -> float | None:
    """Peak megabytes above the data, in a process of its own; None where the system does not say."""
    command = [sys.executable, __file__, "--memory", case.name]
    print(f"{case.name}: memory", file=sys.stderr)
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()
    value = json.loads(told[-1])
    return None if value is None else float(value)


def _print_memory(name: str) -> None:
    case = next(one for one in CASES if one.name == name)
    problem = mnist()
    model, some = problem.estimator(), slice(0, case.queries)
    _floor(problem)  # BLAS has its buffers
    before = _resident("VmRSS")
    reset = Path("/proc/self/clear_refs")
    if before is None or not reset.exists():
        print("null")
        return
    reset.write_text("5")  # the peak counts from here
    influence = Influence.from_sklearn(model, problem.X, problem.y, solver=case.solver)
    influence.scores(problem.X_query[some], problem.y_query[some], removal=case.removal)
    peak = _resident("VmHWM")
    print(json.dumps(None if peak is None else peak - before))


def _resident(field: str) -> float | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(float(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith(field))


def main() -> None:
    """Parses and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="digits instead of MNIST; nothing is written")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        _print_memory(args.memory)
    else:
        run(small=args.small, repeats=args.repeats)


if __name__ == "__main__":
    main()
