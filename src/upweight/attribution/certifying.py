"""An attribution that certifies many refits side by side. Asked by isinstance; the others do one after another.

Stands on removal; questions.without asks.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from upweight.removal.certificate import Certificate

__all__ = ["CertifiesEach"]


@runtime_checkable
class CertifiesEach(Protocol):
    """One model at one θ."""

    def certificates(self, sets: Sequence[Sequence[int]], states: Any) -> tuple[Certificate, ...]:
        """What is proved of the refit without each of these sets of rows (positions)."""
        ...
