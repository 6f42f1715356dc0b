"""Which of a model's parameters move, and what the loss that was minimised adds for each of them.

`penalty` λ is the weight of ½ λ θ² in F, which is what `weight_decay` adds in optimisers that put it into the gradient
(SGD, Adam); decoupled decay (AdamW) is no part of any loss. Stands on torch; torch_module asks. Source: METHODS.md 1,
11.27.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from upweight.errors import InputError, UnsupportedModel, listed
from upweight.network import RowLoss

__all__ = ["Chosen", "Penalties", "choose", "flat", "read_penalties", "used"]

Chosen = tuple[str, ...]
Penalties = tuple[dict[str, float], tuple[str, ...]]

L2 = ("SGD", "Adam", "Adagrad", "RMSprop", "Adadelta", "ASGD", "Adamax", "NAdam", "RAdam")
DECOUPLED = ("AdamW", "Muon", "Adafactor", "Lion", "Lamb", "LAMB")


def choose(model: nn.Module, params: Any, last: str | None, penalty: Any) -> tuple[Chosen, tuple[str, ...]]:
    """Names in the order of named_parameters, and what is said of those that stay.

    "all": every one that requires a gradient (and is in the optimizer, where `penalty` is one); "head": the last linear
    layer, whose path is `last`; a list of names; or a function of (name, parameter).
    Raises: InputError for unknown names, or none at all; UnsupportedModel for "head" without one.
    """
    everything = dict(model.named_parameters())
    notes: list[str] = []
    if params == "head":
        if last is None:
            raise UnsupportedModel(
                f"{type(model).__name__} does not end in one nn.Linear whose output is the model's own, so it has no "
                "head. Name the parameters: params=['layer.weight', …], or params='all'."
            )
        prefix = f"{last}." if last else ""
        chosen = [name for name in everything if name in (f"{prefix}weight", f"{prefix}bias")]
    elif params == "all":
        chosen, notes = _trained(everything, penalty)
    elif callable(params):
        chosen = [name for name, value in everything.items() if params(name, value)]
    elif isinstance(params, Sequence) and not isinstance(params, str | bytes):
        unknown = [name for name in params if name not in everything]
        if unknown:
            raise InputError(f"the model has no parameter {listed(unknown)}. It has {listed(list(everything), 8)}.")
        chosen = [name for name in everything if name in set(params)]
    else:
        raise InputError(
            f"params is {params!r}. Use 'all', 'head', a list of names, or a function of (name, parameter)."
        )
    if not chosen:
        raise InputError(
            f"no parameter of {type(model).__name__} is chosen"
            + (" (none requires a gradient)" if params == "all" else "")
            + f". Choose some of {listed(list(everything), 8)}."
        )
    return tuple(chosen), tuple(notes)


def read_penalties(model: nn.Module, chosen: Chosen, penalty: Any) -> Penalties:
    """λ of each chosen parameter, and what is said of it.

    `penalty`: a number for all of them, biases too, as weight_decay; {name or pattern: number}, an exact name first,
    then the first pattern that fits, else 0; or the optimizer.
    Raises: InputError for negative numbers and names that fit nothing; UnsupportedModel for an unknown optimizer.
    """
    if isinstance(penalty, torch.optim.Optimizer):
        return _of_optimizer(model, chosen, penalty)
    if isinstance(penalty, Mapping):
        return _of_patterns(chosen, penalty), ()
    value = _number(penalty, "penalty")
    return dict.fromkeys(chosen, value), ()


def used(
    model: nn.Module, loss: RowLoss, inputs: tuple[Tensor, ...], targets: Tensor, chosen: Chosen, named: bool
) -> tuple[Chosen, tuple[str, ...]]:
    """The chosen parameters that the loss reads; `named`: the user named them, so that none may be left out.

    Raises: InputError for parameters that the loss does not read.
    """
    values = dict(model.named_parameters())
    leaves = {name: values[name].detach().clone().requires_grad_() for name in chosen}
    with torch.enable_grad():
        total = loss(functional_call(model, leaves, inputs), targets).sum()
    if not total.requires_grad:
        raise InputError(
            f"the loss does not depend on {listed(list(chosen))} of {type(model).__name__}: its forward pass detaches, "
            "runs under no_grad, or does not use them. Return outputs that keep their graph."
        )
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    idle = [name for name, slope in zip(chosen, found, strict=True) if slope is None]
    if idle and named:
        raise InputError(f"the loss does not use {_some(idle)}, so no row moves them. Leave them out of params.")
    said = (f"{_some(idle)} that the loss does not use stay as they are",) if idle else ()
    return tuple(name for name in chosen if name not in set(idle)), said


def _trained(everything: Mapping[str, nn.Parameter], penalty: Any) -> tuple[list[str], list[str]]:
    """All that require a gradient; of those the optimizer's, where it is given."""
    frozen = [name for name, value in everything.items() if not value.requires_grad]
    chosen = [name for name in everything if name not in set(frozen)]
    notes = []
    if frozen and chosen:
        notes.append(f"{_some(frozen)} without gradient stay as they are")
    if isinstance(penalty, torch.optim.Optimizer):
        held = {id(value) for group in penalty.param_groups for value in group["params"]}
        left = [name for name in chosen if id(everything[name]) not in held]
        if left and len(left) == len(chosen):
            raise InputError(
                "the optimizer holds none of the model's parameters. Give the one that trained this model."
            )
        if left:
            chosen = [name for name in chosen if name not in set(left)]
            notes.append(f"{_some(left)} that the optimizer does not hold stay as they are")
    return chosen, notes


