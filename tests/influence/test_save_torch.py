"""A network's Influence as a file: state, rows and settings come back, and another module or loss is found out."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from upweight import Influence
from upweight.errors import FileError, InputError

N = 24
DRAW = torch.Generator().manual_seed(1)
X = torch.randn(N, 3, generator=DRAW, dtype=torch.float64)
Y = (X[:, 0] > 0.3 * X[:, 1]).long()
LOSS = nn.CrossEntropyLoss(reduction="none")


def net(activation: Any = nn.Tanh, width: int = 4, seed: int = 0) -> nn.Sequential:
    """Two layers with batch statistics between them."""
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), activation(), nn.Linear(width, 2))
    return layers.double().eval()


def train(weights: Tensor, seed: int) -> nn.Module:
    """Full batch, penalised, from one start."""
    model = net(seed=0)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        total = (weights * LOSS(model(X), Y)).sum() / weights.sum()
        total = total + 0.05 * sum((p**2).sum() for p in model.parameters())
        total.backward()
        return total

    optimizer.step(closure)
    return model


@pytest.fixture(scope="module")
def fitted() -> nn.Module:
    """Trained once."""
    return train(torch.ones(N, dtype=torch.float64), 0)


WAYS: dict[str, Any] = {
    "all": {"penalty": 0.1},
    "head": {"penalty": 0.1, "params": "head"},
    "names": {"penalty": {"0.*": 0.2, "3.weight": 0.1}, "params": ["0.weight", "3.weight"]},
    "a function": {"params": lambda name, _: name.startswith("3"), "penalty": 0.1, "damping": 0.5},
    "sum": {"penalty": 0.1, "normalization": "sum", "solver": "cholesky"},
    "an optimizer": {"penalty": torch.optim.SGD},
}
DATA: dict[str, Any] = {
    "tensors": (X, Y),
    "table": (pd.DataFrame(X.numpy(), columns=list("abc"), index=[f"r{i}" for i in range(N)]), Y.numpy()),
    "dataset": TensorDataset(X, Y),
    "loader": DataLoader(TensorDataset(X, Y), batch_size=5, shuffle=True),
}


def made(model: nn.Module, way: str = "all", data: str = "tensors") -> Influence:
    """One of the ways to make it."""
    options = dict(WAYS[way])
    if way == "an optimizer":
        options["penalty"] = torch.optim.SGD(list(model.parameters())[:3], lr=0.1, weight_decay=0.1)
    return Influence.from_torch(model, LOSS, DATA[data], **options)


@pytest.mark.parametrize(
    ("way", "data"), [*((way, "tensors") for way in WAYS), *(("all", data) for data in DATA if data != "tensors")]
)
def test_a_network_comes_back_to_the_bit(fitted: nn.Module, way: str, data: str, tmp_path: Path) -> None:
    """Its scores, words, ids and notes, in a fresh module of the same class, which is not changed."""
    influence = made(fitted, way, data)
    influence.save(tmp_path / "n.influence")
    fresh = net(seed=3).train()
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    back = Influence.load(tmp_path / "n.influence", model=fresh, loss=LOSS)
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
    assert fresh.training
    first, second = (i.scores(X[:2], Y[:2]) for i in (influence, back))
    assert np.array_equal(first.values, second.values)
    for name in ("row_ids", "meaning", "how", "grade", "notes", "unit"):
        assert getattr(first, name) == getattr(second, name), name
    back.save(tmp_path / "again.influence")
    again = Influence.load(tmp_path / "again.influence", model=net(seed=4), loss=LOSS)
    assert np.array_equal(again.scores(X[:2], Y[:2]).values, first.values)


def test_refits_need_the_training_again(fitted: nn.Module, tmp_path: Path) -> None:
    """Given to load, it refits as before; without it, the answers are those of a model without training."""
    path = tmp_path / "n.influence"
    influence = Influence.from_torch(fitted, LOSS, (X, Y), penalty=0.1, train=train)
    influence.save(path)
    back = Influence.load(path, model=net(), loss=LOSS, train=train)
    rows = influence.scores(X[:1], Y[:1]).ranked(1)
    first, second = (i.without(rows).model.state_dict() for i in (influence, back))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert back.without(rows).meaning == influence.without(rows).meaning
    bare = Influence.load(path, model=net(), loss=LOSS)
    assert bare.attribution.counterfactual == made(fitted).attribution.counterfactual != "same_init"


def test_another_module_or_loss_is_found_out(fitted: nn.Module, tmp_path: Path) -> None:
    """By the names that do not fit, else by a row's loss."""
    path = tmp_path / "n.influence"
    made(fitted).save(path)
    with pytest.raises(InputError, match=r"n.influence: holds the state of a Sequential, not its code. Give model="):
        Influence.load(path)
    with pytest.raises(FileError, match=r"does not fit the Sequential that was given \('0.weight has shape \[5, 3\]"):
        Influence.load(path, model=net(width=5), loss=LOSS)
    with pytest.raises(FileError, match=r"'1.weight is missing'.* '1.weight is not in it'|is not in it"):
        Influence.load(path, model=nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), loss=LOSS)
    with pytest.raises(FileError, match=r"the model or the loss given is not the one that was saved \(row \d+ had the"):
        Influence.load(path, model=net(nn.ReLU), loss=LOSS)
    smooth = nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)
    with pytest.raises(FileError, match=r"the model or the loss given is not the one that was saved \(row \d+ had the"):
        Influence.load(path, model=net(), loss=smooth)


def test_a_model_that_has_changed_is_not_saved(tmp_path: Path) -> None:
    """Trained on after the Influence was made: nothing is written."""
    model = train(torch.ones(N, dtype=torch.float64), 0)
    influence = made(model)
    influence.scores(X[:1], Y[:1])
    with torch.no_grad():
        model[3].bias.add_(0.5)  # type: ignore[operator, union-attr]
    with pytest.raises(FileError, match=r"n\.influence: the model or its data have changed since .* \(row \d+ had"):
        influence.save(tmp_path / "n.influence")
    assert list(tmp_path.iterdir()) == []


def test_types_that_numpy_lacks_come_back(tmp_path: Path) -> None:
    """A model in float32 with rows in float32, and no pickle in its file."""
    model = train(torch.ones(N, dtype=torch.float64), 0).float()
    influence = Influence.from_torch(model, LOSS, (X.float(), Y), penalty=0.1)
    influence.save(tmp_path / "n.influence")
    back = Influence.load(tmp_path / "n.influence", model=net(), loss=LOSS)  # a double one takes the saved type
    first, second = (i.scores(X[:2].float(), Y[:2]).values for i in (influence, back))
    assert np.array_equal(first, second)
    with zipfile.ZipFile(tmp_path / "n.influence") as archive:
        assert {Path(name).suffix for name in archive.namelist()} == {".json", ".npy"}


def test_an_estimators_file_needs_no_module(tmp_path: Path) -> None:
    """And says so."""
    from sklearn.linear_model import Ridge

    x, y = X.numpy(), X[:, 0].numpy() + 0.1
    Influence.from_sklearn(Ridge().fit(x, y), x, y).save(tmp_path / "r.influence")
    with pytest.raises(InputError, match=r"r\.influence: holds an estimator. Leave model, loss and train out"):
        Influence.load(tmp_path / "r.influence", model=net(), loss=LOSS)
