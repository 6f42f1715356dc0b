"""Runs one peer's exact scores in its own environment: one problem in one dtype, written in the peer's own scale.

Stands on peers/problem.py; each peer's file in this folder stands on it, and hands over functions from the problem to
scores [q, n], by what was set. From the repository's root: python -m benchmarks.peers.equality.captum
--problem P.npz --dtype float64 --out OUT. benchmarks/equality.py asks for all of them and compares.
"""

import argparse
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.problem import Problem, load

__all__ = ["Scores", "main"]

Scores = NDArray[np.floating]


def main(distribution: str, ways: Mapping[str, Callable[[Problem], Scores]]) -> None:
    """The command line of a peer: OUT.npz has the scores of each way as 0, 1, …; OUT.json the version and the ways."""
    parser = argparse.ArgumentParser(description=f"{distribution}, exact, on one problem")
    parser.add_argument("--problem", type=Path, required=True)
    parser.add_argument("--dtype", choices=["float64", "float32"], required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    problem = load(args.problem, np.dtype(args.dtype))
    found = {str(at): score(problem) for at, score in enumerate(ways.values())}
    np.savez(args.out.with_suffix(".npz"), **found)
    said = {"version": importlib.metadata.version(distribution), "ways": list(ways)}
    args.out.with_suffix(".json").write_text(json.dumps(said), encoding="utf-8")
