"""What the experiments share: their sizes, what one comes to, what is kept of a run that was cut short, the writing.

An experiment is a function from a `Run` to an `Outcome`; `main` is its command line. It writes NAME.json (everything
behind its line of the table) and NAME.png into `results/` (`make paper`), `results/full/` (`make paper-full`) or
`.quick/` (`make paper-quick`, not committed).
"""

import argparse
import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from threadpoolctl import threadpool_info

matplotlib.use("Agg")

from matplotlib.figure import Figure

__all__ = ["HERE", "Experiment", "Line", "Outcome", "Run", "Size", "carry_out", "folder", "main", "plain"]

HERE = Path(__file__).resolve().parent
VERSIONS = ("numpy", "scipy", "scikit-learn", "upweight")


class Size(Enum):
    """How much is done: the package's own data in seconds, the table's samples, the paper's own counts."""

    QUICK = "quick"
    PAPER = "paper"
    FULL = "full"


@dataclass(frozen=True)
class Line:
    """An experiment's line of the table."""

    paper: str  # what the paper reports
    ours: str  # what we get
    differs: str  # why they differ
    met: bool  # all that the row has to show
    shortfall: str = ""  # where it is not met: the number that explains it


@dataclass(frozen=True)
class Outcome:
    """What an experiment comes to. `data` names the stand-in where it is not the paper's."""

    data: str
    line: Line
    numbers: Mapping[str, Any]  # everything behind the line; arrays and tuples are written as lists
    picture: Figure | None = None


@dataclass(frozen=True)
class Experiment:
    """A row of the table: its number, the name of its files, its title, and the function that does it."""

    row: int
    name: str
    title: str
    run: Callable[["Run"], Outcome]


@dataclass(frozen=True)
class Run:
    """One run of one experiment. A run of the paper's own counts keeps its pieces until it is whole."""

    name: str
    size: Size
    kept: Path

    def pick(self, quick: Any, paper: Any, full: Any) -> Any:
        """The setting of this size."""
        return {Size.QUICK: quick, Size.PAPER: paper, Size.FULL: full}[self.size]

    def say(self, text: str) -> None:
        """Progress, on stderr."""
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)

    def piece(self, label: str, settings: Any, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Named arrays that take long: made, or read where an earlier run with these settings was cut short after them.

        Only the paper's own counts keep pieces; all else is made anew, so that no number is older than its run.
        """
        mark = hashlib.sha256(json.dumps([label, settings], sort_keys=True, default=str).encode()).hexdigest()[:12]
        path = self.kept / f"{label}-{mark}.npz"
        if self.size is Size.FULL and path.exists():
            with np.load(path) as held:
                return {name: held[name] for name in held.files}
        made = {name: np.asarray(value) for name, value in make().items()}
        if self.size is Size.FULL:
            self.kept.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            with open(part, "wb") as file:
                np.savez(file, **made)
            part.replace(path)
        return made


def folder(size: Size) -> Path:
    """Where a size's results are written unless asked otherwise."""
    return {Size.QUICK: HERE / ".quick", Size.PAPER: HERE / "results", Size.FULL: HERE / "results" / "full"}[size]


def carry_out(experiment: Experiment, size: Size, out: Path) -> dict[str, Any]:
    """Runs it, writes its JSON and PNG into `out`, forgets the pieces; the JSON's document."""
    run = Run(experiment.name, size, HERE / ".pieces" / experiment.name)
    start = time.perf_counter()
    outcome = experiment.run(run)
    document = {
        "row": experiment.row,
        "name": experiment.name,
        "title": experiment.title,
        "size": size.value,
        "data": outcome.data,
        "line": asdict(outcome.line),
        "seconds": round(time.perf_counter() - start, 1),
        "numbers": plain(outcome.numbers),
        "machine": _machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
    }
    out.mkdir(parents=True, exist_ok=True)
    if outcome.picture is not None:
        outcome.picture.savefig(out / f"{experiment.name}.png", dpi=110, metadata={"Software": None})
    text = _short_lists(json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False))
    (out / f"{experiment.name}.json").write_text(text + "\n", encoding="utf-8")
    for piece in run.kept.glob("*") if run.kept.exists() else ():
        piece.unlink()
    return document


def plain(value: Any) -> Any:
    """The same for JSON: arrays and tuples as lists, numpy's numbers as Python's to nine digits, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.9g}") if np.isfinite(value) else None
    return value if value is None else str(value)


def main(experiment: Experiment) -> None:
    """The command line of one script."""
    parser = argparse.ArgumentParser(description=experiment.title)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="data from packages, in seconds")
    sizes.add_argument("--full", action="store_true", help="the paper's own counts; goes on where it was cut short")
    parser.add_argument("--out", type=Path, help="another folder for JSON and PNG")
    args = parser.parse_args()
    size = Size.QUICK if args.quick else Size.FULL if args.full else Size.PAPER
    document = carry_out(experiment, size, args.out or folder(size))
    line = document["line"]
    print(f"{experiment.row} {experiment.title}, {document['data']}: {document['seconds']} s")
    print("\n".join(f"{key:9} {line[key]}" for key in ("paper", "ours", "differs", "met", "shortfall")))


def _short_lists(text: str) -> str:
    """Lists of numbers on one line each: a thousand lines of one number are no document."""
    return re.sub(r"\[[-+.0-9eE,\s]+?\]", lambda found: " ".join(found[0].split()), text)


def _processor() -> str:
    """As the system names it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _machine() -> dict[str, Any]:
    """The device that gave the numbers."""
    return {
        "processor": _processor(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "threads": sorted({f"{pool['internal_api']} {pool['num_threads']}" for pool in threadpool_info()}),
    }
