"""The n-side solve: H = D + R Rᵀ through I + Rᵀ D⁺ R, whose size is rows times outputs, whatever p is.

Parameters without a penalty (intercepts) have no D⁺; they border the system by a Schur complement as large as they
are many. Stands on curvature; source: Woodbury (1950); METHODS.md 2.1, 2.6.
"""

from dataclasses import dataclass

import numpy as np

from upweight.arrays import namespace, to_numpy
from upweight.curvature import Curvature, RootPlusDiagonal, RowKernel
from upweight.errors import UnsupportedQuestion
from upweight.shapes import Array, Float, Vectors
from upweight.solvers.base import Prepared, Solution, only_finite, relative, statuses
from upweight.solvers.symmetric import Symmetric, symmetric

__all__ = ["Woodbury"]

REFINEMENTS = 2  # D⁻¹(b − R y) cancels where the penalty is weak; a second solve on the residual wins the digits back


@dataclass(frozen=True)
class Woodbury:
    """The residual is the true one, from a product with H: two passes over the data, as many as the solve itself."""

    tol: float = 1e-8

    def prepare(self, curvature: Curvature) -> Prepared:
        """Writes I + Rᵀ D⁺ R out, group by group, and factors it.

        Raises: UnsupportedQuestion if the curvature is not a root plus a diagonal.
        """
        if not isinstance(curvature, RootPlusDiagonal):
            raise UnsupportedQuestion(
                f"solver='woodbury' needs a curvature that is a sum over rows plus a diagonal, and "
                f"{type(curvature).__name__} is not known as one. Use solver='cg'."
            )
        sides = _Sides.of(curvature)

        def answer(b: Vectors) -> Solution:
            b, good = only_finite(b)
            x = sides.apply(b)
            r = b - curvature.matmul(x)
            rounds = 0
            while rounds < REFINEMENTS and _largest(relative(r, b)) > self.tol:
                better = x + sides.apply(r)
                left = b - curvature.matmul(better)
                x, r = _closer(b, (x, r), (better, left))
                rounds += 1
            residual = relative(r, b)
            iterations = np.full(b.shape[0], rounds)
            return Solution(x, residual, iterations, statuses(good, residual, self.tol, [None] * b.shape[0]))

        def leverages() -> Float[Array, "n c c"]:
            assert isinstance(curvature, RowKernel)
            return sides.leverages(curvature)

        groups, m = len(sides.factors), sides.size
        words = f"Woodbury: {groups:,} matrices of {m:,} × {m:,}" if groups > 1 else f"Woodbury: {m:,} × {m:,}"
        return Prepared(
            answer,
            sides.apply,
            leverages=leverages if isinstance(curvature, RowKernel) else None,
            how=f"{words} (rows × outputs) in place of {curvature.size:,} × {curvature.size:,}",
        )


