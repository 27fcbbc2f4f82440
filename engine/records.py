"""Records that come one by one: fills, quotes, signals, working orders. A sequence that also knows whose each one is.

In: facts with an id. Out: a sequence in the order of arrival, and those of one account without a look at the others.
Guaranteed: `of(account)` is what filtering the whole sequence by account would give, in the same order; each change
costs the same however many there are. Refused by SnapshotError: nothing is checked here but what `add` says. Why not a
tuple: a fill arrives thousands of times a day, and rules of one account must not wait for the fills of all others.
Before: `errors.py`. After: `snapshot.py`, `live.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import overload

from lexorder.engine.errors import SnapshotError
from lexorder.engine.rule import Facts

EVERYONE = "NONE"
"""The account of a record that counts for every account; so does a record that names none."""

Numbered = tuple[int, Facts]


class Records(Sequence[Facts]):
    """Records of one entity (`fill`, `quote`, …), by id, in the order of arrival."""

    def __init__(self, entity: str, rows: Iterable[Facts] = ()) -> None:
        self.entity = entity
        self._id, self._account = f"{entity}.id", f"{entity}.account"
        self._rows: dict[str, Numbered] = {}
        self._of: dict[str, dict[str, Numbered]] = {}
        self._next = 0
        for row in rows:
            self.add(row)

    def add(self, facts: Facts) -> None:
        """A new record, last. Raises SnapshotError `duplicate-thing` when its id is there."""
        key = str(facts[self._id])
        if key in self._rows:
            raise SnapshotError("duplicate-thing", self.entity, "of the event is recorded already")
        self._place(key, (self._next, facts))
        self._next += 1

    def knows(self, key: str) -> bool:
        """Whether there is a record with this id."""
        return key in self._rows

    def put(self, facts: Facts) -> None:
        """A record in the place of the one with its id, or a new one."""
        old = self._rows.get(str(facts[self._id]))
        if old is None:
            self.add(facts)
        else:
            del self._of[self._owner(old[1])][str(facts[self._id])]
            self._place(str(facts[self._id]), (old[0], facts))

    def _place(self, key: str, row: Numbered) -> None:
        self._rows[key] = row
        self._of.setdefault(self._owner(row[1]), {})[key] = row

    def _owner(self, facts: Facts) -> str:
        return str(facts.get(self._account, EVERYONE))

    def of(self, account: str) -> Iterator[Facts]:
        """The records of one account and those of everyone, in the order of arrival."""
        parts = [sorted(found.values(), key=_number) for a in {account, EVERYONE} if (found := self._of.get(a))]
        yield from (facts for _, facts in merge(*parts, key=_number))

    def any_of(self, account: str) -> bool:
        """Whether an account, or everyone, has a record."""
        return bool(self._of.get(account) or self._of.get(EVERYONE))

    def __contains__(self, key: object) -> bool:
        """Whether there is a record with this id."""
        return key in self._rows

    def __iter__(self) -> Iterator[Facts]:
        """All records in the order of arrival."""
        return (facts for _, facts in self._rows.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Facts: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Facts]: ...
    def __getitem__(self, index: int | slice) -> Facts | Sequence[Facts]:
        """By place."""
        return tuple(self)[index]


def _number(row: Numbered) -> int:
    return row[0]


class Worked(Sequence[Facts]):
    """All working orders in the order of arrival, read from tables that their owner keeps.

    `account_of` is by order id, in the order of arrival; `working` by account, then id; `named` by symbol, then id.
    """

    def __init__(
        self,
        account_of: Mapping[str, str],
        working: Mapping[str, Mapping[str, Facts]],
        named: Mapping[str, Mapping[str, Facts]],
    ) -> None:
        self._account_of, self._working, self._named = account_of, working, named

    def of_symbol(self, symbol: str) -> Iterable[Facts]:
        """Those in one name, of every account."""
        return self._named.get(symbol, {}).values()

    def __iter__(self) -> Iterator[Facts]:
        """All of them."""
        return (self._working[account][order] for order, account in self._account_of.items())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._account_of)

    @overload
    def __getitem__(self, index: int) -> Facts: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Facts]: ...
    def __getitem__(self, index: int | slice) -> Facts | Sequence[Facts]:
        """By place."""
        return tuple(self)[index]


class ById(Mapping[str, Facts]):
    """Working orders by id, read from the same tables."""

    def __init__(self, account_of: Mapping[str, str], working: Mapping[str, Mapping[str, Facts]]) -> None:
        self._account_of, self._working = account_of, working

    def __getitem__(self, order: str) -> Facts:
        """The facts of an order. Raises KeyError."""
        return self._working[self._account_of[order]][order]

    def __iter__(self) -> Iterator[str]:
        """The ids in the order of arrival."""
        return iter(self._account_of)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._account_of)
