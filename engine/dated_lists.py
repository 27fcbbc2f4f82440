"""Lists whose entries come and go: which names stand on a list on a day.

In: the entries of a list in a document, each a name or `{name, from, until, reason}`; a day. Out: the names in force.
Guaranteed: an entry counts from `from` (inclusive) to `until` (exclusive; without them, always); the reason goes
no further than this file, so no message or decision can tell a trader why a name is listed. Refused by SnapshotError:
unknown keys, dates that are none, an end before its start. Before: `literals.py`. After: `facts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from lexorder.engine import literals
from lexorder.engine.errors import SnapshotError, shown

KEYS = ("name", "from", "until", "reason")


def in_force(entries: Any, day: date, where: str) -> Any:
    """The names of `entries` that count on `day`; what is no list is handed on for the caller to refuse."""
    if not isinstance(entries, list | tuple):
        return entries
    return [_name(entry, f"{where}[{n}]") for n, entry in enumerate(entries) if _counts(entry, day, f"{where}[{n}]")]


def _name(entry: Any, where: str) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    if not isinstance(entry.get("name"), str):
        raise SnapshotError("missing-key", where, "has no `name`")
    return entry["name"]


def _counts(entry: Any, day: date, where: str) -> bool:
    if not isinstance(entry, Mapping):
        return True
    for key in entry:
        if key not in KEYS:
            raise SnapshotError("unknown-name", where, f"{shown(str(key))} is not one of {', '.join(KEYS)}")
    start, end = _day(entry, "from", where), _day(entry, "until", where)
    if start and end and end <= start:
        raise SnapshotError("out-of-bounds", f"{where}.until", "is not after `from`")
    return (start is None or start <= day) and (end is None or day < end)


def _day(entry: Mapping[str, Any], key: str, where: str) -> date | None:
    written = entry.get(key)
    if written is None:
        return None
    found = literals.day(written) if isinstance(written, str) else None
    if found is None:
        raise SnapshotError("bad-value", f"{where}.{key}", "is not a date such as `2026-06-15`")
    return found
