"""What models read of images: distances that stay, edges that are where they are."""

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def views(script: Any) -> Any:
    """The module."""
    return script("data.views")


@pytest.mark.parametrize("side", [2, 80])
def test_pixels_keep_every_distance(views: Any, side: int) -> None:
    """In the pixels themselves, or in as many coordinates as there are images; two equal images stay equal."""
    images = np.random.default_rng(0).integers(0, 256, size=(30, 3, side, side), dtype=np.uint8)
    images[7] = images[21]
    read = views.pixels(images, 255)
    assert read.shape == (30, min(30, 3 * side**2))
    flat = images.reshape(30, -1) / 127.5 - 1.0
    truth = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    np.testing.assert_allclose(views.distances(read, read), truth, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(read[:, None] - read[None], axis=2), truth, atol=1e-5)


def test_an_edge_is_told_by_its_direction_and_place(views: Any) -> None:
    """A step across lies in the first direction of its cells, a step down in the middle one; a plain image has none."""
    images = np.zeros((3, 3, 32, 32), dtype=np.uint8)
    images[0, :, :, 18:] = 200
    images[1, :, 18:, :] = 200
    images[2] = 90
    found = views.edges(images, 255).reshape(3, 8, 8, views.DIRECTIONS)
    assert (found[0, :, 4, 0] > 0.99).all()
    assert (found[1, 4, :, views.DIRECTIONS // 2] > 0.99).all()
    assert np.count_nonzero(found[0]) == np.count_nonzero(found[1]) == 8
    assert not found[2].any()
    assert np.abs(found).max() <= 1.0
