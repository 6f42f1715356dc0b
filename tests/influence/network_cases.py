"""Small float64 networks, trained to their minimum or stopped early, and what removals do to them written a second way.

The reference holds the module's parameters as one flat vector, takes the Hessian of the scalar F by double autograd,
and every row's gradient and Jacobian one at a time; measurements are written in torch from the outputs.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

N, Q = 24, 4


class Recurrent(nn.Module):
    """The last state of a small recurrent layer."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cell, self.head = kind(2, 2, batch_first=True), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """[b, 2]."""
        return self.head(self.cell(x)[0][:, -1])  # type: ignore[no-any-return]


class Block(nn.Module):
    """One attention block with its residual path."""

    def __init__(self) -> None:
        super().__init__()
        self.attend, self.head = nn.MultiheadAttention(2, 1, batch_first=True), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """[b, 2]."""
        return self.head((x + self.attend(x, x, x, need_weights=False)[0]).mean(1))  # type: ignore[no-any-return]


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """[b]."""
    return functional.cross_entropy(z, y, reduction="none")


def squared(z: Tensor, y: Tensor) -> Tensor:
    """[b]."""
    return 0.5 * (z - y).square().sum(1)


def binary(z: Tensor, y: Tensor) -> Tensor:
    """[b]."""
    return functional.binary_cross_entropy_with_logits(z, y, reduction="none").sum(1)


@dataclass(frozen=True)
class Case:
    """How to make a module, and rows of x [shape] whose labels it can learn in part."""

    name: str
    make: Callable[[], nn.Module] = field(repr=False)
    shape: tuple[int, ...]
    loss: Callable[[Tensor, Tensor], Tensor] = field(default=cross_entropy, repr=False)
    kind: str = "classes"  # "classes", "numbers", "binary"
    normalization: str = "mean"
    penalty: float = 0.05
    seed: int = 0  # of the start: some end at a kink, or at a minimum that hardly bends

    @cached_property
    def data(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, y, x of the queries, y of the queries."""
        draw = torch.Generator().manual_seed(11)
        x = torch.randn(N + Q, *self.shape, generator=draw, dtype=torch.float64)
        along = x.flatten(1) @ torch.randn(x[0].numel(), 3, generator=draw, dtype=torch.float64)
        seen = torch.sin(along) + 0.3 * torch.randn(along.shape, generator=draw, dtype=torch.float64)
        y = {"classes": seen[:, :2].argmax(1), "numbers": seen[:, :1], "binary": (seen[:, :1] > 0).double()}[self.kind]
        return x[:N], y[:N], x[N:], y[N:]

    def objective(self, model: nn.Module, weights: Tensor) -> Tensor:
        """F at the module's own parameters."""
        x, y, _, _ = self.data
        divisor = float(weights.sum()) if self.normalization == "mean" else float(N)
        size = sum(value.square().sum() for value in model.parameters())
        return (weights * self.loss(model(x), y)).sum() / divisor + 0.5 * self.penalty * size

    def settled(self, weights: Tensor | None = None, start: nn.Module | None = None) -> nn.Module:
        """The minimum that L-BFGS finds from the seed's start, or from a model's own parameters."""
        weights = torch.ones(N, dtype=torch.float64) if weights is None else weights
        model = self.start() if start is None else deepcopy(start)
        optimiser = torch.optim.LBFGS(
            model.parameters(),
            max_iter=4000,
            tolerance_grad=1e-12,
            tolerance_change=1e-16,
            history_size=40,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            with sdpa_kernel(SDPBackend.MATH):
                value = self.objective(model, weights)
            value.backward()
            return value

        for _ in range(2):
            optimiser.step(closure)  # type: ignore[no-untyped-call]
        optimiser.zero_grad()
        return model.eval()

    def stopped(self, steps: int = 15, rate: float = 0.3) -> nn.Module:
        """After some steps of gradient descent."""
        model = self.start()
        optimiser = torch.optim.SGD(model.parameters(), lr=rate)
        for _ in range(steps):
            optimiser.zero_grad()
            self.objective(model, torch.ones(N, dtype=torch.float64)).backward()
            optimiser.step()
        optimiser.zero_grad()
        return model.eval()

    def start(self) -> nn.Module:
        """Before training."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return self.make().double()


CASES = (
    Case("tanh", lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)), (3,)),
    Case("relu", lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), (3,), normalization="sum"),
    Case("numbers", lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)), (3,), squared, "numbers"),
    Case(
        "one logit",
        lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)),
        (3,),
        binary,
        "binary",
        normalization="sum",
    ),
    Case(
        "convolution",
        lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 2)),
        (1, 3, 3),
        seed=1,
    ),
    Case("lstm", lambda: Recurrent(nn.LSTM), (2, 2), seed=5),
    Case("gru", lambda: Recurrent(nn.GRU), (2, 2), normalization="sum", seed=5),
    Case("attention", Block, (2, 2), penalty=0.02, seed=5),
)


@lru_cache
def trained(case: Case, how: str) -> nn.Module:
    """Once for all tests: "settled" or "stopped"."""
    return case.settled() if how == "settled" else case.stopped()


MEASURED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of logits [c] of one query and its class
    "log_prob": lambda z, y: torch.log_softmax(z, 0)[y],
    "prob": lambda z, y: torch.softmax(z, 0)[y],
    "margin": lambda z, y: torch.log_softmax(z, 0)[y] - torch.log1p(-torch.softmax(z, 0)[y]),
}


class Dense:
    """One case at one model's parameters (or some of them): all of it dense."""

    def __init__(
        self, case: Case, model: nn.Module, weights: Tensor | None = None, chosen: tuple[str, ...] | None = None
    ) -> None:
        self.case, self.model = case, deepcopy(model)
        self.chosen = chosen or tuple(name for name, _ in model.named_parameters())
        parts = [dict(self.model.named_parameters())[name].detach() for name in self.chosen]
        self.shapes = [part.shape for part in parts]
        self.theta = torch.cat([part.reshape(-1) for part in parts])
        self.weights = torch.ones(N, dtype=torch.float64) if weights is None else weights
        mean = case.normalization == "mean"
        self.s = 1.0 / float(self.weights.sum()) if mean else 1.0 / N
        self.share = self.weights if mean else torch.zeros(N, dtype=torch.float64)

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        """[b, c]."""
        sizes = [shape.numel() for shape in self.shapes]
        pieces = [part.reshape(shape) for part, shape in zip(theta.split(sizes), self.shapes, strict=True)]
        with sdpa_kernel(SDPBackend.MATH):
            found: Tensor = functional_call(self.model, dict(zip(self.chosen, pieces, strict=True)), (x,))
        return found

    def losses(self, theta: Tensor) -> Tensor:
        """[n]."""
        return self.case.loss(self.outputs(theta, self.case.data[0]), self.case.data[1])

    def value(self, theta: Tensor) -> Tensor:
        """F, but for the penalty of what does not move."""
        return self.s * (self.weights * self.losses(theta)).sum() + 0.5 * self.case.penalty * theta.square().sum()

    @cached_property
    def slope(self) -> Tensor:
        """∇F [p]."""
        theta = self.theta.clone().requires_grad_()
        return grad(self.value(theta), theta)[0]

    @cached_property
    def hessian(self) -> Tensor:
        """[p, p], by double autograd."""
        return torch.autograd.functional.hessian(self.value, self.theta)  # type: ignore[no-any-return]

    def _slopes(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """u [n, c] and S [n, c, c] of the losses at outputs z, row by row."""
        y, us, ss = self.case.data[1], [], []
        for i in range(N):

            def one(own: Tensor, i: int = i) -> Tensor:
                return self.case.loss(own[None], y[i : i + 1])[0]

            us.append(torch.autograd.functional.jacobian(one, z[i]))
            ss.append(torch.autograd.functional.hessian(one, z[i]))
        return torch.stack(us), torch.stack(ss)

    def jacobian(self, x: Tensor) -> Tensor:
        """[b, c, p], row by row."""
        rows = [
            torch.autograd.functional.jacobian(lambda t, i=i: self.outputs(t, x[i : i + 1])[0], self.theta)
            for i in range(len(x))
        ]
        return torch.stack(rows)

    @cached_property
    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """J [n, c, p], u [n, c], S [n, c, c] at θ."""
        x = self.case.data[0]
        return self.jacobian(x), *self._slopes(self.outputs(self.theta, x).detach())

    @cached_property
    def ggn(self) -> Tensor:
        """[p, p]."""
        j, _, s = self.rows
        products = torch.einsum("n,nap,nab,nbq->pq", self.weights, j, s, j)
        return self.s * products + self.case.penalty * torch.eye(len(self.theta), dtype=torch.float64)

    @staticmethod
    def solved(curvature: Tensor, b: Tensor) -> Tensor:
        """C⁻¹ b [p, …]; a symmetry of the network (turning keys and queries together) is a direction without a bend."""
        return torch.linalg.pinv(curvature, rtol=1e-8, hermitian=True) @ b

    def first_order(self, curvature: Tensor, residual: bool) -> Tensor:
        """δθ [n, p] without each row: s C⁻¹ (w_i J_iᵀu_i + its share of Λθ), u_i where training was on its way to."""
        j, u, _ = self.rows
        if residual:
            ended = self.theta - self.solved(curvature, self.slope)
            u = self._slopes(self.outputs(ended, self.case.data[0]).detach())[0]
        pulls = self.weights[:, None] * torch.einsum("ncp,nc->np", j, u)
        pulls = pulls + self.share[:, None] * self.case.penalty * self.theta
        return self.s * self.solved(curvature, pulls.T).T

    def newton(self, curvature: Tensor, residual: bool) -> Tensor:
        """δθ [n, p], each row's system whole: (C′ − s w_i J_iᵀS_iJ_i) δθ = s (w_i J_iᵀ(u_i − S_iJ_i d) + share Λθ).

        C′: the penalty has lost a mean share, unless that is half of what the lowest direction bends; d = C⁻¹∇F.
        """
        j, u, s = self.rows
        eye = torch.eye(len(self.theta), dtype=torch.float64)
        share = self.share[self.weights > 0].mean()
        lost = self.s * share * self.case.penalty
        left = curvature if lost > 0.5 * torch.linalg.eigvalsh(curvature)[0] else curvature - lost * eye
        d = self.solved(curvature, self.slope) if residual else torch.zeros_like(self.theta)
        steps = []
        for i in range(N):
            own = self.weights[i] * j[i].T @ s[i] @ j[i]
            pull = self.weights[i] * j[i].T @ (u[i] - s[i] @ j[i] @ d) + self.share[i] * self.case.penalty * self.theta
            steps.append(self.solved(left - self.s * own, self.s * pull))
        return torch.stack(steps)

    def leverages(self, curvature: Tensor) -> Tensor:
        """[n]: largest eigenvalue of s w_i S_i J_i C⁻¹ J_iᵀ."""
        j, _, s = self.rows
        b = self.s * torch.einsum("nap,npb->nab", j, torch.linalg.solve(curvature, j.mT))
        return torch.linalg.eigvals(self.weights[:, None, None] * s @ b).real.amax(1)

    def measured(self, name: str) -> Callable[[Tensor], Tensor]:
        """[q] of θ."""
        _, _, x, y = self.case.data

        def measure(theta: Tensor) -> Tensor:
            return self.of_outputs(name, self.outputs(theta, x), y)

        return measure

    def of_outputs(self, name: str, z: Tensor, y: Tensor) -> Tensor:
        """[q]."""
        if name == "loss":
            return self.case.loss(z, y)
        if name == "prediction":
            return z[:, 0]
        if self.case.kind == "binary":
            z = torch.cat([torch.zeros_like(z), z], 1)
        return torch.stack([MEASURED[name](z[q], y[q].long().reshape(())) for q in range(len(z))])

    def changes(self, name: str, steps: Tensor) -> Tensor:
        """[q, n]: ∇m · δθ."""
        return torch.autograd.functional.jacobian(self.measured(name), self.theta) @ steps.T  # type: ignore[no-any-return]

    def evaluated(self, name: str, steps: Tensor) -> Tensor:
        """[q, n]: the measurement at z + J δθ, less what it is."""
        _, _, x, y = self.case.data
        z, moves = self.outputs(self.theta, x).detach(), torch.einsum("qcp,np->nqc", self.jacobian(x), steps)
        now = self.of_outputs(name, z, y)
        return torch.stack([self.of_outputs(name, z + move, y) - now for move in moves], 1)


def asked(case: Case, model: nn.Module, **settings: Any) -> Any:
    """The case through the public door."""
    from upweight import Influence

    x, y, _, _ = case.data
    given = {"penalty": case.penalty, "normalization": case.normalization} | settings
    return Influence.from_torch(model, case.loss, given.pop("data", (x, y)), **given)
