"""How much a command takes on at once: predictions that are explained, rows that a check measures on.

Stands on errors; tables and networks are asked by the same.
"""

from upweight.display.words import count
from upweight.errors import InputError

__all__ = ["AT_ONCE", "QUERIES", "refuse_many"]

AT_ONCE = 100  # predictions explained in one go: each is refitted some thirty times
QUERIES = 50  # rows on which the removals of a check are measured


def refuse_many(predictions: int) -> None:
    """Raises: InputError past AT_ONCE."""
    if predictions > AT_ONCE:
        raise InputError(
            f"{count(predictions, 'prediction')} to explain; {AT_ONCE} at a time are the most. "
            "Give fewer rows, or --worst K for those that matter."
        )
