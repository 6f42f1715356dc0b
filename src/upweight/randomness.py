"""Random numbers named by what they are for: one seed, purpose and ids give the same numbers whatever came before.

Order, batches and workers never matter, and nothing is seeded globally. Source: Salmon et al. (2011), Philox.
"""

from hashlib import blake2b

import numpy as np

__all__ = ["generator"]


def generator(seed: int, purpose: str, *ids: int | str) -> np.random.Generator:
    """A counter-based generator of its own for this purpose and these ids (row, repeat, query …)."""
    name = repr((int(seed), purpose, *ids)).encode()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(blake2b(name, digest_size=16).digest(), "little")))
