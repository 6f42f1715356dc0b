"""What influential rows have in common: planted slices are found and named, noise is not, and the page says it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from upweight import Influence
from upweight.cli.forms import explanation_form
from upweight.display.terminal import render
from upweight.workflows.explain import explain
from upweight.workflows.explanation import Explanation
from upweight.workflows.in_common import in_common, leading
from upweight.workflows.pages import answer
from upweight.workflows.slices import slices_of

HOSPITAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "diabetes130.parquet"
WORDS = np.asarray(["the", "loan", "paid", "late", "bank", "house", "car", "school", "music", "rain", "river", "stone"])


def noise(seed: int, n: int = 400) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Every kind of column, none of which has to do with any other."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "loop": draw.choice(["open", "closed", "none"], n, p=[0.12, 0.5, 0.38]),
            "age": draw.normal(50, 12, n).round(),
            "income": np.where(draw.random(n) < 0.3, 0.0, draw.lognormal(8, 1, n)),
            "rooms": draw.integers(1, 6, n),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 500, n), "D"),
            "note": [" ".join(draw.choice(WORDS, 8)) for _ in range(n)],
            "sex": draw.choice(np.asarray(["f", "m", None]), n),
        }
    )
    return frame, draw.choice(["yes", "no"], n)


@pytest.mark.parametrize(
    ("column", "plant", "words"),
    [
        ("loop", "spiral", "loop = spiral"),
        ("age", 97.0, "age at least"),
        ("income", 1e7, "income at least"),
        ("when", pd.Timestamp("2027-03-05"), "when in the year 2027"),
        ("note", "late refund the rain the bank the paid", "the word 'refund' in note"),
        ("rooms", 9, "rooms = 9"),
    ],
)
def test_a_planted_slice_is_named(column: str, plant: Any, words: str) -> None:
    """Seven of ten harmful rows, and five rows besides, share it; the sentence says the column and the numbers."""
    frame, labels = noise(0)
    rows = list(range(0, 100, 10))
    frame[column] = frame[column].astype(object)
    for i in [*rows[:7], 201, 202, 203, 204, 205]:
        frame.loc[i, column] = plant
    frame[column] = frame[column].infer_objects()
    first = in_common(slices_of(frame, labels, "label", True), {"harmful": rows, "helpful": [1, 11, 21, 31]})[0]
    assert (first.side, first.slice.column, first.hits, first.of) == ("harmful", column, 7, 10)
    assert words in first.slice.words
    assert first.sentence.startswith(f"In common: 7 of the 10 most harmful rows have {first.slice.words} (")
    assert first.p < 0.01


def test_the_label_comes_last_and_its_proxies_not_at_all() -> None:
    """A column that copies the label adds nothing to it; a column of its own stands before it."""
    frame, labels = noise(6)
    frame["copy"] = np.where(labels == "yes", "a", "b")
    yes = np.flatnonzero(labels == "yes")[:10].tolist()
    found = in_common(slices_of(frame, labels, "label", True), {"harmful": yes})
    assert [(one.slice.kind, one.slice.words) for one in found] == [("label", "label = yes")]
    assert found[0].sentence.startswith("In common: all 10 most harmful rows have label = yes (")
    frame.loc[yes, "loop"] = "open"
    found = in_common(slices_of(frame, labels, "label", True), {"harmful": yes})
    assert found[0].slice.words == "loop = open"
    assert found[-1].slice.kind == "label"


def test_nothing_is_said_of_noise() -> None:
    """Over 100 draws of rows, from 20 tables, on three sides: fewer than 5 have anything in common."""
    said = 0
    for seed in range(100):
        if seed % 5 == 0:
            frame, labels = noise(seed, 200)
            slices = slices_of(frame, labels, "label", True)
        draw = np.random.default_rng(1000 + seed)
        both = draw.permutation(200)[:20].tolist()
        sides = {"either": both[5:15], "harmful": both[:10], "helpful": both[10:]}
        said += bool(in_common(slices, sides))
    assert said < 5


def test_rows_that_stand_apart_are_looked_at_alone() -> None:
    """Four rows of 0.1 before many of 0.003 are the group; without such a drop it is ten."""
    size = np.full(50, 0.003)
    size[[7, 3, 9, 1]] = [0.12, 0.11, 0.1, 0.08]
    order = np.argsort(-size, kind="stable").tolist()
    assert leading(order, size) == [7, 3, 9, 1]
    assert len(leading(list(range(50)), np.linspace(1.0, 0.1, 50))) == 10
    assert leading([5], size) == [5]
    assert leading([], size) == []


def test_numbers_and_pictures() -> None:
    """A number as label has ranges; pictures, wide tables and several targets have no columns to name."""
    frame, _ = noise(2)
    y = np.linspace(0.0, 1.0, len(frame))
    found = in_common(slices_of(frame, y, "price", False), {"lowers": list(range(390, 400))})
    assert found[0].slice.words == "price at least 0.9023"
    assert found[0].sentence.startswith("In common: all 10 rows whose removal lowers it most have price at least")
    picture = pd.DataFrame(np.eye(4), columns=[f"pixel_{i // 2}_{i % 2}" for i in range(4)])
    assert {s.kind for s in slices_of(picture, np.array([0, 1, 0, 1]), "y", True).slices} == {"label"}
    assert slices_of(np.zeros((3, 501)), np.zeros((3, 2)), "y", False).slices == ()
    assert in_common(slices_of(np.zeros((3, 501)), np.zeros((3, 2)), "y", False), {"harmful": [0, 1]}) == ()


def test_empty_cells_of_any_kind_are_a_slice() -> None:
    """Ten rows whose age is empty, of twelve."""
    frame, labels = noise(3)
    frame.loc[:11, "age"] = np.nan
    found = in_common(slices_of(frame, labels, "label", True), {"helpful": list(range(10))})
    assert found[0].slice.words == "age empty"


@pytest.fixture(scope="module")
def explained() -> Explanation:
    """A ward of eight mislabelled rows, and a new row of that ward."""
    draw = np.random.default_rng(4)
    n = 300
    frame = pd.DataFrame({"ward": draw.choice(["a", "b"], n), "x": draw.normal(size=n), "z": draw.normal(size=n)})
    frame.loc[:7, "ward"] = "c"
    y = np.where(frame["x"] > 0, "ill", "well")
    y[:8] = "ill"
    frame.loc[:7, "x"] = -0.5
    x = pd.get_dummies(frame, dtype=float)
    model = LogisticRegression(tol=1e-10).fit(x, y)
    influence = Influence.from_sklearn(model, x, y)
    query = x.iloc[[0]].assign(x=-0.6)
    return explain(influence, query, ["well"], rows=frame, target="state", check_rows=4)


def test_explain_says_it_on_the_page_and_in_json(explained: Explanation) -> None:
    """The ward is named, with the same numbers in both; and neither where rows stay unseen."""
    (prediction,) = explained.predictions
    first = prediction.common[0]
    assert first.slice.words == "ward = c"
    assert first.share == pytest.approx(8 / 300)
    page = " ".join(render(answer(explained, "t")).split())
    assert first.sentence in page
    form = explanation_form(explained, True)["predictions"][0]["in_common"][0]
    assert (form["column"], form["hits"], form["words"]) == ("ward", first.hits, "ward = c")
    assert form["p"] == first.p
    assert "In common" not in render(answer(explained, "t", show_rows=False))
    assert "in_common" not in explanation_form(explained, False)["predictions"][0]


@pytest.mark.skipif(not HOSPITAL.is_file(), reason="diabetes130.parquet is not here (DATA.md)")
def test_the_four_children_of_the_hospital_are_named() -> None:
    """Koh & Liang, section 5.3: children under 10 were taken out but for four; the sentence names the age column."""
    pytest.importorskip("pyarrow")
    frame = pd.read_parquet(HOSPITAL)
    numbers = ["time_in_hospital", "num_lab_procedures", "num_procedures", "num_medications", "number_outpatient"]
    numbers += ["number_emergency", "number_inpatient", "number_diagnoses"]
    drugs = frame.loc[:, "metformin":"diabetesMed"].columns
    categories = ["gender", "race", "age", "discharge_disposition_id", "max_glu_serum", "A1Cresult"]
    categories += list(drugs)
    dummies = [pd.get_dummies(frame[c], prefix=c, drop_first=frame[c].nunique() == 2) for c in categories]
    x = pd.concat([frame[numbers], *dummies], axis=1).astype("float32")
    y = np.where(frame["readmitted"] == "<30", 1, -1)
    place = frame["paper_train_pos"].to_numpy()
    train = np.flatnonzero(place >= 0)[np.argsort(place[place >= 0])]
    place = frame["paper_test_pos"].to_numpy()
    query = np.flatnonzero(place >= 0)[np.argsort(place[place >= 0])][1742]
    child = (frame["age"] == "[0-10)").to_numpy()
    out = train[child[train] & (y[train] == -1)][:20]
    train = train[~np.isin(train, out)]
    assert np.flatnonzero(child[train]).tolist() == [9366, 11116, 13685, 19590]
    assert child[query]
    model = LogisticRegression(C=1 / (1e-4 * len(train)), max_iter=5000).fit(x.iloc[train], y[train])
    influence = Influence.from_sklearn(model, x.iloc[train], y[train])
    rows = frame[[*numbers, *categories]].iloc[train]
    made = explain(influence, x.iloc[[query]], y[[query]], rows=rows, target="readmitted", check_rows=3)
    first = made.predictions[0].common[0]
    assert (first.side, first.hits, first.of) == ("either", 4, 4)
    assert first.sentence.startswith("In common: all 4 most influential rows have age = [0-10) (0.02 % of all; p = ")
