"""Pictures: the same ink in half blocks, in ASCII shades and in a PNG."""

import base64
import struct
import zlib

import numpy as np
import pytest

from upweight.display.blocks import Picture
from upweight.display.pictures import half_blocks, ink, png_address, shades


def test_half_blocks_draw_two_pixels_a_character() -> None:
    """Upper, lower, both, none; an odd last line has a blank under it."""
    picture = Picture(np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 0]]))
    assert half_blocks(picture) == ["▀▄█ ", "▀   "]
    assert shades(picture) == ["==@ ", "=   "]


def test_ink_may_be_the_low_values() -> None:
    """A photograph's dark is its low values."""
    picture = Picture(np.array([[0.0, 255.0], [255.0, 255.0]]), ink="low")
    assert half_blocks(picture) == ["▀ "]


def test_blank_and_broken_pictures_are_blank() -> None:
    """One value, or values that are not finite, are no ink and no error."""
    assert half_blocks(Picture(np.full((2, 2), 7.0))) == ["  "]
    assert half_blocks(Picture(np.array([[np.nan, 1.0], [np.inf, 0.0]]))) == [" ▀"]
    assert half_blocks(Picture(np.array([[-1.7e308, 1.7e308]]))) == [" ▀"]


def test_large_pictures_are_averaged() -> None:
    """No side is longer than asked, and the mean ink stays."""
    pixels = np.indices((64, 50)).sum(axis=0) % 2
    small = ink(Picture(pixels), at_most=32)
    assert small.shape == (32, 25)
    assert np.allclose(small, 0.5)


def test_png_gives_the_pixels_back() -> None:
    """Signature, checksums and grey values, read a second way: 255 is paper, 0 is ink."""
    pixels = np.arange(12.0).reshape(3, 4)
    address, width, height = png_address(Picture(pixels))
    assert (width, height) == (4, 3)
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + length
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (4, 3, 8, 0, 0, 0, 0)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(3, 5)
    np.testing.assert_array_equal(lines[:, 0], 0)
    np.testing.assert_array_equal(lines[:, 1:], np.rint(255 * (1 - pixels / 11)))


@pytest.mark.parametrize("shape", [(4,), (0, 3), (2, 2, 3)])
def test_a_picture_has_height_and_width(shape: tuple[int, ...]) -> None:
    """Anything but a filled [height, width] array is refused by the picture's name."""
    with pytest.raises(ValueError, match=r"picture 'a cat': its pixels have shape \("):
        Picture(np.zeros(shape), "a cat")
