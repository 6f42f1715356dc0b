"""Where a network's numbers stop being finite: the first layer and row of a forward pass, a loss, or a gradient.

Stands on network; adapters and `doctor` turn what it finds into their errors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from upweight.derivatives import differentiable, gradient, pulled
from upweight.errors import listed
from upweight.network import Network
from upweight.randomness import generator

__all__ = ["asymmetry", "first_nonfinite"]

FEW = 16  # rows that show whether a layer's second derivative is one


def first_nonfinite(network: Network) -> str | None:
    """What is not finite and where it begins, as the start of a sentence; None where all is finite.

    Rows are positions in the network's data. One forward pass, and one backward where that is finite.
    """
    for rows in network.batches(0):
        x, y = network.batch(rows)
        found: list[str] = []
        with _watched(network.module, rows, found):
            outputs = network.raw_outputs(network.vector, x)
        if found:
            return found[0]
        losses = network.losses(network.vector, x, y)
        wrong = _broken(losses)
        if wrong is not None:
            largest = float(outputs[wrong].abs().max())
            return (
                f"the loss of row {rows.start + wrong} is {float(losses[wrong])}, from outputs that are finite "
                f"(up to {largest:.3g})"
            )
    slope = network.gradient
    names = [name for name in network.chosen if not bool(slope[network.position(name)].isfinite().all())]
    if names:
        return f"the gradient of {listed(names)} holds NaN or infinity, though all losses are finite"
    return None


def asymmetry(network: Network, seed: int = 0) -> float:
    """|uᵀHv − vᵀHu| over ‖Hu‖‖v‖ + ‖Hv‖‖u‖ on a few rows: more than rounding means that a layer's kernel is wrong.

    Kernels that hold a statistic back as a constant (torch's own weight norm did) give second derivatives that are not
    symmetric; about 1e-16 in float64 and 1e-7 in float32 otherwise.
    """
    some = slice(0, min(FEW, network.n))
    drawn = generator(seed, "asymmetry").standard_normal((2, network.size))
    both = torch.as_tensor(drawn, dtype=network.dtype, device=network.device)
    with differentiable(network.module, network.device):
        leaf = network.leaf()
        slope = gradient(network.losses(leaf, *network.batch(some)), leaf, network.weights[some])
        images = pulled(slope, leaf, both)
    gap = abs(float(both[0] @ images[1] - both[1] @ images[0]))
    size = float(both[0].norm() * images[1].norm() + both[1].norm() * images[0].norm())
    return gap / size if size > 0 else 0.0


@contextmanager
def _watched(module: nn.Module, rows: slice, found: list[str]) -> Iterator[None]:
    """Writes down the first layer to give what is not finite: parts of a layer end before the layer does."""
    hooks = [part.register_forward_hook(_hook(path, rows, found)) for path, part in module.named_modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hook(path: str, rows: slice, found: list[str]) -> Callable[[nn.Module, Any, Any], None]:
    def look(part: nn.Module, given: Any, made: Any) -> None:
        if found or all(_broken(tensor) is None for tensor in _tensors(made)):
            return
        layer = f"layer {path!r} ({type(part).__name__})" if path else f"the model itself ({type(part).__name__})"
        value = next(tensor for tensor in _tensors(made) if _broken(tensor) is not None)
        row = _row(value, rows.stop - rows.start)
        where = f"row {rows.start + row}" if row is not None else f"one of rows {rows.start} to {rows.stop - 1}"
        came = any(_broken(tensor) is not None for tensor in _tensors(given))
        found.append(f"{layer} gives NaN or infinity for {where}" + (", and was given it" if came else ""))

    return look


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _broken(tensor: Tensor) -> int | None:
    """The first place along the first axis that holds NaN or infinity."""
    if not tensor.is_floating_point() or bool(tensor.isfinite().all()):
        return None
    flat = tensor.reshape(tensor.shape[0], -1) if tensor.dim() else tensor.reshape(1, 1)
    return int((~flat.isfinite()).any(1).nonzero()[0, 0])


def _row(value: Tensor, count: int) -> int | None:
    """Which of a batch's rows, where one axis can be told to be theirs."""
    axes = [axis for axis, size in enumerate(value.shape) if size == count]
    return _broken(value.movedim(axes[0], 0)) if axes else None
