"""Mistakes by the harmful rows that they share, on planted wrong labels, each number against fits from nothing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from upweight import Influence
from upweight.display.html import report
from upweight.display.terminal import render
from upweight.workflows.explain import explain
from upweight.workflows.explanation import Explanation, SharedHarm
from upweight.workflows.pages import answer, document
from upweight.workflows.shared import alike
from upweight.workflows.shared_passages import shared_sentence

C = 1.0
PLANTED = {"island": [10, 11, 12], "lake": [20, 21, 22]}
PLACES = {"island": ("yes", "no"), "lake": ("no", "yes")}  # the truth of a place, and its planted labels


def world() -> tuple[pd.DataFrame, pd.Series, pd.DataFrame, pd.Series]:
    """120 training rows: a number decides, but on an island all are yes and by a lake all no.

    Of each place, four training rows, three of them labelled wrongly; of those to be asked about, five and four.
    """
    draw = np.random.default_rng(1)
    x = pd.DataFrame({"size": draw.normal(size=129), "island": 0.0, "lake": 0.0})
    y = pd.Series(np.where(x["size"] + 0.6 * draw.normal(size=129) > 0, "yes", "no"), dtype=object)
    asked = {"island": range(120, 125), "lake": range(125, 129)}
    for place, (truth, wrong) in PLACES.items():
        start = PLANTED[place][0]
        at = [*range(start, start + 4), *asked[place]]
        x.loc[at, place] = 1.0
        x.loc[at, "size"] = draw.normal(0.0, 0.02, len(at))
        y[at] = truth
        y[PLANTED[place]] = wrong
    return x[:120], y[:120], x[120:], y[120:]


def fitted(x: pd.DataFrame, y: pd.Series) -> LogisticRegression:
    return LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(x, y)


@pytest.fixture(scope="module")
def explained() -> Explanation:
    x, y, new, truth = world()
    influence = Influence.from_sklearn(fitted(x, y), x, y)
    return explain(influence, new, truth, held_out=(new, truth), check_rows=4)


@pytest.fixture(scope="module")
def shared(explained: Explanation) -> SharedHarm:
    assert explained.shared is not None
    return explained.shared


def test_planted_rows_are_found_grouped_and_the_refit_mends(shared: SharedHarm) -> None:
    """Two groups, each hanging on the rows whose labels are wrong; without them all of its mistakes are right."""
    assert shared.mistakes == 9
    assert shared.alone == ()
    assert [len(group.mistakes) for group in shared.groups] == [5, 4]
    for group, (place, rows) in zip(shared.groups, PLANTED.items(), strict=True):
        assert {row.effect.id for row in group.rows} == set(rows)
        assert {mistake.truth for mistake in group.mistakes} == {PLACES[place][0]}
        assert group.mended == (len(group.mistakes), len(group.mistakes))
        assert all(row.harms == len(group.mistakes) for row in group.rows)
        assert all(row.effect.verdict == "harmful" for row in group.rows)


def test_what_is_told_of_a_group_is_a_real_refit(shared: SharedHarm) -> None:
    """Loss, labels and the held-out mean after a cold fit without the shared rows; the estimate is near it."""
    x, y, new, truth = world()
    full = fitted(x, y)
    for group in shared.groups:
        out = [row.effect.id for row in group.rows]
        left = fitted(x.drop(index=out), y.drop(index=out))
        change = loss(left, new, truth) - loss(full, new, truth)
        for mistake in group.mistakes:
            assert mistake.refit.change == pytest.approx(change[mistake.id], rel=1e-4)
            assert mistake.after == left.predict(new.loc[[mistake.id]])[0]
            assert mistake.says == full.predict(new.loc[[mistake.id]])[0]
            assert mistake.estimate.change == pytest.approx(change[mistake.id], rel=0.25)
        ids = [mistake.id for mistake in group.mistakes]
        assert group.refit.change == pytest.approx(change[ids].mean(), rel=1e-4)
        assert group.held_out is not None
        assert group.held_out.change == pytest.approx(change.mean(), rel=1e-4)
        for row in group.rows:
            one = fitted(x.drop(index=row.effect.id), y.drop(index=row.effect.id))
            alone = (loss(one, new, truth) - loss(full, new, truth))[ids].mean()
            assert row.effect.refit.change == pytest.approx(alone, rel=1e-4)


def test_no_fewer_rows_mend_as_many(shared: SharedHarm) -> None:
    """The most harmful first, without the last of them fewer mistakes are right."""
    x, y, new, truth = world()
    for group in shared.groups:
        ids = [mistake.id for mistake in group.mistakes]
        harm = [row.effect.estimate.change for row in group.rows]
        assert harm == sorted(harm, key=lambda change: change or 0.0)
        out = [row.effect.id for row in group.rows][:-1]
        left = fitted(x.drop(index=out), y.drop(index=out))
        assert (left.predict(new.loc[ids]) == truth[ids]).sum() < len(ids)


def test_share_is_of_all_harm_done_to_the_group(explained: Explanation, shared: SharedHarm) -> None:
    """The harmful parts of the estimates, over all rows and all mistakes of the group."""
    by_id = {p.id: p for p in explained.predictions}
    at = {row: i for i, row in enumerate(explained.row_ids)}
    for group in shared.groups:
        harm = -np.minimum([by_id[mistake.id].influence for mistake in group.mistakes], 0.0)
        for row in group.rows:
            assert row.share == pytest.approx(harm[:, at[row.effect.id]].sum() / harm.sum())


def test_sentence_names_mistakes_rows_and_both_counts(shared: SharedHarm) -> None:
    """In the words of the report."""
    ids = ", ".join(str(row.effect.id) for row in shared.groups[0].rows)
    k = len(shared.groups[0].rows)
    assert shared_sentence(shared, shared.groups[0], "row") == (
        f"5 of 9 mistakes hang on the same {k} rows ({ids}): without them 5 would be right. Really refitted: 5 are."
    )


def test_pages_show_the_groups_within_80_columns(explained: Explanation) -> None:
    """Terminal and report hold sentence, mistakes and rows; nothing of it where rows stay unseen."""
    text = render(answer(explained, "t"), 80)
    page = report(document(explained, "t"))
    for part in ("share their harmful rows", "then says", "of the harm", "hang on the same", "all held-out rows"):
        assert part in text.replace("\n    ", " ")
        assert part in page
    assert max(map(len, text.splitlines())) <= 80
    assert 'href="#shared"' in page
    assert "4 more predictions" in text  # five of the nine are shown one by one
    unseen = render(answer(explained, "t", show_rows=False), 80) + report(document(explained, "t", show_rows=False))
    assert "hang on" not in unseen
    assert "mistake" not in unseen


def test_right_predictions_are_no_mistakes() -> None:
    """They are left out; of fewer than two mistakes nothing is said."""
    x, y, new, truth = world()
    influence = Influence.from_sklearn(fitted(x, y), x, y)
    right = x.index[influence.adapted.rebuild(influence.attribution.vector).predict(x) == y][:3]
    mixed = pd.concat([new[:2], x.loc[right]]), pd.concat([truth[:2], y[right]])
    found = explain(influence, *mixed, check_rows=4).shared
    assert found is not None
    assert (found.asked, found.mistakes) == (5, 2)
    assert found.groups[0].held_out is None  # none was held out
    assert explain(influence, x.loc[right], y[right], check_rows=4).shared is None
    assert explain(influence, new, check_rows=4).shared is None  # no truth, no mistake


def test_any_measurement_with_a_better_way_tells_harm(shared: SharedHarm) -> None:
    """By the margin, where higher is better, the same rows are found."""
    x, y, new, truth = world()
    influence = Influence.from_sklearn(fitted(x, y), x, y)
    found = explain(influence, new, truth, measurement="margin", check_rows=4).shared
    assert found is not None
    assert [len(group.mistakes) for group in found.groups] == [5, 4]
    assert all(row.effect.refit.change > 0 for group in found.groups for row in group.rows)  # type: ignore[operator]
    assert explain(influence, new, truth, measurement="prediction", check_rows=4).shared is None


def test_numbers_share_rows_that_raise_their_errors() -> None:
    """Two outliers on an island: the errors of its other rows fall without them, in the target's unit."""
    draw = np.random.default_rng(4)
    x = pd.DataFrame({"size": draw.normal(size=64), "island": 0.0})
    y = pd.Series(2.0 * x["size"] + 0.1 * draw.normal(size=64), name="grams")
    x.loc[[5, 6, 7, 8, 60, 61, 62], "island"] = 1.0
    y[[5, 6]] += 30.0
    model = Ridge(alpha=0.1).fit(x[:60], y[:60])
    found = explain(Influence.from_sklearn(model, x[:60], y[:60]), x[60:], y[60:], check_rows=4).shared
    assert found is not None
    (group,) = found.groups
    assert {row.effect.id for row in group.rows} == {5, 6}
    assert {mistake.id for mistake in group.mistakes} == {60, 61, 62}
    assert group.mended is None
    left = Ridge(alpha=0.1).fit(x[:60].drop(index=[5, 6]), y[:60].drop(index=[5, 6]))
    change = (np.abs(left.predict(x[60:]) - y[60:]) - np.abs(model.predict(x[60:]) - y[60:]))[[60, 61, 62]]
    assert group.refit.change == pytest.approx(change.mean(), rel=1e-6)
    assert group.estimate.change == pytest.approx(change.mean(), rel=1e-6)  # exact for ridge
    assert group.refit.unit == "grams"
    assert "3 of 4 predictions hang on the same 2 rows" in shared_sentence(found, group, "row")


