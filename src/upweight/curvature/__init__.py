"""Curvatures: symmetric maps [p, p] that solvers invert."""

from upweight.curvature.base import Curvature, Dense, RootPlusDiagonal
from upweight.curvature.glm import HeadCurvature

__all__ = ["Curvature", "Dense", "HeadCurvature", "RootPlusDiagonal"]
