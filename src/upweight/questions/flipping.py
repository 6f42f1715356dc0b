"""Which few rows hold up one prediction: the search of removal.flip, on this model's margins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted, Inputs
from upweight.arrays import to_numpy
from upweight.attribution import Attribution
from upweight.display.words import among, number
from upweight.errors import InputError, listed
from upweight.measurement import class_scores, decided
from upweight.removal.flip import Flip, smallest_flip
from upweight.shapes import Array

__all__ = ["flip"]

MOST_ROWS = 100  # a larger set says nothing about this prediction
LARGEST_SHARE = 0.5  # of the training rows, where that is fewer
RIVALS = 3  # nearest classes that are tried


def flip(adapted: Adapted, attribution: Attribution, x_query: Any, to: Any) -> tuple[Flip | None, Any, Any, str, bool]:
    """The set, the prediction after and before, the sentence, and whether the flip is proved.

    Raises: InputError.
    """
    features = adapted.read_query(x_query)
    if features.rows != 1:
        raise InputError(f"smallest_flip explains one prediction; x_query has {features.rows} rows. Give one.")
    z = to_numpy(attribution.query_outputs(features))
    at_most = max(1, min(MOST_ROWS, int(LARGEST_SHARE * attribution.n)))
    if adapted.kind == "classification":
        sides = _class_sides(adapted, z, to)
        before: Any = adapted.classes[int(decided(z)[0])]
    else:
        sides = [_value_side(attribution, z, to)]
        before = _value(attribution, z)
    best = _search(attribution, features, z, sides, at_most)
    if best is None:
        goal = "flip it" if adapted.kind == "classification" else f"move it past {to}"
        return None, None, before, f"no set of up to {at_most:,} rows was found whose removal would {goal}.", False
    found, side = best
    states, _ = attribution.refitted([found.rows])
    moved = to_numpy(attribution.outputs_at(states, features))[0]
    after = adapted.classes[int(decided(moved)[0])] if adapted.classes else _value(attribution, moved)
    proved = _proved(attribution, features, found, side)
    ids = [adapted.row_ids[i] for i in found.rows]
    rows = f"row {ids[0]}" if len(ids) == 1 else f"{len(ids)} rows ({among(ids[:5])}{' …' if len(ids) > 5 else ''})"
    said = [number(x) if isinstance(x, float) else str(x) for x in (before, after)]
    verb = "reads" if adapted.kind == "classification" else "predicts"
    sentence = (
        f"Without {rows} it {verb} {said[1]} instead of {said[0]}, confirmed by a refit; no smaller set was found."
    )
    return found, after, before, sentence, proved


@dataclass(frozen=True)
class Side:
    """One way to flip it: margin(z) = max over `lines` [m, c] of line · z, + offset, is > 0 now and < 0 beyond.

    `lines[0]` is the one whose effect ranks the rows; the others keep a third class from winning where one is asked.
    """

    lines: NDArray[np.float64]
    offset: float = 0.0

    def margin(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of outputs [..., c]."""
        return np.asarray(np.max(z @ self.lines.T, axis=-1) + self.offset)


def _class_sides(adapted: Adapted, z: Array, to: Any) -> list[Side]:
    scores = to_numpy(class_scores(z))[0]
    now = int(np.argmax(scores))
    if to is None:
        rivals = [int(k) for k in np.argsort(-scores, kind="stable") if k != now][:RIVALS]
    else:
        match = [k for k, label in enumerate(adapted.classes) if label == to]
        if not match:
            raise InputError(f"to={to!r} is not a class. Use one of {listed(adapted.classes, 10)}.")
        if match[0] == now:
            raise InputError(f"the model already predicts {to!r}. Give another class, or to=None for any.")
        rivals = match
    eye = np.eye(len(scores))
    columns = slice(None) if z.shape[1] > 1 else slice(1, None)

    def side(k: int) -> Side:
        others = [] if to is None else [j for j in range(len(scores)) if j not in (now, k)]
        return Side(np.stack([(eye[j] - eye[k])[columns] for j in (now, *others)]))

    return [side(k) for k in rivals]


def _value_side(attribution: Attribution, z: Array, to: Any) -> Side:
    """The linear predictor at which the prediction is `to`, by bisection: means are monotone in z."""
    if z.shape[1] > 1 and attribution.loss.separate:
        raise InputError("this regression predicts several numbers at once: smallest_flip has no one value to cross.")
    if to is None or not np.isfinite(float(to)):
        raise InputError(
            f"a regression has no class to flip to: give to= the value that the prediction should cross, not {to!r}."
        )
    now = _value(attribution, z)
    if float(to) == now:
        raise InputError(f"the prediction is already {to}. Give a value above or below it.")
    start = float(z[0, 0])
    direction = 1.0 if float(to) > now else -1.0

    def short_of(t: float) -> bool:
        moved = np.array(to_numpy(z), dtype=float)
        moved[0, 0] = t
        return direction * (_value(attribution, moved) - float(to)) < 0

    far, step = start + direction, 1.0
    while short_of(far) and step < 1e18:
        step *= 2.0
        far = start + direction * step
    if short_of(far):
        raise InputError(f"this model never predicts {to}. Give a value that it can reach.")
    near = start
    for _ in range(200):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if short_of(middle) else (near, middle)
    unit = np.zeros((1, z.shape[1]))
    unit[0, 0] = -direction
    return Side(unit, direction * far)


def _value(attribution: Attribution, z: Array) -> float:
    with np.errstate(over="ignore"):
        return float(to_numpy(attribution.loss.predict(z))[0, 0])


def _search(
    attribution: Attribution, features: Inputs, z: Array, sides: Sequence[Side], at_most: int
) -> tuple[Flip, Side] | None:
    best: tuple[Flip, Side] | None = None
    for side in sides:
        v = attribution.directions(features, side.lines[:1])

        def effects(out: Sequence[int], v: Any = v) -> NDArray[np.float64]:
            engine = attribution if not len(out) else attribution.without(out)
            change = np.array(to_numpy(engine.removals(v, "leverage").values())[0], dtype=np.float64)
            change[list(out)] = 0.0
            return change

        def margins(sets: Sequence[Sequence[int]], side: Side = side) -> NDArray[np.float64]:
            states, converged = attribution.refitted(sets)
            margin = side.margin(to_numpy(attribution.outputs_at(states, features))[:, 0, :])
            return np.where(converged, margin, np.inf)  # a refit without an optimum confirms nothing

        before = float(side.margin(to_numpy(z)[0]))
        limit = at_most if best is None else len(best[0].rows) - 1
        if limit < 1:
            break
        found = smallest_flip(before, effects, margins, limit)
        if found is not None and (best is None or len(found.rows) < len(best[0].rows)):
            best = (found, side)
    return best


def _proved(attribution: Attribution, features: Inputs, found: Flip, side: Side) -> bool:
    """Whether every line of the margin is further below 0 than the refit can be from its optimum."""
    states, _ = attribution.refitted([found.rows])
    z = to_numpy(attribution.outputs_at(states, features))[0, 0]
    certificate = attribution.certificate(found.rows, states[0])
    for line in side.lines:
        v = attribution.directions(features, line[None])
        within = certificate.within(v[0, :])
        if within is None or not certificate.proof or not float(line @ z) + side.offset + within < 0:
            return False
    return True
