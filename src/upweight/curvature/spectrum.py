"""The two numbers of a curvature's spectrum that damping and its report stand on: how low it bends, and its mean.

`lowest` is a Lanczos search with full reorthogonalisation: what it returns is the Rayleigh quotient of a vector that it
also returns, so that a negative one proves negative curvature, while a positive one proves nothing. `mean_eigenvalue`
is exact where the curvature knows its trace, and otherwise says from how many random vectors it comes.
Stands on curvature.base. Sources: Lanczos (1950); Hutchinson (1990); METHODS.md 3, 4.
"""

from dataclasses import dataclass

import numpy as np

from upweight.arrays import beside, length, namespace, to_numpy
from upweight.curvature.base import Curvature, Dense, Placed
from upweight.randomness import generator
from upweight.shapes import Array, Float, Vectors

__all__ = ["Lowest", "Mean", "lowest", "mean_eigenvalue"]

WRITTEN_OUT = 512  # parameters up to which the matrix itself is cheaper than random vectors
SAMPLES = 32  # random vectors otherwise


@dataclass(frozen=True)
class Lowest:
    """λ_min is at most `rayleigh`, which is vᵀHv for the unit `vector` [p]."""

    rayleigh: float
    vector: Array


@dataclass(frozen=True)
class Mean:
    """tr H / p; `error` is one standard error of it, 0 where exact (`samples` 0)."""

    value: float
    samples: int = 0
    error: float = 0.0

    @property
    def how(self) -> str:
        """Where it comes from."""
        return "exact" if not self.samples else f"from {self.samples} random vectors, ± {self.error:.1e}"


def lowest(curvature: Curvature, steps: int = 20, seed: int = 0) -> Lowest:
    """The lowest Rayleigh quotient that `steps` products and one more find: an upper bound of the lowest eigenvalue.

    NaN where the curvature is not finite.
    """
    drawn = generator(seed, "lanczos start").standard_normal((1, curvature.size))
    v = _made(curvature, drawn)
    xp = namespace(v)
    basis = v / length(v)[:, None]
    images = []
    eps = float(xp.finfo(v.dtype).eps)
    for step in range(min(steps, curvature.size)):
        image = curvature.matmul(basis[step : step + 1, :])
        images.append(image)
        rest = image
        for _ in range(2):  # twice is enough (Parlett)
            rest = rest - (rest @ xp.matrix_transpose(basis)) @ basis
        size, scale = float(length(rest)[0]), float(length(image)[0])
        if not size > 10.0 * eps * scale or step + 1 == min(steps, curvature.size):
            break
        basis = xp.concat([basis, rest / size], axis=0)
    small = to_numpy(basis[: len(images), :] @ xp.matrix_transpose(xp.concat(images, axis=0))).astype(np.float64)
    if not np.all(np.isfinite(small)):
        return Lowest(float("nan"), basis[0, :])
    _, turns = np.linalg.eigh(0.5 * (small + small.T))
    found = beside(turns[:, :1].T, v, v.dtype) @ basis[: len(images), :]
    found = found / length(found)[:, None]
    return Lowest(float(xp.sum(found * curvature.matmul(found))), found[0, :])


def mean_eigenvalue(curvature: Curvature, samples: int = SAMPLES, seed: int = 0) -> Mean:
    """tr H / p: of the matrix itself where it is small and can be written out, else from random signs."""
    p = curvature.size
    if isinstance(curvature, Dense) and p <= WRITTEN_OUT:
        diagonal = namespace(h := curvature.dense()).linalg.diagonal(h)
        return Mean(float(to_numpy(diagonal).astype(np.float64).mean()) if p else 0.0)
    v = _made(curvature, generator(seed, "trace").choice([-1.0, 1.0], (samples, p)))
    found = to_numpy(_quotients(v, curvature.matmul(v))).astype(np.float64)
    return Mean(float(found.mean()), samples, float(found.std(ddof=1) / np.sqrt(samples)))


def _quotients(v: Vectors, hv: Vectors) -> Float[Array, " k"]:
    xp = namespace(v)
    return xp.sum(v * hv, axis=1) / xp.sum(v * v, axis=1)


def _made(curvature: Curvature, drawn: Vectors) -> Vectors:
    """These vectors as the curvature takes them."""
    if not isinstance(curvature, Placed):
        return drawn
    like = curvature.blank(1)
    return beside(drawn, like, like.dtype)
