"""All experiments of Koh & Liang (2017), or some rows of the table, and the table itself.

    python experiments/koh_liang_2017/run.py [ROW …] [--quick | --full] [--out FOLDER]

Without a size: the samples of `make paper`. --full goes on where it was cut short: rows whose JSON is there are not
done again (delete it to do one again), and a row's own pieces are kept until it is whole.
"""

import argparse
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before numpy starts its threads: on as many cores as the table says

from harness import Size, carry_out, folder
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
    out, failed = args.out or folder(size), 0
    for row in args.rows or SCRIPTS:
        experiment = import_module(SCRIPTS[row]).EXPERIMENT
        if size is Size.FULL and (out / f"{experiment.name}.json").exists():
            print(f"{experiment.name}: its JSON is there", file=sys.stderr)
            continue
        print(f"{experiment.name}: {experiment.title}", file=sys.stderr, flush=True)
        try:
            carry_out(experiment, size, out)
        except Exception:  # one row must not cost the others
            traceback.print_exc()
            failed = 1
    print(as_text(documents(out)))
    if size is Size.PAPER and args.out is None:
        write_page(out)
    return failed


if __name__ == "__main__":
    sys.exit(main())
