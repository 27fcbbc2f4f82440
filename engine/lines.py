"""What the lines of one name have in common in every account, worked out once and copied.

In: the slots and totals of a book, the live facts. Out: a `Row` for a name and a currency of account: the list L of an
account that holds nothing of it, with what only an account can say left `ABSENT`, and the groups it is counted in.
Guaranteed: a row is that of the facts as they are: it is forgotten when a fact it may read changes; what depends on
more than the name and the currency is not in it (`own_slots`, `own_totals` say what). Refused: nothing. Why: most
orders are for a name the account has not asked about before, and nearly all of its facts are the instrument's.
Before: `slots.py`, `totals.py`. After: `totals.py` uses it to begin a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lexorder.engine.names import Vocabulary
from lexorder.engine.slots import Slot, touches
from lexorder.engine.terms import Key

ROWS_MAX = 20_000
"""Names whose rows are kept; beyond that all are forgotten and made again when asked for."""
_ANYONE = ("account.currency", "position.symbol", "order.symbol", "fx.*")
"""Names of other things that say the same for every account of one currency."""
_FLAT = ("position.before.quantity",)
"""Names that say the same for every account that holds nothing of the name."""


@dataclass(frozen=True, slots=True)
class Row:
    """The list L of a name nobody holds, and its group by total (None where that is not known)."""

    values: list[Any]
    groups: list[str | None]


class Shared:
    """Which slots of a line are the same for every account, and the rows of them kept so far."""

    def __init__(self, vocabulary: Vocabulary, slots: Iterable[Slot]) -> None:
        self.vocabulary = vocabulary
        every = tuple(slots)
        self.always = tuple(s for s in every if self.is_common(s, _ANYONE))
        rest = [s for s in every if not self.is_common(s, _ANYONE)]
        self.flat = tuple(s for s in rest if self.is_common(s, (*_ANYONE, *_FLAT)))
        self.own = tuple(s for s in rest if not self.is_common(s, (*_ANYONE, *_FLAT)))
        self.names = frozenset[str]().union(*(s.names for s in (*self.always, *self.flat)))
        self._rows: dict[str, dict[object, Row]] = {}

    def is_common(self, slot: Slot, also: Sequence[str]) -> bool:
        """Whether a slot reads nothing but the instrument, single things and the names in `also`."""
        if any(isinstance(n, Key) and n.entity == "account" for n in slot.term.walk()):
            return False
        return all(name in also or self._is_of_all(name) for name in slot.names)

    def _is_of_all(self, name: str) -> bool:
        entity, _, rest = name.partition(".")
        if rest == "*" or not rest:
            return False
        return entity in ("instrument", "market") or self.vocabulary.entities[entity].single

    def places(self) -> set[str]:
        """The places of L that a row fills, as generated code writes them."""
        slots = (*self.always, *self.flat)
        wide = {f"L[{s.index + 1}]" for s in slots if s.scale == 0}
        return {"L[0]", "L[1]", "L[2]", *(f"L[{s.index}]" for s in slots), *wide}

    def row(self, symbol: str, currency: object, make: Callable[[], Row]) -> Row:
        """The row of a name, made when first asked for."""
        of_name = self._rows.get(symbol)
        if of_name is None:
            if len(self._rows) >= ROWS_MAX:
                self._rows.clear()
            of_name = self._rows[symbol] = {}
        found = of_name.get(currency)
        if found is None:
            found = of_name[currency] = make()
        return found

    def forget(self, symbol: str, names: frozenset[str]) -> None:
        """Facts of an instrument have changed, or (without a symbol) facts that every account may read."""
        if symbol:
            self._rows.pop(symbol, None)
        elif touches(self.names, names):
            self._rows.clear()
