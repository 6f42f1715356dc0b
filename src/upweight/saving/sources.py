"""What an Influence was made from: enough to make it again; and its solver by name.

Stands on solvers and store; the files of this folder and influence stand on it.
"""

from dataclasses import dataclass
from typing import Any

from upweight.errors import FileError
from upweight.solvers import SOLVERS, Solver
from upweight.store.scalars import decoded, encoded

__all__ = ["Source", "TorchSource", "solver_about", "solver_in"]


@dataclass(frozen=True, eq=False)
class Source:
    """What an Influence was made from: enough to make it again."""

    estimator: Any
    X: Any
    y: Any
    sample_weight: Any
    solver: str | Solver
    damping: float
    smoothing: float | None = None


@dataclass(frozen=True, eq=False)
class TorchSource:
    """The same of a network, as from_torch was given it."""

    model: Any
    loss: Any
    data: Any
    penalty: Any
    params: Any
    normalization: str
    solver: str | Solver
    damping: float | str
    train: Any


def solver_about(solver: str | Solver, shown: str) -> Any:
    """The solver in JSON: a name, or a name and the settings that are not the usual ones.

    Raises: FileError for a solver that has no name here.
    """
    if isinstance(solver, str):
        return solver
    name = next((key for key, kind in SOLVERS.items() if type(solver) is kind), None)
    if name is None:
        raise FileError(
            f"{shown}: the solver {type(solver).__name__} is not one of {', '.join(SOLVERS)}, so the file could not "
            "name it. Make the Influence with one of these, or 'auto'."
        )
    usual, held = SOLVERS[name](), vars(solver)
    try:
        return {name: {key: encoded(value) for key, value in held.items() if value != getattr(usual, key)}}
    except FileError as error:
        raise FileError(f"{shown}: the solver {name!r} holds a setting that is not stored ({error}).") from error


def solver_in(about: Any) -> str | Solver:
    """The solver that `solver_about` described."""
    if isinstance(about, str):
        return about
    ((name, settings),) = about.items()
    made: Solver = SOLVERS[name](**{key: decoded(value) for key, value in settings.items()})
    return made
