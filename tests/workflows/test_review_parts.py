"""What a review is made of, each part a second way: fits, effects, signals, flips, the order put together."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from scipy.special import log_softmax
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_iris
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from upweight.adapters import adapt
from upweight.validation.detection import average_precision
from upweight.workflows.review.evidence import SCHEDULES, Evidence, gather, look, probabilities, reweighted
from upweight.workflows.review.fits import CLOSE, Learner, logits, out_of_fold
from upweight.workflows.review.problem import Problem, pose
from upweight.workflows.review.ranking import blend, pick, standing, worth
from upweight.workflows.review.signals import SIGNALS, confidently_other, likelier_other, measure
from upweight.workflows.review.trial import hold

TIGHT = 1e-15


def noisy(name: str) -> tuple[Any, Any, Any]:
    """X, y with every tenth label moved on, and the labels as they were."""
    data = {"iris": load_iris, "digits": load_digits}[name]()
    x, y = data.data[:400], data.target[:400].copy()
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    given = y.copy()
    given[::10] = (given[::10] + 1) % (y.max() + 1)
    return x / x.max(), given, y


def posed(name: str, classes: int = 0, sparse: bool = False) -> tuple[Problem, Any, Any]:
    x, y, _ = noisy(name)
    if classes:
        x, y = x[y < classes], y[y < classes]
    x = sp.csr_array(x) if sparse else x
    return pose(adapt(LogisticRegression(tol=1e-10, max_iter=2000).fit(x, y), x, y)), x, y


@pytest.fixture(scope="module")
def known() -> tuple[Problem, Any, Any, Evidence]:
    """All that is known of 150 irises."""
    problem, x, y = posed("iris")
    rows = look(Learner(problem))
    fold = problem.fold_of(problem.codes, np.random.default_rng(0))
    return problem, x, y, gather(rows, problem.codes, fold, SCHEDULES["two rounds"], TIGHT)


@pytest.mark.parametrize(("classes", "sparse"), [(0, False), (2, False), (2, True)])
@pytest.mark.parametrize("strength", [1.0, 10.0])
def test_out_of_fold_is_scikit_learns(classes: int, sparse: bool, strength: float) -> None:
    """The same folds refitted by LogisticRegression itself, rows weighed, under a stronger penalty."""
    problem, x, y = posed("iris", classes, sparse)
    fold = problem.fold_of(problem.codes, np.random.default_rng(1))
    weights = np.random.default_rng(2).uniform(0.1, 1.0, len(y))
    z, _ = out_of_fold(Learner(problem, strength), problem.codes, fold, weights, tol=TIGHT)
    for k in range(problem.folds):
        inside = fold != k
        model = LogisticRegression(C=1.0 / strength, tol=1e-10, max_iter=5000)
        model.fit(x[inside], y[inside], sample_weight=weights[inside])
        assert np.allclose(probabilities(z)[~inside], model.predict_proba(x[~inside]), atol=2e-5)


def test_folds_spread_every_class() -> None:
    """Each holds as many of a class as the others, give or take one."""
    problem = posed("digits")[0]
    fold = problem.fold_of(problem.codes, np.random.default_rng(0))
    for k in range(problem.classes):
        held = np.bincount(fold[problem.codes == k], minlength=problem.folds)
        assert held.max() - held.min() <= 1


def test_what_a_row_does_to_held_out_rows_is_a_derivative(known: Any) -> None:
    """By finite differences of refits: a row a little lighter, and a little of the other label."""
    problem, _, _, evidence = known
    codes, fold, learner = problem.codes, evidence.fold, Learner(problem)
    to = probabilities(evidence.rounds)
    to[np.arange(len(codes)), codes] = -1.0
    to = to.argmax(axis=1)
    z0, heads = out_of_fold(learner, codes, fold, tol=TIGHT)

    def held_out(head: Any, k: int) -> float:
        out = fold == k
        return float(-log_softmax(logits(head), axis=1)[np.arange(len(codes)), codes][out].sum())

    for i in (0, 10, 57):
        change = 0.0
        for k in range(problem.folds):
            if k == fold[i]:
                continue
            inside = (fold != k).astype(float)
            values = []
            for step in (-0.05, 0.05):
                weights = inside.copy()
                weights[i] += step
                values.append(held_out(learner.fit(codes, weights, heads[k].params.vector, TIGHT), k))
            change -= (values[1] - values[0]) / 0.1  # weight 1 -> 0
        assert evidence.removal[i] == pytest.approx(change, rel=0.02, abs=1e-3)
        others = [k for k in range(problem.folds) if k != fold[i]]
        assert evidence.held_out[i] == pytest.approx(sum(held_out(heads[k], k) for k in others), rel=1e-4)
    assert np.corrcoef(evidence.relabel, evidence.removal)[0, 1] > 0.5  # of one sign where a label looks wrong
    assert np.allclose(z0, evidence.outside, atol=1e-4)


def test_labels_wrong_before_leave_the_choice_as_it_is() -> None:
    """Which of two fits tells flips apart better is seen as well where a fifth of the labels was wrong before."""
    x, _, clean = noisy("digits")
    two = clean < 2
    x, clean = np.repeat(x[two], 6, axis=0), np.repeat(clean[two], 6)
    x = x + np.random.default_rng(1).normal(scale=0.6, size=x.shape)
    best = []
    for share in (0.0, 0.2):
        wrong = np.random.default_rng(2).uniform(size=len(clean)) < share
        y = np.where(wrong, 1 - clean, clean)
        problem = pose(adapt(LogisticRegression(C=1e3, max_iter=5000).fit(x, y), x, y))
        own = Learner(problem)
        first = out_of_fold(own, problem.codes, problem.fold_of(problem.codes, np.random.default_rng(0)))
        _, trial, _ = hold(
            look(own), first, problem.fold_of(problem.codes, np.random.default_rng(0)), 0, lambda _: None
        )
        best.append(trial.strength)
    assert min(best) >= 100.0
    assert max(best) / min(best) <= 10.0


def test_a_wrong_label_is_worth_changing(known: Any) -> None:
    """The relabel gain against real refits with the label suggested: sign and size over the changed rows."""
    problem, x, y, evidence = known
    suggested = probabilities(evidence.rounds)
    suggested[np.arange(len(y)), y] = -1.0
    suggested = suggested.argmax(axis=1)
    real = []
    for i in range(0, 150, 10):
        change = 0.0
        for k in range(problem.folds):
            if k == evidence.fold[i]:
                continue
            inside, other = evidence.fold != k, y.copy()
            other[i] = suggested[i]
            losses = []
            for labels in (y, other):
                model = LogisticRegression(tol=1e-9, max_iter=2000).fit(x[inside], labels[inside])
                p = model.predict_proba(x[~inside])[np.arange((~inside).sum()), y[~inside]]
                losses.append(-np.log(p).sum())
            change += losses[1] - losses[0]
        real.append(change)
    estimate = evidence.relabel[::10]
    assert np.corrcoef(estimate, real)[0, 1] > 0.98
    assert np.mean(np.sign(estimate) == np.sign(real)) > 0.9


def test_a_row_left_out_is_a_real_refit(known: Any) -> None:
    """Leave-one-out loss of the rows that it moves most, by scikit-learn: within 5 % of the move, or 0.03 nats."""
    _, x, y, evidence = known
    for i in np.argsort(evidence.loss - evidence.loss_without)[:5]:
        keep = np.arange(len(y)) != i
        p = LogisticRegression(tol=1e-10, max_iter=2000).fit(x[keep], y[keep]).predict_proba(x[[i]])[0, y[i]]
        moved = evidence.loss_without[i] - evidence.loss[i]
        assert evidence.loss_without[i] == pytest.approx(-np.log(p), abs=max(0.05 * moved, 0.03))


def test_nearest_rows_are_of_largest_cosine(known: Any) -> None:
    """By all pairs."""
    _, x, y, evidence = known
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    kth = np.sort(cosine, axis=1)[:, -10]
    for i in range(0, 150, 7):
        sure = np.flatnonzero(cosine[i] > kth[i] + 1e-12)
        other = np.sum(y[sure] != y[i])
        assert other / 10 - 1e-12 <= evidence.near[i] <= (other + 10 - len(sure)) / 10 + 1e-12


def test_confident_learning_counts_as_cleanlab() -> None:
    """The same rows, and the same order by the label's own probability, on three data sets."""
    for name, classes in (("iris", 0), ("digits", 0), ("digits", 2)):
        problem, _, y = posed(name, classes)
        fold = problem.fold_of(problem.codes, np.random.default_rng(3))
        z, _ = out_of_fold(Learner(problem), problem.codes, fold, tol=CLOSE)
        p = probabilities(z)
        theirs = find_label_issues(y, p, filter_by="confident_learning", n_jobs=1)
        ours = confidently_other(z, problem.codes)
        assert theirs.sum() > 3
        assert np.array_equal(ours, theirs)
        quality = get_label_quality_scores(y, p, method="self_confidence")
        assert np.allclose(quality, p[np.arange(len(y)), y])
        assert likelier_other(z, problem.codes).sum() == (p.argmax(axis=1) != y).sum()


