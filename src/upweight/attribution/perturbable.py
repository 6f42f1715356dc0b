"""What else an attribution may answer: other labels and other inputs. Asked by isinstance; not every model can.

Stands on perturbation and removal; questions.relabel and questions.features ask.
"""

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from upweight.perturbation import Perturbation
from upweight.removal.changed_refit import Changed
from upweight.sensitivity import Response
from upweight.shapes import Array, Bool, Float, Vectors

__all__ = ["Perturbable"]


@runtime_checkable
class Perturbable(Protocol):
    """One model at one θ."""

    def perturbed(self, v: Vectors, perturbation: Perturbation, rows: NDArray[Any] | None) -> Response:
        """∂m/∂ε [k, b, m] in blocks of these rows (positions; None: all), for measurements with gradients v [k, p]."""
        ...

    def replaced(self, images: Vectors, rows: NDArray[Any], inputs: Any) -> Float[Array, "k m"]:
        """Estimated change of k measurements if row `rows`[m] read inputs [m] instead; `images` are H⁻¹∇m."""
        ...

    def unlike(self, rows: NDArray[Any], inputs: Any) -> Bool[Array, " m"]:
        """Whether inputs [m] are other than what the rows read now."""
        ...

    def changed(self, changed: Changed) -> tuple[Any, Bool[Array, " m"]]:
        """States after refits with one row changed each, and whether each refit can be believed."""
        ...
