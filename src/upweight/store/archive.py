"""One file that holds named parts: what it is and who wrote it first, a sha256 for each part, no pickle anywhere.

Stands on files; saved scores and saved influences stand on it. The file is an ordinary zip; `about.json` is its head.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from upweight.errors import FileError, listed
from upweight.files import write_atomically

__all__ = ["FORMAT", "Archive", "read_archive", "versions", "write_archive"]

FORMAT = 1  # a reader refuses a greater one by name
_HEAD = "about.json"
_MARK = "upweight"  # what the head calls the file's maker
_PACKAGES = ("upweight", "numpy", "scipy", "scikit-learn", "pandas", "torch")
_START = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes


@dataclass(frozen=True)
class Archive:
    """What was read: `about` as it was written, and the parts by name."""

    about: Mapping[str, Any]
    parts: Mapping[str, bytes]
    shown: str  # the path, as errors name it


@cache
def versions() -> Mapping[str, str]:
    """The versions of the packages that an answer stands on, of those that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_archive(
    path: str | os.PathLike[str], kind: str, about: Mapping[str, Any], parts: Mapping[str, bytes]
) -> None:
    """Writes the parts and their head, whole or not at all; kind: what the file holds ("Scores").

    Raises: FileError where it cannot be written; a file that was there stays as it was.
    """
    write_atomically(path, packed(kind, about, parts))


def packed(kind: str, about: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """The file's bytes."""
    sums = {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}
    head = {"file": _MARK, "format": FORMAT, "kind": kind, "versions": dict(versions()), "sha256": sums, **about}
    text = json.dumps(head, indent=1, allow_nan=False)
    head_sum = hashlib.sha256(text.encode()).hexdigest()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = head_sum.encode()  # the head guards the parts, this the head
        for name, part in {_HEAD: text.encode(), **parts}.items():
            entry = zipfile.ZipInfo(name, _START)
            plain = name.endswith((".npy", ".npz", ".skops", ".safetensors"))
            entry.compress_type = zipfile.ZIP_STORED if plain else zipfile.ZIP_DEFLATED
            archive.writestr(entry, part)
    return buffer.getvalue()


def read_archive(path: str | os.PathLike[str], kind: str) -> Archive:
    """The parts of a file that holds `kind`.

    Raises: FileError for a file that is missing, damaged, cut short, somebody else's, of another kind, or newer.
    """
    shown = os.fspath(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"{shown}: cannot be read ({error.strerror}).") from error
    return unpacked(content, kind, shown)


def unpacked(content: bytes, kind: str, shown: str) -> Archive:
    """The parts in these bytes; `shown`: how errors call them.

    Raises: as `read_archive`.
    """
    damaged = f"{shown}: the file is damaged or cut short. Copy it again, or save it again."
    if not content.startswith(b"PK"):
        raise FileError(f"{shown}: is no file of upweight. Give one that {kind.lower()}.save wrote.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            text = archive.read(_HEAD) if _HEAD in names else b""
            whole = archive.comment == hashlib.sha256(text).hexdigest().encode()
            parts = {name: archive.read(name) for name in names if name != _HEAD}
        about = json.loads(text) if text else {}
    except Exception as error:  # foreign bytes: whatever goes wrong in them is the file's fault
        raise FileError(damaged) from error
    if not isinstance(about, dict) or about.get("file") != _MARK:
        raise FileError(f"{shown}: is no file of upweight. Give one that {kind.lower()}.save wrote.")
    if not isinstance(about.get("format"), int) or about["format"] > FORMAT:
        wrote = about.get("versions", {})
        by = wrote.get("upweight", "?") if isinstance(wrote, dict) else "?"
        raise FileError(
            f"{shown}: was written by upweight {by} in format {about.get('format')!r}, and this one reads up to "
            f"{FORMAT}. Install that version or a newer one: pip install --upgrade upweight"
        )
    if about.get("kind") != kind:
        found = about.get("kind")
        raise FileError(f"{shown}: holds {found!r}, not {kind!r}. Open it with {found}.load.")
    sums = about.get("sha256", {})
    wrong = [name for name in sums if name not in parts or hashlib.sha256(parts[name]).hexdigest() != sums[name]]
    wrong += [name for name in parts if name not in sums]
    if wrong or not whole:
        raise FileError(f"{shown}: {listed(wrong or [_HEAD])} is not what was saved. Copy it again, or save it again.")
    return Archive(about, parts, shown)
