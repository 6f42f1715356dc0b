"""Evidence in Python: from Scores and a Check, under the schema, as Markdown, and beside the one found again."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge

from upweight import Influence
from upweight.errors import FileError, InputError
from upweight.evidence import Evidence, evidence
from upweight.evidence.card import code_block, escaped
from upweight.evidence.fingerprints import parameters_sha256, rows_sha256
from upweight.evidence.schema import faults, schema

VALIDATOR = jsonschema.Draft202012Validator(dict(schema()))


def made(C: float = 0.01, rows: int = 120) -> tuple[Influence, Any, Any]:
    """Digits 1 and 8: an influence, and two queries with their labels."""
    x, y = load_digits(n_class=9, return_X_y=True, as_frame=True)
    at = y.index[y.isin([1, 8])][: rows + 2]
    x, y = x.loc[at] / 16.0, y.loc[at]
    model = LogisticRegression(C=C, tol=1e-8).fit(x.iloc[2:], y.iloc[2:])
    return Influence.from_sklearn(model, x.iloc[2:], y.iloc[2:]), x.iloc[:2], y.iloc[:2]


def filed(influence: Influence, x: Any, y: Any, query: int = 1) -> Evidence:
    return evidence(influence, influence.scores(x, y), influence.check(x, y, rows=8, seed=2), query=query, seed=2)


@pytest.fixture(scope="module")
def record() -> Evidence:
    return filed(*made())


def test_the_schema_is_a_schema() -> None:
    """Of draft 2020-12, and it travels with the package."""
    jsonschema.Draft202012Validator.check_schema(dict(schema()))
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_record_is_valid_and_says_what_scores_and_check_say(record: Evidence) -> None:
    """Estimates, refits and proofs of the strongest rows; the check's numbers; the seed."""
    VALIDATOR.validate(record.content)
    influence, x, y = made()
    scores, check = influence.scores(x, y), influence.check(x, y, rows=8, seed=2)
    prediction = record.content["answer"]["predictions"][0]
    helpful = scores.top(3, query=1, kind="helpful")
    for row, (_, top) in zip(prediction["rows"], helpful.iterrows(), strict=False):
        assert row["id"] == top["row"]
        assert row["estimate"] == pytest.approx(top["estimate"], rel=1e-9)
        assert row["refit"] == pytest.approx(top["refit"], rel=1e-9)
        assert row["verdict"] == "helpful"
        assert row["certificate"]["sentence"].startswith("proved")
        bound = influence.without([row["id"]]).certificate.bound
        assert row["certificate"]["bound"] == pytest.approx(bound, abs=1e-12)
    assert len(prediction["rows"]) == 6
    assert record.content["check"]["pearson"] == pytest.approx(check.pearson, abs=1e-9)
    assert record.content["grade"]["reasons"] == list(check.grade.reasons)
    assert record.content["seed"] == 2
    assert repr(record).startswith("<Evidence: 1 prediction, grade")


def test_a_record_is_reproduced_by_the_same_model(record: Evidence, tmp_path: Path) -> None:
    """Saved, loaded, found again: every refit agrees, and the sentence counts them."""
    record.save(tmp_path / "case.json")
    loaded = Evidence.load(tmp_path / "case.json")
    assert loaded.content == json.loads(json.dumps(record.content))
    outcome = loaded.compare(filed(*made()))
    assert outcome.reproduced
    removed = 6 + 8 + len(record.content["check"]["groups"])
    assert (outcome.agree, outcome.refits) == (removed, removed)
    assert f"reproduced: {removed} of {removed} refits agree to 1e-9" in outcome.sentence


@pytest.mark.parametrize(
    ("path", "value", "where", "what"),
    [
        (("answer", "predictions", 0, "now"), 0.5, "query 1", "now"),
        (("answer", "predictions", 0, "rows", 0, "refit"), -9.0, "without row", "refit"),
        (("answer", "predictions", 0, "rows", 0, "verdict"), "harmful", "without row", "verdict"),
        (("answer", "meaning"), "nothing", "the answer", "meaning"),
        (("check", "slope"), 1.5, "the check", "slope"),
        (("check", "groups", 0, "refit"), 9.0, "the check", "refit"),
        (("model", "train_rows"), 121, "the model", "train_rows"),
        (("grade", "letter"), "D", "the grade", "letter"),
    ],
)
def test_each_change_is_found_where_it_is(
    record: Evidence, path: tuple[Any, ...], value: Any, where: str, what: str
) -> None:
    """One difference, with its place, what it is and both values."""
    content = copy.deepcopy(dict(record.content))
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    was, inner[path[-1]] = inner[path[-1]], value
    outcome = Evidence(content).compare(record)
    assert not outcome.reproduced
    (found,) = outcome.differences
    assert where in found.where
    assert (found.what, found.filed, found.found) == (what, value, was)
    assert "in the record" in str(found)
    assert outcome.agree == outcome.refits - (what == "refit")