def _some(names: list[str]) -> str:
    return f"parameter {names[0]!r}" if len(names) == 1 else f"{len(names)} parameters ({listed(names)})"


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where} is {value!r}. Give the weight decay as a number >= 0, {{name or pattern: number}}, or the "
            "optimizer that trained the model."
        ) from error
    if not (np.isfinite(number) and number >= 0):
        raise InputError(f"{where} is {value!r}. Give a number >= 0.")
    return number


def _of_patterns(chosen: Chosen, penalty: Mapping[Any, Any]) -> dict[str, float]:
    numbers = {str(name): _number(value, f"penalty[{name!r}]") for name, value in penalty.items()}
    unused = [name for name in numbers if not any(fnmatchcase(one, name) for one in chosen)]
    if unused:
        raise InputError(f"penalty names {listed(unused)}, which fit no chosen parameter: {listed(list(chosen), 8)}.")
    found = {}
    for name in chosen:
        fits = [value for pattern, value in numbers.items() if fnmatchcase(name, pattern)]
        found[name] = numbers.get(name, fits[0] if fits else 0.0)
    return found


def _of_optimizer(model: nn.Module, chosen: Chosen, optimizer: torch.optim.Optimizer) -> Penalties:
    kind = type(optimizer).__name__
    names: dict[int, str] = {id(value): name for name, value in model.named_parameters()}
    found, notes, decoupled = dict.fromkeys(chosen, 0.0), [], 0.0
    for group in optimizer.param_groups:
        decay = _number(group.get("weight_decay", 0.0), f"{kind}'s weight_decay")
        if decay == 0.0:
            continue
        if group.get("decoupled_weight_decay", False) or kind in DECOUPLED or isinstance(optimizer, torch.optim.AdamW):
            decoupled = max(decoupled, decay)
            continue
        if not any(base.__name__ in L2 for base in type(optimizer).__mro__):
            raise UnsupportedModel(
                f"it is not known whether {kind}'s weight_decay is part of the loss. Give penalty as a number (its "
                "weight decay, if it adds it to the gradient), or 0 if it is decoupled."
            )
        for value in group["params"]:
            name = names.get(id(value))
            if name in found:
                found[name] = decay
    if decoupled:
        notes.append(
            f"{kind}'s weight decay of {decoupled:g} is decoupled: it shrinks the parameters beside the gradient and "
            "is no part of the loss, so the penalty is 0 and the model need not be where the loss is lowest"
        )
    return found, tuple(notes)


def flat(model: nn.Module, chosen: Chosen, values: Mapping[str, float], like: Tensor) -> Tensor:
    """One number per chosen parameter, spread over its entries: [p]."""
    sizes = dict(model.named_parameters())
    return torch.cat(
        [torch.full((sizes[name].numel(),), values[name], dtype=like.dtype, device=like.device) for name in chosen]
    )
