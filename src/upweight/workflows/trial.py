"""Somebody else's code run for so long and no longer: how long it took, or that it was stopped.

Stands on the standard library: an alarm of the operating system, which only the main thread of a Unix hears.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

__all__ = ["can_watch", "within"]


class _TimeUp(BaseException):
    """Not an Exception, so that no `except Exception` of the code itself swallows it."""


def can_watch() -> bool:
    """Whether a call can be stopped here."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


def within(limit: float, call: Callable[[], object]) -> float | None:
    """Seconds that the call took; None where it was stopped after `limit`, or could not have been."""
    if not can_watch():
        return None

    def stop(_: int, __: FrameType | None) -> None:
        raise _TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    start = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        call()
        return time.perf_counter() - start
    except _TimeUp:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
