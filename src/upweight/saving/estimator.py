"""An estimator's Influence in a file: by skops, with its rows, labels, weights and settings; no pickle.

Stands on store, adapters and tables.model_file. A file is read back and compared before it is written, so that what was
saved loads.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted, adapt
from upweight.arrays import to_numpy
from upweight.errors import FileError, UpweightError
from upweight.files import write_atomically
from upweight.linear_head import LinearHead
from upweight.saving.sources import Source, solver_about, solver_in
from upweight.store.archive import Archive, packed, unpacked, versions
from upweight.store.tables import pack, unpack

__all__ = ["read_estimator", "write_estimator"]

_MODEL = "model.skops"
CLOSE = 1e-9  # relative: parameters that another version of a package reads off the same estimator


def write_estimator(path: str | os.PathLike[str], source: Source, adapted: Adapted) -> None:
    """Writes the estimator, the rows and the settings into one file, whole or not at all.

    Raises: FileError for what cannot be stored, by name, and where the estimator or the rows are no longer those that
    `adapted` was made from; nothing is written then, and a file that was there stays.
    """
    from upweight.tables.model_file import model_bytes  # skops, which takes a second to import

    shown = os.fspath(path)
    parts: dict[str, bytes] = {}
    about = {
        "door": "sklearn",
        "solver": solver_about(source.solver, shown),
        "damping": float(source.damping),
        "smoothing": None if source.smoothing is None else float(source.smoothing),
        "model": adapted.model_name,
        "n": len(adapted.row_ids),
        **{name: pack(getattr(source, name), parts, name) for name in ("X", "y", "sample_weight")},
        **{name: pack(value, parts, f"check.{name}") for name, value in _fingerprint(adapted).items()},
    }
    parts[_MODEL] = model_bytes(source.estimator, shown)
    content = packed("Influence", about, parts)
    again = _source(unpacked(content, "Influence", shown), trusted=True)
    try:
        same = _differences(_fingerprint(adapted), _fingerprint(_adapted(again)), exactly=True)
    except UpweightError as error:
        same = str(error)
    if same:
        raise FileError(
            f"{shown}: the estimator or its rows have changed since this Influence was made ({same}). "
            "Make the Influence again, then save it. Nothing was written."
        )
    write_atomically(Path(path), content)


def read_estimator(archive: Archive, trusted: bool) -> tuple[Source, Adapted]:
    """What was saved, and the estimator as it is understood now.

    Raises: FileError for types that nobody vouches for, and where the parameters, labels or weights that were read are
    not those that were saved.
    """
    source = _source(archive, trusted)
    adapted = _adapted(source)
    _require_same(archive, adapted)
    return source, adapted


def _require_same(archive: Archive, adapted: Adapted) -> None:
    """Raises: FileError where the model that was read is not the model that was saved: parameters, rows, labels."""
    stored = {name: unpack(archive.about[name], archive.parts) for name in _fingerprint(adapted)}
    found = _differences(stored, _fingerprint(adapted), exactly=False)
    if found:
        now = versions()
        then = {name: v for name, v in archive.about.get("versions", {}).items() if now.get(name) != v}
        why = ", ".join(f"{name} {v} then, {now.get(name, 'not installed')} now" for name, v in then.items())
        raise FileError(
            f"{archive.shown}: what was read is not the model that was saved ({found}). "
            f"{f'Versions differ: {why}.' if why else 'Save it again.'}"
        )


def _source(archive: Archive, trusted: bool) -> Source:
    from upweight.tables.model_file import model_in

    about, parts = archive.about, archive.parts
    try:
        estimator = model_in(parts[_MODEL], archive.shown, trusted, "load it with trust_pickle=True")
        x, y, weight = (unpack(about[name], parts) for name in ("X", "y", "sample_weight"))
        smoothing = about.get("smoothing")  # files from before there was one have none
        return Source(estimator, x, y, weight, solver_in(about["solver"]), float(about["damping"]), smoothing)
    except FileError:
        raise
    except Exception as error:  # the sums are right: another skops, or a writer that was not ours
        raise FileError(
            f"{archive.shown}: is not laid out as an Influence ({type(error).__name__}: {error})."
        ) from error


def _adapted(source: Source) -> Adapted:
    return adapt(source.estimator, source.X, source.y, source.sample_weight, source.smoothing)


def _fingerprint(adapted: Adapted) -> Mapping[str, NDArray[Any]]:
    """θ as the estimator's own solver left it, encoded targets and weights of the rows."""
    head = adapted.objective
    own = head.params.vector if isinstance(head, LinearHead) else head.vector  # an MLP is a network
    theta = adapted.fitted if adapted.fitted is not None else own
    return {
        "theta": np.asarray(to_numpy(theta)),
        "targets": np.asarray(to_numpy(head.targets)),
        "weights": np.asarray(to_numpy(head.weights)),
    }


def _differences(first: Mapping[str, NDArray[Any]], second: Mapping[str, NDArray[Any]], exactly: bool) -> str:
    """Which of them differ, in words; "" where none does."""
    said = {"theta": "its parameters differ", "targets": "its labels differ", "weights": "its weights differ"}
    out = []
    for name, one in first.items():
        other = second[name]
        close = one.shape == other.shape and (
            np.array_equal(one, other) if exactly else np.allclose(one, other, rtol=CLOSE, atol=CLOSE)
        )
        out += [] if close else [said[name]]
    return ", ".join(out)
