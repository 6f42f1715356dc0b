"""What the command line does with everything that goes wrong: a few lines on stderr and an exit code, in one place.

0 fine · 1 a finding (a low grade, a record not found again) · 2 bad input · 70 a fault of ours · 130 interrupted.
"""

import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from upweight.cli.progress import begun
from upweight.errors import UpweightError

__all__ = ["BAD_INPUT", "FAULT", "FINDING", "INTERRUPTED", "Commands"]

FINDING, BAD_INPUT, FAULT, INTERRUPTED = 1, 2, 70, 130
_LINES, _WIDTH = 3, 600


class Commands(TyperGroup):
    """The commands, and what is said when one cannot go on."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; every failure becomes a message and a code, unless --debug asks for the traceback too."""
        progress = begun()
        try:
            return super().invoke(ctx)
        except UpweightError as error:
            progress.close()
            self._say(f"upweight: {error}", progress.debug)
            raise typer.Exit(BAD_INPUT) from error
        except KeyboardInterrupt as stop:
            progress.close()
            self._say(f"\nupweight: interrupted. {progress.so_far()}", progress.debug)
            raise typer.Exit(INTERRUPTED) from stop
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
            raise typer.Exit(0) from None
        except MemoryError as error:
            progress.close()
            self._say("upweight: the memory ran out. Take a sample of the rows, or a larger machine.", progress.debug)
            raise typer.Exit(BAD_INPUT) from error
        except Exception as error:
            if hasattr(error, "format_message"):  # Click's own, wherever this Typer keeps it: a wrong option
                command = getattr(getattr(error, "ctx", None), "command_path", "upweight")
                self._say(f"{command}: {error.format_message()}\nTry '{command} --help'.", progress.debug)
                raise typer.Exit(BAD_INPUT) from error
            if type(error).__module__.startswith(("click", "typer")):
                raise  # Exit and Abort: not failures
            progress.close()
            first = (str(error).splitlines() or [""])[0]
            self._say(
                f"upweight: {type(error).__name__}: {first}\nThis is a fault of upweight, not of your data. "
                "Please report it with what --debug prints.",
                progress.debug,
            )
            raise typer.Exit(FAULT) from error

    def _say(self, message: str, debug: bool) -> None:
        if debug:
            traceback.print_exc()
        lines = message.split("\n")
        shown = [*lines[: _LINES - 1], " ".join(lines[_LINES - 1 :])] if len(lines) > _LINES else lines
        for line in shown:
            typer.echo(_encodable(line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"), err=True)


def _encodable(text: str) -> str:
    """The text as stderr can show it."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
