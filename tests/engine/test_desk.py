"""A live desk after any events is a new desk on the snapshot after the same events."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk, slow
from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import (
    AccountChanged,
    AccountSet,
    Event,
    Fill,
    FillRecorded,
    InstrumentSet,
    PositionSet,
    SingleChanged,
    StrategySet,
    TraderSet,
    WorkingAdded,
    WorkingRemoved,
    after,
    chained,
)
from lexorder.engine.facts import record
from lexorder.engine.listing import relisted
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot
from tests.agreement import happenings, worlds
from tests.agreement import rules as rule_texts
from tests.worlds import VOCABULARY, book, instrument, order, position, working, world

MEASURED = """
- rule: days
  title: Fewer than four day trades
  for_each: account
  require: account.day_trades < 4
- rule: alike
  title: No third order like two others
  require: order.identical < 2
- rule: own
  title: Not against an own order
  require: not order.crosses_own
- rule: bought
  title: At most twelve shares bought today
  for_each: account
  require: sum(fill.quantity where fill.side == buy) <= 12
- rule: throttle
  title: At most two repeats
  require: strategy.repeated_executions < 3
"""


def folded(snapshot: Snapshot, event: Event) -> Snapshot:
    """The snapshot after an event, with what the event changes in the lists."""
    snapshot, events = relisted(snapshot, event)
    for each in events:
        snapshot = after(snapshot, each)
    return snapshot


def told(decision: Decision) -> dict[str, object]:
    """All a decision says."""
    return dict(decision.to_json())


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(n, marks=pytest.mark.slow) for n in range(6, 60))])
def test_a_desk_after_events_is_a_desk_on_the_snapshot_after_them(seed: int) -> None:
    random_ = Random(f"desk {seed}")
    rules = RuleBook.of(rule_texts.book(random_, 8, 0.1) + MEASURED, VOCABULARY)
    start = worlds.snapshot(random_)
    desk, snapshot = Desk(rules, start, VOCABULARY), start
    for number in range(12):
        event = happenings.anything(random_, snapshot, number)
        snapshot = folded(snapshot, event)
        desk.apply(event)
        assert desk.hash == snapshot.hash
        asked = [worlds.order(random_, number * 10 + n, random_.choice((1, 3, 6))) for n in range(2)]
        if random_.random() < 0.3:  # several events without a look between them
            continue
        fresh = Desk(rules, snapshot, VOCABULARY)
        assert desk.snapshot == snapshot
        for one in asked:
            assert told(desk.check(one)) == told(fresh.check(one)), (number, event)
            assert desk.headroom(one, 9) == fresh.headroom(one, 9)
        assert desk.check_basket(asked) == fresh.check_basket(asked)


@pytest.mark.parametrize("seed", range(3))
def test_the_reference_desk_says_the_same(seed: int) -> None:
    random_ = Random(f"slow desk {seed}")
    rules = RuleBook.of(rule_texts.book(random_, 5, 0.0) + MEASURED, VOCABULARY)
    snapshot = worlds.snapshot(random_)
    desk = Desk(rules, snapshot, VOCABULARY)
    for number in range(8):
        event = happenings.anything(random_, snapshot, number)
        snapshot = folded(snapshot, event)
        desk.apply(event)
        one = worlds.order(random_, number, 3)
        quick, plain = desk.check(one), Desk(rules, snapshot, VOCABULARY, slow).check(one)
        assert (quick.outcome, quick.verdicts) == (plain.outcome, plain.verdicts)
        assert [(r.rule, r.subject, r.status, r.margin) for r in quick.reports] == [
            (r.rule, r.subject, r.status, r.margin) for r in plain.reports
        ]


SIZE = book("rule: size\ntitle: At most 10\nrequire: order.quantity <= 10")
SMALL = book("rule: small\ntitle: At most 5\nrequire: order.quantity <= 5")
TAGGED = book("rule: tagged\ntitle: At most 1\nscope: {accounts: {tag: small}}\nrequire: order.quantity <= 1")
WEIGHT = book(
    "rule: weight\ntitle: At most 5%\nfor_each: issuer\nrequire: sum(abs(position.after.value)) <= 5% * account.nav"
)


def desk_on(rules: RuleBook, **sections: object) -> Desk:
    return Desk(rules, world(**sections), VOCABULARY)


def test_another_rule_book_judges_the_same_state() -> None:
    desk = desk_on(SIZE)
    desk.apply(PositionSet("A", "ACME", {"position.before.quantity": Fraction(3)}))
    before = desk.hash
    assert desk.check(order(quantity=6)).approved
    desk.replace_book(SMALL)
    answer = desk.check(order(quantity=6))
    assert not answer.approved
    assert (answer.rulebook_hash, answer.snapshot_hash) == (SMALL.hash, before)


def test_a_new_tag_brings_its_rules_at_once() -> None:
    desk = desk_on(TAGGED)
    assert desk.check(order(quantity=2)).approved
    desk.apply(AccountChanged("A", {"account.tags": frozenset({"small"})}))
    assert desk.check(order(quantity=2)).outcome == "reject"
    desk.apply(AccountSet("A", {**desk.accounts["A"], "account.tags": frozenset()}))
    assert desk.check(order(quantity=2)).approved


def test_new_accounts_instruments_and_traders_may_trade_at_once() -> None:
    desk = desk_on(WEIGHT)
    asked = order(quantity=50, symbol="NEWCO", account="B", trader="N")
    assert desk.check(asked).reason == "UNKNOWN_ACCOUNT"
    desk.apply(AccountSet("B", {**desk.accounts["A"]}))
    desk.apply(InstrumentSet("NEWCO", record(VOCABULARY, "instrument", instrument("NEWCO"), "test")))
    desk.apply(TraderSet("N", {"trader.role": "portfolio_manager"}))
    assert desk.check(asked).approved
    assert desk.check({**asked, "quantity": "51"}).outcome == "reject"
    assert desk.accounts["B"]["account.id"] == "B"


def test_a_holding_told_anew_counts_and_one_told_as_nothing_is_gone() -> None:
    desk = desk_on(WEIGHT, positions=[position("ACME", 20)])
    assert desk.headroom(order()).quantity == 30
    desk.apply(PositionSet("A", "ACME", {"position.before.quantity": Fraction(45)}))
    assert desk.headroom(order()).quantity == 5
    desk.apply(PositionSet("A", "ACME", {"position.before.quantity": Fraction(0)}))
    assert desk.headroom(order()).quantity == 50
    assert "ACME" not in desk.snapshot.positions["A"]


def test_a_reservation_counts_until_it_is_taken_back() -> None:
    desk = desk_on(WEIGHT)
    assert desk.check(order(quantity=50)).approved
    facts = record(VOCABULARY, "working_order", working("W", "ACME", "buy", 50), "test")
    desk.apply(WorkingAdded(facts))
    assert desk.working["W"] == facts
    assert not desk.check(order(quantity=1)).approved
    desk.apply(WorkingRemoved("W"))
    assert desk.check(order(quantity=50)).approved
    assert dict(desk.working) == {}


def test_an_identifier_in_use_is_refused_only_while_it_works() -> None:
    desk = desk_on(SIZE)
    asked = order(quantity=1)
    desk.apply(WorkingAdded(record(VOCABULARY, "working_order", working(asked["id"], "ACME", "buy", 1), "test")))
    assert desk.check(asked).reason == "DUPLICATE_ORDER"
    desk.apply(WorkingRemoved(asked["id"]))
    assert desk.check(asked).approved


def test_a_refused_event_changes_neither_facts_nor_hash() -> None:
    desk = desk_on(WEIGHT)
    before, digest = desk.snapshot, desk.hash
    for event in (
        Fill("A", "NOPE", "buy", Fraction(1), Fraction(0)),
        WorkingRemoved("NOPE"),
        PositionSet("B", "X", {}),
    ):
        with pytest.raises(SnapshotError):
            desk.apply(event)
    assert (desk.snapshot, desk.hash) == (before, digest)


def test_a_fill_with_its_record_moves_everything_at_once() -> None:
    rules = RuleBook.of(MEASURED, VOCABULARY)
    desk = desk_on(rules, working_orders=[working("W", "ACME", "buy", 20)])
    facts: dict[str, Any] = {
        "fill.id": "F",
        "fill.account": "A",
        "fill.symbol": "ACME",
        "fill.side": "buy",
        "fill.quantity": Fraction(12),
        "fill.price": Fraction(100),
        "fill.time": desk.time,
    }
    assert "bought" not in [r.rule for r in desk.check(order(quantity=1)).violations]
    desk.apply(Fill("A", "ACME", "buy", Fraction(12), Fraction(-1200), "W", facts))
    assert desk.snapshot.fills == (facts,)
    assert desk.accounts["A"]["account.cash"] == 98_800
    assert desk.working["W"]["working_order.quantity"] == 8
    assert "bought" not in [r.rule for r in desk.check(order(quantity=1)).violations]
    desk.apply(FillRecorded({**facts, "fill.id": "G", "fill.quantity": Fraction(1)}))
    assert "bought" in [r.rule for r in desk.check(order(quantity=1)).violations]
    with pytest.raises(SnapshotError, match="duplicate-thing"):
        desk.apply(FillRecorded(facts))


def test_a_strategy_told_later_is_judged() -> None:
    desk = desk_on(RuleBook.of(MEASURED, VOCABULARY))
    asked = order(quantity=1, strategy="P")
    desk.apply(StrategySet("P", {"strategy.repeated_executions": Fraction(2)}))
    assert desk.check(asked).approved
    desk.apply(StrategySet("P", {"strategy.repeated_executions": Fraction(3)}))
    assert "throttle" in [r.rule for r in desk.check(asked).violations]


def test_a_measure_gives_way_to_a_given_fact_and_comes_back() -> None:
    rules = book("rule: days\ntitle: T\nfor_each: account\nrequire: account.day_trades < 4")
    desk = desk_on(rules)
    assert desk.check(order()).approved  # measured: none yet
    desk.apply(AccountChanged("A", {"account.day_trades": Fraction(4)}))
    assert desk.check(order()).outcome == "reject"
    facts = {name: value for name, value in desk.accounts["A"].items() if name != "account.day_trades"}
    desk.apply(AccountSet("A", facts))
    assert desk.check(order()).approved


def test_the_clock_ticks_without_a_new_date() -> None:
    rules = book("rule: hours\ntitle: T\nrequire: clock.now < session.open + 3 h")
    desk = desk_on(rules)
    assert desk.check(order()).approved
    later = desk.time + timedelta(minutes=31)
    desk.apply(SingleChanged({"clock.now": later, "clock.date": desk.single["clock.date"]}))
    assert desk.time == later
    assert desk.check(order()).outcome == "reject"


def test_a_new_date_brings_the_limits_of_that_date() -> None:
    dated = book(
        "rule: dated\ntitle: T\nlet:\n  limit:\n    2026-01-01: {value: 5, cite: a}\n"
        "    2026-06-16: {value: 2, cite: b}\n"
        "require: order.quantity <= limit"
    )
    desk = desk_on(dated)
    assert desk.check(order(quantity=5)).approved
    tomorrow = desk.time + timedelta(days=1)
    desk.apply(SingleChanged({"clock.now": tomorrow, "clock.date": tomorrow.date()}))
    assert desk.check(order(quantity=5)).outcome == "reject"
    assert desk.check(order(quantity=2)).approved


def test_the_hash_is_that_of_every_single_event() -> None:
    desk = desk_on(SIZE)
    digest = desk.hash
    events: list[Event] = [
        AccountChanged("A", {"account.nav": Fraction(5, 2)}),
        TraderSet("U", {"trader.role": "analyst"}),
    ]
    for event in events:
        desk.apply(event)
        digest = chained(digest, event)
    assert desk.hash == digest
    assert desk.check(order(quantity=1)).snapshot_hash == digest
