"""The reader of photographs: features are the network's of the images, made once a file, and the stand-in is named."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def dogfish(script: Any) -> Any:
    """The module."""
    return script("data.dogfish")


def test_the_stand_ins_features_are_its_networks(dogfish: Any, tmp_path: Path) -> None:
    """The same at every call, one image at a time too, and nothing in the network moves."""
    harness = importlib.import_module("harness")
    held, again = (dogfish.dog_and_fish(harness.Run("one", harness.Size.QUICK, tmp_path)) for _ in range(2))
    assert held.name.startswith("not the paper's data: scikit-learn's digits, 3 and 8")
    assert np.array_equal(held.X, again.X)
    assert set(held.y) == set(held.y_test) == {0, 1}
    assert held.images.max() == held.top
    assert not held.backbone.training
    assert not any(parameter.requires_grad for parameter in held.backbone.parameters())
    for images, features in ((held.images, held.X), (held.images_test, held.X_test)):
        one = held.backbone(torch.from_numpy(images[[5]]).float()).numpy()[0]
        assert np.allclose(one, features[5], rtol=1e-5, atol=1e-6)
        assert len(images) == len(features)


def test_features_of_a_file_are_made_once(dogfish: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another content of the file makes them anew."""
    monkeypatch.setattr(dogfish, "HERE", tmp_path)
    monkeypatch.setattr(dogfish, "PACKAGES", ("numpy",))
    file, made = tmp_path / "some.npz", list[int]()

    def make() -> Any:
        made.append(1)
        return np.full((2, 3), len(made), dtype=np.float32)

    for content, times in ((b"a", 1), (b"a", 1), (b"b", 2)):
        file.write_bytes(content)
        found = dogfish._kept(file, make)
        assert found.dtype == np.float64
        assert np.all(found == times)
        assert len(made) == times
    assert len(list((tmp_path / ".pieces" / "features").iterdir())) == 2
