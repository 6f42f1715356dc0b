"""Whether a grade means what it says: fresh problems, graded by a check of 24 rows, judged by refits of every row.

An A promises slope within 5 % and rank correlation >= 0.95 over all rows of the problem, not over those of the check.
"""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import sklearn
from draws import KINDS, Drawn, draw
from output import write

from upweight import Influence, questions
from upweight.validation.metrics import settled, slope, spearman

__all__ = ["run"]

PROBLEMS, SEED = 200, 0
SLOPE, RANK = 0.05, 0.95
LETTERS = "ABCD"


def run(problems: int = PROBLEMS, seed: int = SEED) -> None:
    """Draws, grades, judges; prints the table and writes benchmarks/results/grade.{json,txt}."""
    start = time.perf_counter()
    drawn = [judged(seed, number) for number in range(problems)]
    seconds = time.perf_counter() - start
    document = {
        "benchmark": "grade",
        "seed": seed,
        "problems": problems,
        "seconds": round(seconds, 1),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
        },
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "upweight": version("upweight"),
        },
        "promise": {"slope_within": SLOPE, "rank_at_least": RANK},
        "summary": summary(drawn),
        "draws": drawn,
    }
    write("grade", document, table(drawn, seed, seconds))


def judged(seed: int, number: int) -> dict[str, Any]:
    """One problem: its grade before and after the check, and the truth over all its rows."""
    problem = draw(seed, number)
    influence = Influence.from_sklearn(problem.estimator, problem.x, problem.y, problem.sample_weight)
    before = influence.scores(problem.x_query, problem.y_query)
    check = influence.check(problem.x_query, problem.y_query, seed=seed)
    asked = questions.ask(influence.adapted, influence.attribution, problem.x_query, problem.y_query, "loss")
    real = asked.refits(range(len(problem.x))).T
    finished = np.isfinite(real).all(axis=0)
    estimate, real = before.values[:, finished], real[:, finished]
    ranks = [spearman(settled(e), settled(t)) for e, t in zip(estimate, real, strict=True)]
    known = [rank for rank in ranks if rank is not None]
    return {
        "number": number,
        "kind": problem.kind,
        "rows": len(problem.x),
        "columns": problem.x.shape[1],
        "queries": len(problem.x_query),
        "before": before.grade.letter,
        "grade": check.grade.letter,
        "reasons": list(check.grade.reasons),
        "check": {"slope": check.slope, "rank": check.spearman, "signs": check.signs},
        "leverage": float(np.max(np.asarray(influence.attribution.leverage.h))),
        "slope": slope(estimate.ravel(), real.ravel()),
        "rank": spearman(settled(estimate.ravel()), settled(real.ravel())),
        "rank_of_a_query": float(np.mean(known)) if known else None,
        "unfinished": int((~finished).sum()),
        "misread": misread(influence, problem, before.values, seed),
    }


def misread(influence: Influence, problem: Drawn, right: Any, seed: int) -> dict[str, Any]:
    """The same model read as if its refits divided by something else: how wrong its scores are, and its grade."""
    adapted = influence.adapted
    head = adapted.objective
    other = "sum" if head.normalization != "sum" else "mean"
    wrong = Influence(replace(adapted, head=replace(head, normalization=other, divisor=1.0 / head.scale)))
    scores = wrong.scores(problem.x_query, problem.y_query).values
    return {
        "error": float(np.linalg.norm(scores - right) / np.linalg.norm(right)),
        "grade": wrong.check(problem.x_query, problem.y_query, seed=seed).grade.letter,
    }


def holds(one: dict[str, Any]) -> bool:
    """Whether the promise of an A is kept over all rows."""
    if one["slope"] is None or one["rank"] is None or one["unfinished"]:
        return False
    return bool(abs(one["slope"] - 1.0) <= SLOPE and one["rank"] >= RANK and one["rank_of_a_query"] >= RANK)