def test_a_refit_that_is_gone_or_came_from_nowhere_is_found(record: Evidence) -> None:
    """null beside a number, either way round; a check that is gone."""
    content = copy.deepcopy(dict(record.content))
    content["answer"]["predictions"][0]["rows"][0]["refit"] = None
    for first, second in ((Evidence(content), record), (record, Evidence(content))):
        outcome = first.compare(second)
        assert [difference.what for difference in outcome.differences] == ["refit"]
        assert "absent" in str(outcome.differences[0])
    less = copy.deepcopy(dict(record.content))
    less["check"] = None
    assert not Evidence(less).compare(record).reproduced
    assert not record.compare(Evidence(less)).reproduced


def test_a_number_agrees_within_the_tolerance_and_no_further(record: Evidence) -> None:
    """Relative to the largest effect beside it; rounding is no difference."""
    for factor, agrees in ((1e-12, True), (1e-10, True), (1e-8, False)):
        content = copy.deepcopy(dict(record.content))
        prediction = content["answer"]["predictions"][0]
        sizes = [abs(row[key]) for row in prediction["rows"] for key in ("estimate", "refit")]
        prediction["rows"][0]["refit"] += factor * max([*sizes, prediction["now"]])
        assert Evidence(content).compare(record).reproduced is agrees


def test_other_versions_are_said_and_words_are_not_compared(record: Evidence) -> None:
    """Another upweight may word it otherwise; its numbers are the same."""
    content = copy.deepcopy(dict(record.content))
    content["versions"]["upweight"] = "0.0.9"
    content["answer"]["meaning"] = "in other words"
    outcome = Evidence(content).compare(record)
    assert outcome.reproduced
    assert outcome.versions == {"upweight": ("0.0.9", record.content["versions"]["upweight"])}


def test_a_record_of_another_model_is_refused(record: Evidence) -> None:
    """Other parameters, other rows: the fingerprint that differs is named."""
    with pytest.raises(InputError, match=r"another model.*'parameters'"):
        record.compare(filed(*made(C=0.02)))
    influence, x, y = made()
    rows = influence.adapted.rows.copy()
    rows.iloc[3, 20] += 1e-9
    influence.adapted = replace(influence.adapted, rows=rows)
    with pytest.raises(InputError, match=r"other training rows.*'rows'"):
        record.compare(filed(influence, x, y))


def test_scores_of_other_rows_and_a_query_that_is_not_there_are_refused() -> None:
    """Before anything is refitted."""
    influence, x, y = made()
    fewer, _, _ = made(rows=100)
    with pytest.raises(InputError, match="other training rows"):
        evidence(influence, fewer.scores(x, y))
    with pytest.raises(InputError, match="query 2 is not there"):
        evidence(influence, influence.scores(x, y), query=2)


