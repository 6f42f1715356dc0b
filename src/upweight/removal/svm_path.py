"""The exact path of a hinge model's optimum while boxes and margins move: what removing a row really does.

While c and m move linearly and no hinge changes place, a and θ move linearly too; until a hinge INSIDE reaches 0 or its
box, or one outside reaches its margin: then it changes place and the path bends. Removing a row drives its box to 0.
Each piece costs one pass over the rows, shared by all paths that go side by side, and O(|INSIDE|²) for the direction.
A hinge that depends on those inside (twins) takes the place of one of them along the direction that moves no output.
With a free intercept and nobody inside, the intercept moves until somebody enters.
Exact to rounding, whatever the loss's derivative says: rows INSIDE and OFF have none in their weight.
Stands on hinges and inside_margin. Source: METHODS.md 2.5; Cauwenberghs & Poggio (2000); Hastie, Rosset, Tibshirani &
Zhu (2004).
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.removal.hinges import FULL, INSIDE, OFF, HingeFit, Hinges
from upweight.removal.inside_margin import Inside
from upweight.shapes import Float

__all__ = ["follow", "follow_each"]

TIE = 1e-11  # of the margins' size: outputs nearer to the margin than this are on it
AT_BOUND = 1e-10  # of its box: a dual as near as this is there
STILL = 200  # pieces of no length in a row: a circle among ties
PIECES = 50  # for each hinge: beyond it the path is given up
SIDE_BY_SIDE = 128 * 2**20  # bytes of the paths that share a pass


def follow(
    hinges: Hinges, fit: HingeFit, box: Float[Any, " m"] | None = None, margin: Float[Any, " m"] | None = None
) -> tuple[Hinges, HingeFit]:
    """The optimum where boxes and margins are these, from `fit`, which is one where they are those of `hinges`.

    `settled` False: there is no optimum at the end (a side is gone), or ties went in a circle.
    """
    there = replace(
        hinges,
        box=hinges.box if box is None else np.asarray(box, dtype=np.float64),
        margin=hinges.margin if margin is None else np.asarray(margin, dtype=np.float64),
    )
    return there, next(follow_each(hinges, fit, [there]))


def follow_each(hinges: Hinges, fit: HingeFit, ends: Sequence[Hinges]) -> Iterator[HingeFit]:
    """The optimum at each of these ends, in order: the same hinges under other boxes and margins, signs as they are.

    Paths go side by side and share their passes over the rows.
    """
    each = 8.0 * (6 * len(hinges.row) + 4 * hinges.features.rows)
    if fit.inside is not None:
        fit.inside.fresh()
        each += fit.inside.bytes
    at_once = max(1, min(len(ends), int(SIDE_BY_SIDE // each)))
    everywhere = slice(0, hinges.features.rows)
    gap = hinges.outputs(fit.theta) - hinges.margin
    for first in range(0, len(ends), at_once):
        walks = [_Walk(hinges, there, fit, gap.copy()) for there in ends[first : first + at_once]]
        paths = [walk.run() for walk in walks]
        asked = dict[int, NDArray[np.float64]]()
        settled = dict[int, bool]()

        def on(j: int, path: Any, z: Any, asked: Any = asked, settled: Any = settled) -> None:
            try:
                asked[j] = path.send(z)
            except StopIteration as end:
                asked.pop(j, None)
                settled[j] = bool(end.value)

        for j, path in enumerate(paths):
            on(j, path, None)
        while asked:
            order = list(asked)
            z = hinges.features.matmul(np.stack([asked[j] for j in order]), everywhere)
            for column, j in enumerate(order):
                on(j, paths[j], z[:, column])
        for j, walk in enumerate(walks):
            yield walk.ended(settled[j])


class _Walk:
    """From one set of boxes and margins to another: τ from 0 to 1."""

    def __init__(self, start: Hinges, there: Hinges, fit: HingeFit, gap: NDArray[np.float64]) -> None:
        self.start, self.there, self.gap = start, there, gap
        self.d_box, self.d_margin = there.box - start.box, there.margin - start.margin
        self.a, self.place, self.theta = fit.dual.copy(), fit.place.copy(), fit.theta.copy()
        self.tau, self.pieces, self.still = 0.0, 0, 0
        self.scale = max(1.0, float(np.max(np.abs(start.margin), initial=0.0)))
        known = fit.inside
        self.inside = Inside(start) if known is None else replace(known, hinges=start, members=list(known.members))
        # a hinge whose box opens from 0 starts where its margin puts it
        opening = (start.box == 0) & (self.d_box > 0)
        self.place[opening] = np.where(self.gap[opening] < 0, FULL, OFF)
        self.inert = (start.box == 0) & (self.d_box == 0)
        for k in np.flatnonzero((self.place == INSIDE) & ~self.inert).tolist() if known is None else ():
            self.place[k] = OFF  # until it has entered
            self._enter(k, inside_already=True)

    def run(self) -> Generator[NDArray[np.float64], NDArray[np.float64], bool]:
        """Asks for the rows' outputs along a direction, piece by piece; whether τ = 1 was reached."""
        limit = PIECES * len(self.a) + 1000
        while self.pieces < limit:
            level = self._pull_of_full()
            if self.start.free and not self.inside.members and abs(level[1]) > 0:
                if not self._move_intercept(level[1]):
                    return False
                continue
            da, d_theta = self._direction(*level)
            z = yield d_theta
            dg = self.start.sign * z[self.start.row] - self.d_margin
            dg[self.inside.members] = 0.0
            step, event = self._first(da, dg)
            self._advance(step, da, d_theta, dg)
            self.pieces += 1
            if event is None:
                return True
            self.still = self.still + 1 if step <= 0.0 else 0
            if self.still > STILL:
                return False
            self._change(*event)
        return False

    def ended(self, settled: bool) -> HingeFit:
        """The end, its duals inside and θ made anew from the places alone, so that no drift is left."""
        there = self.there
        for k in self._at_bounds(there) if settled else ():
            self._put(k, OFF if self.a[k] <= 0.5 * there.box[k] else FULL)
        a = np.where(self.place == FULL, there.box, np.where(self.place == OFF, 0.0, self.a))
        members = self.inside.members
        fixed = a.copy()
        fixed[members] = 0.0
        theta = there.pulled(fixed)
        if members:
            pull = self.inside.x @ (theta / np.where(there.inverse > 0, np.sqrt(there.inverse), 1.0))
            b = there.margin[members] - pull
            if there.free:
                b = np.concatenate([[-float(there.sign @ fixed)], b])
            found = self.inside.solve_closely(b)
            a[members] = found[self.inside.border :]
            theta = there.pulled(a)
            if there.free:
                theta[-1] = found[0]
        elif there.free:
            theta[-1] = self._middle(there, theta, a)
            settled = settled and bool(np.isfinite(theta[-1]))
            theta[-1] = theta[-1] if np.isfinite(theta[-1]) else self.theta[-1]
        a = np.clip(a, 0.0, there.box)
        return HingeFit(a, self.place.copy(), theta, self.pieces, settled, self.inside)

    def _at_bounds(self, there: Hinges) -> list[int]:
        """Those inside, where each of them sits at a bound: then nobody holds a free intercept, and it has a range."""
        members = self.inside.members
        if not there.free:
            return []
        near = AT_BOUND * there.box[members]
        held = self.a[members]
        return list(members) if bool(np.all((held <= near) | (held >= there.box[members] - near))) else []

    def _middle(self, there: Hinges, theta: NDArray[np.float64], a: NDArray[np.float64]) -> float:
        """The middle of the intercepts that are all optimal where nobody is inside: libsvm's choice."""
        bare = theta.copy()
        bare[-1] = 0.0
        edge = there.sign * (there.margin - there.outputs(bare))  # z's intercept at which the hinge is on its margin
        active = there.box > 0
        rises = active & ((self.place == OFF) == (there.sign > 0))  # must stay at or above its edge
        low = float(np.max(edge[rises], initial=-np.inf))
        high = float(np.min(edge[active & ~rises], initial=np.inf))
        return 0.5 * (low + high)

    def _pull_of_full(self) -> tuple[NDArray[np.float64], float]:
        """(Λ⁻¹ Σ s dc x, Σ s dc) of the hinges that sit on their moving boxes."""
        rate = np.where(self.place == FULL, self.d_box, 0.0)
        if not rate.any():
            return np.zeros_like(self.theta), 0.0
        total = float(self.start.sign @ rate)
        small = 1e-14 * float(np.abs(rate).sum())
        return self.start.pulled(rate), total if abs(total) > small else 0.0

    def _direction(self, pull: NDArray[np.float64], total: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """da [m] and dθ [D] per unit of τ."""
        da = np.where(self.place == FULL, self.d_box, 0.0)
        members, inside = self.inside.members, self.inside
        if not members:
            return da, pull
        root = np.sqrt(self.start.inverse)
        bare = np.where(root > 0, pull / np.where(root > 0, root, 1.0), 0.0)
        b = self.d_margin[members] - inside.x @ bare
        if inside.border:
            b = np.concatenate([[-total], b])
        found = inside.solve(b)
        da[members] = found[inside.border :]
        d_theta = pull + root * (da[members] @ inside.x)
        if inside.border:
            d_theta[-1] += found[0]
        return da, d_theta

    def _first(self, da: NDArray[np.float64], dg: NDArray[np.float64]) -> tuple[float, tuple[int, int] | None]:
        """How far in τ, and (hinge, its new place) there; None at the end."""
        with np.errstate(divide="ignore", invalid="ignore"):
            box = self._box()
            down = np.where((self.place == INSIDE) & (da < 0), self.a / -da, np.inf)
            closing = da - self.d_box
            up = np.where((self.place == INSIDE) & (closing > 0), (box - self.a) / closing, np.inf)
            outside = (self.place != INSIDE) & ~self.inert
            away = np.where(self.place == OFF, self.gap, -self.gap)  # >= 0
            rate = np.where(self.place == OFF, -dg, dg)
            noise = TIE * max(self.scale, float(np.max(np.abs(dg), initial=0.0)))
            on = np.where(outside & (rate > noise), np.maximum(away, 0.0) / rate, np.inf)
        times = np.maximum(np.stack([down, up, on]), 0.0)
        step = float(np.min(times))
        rest = 1.0 - self.tau
        if not step < rest:
            return rest, None
        kind, k = np.nonzero(times <= step + 1e-13 * rest)
        if self.still:  # among ties that go nowhere the first index: Bland's way out of circles
            pick = int(np.argmin(k))
        else:
            speed = np.stack([-da, closing, rate])[kind, k]
            pick = int(np.argmax(speed))
        hinge = int(k[pick])
        return step, (hinge, (OFF, FULL, INSIDE)[int(kind[pick])])

    def _advance(
        self, step: float, da: NDArray[np.float64], d_theta: NDArray[np.float64], dg: NDArray[np.float64]
    ) -> None:
        self.a += step * da
        self.theta += step * d_theta
        self.gap += step * dg
        self.tau += step
        full = self.place == FULL
        self.a[full] = self._box()[full]

    def _change(self, k: int, place: int) -> None:
        if place == INSIDE:
            self._enter(k)
        else:
            self._put(k, place)

    def _box(self) -> NDArray[np.float64]:
        return np.asarray(self.start.box + self.tau * self.d_box)

    def _put(self, k: int, place: int) -> None:
        """Out of the inside, to one of its bounds."""
        self.inside.leave(self.inside.members.index(k))
        self.place[k] = place
        self.a[k] = 0.0 if place == OFF else float(self._box()[k])
        self.gap[k] = 0.0

    def _enter(self, k: int, inside_already: bool = False) -> None:
        """Inside; where it depends on those there, along the direction that moves no output, until one of them goes."""
        while True:
            found = self.inside.depends(k)
            if found is None:
                break
            box = self._box()
            sign = 1.0 if inside_already or self.place[k] == OFF else -1.0
            members = self.inside.members
            dm = -sign * found[0][self.inside.border :]
            with np.errstate(divide="ignore", invalid="ignore"):
                held = self.a[members]
                times = np.where(dm < 0, held / -dm, np.where(dm > 0, (box[members] - held) / dm, np.inf))
            times = np.maximum(times, 0.0)
            own = float(box[k] - self.a[k] if sign > 0 else self.a[k])
            j = int(np.argmin(times)) if len(members) else -1
            step = min(own, float(times[j])) if len(members) else own
            self.a[members] = held + step * dm
            self.a[k] += sign * step
            if j < 0 or own <= times[j]:
                self.place[k] = FULL if sign > 0 else OFF
                self.a[k] = float(box[k]) if sign > 0 else 0.0
                return
            self._put(members[j], OFF if dm[j] < 0 else FULL)
        self.inside.enter(k)
        self.place[k] = INSIDE
        self.gap[k] = 0.0

    def _move_intercept(self, total: float) -> bool:
        """Nobody inside, and the boxes' balance moves: the intercept moves until one enters that can restore it."""
        up = 1.0 if total > 0 else -1.0
        toward = np.where(self.place == FULL, self.start.sign * up > 0, self.start.sign * up < 0)
        toward &= ~self.inert & (self._box() + np.maximum(self.d_box, 0.0) > 0)
        if not toward.any():
            return False
        away = np.where(toward, np.abs(self.gap), np.inf)
        k = int(np.argmin(away))
        shift = up * float(away[k])
        self.theta[-1] += shift
        self.gap += self.start.sign * shift
        self.pieces += 1
        self._enter(k)
        return True
