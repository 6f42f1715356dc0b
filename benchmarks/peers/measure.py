"""Runs one setting of one peer in its own process: time, peak memory, scores in upweight's sign and scale.

Stands on problem.py and numpy; each peer's file stands on it, and hands over what is its own: its
settings, a function from problem and setting to scores, the factor to upweight's scale, and the floor.
"""

import argparse
import importlib.metadata
import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.problem import Problem, load

MEGABYTE = 2**20
FLOOR_REPEATS = 5
KILOBYTE = 1024


@dataclass(frozen=True)
class Setting:
    """One way to call the peer: its own options, how the L2 penalty enters, and how many queries it is asked."""

    options: dict[str, Any]
    penalty: str
    queries: int | None = None  # all, unless the peer is too slow or too large for them
    documented_default: bool = False
    source: str = ""


@dataclass(frozen=True)
class Peer:
    """What is a peer's own; the rest is the same for all."""

    distribution: str
    settings: dict[str, Setting]
    score: Callable[[Problem, Setting], NDArray[np.floating]]  # [q, n], in the peer's own scale
    to_upweight: Callable[[Problem], float]  # the factor to upweight's sign and scale
    translation: str
    floor: Callable[[Problem], Callable[[], object]]  # prepares one plain pass, to be called again and again
    also: tuple[str, ...] = field(default=("torch", "numpy"))


def main(peer: Peer) -> None:
    """The command line of a peer: --list, or one setting measured and written to --out."""
    parser = argparse.ArgumentParser(description=f"{peer.distribution} on the shared problem")
    parser.add_argument("--list", action="store_true", help="print the settings as JSON and stop")
    parser.add_argument("--problem", type=Path)
    parser.add_argument("--setting", choices=list(peer.settings))
    parser.add_argument("--out", type=Path, help="writes OUT.json and OUT.npy")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--queries", type=int)
    args = parser.parse_args()
    if args.list:
        sys.stdout.write(json.dumps(list(peer.settings)) + "\n")
        return
    if not (args.problem and args.setting and args.out):
        parser.error("--problem, --setting and --out are needed")
    setting = peer.settings[args.setting]
    asked = [count for count in (args.queries, setting.queries) if count is not None]
    problem = load(args.problem).take(args.rows, min(asked) if asked else None)
    record, scores = _measure(peer, setting, problem)
    np.save(args.out.with_suffix(".npy"), scores)
    args.out.with_suffix(".json").write_text(json.dumps({"setting": args.setting} | record, indent=1))


def _measure(peer: Peer, setting: Setting, problem: Problem) -> tuple[dict[str, Any], NDArray[np.floating]]:
    before = _resident()
    start = time.perf_counter()
    raw = peer.score(problem, setting)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE  # Linux counts it in kilobytes
    expected = (len(problem.X_query), len(problem.X_train))
    if raw.shape != expected:
        raise SystemExit(f"{peer.distribution}: scores of shape {raw.shape}, not {expected}")
    floor = min(_timed(peer.floor(problem)) for _ in range(FLOOR_REPEATS))
    factor = peer.to_upweight(problem)
    scores = np.asarray(raw, dtype=np.float64) * factor
    record = {
        "peer": peer.distribution,
        "version": importlib.metadata.version(peer.distribution),
        "versions": {name: importlib.metadata.version(name) for name in peer.also},
        "python": platform.python_version(),
        "settings": asdict(setting),
        "translation": peer.translation,
        "factor_to_upweight": factor,
        "seconds": seconds,
        "floor_seconds": floor,
        "ratio": seconds / floor,
        "peak_mb": (peak - before) / MEGABYTE,
        "n_rows": expected[1],
        "n_queries": expected[0],
        "not_finite": int(np.count_nonzero(~np.isfinite(scores))),
    }
    return record, scores.astype(np.float32)


def _resident() -> int:
    """Bytes of this process in memory now; the data and the imports, when asked before the work (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
