"""Curvatures: symmetric maps [p, p] that solvers invert."""

from upweight.curvature.base import (
    Batched,
    Curvature,
    Dense,
    Named,
    Placed,
    RootPlusDiagonal,
    Rounded,
    RowJacobians,
    RowKernel,
    WithDiagonal,
)
from upweight.curvature.glm import HeadCurvature

__all__ = [
    "Batched",
    "Curvature",
    "Dense",
    "HeadCurvature",
    "Named",
    "Placed",
    "RootPlusDiagonal",
    "Rounded",
    "RowJacobians",
    "RowKernel",
    "WithDiagonal",
]
