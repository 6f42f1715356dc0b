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
        return self.attribution.loss.unit

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
        own = self.attribution
        return to_numpy(own.loss.value(own.outputs, own.targets))

    def scores(self, removal: str) -> Answer:
        """The loss at z_i + Δz_i, evaluated."""
        own = self.attribution
        moved = own.outputs + own.own_moves()
        values, missing = finite((to_numpy(own.loss.value(moved, own.targets)) - self.now())[None])
        return Answer(values, None, "each row's loss evaluated at its own predicted outputs", (), missing)

    def after(self, sets: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """[k, 1]: the removed rows' own mean loss."""
        own = self.attribution
        states, converged = own.refitted(sets)
        out = []
        for j, rows in enumerate(sets):
            z = own.row_outputs_at(states[j : j + 1], rows)[0]
            out.append([float(np.mean(to_numpy(own.loss.value(z, own.targets[np.asarray(rows, dtype=int)]))))])
        return np.where(converged[:, None], np.asarray(out).reshape(len(sets), 1), np.nan)

    def refits(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """[r, 1]."""
        return self.after([[row] for row in rows]) - self.now()[list(rows)][:, None]

    def similarity(self) -> None:
        """A row is nearest to itself."""
        return None
