"""Row gradients of a network by automatic differentiation: g_i = w_i ∇ℓ_i, and in mean form its share of Λθ.

Very few vectors meet all rows of a batch by two backward passes; for many the rows' gradients are formed, a chunk at a
time. With a residual shift d = H⁻¹∇F each g_i is taken, to first order, where training would have ended: g_i − ∇²ℓ_i d.
θ is differentiated in at most twice, the rows' factors last: torch's third derivatives are silently wrong for layers
that keep their statistics (a layer norm's mean and scale count as constants there).
Stands on network and derivatives; sensitivities stand on it. Source: METHODS.md 1, 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, vmap

from upweight.derivatives import differentiable, gradient, pulled
from upweight.network import Inputs, Network, even_blocks
from upweight.shapes import Array, Float, Vectors

__all__ = ["AutodiffSource", "query_directions", "row_jacobians", "rows_apart"]

PER_ROW_FROM = 4  # vectors from which forming the rows' gradients is cheaper: three times on LeNet, 20 times with 32
TOGETHER = 8  # rows that share one pass where the module has no batching rule


@dataclass(frozen=True)
class AutodiffSource:
    """A row enters by a factor on its weight: 1 as fitted, 0 removed, 2 twice."""

    network: Network
    residual_shift: Float[Tensor, " p"] | None = None
    pull: Float[Tensor, " p"] | None = None  # what a row takes with it in mean form; None: the penalty's

    @property
    def n(self) -> int:
        """Rows."""
        return self.network.n

    @property
    def scale(self) -> float:
        """s."""
        return self.network.scale

    def said(self, vectors: Vectors) -> str:
        """Nothing: products are of the model's own type."""
        return ""

    @property
    def shared(self) -> Float[Tensor, " p"]:
        """What a row's share is of: the penalty's pull, unless another is given."""
        if self.pull is not None:
            return self.pull
        pull = self.network.penalty_gradient
        return pull if self.residual_shift is None else pull - self.network.penalty * self.residual_shift

    def dot(self, vectors: Float[Tensor, "k p"]) -> Iterator[tuple[slice, Float[Array, "k b"]]]:
        """vectors · g_i in row blocks."""
        network = self.network
        along = vectors @ self.shared
        for rows, own in self._formed(vectors) if self._forms(vectors.shape[0]) else self._passed(vectors):
            yield rows, own * network.weights[rows] + along[:, None] * network.shares[rows]

    def combine(self, e: Float[Tensor, "j n"]) -> Float[Array, "j p"]:
        """Σ_i e_i g_i."""
        network = self.network
        weighted = e * network.weights
        with differentiable(network.module, network.device):
            total = network.vector.new_zeros((e.shape[0], network.size))
            for rows in network.batches(self._widened(e.shape[0])):
                leaf = network.leaf()
                total += self._weighted(leaf, network.losses(leaf, *network.batch(rows)), weighted[:, rows])
        return total + (e @ network.shares)[:, None] * self.shared

    def row_gradients(self, rows: slice | Tensor) -> Float[Tensor, "b p"]:
        """∇ℓ_i of these rows (shifted where there is a shift), unweighted, formed."""
        network = self.network
        x, y = network.batch(rows)
        with differentiable(network.module, network.device):
            if not rows_apart(network):
                count = network.targets[rows].shape[0]
                leaf = network.leaf()
                each = torch.eye(count, dtype=leaf.dtype, device=leaf.device)
                return self._weighted(leaf, network.losses(leaf, x, y), each)
            found: Tensor = vmap(grad(self._one), (None, 0, 0))(network.vector, x, y)
            return found.detach()

    def _one(self, vector: Tensor, x: Inputs, y: Tensor) -> Tensor:
        def loss(at: Tensor) -> Tensor:
            return self.network.losses(at, _alone(x), y[None])[0]

        here = loss(vector)
        if self.residual_shift is None:
            return here
        slope: Tensor = grad(loss)(vector)
        return here - slope @ self.residual_shift

    def _pull(self, leaf: Tensor, losses: Tensor, factors: Tensor) -> Tensor:
        """Σ_i factor_i (g_i, or g_i − ∇²ℓ_i d), unweighted, with its graph."""
        slope = gradient(losses, leaf, factors)
        return slope if self.residual_shift is None else slope - gradient(slope, leaf, self.residual_shift)

    def _weighted(self, leaf: Tensor, losses: Tensor, e: Tensor) -> Tensor:
        """The same for each row of e, without a graph."""
        if self.residual_shift is None:
            return pulled(losses, leaf, e)
        return torch.stack([self._pull(leaf, losses, factors).detach() for factors in e])

    def _widened(self, k: int) -> int:
        return k if self.residual_shift is None else 2 * k + 2  # one more pass is kept

    def _passed(self, vectors: Tensor) -> Iterator[tuple[slice, Tensor]]:
        network = self.network
        for rows in network.batches(self._widened(vectors.shape[0])):
            leaf = network.leaf()
            with differentiable(network.module, network.device):
                losses = network.losses(leaf, *network.batch(rows))
                factors = torch.ones_like(losses).requires_grad_()
                own = pulled(self._pull(leaf, losses, factors), factors, vectors)
            yield rows, own

    def _formed(self, vectors: Tensor) -> Iterator[tuple[slice, Tensor]]:
        for rows in even_blocks(self.n, self.network.batch_bytes / self._row_bytes):
            yield rows, vectors @ self.row_gradients(rows).mT

    @property
    def _row_bytes(self) -> float:
        network = self.network
        return 3.0 * network.size * network.vector.element_size() + self._widened(2) * network.bytes_per_row

    def _forms(self, k: int) -> bool:
        """Whether the rows' gradients are formed: many vectors, room for some rows, and a rule for each layer."""
        return k >= PER_ROW_FROM and TOGETHER * self._row_bytes <= self.network.batch_bytes and rows_apart(self.network)