def rows_that_harm(*lists: list[int]) -> Any:
    change = np.full((len(lists), 40), 0.01)
    for i, rows in enumerate(lists):
        change[i, rows] = -1.0
    return change


@pytest.mark.parametrize(
    ("lists", "groups"),
    [
        (([0, 1, 2], [0, 1, 2], [7, 8]), [[0, 1], [2]]),
        (([0, 1], [5, 6], [1, 0], [6, 5]), [[0, 2], [1, 3]]),
        (([0, 1, 2, 3], [0, 9, 8, 7]), [[0], [1]]),  # one of four in common: cosine 0.25
        (([0, 1, 2, 3], [0, 1, 2, 9]), [[0, 1]]),  # three of four: 0.75
        (([], [3], []), [[0], [1], [2]]),  # nothing harms: nothing is shared
    ],
)
def test_groups_are_those_whose_harmful_rows_agree(lists: Any, groups: list[list[int]]) -> None:
    """Half of the harm, as a cosine; helpful rows do not count; the order of the mistakes is kept."""
    assert alike(rows_that_harm(*lists)) == groups


def test_order_of_the_mistakes_decides_nothing() -> None:
    """The same groups, whichever mistake comes first."""
    change = -np.abs(np.random.default_rng(5).standard_cauchy((12, 60)))
    order = np.random.default_rng(6).permutation(12)
    mixed = {frozenset(int(order[i]) for i in group) for group in alike(change[order])}
    assert mixed == {frozenset(group) for group in alike(change)}


def loss(model: LogisticRegression, x: pd.DataFrame, y: pd.Series) -> pd.Series:
    p = model.predict_proba(x)[np.arange(len(y)), np.searchsorted(model.classes_, y.astype(str))]
    return pd.Series(-np.log(p), index=x.index)
