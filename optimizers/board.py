"""What may move in a rebalance: the names, their bounds, and the order each would become.

In: a projection of one account whose orders are *candidates* (at most one buy and one sell for each name) and the
bounds of each holding. Out: `Board`, which says for every fill-dependent name of the language which variable it is a
function of. Guaranteed: variable *i* is the holding of name *i* in shares; a name with one working order moves with
it; several working orders of one name have a variable each. Refused (`SnapshotError`): holdings that are no whole
shares, a candidate for a name that has a working order. Why candidates: price, fees and side of an order are known
before its quantity is. Before: `engine/snapshot.py`. After: `lowering.py`, `rows.py`, `confirm.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lexorder.engine.errors import SnapshotError
from lexorder.engine.judge import Derivations
from lexorder.engine.piecewise import Piecewise, chosen, constant, identity
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Projection, signed
from lexorder.optimizers.separable import Sum, of_function


@dataclass(frozen=True, slots=True)
class Candidate:
    """One name: shares held, the shares it may end at, its lot, and the order facts of a buy and of a sell.

    `buy` and `sell` are order facts by vocabulary name whose `order.quantity` is replaced by the trade; None where
    the direction is not allowed. Trades are whole multiples of `lot`.
    """

    symbol: str
    held: int
    lower: int
    upper: int
    lot: int = 1
    buy: Facts | None = None
    sell: Facts | None = None


class Board:
    """Names and variables. `domains[v]` is the interval variable *v* can reach, in shares.

    `projection` has every candidate order under test; `derived` are the derive rules by name.
    """

    def __init__(self, projection: Projection, derived: Derivations, candidates: Sequence[Candidate]) -> None:
        self.projection = projection
        self.derived = derived
        self.candidates = tuple(candidates)
        self.index = {c.symbol: i for i, c in enumerate(candidates)}
        self.orders = self._orders()
        self.working = tuple(str(w["working_order.id"]) for w in projection.working)
        self.quantities = tuple(self._working_quantity(w) for w in projection.working)
        self.names_of_working = tuple(self._name_of(w) for w in projection.working)
        self.domains = [self._domain(i) for i in range(len(candidates))]
        self.domains += [(min(0, q), max(0, q)) for q in self.quantities]

    def _orders(self) -> dict[str, tuple[int, int]]:
        sides = ((i, sign, order) for i, c in enumerate(self.candidates) for sign, order in ((1, c.buy), (-1, c.sell)))
        return {str(order["order.id"]): (i, sign) for i, sign, order in sides if order is not None}

    def _working_quantity(self, order: Facts) -> int:
        quantity = order["working_order.quantity"]
        return whole_shares(signed(str(order["working_order.side"]), quantity), str(order["working_order.id"]))  # type: ignore[arg-type]

    def _name_of(self, order: Facts) -> int:
        symbol = str(order["working_order.symbol"])
        if symbol not in self.index:
            raise SnapshotError("unknown-thing", f"working order {order['working_order.id']}", "is in no listed name")
        return self.index[symbol]

    def working_of(self, name: int) -> list[int]:
        """The indexes of the working orders in a name."""
        return [k for k, n in enumerate(self.names_of_working) if n == name]

    def _domain(self, i: int) -> tuple[int, int]:
        c, orders = self.candidates[i], [self.quantities[k] for k in self.working_of(i)]
        if orders and not (c.lower == c.held == c.upper and c.buy is None and c.sell is None):
            raise SnapshotError("working-order", c.symbol, "has a working order and may not be traded as well")
        if orders:
            return c.held + sum(min(0, q) for q in orders), c.held + sum(max(0, q) for q in orders)
        return min(c.lower, c.held), max(c.upper, c.held)

    def holding(self, symbol: str) -> Sum | None:
        """`position.after.quantity` of a name as a function of its variables; None when it cannot move."""
        i = self.index.get(symbol)
        if i is None:
            return None
        return of_function(i, identity(*self.domains[i]))

    def filled(self, name: int, sign: int) -> Sum:
        """Shares filled of the candidate order in that direction: `max(0, ±(x - held))`."""
        low, high = self.domains[name]
        held = self.candidates[name].held
        moved = Piecewise(low, high, (low,), ((-sign * held, sign, 0),))
        return of_function(name, chosen(self.side(name, sign), moved, constant(0, low, high)))

    def side(self, name: int, sign: int) -> tuple[tuple[int, int], ...]:
        """Holdings at which there is a buy (sign 1) or a sell (sign -1) in the name."""
        low, high = self.domains[name]
        held = self.candidates[name].held
        inside = (held + 1, high) if sign > 0 else (low, held - 1)
        return (inside,) if inside[0] <= inside[1] else ()

    def working_filled(self, order_id: str) -> Sum:
        """Shares filled (unsigned) of a working order."""
        k = self.working.index(order_id)
        name, quantity = self.names_of_working[k], self.quantities[k]
        sign = 1 if quantity > 0 else -1
        if self.working_of(name) == [k]:
            low, high = self.domains[name]
            moved = Piecewise(low, high, (low,), ((-sign * self.candidates[name].held, sign, 0),))
            return of_function(name, moved)
        variable = len(self.candidates) + k
        return of_function(variable, Piecewise(*self.domains[variable], (self.domains[variable][0],), ((0, sign, 0),)))

    def held(self) -> list[int]:
        """Every variable before any order: holdings, and nothing filled."""
        return [c.held for c in self.candidates] + [0] * len(self.working)

    def orders_at(self, x: Sequence[int] | Mapping[int, int]) -> tuple[Facts, ...]:
        """The orders that lead to holdings `x`, facts complete with their quantity."""
        found: list[Facts] = []
        for i, c in enumerate(self.candidates):
            template = c.buy if x[i] > c.held else c.sell
            if x[i] != c.held and template is not None and not self.working_of(i):
                found.append({**template, "order.quantity": Fraction(abs(x[i] - c.held))})
        return tuple(found)


def whole_shares(value: Fraction, where: str) -> int:
    """A number of shares as an integer. Raises SnapshotError `fractional-holding`."""
    if value.denominator != 1:
        raise SnapshotError("fractional-holding", where, "is not a whole number of shares")
    return value.numerator
