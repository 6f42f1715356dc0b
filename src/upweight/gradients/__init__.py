"""Sources of per-row gradients."""

from upweight.gradients.base import GradientSource
from upweight.gradients.head import HeadSource

__all__ = ["GradientSource", "HeadSource"]
