"""Tables, ids and labels come back from a file as they went in; a damaged, foreign or newer file is refused by name."""

import contextlib
import datetime
import decimal
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from upweight.errors import FileError
from upweight.store import archive
from upweight.store.archive import read_archive, unpacked, write_archive
from upweight.store.scalars import decoded, encoded
from upweight.store.tables import pack, unpack

GRID = np.arange(12.0).reshape(4, 3)
SCALARS = [
    None, True, 3, 2**80, -0.0, 1e-300, float("nan"), float("inf"), "", "é\ud800\x00", b"\x00\xff", (1, ("a", None)),
    [1, [2]], {"a": 1, 2: [3]}, {"tuple": 1}, pd.NA, pd.NaT, np.float32(0.1), np.int8(-3), np.str_("x"), np.bool_(True),
    decimal.Decimal("1.10"), datetime.date(2026, 11, 24), datetime.datetime(2026, 11, 24, 9, 1), datetime.time(9, 1),
    pd.Timestamp("2026-11-24 09:01:02.000000003", tz="Europe/Berlin"), pd.Timestamp(2026, 11, 24).as_unit("s"),
    pd.Timedelta(3, "h"), pd.Period("2026-11", "M"), pd.Interval(0.5, 2.0, closed="left"), 1 + 2j,
]  # fmt: skip


@pytest.mark.parametrize("value", SCALARS, ids=lambda value: repr(value)[:40])
def test_a_value_comes_back_with_its_type(value: Any) -> None:
    """Through JSON, of the same type and equal (what equals nothing, by its text)."""
    back = decoded(json.loads(json.dumps(encoded(value), allow_nan=False)))
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_a_value_that_would_change_is_refused() -> None:
    """By its type."""
    with pytest.raises(FileError, match="is a set, which cannot be stored"):
        encoded({1, 2})
    odd = datetime.timezone(datetime.timedelta(hours=1), "Mars")
    with pytest.raises(FileError, match="the time zone 'Mars' cannot be stored by name"):
        encoded(pd.Timestamp("2026-11-24", tz=odd))


def frames() -> dict[str, Any]:
    """Tables with every kind of column that people have."""
    mixed = pd.DataFrame(
        {
            "number": [1.5, np.nan, 3.0],
            "small": np.array([1, 2, 3], dtype=np.int8),
            "narrow": np.array([0.1, 0.2, 0.3], dtype=np.float32),
            "yes": [True, False, True],
            "text": ["a", None, "c"],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "truth": pd.array([True, None, False], dtype="boolean"),
            "string": pd.array(["x", None, "z"], dtype="string"),
            "size": pd.Categorical(["s", None, "l"], categories=["s", "m", "l"], ordered=True),
            "code": pd.Categorical([3, 1, 3]),
            "bin": pd.cut([1.0, 5.0, 9.0], [0, 4, 8, 10]),
            "day": pd.to_datetime(["2026-11-24", None, "2026-11-26"]),
            "moment": pd.to_datetime(["2026-11-24 09:01", None, "2026-11-26 10:00"]).tz_localize("Europe/Berlin"),
            "span": pd.to_timedelta([1, 2, None], unit="h"),
            "month": pd.PeriodIndex(["2026-11", "2026-12", "2027-01"], freq="M"),
            "sparse": pd.arrays.SparseArray([0.0, 0.0, 1.0]),
            "object": pd.Series([1, "two", (3, 4)], dtype=object),
        },
        index=pd.Index(["r1", "r2", "r3"], name="id"),
    )
    twice = pd.DataFrame(GRID, columns=["a", "a", "b"])
    deep = pd.DataFrame(GRID, index=pd.MultiIndex.from_product([["x", "y"], [1, 2]], names=["k", None]))
    deep.columns = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)])
    return {
        "mixed": mixed,
        "numbers": pd.DataFrame(GRID, columns=[0, 1, 2], index=range(10, 50, 10)),
        "a part of numbers": pd.DataFrame(np.asfortranarray(GRID)).iloc[1:3],
        "same names": twice,
        "several levels": deep,
        "dates as ids": pd.DataFrame(GRID, index=pd.date_range("2026-11-24", periods=4, tz="UTC")),
        "one column of text": pd.DataFrame({"text": ["a", "b"]}),
        "no columns": pd.DataFrame(index=[3, 4]),
    }


@pytest.mark.parametrize("name", sorted(frames()))
def test_a_frame_comes_back_as_it_was(name: str) -> None:
    """Values, types, categories, ids, names, and the memory order of a table of one type."""
    frame, parts = frames()[name], {}
    back = unpack(json.loads(json.dumps(pack(frame, parts, "X"))), parts)
    pd.testing.assert_frame_equal(back, frame, check_freq=False, check_index_type="exact", check_column_type="exact")
    numbers = frame.to_numpy()
    if numbers.dtype != object and numbers.size:
        assert back.to_numpy().flags.c_contiguous == (numbers.strides[0] >= numbers.strides[1])
        assert np.array_equal(back.to_numpy(), numbers)


