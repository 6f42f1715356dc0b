"""All experiments of Koh & Liang (2017), or some rows of the table, and the table itself.

    python experiments/koh_liang_2017/run.py [ROW …] [--quick | --full] [--out FOLDER]

Without a size: the samples of `make paper`. --full goes on where it was cut short: rows whose JSON is there are not
done again (delete it to do one again), and a row's own pieces are kept until it is whole. Every row is a process of its
own, as many side by side as there are cores, on one thread each (row 7 has two processes of its own); rows that compare
seconds run alone, on two threads.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import HERE, Size, folder
from table import as_text, documents, write_page

__all__ = ["SCRIPTS"]

SCRIPTS = {  # the table's row: the script beside this one that does it
    1: "components",
    2: "retraining",
    3: "network",
    4: "hinge",
    5: "models",
    6: "hospital",
    7: "labels",
    8: "attack",
    9: "questions",
}
TIMED = (2,)  # rows that compare seconds: nothing runs beside them
LONGEST = (3, 8, 7, 9, 5)  # begin first, so that no core waits for them at the end


def main() -> int:
    """Parses, runs, prints the table; 1 where an experiment failed, the others done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, help=f"rows of the table; all: {', '.join(map(str, SCRIPTS))}")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="data from packages, in seconds")
    sizes.add_argument("--full", action="store_true", help="the paper's own counts; goes on where it was cut short")
    parser.add_argument("--out", type=Path, help="another folder for JSON and PNG")
    args = parser.parse_args()
    unknown = [row for row in args.rows if row not in SCRIPTS]
    if unknown:
        parser.error(f"no script does row {unknown[0]}: there are {', '.join(map(str, SCRIPTS))}")
    size = Size.QUICK if args.quick else Size.FULL if args.full else Size.PAPER
    out = args.out or folder(size)
    rows = [row for row in args.rows or SCRIPTS if not _is_there(row, size, out)]
    failed = sum(not _done(row, size, out, 2) for row in rows if row in TIMED)
    rest = sorted((row for row in rows if row not in TIMED), key=(*LONGEST, *SCRIPTS).index)
    with ThreadPoolExecutor(max_workers=_cores()) as side_by_side:
        failed += sum(not good for good in side_by_side.map(lambda row: _done(row, size, out, 1), rest))
    print(as_text(documents(out)))
    if size is Size.PAPER and args.out is None:
        write_page(out)
    return int(failed > 0)


def _is_there(row: int, size: Size, out: Path) -> bool:
    """Of the paper's own counts, whether an earlier run has done it."""
    there = size is Size.FULL and (out / f"{SCRIPTS[row]}.json").exists()
    if there:
        print(f"{SCRIPTS[row]}: its JSON is there", file=sys.stderr)
    return there


def _done(row: int, size: Size, out: Path, threads: int) -> bool:
    """One row's script in a process of its own, its progress on stderr; whether it ended well."""
    sized: Sequence[str] = () if size is Size.PAPER else (f"--{size.value}",)
    command = [sys.executable, str(HERE / f"{SCRIPTS[row]}.py"), *sized, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    code = subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=False).returncode
    print(f"{SCRIPTS[row]}: {'done' if code == 0 else f'failed ({code})'}", file=sys.stderr, flush=True)
    return code == 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