@dataclass(frozen=True)
class _Sides:
    """What is factored once. U: the u parameters without a penalty; V = (I + Rᵀ D⁺ R)⁻¹ R_Uᵀ."""

    curvature: RootPlusDiagonal
    factors: tuple[Symmetric, ...]  # of I + Rᵀ D⁺ R
    size: int  # m
    inverse: Float[Array, " p"]  # D⁺
    border: Float[Array, "u p"]  # unit vectors of U
    border_root: Float[Array, "u g m"]  # R_U
    border_solved: Float[Array, "u g m"]  # V
    schur: Symmetric  # of R_U V + pin

    @staticmethod
    def of(curvature: RootPlusDiagonal) -> "_Sides":
        d = curvature.diagonal
        xp, p = namespace(d), d.shape[0]
        inverse = xp.where(d > 0, 1.0 / xp.where(d > 0, d, xp.ones_like(d)), xp.zeros_like(d))
        gram = curvature.gram()
        m = gram.shape[1]
        eye = xp.eye(m, dtype=d.dtype)
        factors = tuple(symmetric(gram[g, :, :] + eye) for g in range(gram.shape[0]))
        bare = xp.asarray(np.flatnonzero(to_numpy(d) <= 0))
        border = xp.astype(xp.arange(p)[None, :] == bare[:, None], d.dtype)
        root = curvature.root_transpose(border)
        solved = _solve(factors, root)
        schur = _flat(root) @ xp.matrix_transpose(_flat(solved))
        schur = schur + curvature.pinned(border) @ xp.matrix_transpose(border)
        schur = 0.5 * (schur + xp.matrix_transpose(schur))  # to the bit: rounding differs across the diagonal
        return _Sides(curvature, factors, m, inverse, border, root, solved, symmetric(schur))

    def apply(self, b: Vectors) -> Vectors:
        """H⁻¹ b: y = (I + Rᵀ D⁺ R)⁻¹ (Rᵀ D⁺ b + R_Uᵀ x_U), x = D⁺ (b − R y) + x_U."""
        xp = namespace(b)
        y = _solve(self.factors, self.curvature.root_transpose(b * self.inverse[None, :]))
        bare = b @ xp.matrix_transpose(self.border) - _flat(y) @ xp.matrix_transpose(_flat(self.border_root))
        x_bare = xp.matrix_transpose(self.schur.solve(xp.matrix_transpose(bare)))
        y = y + xp.reshape(x_bare @ _flat(self.border_solved), y.shape)
        return (b - self.curvature.root(y)) * self.inverse[None, :] + x_bare @ self.border

    def leverages(self, rows: RowKernel) -> Float[Array, "n c c"]:
        """s X_i H⁻¹ X_iᵀ = s (K_ii − T_iᵀ (I + Rᵀ D⁺ R)⁻¹ T_i + F_i C⁻¹ F_iᵀ), T = Rᵀ D⁺ Xᵀ, F = X_U − Tᵀ V."""
        xp, kernel = namespace(self.inverse), rows.row_kernel()
        n, c = kernel.shape
        through, eye = rows.root_kernel(), xp.eye(c, dtype=kernel.dtype)
        _, m, _, o = through.shape
        total = kernel[:, :, None] * eye[None, :, :]
        moved = rows.row_outputs(self.border)  # X_U [u, n, c]
        back = []
        for g, factored in enumerate(self.factors):
            t = xp.reshape(through[g, :, :, :], (m, n * o))
            solved = xp.permute_dims(xp.reshape(factored.solve(t), (m, n, o)), (1, 0, 2))
            own = xp.permute_dims(through[g, :, :, :], (1, 2, 0)) @ solved  # [n, o, o]
            total = total - (own if o == c else own * (eye[g, :, None] * eye[g, None, :])[None, :, :])
            back.append(xp.reshape(self.border_solved[:, g, :] @ t, (moved.shape[0], n, o)))
        f = moved - (back[0] if len(back) == 1 else xp.concat(back, axis=2))
        f = xp.reshape(f, (f.shape[0], n * c))
        pinned = xp.permute_dims(xp.reshape(self.schur.solve(f), (moved.shape[0], n, c)), (1, 0, 2))
        total = total + xp.permute_dims(xp.reshape(f, (moved.shape[0], n, c)), (1, 2, 0)) @ pinned
        return rows.loss_scale() * total


def _solve(factors: tuple[Symmetric, ...], v: Float[Array, "k g m"]) -> Float[Array, "k g m"]:
    """Group by group."""
    xp = namespace(v)
    parts = [f.solve(xp.matrix_transpose(v[:, g, :])) for g, f in enumerate(factors)]
    return xp.permute_dims(xp.stack(parts, axis=0), (2, 0, 1))


def _flat(a: Float[Array, "u g m"]) -> Float[Array, "u gm"]:
    return namespace(a).reshape(a, (a.shape[0], a.shape[1] * a.shape[2]))


def _largest(values: Float[Array, " k"]) -> float:
    return float(namespace(values).max(values)) if values.shape[0] else 0.0


def _closer(b: Vectors, old: tuple[Vectors, Vectors], new: tuple[Vectors, Vectors]) -> tuple[Vectors, Vectors]:
    """Row by row, the (x, residual) with the smaller residual."""
    xp = namespace(b)
    won = (relative(new[1], b) < relative(old[1], b))[:, None]
    return xp.where(won, new[0], old[0]), xp.where(won, new[1], old[1])
