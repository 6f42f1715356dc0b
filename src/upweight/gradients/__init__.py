"""Sources of per-row gradients."""

from upweight.gradients.base import GradientSource
from upweight.gradients.head import HeadSource
from upweight.gradients.perturbed import PerturbedSource

__all__ = ["GradientSource", "HeadSource", "PerturbedSource"]
