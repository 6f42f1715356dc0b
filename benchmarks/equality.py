"""The same scores from every library on one logistic problem, once each is translated to "change on removal".

    python benchmarks/equality.py            the tables, written to benchmarks/results/equality.{txt,json}
    python benchmarks/equality.py --small    two classes, upweight's own doors only, nothing written

300 rows of scikit-learn's breast cancer (two classes, one logit) and digits (ten classes), standardised, 20 queries,
an L2 penalty on the weights, intercepts free, fitted to the optimum. The penalty is strong (λ = 1/3) so that no query
is saturated: a residual p − y of 1e-9 has lost half its digits before any library multiplies it (with C = 1, dattri and
pyDVL are within 7e-7 in float64, and lose such a query entirely in float32). Each peer answers in its own environment
by its exact solver (peers/equality/), in float64 and in float32.
A difference is the largest |theirs − ours| of a query over the largest |ours| of that query, at the worst query; ours
are Influence.from_sklearn's with removal="first_order".
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from output import write
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.equality_table import Compared, table  # noqa: E402
from benchmarks.peers import environments  # noqa: E402
from benchmarks.peers.compare import reference_scores  # noqa: E402
from benchmarks.peers.problem import Problem  # noqa: E402
from benchmarks.peers.softmax import row_losses  # noqa: E402
from benchmarks.peers.translation import TRANSLATIONS  # noqa: E402
from upweight import Influence  # noqa: E402
from upweight.curvature import Curvature  # noqa: E402
from upweight.extend import Prepared, Solution, Status  # noqa: E402

__all__ = ["difference", "run"]

N, QUERIES, SEED, C = 300, 20, 0, 0.01
DATA = {"two classes": load_breast_cancer, "ten classes": load_digits}
REACH = {"float64": 1e-6, "float32": 1e-4}
DOORS = 1e-8  # upweight's own answers against each other
TWO_CLASSES_ONLY = ("pyinfluence",)
NO_CURVATURE = ("kronfluence",)
SECONDS = 300.0
LAST_LINES = 2

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Identity:
    """A solver that ignores the curvature: scores become products of gradients."""

    tol: float = 0.0

    def prepare(self, curvature: Curvature) -> Prepared:
        def solve(b: Any) -> Solution:
            zeros = np.zeros(len(b))
            return Solution(b, zeros, zeros.astype(int), (Status.CONVERGED,) * len(b))

        return Prepared(solve, lambda b: b, how="no curvature")


class Plain(nn.Module):
    """The same model without an nn.Linear in it, so that upweight answers by autograd, as for any network."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(problem.W.copy()))
        self.bias = nn.Parameter(torch.from_numpy(problem.b.copy()))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


def run(small: bool = False) -> dict[str, Any]:
    """Compares, prints, writes (the small one prints only); what was found."""
    start = time.perf_counter()
    rows: list[Compared] = []
    failed: list[str] = []
    for name in ("two classes",) if small else DATA:
        problem, estimator = _problem(name)
        solved, plain = (_ours(problem, estimator, solver) for solver in ("auto", Identity()))
        rows += _doors(name, problem, solved, plain)
        if not small:
            for peer in environments.PINS:
                if name == "two classes" or peer not in TWO_CLASSES_ONLY:
                    _ask(peer, name, problem, plain if peer in NO_CURVATURE else solved, rows, failed)
    document = {
        "benchmark": "equality",
        "problem": {"rows": N, "queries": QUERIES, "lam": 1.0 / (C * N), "seed": SEED},
        "seconds": round(time.perf_counter() - start, 1),
        "machine": {"processor": platform.processor() or platform.machine(), "system": platform.platform()},
        "versions": {name: version(name) for name in ("numpy", "scikit-learn", "torch", "upweight")},
        "reach": REACH | {"doors": DOORS},
        "compared": [asdict(row) | {"passes": row.passes} for row in rows],
        "failed": failed,
    }
    text = table(rows, failed, f"{N} rows, {QUERIES} queries, λ = {1 / (C * N):.3g}")
    if small:
        print(text)
    else:
        write("equality", document, text)
    return document


def difference(theirs: Scores, ours: Scores) -> float:
    """Of the worst query, relative to its largest score."""
    return float(np.max(np.abs(theirs - ours).max(axis=1) / np.abs(ours).max(axis=1)))


