"""Curvatures: symmetric maps [p, p] that solvers invert."""

from upweight.curvature.base import (
    Batched,
    Curvature,
    Dense,
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
    "RootPlusDiagonal",
    "Rounded",
    "RowJacobians",
    "RowKernel",
    "WithDiagonal",
]
