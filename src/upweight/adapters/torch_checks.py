"""What of a model forbids an answer, before anything long: layers, mode, device, type, chance, rows that mix.

Every fault of a kind is named at once, by module path. Stands on torch_forward; torch_module asks. Source: METHODS.md
11.11, 11.12, 11.16.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter

from upweight.adapters.torch_forward import call
from upweight.errors import InputError, UnsupportedModel, listed

__all__ = ["MODEL_CHECKS", "refuse_mixing", "refuse_model", "refuse_training_mode", "tolerance"]

MANY = 12  # layers named in one error
SEEN = 8  # rows of a trial batch


def refuse_model(model: Any) -> tuple[torch.device, torch.dtype]:
    """The one device and type of the model's parameters.

    Raises: UnsupportedModel for what is no module, has no parameters, is spread over devices, or is in half precision;
    InputError for parameters that are NaN or infinite.
    """
    for check in MODEL_CHECKS:
        check(model)
    return _device(model), next(value.dtype for value in model.parameters() if value.is_floating_point())


def _refuse_kind(model: Any) -> None:
    """What has no parameters to ask about."""
    if not isinstance(model, nn.Module):
        raise UnsupportedModel(
            f"model is a {type(model).__name__}, not a torch.nn.Module. Give the module; Influence.from_sklearn takes "
            "scikit-learn's estimators."
        )
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise UnsupportedModel(f"model is wrapped in {type(model).__name__}. Give model.module.")
    parameters = dict(model.named_parameters())
    if not parameters:
        raise UnsupportedModel(f"{type(model).__name__} has no parameters, so no row has moved anything.")
    lazy = [name for name, value in parameters.items() if isinstance(value, UninitializedParameter)]
    if lazy:
        raise UnsupportedModel(f"{listed(lazy)} have no shape yet. Run the model on one batch, and train it, first.")


def _refuse_places(model: Any) -> None:
    """Several devices, or none."""
    devices = {str(value.device): name for name, value in model.named_parameters()}
    if len(devices) > 1:
        spread = "; ".join(f"{name!r} on {device}" for device, name in devices.items())
        raise UnsupportedModel(f"the model is spread over devices ({spread}). Move all of it to one: model.to(device).")
    if _device(model).type == "meta":
        raise UnsupportedModel("the model is on the 'meta' device, where parameters have no values. Load a checkpoint.")


def _refuse_types(model: Any) -> None:
    """Half precision, or several types."""
    types = {value.dtype: name for name, value in model.named_parameters() if value.is_floating_point()}
    if len(types) != 1 or next(iter(types)) not in (torch.float32, torch.float64):
        seen = "; ".join(f"{name!r} in {str(dtype).removeprefix('torch.')}" for dtype, name in types.items())
        raise UnsupportedModel(
            f"the model's parameters are {seen or 'no floats'}. Second derivatives need one type, float32 or float64: "
            "model.float() or model.double()."
        )


def _refuse_broken(model: Any) -> None:
    """NaN in the parameters."""
    parameters = [(name, value) for name, value in model.named_parameters() if value.device.type != "meta"]
    broken = [name for name, value in parameters if not bool(torch.isfinite(value).all())]
    if broken:
        raise InputError(
            f"parameters {listed(broken)} of {type(model).__name__} hold NaN or infinity: training diverged, or the "
            "checkpoint is broken. Load one from before."
        )


MODEL_CHECKS = (_refuse_kind, _refuse_places, _refuse_types, _refuse_broken)  # the first is needed by the others


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def refuse_training_mode(model: nn.Module) -> None:
    """Raises: UnsupportedModel that names all layers that act otherwise in training, or that always mix rows."""
    named = [(name or type(model).__name__, layer) for name, layer in model.named_modules()]
    active = [f"{name!r} ({type(layer).__name__})" for name, layer in named if layer.training and _acts(layer)]
    if active:
        raise UnsupportedModel(
            f"{_joined(active)} {'is' if len(active) == 1 else 'are'} in training mode: dropout draws anew, and batch "
            "norm mixes the rows of a batch, so one row has no gradient of its own. Call model.eval() first."
        )
    always = [
        f"{name!r} ({type(layer).__name__})"
        for name, layer in named
        if isinstance(layer, _BatchNorm) and layer.running_mean is None
    ]
    if always:
        raise UnsupportedModel(
            f"{_joined(always)} {'keeps' if len(always) == 1 else 'keep'} no running statistics, so rows of a batch "
            "mix in evaluation too. Train with track_running_stats=True, or with LayerNorm or GroupNorm."
        )


def refuse_mixing(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Raises: UnsupportedModel where outputs change from call to call, or with the other rows of a batch."""
    batch = tuple(part[:SEEN] for part in inputs)
    again, first = _traced(model, batch), _traced(model, batch)
    differs = _first_that_differs(first, again, lambda one: one)
    if differs is not None:
        raise UnsupportedModel(
            f"{differs} gives other outputs for the same rows each time (dropout by a function, sampling), so no row "
            "has a gradient of its own. Switch its chance off outside training: F.dropout(x, training=self.training)."
        )
    for row in range(min(2, len(batch[0]))):
        alone = _traced(model, tuple(part[row : row + 1] for part in batch))
        if len(batch[0]) > 1 and alone[-1][1].shape[1:] != first[-1][1].shape[1:]:
            raise UnsupportedModel(
                f"{type(model).__name__} gives outputs of shape {list(alone[-1][1].shape)} for one row and "
                f"{list(first[-1][1].shape)} for {len(batch[0])}. Keep the first axis: squeeze(-1), not squeeze()."
            )
        differs = _first_that_differs(first, alone, lambda one, row=row: one[row : row + 1])  # type: ignore[misc]
        if differs is not None:
            raise UnsupportedModel(
                f"{differs} mixes the rows of a batch: row {row} has other outputs alone than among {len(batch[0])} "
                "rows, so one row has no gradient of its own. Use a layer that reads each row alone."
            )


