"""A fitted model made ready for every question: one kind of model a file."""

from upweight.attribution.base import Attribution
from upweight.attribution.head import HeadAttribution
from upweight.attribution.perturbable import Perturbable

__all__ = ["Attribution", "HeadAttribution", "Perturbable"]
