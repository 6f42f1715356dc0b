"""Each training row's own loss without it: self-influence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.arrays import to_numpy
from upweight.attribution import Attribution
from upweight.questions.base import Answer, finite

__all__ = ["OwnLoss"]


@dataclass(frozen=True, eq=False)
class OwnLoss:
    """Row i is measured on itself: [1, n], no single base."""

    adapted: Adapted
    attribution: Attribution
    name: str = "loss"
    better: str | None = None

    @property
    def unit(self) -> str:
        """The loss's."""
        return self.attribution.head.loss.unit

    @property
    def meaning(self) -> str:
        """Change of what, without what, under which refit."""
        return (
            f"Estimated change of each row's own loss, in {self.unit}, if that row were removed and the "
            f"{self.adapted.model_name} refitted: high where the model learnt the row from itself alone; "
            f"{self.adapted.convention}."
        )

    def now(self) -> NDArray[np.float64]:
        """[n]: each row's loss."""
        head = self.attribution.head
        return to_numpy(head.loss.value(head.outputs, head.targets))

    def scores(self, removal: str) -> Answer:
        """The loss at z_i + Δz_i, evaluated."""
        head = self.attribution.head
        moved = head.outputs + self.attribution.leverage.moves
        values, missing = finite((to_numpy(head.loss.value(moved, head.targets)) - self.now())[None])
        return Answer(values, None, "each row's loss evaluated at its own predicted outputs", (), missing)

    def after(self, sets: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """[k, 1]: the removed rows' own mean loss."""
        vectors, converged = self.attribution.refitted(sets)
        head = self.attribution.head
        out = []
        for j, rows in enumerate(sets):
            at = np.asarray(rows, dtype=int)
            z = head.features.take(at) @ head.params.place(vectors[[j]])[0].T
            out.append([float(np.mean(to_numpy(head.loss.value(z, head.targets[at]))))])
        return np.where(converged[:, None], np.asarray(out).reshape(len(sets), 1), np.nan)

    def refits(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """[r, 1]."""
        return self.after([[row] for row in rows]) - self.now()[list(rows)][:, None]

    def similarity(self) -> None:
        """A row is nearest to itself."""
        return None
