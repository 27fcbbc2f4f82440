"""Which entries of a list stand behind a finding: for compliance, who may know why a name is listed.

In: a rule, the subject of its finding, the projection it was judged on. Out: the entries in force that cover the names
it is about, by list. Guaranteed: only of lists the rule reads; nothing for a rule that reads none. Refused: nothing.
Before: `covered.py`. After: `decide.py`; `audience.py` keeps it from traders.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from lexorder.engine.covered import why
from lexorder.engine.dated_lists import Entry
from lexorder.engine.rule import Rule
from lexorder.engine.snapshot import Projection
from lexorder.engine.subjects import NAMED
from lexorder.engine.terms import Field

PREFIX = "lists."


def lists_of(rule: Rule) -> tuple[str, ...]:
    """The lists a rule reads, by their names without `lists.`."""
    terms = [t for t in (rule.when, rule.require) if t is not None]
    names = {n.name for t in terms for n in t.walk() if isinstance(n, Field)}
    return tuple(sorted(name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)))


def entries_behind(rule: Rule, subject: str, seen: Projection, lists: Sequence[str]) -> tuple[tuple[str, Entry], ...]:
    """(list, entry) for every entry in force that covers a name the finding is about; `lists` are those of the rule."""
    if not lists:
        return ()
    known = seen.snapshot
    today = known.single.get("clock.date", known.time.date())
    assert isinstance(today, date)
    found: dict[tuple[str, Entry], None] = {}
    for symbol in _symbols(rule, subject, seen):
        for name in lists:
            for entry in why(known.lists.get(name, ()), symbol, known.instruments, known.hierarchy):
                if entry.counts(today):
                    found[name, entry] = None
    return tuple(found)


def _symbols(rule: Rule, subject: str, seen: Projection) -> tuple[str, ...]:
    """The name of a finding about one; else those of the orders under test, or of the one order it is about."""
    if rule.for_each in NAMED:
        return (subject,)
    mine = [o for o in seen.orders if rule.for_each != "order" or o["order.id"] == subject]
    return tuple(dict.fromkeys(str(o["order.symbol"]) for o in mine))
