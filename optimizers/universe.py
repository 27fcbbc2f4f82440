"""Which names a rebalance may trade, how far, and what the orders would look like.

In: a snapshot, an account, and how orders are to be written (`Trading`). Out: a `Board` with a candidate buy and sell
for every name. Guaranteed: limit prices are the mark moved by the band, on the instrument's tick, exact; a long holding
is never sold through zero, a short one never bought through; quantity and price of an order are within the bounds of
the vocabulary; a name with a working order, without a mark, or asked to stay is not traded. Refused (`SnapshotError`):
an unknown account, holdings in parts of a share; (`UsageError` `bad-setting`) a way of writing orders that makes none.
Why limit orders: rules on cash and notional then use a price that is known before the order goes. Before: `board.py`.
After: `rows.py`, `rebalance.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import floor, gcd, lcm, prod

from lexorder.engine.errors import SnapshotError, UsageError
from lexorder.engine.judge import derivations
from lexorder.engine.measuring import measured_names, with_measures
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import MissingFactError, Projection, Snapshot, Subject, project, read
from lexorder.engine.subjects import account_subject
from lexorder.optimizers.board import Board, Candidate, whole_shares


@dataclass(frozen=True, slots=True)
class Trading:
    """How orders are written.

    `band`: how far beyond the mark a limit price may go, as a ratio. `tick`: the price step (instrument's money), made
    coarser where the instrument's own is.
    `fee`: commission a share. `long_only`: whether a name that is not held may be sold short. `stay`: symbols not to
    be traded. `cap`: the largest weight of one name considered, as a ratio of NAV (rules usually say less). `most`,
    `ordered`: the largest holding and order of some names, in shares either way; a larger holding may stay.
    """

    trader: str = ""
    strategy: str = "NONE"
    band: Fraction = Fraction(1, 1000)
    tick: Fraction = Fraction(1, 100)
    fee: Fraction = Fraction(0)
    time_in_force: str = "DAY"
    long_only: bool = True
    stay: frozenset[str] = frozenset()
    prefix: str = "R"
    cap: Fraction = Fraction(1)
    most: Mapping[str, Fraction] = field(default_factory=dict)
    ordered: Mapping[str, Fraction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.tick > 0 and 0 <= self.band < 1 and self.fee >= 0 and self.cap >= 0):
            raise UsageError("bad-setting", "a tick is above 0, a band from 0 to below 1, fee and cap are not negative")


def board_of(
    snapshot: Snapshot, vocabulary: Vocabulary, account: str, rules: Sequence[Rule], trading: Trading
) -> Board:
    """The board of every instrument of a snapshot as `account` may trade it."""
    if account not in snapshot.accounts:
        raise SnapshotError("unknown-account", "accounts", f"has no account {account}")
    times = vocabulary.names["order.time_in_force"].unit.values
    if trading.time_in_force not in times:
        raise UsageError("bad-setting", f"the time in force is one of {', '.join(sorted(times))}")
    bare = project(snapshot, vocabulary, account, ())
    working = {str(w["working_order.symbol"]) for w in bare.working}
    symbols = sorted({*snapshot.instruments, *bare.positions})
    candidates = tuple(_candidate(s, bare, trading, stays=s in working) for s in symbols)
    orders = tuple(o for c in candidates for o in (c.buy, c.sell) if o is not None)
    seen, _ = with_measures(project(snapshot, vocabulary, account, orders), steady(rules))
    return Board(seen, derivations(rules), candidates)


def steady(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The measured names these rules read that belong to the account, an instrument or the session.

    Those of an order depend on its quantity and on its neighbours, which are not known yet: see `lowering.py`.
    """
    return tuple(name for name in measured_names(rules) if not name.startswith("order."))


def _candidate(symbol: str, bare: Projection, trading: Trading, *, stays: bool) -> Candidate:
    facts = bare.snapshot.instruments.get(symbol, {})
    position = bare.positions.get(symbol, {})
    held = whole_shares(position.get("position.before.quantity", Fraction(0)), symbol)  # type: ignore[arg-type]
    lot = whole_shares(facts.get("instrument.lot", Fraction(1)), symbol)  # type: ignore[arg-type]
    mark = facts.get("instrument.mark")
    if stays or symbol in trading.stay or not isinstance(mark, Fraction):
        return Candidate(symbol, held, held, held, lot)
    reach = _reach(symbol, mark, bare, trading)
    lower = held if held < 0 else (0 if trading.long_only or held > 0 else -reach)
    upper = 0 if held < 0 else max(held, reach)
    if symbol in trading.most:
        most = max(0, floor(trading.most[symbol]))
        lower, upper = max(lower, min(held, -most)), min(upper, max(held, most))
    # An order above the vocabulary's largest would be refused at the border.
    for at in (trading.ordered.get(symbol), bare.vocabulary.names["order.quantity"].maximum):
        if at is not None:
            lower, upper = max(lower, held - max(0, floor(at))), min(upper, held + max(0, floor(at)))
    lower, upper = held + (lower - held) // -lot * -lot, held + (upper - held) // lot * lot
    buy = _order(symbol, "buy", mark, bare, trading) if upper > held else None
    short = "sell" if held > 0 else "sell_short"
    sell = _order(symbol, short, mark, bare, trading) if lower < held else None
    return Candidate(symbol, held, lower if sell else held, upper if buy else held, lot, buy, sell)


def _reach(symbol: str, mark: Fraction, bare: Projection, trading: Trading) -> int:
    """The largest whole number of shares that `cap` of NAV buys."""
    nav = bare.snapshot.accounts[bare.account].get("account.nav")
    if not isinstance(nav, Fraction):
        raise SnapshotError("missing-fact", bare.account, "has no net asset value")
    return int(trading.cap * nav / (mark * prod(money_of_price(bare, symbol))))


def _order(symbol: str, side: str, mark: Fraction, bare: Projection, trading: Trading) -> Facts | None:
    """The candidate's facts; None where its limit price is outside what the vocabulary admits."""
    price = limit_price(mark, side, replace(trading, tick=tick_of(symbol, bare, trading)))
    dearest = bare.vocabulary.names["order.price"].maximum
    if dearest is not None and price > dearest:
        return None
    order: dict[str, object] = {
        "order.id": f"{trading.prefix}-{symbol}-{'B' if side == 'buy' else 'S'}",
        "order.account": bare.account,
        "order.symbol": symbol,
        "order.side": side,
        "order.quantity": Fraction(1),
        "order.ord_type": "limit",
        "order.price": price,
        "order.time_in_force": trading.time_in_force,
        "order.strategy": trading.strategy,
        "order.fee_per_share": trading.fee,
    }
    if trading.trader:
        order["order.trader"] = trading.trader
    for declared in bare.vocabulary.of_entity("order"):
        if declared.default is not None:
            order.setdefault(declared.name, declared.default)
    return order  # type: ignore[return-value]


def tick_of(symbol: str, bare: Projection, trading: Trading) -> Fraction:
    """The least price step that is a whole number both of `trading.tick` and of the instrument's own steps."""
    declared = bare.vocabulary.names["instrument.tick"].default
    own = bare.snapshot.instruments[symbol].get("instrument.tick", declared)
    if not isinstance(own, Fraction):
        return trading.tick
    one, other = trading.tick, own
    return Fraction(lcm(one.numerator, other.numerator), gcd(one.denominator, other.denominator))


def limit_price(mark: Fraction, side: str, trading: Trading) -> Fraction:
    """The mark moved against the trader by the band, rounded inward to the tick; never beyond the band.

    Except that a price is one tick at least, also where the mark is below it.
    """
    if side == "buy":
        return max(mark * (1 + trading.band) // trading.tick, 1) * trading.tick
    return max(-(-mark * (1 - trading.band) // trading.tick), 1) * trading.tick


def money_of_price(projection: Projection, symbol: str) -> tuple[Fraction, Fraction]:
    """Contract multiplier and exchange rate: what turns a price into the account's money for one share or contract.

    Raises MissingFactError where there is no rate.
    """
    facts = projection.snapshot.instruments.get(symbol, {})
    stack = (account_subject(projection), Subject("instrument", symbol, facts))
    multiplier, fx = (read(projection, stack, name, "") for name in ("instrument.multiplier", "instrument.fx"))
    return Fraction(multiplier), Fraction(fx)  # type: ignore[arg-type]


def value_of_share(projection: Projection, symbol: str) -> Fraction:
    """What a share or contract is worth at its mark, in the account's money; 0 without mark or rate, or a stale one."""
    facts = projection.snapshot.instruments.get(symbol, {})
    stack = (account_subject(projection), Subject("instrument", symbol, facts))
    try:
        mark = read(projection, stack, "instrument.mark", "")
        return Fraction(mark) * prod(money_of_price(projection, symbol))  # type: ignore[arg-type]
    except MissingFactError:
        return Fraction(0)


def account_fact(projection: Projection, name: str) -> Fraction:
    """A number of the account."""
    return Fraction(projection.snapshot.accounts[projection.account][name])  # type: ignore[arg-type]
