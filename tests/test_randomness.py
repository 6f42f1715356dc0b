"""Generators named by purpose and ids."""

import numpy as np

from upweight.randomness import generator


def test_a_name_is_its_numbers() -> None:
    """The same name gives the same numbers whatever was drawn before; any difference in it gives others."""
    first = generator(0, "batches", 3, "a").random(4)
    np.random.default_rng(0).random(100)
    generator(0, "batches", 4).random(10)
    np.testing.assert_array_equal(generator(0, "batches", 3, "a").random(4), first)
    others = [
        generator(1, "batches", 3, "a"),
        generator(0, "batch", 3, "a"),
        generator(0, "batches", 3),
        generator(0, "batches", "3", "a"),
    ]
    assert all(not np.array_equal(other.random(4), first) for other in others)


def test_known_numbers_do_not_drift() -> None:
    """A stored answer: what a seed means is part of what a report promises."""
    assert generator(7, "pinned").integers(0, 1000, 4).tolist() == [170, 293, 316, 422]
