"""Taking one row out of a head with one output, from the Gram matrix of its rows alone, made once for many weights.

With K = X D⁺ Xᵀ (no constant), r_i = √(s w_i S_i), R = diag(r), M = I + R K R and an unpenalised constant:
    B_ii = s (K_ii − T_iᵀ M⁻¹ T_i + F_i² / C),   T = R K,   V = M⁻¹ r,   F = 1 − Tᵀ V,   C = rᵀ V
For ranking: K may be float32, half the time of the exact one, right to about 1e-4. Stands on linear_head.
Source: METHODS.md 2.1, 2.6; Woodbury (1950).
"""

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from upweight.arrays import blocks
from upweight.linear_head import LinearHead

__all__ = ["own_moves", "row_gram"]


def row_gram(head: LinearHead, dtype: type[np.floating]) -> NDArray[np.floating]:
    """K [n, n] of the penalised columns, under the head's penalty."""
    penalty = head.penalty[0]
    scale = np.where(penalty > 0, 1.0 / np.where(penalty > 0, penalty, 1.0), 0.0)
    return np.asarray(head.features.gram(head.features, scale), dtype=dtype)


def own_moves(head: LinearHead, gram: NDArray[np.floating]) -> NDArray[np.float64]:
    """[n, 1] how far each row's own output moves when it leaves; `gram` is K under the head's penalty.

    The head has one output, a penalty on every column but the constant, and the sum form.
    """
    s, w = head.scale, np.asarray(head.weights)
    bend = np.asarray(head.loss.curvature(head.outputs, head.targets))[:, 0, 0]
    r = np.sqrt(s * w * bend)
    root = r.astype(gram.dtype)
    through = (gram * root[None, :]).T  # K is symmetric; column by column, as LAPACK reads it without a copy
    m = through * root[None, :]
    m[np.diag_indices_from(m)] += 1.0
    lower = scipy.linalg.cholesky(m, lower=True, overwrite_a=True, check_finite=False)
    held = scipy.linalg.solve_triangular(lower, through, lower=True, overwrite_b=True, check_finite=False).T
    b = np.diagonal(gram).astype(np.float64)
    for at in blocks(len(r), 8.0 * len(r)):
        b[at] -= np.square(held[at, :], dtype=np.float64).sum(axis=1)
    if bool(head.params.free[0, -1]) and head.penalty[0, -1] == 0.0:
        v = scipy.linalg.cho_solve((lower, True), root, check_finite=False).astype(np.float64)
        f = 1.0 - (r * v) @ gram
        b += f**2 / float(r @ v)
    b = s * np.maximum(b, 0.0)
    u = np.asarray(head.output_gradients)[:, 0] * w
    return np.asarray((b * u / np.maximum(1.0 - w * bend * b, 1e-8))[:, None])
