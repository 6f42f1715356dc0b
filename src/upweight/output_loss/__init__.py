"""Losses of a linear head's outputs, one idea a file."""

from upweight.output_loss.base import OutputLoss
from upweight.output_loss.separate import Logistic, Separate, Squared
from upweight.output_loss.softmax import Softmax

__all__ = ["Logistic", "OutputLoss", "Separate", "Softmax", "Squared"]
