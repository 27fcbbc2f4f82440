"""Tables of text: what was written is what is read, cell by cell, and every refusal names file, row and column."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexorder.api import tabular
from lexorder.api.tabular import Table, read_bytes, read_document, read_table
from lexorder.engine.errors import LexorderError, SnapshotError, UsageError

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)
NAMES = st.lists(CELLS, min_size=1, max_size=4, unique=True)
SHARED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Columns and at least one row."""
    columns = draw(NAMES)
    row = st.lists(st.one_of(CELLS, st.just("")), min_size=len(columns), max_size=len(columns))
    return columns, draw(st.lists(row, min_size=1, max_size=5))


@SHARED
@given(made=tables(), mark=st.booleans())
def test_a_csv_table_is_read_as_another_writer_wrote_it(tmp_path: Path, made: tuple[Any, Any], mark: bool):
    columns, rows = made
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows([columns, *rows])
    file = tmp_path / "t.csv"
    file.write_bytes((b"\xef\xbb\xbf" if mark else b"") + buffer.getvalue().encode())
    table = read_table(file)
    assert table.columns == tuple(columns)
    assert list(table.rows) == [{c: v for c, v in zip(columns, row, strict=True) if v} for row in rows]


@SHARED
@given(rows=st.lists(st.dictionaries(CELLS, CELLS, max_size=4), min_size=1, max_size=5))
def test_a_json_table_has_the_columns_of_all_rows_in_the_order_of_their_coming(tmp_path: Path, rows: list[Any]):
    file = tmp_path / "t.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    table = read_table(file)
    assert list(table.rows) == rows
    assert list(table.columns) == list(dict.fromkeys(key for row in rows for key in row))


@pytest.mark.parametrize(
    "written", ["0.1", "100000000000000000000.000000000000001", "-0", "1.10", "12345678901234567890"]
)
def test_numbers_of_json_stay_the_text_that_was_written(tmp_path: Path, written: str):
    file = tmp_path / "t.json"
    file.write_text(f'[{{"quantity": {written}}}]')
    (row,) = read_table(file).rows
    assert row["quantity"] == written


BAD_CSV: list[tuple[str, bytes, str, str]] = [
    ("nothing", b"", "empty-table", ""),
    ("no row", b"a,b\n", "empty-table", "at least one row"),
    ("bytes", b"a\n\xff\n", "not-utf-8", ""),
    ("open quote", b'a\n"open\n', "csv-syntax", ""),
    ("text after a quote", b'a\n"x"y\n', "csv-syntax", ""),
    ("a cell too many", b"a,b\n1,2\n1,2,3\n", "wrong-length", "row 3: has 3 cells where there are 2 columns"),
    ("a cell too few", b"a,b\n1\n", "wrong-length", "row 2: has 1 cells"),
    ("a blank line", b"a,b\n1,2\n\n3,4\n", "wrong-length", "row 3: has 0 cells"),
    ("a column twice", b"a,b,a\n1,2,3\n", "repeated-column", "`a`"),
    ("a column twice but for blanks", b"a, a\n1,2\n", "repeated-column", "`a`"),
]


@pytest.mark.parametrize(("content", "code", "said"), [case[1:] for case in BAD_CSV], ids=[c[0] for c in BAD_CSV])
def test_csv_that_is_none_is_refused_at_its_row(tmp_path: Path, content: bytes, code: str, said: str):
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    with pytest.raises(SnapshotError) as refused:
        read_table(file)
    assert refused.value.code == code
    assert str(file) in refused.value.message
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "json-syntax"),
        ("{", "json-syntax"),
        ("[1]", "wrong-shape"),
        ("{}", "wrong-shape"),
        ("null", "wrong-shape"),
        ("[[]]", "wrong-shape"),
        ("[]", "empty-table"),
        ('[{"a": 1, "a": 2}]', ""),
        ('[{"a": NaN}]', ""),
        ("[" * 100_000, ""),
    ],
)
def test_json_that_is_no_table_is_refused(tmp_path: Path, content: str, code: str):
    file = tmp_path / "t.json"
    file.write_text(content)
    with pytest.raises(LexorderError) as refused:
        read_table(file)
    assert code in refused.value.code
    assert "t.json" in refused.value.message
    assert len(refused.value.message) < 500, "nothing hostile is repeated at length"


def test_required_and_known_columns_are_demanded_and_the_nearest_is_named(tmp_path: Path):
    file = tmp_path / "t.csv"
    file.write_text("symbol,quantitty\nA,1\n")
    with pytest.raises(SnapshotError, match="has no column `quantity`"):
        read_table(file, required=("symbol", "quantity"))
    with pytest.raises(SnapshotError, match="did you mean `quantity`"):
        read_table(file, known=("symbol", "quantity"))
    with pytest.raises(SnapshotError) as refused:
        read_table(file, known=("zzz",))
    assert "did you mean" not in refused.value.message
    assert read_table(file, required=("symbol",)).columns == ("symbol", "quantitty")
    file.write_text("symbol,quantity\n")
    assert read_table(file, empty=True).rows == ()


def test_places_count_from_the_first_row_or_are_told_one_by_one(tmp_path: Path):
    file = tmp_path / "t.csv"
    plain = Table(file, ("a",), ({}, {}, {}))
    assert [plain.place(n) for n in range(3)] == [f"{file}: row {n}" for n in (2, 3, 4)]
    assert Table(file, ("a",), ({},), first=1).place(0, "a") == f"{file}: row 1, column `a`"
    told = Table(file, ("a",), ({}, {}), places=(7, 3))
    assert (told.place(0), told.place(1, "a")) == (f"{file}: row 7", f"{file}: row 3, column `a`")


def test_a_file_at_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tabular, "BYTES_MAX", 64)
    file = tmp_path / "t"
    file.write_bytes(b"x" * 64)
    assert read_bytes(file) == b"x" * 64
    file.write_bytes(b"x" * 65)
    with pytest.raises(UsageError) as refused:
        read_bytes(file)
    assert refused.value.code == "too-large"


@pytest.mark.parametrize("where", ["nowhere.csv", "nowhere.json", "."])
def test_what_cannot_be_read_is_told_by_its_name(tmp_path: Path, where: str):
    with pytest.raises(UsageError) as refused:
        read_table(tmp_path / where)
    assert refused.value.code == "file-unreadable"
    assert str(tmp_path / where) in refused.value.message


def test_a_document_keeps_its_shape(tmp_path: Path):
    file = tmp_path / "d.json"
    file.write_text('{"account": {"cash": 1.50}, "positions": []}')
    assert read_document(file) == {"account": {"cash": "1.50"}, "positions": []}