def test_signals_by_their_definition(known: Any) -> None:
    """Each from the logits by hand; higher is more suspect: all find the changed labels better than chance."""
    _, _, y, evidence = known
    values, at = measure(evidence), np.arange(len(y))
    assert list(values) == list(SIGNALS)
    loss = -log_softmax(evidence.inside, axis=1)[at, y]
    p = probabilities(evidence.inside)
    others = np.where(np.eye(3, dtype=bool)[y], -1.0, p).max(axis=1)
    alone = -log_softmax(evidence.alone, axis=1)[at, y]
    assert np.allclose(values["loss"], loss)
    assert np.allclose(values["margin"], others - p[at, y])
    assert np.allclose(values["self-influence"], alone - loss)
    assert np.allclose(values["weighted self-influence"], (alone - loss) * (1 - np.exp(-alone)))
    assert np.allclose(values["held-out influence"], -evidence.removal)
    wanted = np.zeros(len(y), dtype=bool)
    wanted[::10] = True
    for name, value in values.items():
        assert average_precision(value, wanted) > 0.1 or name == "relabel gain", name


def test_rounds_weigh_suspected_rows_down() -> None:
    """A round is a refit with these weights; on digits it finds more of the changed labels."""
    problem, _, y = posed("digits")
    learner, fold = Learner(problem), problem.fold_of(problem.codes, np.random.default_rng(0))
    first = out_of_fold(learner, problem.codes, fold, tol=TIGHT)
    p = probabilities(first[0])
    weights = np.maximum((p[np.arange(len(y)), y] / p.max(axis=1)) ** 0.5, 0.02)
    by_hand, _ = out_of_fold(learner, problem.codes, fold, weights, tol=TIGHT)
    begun, once = reweighted(learner, problem.codes, fold, first, (0.5,), TIGHT)
    assert begun is first[0]
    assert np.allclose(probabilities(once), probabilities(by_hand), atol=1e-4)
    wanted = np.zeros(len(y), dtype=bool)
    wanted[::10] = True
    before, after = (average_precision(-probabilities(z)[np.arange(len(y)), y], wanted) for z in (begun, once))
    assert after > before


