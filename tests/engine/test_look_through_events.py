"""Funds looked through over a day of events: always as if everything had been loaded anew, in every evaluator.

A fund names what it holds by symbol; whose that is, is a fact of the instrument, and facts change: an issuer is taken
over, a future gets another underlying, an instrument turns out to be a fund. The model follows the rows by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.constituents import Constituents
from lexorder.engine.desk import Desk, fast, slow
from lexorder.engine.events import (
    AccountChanged,
    Event,
    Fill,
    InstrumentChanged,
    InstrumentSet,
    PositionSet,
    WorkingAdded,
    WorkingRemoved,
    after,
)
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.terms import Value
from tests.worlds import VOCABULARY, book, instrument, order, world

RULE = """
rule: inside
title: At most 5% of net assets in any one body, funds looked through
for_each: constituent
require: sum(max(position.after.value, 0) * constituent.weight) <= 5% * account.nav
"""
SHARES, FUNDS, FUTURES = ("ACME", "BETA"), ("ETF", "FOF"), ("FUT", "CALL")
ISSUERS = ("ACME", "BETA", "House", "Third")
ROWS: tuple[tuple[str, str, str, int], ...] = (
    ("ETF", "symbol", "ACME", 40),
    ("ETF", "symbol", "FUT", 20),
    ("ETF", "issuer", "Third", 15),
    ("FOF", "symbol", "ETF", 50),
    ("FOF", "symbol", "CALL", 10),
    ("FOF", "symbol", "BETA", 30),
)
"""(fund, `issuer` or `symbol`, name, percent): 25% of the one and 10% of the other are not told."""


def document() -> dict[str, Any]:
    """Two shares, a fund, a fund of the fund, a future on the first share and a call on that future."""
    listed = [instrument(s, "10") for s in SHARES]
    listed += [instrument(s, "10", kind="fund", issuer="House") for s in FUNDS]
    listed += [instrument("FUT", "10", kind="future", underlying="ACME", issuer="Clearer")]
    listed += [instrument("CALL", "10", kind="option", underlying="FUT", issuer="Clearer")]
    rows = [{"fund": fund, kind: name, "weight": f"{percent}%"} for fund, kind, name, percent in ROWS]
    return world(account={"nav": "10000"}, instruments=listed, constituents=rows)


# ---- the model -----------------------------------------------------------------------------------------------------


def parts(fund: str, instruments: Mapping[str, Facts], within: tuple[str, ...] = ()) -> dict[str, Fraction] | None:
    """Issuers of a fund with their weights, `*` for what is told; None when one of them cannot be known."""
    if fund in within:
        return None
    found: dict[str, Fraction] = {"*": Fraction(0)}
    for of, kind, name, percent in ROWS:
        if of != fund:
            continue
        weight = Fraction(percent, 100)
        inner = (
            inside(name, instruments, (*within, fund)) if kind == "symbol" else {name: Fraction(1), "*": Fraction(1)}
        )
        if inner is None:
            return None
        for issuer, part in inner.items():
            most = min(part, Fraction(1)) if issuer == "*" else part
            found[issuer] = found.get(issuer, Fraction(0)) + weight * most
    return found


def inside(symbol: str, instruments: Mapping[str, Facts], within: tuple[str, ...]) -> dict[str, Fraction] | None:
    """The same for an instrument: a derivative is what it is about, a fund its parts, anything else its issuer."""
    for _ in range(20):
        facts = instruments[symbol]
        under = str(facts.get("instrument.underlying", symbol))
        if facts.get("instrument.kind") == "fund":
            return parts(symbol, instruments, within)
        if under == symbol or under not in instruments:
            break
        symbol = under
    issuer = instruments[symbol].get("instrument.issuer")
    return {str(issuer): Fraction(1), "*": Fraction(1)} if issuer else None


def known(table: Constituents, instruments: Mapping[str, Facts]) -> None:
    """The table is what the model says of the instruments as they are."""
    for fund in {row[0] for row in ROWS}:
        expected = parts(fund, instruments)
        if expected is None:
            assert fund not in table.weights, fund
            continue
        told = expected.pop("*")
        assert dict(table.weights[fund]) == expected, fund
        assert table.rest[fund] == max(Fraction(0), 1 - told), fund


# ---- events --------------------------------------------------------------------------------------------------------


def some(random_: Random, snapshot: Snapshot, number: int) -> Event:
    """Any event that can concern funds, most of them about who an instrument is."""
    symbol = random_.choice((*SHARES, *FUNDS, *FUTURES))
    few = Fraction(random_.choice((1, 5, 40, 51)))
    old = dict(snapshot.instruments[symbol])
    kinds: dict[str, Callable[[], Event]] = {
        "issuer": lambda: InstrumentChanged(symbol, {"instrument.issuer": random_.choice(ISSUERS)}),
        "mark": lambda: InstrumentChanged(symbol, {"instrument.mark": Fraction(random_.choice((5, 10, 11)))}),
        "underlying": lambda: InstrumentChanged(
            random_.choice(FUTURES), {"instrument.underlying": random_.choice(("ACME", "BETA", "ETF", "GONE", "FUT"))}
        ),
        "kind": lambda: InstrumentChanged("BETA", {"instrument.kind": random_.choice(("security", "fund"))}),
        "set": lambda: InstrumentSet(
            symbol, {k: v for k, v in old.items() if k != random_.choice(("instrument.issuer", "instrument.sector"))}
        ),
        "listed": lambda: InstrumentSet("GONE", {**snapshot.instruments["BETA"], "instrument.issuer": "Third"}),
        "holding": lambda: PositionSet("A", symbol, {"position.before.quantity": few}),
        "fill": lambda: Fill("A", symbol, random_.choice(("buy", "sell")), few, Fraction(0)),
        "net assets": lambda: AccountChanged("A", {"account.nav": Fraction(random_.choice((10_000, 5_000)))}),
        "working": lambda: WorkingAdded(working(f"W{number}", symbol, few)),
    }
    if snapshot.working_orders and random_.random() < 0.1:
        return WorkingRemoved(str(snapshot.working_orders[0]["working_order.id"]))
    return kinds[random_.choice((*kinds, "issuer", "issuer", "underlying"))]()


def working(name: str, symbol: str, quantity: Fraction) -> Facts:
    """A working purchase."""
    facts: dict[str, Value] = {
        "id": name,
        "account": "A",
        "symbol": symbol,
        "side": "buy",
        "quantity": quantity,
        "price": Fraction(10),
    }
    return {f"working_order.{key}": value for key, value in facts.items()}


def asked(desk: Desk) -> list[Any]:
    """What is decided of a purchase of each name."""
    orders = [order("buy", n, s, id=f"{s}{n}", price="10") for s, n in (("FOF", 1), ("FOF", 9), ("ETF", 1), ("FUT", 9))]
    return [(d.outcome, [(r.rule, r.subject, r.status) for r in d.reports]) for d in map(desk.check, orders)]


@pytest.mark.parametrize("seed", range(12))
def test_after_any_events_funds_are_made_of_what_the_instruments_are_now(seed):
    random_ = Random(f"made of {seed}")
    snapshot = load_snapshot(document(), VOCABULARY)
    known(snapshot.constituents, snapshot.instruments)
    for number in range(60):
        snapshot = after(snapshot, some(random_, snapshot, number))
        known(snapshot.constituents, snapshot.instruments)


@pytest.mark.parametrize("seed", range(4))
def test_a_desk_that_followed_the_events_decides_as_one_that_was_started_now(seed):
    random_ = Random(f"followed {seed}")
    rules = book(RULE)
    quick, plain = (Desk(rules, document(), VOCABULARY, make) for make in (fast, slow))
    for number in range(8):
        asked(quick)  # what is kept for speed is kept from before the event
        event = some(random_, quick.snapshot, number)
        quick.apply(event)
        plain.apply(event)
        fresh = Desk(rules, quick.snapshot, VOCABULARY, slow)
        assert asked(quick) == asked(plain) == asked(fresh), event
        assert quick.hash == plain.hash


@pytest.mark.parametrize("whole", [False, True], ids=["one fact", "all its facts"])
def test_a_name_that_is_taken_over_counts_for_its_new_owner_at_once(whole):
    """BETA is 30% of FOF; its new owner is Third, of which FOF holds 7.5% already, and 22.5% are not told."""
    desk = Desk(book(RULE), document(), VOCABULARY, fast)
    before = {subject for _, subject, _ in reports(desk, "FOF", 150)}
    taken = {**desk.snapshot.instruments["BETA"], "instrument.issuer": "Third"}
    desk.apply(InstrumentSet("BETA", taken) if whole else InstrumentChanged("BETA", {"instrument.issuer": "Third"}))
    assert before == {"ACME", "BETA"}
    assert reports(desk, "FOF", 150) == [("inside", "ACME", "breach"), ("inside", "Third", "breach")]


def reports(desk: Desk, symbol: str, quantity: int) -> list[tuple[str, str, str]]:
    """What stops a purchase."""
    found = desk.check(order("buy", quantity, symbol, price="10")).reports
    return [(r.rule, r.subject, str(r.status)) for r in found]


def test_a_fund_of_which_a_part_is_not_known_any_more_is_undecided_until_it_is():
    desk = Desk(book(RULE), document(), VOCABULARY, fast)
    beta = desk.snapshot.instruments["BETA"]
    assert desk.check(order("buy", 1, "FOF", price="10")).approved
    desk.apply(InstrumentSet("BETA", {k: v for k, v in beta.items() if k != "instrument.issuer"}))
    assert desk.check(order("buy", 1, "FOF", price="10")).outcome.value == "undecided"
    assert desk.check(order("buy", 1, "ETF", price="10")).approved, "ETF holds none of it"
    desk.apply(InstrumentSet("BETA", beta))
    assert desk.check(order("buy", 1, "FOF", price="10")).approved


def test_an_event_that_says_nothing_new_of_a_fund_costs_nothing():
    snapshot = load_snapshot(document(), VOCABULARY)
    for event in (
        InstrumentChanged("ACME", {"instrument.mark": Fraction(7)}),
        InstrumentSet("OTHER", {"instrument.issuer": "Other"}),
        PositionSet("A", "ETF", {"position.before.quantity": Fraction(5)}),
    ):
        assert after(snapshot, event).constituents is snapshot.constituents
    assert replace(snapshot).constituents.names == {"ACME", "BETA", "ETF", "FOF", "FUT", "CALL"}
