"""Images as models read them: pixels, in no more coordinates than there are images, and edges by their directions."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["distances", "edges", "pixels"]

AT_ONCE = 4096  # pixels of one product
CELLS, DIRECTIONS = 8, 9  # of a histogram of edges: CELLS × CELLS of them
GREY = 1e-2  # edges fainter than this, of all grey levels together, count less: a plain cell has no direction

Images = NDArray[np.uint8]
Floats = NDArray[np.float64]


def pixels(images: Images, top: int) -> Floats:
    """Every pixel from −1 to 1 [n, d]; of more pixels than images the same distances in n coordinates, about the mean.

    What reads images by their distances alone (a nearest neighbour, an RBF kernel) cannot tell the two apart.
    """
    flat = images.reshape(len(images), -1)
    if flat.shape[1] <= len(flat):
        return flat * (2.0 / top) - 1.0
    gram = np.zeros((len(flat), len(flat)))
    for at in range(0, flat.shape[1], AT_ONCE):
        some = flat[:, at : at + AT_ONCE] * (2.0 / top)
        some -= some.mean(axis=0)
        gram += some @ some.T
    square, turned = np.linalg.eigh(gram)
    return turned * np.sqrt(np.clip(square, 0.0, None))


def distances(x: Floats, to: Floats) -> Floats:
    """[q, n] Euclidean, of each row of `to` to each of x."""
    square = (to**2).sum(axis=1)[:, None] + (x**2).sum(axis=1)[None, :] - 2.0 * to @ x.T
    return np.sqrt(np.clip(square, 0.0, None))


def edges(images: Images, top: int) -> Floats:
    """Of CELLS × CELLS cells how strong the edges in each of DIRECTIONS are, over the cell's length [n, d]."""
    grey = images.mean(axis=1) / top
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    strength = np.hypot(across, down)
    of = np.minimum(np.arctan2(down, across) % np.pi / np.pi * DIRECTIONS, DIRECTIONS - 1).astype(int)
    side = min(CELLS, grey.shape[1] // 2)
    shape = (len(grey), side, grey.shape[1] // side, side, grey.shape[2] // side)
    found = [np.where(of == k, strength, 0.0).reshape(shape).sum(axis=(2, 4)) for k in range(DIRECTIONS)]
    cells = np.stack(found, axis=-1)
    return (cells / np.sqrt((cells**2).sum(axis=-1, keepdims=True) + GREY**2)).reshape(len(grey), -1)
