"""Reading tables: what comes back is what was written, and every broken file is refused by place."""

import gzip
import os
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from upweight.errors import FileError, MissingExtra, ResourceError
from upweight.tables import layout, memory
from upweight.tables.read import read_table

PLAIN = "a,b,c\n1,x,2.5\n2,y,3.5\n3,z,4.5\n"


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# Letters of cp1252, so that every encoding of the table can write them; marks that need quotes; no missing-value words.
CELLS = st.text(alphabet=",;|\t\n\"' aéüßœ€Zz", min_size=1, max_size=8).map(lambda text: f"w{text}w")
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(1, 6))
    return pd.DataFrame(
        {
            "whole": draw(st.lists(st.integers(-(2**60), 2**60), min_size=rows, max_size=rows)),
            "number, really": draw(st.lists(st.none() | FLOATS, min_size=rows, max_size=rows)),
            "téxt": draw(st.lists(st.none() | CELLS, min_size=rows, max_size=rows)),
            "last": draw(st.lists(st.none() | st.booleans(), min_size=rows, max_size=rows)),
        }
    ).astype({"number, really": "float64", "téxt": "object", "last": "object"})


@given(
    frame=frames(),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    zipped=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_comes_back(
    tmp_path: Path, frame: pd.DataFrame, separator: str, decimal: str, encoding: str, zipped: bool
) -> None:
    """Any separator, decimal mark and encoding gives the same cells, to the last bit of a float."""
    decimal = "." if separator == "," else decimal
    text = frame.to_csv(sep=separator, decimal=decimal, index=False, lineterminator="\n").encode(encoding)
    table = read_table(write(tmp_path, gzip.compress(text) if zipped else text, "t.csv.gz" if zipped else "t.csv"))
    assert list(table.frame.columns) == list(frame.columns)
    assert table.frame.index.equals(pd.RangeIndex(len(frame)))
    for name in frame:
        back, sent = table.frame[name].to_numpy(dtype=object), frame[name].to_numpy(dtype=object)
        assert [None if pd.isna(x) else x for x in back] == [None if pd.isna(x) else x for x in sent]


def test_what_was_found_is_said(tmp_path: Path) -> None:
    """Separator, decimal comma and an encoding that is not UTF-8 stand in the notes."""
    table = read_table(write(tmp_path, "größe;preis\n1,5;2,25\n-1,0;3\n".encode("cp1252")))
    assert table.notes[0] == "separator ';', decimal comma, encoding cp1252"
    assert "not UTF-8" in table.notes[1]
    assert table.frame["größe"].tolist() == [1.5, -1.0]
    assert table.frame["preis"].tolist() == [2.25, 3.0]


def test_the_byte_that_cp1252_lacks_makes_it_latin_1(tmp_path: Path) -> None:
    """0x81 stands for nothing in cp1252."""
    assert "encoding latin-1" in read_table(write(tmp_path, b"a,b\n\xe9\x81,1\n")).notes[0]


def test_separator_is_found_where_commas_are_decimals_or_text(tmp_path: Path) -> None:
    """The header decides: a comma that stands only in cells separates nothing."""
    assert read_table(write(tmp_path, "x;y\n1,5;2,5\n3,5;4,5\n")).frame.shape == (2, 2)
    assert read_table(write(tmp_path, "x\ttext\n1\twell, yes; no\n2\tno\n", "t.tsv")).frame.shape == (2, 2)


def test_thousands_are_read(tmp_path: Path) -> None:
    """1.234,5 in a semicolon file and "1,234" in a comma file are numbers above a thousand."""
    german = read_table(write(tmp_path, "x;y\n1.234,5;1\n2,5;2\n")).frame["x"]
    english = read_table(write(tmp_path, 'x,y\n"1,234",1\n17,2\n')).frame["x"]
    assert german.tolist() == [1234.5, 2.5]
    assert english.tolist() == [1234.0, 17.0]


def test_words_beside_decimal_commas_stay_words(tmp_path: Path) -> None:
    """A column is numbers if every cell is: `e5` and `-` are none."""
    frame = read_table(write(tmp_path, "x;y;z\n1,5;2,5;,5\ne5;-;-1,5e-3\n")).frame
    assert frame["x"].tolist() == ["1,5", "e5"]
    assert frame["y"].tolist() == ["2,5", "-"]
    assert frame["z"].tolist() == [0.5, -0.0015]


def test_a_point_beside_decimal_commas_is_said(tmp_path: Path) -> None:
    """1.234 may have been meant as thousands there, so the note names the column."""
    assert "(but a decimal point in 'y')" in read_table(write(tmp_path, "x;y\n1,5;1.234\n")).notes[0]


def test_spaces_after_separators_do_not_count(tmp_path: Path) -> None:
    """`a, b` names columns a and b, as in many public tables; `?` is a missing value there."""
    frame = read_table(write(tmp_path, "a, b, c\n1, x, ?\n2, y, 3\n")).frame
    assert list(frame.columns) == ["a", "b", "c"]
    assert frame["b"].tolist() == ["x", "y"]
    assert frame["c"].isna().tolist() == [True, False]


def test_blank_first_lines_are_passed_over(tmp_path: Path) -> None:
    """The header is the first line that holds something."""
    assert list(read_table(write(tmp_path, "\n\n" + PLAIN)).frame.columns) == ["a", "b", "c"]


def test_a_query_of_one_text_column_is_read(tmp_path: Path) -> None:
    """One column needs no separator."""
    table = read_table(write(tmp_path, 'text\n"a, b"\nc\n'))
    assert table.frame["text"].tolist() == ["a, b", "c"]
    assert "one column" in table.notes[0]


def test_numbers_as_header_are_said(tmp_path: Path) -> None:
    """A file without a header loses its first row, so the note says what was taken for names."""
    assert "only numbers" in read_table(write(tmp_path, "0,1\n5,6\n")).notes[1]


def test_parquet_comes_back(tmp_path: Path) -> None:
    """A named index becomes a column; the rows count from 0."""
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.Index([7, 9], name="key"))
    frame.to_parquet(path)
    table = read_table(path)
    assert list(table.frame.columns) == ["key", "a", "b"]
    assert isinstance(table.frame.index, pd.RangeIndex)
    assert table.notes == ("Parquet",)


