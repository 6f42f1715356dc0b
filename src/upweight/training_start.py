"""Where a training run starts, from its seed alone: a fresh model, or a given state; and torch's randomness, named.

Nothing is seeded globally: torch's generators are forked, seeded by purpose and put back. Stands on randomness;
training_run stands on it.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from upweight.errors import InputError, UnsupportedModel, listed
from upweight.randomness import generator

__all__ = ["fresh", "seeded", "started", "state_of"]

Factory = Callable[[], nn.Module]


@contextmanager
def seeded(device: torch.device, seed: int, purpose: str, *ids: int | str) -> Iterator[None]:
    """Torch's generators of the CPU and of this device in a state that the name alone decides; afterwards as before."""
    number = int(generator(seed, purpose, *ids).integers(2**63))
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(number)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield


def fresh(module: nn.Module | Factory, seed: int, device: torch.device) -> nn.Module:
    """A model of its own with first values drawn from the seed.

    A factory is called. A module is copied, and each of its parts draws anew by its own `reset_parameters`, the whole
    after its parts; parameters that do not train keep their values.
    Raises: UnsupportedModel where a part that trains has no `reset_parameters`: it would keep what it has learnt.
    """
    with seeded(device, seed, "initialisation"):
        if not isinstance(module, nn.Module):
            return module()
        model = copy.deepcopy(module)
        frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
        parts = list(model.named_modules())
        stuck = [name or type(part).__name__ for name, part in reversed(parts) if not _restarted(part)]
    if stuck:
        raise UnsupportedModel(
            f"{type(module).__name__} cannot start afresh: {listed(stuck[::-1])} has parameters and no "
            "reset_parameters(), so it would keep what it has learnt. Give a function that builds the model "
            "instead, or a state to start from."
        )
    return _filled(model, frozen)


def started(module: nn.Module | Factory, start: Mapping[str, Tensor], device: torch.device) -> nn.Module:
    """A model of its own that continues from `start`: a value for each parameter (tied ones once) and saved buffer."""
    model = copy.deepcopy(module) if isinstance(module, nn.Module) else fresh(module, 0, device)
    places = _places(model)
    wrong = [f"{name!r} is not the model's" for name in start if name not in places]
    wrong += [
        f"{name!r} has shape {tuple(value.shape)} and the model's {tuple(places[name].shape)}"
        for name, value in start.items()
        if name in places and value.shape != places[name].shape
    ]
    given = {id(places[name]) for name in start if name in places}
    wrong += [f"{name!r} is missing" for name in model.state_dict() if name in places and id(places[name]) not in given]
    if wrong:
        raise InputError(f"start: {'; '.join(wrong[:3])}. Give the state_dict() of a {type(model).__name__}.")
    return _filled(model, start)


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter (tied ones once) and buffer by name, detached, sharing memory."""
    both = (*model.named_parameters(), *model.named_buffers())
    return {name: value.detach() for name, value in both}


def _places(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by each of its names."""
    parameters, buffers = model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    return dict((*parameters, *buffers))


@torch.no_grad()
def _filled(model: nn.Module, values: Mapping[str, Tensor]) -> nn.Module:
    places = _places(model)
    for name, value in values.items():
        places[name].copy_(value)
    return model


def _restarted(part: nn.Module) -> bool:
    """Draw this part's own parameters anew; False where it does not know how."""
    own = list(part.parameters(recurse=False))
    if own and not any(parameter.requires_grad for parameter in own):
        return True
    reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
    if callable(reset):
        reset()
        return True
    return not own
