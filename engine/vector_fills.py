"""Sums over the fills of each name of each account, for columns.

In: one copy of the facts, terms such as `sum(fill.quantity where fill.date == clock.date)`. Out: a column with the sum
for each order. Guaranteed: each is what `evaluate.value` says, worked out for the names that have fills, until a fill
is recorded or a fact that the sum reads changes; others have none, so their sum is 0. A sum that is no whole number is
missing. Refused: `NotVectorError` where a fill counts for every account. Before: `vector_tables.py`. After:
`vector_copies.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from lexorder.engine import vector_columns as vc
from lexorder.engine.evaluate import value
from lexorder.engine.records import EVERYONE
from lexorder.engine.slots import names_in_time, touches
from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.terms import Term
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_columns import Column, Ints
from lexorder.engine.vector_pairs import SYMBOL_BITS, Pair
from lexorder.engine.vector_tables import Tables, integer_of

Asked = tuple[Term, tuple[str, ...]]
"""A term and the entities bound around it."""


class FillSums:
    """The sums asked for so far, by pair."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._known: dict[Asked, dict[int, int | None]] = {}
        self._names: dict[Term, frozenset[str]] = {}

    def forget(self) -> None:
        """A fill was recorded."""
        self._known.clear()

    def told(self, changed: frozenset[str]) -> None:
        """Facts of an account, or of those there is one of, have changed: a sum may count other fills now."""
        for asked in [a for a in self._known if touches(self._names[a[0]], changed)]:
            del self._known[asked]

    def column(self, term: Term, kinds: tuple[str, ...], account: Ints, symbol: Ints) -> Column:
        """The sum for each order. Raises NotVectorError."""
        if (term, kinds) not in self._known:
            self._known[term, kinds] = dict(self._each(term, kinds))
            self._names.setdefault(term, names_in_time(term, self.tables.vocabulary, self.tables.derived))
        found = self._known[term, kinds]
        if not found:
            return vc.constant(0)
        return vc.from_integers([found.get(key, 0) for key in (account << SYMBOL_BITS | symbol).tolist()])

    def _each(self, term: Term, kinds: tuple[str, ...]) -> Iterator[tuple[int, int | None]]:
        accounts, symbols = (self.tables.tables[x].index for x in (Level.ACCOUNT, Level.INSTRUMENT))
        seen: set[Pair] = set()
        for fill in self.tables.live.snapshot.fills:
            pair = str(fill.get("fill.account", EVERYONE)), str(fill.get("fill.symbol", ""))
            if pair[0] == EVERYONE or not pair[1]:
                raise NotVectorError("a fill counts for every account or every name")
            if pair not in seen and pair[0] in accounts and pair[1] in symbols:
                seen.add(pair)
                yield accounts[pair[0]] << SYMBOL_BITS | symbols[pair[1]], self._one(term, kinds, pair)

    def _one(self, term: Term, kinds: tuple[str, ...], pair: Pair) -> int | None:
        at = self.tables.point(Level.INSTRUMENT, pair[1], kinds, pair[0])
        try:
            return integer_of(value(term, at), 1)
        except MissingFactError:
            return None
