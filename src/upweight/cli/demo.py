"""`upweight demo`: the first minute, on handwritten digits that scikit-learn brings along."""

from pathlib import Path
from typing import Annotated

import typer

from upweight.cli.options import AsJson, Debug, NoRows, Seed
from upweight.cli.progress import current

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder for the report, the data and the model.")] = Path(
        "demo"
    ),
    seed: Seed = 0,
    no_rows: NoRows = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train a model, take a digit that it reads wrongly, and show the training rows behind it.

    Writes a report, the digits as CSV and the model to --out. Nothing is downloaded.

    \b
    Example:
      upweight demo --out demo
    """
    from upweight.cli.demonstrating import run

    run(out, seed, current(), show_rows=not no_rows, as_json=as_json)
