"""A fitted model made ready for every question: one kind of model a file."""

from upweight.attribution.base import COUNTERFACTUALS, Attribution
from upweight.attribution.head import HeadAttribution
from upweight.attribution.hinge import HingeAttribution
from upweight.attribution.perturbable import Perturbable

__all__ = ["COUNTERFACTUALS", "Attribution", "HeadAttribution", "HingeAttribution", "Perturbable"]
