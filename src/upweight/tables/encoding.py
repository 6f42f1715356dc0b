"""The encoding of a text file, found while its bytes go by once, and the faults that make it no text at all.

Stands on errors; layout stands on it. UTF-8 unless a mark says otherwise or the bytes cannot be UTF-8.
"""

import codecs
import re

from upweight.errors import FileError

__all__ = ["EncodingFinder"]

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")  # what no text file holds in number
_NOT_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # bytes that cp1252 leaves undefined
_SAVE = "Save the table as CSV, in UTF-8."


class EncodingFinder:
    """Fed a file piece by piece; then `found()` is its encoding. Faults raise FileError with the line."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._mark = ""  # the encoding that the first bytes name, if they do
        self._decoder: codecs.IncrementalDecoder = codecs.getincrementaldecoder("utf-8")()
        self._line, self._size, self._controls = 1, 0, 0
        self._accented = self._single_byte = self._beyond_cp1252 = False

    def feed(self, chunk: bytes) -> None:
        """The next piece; an empty one at the end.

        Raises: FileError if this is no text, or text that breaks its own encoding.
        """
        if not self._size and (mark := _mark(chunk)):
            self._mark, self._decoder = mark, codecs.getincrementaldecoder(mark)()
        if b"\0" in chunk and self._mark != "utf-16":
            line = self._line + chunk[: chunk.index(0)].count(b"\n")
            raise FileError(f"{self._shown}: is not a text file (line {line:,} holds a zero byte). {_SAVE}")
        if not self._single_byte:
            self._decode(chunk)
        self._controls += len(_CONTROLS.findall(chunk)) if self._mark != "utf-16" else 0
        self._beyond_cp1252 = self._beyond_cp1252 or _NOT_CP1252.search(chunk) is not None
        self._line += chunk.count(b"\n")
        self._size += len(chunk)

    def found(self) -> str:
        """The encoding by Python's name.

        Raises: FileError if control characters abound.
        """
        if self._controls > self._size // 100:
            raise FileError(
                f"{self._shown}: is not a text file ({self._controls:,} control characters in "
                f"{self._size:,} bytes). {_SAVE}"
            )
        if self._single_byte:
            return "latin-1" if self._beyond_cp1252 else "cp1252"
        return self._mark or "utf-8"

    def _decode(self, chunk: bytes) -> None:
        try:
            self._accented = not self._decoder.decode(chunk, final=not chunk).isascii() or self._accented
        except UnicodeDecodeError as error:
            good = error.object[: error.start]
            # Good UTF-8 before the fault makes it UTF-8 with a fault, not another encoding.
            if self._mark or self._accented or not good.isascii():
                line = self._line + good.count(b"\n")
                raise FileError(
                    f"{self._shown}: line {line:,} is not valid {self._mark or 'utf-8'} "
                    f"({error.reason}).\nThe file may be cut short or glued from two encodings: save it again as UTF-8."
                ) from error
            self._single_byte = True


def _mark(chunk: bytes) -> str:
    if chunk.startswith(_UTF16):
        return "utf-16"
    return "utf-8-sig" if chunk.startswith(codecs.BOM_UTF8) else ""