def _problem(name: str) -> tuple[Problem, LogisticRegression]:
    X, y = DATA[name](return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(X))[: N + QUERIES]
    X, y = StandardScaler().fit(X[order[:N]]).transform(X[order]), y[order].astype(np.int64)
    estimator = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=100).fit(X[:N], y[:N])
    lam = 1.0 / (C * N)
    return Problem(X[:N], y[:N], X[N:], y[N:], estimator.coef_, estimator.intercept_, lam), estimator


def _ours(problem: Problem, estimator: LogisticRegression, solver: Any) -> Scores:
    influence = Influence.from_sklearn(estimator, problem.X_train, problem.y_train, solver=solver)
    return _first_order(influence, problem.X_query, problem.y_query)


def _first_order(influence: Influence, X: Any, y: Any) -> Scores:
    return np.asarray(influence.scores(X, y, removal="first_order").values, dtype=np.float64)


def _doors(name: str, problem: Problem, solved: Scores, plain: Scores) -> list[Compared]:
    """Our other doors and a reference that shares no code with us, against from_sklearn's answer."""
    rows, queries = ((torch.from_numpy(X), torch.from_numpy(y)) for X, y in _halves(problem))
    linear = nn.Linear(problem.W.shape[1], len(problem.W), dtype=torch.float64)
    linear.load_state_dict({"weight": torch.from_numpy(problem.W), "bias": torch.from_numpy(problem.b)})

    def torch_scores(model: nn.Module, solver: Any) -> Scores:
        influence = Influence.from_torch(
            model.eval(), row_losses, rows, {"weight": problem.lam}, normalization="sum", solver=solver, damping=0.0
        )
        return _first_order(influence, *queries)

    answers = {
        "dense reference, CG to 1e-12": (reference_scores(problem), solved),
        "from_torch, its linear head": (torch_scores(linear, "auto"), solved),
        "from_torch, by autograd": (torch_scores(Plain(problem), "auto"), solved),
        "from_torch, no curvature": (torch_scores(linear, Identity()), plain),
    }
    return [_compare("upweight", version("upweight"), way, name, "float64", *pair) for way, pair in answers.items()]


def _halves(problem: Problem) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    return (problem.X_train, problem.y_train), (problem.X_query, problem.y_query)


def _compare(
    library: str, version: str, way: str, name: str, dtype: str, theirs: NDArray[np.floating], ours: Scores
) -> Compared:
    """Translated, then compared; the raw slope shows what the translation had to be."""
    factor = TRANSLATIONS[library].factor(N) if library in TRANSLATIONS else 1.0
    returned, theirs = str(theirs.dtype), theirs.astype(np.float64)
    if theirs.shape != ours.shape or not np.isfinite(theirs).all():
        raise ValueError(f"scores {theirs.shape}, not all finite or not {ours.shape}")
    return Compared(
        library=library,
        version=version,
        way=way,
        problem=name,
        dtype=dtype,
        returned=returned,
        raw=float(np.vdot(theirs, ours) / np.vdot(ours, ours)),
        difference=difference(factor * theirs, ours),
        entrywise=float(np.max(np.abs(factor * theirs / ours - 1.0))),
        reach=REACH[dtype] if library in TRANSLATIONS else DOORS,
    )


def _ask(peer: str, name: str, problem: Problem, ours: Scores, rows: list[Compared], failed: list[str]) -> None:
    """A peer in its environment, in both dtypes; what could not be run is listed with its reason."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "problem.npz", Path(folder) / "scores"
        np.savez(path, **asdict(problem))
        for dtype in REACH:
            sys.stderr.write(f"{peer}, {name}, {dtype}\n")
            command = [str(environments.python(peer)), "-m", f"benchmarks.peers.equality.{peer}"]
            command += ["--problem", str(path), "--dtype", dtype, "--out", str(out)]
            try:
                environments.create(peer)
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=SECONDS)
            except (subprocess.SubprocessError, OSError) as failure:
                last = (getattr(failure, "stderr", "") or str(failure)).strip().splitlines()[-LAST_LINES:]
                failed.append(f"{peer}, {name}, {dtype}: {' | '.join(last)}")
                continue
            said = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
            with np.load(out.with_suffix(".npz")) as found:
                for at, way in enumerate(said["ways"]):
                    rows.append(_compare(peer, said["version"], way, name, dtype, found[str(at)], ours))


def main() -> None:
    """Parses and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="upweight's own doors, two classes; nothing is written")
    run(small=parser.parse_args().small)


if __name__ == "__main__":
    sys.exit(main())
