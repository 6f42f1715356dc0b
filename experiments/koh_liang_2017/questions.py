"""Row 9: what the talk leaves open, asked of the library, each answer beside real refits.

    python experiments/koh_liang_2017/questions.py [--quick | --full]

Six questions, a function each. Groups and the rows that a model hangs on are asked of ones against sevens; the rest of
small networks that are trained to a minimum, where a removal has one answer (row 3 has one that is not), and of the
softmax regression on the same images.
"""

from itertools import combinations, product
from typing import Any

import numpy as np
from data.digits import Images, coarser, digit_images, fewer, ones_and_sevens
from harness import Experiment, Line, Outcome, Run, main
from numpy.typing import NDArray
from questions_models import PENALTY, FromSeed, Networks, regression
from questions_picture import picture

from upweight import Influence, compare
from upweight.validation.check import Check
from upweight.validation.metrics import compare_with_refits, pearson, slope, spearman

__all__ = ["EXPERIMENT"]

SEED = 0
SHARES = (0.01, 0.03, 0.05, 0.1, 0.2, 0.3)
ESTIMATES = {"plain": "plain sum", "leverage_sum": "sum with leverage", "estimate": "group Newton"}
KINDS = ("random", "alike", "most helpful")
ELSEWHERE = 0.25
AT_FIVE, TRUSTED, LABEL_FREE, FACTOR = 0.04, 0.95, 0.999, 2.0  # what has to be reached


def run(run: Run) -> Outcome:
    """Six answers and the line that they make."""
    digits = digit_images(run)
    pair = fewer(coarser(ones_and_sevens(run), 14), run.pick(300, 2000, 2000), SEED)
    binary = Influence.from_sklearn(regression(pair), pair.X.astype(float), pair.y)
    images = fewer(coarser(digits, 8), run.pick(400, 1000, 1000), SEED)
    nets = Networks(images, run.pick(4, 6, 6), run.pick(800, 1500, 1500))
    run.say("groups")
    numbers: dict[str, Any] = {"groups": groups(run, pair, binary)}
    run.say("the rows that the model hangs on")
    numbers["hangs on"] = hangs_on(run, binary)
    run.say("restarting and continuing")
    queries = run.pick(6, 20, 50)
    studied = nets.influence(nets.perceptron, 0)
    numbers["restart"], continued = restarts(run, nets, queries)
    run.say("head and all parameters")
    numbers["head"] = head_or_all(nets, studied, continued, queries)
    run.say("seeds and architectures")
    numbers["architecture"] = architectures(run, nets, queries)
    run.say("explanations without a label")
    numbers["label-free"] = label_free(run, nets, queries)
    numbers["settings"] = {
        "penalty": PENALTY,
        "ones and sevens": pair.X.shape,
        "networks": {"images": nets.held.X.shape, "hidden units": nets.hidden, "steps": nets.steps, "queries": queries},
    }
    parts = (f"{len(held.y):,} {which} at {held.side} × {held.side}"
             for held, which in ((pair, "ones and sevens"), (images, "of all digits")))  # fmt: skip
    name = f"{digits.name}: {' and '.join(parts)}"
    return Outcome(name, _line(numbers), numbers, picture(numbers))


# -- the questions ----------------------------------------------------------------------------------------------------


def groups(run: Run, held: Images, influence: Influence) -> dict[str, Any]:
    """Three estimates of a group's removal against its refit: relative errors of the queries' margins, and slopes."""
    rng, n = np.random.default_rng(SEED), len(held.y)
    query, label = held.X_test[: run.pick(20, 50, 50)].astype(float), held.y_test[: run.pick(20, 50, 50)]
    draws = run.pick(2, 10, 40)
    helpful = influence.scores(held.X_test[-draws:].astype(float), held.y_test[-draws:]).values
    found = []
    for share, draw in product(SHARES, range(draws)):
        k, near = max(2, round(share * n)), held.X[rng.integers(n)]
        sets = (
            rng.choice(n, k, replace=False),
            np.argsort(((held.X - near) ** 2).sum(axis=1), kind="stable")[:k],
            np.argsort(-helpful[draw], kind="stable")[:k],
        )
        for kind, rows in zip(KINDS, sets, strict=True):
            effect = influence.group(rows.tolist(), query, label, "margin").refit()
            assert effect.truth is not None
            size = np.linalg.norm(effect.truth)
            one = {"share": share, "kind": kind, "warned": bool(effect.warnings), "rows": k}
            for name, said in ESTIMATES.items():
                estimate = getattr(effect, name)
                one[said] = float(np.linalg.norm(estimate - effect.truth) / size)
                one[f"{said}, slope"] = slope(estimate, effect.truth)
                one[f"{said}, correlation"] = pearson(estimate, effect.truth)
            found.append(one)
    by_kind = {kind: {str(share): _medians(found, share=share, kind=kind) for share in SHARES} for kind in KINDS}
    return {
        "groups": len(found),
        "error": {str(share): _medians(found, share=share) for share in SHARES},
        "error by kind": by_kind,
        "warned": _medians(found, warned=True),
        "not warned": _medians(found, warned=False),
    }


