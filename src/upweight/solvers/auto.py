"""Which solver, decided by an estimate of flops and memory, and said with its numbers.

The rule, among those whose arrays fit into the memory:
1. Cholesky where writing H out and factoring it costs least;
2. Woodbury where rows × outputs are few against the parameters;
3. conjugate gradients for all questions in one block, behind the low-rank preconditioner and in float32 up to a
   stated error of 8e-4, where neither of them fits, or where the cheaper of them costs more than twice as much and more
   than some seconds: a direct solver is exact.
LiSSA is never chosen. Stands on the solvers; `influence` and the command line ask it.
"""

import os
from dataclasses import dataclass

from upweight.curvature import HeadCurvature
from upweight.errors import InputError, listed
from upweight.linear_head import LinearHead
from upweight.solvers import CG, SOLVERS, BlockCG, Cholesky, Solver, Woodbury
from upweight.solvers.low_rank import LowRank

__all__ = ["Choice", "Sizes", "choose", "solve_by_name"]

SPARSE = 0.25  # share of the columns that a row touches, below which its products are by index
SPARSE_COST = 10.0  # flops of the dense kind that one sparse flop takes
CG_STEPS = 3  # what the low-rank preconditioner leaves to do, typically
SEARCH_PASSES = 4 * 3  # of the search for leading directions where there are too many columns for all of them
RANK = 128
ROWS_PER_DIRECTION = 200  # rows that the Hessian in the leading directions is made of, for each direction
BASIS_ROWS = 10_000  # rows that the directions come from
CHEAP = 5e11  # flops: some seconds on any machine


@dataclass(frozen=True)
class Sizes:
    """What the estimate reads of a problem."""

    rows: int
    outputs: int
    columns: int  # D, the constant included
    parameters: int  # p, the free ones
    touched: float  # numbers that a row holds: D where dense
    apart: bool  # outputs are fitted apart
    bent: int  # rank of a row's curvature: outputs less what no target sees
    bare: int = 1  # parameters without a penalty

    @staticmethod
    def of(head: LinearHead, damping: float = 0.0) -> "Sizes":
        """Those of a head."""
        diagonal = HeadCurvature(head, damping=damping).diagonal
        c, width = head.c, head.features.columns
        return Sizes(
            rows=head.n,
            outputs=c,
            columns=width,
            parameters=head.params.size,
            touched=min(float(width), head.features.bytes_per_row() / 16.0),
            apart=c == 1 or head.loss.separate,
            bent=c - int(head.loss.null_outputs.shape[0]),
            bare=sum(1 for value in diagonal if not float(value) > 0.0) if head.params.size < 10**6 else c,
        )


@dataclass(frozen=True)
class Choice:
    """A solver with its cost and the sentence that says why."""

    name: str
    solver: Solver
    reason: str
    flops: float
    bytes: float


def choose(problem: Sizes | LinearHead, memory: float | None = None, queries: int = 100) -> Choice:
    """The cheapest solver that fits into `memory` bytes (None: half of what is free now), with leverages counted in."""
    sizes = Sizes.of(problem) if isinstance(problem, LinearHead) else problem
    room = _free_memory() / 2 if memory is None else memory
    rank = max(8, min(RANK, sizes.columns, sizes.rows))
    costs = {
        "cholesky": _cholesky(sizes, queries),
        "woodbury": _woodbury(sizes, queries),
        "cg": _cg(sizes, queries, rank),
    }
    direct = [name for name in ("cholesky", "woodbury") if costs[name][1] <= room]
    name = min(direct, key=lambda candidate: costs[candidate][0], default="cg")
    if costs[name][0] > max(CHEAP, 2.0 * costs["cg"][0]):
        name = "cg"
    made: dict[str, Solver] = {
        "cholesky": Cholesky(),
        "woodbury": Woodbury(),
        "cg": BlockCG(),
    }
    return Choice(name, made[name], _reason(name, sizes, costs, room), *costs[name])