def test_a_record_of_a_network_is_estimated_only() -> None:
    """A refit of it is a training run: no refit and no proof stand in the record, torch's version does."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    x, y = torch.randn(30, 3), torch.randn(30, 1)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).eval()

    def loss(outputs: Any, targets: Any) -> Any:
        return ((outputs - targets) ** 2).sum(1)

    influence = Influence.from_torch(net, loss, (x, y), damping=0.1)
    found = evidence(influence, influence.scores(x[:1], y[:1]))
    VALIDATOR.validate(found.content)
    rows = found.content["answer"]["predictions"][0]["rows"]
    assert rows
    assert all(row["refit"] is None and row["certificate"] is None for row in rows)
    assert "torch" in found.content["versions"]
    assert found.content["check"] is None
    assert "(estimated)" in rows[0]["sentence"]
    assert "not refitted" in found.model_card()
    again = found.compare(evidence(influence, influence.scores(x[:1], y[:1])))
    assert again.refits == 0
    assert "nothing was refitted" in again.sentence


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*at, key)
        yield from places(item, (*at, key))


def test_our_reader_and_jsonschema_agree(record: Evidence) -> None:
    """Each place removed, or replaced by another kind of value: both find a fault, or neither does."""
    whole = json.loads(json.dumps(record.content))
    assert list(faults(whole)) == []
    tried = 0
    values = (None, -1.5, "x", [], "add")
    for k, path in enumerate(places(whole)):
        for value in ("remove", values[k % 5], values[(k + 2) % 5]):
            content = copy.deepcopy(whole)
            inner = content
            for key in path[:-1]:
                inner = inner[key]
            if value == "remove":
                if isinstance(inner, list):
                    continue
                del inner[path[-1]]
            elif value == "add":
                if isinstance(inner, list):
                    continue
                inner["another"] = 1
            else:
                inner[path[-1]] = value
            tried += 1
            assert VALIDATOR.is_valid(content) == (not list(faults(content))), (path, value)
    assert tried > 200


@pytest.mark.parametrize("value", [1e999, 10**400])
def test_a_number_that_is_too_large_is_a_fault(record: Evidence, value: float) -> None:
    """JSON allows 1e999; nothing can be compared with it."""
    content = json.loads(json.dumps(record.content))
    content["check"]["slope"] = value
    assert [fault for fault in faults(content) if fault.startswith("check.slope")]


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    """Missing, a folder, too large, no text."""
    with pytest.raises(FileError, match=r"none\.json: cannot be read"):
        Evidence.load(tmp_path / "none.json")
    with pytest.raises(FileError, match="cannot be read"):
        Evidence.load(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="bytes: is no whole JSON"):
        Evidence.load(tmp_path / "bytes")
    with open(tmp_path / "large", "wb") as stream:
        stream.truncate(65_000_000)
    with pytest.raises(FileError, match="large: is far too large"):
        Evidence.load(tmp_path / "large")


def test_the_model_card_holds_the_facts(record: Evidence, tmp_path: Path) -> None:
    """Question, rows with both numbers, proof, seed, versions, fingerprints; tables that are whole."""
    record.save_model_card(tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert text == record.model_card()
    assert text.startswith("## ")
    prediction = record.content["answer"]["predictions"][0]
    for row in prediction["rows"]:
        assert f"| {row['id']} | {row['verdict']} |" in text
    for value in record.content["fingerprints"].values():
        assert value is None or f"`{value}`" in text
    for part in ("outputs within", "seed 2", "numpy ", "Grade ", "really removed"):
        assert part in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in tables}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "# title", "a | b", "<script>x</script>", "[a](http://b.c)", "![x](y)", "`code`", "*b* _i_ ~s~", "- item",
        "1. item",
        "+ item", "line\nbreak\n\n# title", "$x^2$", "&copy;", "www.a.b", "@user", "\x1b[31mred", "\\", "---",
    ],
)  # fmt: skip
def test_a_card_holds_text_and_no_markup(text: str) -> None:
    """Whatever an id, a column or a class is called: rendered, it is that text in a paragraph and nothing else."""
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True}).enable("table")
    out = escaped(text)
    assert "\n" not in out
    tokens = markdown.parse(out)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in tokens[1].children} <= {"text", "text_special"}
    shown = "".join(child.content for child in tokens[1].children)
    assert shown == "".join(c for c in " ".join(text.split()) if c.isprintable())
    assert "://" not in out
    table = markdown.parse(f"| h | i |\n|---|---|\n| {out} | 1 |\n")
    assert [token.type for token in table].count("td_open") == 2
    assert "www." not in out
    assert "@" not in out


def test_a_command_cannot_leave_its_block() -> None:
    """Backticks in it make the fence longer."""
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark")
    tokens = markdown.parse(code_block("upweight explain '```\n# x' ````"))
    assert [token.type for token in tokens] == ["fence"]


def test_fingerprints_tell_models_and_rows_apart_and_nothing_else() -> None:
    """The same data in another container of numbers, in memory order or dtype, is the same; a cell, an id are not."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(20, 3)), draw.normal(size=20)

    def of(rows: Any, target: Any = y) -> Influence:
        return Influence.from_sklearn(Ridge().fit(rows, target), rows, target)

    first = of(x)
    assert rows_sha256(first) == rows_sha256(of(np.asfortranarray(x)))
    assert parameters_sha256(first) == parameters_sha256(of(x.copy()))
    moved = x.copy()
    moved[4, 1] += 1e-12
    assert rows_sha256(first) != rows_sha256(of(moved))
    assert rows_sha256(first) != rows_sha256(of(x, y + 1.0))
    table = pd.DataFrame(x, columns=list("abc"))
    assert rows_sha256(of(table)) != rows_sha256(of(table.set_index(table.index + 1)))
    assert rows_sha256(of(table)) != rows_sha256(of(table.rename(columns={"a": "d"})))
    sparse = sp.csr_matrix(np.where(x > 0, x, 0.0))
    assert rows_sha256(of(sparse)) == rows_sha256(of(sp.csr_matrix(sparse.tocoo())))
    assert rows_sha256(of(sparse)) != rows_sha256(of(2.0 * sparse))
