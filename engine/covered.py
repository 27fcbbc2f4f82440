"""What a list covers: from the names on it to every instrument they reach.

In: entries of lists, the instruments, the hierarchy, a day. Out: for each list the set that rules read; for one symbol
the entries that cover it. Guaranteed: an entry covers the instrument of its name, every instrument of the issuer or
group of its name and of all below them, and what is about one of these (underlyings, followed to the end); an entry
whose name nothing bears is refused, never dropped. Refused by SnapshotError: `unknown-thing` for such an entry, unless
it says `elsewhere`; `not-canonical` for a symbol written another way; `circle` for underlyings that lead back.
Why worked out when facts come and not when an order does: membership of a set costs nothing then, and every list, also
one a desk makes up, works the same in every rule. Before: `dated_lists.py`, `hierarchy.py`. After: `facts.py`,
`listing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from difflib import get_close_matches

from lexorder.engine.dated_lists import Entry
from lexorder.engine.errors import SnapshotError, shown
from lexorder.engine.hierarchy import Hierarchy
from lexorder.engine.rule import Facts
from lexorder.engine.symbols import is_symbol

Label = tuple[str, str]
"""(kind, name) that an entry may name something by; kinds are those of `dated_lists.KINDS`."""
Instruments = Mapping[str, Facts]
Lists = Mapping[str, tuple[Entry, ...]]
"""The entries by list name (`restricted`)."""

REFERENCE = frozenset({"instrument.issuer", "instrument.group", "instrument.underlying"})
"""The facts of an instrument that say which entries cover it."""


def labels(symbol: str, instruments: Instruments, tree: Hierarchy) -> tuple[Label, ...]:
    """Every name that covers an instrument by itself: its symbol, its issuer, its group, and all above them."""
    facts = instruments.get(symbol, {})
    issuer, group = (str(facts.get(f"instrument.{key}", "")) for key in ("issuer", "group"))
    return (("symbol", symbol), *tree.above(issuer, group))


def about(symbol: str, instruments: Instruments) -> Iterator[str]:
    """What a derivative is about, then what that is about, to the end. Raises SnapshotError for a circle."""
    seen = [symbol]
    while True:
        under = instruments.get(seen[-1], {}).get("instrument.underlying")
        if not isinstance(under, str) or under == seen[-1]:
            return
        if under in seen:
            raise SnapshotError("circle", f"instruments {shown(symbol)}", "has underlyings that lead back to itself")
        seen.append(under)
        yield under


def is_derivative(symbol: str, instruments: Instruments) -> bool:
    """Whether an instrument is about something else than itself."""
    return instruments.get(symbol, {}).get("instrument.underlying", symbol) != symbol


def why(entries: Iterable[Entry], symbol: str, instruments: Instruments, tree: Hierarchy) -> tuple[Entry, ...]:
    """The entries that cover a symbol, whatever their days: for compliance, never for a trader."""
    own = set(labels(symbol, instruments, tree))
    wider = own.union(*(labels(under, instruments, tree) for under in about(symbol, instruments)))
    if is_derivative(symbol, instruments):
        own = {("symbol", symbol)}
    return tuple(e for e in entries if any(label in (wider if e.derivatives else own) for label in _named(e)))


class Coverage:
    """The instruments and the hierarchy, sorted by the names that cover them; one for each state of both."""

    def __init__(self, instruments: Instruments, tree: Hierarchy) -> None:
        self.own: dict[Label, set[str]] = {}
        self.wider: dict[Label, set[str]] = {}
        for symbol in instruments:
            mine = labels(symbol, instruments, tree)
            for label in mine if not is_derivative(symbol, instruments) else mine[:1]:
                self.own.setdefault(label, set()).add(symbol)
            for under in (symbol, *about(symbol, instruments)):
                for label in labels(under, instruments, tree):
                    self.wider.setdefault(label, set()).add(symbol)
        self.known = {*self.wider, *tree.names()}

    def of(self, entry: Entry) -> frozenset[str]:
        """The symbols an entry covers."""
        table = self.wider if entry.derivatives else self.own
        return frozenset().union(*(table.get(label, ()) for label in _named(entry)))

    def names(self, entries: Iterable[Entry], day: date) -> frozenset[str]:
        """What rules read: the symbols covered on a day, and the names of entries that do not say what they name.

        The names are kept for instruments that are not here, and for rules that compare issuers themselves.
        """
        found: set[str] = set()
        for entry in entries:
            if entry.counts(day):
                found |= self.of(entry)
                found |= {entry.name} if entry.kind in ("", "symbol") else set()
        return frozenset(found)

    def refuse_unknown(self, entries: Iterable[Entry], day: date, where: str) -> None:
        """Refuse an entry, in force or still to come, whose name nothing bears."""
        for entry in entries:
            if not entry.over(day):
                self._be_known(entry, where)

    def _be_known(self, entry: Entry, where: str) -> None:
        if any(label in self.known for label in _named(entry)):
            return
        if entry.kind in ("", "symbol") and not is_symbol(entry.name):
            message = f"{shown(entry.name)} matches no instrument, issuer or group; symbols are in upper case"
            raise SnapshotError("not-canonical", where, f"{message}, without blanks{self._near(entry)}")
        if not entry.elsewhere:
            what = entry.kind or "instrument, issuer or group"
            message = f"{shown(entry.name)} is no {what} here{self._near(entry)}"
            raise SnapshotError("unknown-thing", where, f"{message}; a name of none of them says `elsewhere: true`")

    def _near(self, entry: Entry) -> str:
        known = {name for kind, name in self.known if entry.kind in ("", kind)}
        near = get_close_matches(entry.name, sorted(known), 1)
        return f"; did you mean {shown(near[0])}?" if near else ""


def _named(entry: Entry) -> Iterator[Label]:
    yield from ((kind, entry.name) for kind in ("symbol", "issuer", "group") if entry.kind in ("", kind))


def lists_on(lists: Lists, day: date, coverage: Coverage) -> dict[str, frozenset[str]]:
    """Every list as rules read it on a day, by vocabulary name. Raises SnapshotError for an unknown entry."""
    for name, entries in lists.items():
        coverage.refuse_unknown(entries, day, f"lists.{name}")
    return {f"lists.{name}": coverage.names(entries, day) for name, entries in lists.items()}
