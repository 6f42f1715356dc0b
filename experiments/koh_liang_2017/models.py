"""Row 5 (figure 4): three models, the same images, one prediction: which training images each leans on.

    python experiments/koh_liang_2017/models.py [--quick | --full]

An RBF machine on pixels, a linear head on a network's features, and a linear model of edges, fitted on the same rows
and asked for the same test images by `compare`: influence is the change of the margin without a training image, in
units of the margin's spread over the test images. Distance is that of the pixels for all three; `not nearest` alone
is in what each model reads. No image is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from data.dogfish import Photographs, dog_and_fish
from data.views import distances, edges, pixels
from harness import Experiment, Line, Outcome, Run, main
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from upweight import Influence, compare
from upweight.validation.metrics import pearson, slope, spearman
from upweight.workflows.comparison import Comparison
from upweight.workflows.side import FIRST, Side

__all__ = ["EXPERIMENT"]

SVM, HEAD, EDGES = "RBF on pixels", "head on a network", "edges"
NAMES = (SVM, HEAD, EDGES)
PAIRS = ((SVM, HEAD), (SVM, EDGES), (HEAD, EDGES))
QUERY = 462  # the paper's test row; where a model gets it wrong, the next that all get right
PENALTY, PENALTY_EDGES = 0.001, 0.01
WIDTH, SIDE = 0.05, 299  # the paper's γ = WIDTH / n, on images of so many pixels a side
NEIGHBOURS = 50  # test images whose nearest training images are looked up in what each model reads
REFITTED = 50  # rows of the query
REACH = 0.99  # correlation of their estimates with refits that each model has to reach
SAME = 1e-3  # of the largest change: what a refit may be off scikit-learn's own
HARDLY = 0.5  # of the RBF's rank correlation with distance: below it, a model's is "much less"
TOLERANCE = 1e-8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A fitted model, what it reads of each image, and its influence."""

    fitted: Any
    x: Floats
    x_test: Floats
    influence: Influence


def run(run: Run) -> Outcome:
    """Three models compared in pairs on all test images; the first rows of one prediction really refitted."""
    held = dog_and_fish(run)
    models, far = _models(run, held)
    pairs = {names: _compared(models, held, names, far) for names in PAIRS}
    sides = {SVM: pairs[SVM, HEAD].a, HEAD: pairs[SVM, HEAD].b, EDGES: pairs[SVM, EDGES].b}
    right = np.all([one.fitted.predict(one.x_test) == held.y_test for one in models.values()], axis=0)
    start = QUERY if QUERY < len(right) else len(right) // 2
    query = start + int(np.argmax(right[start:]))
    run.say(f"test row {query}: refits")
    apart = _apart(models, held, np.flatnonzero(right)[:NEIGHBOURS])
    seen = {name: _seen(side, far, held, right) for name, side in sides.items()}
    one = {name: _one(side, far, held, query) for name, side in sides.items()}
    refits = {name: _refitted(run, models[name], sides[name], held, query) for name in NAMES}
    numbers = {
        "rows": len(held.y),
        "test rows": len(held.y_test),
        "all three right": int(right.sum()),
        "query": {"row": query, "kind": held.kinds[held.y_test[query]]},
        "accuracy": {name: one.fitted.score(one.x_test, held.y_test) for name, one in models.items()},
        "margin's spread": {name: side.spread for name, side in sides.items()},
        "means over the test rows that all get right": seen,
        "not nearest, in what each reads": apart,
        "of the query": one,
        "refits": refits,
        "pairs": {f"{a} and {b}": _pair(pairs[a, b], right, query) for a, b in PAIRS},
        "in words": {f"{a} and {b}": pairs[a, b].sentences for a, b in PAIRS},
        "how": {name: side.scores.how for name, side in sides.items()},
    }
    numbers["claims"] = _claims(numbers)
    return Outcome(held.name, _line(held, numbers), numbers, _picture(held, sides, far, query))


def _models(run: Run, held: Photographs) -> tuple[dict[str, Model], Floats]:
    """The three of them, and the distance of pixels [q, n]."""
    n, both = len(held.y), np.concatenate([held.images, held.images_test])
    read = {SVM: pixels(both, held.top), HEAD: np.concatenate([held.X, held.X_test]), EDGES: edges(both, held.top)}
    logistic: dict[str, Any] = {"solver": "newton-cholesky", "tol": TOLERANCE}
    kinds = {
        # fewer pixels, smaller distances: γ is larger by as much, so that the kernel is the paper's
        SVM: SVC(C=1.0 / (PENALTY * n), gamma=WIDTH / n * (SIDE / held.images.shape[-1]) ** 2, tol=TOLERANCE),
        HEAD: LogisticRegression(C=1.0 / (PENALTY * n), **logistic),
        EDGES: LogisticRegression(C=1.0 / (PENALTY_EDGES * n), **logistic),
    }
    made = dict[str, Model]()
    for name, model in kinds.items():
        x, x_test = read[name][:n], read[name][n:]
        run.say(f"{name}: {x.shape[1]:,} numbers an image")
        made[name] = Model(model.fit(x, held.y), x, x_test, Influence.from_sklearn(model, x, held.y))
    return made, distances(read[SVM][:n], read[SVM][n:])


