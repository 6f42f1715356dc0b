"""Solvers by name: adding one is its file and one line here."""

from upweight.solvers.approximate import Approximate
from upweight.solvers.base import Prepared, Solution, Solver, Status
from upweight.solvers.block_cg import BlockCG
from upweight.solvers.cg import CG
from upweight.solvers.cholesky import Cholesky
from upweight.solvers.lissa import LiSSA
from upweight.solvers.woodbury import Woodbury

__all__ = [
    "CG",
    "SOLVERS",
    "Approximate",
    "BlockCG",
    "Cholesky",
    "LiSSA",
    "Prepared",
    "Solution",
    "Solver",
    "Status",
    "Woodbury",
]

SOLVERS: dict[str, type] = {
    "cholesky": Cholesky,
    "woodbury": Woodbury,
    "cg": CG,
    "lissa": LiSSA,
}