def summary(drawn: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each letter: how many, how many keep the promise of an A, quantiles of the true slope and rank."""
    out = {}
    for letter in LETTERS:
        those = [one for one in drawn if one["grade"] == letter]
        out[letter] = {
            "problems": len(those),
            "share": len(those) / len(drawn),
            "keep_the_promise": sum(holds(one) for one in those) / len(those) if those else None,
            "slope": _quantiles([one["slope"] for one in those]),
            "rank": _quantiles([one["rank"] for one in those]),
            "unfinished_refits": sum(one["unfinished"] for one in those),
        }
    return out


def table(drawn: Sequence[dict[str, Any]], seed: int, seconds: float) -> str:
    """What is printed."""
    found = summary(drawn)
    lines = [
        f"grade: {len(drawn)} fresh problems (seed {seed}), each graded by refits of 24 rows and judged by refits of "
        f"all its rows; {seconds:.0f} s",
        f"promise of an A: true slope within {SLOPE:.0%} and true rank correlation >= {RANK}",
        f"{platform.platform()}, {os.cpu_count()} cores; Python {platform.python_version()}, numpy {np.__version__}, "
        f"scikit-learn {sklearn.__version__}, upweight {version('upweight')}",
        "",
        "grade  problems  share  keep the promise   true slope 5 / 50 / 95 %   true rank 5 / 50 / 95 %",
    ]
    for letter, row in found.items():
        kept = "-" if row["keep_the_promise"] is None else f"{row['keep_the_promise']:.1%}"
        counted = f"{letter:5}  {row['problems']:8d}  {row['share']:5.0%}  {kept:>16}"
        lines.append(f"{counted}   {row['slope']:>24}   {row['rank']:>23}")
    lines += [
        "",
        "kind         problems  " + "  ".join(f"{letter:>4}" for letter in LETTERS) + "   before the check: B",
    ]
    for kind in KINDS:
        those = [one for one in drawn if one["kind"] == kind]
        counts = "  ".join(f"{sum(one['grade'] == letter for one in those):4d}" for letter in LETTERS)
        lines.append(f"{kind:11}  {len(those):8d}  {counts}   {sum(one['before'] == 'B' for one in those):19d}")
    broken = [one for one in drawn if one["grade"] == "A" and not holds(one)]
    lines += ["", f"A that did not keep its promise: {len(broken)}"]
    lines += [_one(one) for one in broken]
    kept = [one for one in drawn if one["grade"] != "A" and holds(one)]
    lines += [f"kept it without an A: {len(kept)}, most often because of:"]
    reasons = [reason for one in kept for reason in one["reasons"][:1]]
    starts = [" ".join(reason.split()[:7]) for reason in reasons]
    common = sorted(set(starts), key=lambda text: -starts.count(text))[:5]
    lines += [f"  {starts.count(text):3d}  {text} …" for text in common]
    lines += ["", "the same models with their normalisation read wrongly (n − 1 for n, or the other way round):"]
    lines += ["scores off by      problems  graded A or B"]
    for low, high in ((0.0, 0.01), (0.01, 0.05), (0.05, np.inf)):
        those = [one["misread"] for one in drawn if low <= one["misread"]["error"] < high]
        span = f"{low:.0%} to {high:.0%}" if np.isfinite(high) else f"more than {low:.0%}"
        lines.append(f"{span:17}  {len(those):8d}  {sum(one['grade'] in 'AB' for one in those):13d}")
    return "\n".join(lines)


def _one(one: dict[str, Any]) -> str:
    check = one["check"]
    return (
        f"  {one['kind']} {one['number']}: {one['rows']} rows, {one['columns']} columns; "
        f"true slope {one['slope']:.3f}, rank {one['rank']:.3f}; "
        f"in the check {check['slope']:.3f}, {check['rank']:.3f}"
    )


def _quantiles(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return " / ".join(f"{x:.3f}" for x in np.quantile(known, [0.05, 0.5, 0.95])) if known else "-"


if __name__ == "__main__":
    run()
