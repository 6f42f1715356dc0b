"""Options that several commands share, each spelt once."""

from pathlib import Path
from typing import Annotated

import typer

from upweight.cli.progress import current

__all__ = [
    "AsJson",
    "Data",
    "Debug",
    "Device",
    "Group",
    "Id",
    "Model",
    "NoRows",
    "Query",
    "Report",
    "Seed",
    "Solver",
    "Table",
    "Target",
    "Time",
    "TrustPickle",
]

Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="The table: CSV, TSV, either gzipped, or Parquet; or package.module:function, which returns a network's "
        "(model, loss, data).",
        show_default=False,
    ),
]
Table = Annotated[
    Path, typer.Argument(metavar="DATA", help="The table: CSV, TSV, either gzipped, or Parquet.", show_default=False)
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="Where a network is moved to: cpu, cuda, cuda:1, mps.", show_default=False),
]
Target = Annotated[str | None, typer.Option("--target", "-t", help="The column that is predicted.", show_default=False)]
Id = Annotated[
    str | None,
    typer.Option("--id", help="A column of your own ids; rows are named by it everywhere.", show_default=False),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        help="A column (patient, user) whose rows stay together: all learnt from or all held out. It is no feature.",
        show_default=False,
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        help="A column of dates or numbers: the latest rows are held out. If not given, the one column of dates.",
        show_default=False,
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Your fitted scikit-learn model, as skops; else a pipeline is fitted here.", show_default=False
    ),
]
Query = Annotated[
    Path | None,
    typer.Option("--query", help="A file of rows that are not in the training file.", show_default=False),
]
Report = Annotated[Path | None, typer.Option("--report", help="Write the report, one HTML file.", show_default=False)]
TrustPickle = Annotated[bool, typer.Option("--trust-pickle", help="Load a pickle, which runs code of its maker.")]
Solver = Annotated[str, typer.Option("--solver", help="auto, cholesky, woodbury, cg or lissa.")]
Seed = Annotated[int, typer.Option("--seed", help="What is held out, and which rows the check draws.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON with stable keys on stdout, and nothing else there.")]
NoRows = Annotated[bool, typer.Option("--no-rows", help="Ids only: leave what the rows hold out of every output.")]


def _debug(value: bool) -> bool:
    """Told to the one place that shows errors, before the command begins."""
    current().debug = value
    return value


Debug = Annotated[
    bool, typer.Option("--debug", callback=_debug, is_eager=True, help="Print the traceback of an error.")
]
