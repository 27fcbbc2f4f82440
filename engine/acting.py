"""What the market asks for now: the reactions of one account, composed, and the orders they come to.

In: a rule book, a snapshot, an account. Out: `Acted`: effects by thing, exit orders, working orders to cancel, and what
could not be looked at. Guaranteed: CLIPS and the reference meaning both look, and what they do not agree on is told as
disagreement and asks for nothing; an order closes what is held and never turns it round, whatever of the working orders
fills before: lots are rounded down, and what working orders already close is not closed twice; a price is never worse
than the rule's, rounded up to sell and down to buy. Refused by SnapshotError: `unknown-account`. Why orders and no
sending: an exit is decided like any order before it goes out. Before: `compose.py`, `expert/inference.py`, `desk.py`.
After: `api/cli_react.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import ceil, floor

from lexorder.engine.codes import nearest_name
from lexorder.engine.compose import Effect, compose
from lexorder.engine.errors import SnapshotError, shown
from lexorder.engine.expert.inference import Inference
from lexorder.engine.measuring import measured_names, with_measures
from lexorder.engine.names import Vocabulary
from lexorder.engine.quantity import exact
from lexorder.engine.react import Act, Reactions, Unknown, pairs, react
from lexorder.engine.rule import Facts, Phase, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Projection, Snapshot, Subject, project, signed
from lexorder.engine.subjects import NAMED, belongs, covering_rules
from lexorder.engine.terms import Value

DISAGREED = "the two evaluators differ on what the rules ask for"


@dataclass(frozen=True, slots=True)
class Told:
    """What all reactions to one thing come to. What is known by its symbol is an `instrument`, also as a position."""

    entity: str
    key: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class ExitOrder:
    """An order that closes a part of a holding: whole lots, a price on the tick (None: at the market)."""

    symbol: str
    side: str
    quantity: Fraction
    price: Fraction | None
    participation: Fraction | None
    rules: tuple[str, ...]

    def facts(self, account: str, trader: str = "") -> dict[str, str]:
        """As `load_order` reads it, under the id `exit-SYMBOL`; without a trader it names none."""
        plainly = {"id": f"exit-{self.symbol}", "account": account, "symbol": self.symbol, "side": self.side}
        plainly |= {"trader": trader} if trader else {}
        quantity = {"quantity": exact(self.quantity), "ord_type": "market" if self.price is None else "limit"}
        return {**plainly, **quantity, **({} if self.price is None else {"price": exact(self.price)})}


@dataclass(frozen=True, slots=True)
class Acted:
    """One look. `unknown` are rules that could not be followed: of what they watch nothing is known."""

    account: str
    effects: tuple[Told, ...]
    exits: tuple[ExitOrder, ...]
    cancels: tuple[str, ...]
    unknown: tuple[Unknown, ...]
    rulebook_hash: str
    snapshot_hash: str


def act(book: RuleBook, snapshot: Snapshot, vocabulary: Vocabulary, account: str) -> Acted:
    """Look at an account with the `then` rules of phase `monitor` that are in force and cover it.

    Raises:
        SnapshotError: `unknown-account`.
        ExpertError: CLIPS failed; nothing is known then.
    """
    facts = snapshot.accounts.get(account)
    if facts is None:
        near = nearest_name(account, snapshot.accounts)
        hint = f"; did you mean {shown(near)}?" if near else ""
        raise SnapshotError("unknown-account", "account", f"{shown(account)} is not in the snapshot{hint}")
    rules = _monitoring(book, snapshot, account, facts)
    seen, _ = with_measures(project(snapshot, vocabulary, account, ()), measured_names(rules))
    found = _agreed(rules, vocabulary, seen)
    things = {(rule.id, subject.key): subject for rule, subject in pairs(rules, seen, Phase.MONITOR, None)}
    concerning = {
        symbol: [a for a in found.acts if belongs(seen, things[a.rule, a.subject], "position", position)]
        for symbol, position in seen.positions.items()
    }
    exits, unpriced = _exits(seen, concerning)
    return Acted(
        account,
        _told(found.acts, things),
        exits,
        tuple(_cancelled(seen, concerning)),
        (*found.unknown, *unpriced),
        book.hash,
        snapshot.hash,
    )


def _monitoring(book: RuleBook, snapshot: Snapshot, account: str, facts: Facts) -> tuple[Rule, ...]:
    today = snapshot.single.get("clock.date", snapshot.time.date())
    assert isinstance(today, date)
    mine = covering_rules(book.on(today), account, facts)
    return tuple(r for r in mine if r.derive or (r.then and Phase.MONITOR in r.phases))


def _agreed(rules: Sequence[Rule], vocabulary: Vocabulary, seen: Projection) -> Reactions:
    plainly = react(rules, seen, Phase.MONITOR)
    inference = Inference(rules, vocabulary)
    try:
        by_clips = inference.react(seen, Phase.MONITOR)
    finally:
        inference.close()
    if plainly.key != by_clips.key:
        concerned = {(a.rule, a.subject) for a in set(plainly.acts) ^ set(by_clips.acts)} | (
            plainly.key[1] ^ by_clips.key[1]
        )
        return Reactions((), tuple(Unknown(rule, key, DISAGREED) for rule, key in sorted(concerned)))
    return plainly


def _told(acts: Iterable[Act], things: Mapping[tuple[str, str], Subject]) -> tuple[Told, ...]:
    """Composed by thing, in order of its name."""
    by_thing: dict[tuple[str, str], list[Act]] = {}
    for one in acts:
        entity = things[one.rule, one.subject].entity
        by_thing.setdefault(("instrument" if entity in NAMED else entity, one.subject), []).append(one)
    return tuple(Told(*thing, compose(by_thing[thing])) for thing in sorted(by_thing))


def _exits(
    seen: Projection, concerning: Mapping[str, Sequence[Act]]
) -> tuple[tuple[ExitOrder, ...], tuple[Unknown, ...]]:
    orders: list[ExitOrder] = []
    unknown: list[Unknown] = []
    for symbol, acts in concerning.items():
        effect = compose(a for a in acts if a.kind in ("exit", "reduce"))
        held = seen.positions[symbol]["position.before.quantity"]
        assert isinstance(held, Fraction)
        try:
            quantity = _quantity(seen, symbol, held, effect)
            if quantity > 0:
                orders.append(_order(seen, symbol, held, quantity, effect))
        except LookupError as missing:
            why = f"instrument.{missing.args[0]} of {symbol} is missing"
            unknown += [Unknown(rule, symbol, why) for rule in effect.rules]
    return tuple(orders), tuple(unknown)


def _quantity(seen: Projection, symbol: str, held: Fraction, effect: Effect) -> Fraction:
    """Whole lots to close: the most that anybody asks for, less what working orders close already."""
    size = abs(held)
    wanted = [size * effect.exit.fraction] if effect.exit is not None else []
    for unit, left in effect.reduce_to.items():
        wanted.append(size - (left if unit == "shares" else left / _fact(seen, symbol, "mark")))
    working = (w for w in seen.working if w["working_order.symbol"] == symbol)
    closing = sum((abs(m) for w in working if (m := _moves(w)) * held < 0), start=Fraction(0))
    lot = _fact(seen, symbol, "lot")
    return floor((max(wanted, default=Fraction(0)) - closing) / lot) * lot


def _moves(working: Facts) -> Fraction:
    """What is open of a working order, with the sign of its effect."""
    quantity = working["working_order.quantity"]
    assert isinstance(quantity, Fraction)
    return signed(str(working["working_order.side"]), quantity)


def _order(seen: Projection, symbol: str, held: Fraction, quantity: Fraction, effect: Effect) -> ExitOrder:
    way = effect.exit
    at_market = way is not None and way.style == "market"
    price = way.price if way is not None else None
    if at_market:
        price = None
    elif price is None:
        price = _fact(seen, symbol, "bid" if held > 0 else "ask")
    if price is not None:
        tick = _fact(seen, symbol, "tick")
        price = (ceil if held > 0 else floor)(price / tick) * tick
    participation = way.participation if way is not None else None
    return ExitOrder(symbol, "sell" if held > 0 else "buy", quantity, price, participation, effect.rules)


def _cancelled(seen: Projection, concerning: Mapping[str, Sequence[Act]]) -> Iterator[str]:
    for working in seen.working:
        if any(a.kind == "cancel" for a in concerning[str(working["working_order.symbol"])]):
            yield str(working["working_order.id"])


def _fact(seen: Projection, symbol: str, name: str) -> Fraction:
    """A number of an instrument, the vocabulary's default included. Raises LookupError."""
    full = f"instrument.{name}"
    declared = seen.vocabulary.name(full)
    found: Value | None = seen.snapshot.instruments.get(symbol, {}).get(full)
    if found is None and declared is not None:
        found = declared.default
    if not isinstance(found, Fraction):
        raise LookupError(name)
    return found
