"""Handwritten digits as rows of grey levels."""

from dataclasses import dataclass, replace

import numpy as np
from harness import Run
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from data.files import path_to

__all__ = ["Images", "coarser", "digit_images", "fewer", "ones_and_sevens"]

VALIDATION = 5000  # the paper trains on MNIST's rows behind these


@dataclass(frozen=True)
class Images:
    """Training and test images as rows of grey levels from 0 to 1, side × side."""

    name: str
    X: NDArray[np.float32]
    y: NDArray[np.int64]
    X_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    side: int


def digit_images(run: Run) -> Images:
    """MNIST as the paper has it: rows 5000 to 60,000 to train on; else scikit-learn's digits, the last 300 to test."""
    file = path_to(run, "mnist.npz")
    if file is None:
        held = load_digits()
        x, y = (held.data / 16.0).astype(np.float32), held.target.astype(np.int64)
        return Images("not the paper's data: scikit-learn's digits", x[:-300], y[:-300], x[-300:], y[-300:], 8)
    with np.load(file) as held:
        x, xt = (held[key].reshape(len(held[key]), -1) / np.float32(255) for key in ("X_train", "X_test"))
        y, yt = held["y_train"].astype(np.int64), held["y_test"].astype(np.int64)
    return Images("MNIST, rows 5000 to 60,000", x[VALIDATION:], y[VALIDATION:], xt, yt, 28)


def ones_and_sevens(run: Run) -> Images:
    """The same without all but ones and sevens; the label is 1 for a seven."""
    held = digit_images(run)
    train, test = np.isin(held.y, (1, 7)), np.isin(held.y_test, (1, 7))
    y, yt = (held.y[train] == 7) + 0, (held.y_test[test] == 7) + 0
    name = f"{held.name}, ones and sevens"
    return Images(name, held.X[train], y, held.X_test[test], yt, held.side)


def fewer(held: Images, rows: int, seed: int) -> Images:
    """The same with so many of its training rows, drawn at random; all where there are not more."""
    if rows >= len(held.y):
        return held
    at = np.sort(np.random.default_rng(seed).choice(len(held.y), rows, replace=False))
    return replace(held, name=f"{held.name}, {rows:,} of them", X=held.X[at], y=held.y[at])


def coarser(held: Images, side: int) -> Images:
    """The same at side × side: means over squares of pixels, and a margin that no square fits into left out."""
    if side >= held.side:
        return held
    block = held.side // side
    margin = (held.side - side * block) // 2
    inner = slice(margin, margin + side * block)

    def means(x: NDArray[np.float32]) -> NDArray[np.float32]:
        images = x.reshape(-1, held.side, held.side)[:, inner, inner]
        return images.reshape(-1, side, block, side, block).mean(axis=(2, 4)).reshape(-1, side * side)

    return replace(held, X=means(held.X), X_test=means(held.X_test), side=side)