def hangs_on(run: Run, influence: Influence) -> list[dict[str, Any]]:
    """How far all predictions move without the few rows found, without random ones, and by largest self-influence."""
    out = []
    for rows in run.pick((3, 15), (5, 20, 50), (5, 20, 50, 100)):
        found = influence.hangs_on(rows=rows, seed=SEED)
        chance = [one.moved for one in found.random if one.moved is not None]
        moved, own = found.found.moved, found.self_influence.moved
        if moved is None or own is None or not chance:
            raise AssertionError(f"a refit without {rows} rows found no optimum")
        out.append(
            {
                "rows": rows,
                "of": found.training_rows,
                "moved": moved,
                "estimated": found.estimate.moved,
                "random": float(np.mean(chance)),
                "random, largest": max(chance),
                "largest self-influence": own,
                "times random": moved / float(np.mean(chance)),
                "sentence": found.sentence,
            }
        )
    return out


def restarts(run: Run, nets: Networks, queries: int) -> tuple[dict[str, Any], Check]:
    """The same removals, by going on from this model to the next minimum, or by training again: same start, another.

    A restart ends elsewhere where its effect is further than ELSEWHERE from that of going on.
    """
    training = nets.training(nets.perceptron)
    seeds = run.pick((1,), (1, 2), (1, 2, 3, 4, 5))
    elsewhere = [f"start {seed}" for seed in seeds]
    ways: dict[str, Any] = {"continued": None, "same start": training}
    ways |= {way: FromSeed(training, seed) for way, seed in zip(elsewhere, seeds, strict=True)}
    query, label = nets.queries(queries)
    checks = {}
    for way, train in ways.items():
        run.say(f"refits: {way}")
        influence = nets.influence(nets.perceptron, 0, train)
        checks[way] = influence.check(query, label, "margin", rows=run.pick(8, 16, 100), seed=SEED)
    first = checks["continued"]
    shared = [row for row in first.row_ids if all(row in check.row_ids for check in checks.values())]
    at = {way: [check.row_ids.index(row) for row in shared] for way, check in checks.items()}
    real = {"estimate": first.estimate[:, at["continued"]]}
    real |= {way: check.refit[:, at[way]] for way, check in checks.items()}
    bases = np.stack([checks[way].base for way in ("same start", *elsewhere)])
    moved = [real[way] + (checks[way].base - first.base)[:, None] for way in elsewhere]
    size = np.linalg.norm(real["continued"], axis=0)
    return {
        "rows": shared,
        "checks": {way: _agreement(check) for way, check in checks.items()},
        "correlation": {a: {b: pearson(real[a].ravel(), real[b].ravel()) for b in real} for a in real},
        "end elsewhere": {
            way: int((np.linalg.norm(real[way] - real["continued"], axis=0) > ELSEWHERE * size).sum()) for way in ways
        },
        "another start": float(np.mean([checks[way].pearson for way in elsewhere])),
        "another start, against this model": [pearson(real["estimate"].ravel(), one.ravel()) for one in moved],
        "seed noise": float(np.mean(np.std(bases, axis=0, ddof=1))),
        "typical effect": float(np.sqrt(np.mean(real["continued"] ** 2))),
    }, first


def head_or_all(nets: "Networks", whole: Influence, continued: Check, queries: int) -> dict[str, Any]:
    """The head's influence and all parameters' of one network, and which of them real refits of the network follow."""
    query, label = nets.queries(queries)
    head = nets.influence(nets.perceptron, 0, params="head")
    both = compare(head, whole, query, label, names=("head", "all"))
    at = list(continued.row_ids)
    estimates = {"all": continued.estimate, "head": head.scores(query, label, "margin").values[:, at]}
    own = head.check(query, label, "margin", rows=16, seed=SEED)
    return {
        "rank correlation": _spread(both.agreement),
        "shared of the ten first": _spread(both.shared),
        "against refits of all": {name: _against(one, continued.refit) for name, one in estimates.items()},
        "head against refits of the head": _agreement(own),
        "change": continued.refit.ravel(),
        "estimates": {name: one.ravel() for name, one in estimates.items()},
    }


