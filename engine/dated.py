"""`let` names and the dates their values come into force.

In: the `let` mapping of a rule. Out: `DatedValue`s, and which of them hold on a date. Guaranteed: of several dated
values the latest not after the date is in force; before the first there is none, and the rule does not exist.
Refused (RuleFileError): dates that are none, dated and undated values mixed, names that hide the subject or an entity.
Before: `shape.py`, `parse.py`. After: `rulefile.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from lexorder.engine import literals, shape
from lexorder.engine.codes import refuse
from lexorder.engine.errors import shown
from lexorder.engine.message import BUILT_IN
from lexorder.engine.mistakes import KEYWORDS
from lexorder.engine.names import Vocabulary
from lexorder.engine.parse import parse
from lexorder.engine.rule import Rule
from lexorder.engine.source import Mapping, Node, Scalar
from lexorder.engine.syntax import Syntax

DATES_MAX = 100
"""Dated values of one `let` name."""

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_FUNCTIONS = frozenset({"abs", "min", "max", "sum", "count", "any", "all"})


@dataclass(frozen=True, slots=True)
class DatedValue:
    """One value of a `let` name; `since` is None for an undated one."""

    name: str
    since: date | None
    tree: Syntax
    cite: str
    key: Scalar


@dataclass(frozen=True, slots=True)
class Versions:
    """A rule's versions, each from its date (None: from the beginning) until the next one's."""

    id: str
    items: tuple[tuple[date | None, Rule], ...]
    node: Mapping

    def on(self, day: date) -> Rule | None:
        """The version in force on a day, or None."""
        found = None
        for since, rule in self.items:
            if since is None or since <= day:
                found = rule
        if found is None or (found.effective_from and day < found.effective_from):
            return None
        return None if found.effective_until and day >= found.effective_until else found

    def dates(self) -> set[date]:
        """The days on which something changes."""
        found = {since for since, _ in self.items if since}
        for _, rule in self.items:
            found |= {d for d in (rule.effective_from, rule.effective_until) if d}
        return found


def read(body: Mapping, vocabulary: Vocabulary) -> tuple[DatedValue, ...]:
    """The values of all `let` names, in written order.

    Raises:
        RuleFileError: see the module.
    """
    found: list[DatedValue] = []
    for key, node in body:
        _be_name(key, vocabulary)
        found.extend(_values(key, node))
    return tuple(found)


def starts(values: tuple[DatedValue, ...]) -> tuple[date | None, ...]:
    """The dates at which a version of the rule begins; (None,) when nothing is dated."""
    first: dict[str, date] = {}
    days: set[date] = set()
    for value in values:
        if value.since is not None:
            first[value.name] = min(first.get(value.name, value.since), value.since)
            days.add(value.since)
    if not days:
        return (None,)
    begin = max(first.values())
    return tuple(sorted(day for day in days if day >= begin))


def in_force(values: tuple[DatedValue, ...], day: date | None) -> dict[str, DatedValue]:
    """By name, the value in force on a day."""
    found: dict[str, DatedValue] = {}
    for value in values:
        held = found.get(value.name)
        started = value.since is None or (day is not None and value.since <= day)
        if started and (held is None or held.since is None or (value.since is not None and held.since < value.since)):
            found[value.name] = value
    return found


def day_under(body: Mapping, key: str) -> date | None:
    """The date under an optional key.

    Raises:
        RuleFileError: `bad-date`.
    """
    node = body.get(key)
    return None if node is None else _day(shape.scalar(node, f"`{key}`"))


def _day(written: Scalar) -> date:
    day = literals.day(written.text)
    if day is None:
        refuse(
            "bad-date",
            f"{shown(written.text)} is not a day of the calendar: write YYYY-MM-DD, such as `2026-06-04`",
            written.span,
        )
    return day


def _be_name(key: Scalar, vocabulary: Vocabulary) -> None:
    if not _NAME.match(key.text):
        refuse(
            "bad-identifier",
            f"{shown(key.text)} cannot be a `let` name: lower-case letters, digits and `_`, such as `max_weight`",
            key.span,
        )
    taken = key.text in KEYWORDS or key.text in _FUNCTIONS or key.text in vocabulary.entities
    if taken or (key.text in BUILT_IN and key.text != "limit"):
        refuse(
            "let-shadows",
            f"{shown(key.text)} already means something: choose another name, such as `my_{key.text[:40]}`",
            key.span,
        )


def _values(key: Scalar, node: Node) -> list[DatedValue]:
    if isinstance(node, Scalar):
        return [DatedValue(key.text, None, parse(shape.scalar(node, "a `let` value")), "", key)]
    body = shape.mapping(node, f"the `let` name {shown(key.text)}", key.span)
    if body.get("value") is not None:
        tree, cite = _value(body, key)
        return [DatedValue(key.text, None, tree, cite, key)]
    if not body.entries or len(body.entries) > DATES_MAX:
        refuse("missing-key", f"{shown(key.text)} needs 1 to {DATES_MAX} dated values", key.span)
    return [_dated(key, when, value) for when, value in body]


def _dated(key: Scalar, when: Scalar, node: Node) -> DatedValue:
    since = _day(when)
    if isinstance(node, Scalar):
        return DatedValue(key.text, since, parse(shape.scalar(node, "a `let` value")), "", key)
    tree, cite = _value(shape.mapping(node, "a dated value", when.span), when)
    return DatedValue(key.text, since, tree, cite, key)


def _value(body: Mapping, key: Scalar) -> tuple[Syntax, str]:
    shape.known_keys(body, ("value", "cite"), "a `let` value")
    return parse(shape.word(body, "value", key.span)), shape.text(body, "cite")
