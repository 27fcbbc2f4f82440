"""Restricted and watch lists from a dated CSV file.

In: a folder with CSV files of the columns `list,name,from,until,reason`, and a day. Out: the names on each list that
day. Guaranteed: an entry counts from `from` (inclusive) until `until` (exclusive; empty: without end); `restricted`
and `watch` are there, empty, when the folder has a file, so that "nobody is on the list" is a stated fact and not a
missing one. Refused, naming file and row (`SnapshotError`): dates that are none, names that are missing. Before:
`tabular.py`. After: `rebalance_files.py`.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from lexorder.api.tabular import Table, read_table
from lexorder.engine.errors import SnapshotError

COLUMNS = ("list", "name", "from", "until", "reason")
ALWAYS = ("restricted", "watch")


def lists_on(folder: Path, day: date) -> dict[str, list[str]]:
    """The names on each list on a day; nothing at all when the folder has no file."""
    files = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    found: dict[str, set[str]] = {name: set() for name in ALWAYS} if files else {}
    for file in files:
        table = read_table(file, required=("list", "name", "from"), known=COLUMNS)
        for n, row in enumerate(table.rows):
            if _counts(table, n, day):
                found.setdefault(row["list"], set()).add(row["name"])
    return {name: sorted(names) for name, names in found.items()}


def _counts(table: Table, n: int, day: date) -> bool:
    row = table.rows[n]
    for column in ("list", "name", "from"):
        if column not in row:
            raise SnapshotError("missing-value", table.place(n, column), "is empty")
    start, end = _day(table, n, "from"), _day(table, n, "until")
    return (start is None or start <= day) and (end is None or day < end)


def _day(table: Table, n: int, column: str) -> date | None:
    text = table.rows[n].get(column)
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise SnapshotError("bad-value", table.place(n, column), "is not a date, such as 2026-06-15") from None
