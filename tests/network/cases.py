"""Small networks of every kind after a few steps of training, and dense float64 answers for them written a second way.

The reference differentiates a copy of the module in its own parameters, one row at a time and twice, in loops; where
torch has no second derivative of a kernel, it reads a twin of the module written without it.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.attention import SDPBackend, sdpa_kernel

from upweight.network import Network

N = 7


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(z, y, reduction="none")


def squared(z: Tensor, y: Tensor) -> Tensor:
    return 0.5 * (z - y) ** 2


def tokens(z: Tensor, y: Tensor) -> Tensor:
    """Summed over the positions of a row."""
    return nn.functional.cross_entropy(z.transpose(1, 2), y, reduction="none").sum(1)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cell = kind(2, 2, batch_first=True)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


class Attention(nn.Module):
    written_out = False  # the twin asks for the weights, and so takes no fused kernel

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.norm = nn.LayerNorm(4)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        g = self.norm(h)
        h = h + self.attend(g, g, g, need_weights=self.written_out)[0]
        return self.head(h.mean(1))


class Bag(nn.Module):
    written_out = False

    def __init__(self, mode: str = "mean") -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(6, 3, mode=mode, padding_idx=0)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        if not self.written_out:
            return self.head(torch.tanh(self.embed(x)))
        rows = [[self.embed.weight[token] for token in row if token != 0] for row in x]
        means = [torch.stack(row).mean(0) if row else torch.zeros(3, dtype=torch.float64) for row in rows]
        return self.head(torch.tanh(torch.stack(means)))


class Normed(nn.Module):
    """Its kernel's second derivative is wrong in torch: the twin writes it out."""

    written_out = False

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if not self.written_out:
            return self.head(torch.tanh(self.body(x)))
        own = dict(self.body.named_parameters())
        g, v = (value for name, value in own.items() if name != "bias")
        h = x @ (g * v / v.pow(2).sum(1, keepdim=True).sqrt()).mT + own["bias"]
        return self.head(torch.tanh(h))


class Tied(nn.Module):
    """The output layer's weight is the embedding's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.mix = nn.Linear(3, 3)
        self.head = nn.Linear(3, 5)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mix(self.embed(x))))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(2, 3), nn.Embedding(4, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        return self.head(torch.tanh(self.left(x)) * self.right(token))


class Squeezed(nn.Module):
    """A batch of one row loses its first axis: such modules are common, and no row may stand alone in them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).squeeze()


class _Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3.0 * x**2 * gradients[0]


class Own(nn.Module):
    """A function of the user's own, without a rule for vmap or forward mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(_Cube.apply(self.first(x)))


class Frozen(nn.Module):
    """Parameters that are not chosen, a buffer, and a chosen one that no output reads."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.body, self.unused, self.head = nn.Linear(3, 4), nn.Linear(2, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(self.norm(x))))


@dataclass(frozen=True)
class Case:
    """How to make a module, its rows, and which of its parameters move."""

    name: str
    make: Callable[[], nn.Module] = field(repr=False)
    rows: Callable[[], Any] = field(repr=False)
    loss: Callable[[Tensor, Tensor], Tensor] = field(default=cross_entropy, repr=False)
    targets: Callable[[], Tensor] = field(default=lambda: torch.arange(N) % 3, repr=False)
    chosen: Callable[[str], bool] = field(default=lambda name: True, repr=False)
    apart: bool = True  # rows can be mapped over one by one
    straight: bool = False  # outputs are linear in the chosen parameters
    normalization: str = "mean"

    @cached_property
    def network(self) -> Network:
        """After some steps of Adam, with uneven weights and penalties."""
        with torch.random.fork_rng():
            torch.manual_seed(7)
            module, x, y = self.make().double(), self.rows(), self.targets()
            inputs = x if isinstance(x, tuple) else (x,)
            optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
            for _ in range(5):
                optimiser.zero_grad()
                self.loss(module(*inputs), y).mean().backward()
                optimiser.step()
            module.eval()
            chosen = tuple(name for name, _ in module.named_parameters() if self.chosen(name))
            size = sum(module.get_parameter(name).numel() for name in chosen)
            weights = torch.rand(N, dtype=torch.float64) + 0.5
            weights[3] = 0.0
            penalty = torch.rand(size, dtype=torch.float64) * (torch.arange(size) % 3 != 0)
        return Network(module, self.loss, chosen, x, y, weights, 0.1 * penalty, self.normalization)


@dataclass(frozen=True)
class Dense:
    """Unweighted, one row after another."""

    losses: Tensor  # [n]
    gradients: Tensor  # [n, p]
    hessians: Tensor  # [n, p, p]
    jacobians: Tensor  # [n, c, p]
    bends: Tensor  # [n, c, c], of the loss in its outputs


