"""The notebook of the docs: runs from top to bottom, and what it shows outlives the kernel, a file and nbconvert."""

import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbconvert = pytest.importorskip("nbconvert")
manager = pytest.importorskip("jupyter_client.manager")
from nbclient import NotebookClient  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs" / "notebooks" / "first-look.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook with its outputs, saved and read again; its kernel is reached by local files alone."""
    folder = tmp_path_factory.mktemp("book")
    book = nbformat.read(BOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="uw") as short:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "MPLCONFIGDIR"):
            patch.setenv(name, str(folder / name.lower()))
        kernel = manager.AsyncKernelManager(
            kernel_name="python3", transport="ipc", connection_file=str(Path(short) / "k.json")
        )
        NotebookClient(book, km=kernel, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(book, folder / "done.ipynb")
    return nbformat.read(folder / "done.ipynb", as_version=4)


def shown(book: Any, kind: str) -> list[str]:
    """What the cells of a notebook show in one of their forms."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    return ["".join(output["data"][kind]) for output in outputs if kind in output.get("data", {})]


def test_the_notebook_is_committed_without_outputs() -> None:
    """Nothing in it is out of date, and it is small."""
    book = nbformat.read(BOOK, as_version=4)
    nbformat.validate(book)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book.cells)
    assert BOOK.stat().st_size < 10_000


def test_every_answer_shows_itself(executed: Any) -> None:
    """Scores with a map, check with a scatter, flip and refit as HTML; two figures; one line printed."""
    ours = [text for text in shown(executed, "text/html") if text.startswith('<div class="uw')]
    assert len(ours) == 4
    assert ["<svg" in text for text in ours] == [True, True, False, False]
    assert len(shown(executed, "image/png")) == 2
    for words, text in zip(("would", "y = x", "confirmed by a refit", "proved"), ours, strict=True):
        assert words in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    printed = [o["text"] for cell in executed.cells for o in cell.get("outputs", ()) if o["output_type"] == "stream"]
    assert printed[-1] == "A True\n"


def test_no_script_and_nothing_from_outside(executed: Any) -> None:
    """No element, attribute or address that runs or fetches anything; ids are told apart between the answers."""
    seen: list[str] = []

    class Page(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "iframe", "object", "embed", "link", "img", "foreignobject", "form")
            for name, value in attrs:
                assert not name.startswith("on")
                assert name != "xmlns" or value == "http://www.w3.org/2000/svg"
                assert name == "xmlns" or "//" not in (value or "")
                assert "javascript:" not in (value or "")
                seen.extend([value or ""] if name == "id" else [])

    for text in shown(executed, "text/html"):
        if text.startswith('<div class="uw'):
            Page().feed(text)
            (css,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
            assert "url(" not in css
            assert "@import" not in css
            assert "prefers-color-scheme" in css
    assert len(seen) == len(set(seen))


def test_nbconvert_keeps_the_answers(executed: Any) -> None:
    """The page holds each fragment element by element, in both of nbconvert's templates."""
    ours = [text for text in shown(executed, "text/html") if text.startswith('<div class="uw')]
    for template in ("lab", "basic"):
        page, _ = nbconvert.HTMLExporter(template_name=template).from_notebook_node(executed)
        held = elements(page)
        for text in ours:
            assert elements(text) in held


def elements(text: str) -> str:
    """Every element with its attributes in order of their names, and the words between: what a browser reads."""
    parts: list[str] = []

    class Page(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            parts.append(repr((tag, sorted(attrs))))

        def handle_data(self, data: str) -> None:
            parts.extend(data.split())

    Page().feed(text)
    return " ".join(parts)
