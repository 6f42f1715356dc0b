"""A linear head's parameters: a matrix [c, D] of which some entries are free, and its vector [p].

D counts the constant column (the intercept, last). Entries that are not free stay as they are: an absent
intercept, coefficients that L1 set to zero, the unused slopes of a scale parameter.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from upweight.arrays import namespace
from upweight.errors import MeasurementError, listed
from upweight.shapes import Array, Bool, Float

__all__ = ["Params"]


@dataclass(frozen=True)
class Params:
    """`matrix` [c, D]; `free` [c, D]; names of the outputs [c] and columns [D] as the user knows them."""

    matrix: Float[Array, "c D"]
    free: Bool[Array, "c D"]
    output_names: tuple[str, ...]
    column_names: tuple[str, ...]

    @cached_property
    def _where(self) -> Array:
        return np.flatnonzero(np.asarray(self.free).reshape(-1))

    @cached_property
    def _all_free(self) -> bool:
        return self.size == int(self.matrix.shape[0]) * int(self.matrix.shape[1])

    @property
    def size(self) -> int:
        """p: how many entries are free."""
        return int(self._where.shape[0])

    @property
    def vector(self) -> Float[Array, " p"]:
        """The free entries, row by row of the matrix."""
        return self.collect(self.matrix[None, ...])[0, ...]

    def at(self, vector: Float[Array, " p"]) -> "Params":
        """The same parameters at another point."""
        return replace(self, matrix=self.place(vector[None, ...])[0, ...])

    def collect(self, matrices: Float[Array, "k c D"]) -> Float[Array, "k p"]:
        """Free entries of k matrices."""
        xp = namespace(matrices)
        flat = xp.reshape(matrices, (matrices.shape[0], matrices.shape[1] * matrices.shape[2]))
        return flat if self._all_free else xp.take(flat, xp.asarray(self._where), axis=1)

    def select(self, full: Float[Array, "cD cD"]) -> Float[Array, "p p"]:
        """Rows and columns of the free entries."""
        if self._all_free:
            return full
        xp = namespace(full)
        where = xp.asarray(self._where)
        return xp.take(xp.take(full, where, axis=0), where, axis=1)

    def expand(self, vectors: Float[Array, "k p"]) -> Float[Array, "k c D"]:
        """k matrices that hold these vectors, 0 where not free: directions."""
        xp = namespace(vectors)
        c, width = self.matrix.shape
        if not self._all_free:
            spread = np.zeros(c * width, dtype=np.int64)
            spread[self._where] = np.arange(self.size)
            free = xp.reshape(xp.asarray(self.free), (1, -1))
            vectors = xp.where(free, xp.take(vectors, xp.asarray(spread), axis=1), 0.0)
        return xp.reshape(vectors, (vectors.shape[0], c, width))

    def place(self, vectors: Float[Array, "k p"]) -> Float[Array, "k c D"]:
        """k matrices at these points: entries that are not free keep their value."""
        xp = namespace(vectors)
        directions = self.expand(vectors)
        if self._all_free:
            return directions
        free = xp.asarray(self.free)[None, ...]
        return xp.where(free, directions, xp.astype(self.matrix, directions.dtype)[None, ...])

    def name(self, at: int) -> str:
        """NAME of this place in the vector, OUTPUT/NAME where there are several outputs: what `index` takes."""
        a, j = divmod(int(self._where[at]), len(self.column_names))
        column = self.column_names[j]
        return f"{self.output_names[a]}/{column}" if len(self.output_names) > 1 else column

    def index(self, name: str) -> int:
        """Position in the vector of NAME, "intercept", or OUTPUT/NAME where there are several outputs.

        Raises: MeasurementError if there is no such parameter, or more than one.
        """
        several, width = len(self.output_names) > 1, len(self.column_names)
        asked = [(a, name.removeprefix(f"{o}/")) for a, o in enumerate(self.output_names)]
        hits = [
            a * width + j
            for a, column in asked
            for j, c in enumerate(self.column_names)
            if c == column and (column != name or not several)
        ]
        if not hits:
            kind = "OUTPUT/NAME, one of the outputs " + listed(self.output_names) if several else "one of its columns"
            raise MeasurementError(f"no parameter {name!r}. Name {kind}: {listed(self.column_names)}.")
        if len(hits) > 1:
            raise MeasurementError(f"{len(hits)} parameters are called {name!r}. Give the columns names of their own.")
        place = np.searchsorted(self._where, hits[0])
        if place >= self.size or self._where[place] != hits[0]:
            raise MeasurementError(
                f"parameter {name!r} was set to zero, or does not exist, in this model: it does not move with a row's "
                "weight. Name one that does."
            )
        return int(place)