def test_exact_numbers_and_days_of_parquet_are_read(tmp_path: Path) -> None:
    """Decimals become floats; days stay what infer takes for dates."""
    path = tmp_path / "t.parquet"
    pd.DataFrame({"price": [None, Decimal("1.50")], "day": [date(2024, 1, 5), None]}).to_parquet(path)
    frame = read_table(path).frame
    assert frame["price"].dtype == np.float64
    assert frame["price"].iloc[1] == 1.5
    assert str(frame["day"].iloc[0]).startswith("2024-01-05")


BROKEN = {
    "empty": (b"", r"t\.csv: the file is empty"),
    "only a mark": (b"\xef\xbb\xbf", r"t\.csv: the file is empty"),
    "only blanks": (b"\n \n", r"t\.csv: the file is empty"),
    "header only": (b"a,b\n", r"t\.csv: has a header \('a', 'b'\) and no rows"),
    "too many fields": (b"a,b\n1,2\n3,4,5\n", r"1 row has another number of fields: row 1 \(line 3\) has 3"),
    "too many in every row": (
        b"a,b\n0,1,2\n1,3,4\n",
        r"names 2 columns and 2 rows .* row 0 \(line 2\) has 3, also rows 1",
    ),
    "cut last row": (b"a,b,c\n1,2,3\n4,5", r"row 1 \(line 3\) has 2"),
    "short row between": (b"a,b\n1,2\n3\n5,6\n", r"row 1 \(line 3\) has 1"),
    "short after quoted lines": (b'a,b\n"x\ny",2\n3\n', r"row 1 \(line 4\) has 1"),
    "open quote": (b'a,b\n1,2\n3,"4\n5,6\n', r"t\.csv: cannot be parsed: .*EOF inside string"),
    "open quote in the header": (b'"a,b\n1,2\n3,4\n', r"t\.csv: cannot be parsed: .*EOF inside string"),
    "same name twice": (b"a,b,a\n1,2,3\n", r"column names stand more than once: 'a'\. Rename them"),
    "no header": (b"1,1\n2,3\n", r"more than once: '1'\. .*Does the first line hold data"),
    "zero bytes": (b"a,b\n1,\x002\n", r"t\.csv: is not a text file \(line 2 holds a zero byte\)"),
    "control characters": (b"a,b\n" + bytes(range(1, 9)) * 5 + b"\xff,1\n", r"is not a text file \(40 control"),
    "broken UTF-8": ("é,b\n1,ü\n".encode() + b"\xff,2\n", r"line 3 is not valid utf-8 \(invalid start byte\)"),
    "UTF-8 cut in a letter": ("é,b\n1,ü".encode()[:-1], r"line 2 is not valid utf-8 \(unexpected end"),
    "UTF-16 cut in a letter": ("a,b\n1,2\n".encode("utf-16")[:-1], r"is not valid utf-16"),
    "spreadsheet": (b"PK\x03\x04....", r"is a zip archive or a spreadsheet\. Save the sheet as CSV"),
    "image": (b"\x89PNG....", r"is an image"),
    "damaged gzip": (gzip.compress(PLAIN.encode() * 99)[:-20], r"gzip file is damaged or cut short"),
    "not gzip after all": (b"\x1f\x8b\x08\x00aaaa", r"gzip file is damaged or cut short"),
    "broken Parquet": (b"PAR1....", r"is not a whole Parquet file"),
}


