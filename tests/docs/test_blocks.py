"""README and docs: every block runs, and prints what stands below it."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import blocks
import pytest

ROOT = Path(__file__).resolve().parents[2]

KINDS = {"python", "console", "text", "{toctree}", "{math}", "{figure}", "{image}", "{include}", "{literalinclude}"}
PINNED_TYPER = f"typer=={version('typer')}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
NUMBER = re.compile(r"[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def same(written: str, printed: str) -> str:
    """Where two texts differ but for spaces, rounding (2 % or one in the last digit), seconds and noise below 1e-6."""
    first, second = written.split(), printed.split()
    if len(first) != len(second):
        return f"{len(first)} words on the page, {len(second)} printed:\n{printed}"
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        unit = first[i + 1] if i + 1 < len(first) else ""
        if NUMBER.sub("#", a) != NUMBER.sub("#", b):
            return f"{a!r} on the page, {b!r} printed:\n{printed}"
        for x, y in zip(NUMBER.findall(a), NUMBER.findall(b), strict=True):
            if unit.strip(".,;)") not in ("s", "ms") and not close(x, y):
                return f"{a!r} on the page, {b!r} printed:\n{printed}"
    return ""


def same_options(written: str, printed: str) -> str:
    """Where two help texts differ in their options: another Typer draws the rest in its own way."""
    first, second = (set(re.findall(r"--[a-z][a-z-]+", text)) for text in (written, printed))
    return f"options differ: {sorted(first ^ second)}" if first != second else ""


def close(a: str, b: str) -> bool:
    """Two printed numbers, equal to rounding."""
    x, y = (float(t.replace(",", "").replace("−", "-")) for t in (a, b))
    last = 10.0 ** -len(a.partition(".")[2].partition("e")[0]) if "." in a and "e" not in a else 0.0
    small = max(abs(x), abs(y)) < 1e-6
    return small or abs(x - y) <= max(1.01 * last, 0.02 * max(abs(x), abs(y)) if last or "e" in a else 0.0)


RUN = [
    page
    for page in blocks.PAGES
    if any(b.kind in ("python", "console") for b in blocks.blocks(page.read_text("utf-8")))
]


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_prints_what_it_shows(page: Path) -> None:
    """Blocks of a page run in order in an empty folder; `python docs/blocks.py` writes their output anew.

    A process of its own: what a reader runs has no shapes checked on every call.
    """
    command = [sys.executable, "-W", "error::RuntimeWarning", str(ROOT / "docs" / "blocks.py"), "--show", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for line, kind, written, printed in json.loads(done.stdout):
        if written or kind == "text":
            compare = same_options if written.startswith("Usage:") and not PINNED_TYPER else same
            difference = compare(written, printed)
            assert not difference, f"{page.name}:{line}: {difference}"


@pytest.mark.parametrize("page", blocks.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_block_escapes_the_tests(page: Path) -> None:
    """Every block has a kind that is known; commands that set up name targets and packages that exist."""
    text = page.read_text(encoding="utf-8")
    fences = len(re.findall(r"^\s*```", text, re.MULTILINE))
    assert fences == 2 * len(blocks.blocks(text)), f"{page.name}: a fence is indented or not closed"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for block in blocks.blocks(text):
        kind = block.kind.split(" ")[0]
        assert kind in KINDS, f"{page.name}:{block.line}: {block.kind!r} is not run by anything"
        for command, _ in blocks.commands(block.body) if kind == "console" else []:
            found = blocks.SETUP.match(command)
            assert found or command.startswith("upweight "), f"{page.name}:{block.line}: {command!r}"
            if found and found["target"]:
                assert found["target"] in targets
            if found and found["package"]:
                assert re.fullmatch(r"(-e )?'?(upweight|\.)(\[(parquet|plot|torch|dev|docs)\])?'?", found["package"])


def test_comparison_sees_a_changed_number_and_a_changed_word() -> None:
    """The comparison is loose in rounding alone."""
    assert not same("fall 0.44 % in 9 s", "fall 0.441 %  in 12 s")
    assert same("row 12 falls 0.44", "row 13 falls 0.44")
    assert same("falls 0.44", "falls 0.52")
    assert same("falls 0.44", "rises 0.44")
    assert not same("residual 3e-16", "residual 1.2e-15")
