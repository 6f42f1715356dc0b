"""What the array API standard lacks: one namespace, a Cholesky solve, row blocks, a way home to numpy.

Stands on array-api-compat; everything numerical stands on it. Torch is never imported here: its arrays bring it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat as compat
import array_api_compat.numpy as numpy_namespace
import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from upweight.shapes import Array, Float, Namespace

__all__ = ["NotPositiveDefinite", "beside", "blocks", "cached_blocks", "factor", "length", "namespace", "to_numpy"]

BLOCK_BYTES = 32 * 2**20  # live memory of one block: a few of them fit beside the last-level cache


class NotPositiveDefinite(ArithmeticError):
    """A matrix that has no Cholesky factor; solvers turn it into a status."""


def namespace(*arrays: Array) -> Namespace:
    """The module of these arrays (numpy, torch …), as the standard spells it."""
    if all(type(a) is np.ndarray for a in arrays):  # what is nearly always asked, thousands of times an answer
        return numpy_namespace
    return compat.array_namespace(*arrays)


def beside(values: Any, x: Array, dtype: Any = None) -> Array:
    """These numbers (numpy, lists) in the array library and on the device of `x`; dtype: their own if None."""
    return namespace(x).asarray(values, dtype=dtype, device=compat.device(x))


def factor(a: Float[Array, "p p"]) -> Callable[[Array], Array]:
    """A solve with the symmetric positive definite `a`, factored once: [p, k] -> [p, k].

    Raises: NotPositiveDefinite.
    """
    if compat.is_numpy_array(a):
        try:
            decomposed = scipy.linalg.cho_factor(a, lower=True, check_finite=False)
        except np.linalg.LinAlgError as error:
            raise NotPositiveDefinite(str(error)) from error
        return lambda b: scipy.linalg.cho_solve(decomposed, b, check_finite=False)
    xp = namespace(a)
    try:
        lower = xp.linalg.cholesky(a)
    except Exception as error:  # every library has its own class for this
        raise NotPositiveDefinite(str(error)) from error
    if compat.is_torch_array(a):
        return lambda b: xp.cholesky_solve(b, lower)
    upper = xp.matrix_transpose(lower)
    return lambda b: xp.linalg.solve(upper, xp.linalg.solve(lower, b))


def length(v: Float[Array, "k p"]) -> Float[Array, " k"]:
    """Euclidean norm of each row."""
    return namespace(v).linalg.vector_norm(v, axis=-1)


def blocks(n: int, bytes_per_row: float) -> Iterator[slice]:
    """Row slices in order, each about BLOCK_BYTES of live memory: the plan depends on sizes alone."""
    step = max(1, min(n, int(BLOCK_BYTES // max(1.0, bytes_per_row))))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def cached_blocks(n: int, columns: int) -> Iterator[slice]:
    """Row slices whose products of so many float32 columns (2 MB) stay in the cache between two uses."""
    step = min(max(2**19 // max(columns, 1), 256), 8192)
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def to_numpy(x: Array) -> NDArray[Any]:
    """The same numbers as numpy, on the host."""
    if compat.is_torch_array(x):
        x = x.detach().cpu()
        x = (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()  # numpy has no bfloat16
    return np.asarray(x)
