"""A grey picture as half-block characters, as ASCII shades, and as a PNG data address.

Stands on numpy and zlib. Source: PNG (ISO/IEC 15948), section 11: IHDR, IDAT, IEND.
"""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from upweight.display.blocks import Picture

__all__ = ["half_blocks", "ink", "png_address", "shades"]

_SHADES = " .:-=+*#%@"
_LARGEST_SIDE = 96  # pixels of a thumbnail in a report
_DARK = 0.45  # half of the ink is lost in thin strokes, less than that is blur


def ink(picture: Picture, at_most: int) -> NDArray[np.float64]:
    """How dark each pixel is, 0 to 1, averaged over squares until no side is longer than `at_most`.

    A picture of one value is blank; a pixel that is not a finite number is blank too.
    """
    pixels = np.asarray(picture.pixels, dtype=np.float64)
    finite = np.isfinite(pixels)
    low, high = (pixels[finite].min(), pixels[finite].max()) if finite.any() else (0.0, 0.0)
    dark: NDArray[np.float64] = np.zeros(pixels.shape)
    if high > low:
        dark[finite] = (pixels[finite] / 2 - low / 2) / (high / 2 - low / 2)  # halves: no overflow at the extremes
        dark[finite] = 1 - dark[finite] if picture.ink == "low" else dark[finite]
    step = -(-max(dark.shape) // at_most)
    if step > 1:
        dark = np.pad(dark, [(0, -dark.shape[0] % step), (0, -dark.shape[1] % step)], mode="edge")
        dark = dark.reshape(dark.shape[0] // step, step, dark.shape[1] // step, step).mean(axis=(1, 3))
    return dark


def half_blocks(picture: Picture, at_most: int = 32) -> list[str]:
    """Lines of ▀ ▄ █: one character is two pixels above each other."""
    dark = _even(ink(picture, at_most)) > _DARK
    glyphs = np.array([" ", "▀", "▄", "█"])
    return ["".join(line) for line in glyphs[dark[0::2].astype(int) + 2 * dark[1::2]]]


def shades(picture: Picture, at_most: int = 32) -> list[str]:
    """Lines of ASCII from " " to "@": one character is the darkness of two pixels above each other."""
    dark = _even(ink(picture, at_most))
    level = np.rint((dark[0::2] + dark[1::2]) / 2 * (len(_SHADES) - 1)).astype(int)
    return ["".join(line) for line in np.array(list(_SHADES))[level]]


def png_address(picture: Picture) -> tuple[str, int, int]:
    """The picture as a data:image/png address, dark ink on white, with its width and height in pixels."""
    grey = np.rint(255 * (1 - ink(picture, _LARGEST_SIDE))).astype(np.uint8)
    height, width = grey.shape
    lines = b"".join(b"\0" + line.tobytes() for line in grey)  # filter 0 before each line
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits, grey
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, body) for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    )
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii"), width, height


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _even(dark: NDArray[np.float64]) -> NDArray[np.float64]:
    """One blank line more where the height is odd."""
    return np.vstack([dark, np.zeros((1, dark.shape[1]))]) if dark.shape[0] % 2 else dark
