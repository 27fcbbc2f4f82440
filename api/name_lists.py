"""Restricted, watch and allow lists from dated CSV files.

In: a folder with CSV files of the columns `list,name,kind,from,until,reason`. Out: the entries of each list, as a
snapshot document has them; the engine says which count on the day (`engine/dated_lists.py`: both days included).
Guaranteed: `restricted` and `watch` are there, empty, when the folder has a file, so that "nobody is on the list" is a
stated fact and not a missing one; a symbol need not be among the instruments of the rebalance, since a firm's list is
longer than one account's universe. Refused, naming file and row (`SnapshotError`): dates that are none, names that are
missing; by the engine: issuers and groups that are not there. Before: `tabular.py`. After: `rebalance_files.py`.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from lexorder.api.tabular import Table, read_table
from lexorder.engine.errors import SnapshotError
from lexorder.engine.symbols import is_symbol

COLUMNS = ("list", "name", "kind", "from", "until", "reason")
REQUIRED = ("list", "name", "from")
ALWAYS = ("restricted", "watch")

Row = dict[str, object]


def lists_in(folder: Path) -> dict[str, list[Row]]:
    """The entries of each list; nothing at all when the folder has no file."""
    files = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    found: dict[str, list[Row]] = {name: [] for name in ALWAYS} if files else {}
    for file in files:
        table = read_table(file, required=REQUIRED, known=COLUMNS, empty=True)
        for n, row in enumerate(table.rows):
            found.setdefault(row.get("list", ""), []).append(_entry(table, n))
    return found


def _entry(table: Table, n: int) -> Row:
    row = table.rows[n]
    for column in REQUIRED:
        if column not in row:
            raise SnapshotError("missing-value", table.place(n, column), "is empty")
    for column in ("from", "until"):
        _be_day(table, n, column)
    entry: Row = {key: row[key] for key in COLUMNS[1:] if key in row}
    named = row.get("kind", "symbol") == "symbol" and is_symbol(row["name"])
    return {**entry, "elsewhere": True} if named else entry


def _be_day(table: Table, n: int, column: str) -> None:
    text = table.rows[n].get(column)
    try:
        if text is not None:
            date.fromisoformat(text)
    except ValueError:
        raise SnapshotError("bad-value", table.place(n, column), "is not a date, such as 2026-06-15") from None
