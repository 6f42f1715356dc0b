"""Every peer on the shared problem, each in its environment and each setting in its own process, against the truth.

    python benchmarks/peers/run.py --problem problem.npz --reference reference.npy
    python benchmarks/peers/run.py --binary-problem ones_and_sevens.npz --only pyinfluence
    python benchmarks/peers/run.py --problem problem.npz --rows 2000 --queries 20 --only kronfluence

Stands on compare.py and environments.py; runs in upweight's own environment, which has no torch. Prints a table
and writes benchmarks/results/peers.json. Never part of make test. Problem files: problem.py says what they hold.
A peer that cannot be installed, crashes, answers nan or runs out of time is listed with the reason.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers import compare, environments
from benchmarks.peers.problem import load

ROOT = environments.ROOT
BINARY = "pyinfluence"  # takes two classes only, so it has a problem of its own
MINUTES = 30.0
LAST_LINES = 3


@dataclass(frozen=True)
class Asked:
    """One problem, its reference and how much of it is asked."""

    path: Path
    reference: compare.Scores
    reference_from: str
    rows: int | None
    queries: int | None


def main() -> None:
    args, machine = _arguments(), _machine()
    peers = args.only or [*environments.PINS]
    records: list[dict[str, Any]] = []
    args.scores.mkdir(parents=True, exist_ok=True)
    for binary, path, reference in (
        (False, args.problem, args.reference),
        (True, args.binary_problem, args.binary_reference),
    ):
        names = [name for name in peers if (name == BINARY) == binary]
        if path is None or not names:
            continue
        asked = _asked(path, reference, args.rows, args.queries)
        for name in names:
            records += _peer(name, asked, args.scores, 60 * args.minutes)
    _mark_best(records)
    _print(records)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"machine": machine, "seed": 0, "peers": records}, indent=1) + "\n")
    sys.stdout.write(f"{args.out}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", type=Path, help="the multiclass problem, .npz")
    parser.add_argument(
        "--reference", type=Path, help="its dense float64 scores, .npy [q, n], upweight's sign and scale"
    )
    parser.add_argument("--binary-problem", type=Path, help=f"two classes, one logit: for {BINARY}")
    parser.add_argument("--binary-reference", type=Path)
    parser.add_argument("--rows", type=int, help="only the first rows; their reference is computed here")
    parser.add_argument("--queries", type=int, help="only the first queries")
    parser.add_argument("--only", action="append", choices=[*environments.PINS], help="may be repeated")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time for each peer, all its settings together")
    parser.add_argument("--scores", type=Path, default=environments.HOME / "scores", help="where the .npy files go")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "peers.json")
    args = parser.parse_args()
    if args.problem is None and args.binary_problem is None:
        parser.error("give --problem, --binary-problem or both")
    return args


def _asked(path: Path, reference: Path | None, rows: int | None, queries: int | None) -> Asked:
    """The whole problem's reference as given; a part's computed, as its curvature is another."""
    problem = load(path)
    n = len(problem.X_train)
    if reference is not None and (rows is None or rows >= n):
        return Asked(path.resolve(), np.load(reference), str(reference), rows, queries)
    part = problem.take(rows, queries)
    sys.stderr.write(f"reference for {len(part.X_train):,} rows, {len(part.X_query)} queries: float64, CG to 1e-12\n")
    return Asked(path.resolve(), compare.reference_scores(part), "float64 conjugate gradients to 1e-12", rows, queries)


def _peer(name: str, asked: Asked, folder: Path, seconds: float) -> list[dict[str, Any]]:
    """One record for each setting, or one with the reason why there is none."""
    try:
        environments.create(name)
        settings: list[str] = json.loads(_spawn(name, ["--list"], seconds).splitlines()[-1])
    except (subprocess.SubprocessError, OSError) as failure:
        return [{"peer": name, "setting": "-", "failed": _reason(failure)}]
    records, end = [], time.monotonic() + seconds
    for setting in settings:
        sys.stderr.write(f"{name}: {setting}\n")
        left = end - time.monotonic()
        if left <= 0:
            records.append({"peer": name, "setting": setting, "failed": "not run: the peer's time was used up"})
            continue
        records.append({"peer": name, "setting": setting} | _setting(name, setting, asked, folder, left))
    return records


def _setting(name: str, setting: str, asked: Asked, folder: Path, seconds: float) -> dict[str, Any]:
    out = folder.resolve() / f"{name}-{setting.replace(' ', '-')}.out"
    command = ["--problem", str(asked.path), "--setting", setting, "--out", str(out)]
    for flag, count in (("--rows", asked.rows), ("--queries", asked.queries)):
        command += [flag, str(count)] if count is not None else []
    try:
        _spawn(name, command, seconds)
    except (subprocess.SubprocessError, OSError) as failure:
        return {"failed": _reason(failure)}
    record: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    record |= {"distribution": record.pop("peer"), "scores": out.with_suffix(".npy").name}
    record["reference"] = asked.reference_from
    scores = np.load(out.with_suffix(".npy")).astype(np.float64)
    try:
        record |= compare.agreement(scores, asked.reference)
    except ValueError as failure:
        return record | {"failed": str(failure)}
    truth = asked.reference[: len(scores)]
    record["raw_scale"] = float(np.vdot(scores, truth) / np.vdot(truth, truth)) / record["factor_to_upweight"]
    return record


def _spawn(name: str, arguments: list[str], seconds: float) -> str:
    command = [str(environments.python(name)), "-m", f"benchmarks.peers.{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=seconds).stdout


def _reason(failure: Exception) -> str:
    if isinstance(failure, subprocess.TimeoutExpired):
        return f"stopped after {failure.timeout / 60:.1f} minutes"
    if isinstance(failure, subprocess.CalledProcessError):
        said = " | ".join((failure.stderr or "").strip().splitlines()[-LAST_LINES:])
        return f"exit {failure.returncode}: {said or 'no message (killed for memory?)'}"
    return str(failure)


def _mark_best(records: list[dict[str, Any]]) -> None:
    """The setting of the highest Pearson of each peer: chosen with the answer in hand, in the peer's favour."""
    for name in {record["peer"] for record in records}:
        answered = [record for record in records if record["peer"] == name and "pearson" in record]
        if answered:
            max(answered, key=lambda record: record["pearson"])["best"] = True