OTHERS: dict[str, Any] = {
    "by rows": GRID,
    "by columns": np.asfortranarray(GRID),
    "strided": GRID[::2, ::2],
    "integers": GRID.astype(np.uint8),
    "objects": np.array([["a", 1.0], [None, (2, 3)]], dtype=object),
    "texts": np.array(["a", "bcd"]),
    "dates": np.array(["2026-11-24"], dtype="datetime64[D]"),
    "nothing": np.zeros((0, 3)),
    "series": pd.Series([1.0, 2.0], index=["a", "b"], name=("deep", 1)),
    "labels": pd.Series(["yes", "no"], dtype="category"),
    "index": pd.Index(["a", "b"], name="i"),
    "categorical": pd.Categorical(["a", "b", "a"]),
    "list of texts": ["good film", "bad film"],
    "list of dicts": [{"a": 1.5}, {"b": 2, "c": "x"}],
    "none": None,
}


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_other_rows_come_back_as_they_were(name: str) -> None:
    """Arrays with type and order, series with name and ids, lists, None."""
    value, parts = OTHERS[name], {}
    back = unpack(json.loads(json.dumps(pack(value, parts, "X"))), parts)
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert back.dtype == value.dtype
        assert back.shape == value.shape
        assert back.tolist() == value.tolist()
        assert back.flags.f_contiguous == (value.flags.f_contiguous and value is not OTHERS["strided"])
    elif isinstance(value, pd.Series):
        pd.testing.assert_series_equal(back, value)
    elif isinstance(value, pd.Index):
        pd.testing.assert_index_equal(back, value)
    elif isinstance(value, pd.Categorical):
        assert back.equals(value)
    else:
        assert back == value


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia", "lil"])
@pytest.mark.parametrize("make", [sp.csr_array, sp.csr_matrix])
def test_sparse_rows_stay_sparse(kind: str, make: Any) -> None:
    """Same format and class; one that has no file form comes back as CSR."""
    value, parts = make(GRID).asformat(kind), {}
    back = unpack(pack(value, parts, "X"), parts)
    assert back.format == ("csr" if kind == "lil" else kind)
    assert isinstance(back, sp.sparray) == isinstance(value, sp.sparray)
    assert np.array_equal(back.toarray(), GRID)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (pd.DataFrame({"o": pd.Series([{1}, {2}], dtype=object)}), "X: column 'o'.* is a set"),
        (np.zeros(2, dtype=[("a", float)]), "X has the type"),
        (object(), "X is a builtins.object"),
    ],
)
def test_what_would_change_is_refused_by_its_column(value: Any, said: str) -> None:
    """Nothing is stored that would come back as something else."""
    with pytest.raises(FileError, match=said):
        pack(value, {}, "X")


def test_a_type_that_would_not_come_back_is_refused() -> None:
    """By column and type: pandas cannot read the name of this one."""
    arrow = pytest.importorskip("pyarrow")
    column = pd.Series([{"a": 1}, {"a": 2}], dtype=pd.ArrowDtype(arrow.struct({"a": arrow.int64()})))
    with pytest.raises(FileError, match="X: column 's' has the type 'struct"):
        pack(pd.DataFrame({"n": [1.0, 2.0], "s": column}), {}, "X")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A small archive."""
    path = tmp_path / "a.scores"
    write_archive(path, "Scores", {"unit": "nats"}, {"values.npy": b"12345", "rows.json": b"[1, 2]"})
    return path


def test_an_archive_comes_back_and_repeats(saved: Path) -> None:
    """Head and parts; the same content twice gives the same bytes; zip tools can open it."""
    read = read_archive(saved, "Scores")
    assert read.about["unit"] == "nats"
    assert read.about["versions"]["numpy"] == np.__version__
    assert read.parts == {"values.npy": b"12345", "rows.json": b"[1, 2]"}
    before = saved.read_bytes()
    write_archive(saved, "Scores", {"unit": "nats"}, {"values.npy": b"12345", "rows.json": b"[1, 2]"})
    assert saved.read_bytes() == before
    assert zipfile.ZipFile(saved).testzip() is None


def test_any_change_of_a_byte_is_seen_or_means_nothing(saved: Path) -> None:
    """Every byte turned, every length cut: a FileError that names the file, or exactly what was saved."""
    content = saved.read_bytes()
    good = read_archive(saved, "Scores")
    silent = 0
    for i in range(len(content)):
        turned = content[:i] + bytes([content[i] ^ 0x41]) + content[i + 1 :]
        read = None
        with contextlib.suppress(FileError):
            read = unpacked(turned, "Scores", "a.scores")
        silent += read is not None
        assert read is None or (read.about, read.parts) == (good.about, good.parts)
    assert silent < len(content) / 2
    for length in range(len(content)):
        with pytest.raises(FileError, match=r"^a\.scores: "):
            unpacked(content[:length], "Scores", "a.scores")


def test_foreign_newer_and_other_files_are_named(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file is instead, and what to do."""
    with pytest.raises(FileError, match=r"holds 'Scores', not 'Influence'. Open it with Scores.load"):
        read_archive(saved, "Influence")
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as made:
        made.writestr("word/document.xml", "<x/>")
    with pytest.raises(FileError, match=r"other.zip: is no file of upweight"):
        read_archive(other, "Scores")
    other.write_text("a,b\n1,2\n")
    with pytest.raises(FileError, match=r"other.zip: is no file of upweight"):
        read_archive(other, "Scores")
    with pytest.raises(FileError, match=r"missing.scores: cannot be read"):
        read_archive(tmp_path / "missing.scores", "Scores")
    monkeypatch.setattr(archive, "FORMAT", 2)
    write_archive(saved, "Scores", {}, {})
    monkeypatch.undo()
    with pytest.raises(FileError, match=r"in format 2, and this one reads up to 1. Install that version"):
        read_archive(saved, "Scores")
