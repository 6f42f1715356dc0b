"""Losses of a linear head's outputs, one idea a file."""

from upweight.output_loss.base import OutputLoss
from upweight.output_loss.deviance import Gamma, Poisson, Tweedie
from upweight.output_loss.hinge import Hinge, Insensitive, Rounded, SquaredInsensitive
from upweight.output_loss.huber import HuberWithScale
from upweight.output_loss.margin import ModifiedHuber, SquaredHinge
from upweight.output_loss.one_vs_rest import OneVsRest
from upweight.output_loss.robust import Huber
from upweight.output_loss.scaled import Scaled
from upweight.output_loss.separate import Logistic, Scalar, Separate, Squared
from upweight.output_loss.softmax import Softmax
from upweight.output_loss.weighted import Weighted

__all__ = [
    "Gamma",
    "Hinge",
    "Huber",
    "HuberWithScale",
    "Insensitive",
    "Logistic",
    "ModifiedHuber",
    "OneVsRest",
    "OutputLoss",
    "Poisson",
    "Rounded",
    "Scalar",
    "Scaled",
    "Separate",
    "Softmax",
    "Squared",
    "SquaredHinge",
    "SquaredInsensitive",
    "Tweedie",
    "Weighted",
]
