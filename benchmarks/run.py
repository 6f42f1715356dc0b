"""python benchmarks/run.py NAME | all: runs a benchmark, prints its table, writes it to benchmarks/results/."""

import argparse
import sys
from importlib import import_module

__all__ = ["BENCHMARKS"]

BENCHMARKS = {  # name: the module beside this one whose run() does it
    "convex": "convex",
    "equality": "equality",
    "grade": "grade",
    "group": "group",
    "lines": "lines",
}


def main() -> None:
    """Parses the name and runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark", choices=[*BENCHMARKS, "all"])
    name = parser.parse_args().benchmark
    for one in BENCHMARKS if name == "all" else [name]:
        import_module(BENCHMARKS[one]).run()


if __name__ == "__main__":
    sys.exit(main())
