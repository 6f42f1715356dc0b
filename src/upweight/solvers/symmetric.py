"""A symmetric matrix made ready to solve with: its Cholesky factor, or the eigenvectors it does have.

Stands on arrays; the direct solvers and the low-rank preconditioner stand on it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from upweight.arrays import NotPositiveDefinite, beside, factor, namespace
from upweight.shapes import Array, Float

__all__ = ["Symmetric", "symmetric"]

SMALLEST_CONDITION = 1e-13  # reciprocal; below it the factor's digits are noise


@dataclass(frozen=True)
class Symmetric:
    """`solve` [p, k] -> [p, k]; exact where singular for every b that does not see the missing directions."""

    solve: Callable[[Array], Array]
    reciprocal_condition: float  # with every column scaled to a diagonal of 1
    singular: bool
    lowest: float  # the lowest eigenvalue where it is negative beyond rounding, else 0


def symmetric(
    h: Float[Array, "p p"], smallest_condition: float = SMALLEST_CONDITION, noise: float | None = None
) -> Symmetric:
    """Factors h, whose eigenvalues are known to `noise` times the largest: None: to the rounding of its type."""
    xp, p = namespace(h), h.shape[0]
    if p == 0:
        return Symmetric(lambda b: b, 1.0, False, 0.0)
    diagonal = xp.linalg.diagonal(h)
    unit = 1.0 / xp.sqrt(xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal)))  # columns of any scale
    scaled = unit[:, None] * h * unit[None, :]
    try:
        solve = factor(scaled)
        condition = _reciprocal_condition(scaled, solve)
    except NotPositiveDefinite:
        condition = 0.0
    if condition >= smallest_condition:
        return Symmetric(lambda b: unit[:, None] * solve(unit[:, None] * b), condition, False, 0.0)
    values, vectors = xp.linalg.eigh(h)
    cut = float(xp.max(xp.abs(values))) * (p * float(xp.finfo(h.dtype).eps) if noise is None else noise)
    kept = xp.where(
        xp.abs(values) > cut, 1.0 / xp.where(values == 0, xp.ones_like(values), values), xp.zeros_like(values)
    )

    def pseudo(b: Array) -> Array:
        return vectors @ (kept[:, None] * (xp.matrix_transpose(vectors) @ b))

    lowest = float(values[0])
    return Symmetric(pseudo, condition, True, lowest if lowest < -cut else 0.0)


def _reciprocal_condition(h: Float[Array, "p p"], solve: Callable[[Array], Array]) -> float:
    """1 / (‖H‖₁ ‖H⁻¹‖₁), the second norm estimated by a few solves (Hager 1984)."""
    xp, p = namespace(h), h.shape[0]
    norm = float(xp.max(xp.sum(xp.abs(h), axis=0)))
    x = xp.full_like(h[:, :1], 1.0 / p)
    estimate, places = 0.0, beside(list(range(p)), h)
    for _ in range(5):
        y = solve(x)
        found = float(xp.sum(xp.abs(y)))
        if not found > estimate:
            break
        estimate = found
        z = solve(xp.where(y >= 0, xp.ones_like(y), -xp.ones_like(y)))
        at = int(xp.argmax(xp.abs(z[:, 0])))
        x = xp.astype(places == at, h.dtype)[:, None]
    return 1.0 / (norm * estimate) if norm * estimate > 0 else 0.0