def _compared(models: Mapping[str, Model], held: Photographs, names: tuple[str, str], far: Floats) -> Comparison:
    a, b = (models[name] for name in names)
    return compare(a.influence, b.influence, a.x_test, held.y_test, X_query_b=b.x_test, names=names, distance=far)


def _apart(models: Mapping[str, Model], held: Photographs, some: NDArray[np.int64]) -> dict[str, Any]:
    """The share of the first rows that are not among as many nearest in what the model itself reads."""
    found = dict[str, Any]()
    for names in ((SVM, HEAD), (SVM, EDGES)):
        a, b = (models[name] for name in names)
        made = compare(a.influence, b.influence, a.x_test[some], held.y_test[some], X_query_b=b.x_test[some])
        found |= {name: _mean(side.not_nearest) for name, side in zip(names, made, strict=True)}
    return found


def _mean(values: Floats) -> dict[str, float]:
    """Over test rows, how far that is known (95 %, these training rows), and what most of them lie between."""
    there = values[np.isfinite(values)]
    low, high = np.quantile(there, (0.1, 0.9))
    give = 1.96 * float(there.std()) / len(there) ** 0.5
    return {"mean": float(there.mean()), "within": give, "a tenth below": float(low), "a tenth above": float(high)}


def _seen(side: Side, far: Floats, held: Photographs, right: NDArray[np.bool_]) -> dict[str, Any]:
    """The talk's observations on one model, each over the test rows that all get right."""
    parts = {
        "size with distance": side.by_distance,
        "size with distance, rows with any": _among_moving(side, far),
        "from the other class": side.other_class,
        "of the help, from the other class": side.helped_by_others,
        "effective rows": side.effective_rows,
        "not nearest, in pixels": side.not_nearest,
        **_signs(side, held),
        "from the farther half": _farther(side, far),
    }
    return {name: _mean(values[right]) for name, values in parts.items()}


def _signs(side: Side, held: Photographs) -> dict[str, Floats]:
    """[q] How far signs are a neighbour's (its class helps, the other harms), by influence and by rows with any."""
    same = held.y[None, :] == held.y_test[:, None]
    helps, harms = side.influence < 0, side.influence > 0
    first = np.argsort(side.influence, axis=1, kind="stable")[:, :FIRST]
    size = np.abs(side.influence)
    neighbour = np.where((helps & same) | (harms & ~same), size, 0.0).sum(axis=1)
    return {
        "influence with a neighbour's sign": neighbour / np.maximum(size.sum(axis=1), 1e-300),
        "of its class that help": _share(helps & same, (helps | harms) & same),
        "of the other class that harm": _share(harms & ~same, (helps | harms) & ~same),
        f"other class among the {FIRST} most helpful": np.take_along_axis(helps & ~same, first, axis=1).mean(axis=1),
    }


def _share(some: NDArray[np.bool_], of: NDArray[np.bool_]) -> Floats:
    """[q]; NaN where there is none to be a share of."""
    size = of.sum(axis=1)
    return np.where(size > 0, some.sum(axis=1) / np.maximum(size, 1), np.nan)


def _among_moving(side: Side, far: Floats) -> Floats:
    """[q] rank correlation of size and distance over the rows with any influence: a hinge leaves many with none."""
    found = [spearman(np.abs(v[v != 0]), d[v != 0]) for v, d in zip(side.influence, far, strict=True)]
    return np.asarray(found, dtype=float)


def _farther(side: Side, far: Floats) -> Floats:
    """[q] share of all influence from the half of the rows that is farther away."""
    size = np.abs(side.influence)
    beyond = far > np.median(far, axis=1, keepdims=True)
    return np.asarray((size * beyond).sum(axis=1) / size.sum(axis=1))


def _one(side: Side, far: Floats, held: Photographs, query: int) -> dict[str, Any]:
    """The same of the query, its margin, its most helpful rows and those of the other class among them."""
    value, label = side.influence[query], held.y_test[query]
    first = np.argsort(value, kind="stable")[:FIRST]
    other = np.flatnonzero((held.y != label) & (value < 0))
    other = other[np.argsort(value[other], kind="stable")][:FIRST]
    return {
        "margin": side.standing[query],
        "size with distance": side.by_distance[query],
        "from the other class": side.other_class[query],
        "of the help, from the other class": side.helped_by_others[query],
        "effective rows": side.effective_rows[query],
        "place of the other class's first helper": int(np.sum(value < value[other[0]])) + 1 if len(other) else None,
        "most helpful": [{"row": i, "kind": held.kinds[held.y[i]], "influence": value[i]} for i in first],
        "of the other class, helpful": [
            {"row": i, "influence": value[i], "farther than": float(np.mean(far[query] < far[query, i]))} for i in other
        ],
    }


