"""How a command prints: a page of at most 80 columns, or JSON; and commands that can be pasted back.

Stands on display; each command ends here.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from upweight.display.blocks import Document
from upweight.display.terminal import render
from upweight.errors import FileError, InputError

__all__ = [
    "WIDTH",
    "command_line",
    "print_json",
    "print_page",
    "program",
    "refuse_table_options",
    "require_host",
    "require_place",
    "require_report_apart",
    "took",
    "written",
]

WIDTH = 80


def print_page(document: Document) -> None:
    """The document on stdout, as wide as the terminal but never wider than 80 columns."""
    width = min(WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else WIDTH
    sys.stdout.write(render(document, width))
    sys.stdout.flush()


def print_json(content: Mapping[str, Any]) -> None:
    """One JSON value on stdout; what is not a number is null."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False, default=str) + "\n")
    sys.stdout.flush()


def command_line(command: str, data: str | os.PathLike[str], options: Sequence[tuple[str, object]]) -> str:
    """A line for the shell: options without a value are left out, a flag stands alone."""
    words = [program(), command, os.fspath(data)]
    for name, value in options:
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words += [name, str(value)]
    return " ".join(shlex.quote(word) for word in words)


def program() -> str:
    """How this program is called from where the user stands: its name on the path, else the way to its file."""
    called = Path(sys.argv[0])
    if called.stem != "upweight":
        return "upweight"
    found = shutil.which("upweight")
    if found is not None and Path(found).resolve() == called.resolve():
        return "upweight"
    relative = os.path.relpath(called)
    return str(called) if relative.startswith("..") else relative


def took(seconds: float) -> str:
    """ "9 s. Nothing left this machine." """
    spent = f"{max(1.0, seconds):.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{spent}. Nothing left this machine."


def written(command: str) -> str:
    """The last line of a report."""
    today = date.today()
    return f"Written on {today.day} {today:%B %Y} by upweight {command}. Nothing left this machine."


def refuse_table_options(name: str, given: Mapping[str, object]) -> None:
    """Raises: InputError for options that only a table has."""
    wrong = [option for option, value in given.items() if value not in (None, False)]
    if wrong:
        are = "is" if len(wrong) == 1 else "are"
        raise InputError(f"{' and '.join(wrong)} {are} for tables; {name} gives the rows and the model itself.")


def require_host(device: str | None) -> None:
    """Raises: InputError for another device than the CPU: a table's model knows no other."""
    if device not in (None, "cpu"):
        raise InputError(f"--device {device!r} is for a network; the model of a table is answered on the CPU.")


def require_place(path: Path) -> None:
    """Raises: FileError where a file could not be written for want of its folder: before the work, not after it."""
    if path.is_dir():
        raise FileError(f"{path}: is a folder. Give the name of a file.")
    if not path.resolve().parent.is_dir():
        raise FileError(f"{path}: there is no folder '{path.parent}'. Make it first: mkdir -p {path.parent}")


def require_report_apart(report: Path, read: Iterable[Path | None]) -> None:
    """Raises: InputError where the report would be written over a file that is read; FileError as `require_place`."""
    require_place(report)
    if os.path.realpath(report) in {os.path.realpath(path) for path in read if path is not None}:
        raise InputError(f"--report {report} is a file that is read. Give it a file of its own.")