def architectures(run: Run, nets: "Networks", queries: int) -> dict[str, Any]:
    """Rank correlation of influence on the same predictions between seeds and between architectures.

    The ceiling of two architectures is √(r_a r_b), r the agreement of one's own seeds: what two of them would come to
    if they differed in nothing but their seeds (Spearman's correction for attenuation).
    """
    query, label = nets.queries(queries)
    seeds = range(run.pick(2, 3, 6))
    kinds = {"one hidden layer": nets.perceptron, "two hidden layers": nets.deeper}
    made: dict[str, list[tuple[Influence, Any]]] = {
        name: [(nets.influence(build, seed), query) for seed in seeds] for name, build in kinds.items()
    }
    made["softmax regression"] = [(nets.linear, query.numpy())]

    def agree(pairs: Any) -> list[Any]:
        return [compare(a, b, x, label.numpy(), X_query_b=x_b) for (a, x), (b, x_b) in pairs]

    own = {name: _pairs(agree(combinations(made[name], 2))) for name in kinds}
    own["softmax regression"] = {"rank correlation": 1.0}  # convex: every seed gives the same model
    between = {}
    for a, b in combinations(made, 2):
        found = _pairs(agree(product(made[a], made[b])))
        ceiling = float(np.sqrt(own[a]["rank correlation"] * own[b]["rank correlation"]))
        between[f"{a}, {b}"] = {**found, "ceiling": ceiling, "of it": found["rank correlation"] / ceiling}
    accuracy = {name: nets.accuracy(build, 0) for name, build in kinds.items()}
    return {"own seeds": own, "between": between, "seeds": len(seeds), "test accuracy": accuracy}


def label_free(run: Run, nets: "Networks", queries: int) -> dict[str, Any]:
    """A new input explained without its label: what the model says of it, against real refits."""
    query, label = nets.held.X_test[:queries].astype(float), nets.held.y_test[:queries]
    rows = run.pick(16, 40, 200)
    checks = {name: nets.linear.check(query, None, name, rows=rows, seed=SEED) for name in ("margin", "prob")}
    free, asked = nets.linear.scores(query, None, "margin").values, nets.linear.scores(query, label, "loss").values
    right = nets.regression.predict(query) == label
    ranks = np.asarray([spearman(-a, b) for a, b in zip(free, asked, strict=True)], dtype=float)
    return {
        "checks": {name: _agreement(check) for name, check in checks.items()},
        "misread": int((~right).sum()),
        "as with the label, read right": float(ranks[right].mean()),
        "as with the label, misread": float(ranks[~right].mean()) if (~right).any() else None,
        "estimates": checks["margin"].estimate.ravel(),
        "change": checks["margin"].refit.ravel(),
    }


# -- numbers ----------------------------------------------------------------------------------------------------------


def _medians(found: list[dict[str, Any]], **of: Any) -> dict[str, Any]:
    """Over the groups of this kind: each estimate's error, its worst, its slope and its correlation."""
    some = [one for one in found if all(one[key] == value for key, value in of.items())]
    if not some:
        return {"groups": 0}
    out: dict[str, Any] = {"groups": len(some), "warned": sum(one["warned"] for one in some)}
    for said in ESTIMATES.values():
        low, middle, high = np.quantile([one[said] for one in some], (0.1, 0.5, 0.9))
        out[said] = {
            "median": middle,
            "tenth": low,
            "nine tenths": high,
            "worst": max(one[said] for one in some),
            "slope": float(np.median([one[f"{said}, slope"] for one in some])),
            "correlation": float(np.median([one[f"{said}, correlation"] for one in some])),
        }
    return out


def _agreement(check: Check) -> dict[str, Any]:
    """What a check came to, with its 95 % intervals."""
    c = check.comparison
    return {
        "pearson": c.pearson, "spearman": c.spearman, "slope": c.slope, "signs": c.signs, "rows": len(check.row_ids),
        "intervals": c.intervals, "grade": check.grade.letter, "reason": check.grade.reasons[0],
        "refits": check.noise.reason,
    }  # fmt: skip


def _against(estimate: NDArray[Any], truth: NDArray[Any]) -> dict[str, Any]:
    c = compare_with_refits(estimate, truth, np.zeros(len(truth)), np.random.default_rng(SEED))
    return {"pearson": c.pearson, "spearman": c.spearman, "slope": c.slope, "intervals": c.intervals}


def _spread(values: NDArray[Any]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "least": float(np.min(values)), "most": float(np.max(values))}


def _pairs(found: list[Any]) -> dict[str, Any]:
    """Means over the predictions, then over the pairs of models; each pair's own beside."""
    ranks = [float(np.nanmean(one.agreement)) for one in found]
    shared = [float(np.mean(one.shared)) for one in found]
    return {"rank correlation": float(np.mean(ranks)), "shared of the ten first": float(np.mean(shared)),
            "each pair": ranks}  # fmt: skip


