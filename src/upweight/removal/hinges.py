"""A fit as its hinges: F(θ) = Σ_k c_k max(0, m_k − s_k z_k) + ½ θᵀΛθ, its optimum's dual, and how well one is met.

θ = Λ⁻¹ Σ_k a_k s_k x_k with 0 ≤ a_k ≤ c_k, and at an optimum each hinge lies
    OFF     a_k = 0,         s_k z_k ≥ m_k
    INSIDE  0 < a_k < c_k,   s_k z_k = m_k       (the margin support vectors)
    FULL    a_k = c_k,       s_k z_k ≤ m_k
Stands on features; the exact path stands on it. Source: METHODS.md 2.5; Vapnik (1995).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from upweight.features import Features
from upweight.shapes import Float, Int

__all__ = ["FULL", "INSIDE", "OFF", "HingeFit", "Hinges", "duality_gap", "violation"]

OFF, INSIDE, FULL = 0, 1, 2


@dataclass(frozen=True)
class Hinges:
    """m hinges on n rows; `inverse` is 1/Λ of each column, 0 where a column has no penalty or no parameter."""

    features: Features  # [n, D]
    row: Int[Any, " m"]
    sign: Float[Any, " m"]
    margin: Float[Any, " m"]
    box: Float[Any, " m"]
    inverse: Float[Any, " D"]
    free: bool  # whether an intercept moves without a penalty

    def outputs(self, theta: Float[Any, " D"]) -> Float[Any, " m"]:
        """s z of every hinge."""
        z = self.features.matmul(theta[None, :], slice(0, self.features.rows))[:, 0]
        return np.asarray(self.sign * z[self.row])

    def pulled(self, dual: Float[Any, " m"]) -> Float[Any, " D"]:
        """Λ⁻¹ Σ a_k s_k x_k over the columns with a penalty."""
        at = np.flatnonzero(dual)
        if len(at) < self.features.rows // 4:
            x = self.features.take(self.row[at])
            return np.asarray(self.inverse * ((self.sign[at] * dual[at]) @ x))
        e = np.bincount(self.row, weights=self.sign * dual, minlength=self.features.rows)
        return np.asarray(self.inverse * self.features.rmatmul(e[:, None], slice(0, self.features.rows))[0])


@dataclass(frozen=True)
class HingeFit:
    """An optimum: `dual` a [m], `place` of each hinge, θ [D]; `settled`: the path got there."""

    dual: Float[Any, " m"]
    place: Int[Any, " m"]
    theta: Float[Any, " D"]
    pieces: int = 0
    settled: bool = True
    inside: Any = field(default=None, compare=False, repr=False)  # the inverse, so that the next path need not make it


def violation(hinges: Hinges, fit: HingeFit) -> float:
    """The largest miss of the conditions for an optimum, relative to the margins' size and to the boxes."""
    gap = hinges.outputs(fit.theta) - hinges.margin
    size = max(1.0, float(np.max(np.abs(hinges.margin), initial=0.0)))
    held = hinges.box > 0
    off = np.where(fit.place == OFF, -gap, np.where(fit.place == FULL, gap, np.abs(gap)))
    boxed = np.maximum(-fit.dual, fit.dual - hinges.box) / max(float(np.max(hinges.box, initial=0.0)), 1e-300)
    level = abs(float(hinges.sign @ fit.dual)) / max(float(np.sum(fit.dual)), 1e-300) if hinges.free else 0.0
    return max(float(np.max(off, initial=0.0, where=held)) / size, float(np.max(boxed, initial=0.0, where=held)), level)


def duality_gap(hinges: Hinges, fit: HingeFit, theta: Float[Any, " D"]) -> float:
    """F(θ) − the dual's value: F(θ) − F* and ½ (θ − θ*)ᵀ Λ (θ − θ*) are no more. Every parameter penalised."""
    stiff = np.where(hinges.inverse > 0, 1.0 / np.where(hinges.inverse > 0, hinges.inverse, 1.0), 0.0)
    own = hinges.pulled(fit.dual)
    lost = float(hinges.box @ np.maximum(hinges.margin - hinges.outputs(theta), 0.0))
    return lost + 0.5 * float(stiff @ (theta**2 + own**2)) - float(fit.dual @ hinges.margin)