@lru_cache
def dense(case: Case) -> Dense:
    """By a copy's own parameters, rows two at a time of which one counts: no row stands alone."""
    network = case.network
    module = deepcopy(network.module)
    for part in module.modules():
        if hasattr(part, "written_out"):
            part.written_out = True
    leaves = [module.get_parameter(name) for name in network.chosen]

    def flat(value: Tensor, again: bool = False) -> Tensor:
        found = grad(value, leaves, create_graph=again, retain_graph=True, allow_unused=True)
        return torch.cat(
            [torch.zeros_like(p).view(-1) if g is None else g.reshape(-1) for g, p in zip(found, leaves, strict=True)]
        )

    def once_more(values: Tensor) -> Tensor:
        rows = [
            flat(value) if value.requires_grad else torch.zeros(network.size, dtype=torch.float64) for value in values
        ]
        return torch.stack(rows)

    losses, gradients, hessians, jacobians, bends = [], [], [], [], []
    for row in range(N):
        pair = torch.tensor([row, (row + 1) % N])
        x, y = network.batch(pair)
        with sdpa_kernel(SDPBackend.MATH):
            z = module(*x) if isinstance(x, tuple) else module(x)
        loss = case.loss(z, y)[0]
        slope = flat(loss, again=True)
        losses.append(loss.detach())
        gradients.append(slope.detach())
        hessians.append(once_more(slope))
        jacobians.append(once_more(z[0].reshape(-1)))
        apart = z.detach()

        def of_outputs(own: Tensor, rest: Tensor = apart, y: Tensor = y) -> Tensor:
            return case.loss(torch.cat([own.reshape(1, *rest.shape[1:]), rest[1:]]), y)[0]

        bends.append(torch.autograd.functional.hessian(of_outputs, apart[0].reshape(-1)))
    return Dense(*(torch.stack(part) for part in (losses, gradients, hessians, jacobians, bends)))


def of_type(network: Network, dtype: torch.dtype) -> Network:
    """The same network with its float numbers of this type."""

    def cast(value: Tensor) -> Tensor:
        return value.to(dtype) if value.is_floating_point() else value

    x = network.inputs
    return replace(
        network,
        state={name: cast(value) for name, value in network.values.items()},
        inputs=tuple(map(cast, x)) if isinstance(x, tuple) else cast(x),
        **{name: cast(getattr(network, name)) for name in ("targets", "weights", "penalty")},
    )


def numbers(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(*shape, dtype=torch.float64)


def words(count: int, *shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(count, shape)


CASES = (
    Case("linear softmax", lambda: nn.Linear(4, 3), numbers(N, 4), straight=True),
    Case("tanh", lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)), numbers(N, 3)),
    Case(
        "relu in place",
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)),
        numbers(N, 3),
        normalization="sum",
    ),
    Case(
        "convolution",
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)),
        numbers(N, 1, 6, 6),
    ),
    Case("lstm", lambda: Recurrent(nn.LSTM), numbers(N, 3, 2), apart=False),
    Case("gru", lambda: Recurrent(nn.GRU), numbers(N, 3, 2), apart=False, normalization="sum"),
    Case("attention", Attention, words(6, N, 3)),
    Case(
        "encoder layer",
        lambda: nn.Sequential(
            nn.Linear(2, 4),
            nn.TransformerEncoderLayer(4, 2, 4, dropout=0.0, batch_first=True),
            nn.Flatten(),
            nn.Linear(8, 3),
        ),
        numbers(N, 2, 2),
        chosen=lambda name: "linear2" in name or "in_proj_bias" in name or "norm1" in name,
    ),
    Case("embedding bag", Bag, words(6, N, 4)),
    Case("embedding bag, sums", lambda: Bag("sum"), lambda: torch.randint(1, 6, (N, 1))),
    Case("weight norm", Normed, numbers(N, 3)),
    Case(
        "leaky slopes",
        lambda: nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.LayerNorm(4), nn.Linear(4, 3)),
        numbers(N, 3),
    ),
    Case("tied, one loss for several positions", Tied, words(5, N, 3), tokens, words(5, N, 3), normalization="sum"),
    Case("two inputs", TwoInputs, lambda: (numbers(N, 2)(), words(4, N)())),
    Case("squeezed", Squeezed, numbers(N, 3), squared, numbers(N), apart=False),
    Case("own function", Own, numbers(N, 3), apart=False),
    Case("some frozen, one unused", Frozen, numbers(N, 3), chosen=lambda name: "norm" not in name),
    Case(
        "head alone",
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
        numbers(N, 3),
        chosen=lambda name: name.startswith("2."),
        straight=True,
    ),
    Case(
        "absolute error",  # a loss without curvature in its outputs
        lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1), nn.Flatten(0)),
        numbers(N, 3),
        lambda z, y: (z - y).abs(),
        numbers(N),
    ),
)
