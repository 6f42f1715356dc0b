"""Row 1 (figure 1): what the influence formula is made of. Each part is left out, and real removals judge what is left.

    python experiments/koh_liang_2017/components.py [--quick | --full]

Ones against sevens; the query is the paper's. Without the loss term each row's gradient is divided by how wrong the
model is about the row, 1 − p; without the curvature H is the identity; without both, what is left is the inner product
of two images, with the sign of their labels.
"""

from typing import Any

import numpy as np
from data.digits import Images, ones_and_sevens
from harness import Experiment, Line, Outcome, Run, main
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from upweight import Influence
from upweight.solvers import Approximate
from upweight.solvers.preconditioner import Diagonal, Identity
from upweight.validation.metrics import pearson, spearman

__all__ = ["EXPERIMENT"]

PENALTY, QUERY, SEED = 0.01, 30, 0
SHOWN = ("influence", "without the loss term", "the curvature's diagonal", "without the curvature", "without both")
CEILING = 0.999  # rank correlation that the whole formula has to reach, and what every other has to stay under


def run(run: Run) -> Outcome:
    """Rows of largest effect by any of the variants, and random ones, are really removed."""
    held = ones_and_sevens(run)
    model = _fitted(held)
    query, label = held.X_test[[QUERY]], held.y_test[[QUERY]]
    whole = Influence.from_sklearn(model, held.X, held.y, solver="cholesky")
    scores = whole.scores(query, label, removal="first_order")
    wrong = expit(np.where(held.y == 1, -1.0, 1.0) * model.decision_function(held.X))  # 1 - p of the row's own label
    identity, diagonal = (
        Influence.from_sklearn(model, held.X, held.y, solver=Approximate(near))
        .scores(query, label, removal="first_order")
        .values[0]
        for near in (Identity(), Diagonal())
    )
    exact = scores.values[0]
    found = dict(zip(SHOWN, (exact, exact / wrong, diagonal, identity, identity / wrong), strict=True))
    found["with leverage"] = whole.scores(query, label).values[0]

    random = np.random.default_rng(SEED).choice(len(held.y), run.pick(60, 400, len(held.y)), replace=False)
    largest = run.pick(10, 40, 0)
    top = [np.argsort(-np.abs(found[name]), kind="stable")[:largest] for name in SHOWN]
    rows = np.union1d(random, np.concatenate(top).astype(int))
    run.say(f"{len(rows):,} of {len(held.y):,} rows are really removed")
    truth = run.piece("refits", [len(rows), SEED], lambda: {"truth": scores.refits(list(rows))[0]})["truth"]
    numbers = {
        "rows": len(held.y),
        "columns": held.X.shape[1],
        "query": {"row": QUERY, "label": label[0], "loss": scores.base[0]},
        "removed": len(rows),
        "random": len(random),
        "same class and harmful": _against_their_class(found, truth, rows, random, held.y == label[0]),
        "agreement": {name: _agreement(values, truth, rows, random) for name, values in found.items()},
        "removed rows": rows,
        "change": truth,
        "estimates": {name: values[rows] for name, values in found.items()},
    }
    return Outcome(held.name, _line(numbers), numbers, _picture(held, found, truth, rows, label[0]))


def _fitted(held: Images) -> LogisticRegression:
    """As the authors' code: no intercept, the penalty on the mean loss."""
    c = 1.0 / (PENALTY * len(held.y))
    return LogisticRegression(C=c, fit_intercept=False, solver="newton-cholesky", tol=1e-10).fit(
        held.X.astype(float), held.y
    )


def _agreement(values: NDArray[Any], truth: NDArray[Any], rows: NDArray[Any], random: NDArray[Any]) -> dict[str, Any]:
    """Scale apart: without a part of the formula a score has no unit."""
    drawn = np.isin(rows, random)
    return {
        "rank correlation": spearman(values[rows], truth),
        "rank correlation, random rows": spearman(values[rows][drawn], truth[drawn]),
        "rank correlation of sizes": spearman(np.abs(values[rows]), np.abs(truth)),
        "correlation": pearson(values[rows], truth),
    }


def _against_their_class(found: dict[str, Any], truth: Any, rows: Any, random: Any, same: Any) -> dict[str, float]:
    """Of the random rows of the query's class, the share whose removal lowers its loss: by each variant, and really."""
    of = np.isin(rows, random) & same[rows]
    shares = {name: float(np.mean(values[rows][of] < 0)) for name, values in found.items()}
    return {"really": float(np.mean(truth[of] < 0)), **shares}


def _line(numbers: dict[str, Any]) -> Line:
    ranks = {name: one["rank correlation"] for name, one in numbers["agreement"].items()}
    parts = [f"{name} {ranks[name]:.3f}" for name in SHOWN]
    harmful = numbers["same class and harmful"]
    return Line(
        paper="figure 1, pictures without a number: without the loss term many rows are overrated that hardly matter; "
        "without the curvature every row of the query's class helps and every other harms",
        ours=f"rank correlation with {numbers['removed']:,} real removals: {', '.join(parts)}; of the query's class "
        f"{harmful['really']:.0%} really harm, {harmful['influence']:.0%} by the influence and "
        f"{harmful['without the curvature']:.0%} without the curvature",
        differs="the paper compares each variant with the influence, we compare all with real removals; without the "
        "curvature and with the identity are the same thing, since one factor changes no rank",
        met=ranks["influence"] >= CEILING and all(ranks[name] < ranks["influence"] for name in SHOWN[1:]),
        shortfall="" if ranks["influence"] >= CEILING else f"the influence itself ranks at {ranks['influence']:.4f}",
    )


def _picture(held: Images, found: dict[str, Any], truth: Any, rows: Any, label: int) -> Figure:
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    same = held.y[rows] == label
    for axes, name in zip(figure.subplots(1, len(SHOWN)), SHOWN, strict=True):
        for at, colour, said in ((same, "tab:green", "same class"), (~same, "tab:red", "other class")):
            axes.scatter(found[name][rows][at], truth[at], s=5, color=colour, label=said, linewidths=0)
        axes.axhline(0.0, color="black", linewidth=0.4)
        axes.axvline(0.0, color="black", linewidth=0.4)
        axes.set_title(name, fontsize="small")
        axes.tick_params(labelsize="x-small")
        axes.locator_params(axis="x", nbins=4)
    figure.axes[0].set_ylabel("real change of the loss (nats)", fontsize="small")
    figure.axes[0].legend(fontsize="x-small")
    figure.supxlabel("estimate", fontsize="small")
    return figure


EXPERIMENT = Experiment(1, "components", "what the influence formula is made of", run)

if __name__ == "__main__":
    main(EXPERIMENT)
