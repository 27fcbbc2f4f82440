"""Who belongs to whom: issuers and groups of companies with what stands above them.

In: the sections `issuers` and `groups` of a document (`{id, parent, group}`, `{id, parent}`). Out: `Hierarchy`, which
says for an issuer every issuer and group above it. Guaranteed: every chain ends; what is not listed stands alone.
Refused by SnapshotError: unknown and missing keys, a thing listed twice, a chain that comes back to itself (`circle`).
Why beside the instruments: a parent often has no instrument, and a chain said once cannot differ between two bonds.
Before: `errors.py`. After: `covered.py`, `facts.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from lexorder.engine.errors import SnapshotError, shown

ISSUER_KEYS = ("id", "parent", "group")
GROUP_KEYS = ("id", "parent")
SECTIONS = ("issuers", "groups")
"""The sections of a document that this file reads."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The parent of each issuer and of each group, and the group of each issuer, where there is one (else empty)."""

    issuers: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    group_of: Mapping[str, str] = field(default_factory=dict)

    def above(self, issuer: str, group: str = "") -> Iterator[tuple[str, str]]:
        """(kind, name) of the issuer, its parents, and every group one of them is in; `group` is a further one."""
        chain = tuple(_chain(issuer, self.issuers))
        yield from (("issuer", name) for name in chain)
        for start in dict.fromkeys([group, *(self.group_of.get(name, "") for name in chain)]):
            yield from (("group", name) for name in _chain(start, self.groups))

    def names(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of everything it mentions."""
        for issuer in self.issuers:
            yield from self.above(issuer)
        for group in self.groups:
            yield from (("group", name) for name in _chain(group, self.groups))

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return {"issuers": dict(self.issuers), "groups": dict(self.groups), "group_of": dict(self.group_of)}


def _chain(name: str, parents: Mapping[str, str]) -> Iterator[str]:
    while name:
        yield name
        name = parents.get(name, "")


def hierarchy(document: Mapping[str, Any]) -> Hierarchy:
    """The hierarchy of a document; an empty one where it has neither section. Raises SnapshotError."""
    issuers = _rows(document, "issuers", ISSUER_KEYS)
    groups = _rows(document, "groups", GROUP_KEYS)
    parents = {name: row.get("parent", "") for name, row in issuers.items()}
    above = {name: row.get("parent", "") for name, row in groups.items()}
    _be_trees("issuers", parents)
    _be_trees("groups", above)
    return Hierarchy(parents, above, {name: row["group"] for name, row in issuers.items() if "group" in row})


def _rows(document: Mapping[str, Any], section: str, keys: tuple[str, ...]) -> dict[str, dict[str, str]]:
    rows = document.get(section, [])
    if not isinstance(rows, list | tuple):
        raise SnapshotError("wrong-shape", section, "must be a list")
    found: dict[str, dict[str, str]] = {}
    for n, row in enumerate(rows):
        where = f"{section}[{n}]"
        read = _row(row, where, keys)
        if "id" not in read:
            raise SnapshotError("missing-key", where, "has no `id`")
        if read["id"] in found:
            raise SnapshotError("duplicate-thing", where, f"repeats {shown(read['id'])}")
        found[read["id"]] = read
    return found


def _row(row: Any, where: str, keys: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(row, Mapping):
        raise SnapshotError("wrong-shape", where, f"must be an object with {', '.join(keys)}")
    read: dict[str, str] = {}
    for key, value in row.items():
        if key not in keys:
            near = get_close_matches(str(key), keys, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise SnapshotError("unknown-name", where, f"{shown(str(key))} is not one of {', '.join(keys)}{hint}")
        if value is None:
            continue
        if not isinstance(value, str) or not value.isprintable() or not value or value != value.strip():
            raise SnapshotError("not-canonical", f"{where}.{key}", "must be a name without blanks at its ends")
        read[key] = value
    return read


def _be_trees(section: str, parents: Mapping[str, str]) -> None:
    """Refuse a chain that comes back to itself."""
    ends: set[str] = {""}
    for start in parents:
        path: list[str] = []
        name = start
        while name not in ends:
            if name in path:
                circle = " → ".join(shown(part) for part in [*path[path.index(name) :], name])
                raise SnapshotError("circle", section, f"has parents in a circle: {circle}")
            path.append(name)
            name = parents.get(name, "")
        ends.update(path)
