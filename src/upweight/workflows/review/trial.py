"""Labels flipped on purpose: which penalty, how many rounds and which signal find them on these very rows.

No label of the review itself is tuned on: the flips are ours, put on top of the labels as they are. Fits and
signals are compared by measures that labels wrong before pull alike for all. Flips are uniform over rows
and classes, or depend on the class: classes suffer unequally, each turning into the one it is most taken for.
Stands on evidence, signals and ranking. Source: METHODS.md 8.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.words import count
from upweight.errors import InputError
from upweight.randomness import generator
from upweight.validation.detection import area, average_precision, found_early, interval
from upweight.workflows.review.evidence import SCHEDULES, Outside, Rows, gather, own_loss, probabilities, reweighted
from upweight.workflows.review.fits import CLOSE, ROUGH, Learner, out_of_fold
from upweight.workflows.review.problem import Codes, Floats, Problem
from upweight.workflows.review.ranking import WITHIN, Weights, pick, standing, worth
from upweight.workflows.review.signals import SIGNALS, likelier_other, measure

__all__ = ["FUSED", "RATE", "Trial", "hold"]

KINDS = ("uniform", "class-dependent")
SETS = 3  # of each kind; where fits are dear, 2
LARGE = 3e6  # rows × outputs × columns, beyond which they are
RATE = 0.1  # share of the labels that is flipped
UNEQUAL = 3.0  # a class suffers up to so many times as much as another
MOST = 0.4  # of a class
STRONGER = 10.0
STRONGEST = 1e4
FUSED = "signals together"


@dataclass(frozen=True, eq=False)
class Planted:
    """A set of flips."""

    kind: str
    before: Codes
    other: Codes  # what each label is, or would be, flipped to
    codes: Codes
    wanted: NDArray[np.bool_]
    fold: Codes


@dataclass(frozen=True, eq=False)
class Trial:
    """What the flips decided."""

    strength: float  # the review's penalty, times the model's own
    schedule: str
    lead: str  # a signal's name, or FUSED
    weights: Weights  # of the signals' standings; {lead: 1} for one
    found: Mapping[str, Floats]  # share of the flips found early (WITHIN), by signal, one number a set
    precision: Mapping[str, Floats]  # average precision
    kinds: tuple[str, ...]  # of flip, of each set
    caught: Floats  # share of the flipped labels that have a likelier class out of fold, one number a set
    right: Floats  # share of the labels newly such that was flipped

    def table(self) -> pd.DataFrame:
        """A line a signal, the best first: share found early with its 95 % interval over the sets, by kind of flip too.

        average_precision counts labels that were wrong before as found in vain.
        """
        lines = []
        for name, found in self.found.items():
            kinds = np.asarray(self.kinds[: len(found)])
            mean, low, high = interval(found)
            by_kind = {kind: float(found[kinds == kind].mean()) for kind in KINDS}
            precision = float(self.precision[name].mean())
            lines.append({"signal": name, "found": mean, "low": low, "high": high, **by_kind,
                          "average_precision": precision, "sets": len(found)})  # fmt: skip
        table = pd.DataFrame(lines).sort_values("found", ascending=False, kind="stable")
        return table.reset_index(drop=True)


def hold(
    rows: Rows, first: Outside, fold: Codes, seed: int, progress: Callable[[str], None]
) -> tuple[Rows, Trial, Outside]:
    """The trial, the rows with the penalty that it chose, and the out-of-fold fits of the real labels under that.

    `first`: those fits under the model's own penalty.
    Raises: InputError where the rows are too few to flip any.
    """
    own, problem = rows.own, rows.own.problem
    large = float(problem.head.n) * problem.head.c * problem.head.features.columns > LARGE
    sets = [
        _plant(problem, first[0], kind, i, seed) for i in range(2 if large else SETS) for kind in KINDS
    ]  # both kinds in turn: the first two are one of each
    if not all(one.wanted.any() for one in sets):
        raise InputError(
            f"{count(len(problem.codes), 'row')} are too few for a trial: flipping a label leaves a class with fewer "
            "rows than folds. Give more rows of each class."
        )
    firm, outside, real, before = _strength(problem, own, sets, fold, first)
    progress("the penalty chosen on flipped labels")
    some = sets[: len(KINDS)]
    tried = [_rounds(firm, one.codes, one.fold, out, ROUGH) for one, out in zip(some, outside, strict=False)]
    schedule = max(SCHEDULES, key=lambda name: _apart([z[name] for z in tried], some))
    rows, values = replace(rows, firm=firm), []
    for i, (one, out) in enumerate(zip(sets, outside, strict=True)):
        whole = i < len(KINDS) or not large
        made = before[i] if i < len(before) else None
        known = gather(rows, one.codes, one.fold, SCHEDULES[schedule], ROUGH, whole, out, made)
        values.append((measure(known), likelier_other(known.rounds, one.codes)))
        progress(f"{len(values)} of {len(sets)} sets of flipped labels looked for")
    return rows, _decide(firm.strength, schedule, sets, values, likelier_other(real[0], problem.codes)), real


def _plant(problem: Problem, z: Floats, kind: str, repeat: int, seed: int) -> Planted:
    random = generator(seed, "review flips", kind, repeat)
    codes, k, n = problem.codes, problem.classes, len(problem.codes)
    size = max(1, round(RATE * n))
    members = np.bincount(codes, minlength=k)
    if kind == "uniform":
        at = random.choice(n, size, replace=False)
        other = (codes + random.integers(1, k, n)) % k
    else:
        p = probabilities(z)
        taken_for = np.zeros((k, k))
        np.add.at(taken_for, codes, p)
        np.fill_diagonal(taken_for, -1.0)
        share = random.uniform(1.0, UNEQUAL, size=k)[codes]
        order = np.argsort(-np.log(random.uniform(size=n)) / share, kind="stable")  # without replacement, by share
        place = np.empty(n, dtype=np.int64)
        for c in range(k):
            mine = order[codes[order] == c]
            place[mine] = np.arange(len(mine))
        at = order[place[order] < np.maximum(1, MOST * members[codes[order]])][:size]
        other = np.argmax(taken_for, axis=1)[codes]
    flipped = codes.copy()
    flipped[at] = other[at]
    least = np.minimum(members, problem.folds)
    lost = np.flatnonzero(np.bincount(flipped, minlength=k) < least)
    back = at[np.isin(codes[at], lost)]
    flipped[back] = codes[back]  # a class that would be lost keeps its rows
    return Planted(kind, codes, other, flipped, flipped != codes, problem.fold_of(flipped, random))


def _strength(
    problem: Problem, own: Learner, sets: list[Planted], fold: Codes, first: Outside
) -> tuple[Learner, list[Outside], Outside, list[Outside]]:
    """Ten times stronger as long as the first set of each kind shows its flips better out of fold.

    Beside it the out-of-fold fits of all sets, of the labels as they are, and of the first sets under the model's own.
    """

    def flipped(learner: Learner, some: list[Planted]) -> list[Outside]:
        return [out_of_fold(learner, one.codes, one.fold) for one in some]

    some = sets[: len(KINDS)]
    before = flipped(own, some)
    best, out = own, before
    while best.strength < STRONGEST:
        learner = Learner(problem, best.strength * STRONGER)
        other = flipped(learner, some)
        if _apart([z for z, _ in other], some) <= _apart([z for z, _ in out], some):
            break
        best, out = learner, other
    real = first if best is own else out_of_fold(best, problem.codes, fold, tol=CLOSE)
    return best, out + flipped(best, sets[len(KINDS) :]), real, before


def _apart(fits: list[Floats], sets: list[Planted]) -> float:
    """Mean over the sets of how often a row with its flipped label is more doubted than one with the label it has.

    Out of fold no row's own label was seen, so that all rows can be asked under both. Labels that were wrong before
    pull this towards one half for every fit alike, so that fits compare as they would without them; of average
    precision that is not so. Source: Menon et al. (2015), corollary 3.
    """
    found = []
    for z, one in zip(fits, sets, strict=True):
        both = np.concatenate([own_loss(z, one.before), own_loss(z, one.other)])
        found.append(area(both, np.arange(len(both)) >= len(z)))
    return float(np.mean(found))


def _rounds(learner: Learner, codes: Codes, fold: Codes, outside: Outside, tol: float) -> dict[str, Floats]:
    """Logits after the rounds of each schedule; those that begin alike share their first rounds."""
    done: dict[tuple[float, ...], Floats] = {(): outside[0]}
    for schedule in SCHEDULES.values():
        for r in range(len(schedule)):
            if schedule[: r + 1] not in done:
                begun = (done[schedule[:r]], outside[1])
                done[schedule[: r + 1]] = reweighted(learner, codes, fold, begun, schedule[r : r + 1], tol)[-1]
    return {name: done[schedule] for name, schedule in SCHEDULES.items()}


def _decide(
    strength: float,
    schedule: str,
    sets: list[Planted],
    values: list[tuple[dict[str, Floats], NDArray[np.bool_]]],
    before: NDArray[np.bool_],
) -> Trial:
    found: dict[str, list[float]] = {}
    precision: dict[str, list[float]] = {}
    for one, (signals, _) in zip(sets, values, strict=True):
        for name, value in signals.items():
            found.setdefault(name, []).append(found_early(value, one.wanted, WITHIN))
            precision.setdefault(name, []).append(average_precision(value, one.wanted))
    everywhere = [name for name in SIGNALS if len(found.get(name, ())) == len(sets)]
    standings = [
        ({name: standing(signals[name]) for name in everywhere}, one.wanted)
        for one, (signals, _) in zip(sets, values, strict=True)
    ]
    together = worth(standings, everywhere)
    found[FUSED] = [found_early(order, one.wanted, WITHIN) for order, one in zip(together, sets, strict=True)]
    precision[FUSED] = [average_precision(order, one.wanted) for order, one in zip(together, sets, strict=True)]
    lead = max((*everywhere, FUSED), key=lambda name: float(np.mean(found[name])))
    weights = pick(standings, everywhere) if lead == FUSED else {lead: 1.0}
    return Trial(
        strength=strength,
        schedule=schedule,
        lead=next(iter(weights)) if len(weights) == 1 else lead,
        weights=weights,
        found={name: np.asarray(some) for name, some in found.items()},
        precision={name: np.asarray(some) for name, some in precision.items()},
        kinds=tuple(one.kind for one in sets),
        caught=np.asarray([mask[one.wanted].mean() for (_, mask), one in zip(values, sets, strict=True)]),
        right=np.asarray([_share(one.wanted[mask & ~before]) for (_, mask), one in zip(values, sets, strict=True)]),
    )


def _share(which: NDArray[np.bool_]) -> float:
    return float(which.mean()) if len(which) else 0.0