def row_jacobians(network: Network, rows: slice | Tensor) -> Float[Tensor, "b c p"]:
    """∂z/∂θ of these rows: each row once for each of its outputs, in one map over all of them.

    Two maps, one inside the other, would read a row once; they give silently wrong answers for some layers (PReLU).
    """
    x, _ = network.batch(rows)
    c, count = network.c, len(network.targets[rows])
    with differentiable(network.module, network.device):
        if rows_apart(network):
            each = torch.eye(c, dtype=network.dtype, device=network.device).repeat(count, 1)
            return _directions(network, _repeated(x, c), each, True).reshape(count, c, network.size)
        leaf = network.leaf()
        z = network.outputs(leaf, x)
        eye = torch.eye(z.numel(), dtype=z.dtype, device=z.device).reshape(-1, *z.shape)
        return pulled(z, leaf, eye).reshape(count, c, network.size)


def query_directions(network: Network, x: Inputs, dz: Float[Tensor, "q c"]) -> Float[Tensor, "q p"]:
    """Jᵀdz of each query: how θ would have to move for its outputs to move along dz."""
    found = [network.vector.new_zeros((0, network.size))]
    per_row = 3.0 * network.size * network.vector.element_size() + 3.0 * network.bytes_per_row
    apart = rows_apart(network)
    most = network.batch_bytes / per_row if apart else TOGETHER
    for rows in even_blocks(dz.shape[0], most):
        some = tuple(part[rows] for part in x) if isinstance(x, tuple) else x[rows]
        with differentiable(network.module, network.device):
            found.append(_directions(network, some, dz[rows], apart))
    return torch.cat(found)


def _directions(network: Network, x: Inputs, dz: Tensor, apart: bool) -> Tensor:
    if apart:

        def one(vector: Tensor, row: Inputs, along: Tensor) -> Tensor:
            return (network.outputs(vector, _alone(row))[0] * along).sum()

        found: Tensor = vmap(grad(one), (None, 0, 0))(network.vector, x, dz)
        return found.detach()
    leaf = network.leaf()
    z = network.outputs(leaf, x)
    each = torch.eye(dz.shape[0], dtype=dz.dtype, device=dz.device)[:, :, None] * dz
    return pulled(z, leaf, each)


def rows_apart(network: Network) -> bool:
    """Whether the module can be mapped over rows, each alone, with the same gradients: tried once on two of them."""
    known: bool | None = network.__dict__.get("rows_apart")
    if known is None:
        known = network.__dict__["rows_apart"] = _maps_over_rows(network)
    return known


def _maps_over_rows(network: Network) -> bool:
    x, y = network.batch(slice(0, min(2, network.n)))

    def one(vector: Tensor, row: Inputs, target: Tensor) -> Tensor:
        z = network.raw_outputs(vector, _alone(row))
        if z.shape != (1, *raw.shape[1:]):
            raise ValueError("a batch of one row has outputs of another shape")
        return network.row_loss(z, target[None])[0]

    with differentiable(network.module, network.device):
        leaf = network.leaf()
        raw = network.raw_outputs(leaf, x)
        losses = network.row_loss(raw, y)
        together = pulled(losses, leaf, torch.eye(losses.shape[0], dtype=losses.dtype, device=losses.device))
        try:
            alone = vmap(grad(one), (None, 0, 0))(network.vector, x, y)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # what a module does not bear alone, or a layer without a rule, has no class of its own
            return False
    close = 1e-3 if network.dtype is not torch.float64 else 1e-8
    return bool((alone - together).norm() <= close * together.norm())


def _repeated(x: Inputs, times: int) -> Inputs:
    if isinstance(x, tuple):
        return tuple(part.repeat_interleave(times, 0) for part in x)
    return x.repeat_interleave(times, 0)


def _alone(row: Inputs) -> Inputs:
    return tuple(part[None] for part in row) if isinstance(row, tuple) else row[None]
