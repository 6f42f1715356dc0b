"""What each library's number is, and the factor that makes it upweight's: the change when a row is removed.

Stands on nothing; every peer's file and equality.py stand on it. g is the gradient of a training row's loss, m what is
measured on a query, H the curvature of the MEAN loss with its penalty, n the rows. upweight's first-order score is
(1/n) ∇mᵀ H⁻¹ g. Read in the sources of the pinned versions; tests/benchmarks/test_equality.py checks each factor on a
problem that is solved by hand, benchmarks/equality.py on the libraries themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["TRANSLATIONS", "Translation"]


@dataclass(frozen=True)
class Translation:
    """From a library's score to the change on removal."""

    quantity: str
    words: str
    factor: Callable[[int], float]  # of the rows


TRANSLATIONS: dict[str, Translation] = {
    "captum": Translation("∇mᵀ (nH)⁻¹ g, H summed over the rows", "as it is", lambda n: 1.0),
    "dattri": Translation("∇mᵀ H⁻¹ g", "÷ n", lambda n: 1.0 / n),
    "kronfluence": Translation("∇mᵀ (H + δ)⁻¹ g; identity: ∇mᵀ g", "÷ n", lambda n: 1.0 / n),
    "pydvl": Translation("∇mᵀ H⁻¹ g, mode up", "÷ n", lambda n: 1.0 / n),
    "pyinfluence": Translation("(1/n) ∇mᵀ H⁻¹ g", "as it is", lambda n: 1.0),
    "koh-liang": Translation("−∇mᵀ H⁻¹ g, the effect of upweighting", "÷ −n", lambda n: -1.0 / n),
    "dfbeta": Translation("θ with the row minus θ without it", "× −1", lambda n: -1.0),
}
