"""The code blocks of README and docs: run page by page in an empty folder, with what they print beside them.

    python docs/blocks.py [PAGE …]        writes the printed text of every block, or of these pages, anew
    python docs/blocks.py --show PAGE     prints as JSON what the page says is printed, and what is; for the tests

A ```python block is run in its page's namespace; a ```text block right below it is what it printed. In a ```console
block each line after `$ ` is a command, and the lines below it are what it printed. tests/docs stands on it.
"""

import contextlib
import io
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]
TERMINAL = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
# console lines that set the machine up instead of asking upweight something; of these `make demo` alone is run
SETUP = re.compile(r"git clone |cd upweight$|make (?P<target>[a-z-]+)$|pip install (?P<package>.+)$")

_FENCE = re.compile(r"^(?P<fence>```+)(?P<kind>[^\n]*)\n(?P<body>.*?)^(?P=fence)$\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: `kind` is what stands behind the fence, `start` and `end` its place in the page."""

    kind: str
    body: str
    line: int
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    return [
        Block(m["kind"].strip(), m["body"], text.count("\n", 0, m.start()) + 1, m.start(), m.end())
        for m in _FENCE.finditer(text)
    ]


@dataclass(frozen=True)
class Shown:
    """What a page says was printed, and what was: the text of one ```text block or of one command."""

    block: Block
    written: str
    printed: str


class Printed(io.TextIOWrapper):
    """What is printed, as a terminal that reads UTF-8 and is nobody's: no colour, no progress."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n")

    @property
    def text(self) -> str:
        """All of it."""
        self.flush()
        self.seek(0)
        return self.read()


def run(page: Path, folder: Path) -> Iterator[Shown]:
    """Runs a page's blocks in `folder`.

    Raises: whatever a block raises; AssertionError for a command that does not exit with 0.
    """
    found = blocks(page.read_text(encoding="utf-8"))
    space: dict[str, Any] = {"__name__": "__docs__"}
    with mock.patch.dict(os.environ, TERMINAL), contextlib.chdir(folder):
        for block, below in zip(found, [*found[1:], None], strict=False):
            if block.kind == "python":
                out = Printed()
                code = compile("\n" * block.line + block.body, str(page), "exec")
                with contextlib.redirect_stdout(out):
                    exec(code, space)
                if below is not None and below.kind == "text" and _adjacent(page, block, below):
                    yield Shown(below, below.body, out.text)
                elif out.text:
                    raise AssertionError(f"{page.name}:{block.line} prints, and no text block below it shows that")
            elif block.kind == "console":
                written, printed = "", ""
                for command, shown in commands(block.body):
                    text = call(command)
                    written, printed = written + shown, printed + (text if shown else "")
                yield Shown(block, written, printed)


def commands(body: str) -> list[tuple[str, str]]:
    """[(command, what is shown below it)] of a console block; a line that ends in a backslash goes on."""
    out: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, shown = re.match(r"((?:.*\\\n)*.*)\n?([\s\S]*)", part).groups()  # type: ignore[union-attr]
        out.append((command.replace("\\\n", " "), shown))
    return out


def call(command: str) -> str:
    """stdout of an upweight command, run in this process.

    Raises: AssertionError unless it exits with 0.
    """
    if command == "make demo":
        command = "upweight demo"
    elif SETUP.match(command):
        return ""
    name, *arguments = shlex.split(command)
    if name != "upweight":
        raise AssertionError(f"{command!r} is no command of ours; docs/blocks.py runs `upweight …` only")
    from upweight.cli import main

    out, code = Printed(), 0
    with mock.patch.object(sys, "argv", [name, *arguments]), contextlib.redirect_stdout(out):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    if code != 0:
        raise AssertionError(f"{command!r} exits with {code}")
    return out.text


def rewritten(page: Path, folder: Path) -> str:
    """The page with what its blocks print now."""
    text = page.read_text(encoding="utf-8")
    for shown in reversed(list(run(page, folder))):
        block = shown.block
        if block.kind == "text":
            body = shown.printed
        else:
            parts = re.split(r"^(?=\$ )", block.body, flags=re.MULTILINE)[1:]
            body = shown.block.body if not shown.written else ""
            if shown.written:
                assert len(parts) == 1, f"{page.name}:{block.line}: one command in a block that shows its output"
                command = re.match(r"(?:.*\\\n)*.*\n", parts[0])[0]  # type: ignore[index]
                body = command + shown.printed
        body = "\n".join(line.rstrip() for line in body.strip("\n").split("\n")) + "\n"
        text = text[: block.start] + f"```{block.kind}\n{body}```\n" + text[block.end :]
    return text


def _adjacent(page: Path, block: Block, below: Block) -> bool:
    return not page.read_text(encoding="utf-8")[block.end : below.start].strip()


if __name__ == "__main__" and sys.argv[1:2] == ["--show"]:
    with tempfile.TemporaryDirectory() as empty:
        found = list(run(Path(sys.argv[2]).resolve(), Path(empty)))
    print(json.dumps([[shown.block.line, shown.block.kind, shown.written, shown.printed] for shown in found]))
elif __name__ == "__main__":
    for chosen in [Path(name).resolve() for name in sys.argv[1:]] or PAGES:
        with tempfile.TemporaryDirectory() as empty:
            new = rewritten(chosen, Path(empty))
        if new != chosen.read_text(encoding="utf-8"):
            chosen.write_text(new, encoding="utf-8")
            print(f"{chosen.relative_to(ROOT)}: written anew")