def _refitted(run: Run, model: Model, side: Side, held: Photographs, query: int) -> dict[str, Any]:
    """The first rows of the query: estimates beside refits; the first of them by scikit-learn, from nothing."""
    first = np.argsort(-np.abs(side.influence[query]), kind="stable")[:REFITTED]
    refit = side.refits([int(i) for i in first], query)
    assert refit is not None  # every one of these models refits
    some = first[: run.pick(10, 6, REFITTED)]
    made = run.piece(f"refits {side.name}", [query, some.tolist()], lambda: _from_nothing(model, held, some, query))
    estimate, theirs = side.influence[query, first], made["change"] / side.spread
    return {
        "rows": first,
        "estimate": estimate,
        "refit": refit,
        "scikit-learn's refit": theirs,
        "correlation": pearson(estimate, refit),
        "slope": slope(estimate, refit),
        "refit off scikit-learn's": float(np.max(np.abs(theirs - refit[: len(some)]) / np.abs(theirs).max())),
    }


def _from_nothing(model: Model, held: Photographs, rows: NDArray[np.int64], query: int) -> dict[str, Any]:
    """The change of the query's margin by fits without each row."""
    sign, x = 2.0 * held.y_test[query] - 1.0, model.x_test[[query]]
    now = float(model.fitted.decision_function(x)[0])
    change = []
    for row in rows:
        kept = np.delete(np.arange(len(held.y)), row)
        change.append(
            sign * (float(clone(model.fitted).fit(model.x[kept], held.y[kept]).decision_function(x)[0]) - now)
        )
    return {"change": change}


def _pair(found: Comparison, right: NDArray[np.bool_], query: int) -> dict[str, Any]:
    return {
        "rank correlation": _mean(found.agreement[right]),
        f"of the first {FIRST}, shared": _mean(FIRST * found.shared[right]),
        "of the query": {"rank correlation": found.agreement[query], "shared": FIRST * found.shared[query]},
    }