def solve_by_name(name: str) -> Solver:
    """The solver that a user asks for, with its usual settings.

    Raises: InputError if there is none of this name.
    """
    if name not in SOLVERS:
        raise InputError(f"solver={name!r} does not exist. Use 'auto', or one of {listed(list(SOLVERS), 9)}.")
    made: Solver = CG(preconditioner=LowRank(rank=RANK)) if name == "cg" else SOLVERS[name]()
    return made


def _pass(s: Sizes, vectors: float) -> float:
    """Flops of one product of the rows with this many vectors."""
    sparse = s.touched < SPARSE * s.columns
    return 2.0 * s.rows * s.touched * vectors * (SPARSE_COST if sparse else 1.0)


def _pairs(s: Sizes) -> float:
    return float(s.outputs if s.apart else s.outputs * (s.outputs + 1) // 2)


def _cholesky(s: Sizes, queries: int) -> tuple[float, float]:
    """The Hessian, its factor, its inverse, all leverages, the solves; three p × p arrays at the peak."""
    p = float(s.parameters)
    flops = 2.0 * _pairs(s) * _pass(s, s.columns) + p**3 + 4.0 * queries * p * p
    return flops, 3 * 8 * p * p


def _woodbury(s: Sizes, queries: int) -> tuple[float, float]:
    """One kernel matrix, the factors, all leverages, the solves; gram, factor and leverages' right-hand side."""
    groups, m = (s.outputs, float(s.rows)) if s.apart else (1, float(s.rows) * s.bent)
    right = s.rows if s.apart else s.rows * s.outputs
    flops = _pass(s, s.rows) + groups * (m**3 / 3 + 2 * m * m * (right + s.bare + queries))
    flops += 8 * _pass(s, queries * s.outputs) + float(s.bare) ** 3
    held = 8 * (3 * groups * m * m + float(s.rows) ** 2 + 2 * groups * m * right + 2 * float(s.bare) * s.parameters)
    return flops, held


def _cg(s: Sizes, queries: int, rank: int) -> tuple[float, float]:
    """The directions, their Hessian, all leverages from it, and CG_STEPS double passes for each query."""
    g = (rank + 1.0) * s.outputs
    read = LowRank.from_part(rank, ROWS_PER_DIRECTION * rank, BASIS_ROWS, s.rows)
    basis = read.basis_fraction * (_pass(s, s.columns) if s.columns <= 2048 else SEARCH_PASSES * _pass(s, rank))
    sums = s.rows * (s.outputs * rank**2 if s.apart else g * g)
    reduced = read.fraction * (_pass(s, rank) + sums) + g**3
    leverages = 2.0 * s.rows * _pairs(s) * rank**2
    flops = basis + reduced + leverages + (CG_STEPS + 1) * 2 * _pass(s, queries * s.outputs)
    return flops, 8 * (3 * g * g + 10.0 * queries * s.parameters + 2 * min(s.columns, 2048) ** 2)


def _reason(name: str, s: Sizes, costs: dict[str, tuple[float, float]], room: float) -> str:
    p, m = f"{s.parameters:,}", f"{s.rows * (1 if s.apart else s.bent):,}"
    flops, held = costs[name]
    cost = f"{_short(flops, 'flop')} and {_short(held, 'B')}"
    if name == "cholesky":
        return f"Cholesky: the {p} × {p} Hessian takes {cost}"
    if name == "woodbury":
        why = "does not fit" if costs["cholesky"][1] > room else f"would take {_short(costs['cholesky'][0], 'flop')}"
        return f"Woodbury: {m} × {m} (rows × outputs) takes {cost}; the {p} × {p} Hessian {why}"
    if costs["cholesky"][1] > room:
        why = f"would need {_short(costs['cholesky'][1], 'B')} of the {_short(room, 'B')} that may be used"
    else:
        why = f"would take {_short(costs['cholesky'][0], 'flop')}"
    return f"conjugate gradients: {cost}; the {p} × {p} Hessian {why}"


def _short(value: float, unit: str) -> str:
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def _free_memory() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4e9  # not every system says