@pytest.mark.parametrize(("content", "text"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_by_place(tmp_path: Path, content: bytes, text: str) -> None:
    """The error is a FileError of at most three lines that says what and where."""
    with pytest.raises(FileError, match=text) as caught:
        read_table(write(tmp_path, content))
    assert str(caught.value).startswith(str(tmp_path))
    assert str(caught.value).count("\n") < 3


def test_gzip_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    """No cut of a gzip file reads as a shorter table."""
    whole = gzip.compress(PLAIN.encode())
    for end in range(1, len(whole)):
        with pytest.raises(FileError):
            read_table(write(tmp_path, whole[:end], "t.csv.gz"))


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    """The nearest name in the folder is offered; a missing folder is named."""
    write(tmp_path, PLAIN, "reviews.csv")
    with pytest.raises(FileError, match=r"no such file\. Did you mean '.*reviews\.csv'"):
        read_table(tmp_path / "review.csv")
    with pytest.raises(FileError, match=r"no such file\. Looked in"):
        read_table(tmp_path / "zzz.qqq")
    with pytest.raises(FileError, match="there is no folder"):
        read_table(tmp_path / "nowhere" / "a.csv")
    with pytest.raises(FileError, match=r"is a folder\. .* It holds 'reviews.csv'"):
        read_table(tmp_path)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """It would hang or be empty the second time."""
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(FileError, match=r"t\.csv: is a pipe or a device\. Save the table as a file"):
        read_table(tmp_path / "t.csv")


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says is passed on."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, PLAIN)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(FileError, match=r"t\.csv: cannot be read \(Permission denied\)"):
        read_table(path)


def test_a_table_larger_than_memory_is_refused_in_advance(tmp_path: Path) -> None:
    """The numbers are in the text, for plain, gzipped and Parquet files alike."""
    plain = write(tmp_path, PLAIN * 1000)
    zipped = write(tmp_path, gzip.compress((PLAIN * 1000).encode()), "t.csv.gz")
    parquet = tmp_path / "t.parquet"
    pd.DataFrame(np.zeros((1000, 4))).rename(columns=str).to_parquet(parquet)
    for path in (plain, zipped, parquet):
        with pytest.raises(ResourceError, match=r"kB of data need about .* kB of memory and 10\.0 kB are free"):
            read_table(path, memory=10_000)
    with pytest.raises(ResourceError):
        read_table(plain, memory=len(PLAIN) * 1000)


def test_strings_that_are_objects_need_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """So without pyarrow; numbers cost the same either way."""
    words, numbers = b"ab,cd,ef\n" * 99, b"1,2,3\n" * 99
    monkeypatch.setattr(layout, "_strings_are_objects", lambda: False)
    before = layout._memory_factor(words), layout._memory_factor(numbers)
    monkeypatch.setattr(layout, "_strings_are_objects", lambda: True)
    assert layout._memory_factor(words) > 2 * before[0]
    assert layout._memory_factor(numbers) == before[1]


def test_free_memory_is_known_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's own limit counts where it is lower than the machine's."""
    free = memory.available_memory()
    assert free is not None
    assert free > 10**6
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.available_memory() == 3000


def test_parquet_without_pyarrow_gives_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line can be pasted."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"pip install 'upweight\[parquet\]'"):
        read_table(write(tmp_path, b"PAR1....", "t.parquet"))
