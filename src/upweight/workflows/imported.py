"""`package.module:function` as uvicorn reads it: imported from where the user stands, and called once.

Whatever the user's own code raises is told apart from a fault of ours by the file it comes from. Stands on errors.
"""

import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import reduce
from typing import Any

from upweight.errors import InputError, MissingExtra, UpweightError, listed

__all__ = ["called", "names_function", "own_faults", "require_torch"]

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_WRITE = "Write package.module:function"


def names_function(text: str | os.PathLike[str]) -> bool:
    """Whether this is `package.module:function`: a colon, no folder, and no file of that name."""
    name = os.fspath(text)
    return ":" in name and not re.search(r"[/\\]", name) and not os.path.exists(name)


def require_torch(name: str | os.PathLike[str]) -> None:
    """Raises: MissingExtra with the line that installs it."""
    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise MissingExtra(f"{os.fspath(name)} needs torch: pip install 'upweight[torch]'.") from error


def called(name: str) -> Any:
    """What the function returns; what it prints goes to stderr.

    Raises: InputError for a name that is none, a module or function that is not there, and code that raises;
    MissingExtra where it is torch that is missing.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r}: there is no such file. {_WRITE} for a network.")
    module, _, function = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with redirect_stdout(sys.stderr):
        found = _module(name, module)
        try:
            made = reduce(getattr, function.split("."), found)
        except AttributeError:
            own = [key for key, value in vars(found).items() if getattr(value, "__module__", None) == module]
            there = f" It has {listed(own, 8)}." if own else ""
            raise InputError(f"{name}: module {module!r} has no function {function!r}.{there}") from None
        if not callable(made):
            kind = type(made).__name__
            raise InputError(f"{name}: {function!r} is a {kind}, not a function. Give one that returns it.")
        with own_faults(name, everything=True):
            return made()


@contextmanager
def own_faults(name: str, everything: bool = False) -> Iterator[None]:
    """What the module of this name raises becomes bad input; `everything`: whatever is raised is its doing.

    Raises: InputError with the file and line, the error itself as its cause.
    """
    try:
        yield
    except UpweightError:
        raise
    except (Exception, SystemExit) as error:
        where = _own_line(error, name.split(":")[0].split(".")[0])
        if isinstance(error, MemoryError) or (not where and not everything):
            raise
        raise InputError(_said(name, error, where)) from error


def _module(name: str, module: str) -> Any:
    try:
        with own_faults(name, everything=True):
            return importlib.import_module(module)
    except InputError as error:
        cause = error.__cause__
        if not isinstance(cause, ModuleNotFoundError) or cause.name is None:
            raise
        if cause.name.split(".")[0] == "torch":
            raise MissingExtra(f"{name} needs torch: pip install 'upweight[torch]'.") from cause
        if module == cause.name or module.startswith(f"{cause.name}."):
            raise InputError(
                f"{name}: there is no module {cause.name!r} in {os.getcwd()} or among the installed packages. "
                f"{_WRITE}, from the folder that holds it."
            ) from cause
        raise InputError(f"{name}: {module} imports {cause.name!r}, which is not installed. Install it.") from cause


def _own_line(error: BaseException, root: str) -> str:
    """The innermost line of the user's own package, "" where there is none."""
    where, step = "", error.__traceback__
    while step is not None:
        if str(step.tb_frame.f_globals.get("__name__", "")).split(".")[0] == root:
            where = f"{os.path.basename(step.tb_frame.f_code.co_filename)}, line {step.tb_lineno}"
        step = step.tb_next
    return where


def _said(name: str, error: BaseException, where: str) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{os.path.basename(error.filename)}, line {error.lineno}"
    first = (str(error).strip().splitlines() or [""])[0]
    what = f"{type(error).__name__}: {first}" if first else type(error).__name__
    if isinstance(error, SystemExit):
        return f"{name} left the program ({what}). Keep what runs a script under if __name__ == '__main__'."
    return f"{name} raised {what}{f' ({where})' if where else ''}. --debug prints its traceback."
