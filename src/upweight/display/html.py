"""A document as one HTML page without script, and as a fragment for a notebook, from one set of templates.

Stands on blocks, words, pictures, plots and Jinja2; the commands' --report and `_repr_html_` stand on it.
Source: UX.md 4, 5 (colours) and 7 (content security policy).
"""

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from itertools import count
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from upweight.display.blocks import Block, Document, Picture, Scatter, Section
from upweight.display.pictures import png_address
from upweight.display.plots import described, svg
from upweight.display.text import clean, mapped
from upweight.display.words import Verdict, mark, verdict_label
from upweight.files import write_atomically

__all__ = ["fragment", "report", "write_report"]

_THUMBNAIL = 96  # CSS pixels of a small picture's longer side
_SIDES = {"helpful": "up", "raises": "up", "harmful": "down", "lowers": "down"}


@dataclass(frozen=True)
class _Image:
    """A picture's data address and the size at which it is shown."""

    address: str
    width: int
    height: int


def report(document: Document) -> str:
    """The whole page as one self-contained file: no script, no address outside itself, its own style allowed by hash.

    A section is named in the list of links by its anchor; one without a title is not in the list.
    """
    shown = mapped(document, clean)
    css = _css()
    digest = base64.b64encode(hashlib.sha256(css.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    sections = list(zip(_anchors(shown.sections), shown.sections, strict=True))
    links = [(anchor, anchor.replace("-", " ").capitalize()) for anchor, section in sections if section.title]
    return _draw("report.html.j2", d=shown, css=Markup(css), policy=Markup(policy), sections=sections, links=links)


def fragment(shown: Document | Section | Block) -> str:
    """The same blocks as one <div> for a notebook: its own scoped style, no script, legible without the style too."""
    if isinstance(shown, Section):
        shown = Document("", sections=(shown,))
    elif not isinstance(shown, Document):
        shown = Document("", sections=(Section("", "", (shown,)),))
    return _draw("fragment.html.j2", d=mapped(shown, clean), css=Markup(_css()))


def write_report(document: Document, path: str | os.PathLike[str]) -> None:
    """Writes the page, whole or not at all.

    Raises: FileError where the file cannot be written.
    """
    write_atomically(Path(path), report(document))


def _draw(template: str, **values: object) -> str:
    """A template filled in; lines of nothing are dropped (cleaned strings hold no line ends of their own)."""
    text = _environment().get_template(template).render(plot=partial(_plot, numbers=count(1)), **values)
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"


@cache
def _environment() -> Environment:
    """The templates with every string escaped, and the filters that they use."""
    environment = Environment(
        loader=PackageLoader("upweight.display", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(kind=_kind, mark=mark, label=verdict_label, side=_side, png=_png, described=described)
    return environment


@cache
def _css() -> str:
    """The one style sheet, every rule of it under .uw."""
    return files("upweight.display").joinpath("templates", "report.css").read_text(encoding="utf-8").strip()


def _kind(block: object) -> str:
    return type(block).__name__


def _side(value: Verdict | None, start: str = "uw-v") -> str:
    """The class of a sign's colour, with a space before it, or nothing."""
    side = _SIDES.get(value or "")
    return f" {start}-{side}" if side else ""


def _png(picture: Picture) -> _Image:
    """A picture's address, enlarged in whole steps to about the size of a thumbnail."""
    address, width, height = png_address(picture)
    step = max(1, _THUMBNAIL // max(width, height))
    return _Image(address, width * step, height * step)


def _plot(scatter: Scatter, numbers: Iterator[int]) -> Markup:
    """The plot as SVG under a name of its own, in this page and beside other fragments in a notebook."""
    digest = hashlib.sha256(repr(scatter).encode("utf-8", "replace")).hexdigest()[:8]
    return Markup(svg(scatter, f"uw-{digest}-{next(numbers)}"))


def _anchors(sections: Sequence[Section]) -> list[str]:
    """One id for each section: its anchor in plain letters, numbered where two are the same."""
    seen: Counter[str] = Counter({"main": 1})
    anchors = []
    for section in sections:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", section.anchor or section.title).strip("-").lower() or "section"
        seen[name] += 1
        anchors.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return anchors
