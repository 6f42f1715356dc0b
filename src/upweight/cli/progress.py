"""Progress on stderr, on a terminal only; and what is done so far, for whoever presses Ctrl-C."""

import sys
import time
from contextvars import ContextVar
from typing import Any

__all__ = ["Progress", "begun", "current"]


class Progress:
    """Told what has been done; draws a bar where somebody watches."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._bar: Any = None
        self.started = time.perf_counter()
        self.written: list[str] = []
        self.debug = False  # --debug: tracebacks are shown

    def begin(self, steps: int, what: str) -> None:
        """A bar of so many steps, with time left, on a terminal."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=steps, desc=what, file=sys.stderr, leave=False, unit="step")

    def __call__(self, done: str) -> None:
        """One step further: what has just been done."""
        self._done.append(done)
        if self._bar is not None:
            self._bar.update(1)

    def say(self, text: str) -> None:
        """A line on stderr, above the bar: what is said beforehand."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """The bar goes away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @property
    def seconds(self) -> float:
        """Since the command began."""
        return time.perf_counter() - self.started

    def so_far(self) -> str:
        """What was done and what was written, in a sentence or two."""
        shown = (
            self._done
            if len(self._done) <= 4
            else [*self._done[:1], f"{len(self._done) - 2} more steps", self._done[-1]]
        )
        done = f"Done until then: {'; '.join(shown)}. " if shown else "Nothing was done yet. "
        return done + (f"Written: {', '.join(self.written)}." if self.written else "Nothing was written.")


_CURRENT: ContextVar[Progress] = ContextVar("progress")


def begun() -> Progress:
    """A new one for a command that begins."""
    progress = Progress()
    _CURRENT.set(progress)
    return progress


def current() -> Progress:
    """That of the command that runs."""
    return _CURRENT.get()
