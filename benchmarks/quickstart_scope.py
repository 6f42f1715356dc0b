"""What is in scope where a quick start begins: a trained model, its rows and some queries; and runs one in it.

    python benchmarks/quickstart_scope.py DATA.npz QUICKSTART.py     in the environment of the library that it uses

Stands on numpy, and on torch or scikit-learn, whichever the quick start is for. DATA.npz: X, y, X_query, y_query; with
several classes a small network of tanh, with two a LogisticRegression.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["scope"]

HIDDEN, STEPS = 8, 300


def scope(data: dict[str, Any]) -> dict[str, Any]:
    """The names that a quick start may use, by whether there are two classes."""
    return _sklearn(data) if int(data["y"].max()) == 1 else _torch(data)


def _sklearn(data: dict[str, Any]) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    return data | {"model": LogisticRegression(tol=1e-8, max_iter=1000).fit(data["X"], data["y"])}


def _torch(data: dict[str, Any]) -> dict[str, Any]:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    tensors = {
        name: torch.from_numpy(data[name]).to(torch.int64 if "y" in name[:1] else torch.float32) for name in data
    }
    features, classes = tensors["X"].shape[1], int(tensors["y"].max()) + 1
    model = nn.Sequential(nn.Linear(features, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, classes))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(STEPS):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(tensors["X"]), tensors["y"]).backward()
        optimiser.step()
    libraries = {"torch": torch, "nn": nn, "DataLoader": DataLoader, "TensorDataset": TensorDataset}
    return tensors | libraries | {"model": model.eval()}


def main() -> None:
    """Runs the quick start; what it prints is its answer."""
    path, quickstart = (Path(argument) for argument in sys.argv[1:])
    with np.load(path) as file:
        data = {name: file[name] for name in ("X", "y", "X_query", "y_query")}
    exec(compile(quickstart.read_text(encoding="utf-8"), str(quickstart), "exec"), scope(data))


if __name__ == "__main__":
    main()