def _claims(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the paper and the talk say, each with the numbers here and whether they bear it out."""
    seen, apart = numbers["means over the test rows that all get right"], numbers["not nearest, in what each reads"]

    def mean(name: str, what: str) -> float:
        return float(seen[name][what]["mean"])

    rbf, net = mean(SVM, "size with distance"), mean(HEAD, "size with distance")
    half, net_half = (mean(name, "from the farther half") for name in (SVM, HEAD))
    helped, net_helped = (mean(name, "of its class that help") for name in (SVM, HEAD))
    harmed, net_harmed = (mean(name, "of the other class that harm") for name in (SVM, HEAD))
    signed, net_signed = (mean(name, "influence with a neighbour's sign") for name in (SVM, HEAD))
    other, net_other = (mean(name, "from the other class") for name in (SVM, HEAD))
    gift, net_gift = (mean(name, "of the help, from the other class") for name in (SVM, HEAD))
    place = numbers["of the query"][HEAD]["place of the other class's first helper"]
    among = mean(HEAD, f"other class among the {FIRST} most helpful")
    moving = mean(SVM, "size with distance, rows with any")
    return [
        _claim(
            "the RBF's influence falls with distance",
            f"rank correlation {rbf:.2f}, {moving:.2f} where there is any",
            rbf < -0.1,
        ),
        _claim(
            "images far away have almost none on the RBF",
            f"{half:.0%} from the farther half of the images, {net_half:.0%} for the network",
            half < 0.1,
        ),
        _claim("the network's depends on distance much less", f"{net:.2f}", abs(net) < HARDLY * abs(rbf)),
        _claim(
            "for the RBF the image's class mostly helps and the other mostly harms",
            f"{signed:.0%} of the influence has these signs, {net_signed:.0%} of the network's; {helped:.0%} of its "
            f"class help, {harmed:.0%} of the other harm",
            signed > 0.5 and min(helped, harmed) > 0.5,
        ),
        _claim(
            "for the network either class helps",
            f"{net_helped:.0%} of its class and {1.0 - net_harmed:.0%} of the other; of its {FIRST} most helpful "
            f"{FIRST * among:.1f} are of the other, the first in place {place} for test row {numbers['query']['row']} "
            "(the paper: 5)",
            FIRST * among >= 1.0,
        ),
        _claim(
            "more of the network's influence is the other class's",
            f"{net_other:.0%} against {other:.0%}; of the help {net_gift:.0%} against {gift:.0%}",
            net_other > other and net_gift > gift,
        ),
        _claim(
            "what matters to the network is not what lies nearest in its features",
            f"{apart[HEAD]['mean']:.0%} of the first {FIRST} are not among the {FIRST} nearest; RBF "
            f"{apart[SVM]['mean']:.0%}",
            apart[HEAD]["mean"] > 0.5,
        ),
    ]


def _claim(said: str, here: str, holds: bool) -> dict[str, Any]:
    return {"claim": said, "here": here, "holds": holds}


def _line(held: Photographs, numbers: Mapping[str, Any]) -> Line:
    seen, refits = numbers["means over the test rows that all get right"], numbers["refits"]
    query = numbers["query"]
    rows = {name: f"{seen[name]['effective rows']['mean']:.0f}" for name in NAMES}
    reached = {name: refits[name]["correlation"] or 0.0 for name in NAMES}
    off = max(refits[name]["refit off scikit-learn's"] for name in NAMES)
    ours = [
        f"{numbers['all three right']} of {numbers['test rows']} test images got right by all three (accuracy "
        + ", ".join(f"{name} {numbers['accuracy'][name]:.3f}" for name in NAMES)
        + ")",
        *(f"{one['claim']}: {'yes' if one['holds'] else 'NO'}, {one['here']}" for one in numbers["claims"]),
        "effective rows behind a prediction: " + ", ".join(f"{name} {rows[name]}" for name in NAMES),
        f"edges: rank correlation with distance {seen[EDGES]['size with distance']['mean']:.2f}, "
        f"{seen[EDGES]['from the other class']['mean']:.0%} from the other class",
        f"the {REFITTED} first rows of test row {query['row']} against refits: correlation "
        + ", ".join(f"{name} {reached[name]:.4f}, slope {refits[name]['slope']:.2f}" for name in NAMES)
        + f"; refits within {off:.0e} of scikit-learn's own",
    ]
    missing = [name for name in NAMES if not _whole(seen[name])]
    shown = {
        **{f"{name}: correlation with refits {reached[name]:.4f}": reached[name] >= REACH for name in NAMES},
        f"a refit is {off:.0e} off scikit-learn's": off <= SAME,
        f"no number for {', '.join(missing)}": not missing,
    }
    return Line(
        paper="pictures without a number: the RBF's influence falls with the distance of pixels, far images have "
        "almost none, fish mostly help and dogs mostly harm; the network's is much less correlated with distance, "
        "either class helps or harms, and its fifth most helpful image for a fish is a dog",
        ours="; ".join(ours),
        differs=_why(held, numbers),
        met=all(shown.values()),
        shortfall="; ".join(said for said, fine in shown.items() if not fine),
    )


def _whole(seen: Mapping[str, Mapping[str, float]]) -> bool:
    return all(np.isfinite(list(one.values())).all() for one in seen.values())


def _why(held: Photographs, numbers: Mapping[str, Any]) -> str:
    side, query = held.images.shape[-1], numbers["query"]["row"]
    return (
        f"other images and another network; the kernel is the paper's, γ = {WIDTH} / n at {SIDE} px, here times "
        f"({SIDE}/{side})² since fewer pixels lie less far apart, with an intercept; the exact removals of the hinge, "
        "the paper's are those of a smoothed one; the margin in units of its spread, the paper's each model's own loss"
        + ("" if query == QUERY else f"; test row {query} instead of {QUERY}, which not all of them get right")
    )


def _picture(held: Photographs, sides: Mapping[str, Side], far: Floats, query: int) -> Figure:
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(NAMES)), NAMES, strict=True):
        value = sides[name].influence[query]
        for label, colour in ((0, "tab:red"), (1, "tab:green")):
            at = held.y == label
            axes.scatter(far[query, at], value[at], s=6, color=colour, linewidths=0, alpha=0.7, label=held.kinds[label])
        axes.axhline(0.0, color="black", linewidth=0.5)
        axes.set_title(f"{name}: rank correlation {sides[name].by_distance[query]:.2f}", fontsize="small")
        axes.set_xlabel("distance of the pixels", fontsize="small")
        axes.tick_params(labelsize="x-small")
    figure.axes[0].set_ylabel("change of the margin without the image (spreads)", fontsize="small")
    figure.axes[0].legend(fontsize="x-small")
    figure.suptitle(f"test row {query}, {held.kinds[held.y_test[query]]}; below 0: the image helps", fontsize="small")
    return figure


EXPERIMENT = Experiment(5, "models", "three models, one prediction", run)

if __name__ == "__main__":
    main(EXPERIMENT)
