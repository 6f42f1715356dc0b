"""The command line: one file a command, which parses and prints; the work is in workflows.

Nothing heavy is imported until a command runs, so that `upweight --help` answers at once.
"""

import os
from typing import Annotated

import typer

from upweight.cli.audit import audit
from upweight.cli.check import check
from upweight.cli.compare import compare
from upweight.cli.demo import demo
from upweight.cli.doctor import doctor
from upweight.cli.explain import explain
from upweight.cli.failures import Commands

__all__ = ["app", "main"]

# numpy and scipy bring an OpenBLAS each: idle threads of one that spin hold up the other (the demo: 8 s, with this 4)
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

app = typer.Typer(
    cls=Commands,
    name="upweight",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
app.command()(demo)
app.command()(explain)
app.command()(check)
app.command()(audit)
app.command()(compare)
app.command()(doctor)


def _version(asked: bool) -> bool:
    if asked:
        from importlib.metadata import version

        typer.echo(f"upweight {version('upweight')}")
        raise typer.Exit
    return asked


@app.callback()
def upweight(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Which training rows made the model predict this, and what would happen without them?

    \b
    upweight demo                              a first look, one minute
    upweight explain data.csv --target label   the rows behind predictions
    upweight check data.csv --target label     how far to trust them
    upweight audit data.csv --target label     how few changed rows flip them
    upweight compare data.csv --without age    two models, side by side
    upweight doctor data.csv --target label    what would go wrong, how long

    Exit codes: 0 fine, 1 a finding, 2 bad input, 130 interrupted.
    """


def main() -> None:
    """The program `upweight`."""
    app()