# -- the line ---------------------------------------------------------------------------------------------------------


def _line(numbers: dict[str, Any]) -> Line:
    error = numbers["groups"]["error"]
    five, most = error[str(0.05)], error[str(SHARES[-1])]
    helpful = numbers["groups"]["error by kind"]["most helpful"][str(0.05)]["group Newton"]["median"]
    head, again, free = numbers["head"], numbers["restart"], numbers["label-free"]
    ways = again["checks"]
    few = numbers["hangs on"][0]
    between = "; ".join(f"{name} {one['rank correlation']:.2f} of {one['ceiling']:.2f}"
                        for name, one in numbers["architecture"]["between"].items())  # fmt: skip
    seeds = ", ".join(f"{name} {one['rank correlation']:.2f}"
                      for name, one in numbers["architecture"]["own seeds"].items() if "each pair" in one)  # fmt: skip
    truth = head["against refits of all"]
    ours = (
        f"groups of 5%: plain sum off by {_percent(five['plain sum']['median'])}, with leverage "
        f"{_percent(five['sum with leverage']['median'])}, group Newton {_percent(five['group Newton']['median'])} "
        f"({_percent(helpful)} of the rows most helpful to one prediction); of 30%: "
        f"{', '.join(_percent(most[said]['median']) for said in ESTIMATES.values())}, the plain sum "
        f"{most['plain sum']['slope']:.1f} times too small",
        f"head and all parameters rank alike by {head['rank correlation']['mean']:.2f} and share "
        f"{10 * head['shared of the ten first']['mean']:.1f} of the ten first rows; with refits of the network all "
        f"correlate by {truth['all']['pearson']:.3f}, the head by {truth['head']['pearson']:.2f}",
        f"two seeds rank alike by: {seeds}; two architectures, of what their seeds allow: {between}",
        f"continuing from this model, refits follow the estimates by {ways['continued']['pearson']:.3f} (graded "
        f"{ways['continued']['grade']}), restarted at the same point by {ways['same start']['pearson']:.2f} (graded "
        f"{ways['same start']['grade']}; {again['end elsewhere']['same start']} of {len(again['rows'])} end "
        f"elsewhere), at another by {again['another start']:.2f} ({ways['start 1']['grade']}); seeds differ by "
        f"{again['seed noise']:.2f} log-odds, a row's typical effect is {again['typical effect']:.3f}",
        f"{few['rows']} of {few['of']:,} rows move all predictions {few['times random']:.0f} times as far as random "
        f"ones, refitted",
        f"without a label: margin {free['checks']['margin']['pearson']:.5f}, probability "
        f"{free['checks']['prob']['pearson']:.5f} with refits; {free['misread']} of the inputs misread",
    )
    shortfall = _short(numbers)
    return Line(
        paper="left open by the talk, without a number",
        ours="; ".join(ours),
        differs="nothing was printed to differ from; groups and the rows that the model hangs on are asked of ones "
        "against sevens, the rest of networks of a few hundred parameters trained to a minimum, so that a removal has "
        "one answer (row 3 has one that is not); estimates graded A or B have to agree with their refits, others not",
        met=not shortfall,
        shortfall="; ".join(shortfall),
    )


def _short(numbers: dict[str, Any]) -> list[str]:
    """What falls short of the bars, by its number; each estimate graded A or B has to agree with its refits."""
    error, out = numbers["groups"]["error"], []
    if error[str(0.05)]["group Newton"]["median"] > AT_FIVE:
        out.append(f"group Newton off by {_percent(error[str(0.05)]['group Newton']['median'])} at 5%")
    out += [
        f"group Newton no better than the plain sum at {share}"
        for share, one in error.items()
        if one["group Newton"]["median"] >= one["plain sum"]["median"]
    ]
    checks = {**numbers["restart"]["checks"], "head": numbers["head"]["head against refits of the head"]}
    out += [
        f"{name} graded {one['grade']} at {one['pearson']:.3f}"
        for name, one in checks.items()
        if one["grade"] in "AB" and one["pearson"] < TRUSTED
    ]
    out += [
        f"{name} without a label at {one['pearson']:.5f}"
        for name, one in numbers["label-free"]["checks"].items()
        if one["pearson"] < LABEL_FREE
    ]
    out += [
        f"{one['rows']} rows move only {one['times random']:.1f} times random ones"
        for one in numbers["hangs on"]
        if one["times random"] < FACTOR
    ]
    return out


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%"


EXPERIMENT = Experiment(9, "questions", "open questions of the talk", run)

if __name__ == "__main__":
    main(EXPERIMENT)
