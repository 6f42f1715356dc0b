"""Optimisers as elementwise rules on named tensors of any shape, so that k stacked models step as one.

Each agrees with torch.optim's step for step, at torch's own defaults. `weight_decay` of SGD and Adam is part of the
gradient, so of the loss; AdamW's is decoupled: no loss has it as its penalty. Stands on torch; training_run stands on
it. Source: Sutskever et al. (2013), section 2; Kingma & Ba (2015), algorithm 1; Loshchilov & Hutter (2019).
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

__all__ = ["SGD", "Adam", "AdamW", "Optimiser", "State", "Tensors"]

Tensors: TypeAlias = dict[str, Tensor]
State: TypeAlias = dict[str, Tensors]  # what an optimiser remembers: its own name for it -> parameter -> tensor


@runtime_checkable
class Optimiser(Protocol):
    """A frozen value that holds settings; what it remembers of a run is the caller's `State`."""

    @property
    def learning_rate(self) -> float:
        """η before any schedule."""
        ...

    @property
    def weight_decay(self) -> float:
        """What each parameter shrinks with."""
        ...

    @property
    def decoupled(self) -> bool:
        """Whether weight decay acts beside the gradient, as no penalty of the loss would."""
        ...

    def start(self, parameters: Tensors) -> State:
        """Nothing remembered yet: zeros of the parameters' shapes."""
        ...

    def step(self, parameters: Tensors, gradients: Tensors, state: State, rate: float, number: int) -> None:
        """Change parameters and state in place; `rate` is η now, `number` counts from 1."""
        ...


@dataclass(frozen=True)
class SGD:
    """θ ← θ − η (g + weight_decay θ), with momentum or Nesterov's where asked."""

    learning_rate: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    @property
    def decoupled(self) -> bool:
        """No: its weight decay is an L2 penalty."""
        return False

    def start(self, parameters: Tensors) -> State:
        """A velocity for each parameter where there is momentum."""
        return {"velocity": _zeros(parameters)} if self.momentum else {}

    @torch.no_grad()
    def step(self, parameters: Tensors, gradients: Tensors, state: State, rate: float, number: int) -> None:
        """One step of all parameters."""
        for name, theta in parameters.items():
            g = gradients[name]
            if self.weight_decay:
                g = g.add(theta, alpha=self.weight_decay)
            if self.momentum:
                velocity = state["velocity"][name].mul_(self.momentum).add_(g)
                g = g.add(velocity, alpha=self.momentum) if self.nesterov else velocity
            theta.add_(g, alpha=-rate)


@dataclass(frozen=True)
class Adam:
    """θ ← θ − η m̂ / (√v̂ + ε), weight decay inside the gradient."""

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    @property
    def decoupled(self) -> bool:
        """No: its weight decay is an L2 penalty."""
        return False

    def start(self, parameters: Tensors) -> State:
        """First and second moments."""
        return {"first": _zeros(parameters), "second": _zeros(parameters)}

    @torch.no_grad()
    def step(self, parameters: Tensors, gradients: Tensors, state: State, rate: float, number: int) -> None:
        """One step of all parameters."""
        beta1, beta2 = self.betas
        for name, theta in parameters.items():
            g = gradients[name]
            if self.weight_decay and self.decoupled:
                theta.mul_(1.0 - rate * self.weight_decay)
            elif self.weight_decay:
                g = g.add(theta, alpha=self.weight_decay)
            first = state["first"][name].lerp_(g, 1.0 - beta1)
            second = state["second"][name].mul_(beta2).addcmul_(g, g, value=1.0 - beta2)
            size = second.sqrt().div_((1.0 - beta2**number) ** 0.5).add_(self.epsilon)
            theta.addcdiv_(first, size, value=-rate / (1.0 - beta1**number))


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose weight decay shrinks θ by η weight_decay beside the step."""

    weight_decay: float = 1e-2

    @property
    def decoupled(self) -> bool:
        """Yes: what it ends at minimises no penalised loss."""
        return True


def _zeros(parameters: Tensors) -> Tensors:
    return {name: torch.zeros_like(theta) for name, theta in parameters.items()}
