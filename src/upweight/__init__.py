"""Which training data made the model do this, and what would happen without it?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upweight.influence import Influence
    from upweight.scores import Scores
    from upweight.workflows.audit import audit
    from upweight.workflows.compare import compare
    from upweight.workflows.review.reviewing import review

__all__ = ["Influence", "Scores", "audit", "compare", "review"]

_HOMES = {
    "Influence": "upweight.influence",
    "Scores": "upweight.scores",
    "audit": "upweight.workflows.audit",
    "compare": "upweight.workflows.compare",
    "review": "upweight.workflows.review.reviewing",
}


def __getattr__(name: str) -> Any:
    """Imported when first used: `import upweight` costs nothing, and the command line starts fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'upweight' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
