"""Entries of restricted, watch and allow lists: a name, what it names, and the days on which it counts.

In: the entries of a list in a document, each a name or `{name, kind, from, until, reason, elsewhere, derivatives}`.
Out: `Entry`s. Guaranteed: an entry counts from `from` to `until`, both days included (without them, always); the reason
is kept for compliance and leaves in no view for traders (`audience.py`). Refused by SnapshotError: unknown keys and
kinds, texts and dates that are none, an end before its start. Why both days count: "restricted until 1 July" means no
trade on 1 July. Before: `literals.py`. After: `covered.py`, `facts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

from lexorder.engine import literals
from lexorder.engine.errors import SnapshotError, shown

KINDS = ("symbol", "issuer", "group")
"""What a name on a list can be; an entry that does not say is taken for whatever bears the name."""
KEYS = ("name", "kind", "from", "until", "reason", "elsewhere", "derivatives")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `kind` is empty for whatever bears the name; `since` and `until` are its first and last day.

    `elsewhere` says that no instrument here needs to bear the name; `derivatives` that it also covers what is about the
    name. `reason` is for compliance alone.
    """

    name: str
    kind: str = ""
    since: date | None = None
    until: date | None = None
    reason: str = ""
    elsewhere: bool = False
    derivatives: bool = True

    def counts(self, day: date) -> bool:
        """Whether the entry is in force on `day`."""
        return (self.since is None or self.since <= day) and not self.over(day)

    def over(self, day: date) -> bool:
        """Whether its last day was before `day`."""
        return self.until is not None and self.until < day

    def to_json(self) -> dict[str, object]:
        """Plain data, in the keys of a document; what is as usual is left out."""
        days = {"from": self.since, "until": self.until}
        return {
            "name": self.name,
            **({"kind": self.kind} if self.kind else {}),
            **{key: day.isoformat() for key, day in days.items() if day is not None},
            **({"reason": self.reason} if self.reason else {}),
            **({"elsewhere": True} if self.elsewhere else {}),
            **({} if self.derivatives else {"derivatives": False}),
        }


def entries(raw: Any, where: str) -> tuple[Entry, ...]:
    """The entries of one list. Raises SnapshotError."""
    if not isinstance(raw, list | tuple | set | frozenset):
        raise SnapshotError("bad-value", where, "must be a list of names or entries")
    rows = raw if isinstance(raw, list | tuple) else sorted(raw)
    return tuple(_entry(row, f"{where}[{n}]") for n, row in enumerate(rows))


def _entry(row: Any, where: str) -> Entry:
    if isinstance(row, str):
        return Entry(row)
    if not isinstance(row, Mapping):
        raise SnapshotError("bad-value", where, "must be a name, or an object with a `name`")
    for key in row:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise SnapshotError("unknown-name", where, f"{shown(str(key))} is not one of {', '.join(KEYS)}{hint}")
    since, until = _day(row, "from", where), _day(row, "until", where)
    if since and until and until < since:
        raise SnapshotError("out-of-bounds", f"{where}.until", "is before `from`")
    return Entry(
        name=_text(row, "name", where),
        kind=_kind(row, where),
        since=since,
        until=until,
        reason=_text(row, "reason", where, optional=True),
        elsewhere=_flag(row, "elsewhere", where, usual=False),
        derivatives=_flag(row, "derivatives", where, usual=True),
    )


def _text(row: Mapping[str, Any], key: str, where: str, *, optional: bool = False) -> str:
    written = row.get(key)
    if written is None and optional:
        return ""
    if not written:
        raise SnapshotError("missing-key", where, f"has no `{key}`")
    if not isinstance(written, str):
        raise SnapshotError("bad-value", f"{where}.{key}", "must be text")
    return written


def _kind(row: Mapping[str, Any], where: str) -> str:
    kind = _text(row, "kind", where, optional=True)
    if kind and kind not in KINDS:
        raise SnapshotError("bad-value", f"{where}.kind", f"{shown(kind)} is not one of {', '.join(KINDS)}")
    return kind


def _flag(row: Mapping[str, Any], key: str, where: str, *, usual: bool) -> bool:
    written = row.get(key)
    found = literals.truth(written) if isinstance(written, str) else written
    if found is None and written is None:
        return usual
    if not isinstance(found, bool):
        raise SnapshotError("bad-value", f"{where}.{key}", "must be true or false")
    return found


def _day(row: Mapping[str, Any], key: str, where: str) -> date | None:
    written = row.get(key)
    if written is None:
        return None
    found = literals.day(written) if isinstance(written, str) else None
    if found is None:
        raise SnapshotError("bad-value", f"{where}.{key}", "is not a date such as `2026-06-15`")
    return found


def in_force(raw: Any, day: date, where: str) -> Any:
    """The names of the entries that count on `day`, as written; what is no list is handed on to be refused there."""
    return [e.name for e in entries(raw, where) if e.counts(day)] if isinstance(raw, list | tuple) else raw
