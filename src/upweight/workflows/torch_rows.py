"""Rows of a network as people are shown them: numbers by name, and small pictures where they are image-like.

Stands on torch_data; torch_opened stands on it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters.torch_data import Rows
from upweight.workflows.reading import RowsOf

__all__ = ["Together", "shown_rows"]

SIDE = 32  # pixels of a picture's longer side: what a terminal draws
NUMBERS = 1000  # of a row that are kept


class Together(tuple[Any, ...]):
    """Several inputs [q, …] that a model takes together, taken apart by row as one array is."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(q,)."""
        return (len(super().__getitem__(0)),)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, np.ndarray | list):
            return Together(part[at] for part in self)
        return super().__getitem__(at)


def shown_rows(rows: Rows) -> RowsOf:
    """Positions -> what a person sees of each row, by name."""

    def shown(at: Sequence[int]) -> list[Mapping[str, Any]]:
        return [_row(rows, int(i)) for i in at]

    return shown


def _row(rows: Rows, i: int) -> dict[str, Any]:
    parts = [part[i].detach().cpu().numpy() for part in rows.inputs]
    out: dict[str, Any] = {}
    for k, part in enumerate(parts):
        picture = _picture(part)
        if picture is not None and not any(name.startswith("pixel_") for name in out):
            out |= {f"pixel_{r}_{c}": float(picture[r, c]) for r, c in np.ndindex(*picture.shape)}
            continue
        flat = part.reshape(-1)[:NUMBERS]
        prefix = f"input {k} x" if len(parts) > 1 else "x"
        names = rows.names if rows.names is not None and len(parts) == 1 else [f"{prefix}{j}" for j in range(len(flat))]
        out |= {name: value.item() for name, value in zip(names, flat, strict=False)}
    return out


def _picture(values: NDArray[Any]) -> NDArray[np.float64] | None:
    """[height, width] of [h, w], [1, h, w] or [3, h, w]: grey, and no longer than SIDE; None for anything else."""
    if values.dtype.kind not in "fu" or values.ndim not in (2, 3) or (values.ndim == 3 and len(values) not in (1, 3)):
        return None
    grey = values.astype(np.float64) if values.ndim == 2 else values.astype(np.float64).mean(axis=0)
    if min(grey.shape) < 2:
        return None
    step = -(-max(grey.shape) // SIDE)
    grey = np.pad(grey, [(0, -grey.shape[0] % step), (0, -grey.shape[1] % step)], mode="edge")
    return np.asarray(grey.reshape(grey.shape[0] // step, step, grey.shape[1] // step, step).mean(axis=(1, 3)))
