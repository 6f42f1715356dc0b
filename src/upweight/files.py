"""Files written whole or not at all, and their fingerprints.

Stands on errors; the report, saved models and every other file that we write stand on it.
"""

import contextlib
import errno
import hashlib
import os
import shutil
from pathlib import Path

from upweight.errors import FileError

__all__ = ["sha256_of", "write_atomically"]

_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> Path:
    """Write a file so that a reader, or a crash, sees the old one or the new one and nothing between.

    Text is written as UTF-8. A link is followed; a device or a pipe is written to as it is.
    Raises: FileError if the folder is missing, the disk is full, or the system refuses; nothing is left behind.
    """
    shown, target = os.fspath(path), Path(os.path.realpath(path))
    content = data.encode() if isinstance(data, str) else data
    if target.is_dir():
        raise FileError(f"{shown}: is a folder. Give the name of a file.")
    if not target.parent.is_dir():
        raise FileError(f"{shown}: there is no folder '{target.parent}'. Make it first: mkdir -p {target.parent}")
    if target.exists() and not target.is_file():
        try:
            target.write_bytes(content)
        except OSError as error:
            raise FileError(f"{shown}: cannot be written ({error.strerror}).") from error
        return target
    part = target.with_name(f"{target.name}.{os.getpid()}.part")  # by process: two writers never share one
    try:
        with open(part, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            shutil.copymode(target, part)
        os.replace(part, target)
    except OSError as error:
        raise FileError(_refusal(shown, target.parent, len(content), error)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return target


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file's bytes, in hexadecimal.

    Raises: FileError if the file cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{os.fspath(path)}: cannot be read ({error.strerror}).") from error


def _refusal(shown: str, folder: Path, size: int, error: OSError) -> str:
    if error.errno in _FULL:
        free = shutil.disk_usage(folder).free
        return (
            f"{shown}: the disk is full: the file needs {size:,} bytes and {folder} has {free:,} free. "
            "Nothing was written. Make room, or give another folder."
        )
    return f"{shown}: cannot be written ({error.strerror}). Nothing was written."


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system lets a folder be synced."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