def test_weights_are_picked_where_they_find_most() -> None:
    """Two signals that err on other rows are worth more together; noise gets no weight; ties share their standing."""
    random = np.random.default_rng(0)
    sets = []
    for _ in range(4):
        wanted = random.uniform(size=400) < 0.1
        signals = {name: standing(wanted * 2.0 + random.normal(size=400)) for name in ("one", "two")}
        sets.append(({**signals, "noise": standing(random.normal(size=400))}, wanted))
    names = ("one", "two", "noise")
    weights = pick(sets, names)
    assert set(weights) == {"one", "two"}
    assert sum(weights.values()) == pytest.approx(1.0)
    alone = max(np.mean([average_precision(s[name], w) for s, w in sets]) for name in names)
    together = [average_precision(order, w) for order, (_, w) in zip(worth(sets, names), sets, strict=True)]
    assert np.mean(together) > alone + 0.05
    assert np.allclose(blend(sets[0][0], {"one": 1.0}), sets[0][0]["one"])
    assert len(set(standing(np.asarray([1.0, 1.0, 2.0])))) == 2


@pytest.mark.parametrize("chooser", [SelectKBest(k=2), ColumnTransformer([("some", TargetEncoder(cv=2), [0])])])
def test_a_pipeline_is_frozen_and_what_read_the_labels_is_said(chooser: Any) -> None:
    """A scaler has seen none; a choice of columns and an encoding by the target have, at any depth."""
    x, y, _ = noisy("iris")
    plain = pose(adapt(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), x, y))
    assert "preprocessing" in plain.how
    assert plain.notes == ()
    told = pose(adapt(make_pipeline(StandardScaler(), make_pipeline(chooser, LogisticRegression())).fit(x, y), x, y))
    name = "TargetEncoder" if isinstance(chooser, ColumnTransformer) else "SelectKBest"
    assert f"{name} learnt from the labels" in told.notes[0]
