"""What a doctor finds: one line for each thing looked at, fine or not, with what to do; sizes, memory, disk and time.

Stands on display and errors; the doctor fills it, the command prints it.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from upweight.display.blocks import Block, Document, Facts, Section
from upweight.display.words import count
from upweight.errors import UpweightError
from upweight.tables.memory import available_memory, in_words
from upweight.workflows.effort import in_words as time_in_words

__all__ = ["TIMES", "WRITTEN", "Diagnosis", "Finding", "Findings"]

Level = Literal["ok", "warning", "problem"]
T = TypeVar("T")

WRITTEN = {"report": 3_000_000, "evidence record": 1_000_000}  # bytes at most
TIMES = {  # in the order in which they are said
    "fit": "fit a model",
    "ready": "be ready",
    "explain": "explain, one prediction",
    "train": "train once",
    "check": "check, 24 rows",
}
TIGHT = 0.5  # of the free memory


@dataclass(frozen=True)
class Finding:
    """`about`: what was looked at; `problem`: no answer until it is mended; `warning`: an answer worth less."""

    level: Level
    about: str
    said: str
    cure: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """`sizes`: rows, columns, parameters …; `seconds`: what each command would take; `bytes`: memory at the peak."""

    subject: str
    kind: str  # "table" or "network"
    findings: tuple[Finding, ...]
    sizes: Mapping[str, int]
    seconds: Mapping[str, float]
    memory: float | None
    solver: str | None

    def of(self, level: Level) -> tuple[Finding, ...]:
        """The findings of one level, in the order in which they were made."""
        return tuple(finding for finding in self.findings if finding.level == level)

    @property
    def fine(self) -> bool:
        """Whether there is nothing to mend and nothing to know."""
        return not self.of("problem") and not self.of("warning")

    @property
    def sentence(self) -> str:
        """The outcome in one line."""
        problems, warnings = len(self.of("problem")), len(self.of("warning"))
        if problems:
            more = f", {count(warnings, 'warning')}" if warnings else ""
            return (
                f"{count(problems, 'problem')}{more}: no answer until {'it is' if problems == 1 else 'they are'} mended"
            )
        return f"nothing stands in the way; {count(warnings, 'warning')}" if warnings else "nothing stands in the way"

    def document(self, footer: str = "", last: tuple[Block, ...] = ()) -> Document:
        """Problems first, then warnings, then what is fine, then time and space."""
        sections = [
            Section(title, anchor, (Facts(tuple(pair for one in found for pair in _pairs(one))),))
            for found, title, anchor in (
                (self.of("problem"), "Problems", "problems"),
                (self.of("warning"), "Warnings", "warnings"),
                (self.of("ok"), "Fine", "fine"),
            )
            if found
        ]
        if self.seconds:
            times = tuple(
                (said, f"about {time_in_words(self.seconds[name])}")
                for name, said in TIMES.items()
                if name in self.seconds
            )
            sections.append(Section("Time", "time", (Facts(times),)))
        sections.append(Section("", "last", (Facts((("Outcome", self.sentence),)), *last)))
        return Document("upweight doctor", self.subject, sections=tuple(sections), footer=footer)

    def form(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "kind": self.kind,
            "outcome": "problem" if self.of("problem") else "warning" if self.of("warning") else "ok",
            "findings": [
                {"level": one.level, "about": one.about, "said": one.said, "cure": one.cure or None}
                for one in self.findings
            ],
            "sizes": dict(self.sizes),
            "solver": self.solver,
            "memory_bytes": None if self.memory is None else round(self.memory),
            "disk_bytes": dict(WRITTEN),
            "estimated_seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


@dataclass
class Findings:
    """Collects: what one check raises stops no other. `guard`: what turns faults of the user's code into errors."""

    subject: str
    kind: str
    guard: Callable[[], AbstractContextManager[None]] = nullcontext
    sizes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    memory: float | None = None
    solver: str | None = None
    _made: list[Finding] = field(default_factory=list)

    def ok(self, about: str, said: str) -> None:
        """Looked at, and fine."""
        self._add(Finding("ok", about, said))

    def warn(self, about: str, said: str, cure: str = "") -> None:
        """An answer is possible and worth less."""
        self._add(Finding("warning", about, said, cure))

    def problem(self, about: str, said: str, cure: str = "") -> None:
        """No answer until it is mended."""
        self._add(Finding("problem", about, said, cure))

    def tried(self, about: str, call: Callable[[], T]) -> T | None:
        """What the call returns; None, and a problem, where it refuses."""
        try:
            with self.guard():
                return call()
        except UpweightError as error:
            self.problem(about, str(error))
            return None

    @property
    def stopped(self) -> bool:
        """Whether there is a problem already."""
        return any(finding.level == "problem" for finding in self._made)

    def room(self, peak: float, free: float | None = None) -> None:
        """Memory at the peak beside what is free (None: of this machine); and what is written where."""
        self.memory = peak
        free = available_memory() if free is None else free
        need = in_words(int(peak))
        if free is not None and peak > free:
            self.problem("memory", f"about {need} are needed and {in_words(int(free))} are free", "take fewer rows")
        elif free is not None and peak > TIGHT * free:
            self.warn(
                "memory", f"about {need} are needed of {in_words(int(free))} that are free", "close other programs"
            )
        else:
            of = "" if free is None else f" of {in_words(int(free))} that are free"
            self.ok("memory", f"about {need} beside what is loaded now{of}")
        self._disk()

    def _disk(self) -> None:
        most = sum(WRITTEN.values())
        free = shutil.disk_usage(".").free
        what = "; ".join(f"{name}: under {in_words(size)}" for name, size in WRITTEN.items())
        if free < most:
            self.problem("disk", f"{in_words(free)} are free here ({what})", "free some, or write elsewhere")
        else:
            self.ok("disk", f"only what you ask for is written ({what}); {in_words(free)} are free here")

    def _add(self, finding: Finding) -> None:
        if finding.said not in {known.said for known in self._made}:
            self._made.append(finding)

    def diagnosis(self) -> Diagnosis:
        """All of it."""
        return Diagnosis(self.subject, self.kind, tuple(self._made), self.sizes, self.seconds, self.memory, self.solver)


def _pairs(finding: Finding) -> list[tuple[str, str]]:
    """The line, and under it what to do."""
    return [(finding.about, finding.said), *([("", f"→ {finding.cure}")] if finding.cure else [])]