def _print(records: list[dict[str, Any]]) -> None:
    """80 columns; d: the documented default, *: the best of the grid by Pearson."""
    lines = [f"{'peer, setting':<33}{'q':>4}{'x floor':>9}{'MB':>7}{'Pearson':>10}{'slope':>8}{'error':>9}", "-" * 80]
    for record in records:
        marks = ("d" if record.get("settings", {}).get("documented_default") else "") + (
            "*" if record.get("best") else ""
        )
        label = f"{record['peer']} {record['setting']}"[:30] + (f" {marks}" if marks else "")
        if "ratio" in record:
            lines.append(
                f"{label:<33}{record['n_queries']:>4}{record['ratio']:>9,.0f}{record['peak_mb']:>7,.0f}"
                + (
                    f"{record['pearson']:>10.5f}{record['slope']:>8.4f}{record['relative_error']:>9.1e}"
                    if "pearson" in record
                    else "  no finite answer"
                )
            )
        else:
            lines += [f"{label:<33} failed", f"  {record['failed']}"[:80]]
    lines.append("d documented default   * best of the grid by Pearson   slope 1 = right scale")
    sys.stdout.write("\n".join(lines) + "\n")


def _machine() -> dict[str, Any]:
    processor = "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = named[0] if named else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "load_before": os.getloadavg()[0],
        "system": platform.platform(),
    }


if __name__ == "__main__":
    main()