def tolerance(dtype: torch.dtype) -> float:
    """Relative difference of two orders of summation."""
    return 1e-9 if dtype == torch.float64 else 2e-4


def _acts(layer: nn.Module) -> bool:
    """Whether the layer is another function in training mode."""
    if isinstance(layer, _DropoutNd):
        return bool(layer.p > 0)
    if isinstance(layer, nn.RNNBase):
        return bool(layer.dropout > 0 and layer.num_layers > 1)
    if isinstance(layer, nn.MultiheadAttention):
        return bool(layer.dropout > 0)
    if isinstance(layer, _BatchNorm):
        return True
    return isinstance(layer, nn.RReLU) or (isinstance(layer, _NormBase) and layer.track_running_stats)


def _joined(layers: list[str]) -> str:
    more = len(layers) - MANY
    return ", ".join(layers[:MANY]) + (f" and {more} more" if more > 0 else "")


def _traced(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[tuple[str, Tensor]]:
    """Every leaf layer's output in order, the model's own last."""
    seen: list[tuple[str, Tensor]] = []
    handles = []
    for name, layer in model.named_modules():
        if not any(True for _ in layer.children()) and layer is not model:
            said = f"{name!r} ({type(layer).__name__})"

            def keep(_: nn.Module, __: object, output: object, said: str = said) -> None:
                if isinstance(output, Tensor):
                    seen.append((said, output.detach().clone()))

            handles.append(layer.register_forward_hook(keep))
    try:
        outputs = call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [*seen, (type(model).__name__, outputs)]


def _first_that_differs(
    batch: list[tuple[str, Tensor]], other: list[tuple[str, Tensor]], part: Callable[[Tensor], Tensor]
) -> str | None:
    """The first layer whose outputs differ, where those of the whole do."""
    if _same(part(batch[-1][1]), other[-1][1]):
        return None
    for (name, one), (again, two) in zip(batch, other, strict=False):
        if name == again and part(one).shape == two.shape and not _same(part(one), two):
            return name
    return batch[-1][0]


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    finite = torch.cat([one[torch.isfinite(one)].reshape(-1).abs() for one in (a, b)])
    size = float(finite.max()) if finite.numel() else 0.0
    close = torch.isclose(a, b, rtol=0.0, atol=tolerance(a.dtype) * size, equal_nan=True)
    return bool(close.all())
