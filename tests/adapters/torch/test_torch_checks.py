"""Models that give no row a gradient of its own are refused before anything long, every fault of a kind at once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upweight.adapters.torch_module import adapt_torch
from upweight.errors import InputError, UnsupportedModel, UpweightError

N = 12
DRAW = torch.Generator().manual_seed(0)
X, Y = torch.randn(N, 4, generator=DRAW), torch.arange(N) % 3
LOSS = nn.CrossEntropyLoss(reduction="none")


def small(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), *layers, nn.Linear(5, 3))


class Forward(nn.Module):
    """A layer, then anything."""

    def __init__(self, after: Callable[[Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.after = nn.Linear(4, 3), after

    def forward(self, x: Tensor) -> Any:
        return self.after(self.layer(x))


class Mixer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0)


def broken() -> nn.Module:
    model = small().eval()
    with torch.no_grad():
        model[1].weight[0, 0] = torch.nan
    return model


def mixed_types() -> nn.Module:
    model = small().eval()
    model[1].double()
    return model


def odd_device() -> nn.Module:
    model = small().eval()
    model[1].to("meta")
    return model


def explosive() -> nn.Module:
    """NaN for the rows whose first input is below 0."""
    return nn.Sequential(nn.Linear(4, 3), Root(), nn.Linear(3, 3)).eval()


class AtZero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x * (x > 0))


def infinite_slope() -> nn.Module:
    """Finite outputs whose slope at 0 is not."""
    return nn.Sequential(nn.Linear(4, 3), AtZero(), nn.Linear(3, 3)).eval()


class Root(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x)


REFUSED: dict[str, tuple[Callable[[], Any], type[UpweightError], str]] = {
    "no module": (lambda: lambda x: x, UnsupportedModel, "model is a function, not a torch.nn.Module"),
    "no parameters": (lambda: nn.ReLU(), UnsupportedModel, "ReLU has no parameters"),
    "lazy": (lambda: nn.LazyLinear(3), UnsupportedModel, "'weight', 'bias' have no shape yet"),
    "wrapped": (lambda: nn.DataParallel(small()), UnsupportedModel, "wrapped in DataParallel. Give model.module"),
    "training": (
        lambda: small(nn.BatchNorm1d(5), nn.Dropout(0.5)).train(),
        UnsupportedModel,
        r"'1' \(BatchNorm1d\), '2' \(Dropout\) are in training mode.*model.eval\(\)",
    ),
    "no statistics": (
        lambda: small(nn.BatchNorm1d(5, track_running_stats=False)).eval(),
        UnsupportedModel,
        r"'1' \(BatchNorm1d\) keeps no running statistics",
    ),
    "recurrent": (
        lambda: nn.ModuleDict({"rnn": nn.LSTM(4, 3, num_layers=2, dropout=0.1)}).train(),
        UnsupportedModel,
        r"'rnn' \(LSTM\) is in training mode",
    ),
    "function": (
        lambda: Forward(lambda z: F.dropout(z, 0.5)).eval(),
        UnsupportedModel,
        r"Forward gives other outputs for the same rows each time .*self.training",
    ),
    "mixing layer": (
        lambda: small(Mixer()).eval(),
        UnsupportedModel,
        r"'1' \(Mixer\) mixes the rows of a batch: row 0 has other outputs alone",
    ),
    "mixing forward": (lambda: Forward(lambda z: z - z.mean(0)).eval(), UnsupportedModel, "Forward mixes the rows"),
    "squeeze": (
        lambda: Forward(lambda z: z.squeeze().reshape(len(z), -1)[:, : len(z)]).eval(),
        UnsupportedModel,
        r"outputs of shape \[1, 1\] for one row and \[8, 3\] for 8",
    ),
    "tuple": (lambda: Forward(lambda z: (z, z)).eval(), UnsupportedModel, "Forward returns a tuple where one tensor"),
    "one number": (
        lambda: Forward(lambda z: z.mean()).eval(),
        UnsupportedModel,
        r"shape \[\] for 8 rows.*batch",
    ),
    "classes": (lambda: Forward(lambda z: z.argmax(1)).eval(), UnsupportedModel, "no gradient. Return the logits"),
    "other width": (lambda: nn.Linear(7, 3), InputError, r"Linear cannot read its inputs \(\[8, 4\] float32\)"),
    "NaN parameters": (broken, InputError, "parameters '1.weight' of Sequential hold NaN"),
    "NaN activations": (explosive, InputError, r"layer '1' \(Root\) gives NaN or infinity for row \d+"),
    "NaN gradient": (infinite_slope, InputError, "the gradient of '0.weight', '0.bias' holds NaN"),
    "double": (
        lambda: small().double().eval(),
        InputError,
        r"parameters are float64 and its inputs 'float32': X.to\(torch.float64\)",
    ),
    "half": (lambda: small().half().eval(), UnsupportedModel, "'1.bias' in float16. Second derivatives need one type"),
    "mixed types": (mixed_types, UnsupportedModel, "'0.bias' in float32; '1.bias' in float64"),
    "meta": (lambda: small().to("meta").eval(), UnsupportedModel, "'meta' device, where parameters have no values"),
    "devices": (odd_device, UnsupportedModel, "spread over devices"),
    "detached": (lambda: Forward(lambda z: z.detach()).eval(), InputError, "does not depend on 'layer.weight'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_cannot_be_asked_are_refused(name: str) -> None:
    """By layer path, type or device, and with the remedy."""
    make, error, said = REFUSED[name]
    with pytest.raises(error, match=said):
        adapt_torch(make(), LOSS, (X, Y))


def test_training_mode_without_such_layers_is_let_through() -> None:
    """It changes nothing where no layer acts otherwise: dropout of 0 too. The mode stays the user's."""
    model = small(nn.Dropout(0.0), nn.LayerNorm(5)).train()
    adapt_torch(model, LOSS, (X, Y), penalty=0.1, params="head")
    assert model.training
    adapt_torch(small(nn.BatchNorm1d(5), nn.Dropout(0.5)).eval(), LOSS, (X, Y), penalty=0.1, params="head")


def test_whole_inputs_of_a_float_layer_are_refused_by_type() -> None:
    """And floats where an embedding reads whole numbers."""
    with pytest.raises(InputError, match=r"inputs 'int64': X.to\(torch.float32\)"):
        adapt_torch(nn.Linear(4, 3), LOSS, (X.long(), Y))
    with pytest.raises(InputError, match="cannot read its inputs"):
        adapt_torch(nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(12, 3)), LOSS, (X, Y))


def test_settings_that_do_not_exist_are_refused() -> None:
    """normalization and train."""
    with pytest.raises(InputError, match="normalization is 'rows'"):
        adapt_torch(nn.Linear(4, 3), LOSS, (X, Y), normalization="rows")
    with pytest.raises(InputError, match="train is 3"):
        adapt_torch(nn.Linear(4, 3), LOSS, (X, Y), train=3)
