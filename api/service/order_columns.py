"""A batch body read as columns, as strictly as `strict_json.loads` reads it, for less.

In: the bytes of a body. Out: its mode, rows and columns; None for a body that is written in any unusual way, which
`loads` then reads or refuses. Guaranteed: what is given here `loads` would give; no key stands twice in an object (a
text has two quotes for each string, and data that lost a string has too few). Refused: nothing here. Why: the general
walk over ten thousand orders takes as long as deciding them. Before: `strict_json.py`. After: `batch.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

MODE = "independent"
_decoder = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Columns:
    """The orders of an independent batch, as rows and as columns by name; None stands where an order lacks a name."""

    rows: list[dict[str, Any]]
    columns: dict[str, list[Any]]

    def part(self, places: range) -> dict[str, list[Any]]:
        """The columns of some orders in a row."""
        return {name: column[places.start : places.stop] for name, column in self.columns.items()}


def columns_of(body: bytes) -> Columns | None:
    """The columns of a plainly written independent batch."""
    if b"\\" in body:
        return None
    try:
        data = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(data, dict) or set(data) != {"mode", "orders"} or data["mode"] != MODE:
        return None
    rows = data["orders"]
    if not isinstance(rows, list) or not rows or set(map(type, rows)) != {dict}:
        return None
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(_names(rows))}
    strings = 3 + sum(map(len, rows))  # the two keys of the body, its mode, and the keys of the orders
    for column in columns.values():
        kinds = list(map(type, column))
        texts = kinds.count(str)
        if texts + kinds.count(bool) + kinds.count(type(None)) != len(kinds):
            return None
        strings += texts
    return Columns(rows, columns) if strings * 2 == body.count(b'"') else None


def _names(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Every name of every row; rows that are alike are told from the first."""
    first = rows[0]
    yield from first
    for row in rows:
        if row.keys() != first.keys():
            yield from row
