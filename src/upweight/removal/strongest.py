"""The set of so many rows found whose removal moves outputs most: greedy, each choice beside what has left already.

The move of a set S in a metric is ½ ‖V (Δ_S)‖²; a further row i adds about ½ ‖V δ_i‖² + ⟨VᵀV Δ_S, δ_i⟩, so that rows
that push the same way are found together and rows that cancel are not. Nobody holds V δ of all rows: its squares and
one product a choice are enough. Source: METHODS.md 2.4; Hu et al. (2024) on choosing anew after each removal.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["strongest_set"]

Gains = Callable[[Sequence[int]], NDArray[np.float64]]  # rows already out -> what each further row would add [n]
Stays = Callable[[Sequence[int]], NDArray[np.bool_]]  # rows already out -> which rows have to stay [n]


def strongest_set(count: int, gains: Gains, stays: Stays, settled: Callable[[Sequence[int]], bool]) -> list[int]:
    """At most `count` rows (positions) in the order of their choice; fewer where the others have to stay.

    `settled(out)`: whether there is an optimum without these; a row without which there is none is passed over.
    """
    out: list[int] = []
    passed: list[int] = []
    while len(out) < count:
        gain = np.array(gains(out), dtype=np.float64)
        gain[stays(out)] = -np.inf
        gain[[*out, *passed]] = -np.inf
        row = int(np.argmax(gain))
        if gain[row] == -np.inf:
            break
        if settled([*out, row]):
            out.append(row)
        else:
            passed.append(row)
    return out
