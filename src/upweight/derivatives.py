"""First and second derivatives in torch for k vectors at once, by reverse mode alone: what networks are made of.

Backward passes of backward passes serve every layer that can be differentiated twice (recurrent nets and attention too,
where forward mode or a vmap over the module fails). Torch and nothing of ours; network stands on it.
Source: Pearlmutter (1994) for H v; the transpose of a transpose for J v; METHODS.md 11.14, 11.16, 11.25.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import embedding
from torch.overrides import TorchFunctionMode

__all__ = ["along_rows", "differentiable", "gradient", "pulled"]


@contextmanager
def differentiable(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Passes inside can be differentiated twice, and are as exact as their type: no fused kernel, no TF32."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(_set(torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled))
        if any(map(_has_kernels, module.modules())):
            stack.enter_context(_WrittenOut())
        if device.type == "cuda":
            recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())  # cuDNN's has no second one
            stack.enter_context(torch.backends.cudnn.flags(enabled=not recurrent, deterministic=True, allow_tf32=False))
            stack.enter_context(_set(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"))
        yield


def gradient(values: Tensor, at: Tensor, cotangents: Tensor) -> Tensor:
    """∂(Σ values · cotangents)/∂at with its own graph kept, to be differentiated again; 0 where nothing depends."""
    if not values.requires_grad:
        return torch.zeros_like(at)
    found = torch.autograd.grad(values, at, cotangents, create_graph=True, allow_unused=True)[0]
    return torch.zeros_like(at) if found is None else found


def pulled(values: Tensor, at: Tensor, cotangents: Tensor) -> Tensor:
    """∂(Σ values · cotangent)/∂at for k cotangents [k, *values] at once: [k, *at], without a graph.

    All in one pass where every layer has a batching rule, else one after another.
    """
    k = cotangents.shape[0]
    if not values.requires_grad or k == 0:
        return at.new_zeros((k, *at.shape))
    if k > 1:
        try:
            found = _grad(values, at, cotangents, True)
            return at.new_zeros((k, *at.shape)) if found is None else found.detach()
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError):  # a layer without a rule: each says it in its own words
            pass
    parts = [_grad(values, at, one, False) for one in cotangents]
    return torch.stack([torch.zeros_like(at) if part is None else part.detach() for part in parts])


def along_rows(values: Tensor, at: Tensor, vectors: Tensor) -> Tensor:
    """Σ_j ∂values/∂at_j · v_j for k vectors [k, *at]: [k, *values], as the transpose of the transposed product."""
    factors = torch.ones_like(values).requires_grad_()
    return pulled(gradient(values, at, factors), factors, vectors)


def _grad(values: Tensor, at: Tensor, cotangents: Tensor, batched: bool) -> Tensor | None:
    return torch.autograd.grad(values, at, cotangents, retain_graph=True, allow_unused=True, is_grads_batched=batched)[
        0
    ]


@contextmanager
def _set(read: Callable[[], Any], write: Callable[[Any], None], value: Any = False) -> Iterator[None]:
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def _has_kernels(part: nn.Module) -> bool:
    """Whether a layer may use those that are written out; reading every call for them would slow all others."""
    return isinstance(part, nn.EmbeddingBag) or hasattr(part, "parametrizations") or bool(part._forward_pre_hooks)


class _WrittenOut(TorchFunctionMode):
    """In plain operations: bags of embeddings, whose kernel has no second derivative, and weight norms, whose kernel
    has a wrong one (it takes the norms as constants)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is nn.functional.embedding_bag:
            written = _bags(*args, **kwargs)
            if written is not None:
                return written
        if func is torch._weight_norm:
            return _weight_norm(*args, **kwargs)
        return func(*args, **kwargs)


def _bags(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor | None:
    """embedding_bag for bags of one length; None where torch's own has to do."""
    if offsets is not None or mode == "max" or max_norm is not None or input.dim() != 2:
        return None
    rows = embedding(input, weight)
    counted = torch.ones_like(input, dtype=rows.dtype) if padding_idx is None else (input != padding_idx).to(rows.dtype)
    factors = counted if per_sample_weights is None else counted * per_sample_weights
    total = (rows * factors[..., None]).sum(1)
    return total if mode == "sum" else total / counted.sum(1).clamp(min=1)[:, None]


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """g v / ‖v‖, the norm over all axes but one (all of them for -1)."""
    axes = [axis for axis in range(v.dim()) if dim == -1 or axis != dim]
    norms: Tensor = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
    return v * (g / norms)
