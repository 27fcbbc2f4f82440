"""What a single order is, where a rule should name it and not spell it out: worth, step, repetition, crossing its own.

In: an order, its instrument, the working orders and the other orders under test. Out: contract value, whether price and
quantity are whole steps and within the instrument's size, how many identical orders are open, whether it could trade
with an order of the same beneficial owner, a bet's liability. Guaranteed: exact; the price is that of `order.cash_price`
(the limit, or the worse of quote and mark moved by the collar). Refused: MissingFactError where there is no price.

Sources: Commission Delegated Regulation (EU) 2017/589 (RTS 6) article 15(1) (maximum values and volumes before the
order is sent) and article 13 (orders on both sides of one beneficial owner); SEC Rule 15c3-5(c)(1)(ii) (duplicate
orders). Sizes in contracts, inverse contracts and quantities in quote currency: the instrument's own specification.
Before: `reading.py`, `evaluate.py`. After: rules on the names below.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from lexorder.engine.evaluate import Point, number
from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject
from lexorder.engine.subjects import account_subject

PRICED = ("limit", "stop_limit")
"""Order types that have a limit price."""


def whole_steps(value: Fraction, step: Fraction) -> bool:
    """Whether `value` is a multiple of `step` (above 0). Zero and negative values are too, when they are whole."""
    return (value / step).denominator == 1


def contract_value(
    quantity: Fraction, price: Fraction, multiplier: Fraction, inverse: bool, in_quote: bool
) -> Fraction:
    """What an order is worth in the instrument's currency: quantity x |price| x multiplier.

    An inverse contract is worth a fixed amount of quote currency, and so is a quantity stated in quote currency: then
    the price does not matter.
    """
    if in_quote:
        return quantity
    return quantity * multiplier * (1 if inverse else abs(price))


def base_quantity(quantity: Fraction, price: Fraction, in_quote: bool) -> Fraction:
    """The quantity in the instrument's own unit. Raises MissingFactError at a price of zero."""
    if not in_quote:
        return quantity
    if price == 0:
        raise MissingFactError("order.cash_price", "", "is zero")
    return quantity / abs(price)


def liability(side: str, stake: Fraction, odds: Fraction) -> Fraction:
    """What a bet at decimal odds can lose: the stake when it is sold, stake x (odds - 1) when it is bought.

    The convention of betting accounts in nautilus_trader: the buyer of a selection takes the other side of the stake.
    """
    return stake * (odds - 1) if side == BUY else stake


def crosses(side: str, limit: Fraction | None, other_side: str, other_limit: Fraction | None) -> bool:
    """Whether two orders in one instrument could trade with each other; None is an order without a limit price."""
    if (side == BUY) == (other_side == BUY):
        return False
    if limit is None or other_limit is None:
        return True
    return limit >= other_limit if side == BUY else other_limit >= limit


def _defined(seen: Projection, order: Subject, name: str) -> Fraction:
    """A name the vocabulary defines, as seen from an order."""
    declared = seen.vocabulary.name(name)
    if declared is None or declared.means is None:
        raise MissingFactError(name, order.key, "is not defined by the vocabulary")
    return number(declared.means, Point(seen, (account_subject(seen), order), {}, {}))


def _flag(seen: Projection, order: Subject, name: str) -> bool:
    return bool(reading.fact(seen, order, name))


def _limit(order: Facts) -> Fraction | None:
    price = order.get("order.price")
    return price if order.get("order.ord_type") in PRICED and isinstance(price, Fraction) else None


@measure("order.contract_value")
def order_contract_value(seen: Projection, order: Subject) -> Fraction:
    """What the order is worth in account money, with the contract multiplier. Raises MissingFactError without a price."""
    in_quote = _flag(seen, order, "order.quantity_in_quote")
    inverse = _flag(seen, order, "instrument.inverse")
    price = Fraction(1) if in_quote or inverse else _defined(seen, order, "order.cash_price")
    quantity, multiplier, fx = (
        reading.number(seen, order, n) for n in ("order.quantity", "instrument.multiplier", "instrument.fx")
    )
    return contract_value(quantity, price, multiplier, inverse, in_quote) * fx


