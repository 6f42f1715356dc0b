"""Every error that upweight raises on purpose: what was seen, where, what to do.

UpweightError
├── InputError              data, labels, weights, ids or arguments that no answer can be given for   (exit 2)
│   ├── FileError           a file that cannot be read or written                                     (exit 2)
│   └── MeasurementError    a measurement that this model, or this query, does not have               (exit 2)
├── UnsupportedModel        a model that is refused by name, with what to use instead                 (exit 2)
├── UnsupportedQuestion     a question that this kind of model, solver or perturbation cannot answer  (exit 2)
├── ResourceError           more memory, disk or time than there is, with the number, in advance      (exit 2)
└── MissingExtra            an optional package, with the line that installs it                       (exit 2)

A class exists only where a caller would act differently. `cli` maps them to exit codes in one place.
"""

from collections.abc import Sequence

__all__ = [
    "FileError",
    "InputError",
    "MeasurementError",
    "MissingExtra",
    "ResourceError",
    "UnsupportedModel",
    "UnsupportedQuestion",
    "UpweightError",
    "listed",
]


class UpweightError(Exception):
    """Base of all of them: catch this to catch whatever upweight refuses."""


class InputError(UpweightError, ValueError):
    """The data, labels, weights, ids or arguments allow no answer."""


class FileError(InputError):
    """A file that cannot be read or written; nothing half-written is left."""


class MeasurementError(InputError):
    """A measurement that this model or query does not have."""


class UnsupportedModel(UpweightError, TypeError):
    """A model that is refused by name, with what to use instead."""


class UnsupportedQuestion(UpweightError, TypeError):
    """A question that this model, solver or perturbation cannot answer."""


class ResourceError(UpweightError):
    """More memory, disk or time than there is; said before anything is started."""


class MissingExtra(UpweightError, ImportError):
    """An optional package is missing; the text holds the line that installs it."""


def listed(values: Sequence[object], at_most: int = 3) -> str:
    """The first few values by repr and how many more there are: `17, 204, 9031 and 5 more`."""
    shown = ", ".join(repr(v.item() if hasattr(v, "item") else v) for v in values[:at_most])
    more = len(values) - at_most
    return f"{shown} and {more:,} more" if more > 0 else shown
