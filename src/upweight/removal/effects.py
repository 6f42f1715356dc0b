"""What the removal of each row does to what is measured: linear in θ, or evaluated at the predicted outputs.

Linear: one solve a measurement. Evaluated: one solve for every output of every query, then the measurement itself at
z + Δz: closer for curved measurements, and the only way for those without a derivative. Source: METHODS.md 2.1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from upweight.arrays import namespace, to_numpy
from upweight.features import Features, Taken
from upweight.gradients import GradientSource
from upweight.linear_head import LinearHead
from upweight.params import Params
from upweight.sensitivity import Sensitivity
from upweight.shapes import Array, Float, Vectors
from upweight.solvers import Solution

__all__ = ["Removals", "evaluated", "gradient_directions", "output_directions", "query_outputs"]

REMOVED = -1.0  # the step of a row's weight factor: 1 as fitted, 0 removed


@dataclass(frozen=True)
class Removals:
    """Change of k linear measurements without each row, streamed in row blocks [k, b]."""

    solution: Solution
    blocks: Iterator[tuple[slice, Float[Array, "k b"]]]
    rows: int
    said: str = ""  # of the solves and of the products, what is known only afterwards

    @classmethod
    def of(cls, sensitivity: Sensitivity, source: GradientSource, v: Vectors) -> "Removals":
        """v [k, p]: the measurements' gradients in θ."""
        response = sensitivity.adjoint(v, source)
        said = "; ".join(text for text in (response.solution.said, source.said(response.solution.x)) if text)
        return cls(response.solution, ((rows, REMOVED * block) for rows, block in response.blocks), source.n, said)

    def values(self) -> Float[Array, "k n"]:
        """All rows at once."""
        x = self.solution.x
        out = namespace(x).empty((x.shape[0], self.rows), dtype=x.dtype)
        for rows, block in self.blocks:
            out[:, rows] = block
        return out


def query_outputs(head: LinearHead, features: Features) -> Float[Array, "q c"]:
    """z of the queries at θ."""
    return features.matmul(head.params.matrix, slice(0, features.rows))


def gradient_directions(params: Params, features: Taken, dz: Float[Array, "q c"]) -> Vectors:
    """∇m = Xᵀ dz of every query [q, p]."""
    x = features.take(namespace(dz).arange(features.rows))
    return params.collect(dz[:, :, None] * x[:, None, :])


def output_directions(params: Params, features: Taken) -> Vectors:
    """∇z_a of every query and output [q · c, p]."""
    xp = namespace(params.matrix)
    x = features.take(xp.arange(features.rows))
    c, width = params.matrix.shape
    eye = xp.eye(c, dtype=x.dtype)
    spread = eye[None, :, :, None] * x[:, None, None, :]
    return params.collect(xp.reshape(spread, (-1, c, width)))


def evaluated(
    removals: Removals, z: Float[Array, "q c"], measure: Callable[[Array], Float[Array, "b m"]]
) -> Float[Array, "m n"]:
    """measure(z + Δz) for every row that is left out; `measure` takes [b, q, c] and gives [b, m]."""
    xp = namespace(z)
    q, c = z.shape
    parts = []
    for _, found in removals.blocks:
        block = found if namespace(found) is xp else to_numpy(found)  # a network's, beside its outputs
        moved = xp.permute_dims(xp.reshape(block, (q, c, -1)), (2, 0, 1)) + z[None]
        parts.append(xp.matrix_transpose(measure(moved)))
    return xp.concat(parts, axis=1)
