"""CSV and JSON tables as rows of text, with a place for every cell.

In: a file. Out: `Table`: rows as text by column, and where each stands. Guaranteed: nothing is turned into a float;
amounts stay the text that was written. Refused, naming file, row and column: files that cannot be read or are not
UTF-8, columns that are missing, unknown or repeated, rows of another length, empty tables. Before: nothing. After:
`rebalance_files.py`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lexorder.engine.errors import SnapshotError, UsageError, shown
from lexorder.engine.facts import read_json

BYTES_MAX = 64 * 1024 * 1024
"""A file above this size is refused unread."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a file; `first` is the line (CSV) or position (JSON) of the first row, for messages.

    `places` says it of each row, where rows were taken out.
    """

    file: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    first: int = 2
    places: tuple[int, ...] = ()

    def place(self, row: int, column: str = "") -> str:
        """Where a cell stands, in words; `row` counts from 0."""
        number = self.places[row] if self.places else row + self.first
        return f"{self.file}: row {number}" + (f", column `{column}`" if column else "")


def read_bytes(file: Path) -> bytes:
    """The content of a file. Raises UsageError when it cannot be read or is too large."""
    try:
        if file.stat().st_size > BYTES_MAX:
            raise UsageError("too-large", f"{file} is above {BYTES_MAX // 2**20} MiB")
        return file.read_bytes()
    except OSError as error:
        raise UsageError("file-unreadable", f"{file} cannot be read: {error.strerror}") from None


def read_table(
    file: Path, *, required: Collection[str] = (), known: Collection[str] | None = None, empty: bool = False
) -> Table:
    """A CSV table, or a JSON list of objects. Raises SnapshotError.

    `required` columns must be there; `known` lists the admissible ones (None: any); `empty` admits a CSV without rows.
    """
    table = _json(file) if file.suffix.lower() == ".json" else _csv(file, 1 if empty else 2)
    for column in required:
        if column not in table.columns:
            raise SnapshotError("missing-column", str(file), f"has no column `{column}`")
    for column in table.columns:
        if known is not None and column not in known:
            near = get_close_matches(column, list(known), 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise SnapshotError("unknown-column", str(file), f"{shown(column)} is not a column of this table{hint}")
    return table


def _csv(file: Path, lines_min: int) -> Table:
    try:
        text = read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SnapshotError("not-utf-8", str(file), "is not UTF-8 text") from None
    try:
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise SnapshotError("csv-syntax", str(file), f"is not CSV: {error}") from None
    if len(lines) < lines_min:
        raise SnapshotError("empty-table", str(file), "needs a line of column names and at least one row")
    columns = tuple(name.strip() for name in lines[0])
    _unique(columns, file)
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(columns):
            where = f"{file}: row {number}"
            raise SnapshotError("wrong-length", where, f"has {len(cells)} cells where there are {len(columns)} columns")
        rows.append({c: cell.strip() for c, cell in zip(columns, cells, strict=True) if cell.strip()})
    return Table(file, columns, tuple(rows))


def _unique(columns: Iterable[str], file: Path) -> None:
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            raise SnapshotError("repeated-column", str(file), f"has the column {shown(column)} twice")
        seen.add(column)


def _json(file: Path) -> Table:
    return table_of(file, read_document(file))


def read_document(file: Path) -> Any:
    """The JSON document in a file, numbers as text. Raises UsageError, SnapshotError."""
    try:
        return read_json(read_bytes(file))
    except SnapshotError as error:
        raise SnapshotError(
            error.code, f"{file}: {error.where}", error.message.removeprefix(f"{error.where}: ")
        ) from None


def table_of(file: Path, document: Any) -> Table:
    """A JSON list of objects as a table. Raises SnapshotError."""
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise SnapshotError("wrong-shape", str(file), "must be a list of objects")
    if not document:
        raise SnapshotError("empty-table", str(file), "has no rows")
    columns = tuple(dict.fromkeys(str(key) for row in document for key in row))
    return Table(file, columns, tuple(document), first=1)