@measure("order.within_size")
def within_size(seen: Projection, order: Subject) -> bool:
    """Whether the quantity, in the instrument's own unit, is from its smallest to its largest order."""
    in_quote = _flag(seen, order, "order.quantity_in_quote")
    price = _defined(seen, order, "order.cash_price") if in_quote else Fraction(1)
    size = base_quantity(reading.number(seen, order, "order.quantity"), price, in_quote)
    low, high = (reading.number(seen, order, f"instrument.{n}_quantity") for n in ("min", "max"))
    return low <= size <= high


@measure("order.on_tick")
def on_tick(seen: Projection, order: Subject) -> bool:
    """Whether limit and stop price are multiples of the instrument's tick; true for an order without either."""
    tick = reading.number(seen, order, "instrument.tick")
    prices = (order.facts.get(name) for name in ("order.price", "order.stop_price"))
    return all(whole_steps(price, tick) for price in prices if isinstance(price, Fraction))


@measure("order.on_lot")
def on_lot(seen: Projection, order: Subject) -> bool:
    """Whether the quantity is a multiple of the instrument's lot."""
    return whole_steps(reading.number(seen, order, "order.quantity"), reading.number(seen, order, "instrument.lot"))


@measure("order.identical")
def identical(seen: Projection, order: Subject) -> Fraction:
    """How many orders of the account like this one came before it: working ones, and those ahead of it in this list.

    Alike are symbol, side, quantity and limit price. The OMS may give its own count over a longer window.
    """
    mine = _likeness(order.facts)
    ahead: list[Facts] = []
    for other in seen.orders:
        if other["order.id"] == order.key:
            break
        ahead.append(other)
    return Fraction(sum(_likeness(o) == mine for o in ahead) + sum(_like(w, mine) for w in seen.working))


def _likeness(order: Facts) -> tuple[object, ...]:
    return (order["order.symbol"], order["order.side"], order["order.quantity"], _limit(order))


def _like(working: Facts, mine: tuple[object, ...]) -> bool:
    named = tuple(working[f"working_order.{n}"] for n in ("symbol", "side", "quantity"))
    return named == mine[:3] and (mine[3] is None or working.get("working_order.price") == mine[3])


@measure("order.crosses_own")
def crosses_own(seen: Projection, order: Subject) -> bool:
    """Whether the order could trade with a working order, or another order under test, of the same beneficial owner.

    The owner of an account that names none is the account itself. A stop order has no limit before it is triggered.
    """
    side, limit, symbol = str(order.facts["order.side"]), _limit(order.facts), order.facts["order.symbol"]
    return any(crosses(side, limit, *other) for other in _own_orders(seen, order, symbol))


def _own_orders(seen: Projection, order: Subject, symbol: object) -> Iterator[tuple[str, Fraction | None]]:
    for other in seen.orders:
        if other["order.id"] != order.key and other["order.symbol"] == symbol:
            yield str(other["order.side"]), _limit(other)
    owner = _owner(seen, seen.account)
    for working in seen.snapshot.working_orders:
        if working["working_order.symbol"] == symbol and _owner(seen, str(working["working_order.account"])) == owner:
            price = working.get("working_order.price")
            yield str(working["working_order.side"]), price if isinstance(price, Fraction) else None


def _owner(seen: Projection, account: str) -> str:
    return str(seen.snapshot.accounts.get(account, {}).get("account.beneficial_owner", account))


@measure("order.liability")
def order_liability(seen: Projection, order: Subject) -> Fraction:
    """What the order can lose as a bet at decimal odds, in account money. Raises MissingFactError without a price."""
    stake, fx = reading.number(seen, order, "order.quantity"), reading.number(seen, order, "instrument.fx")
    return liability(str(order.facts["order.side"]), stake, _defined(seen, order, "order.cash_price")) * fx
