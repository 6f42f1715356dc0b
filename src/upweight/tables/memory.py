"""How much memory a table may take, asked before it is read.

Stands on errors; reading tables stands on it.
"""

import os
from pathlib import Path

from upweight.errors import ResourceError

__all__ = ["available_memory", "in_words", "require_memory"]

_GROUP = Path("/sys/fs/cgroup")  # a container's own limit, where there is one


def available_memory() -> int | None:
    """Bytes that can be used without swapping, or None where the system does not say."""
    limits = [limit for limit in (_of_machine(), _of_container()) if limit is not None]
    return min(limits) if limits else None


def require_memory(shown: str, size: int, factor: float, limit: int | None) -> None:
    """Refuse a table before it is read.

    size: bytes of its content; factor: bytes in memory for each of them; limit: bytes that may be used, None if
    nobody knows.
    Raises: ResourceError with the numbers.
    """
    need = int(size * factor)
    if limit is not None and need > limit:
        raise ResourceError(
            f"{shown}: {in_words(size)} of data need about {in_words(need)} of memory and {in_words(limit)} are free.\n"
            "Take a sample of its rows, leave columns out, or use a machine with more memory. Nothing was read."
        )


def in_words(size: int) -> str:
    """Bytes for people: `3.2 GB`."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size} bytes"


def _of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _of_container() -> int | None:
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        return None if limit == "max" else int(limit) - int((_GROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
