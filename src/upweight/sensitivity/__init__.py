"""Sensitivities: from rows to parameters and back."""

from upweight.sensitivity.base import Response, Sensitivity
from upweight.sensitivity.implicit import Implicit

__all__ = ["Implicit", "Response", "Sensitivity"]
