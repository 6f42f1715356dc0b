"""Solvers by name: adding one is its file and one line here."""

from upweight.solvers.base import Prepared, Solution, Solver, Status
from upweight.solvers.cholesky import Cholesky

__all__ = ["SOLVERS", "Cholesky", "Prepared", "Solution", "Solver", "Status"]

SOLVERS: dict[str, type] = {
    "cholesky": Cholesky,
}
