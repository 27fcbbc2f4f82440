"""Every measure on facts at the ends of their bounds, absent, or odd: a value of its type, or a missing fact.

A measure that raised anything else would end a decision as a defect, and one that gave a float or a value of another
type would reach the evaluators, which compare without looking. Then each is read by a rule, and the fast pair must
answer as the plain evaluator does.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from math import floor
from random import Random
from typing import Any

import pytest

from lexorder.engine.decision import Outcome
from lexorder.engine.desk import Desk, fast, slow
from lexorder.engine.events import AccountChanged, InstrumentChanged
from lexorder.engine.measure import REGISTRY
from lexorder.engine.names import Name
from lexorder.engine.rule import Facts
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import MissingFactError, Snapshot, Subject, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Value
from lexorder.engine.units import Kind
from tests.engine import vector_cases as cases
from tests.worlds import VOCABULARY, order, position, working, world

NOW = datetime(2026, 6, 15, 16, 0, tzinfo=UTC)
TYPES: dict[Kind, type] = {
    Kind.NUMBER: Fraction, Kind.DURATION: Fraction, Kind.BOOL: bool, Kind.TEXT: str, Kind.ENUM: str, Kind.DATE: date,
    Kind.TIMESTAMP: datetime, Kind.TIME: time, Kind.SET: frozenset,
}  # fmt: skip
SYMBOLS = ("ACME", "BETA", "COCO")
LINKS = {"symbol", "id", "account", "underlying", "currency", "trader", "strategy"}
DAYS = (
    date(1, 1, 1),
    date(1990, 1, 1),
    date(2010, 12, 2),
    date(2026, 6, 14),
    date(2026, 6, 15),
    date(2026, 7, 3),
    date(2099, 1, 1),
)
SETS = (frozenset[str](), frozenset({"2026-06-15"}), frozenset({"2026-06-12", "x"}), frozenset({"2026-02-30"}))


def some(declared: Name, random_: Random) -> Value:
    """A value its declaration admits: an end of its bounds, one step within, or a plain one."""
    kind = declared.unit.kind
    if kind in (Kind.NUMBER, Kind.DURATION):
        step = Fraction(1, 10**declared.scale)
        low, high = declared.minimum or Fraction(0), declared.maximum
        top = low + 10**12 if high is None else high
        return random_.choice(
            (low, low + step, top, top - step, min(max(Fraction(1), low), top), floor((low + top) / 2 / step) * step)
        )
    if kind is Kind.BOOL:
        return random_.random() < 0.5
    if kind is Kind.ENUM:
        return random_.choice(declared.unit.values)
    if kind is Kind.DATE:
        return random_.choice(DAYS)
    if kind is Kind.TIMESTAMP:
        return NOW + random_.choice((timedelta(0), timedelta(microseconds=-1), timedelta(days=-1), timedelta(hours=3)))
    if kind is Kind.TIME:
        return time(9, 30)
    if declared.name == "instrument.asset_class":
        return random_.choice(("equity", "etf", "adr", "stock", "equity", "bond"))
    return random_.choice(SETS) if kind is Kind.SET else "x"


def facts(entity: str, random_: Random, keep: float, **fixed: Value) -> dict[str, Value]:
    """Facts of a thing as given: measured and defined names left out, of the others as many as `keep` says."""
    found: dict[str, Value] = {}
    for declared in VOCABULARY.of_entity(entity):
        given = declared.means is None and not declared.derived and declared.name not in REGISTRY
        if given and declared.name.split(".")[-1] not in LINKS and random_.random() < keep:
            found[declared.name] = some(declared, random_)
    return {**found, **{f"{entity}.{name}": value for name, value in fixed.items()}}


def snapshot(random_: Random, keep: float) -> Snapshot:
    """A world of such facts: three instruments, one account, what it holds, works and did."""
    single: dict[str, Value] = {}
    for name in (e.name for e in VOCABULARY.entities.values() if e.single):
        single |= facts(name, random_, keep)
    listed = {s: {**facts("instrument", random_, keep, symbol=s, currency=random_.choice(("USD", "EUR"))),
                  **facts("market", random_, keep)} for s in SYMBOLS}  # fmt: skip
    listed["COCO"]["instrument.underlying"] = "ACME"
    if random_.random() < 0.5:
        single |= {"session.open": NOW - timedelta(hours=2), "session.close": NOW + timedelta(hours=4)}
    single |= {"clock.now": NOW, "clock.date": random_.choice((NOW.date(), *DAYS[1:])), "fx.base": "USD"}
    return Snapshot(
        time=NOW,
        accounts={"A": facts("account", random_, keep, id="A", currency="USD")},
        instruments=listed,
        positions={"A": {s: facts("position", random_, 1, symbol=s, account="A") for s in SYMBOLS}},
        working_orders=tuple(
            facts("working_order", random_, 1, id=f"W{n}", symbol=random_.choice(SYMBOLS), account="A")
            for n in range(2)
        ),
        fills=tuple(
            facts("fill", random_, keep, id=f"F{n}", symbol=random_.choice(SYMBOLS), account="A", side="buy",
                  quantity=Fraction(random_.choice((1, 10_000_000))))
            for n in range(4)
        ),
        single=single,
    )  # fmt: skip


def subjects(name: str, seen: Any) -> list[Subject]:
    """What the name can be asked of."""
    entity = name.split(".", maxsplit=1)[0]
    if entity == "order":
        return [Subject(entity, str(o["order.id"]), o) for o in seen.orders]
    if entity in ("instrument", "market"):
        return [Subject(entity, s, f) for s, f in seen.snapshot.instruments.items()]
    return [account_subject(seen)] if entity == "account" else [Subject(entity, "", seen.snapshot.single)]


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_measure_gives_a_value_of_its_type_or_says_what_is_missing(name):
    random_ = Random(f"any facts {name}")
    declared, found = VOCABULARY.names[name], 0
    for keep in (1.0, 1.0, 0.97, 0.9, 0.5) * 4:
        world_ = snapshot(random_, keep)
        asked: Facts = facts("order", random_, 1, id="O", symbol=random_.choice(SYMBOLS), account="A", trader="T")
        seen = project(world_, VOCABULARY, "A", (asked,))
        for subject in subjects(name, seen):
            try:
                value = REGISTRY[name](seen, subject)
            except MissingFactError:
                continue
            found += 1
            assert isinstance(value, TYPES[declared.unit.kind]), value
            assert declared.unit.kind is not Kind.ENUM or value in declared.unit.values
            assert declared.unit.kind is not Kind.DATE or not isinstance(value, datetime)
            if isinstance(value, Fraction):
                assert (value * 10**declared.scale).denominator == 1, "never finer than its declared scale"
    assert found > 0, "the measure was never worked out"


# ---- read by rules -------------------------------------------------------------------------------------------------

READING: dict[str, str] = {
    "order.worst_position": "abs(order.worst_position) <= 10_000_000",
    "order.affordable_quantity": "order.quantity <= order.affordable_quantity",
    "account.equity": "account.equity >= order.notional",
    "account.maintenance_requirement": "account.equity >= account.maintenance_requirement",
    "market.move": "abs(market.move) <= 10%",
    "order.on_tick": "order.on_tick",
    "order.identical": "order.identical < 2",
    "instrument.reference_price": "order.price <= instrument.reference_price * 110%",
}
EXTREME: dict[str, dict[str, str]] = {
    "ordinary": {},
    "the largest holding at the largest price": {"mark": "2000000"},
    "the smallest price": {"mark": "0.0001", "bid": "0.0001", "ask": "0.0001"},
    "a move of ten thousand times": {"last_trade": "2000000"},
}


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("extreme", EXTREME)
def test_rules_on_measures_are_decided_alike_beyond_the_bounds_of_given_facts(name, extreme):
    """Sums over holdings leave what the vocabulary declares for one fact: then, too, both evaluators agree."""
    book = RuleBook.of(cases.rule("r", "order", "", READING[name]), VOCABULARY)
    plain = world(
        account={"cash": "1000000000000"},
        positions=[position(s, 100_000_000) for s in SYMBOLS],
        working_orders=[working("W", "ACME", "buy", 10_000_000)],
    )
    market = [{"symbol": s, "window_start_price": "0.0001", "window_start_time": "2026-06-15T11:59:00-04:00"}
              for s in SYMBOLS]  # fmt: skip
    listed = [{**i, "last_trade": "100", "tick": "0.01", **EXTREME[extreme]} for i in plain["instruments"]]
    document = {**plain, "instruments": listed, "market": market}
    quick, reference = (Desk(book, document, VOCABULARY, make) for make in (fast, slow))
    orders = [order("buy", n, id=f"{n}", trader="T") for n in (1, 30)]
    for _ in range(2):
        found = [quick.check(o) for o in orders]
        expected = [reference.check(o) for o in orders]
        assert [(d.outcome, d.reason) for d in found] == [(d.outcome, d.reason) for d in expected]
        assert Outcome.UNDECIDED not in {d.outcome for d in expected} or name == "account.maintenance_requirement"
        for desk in (quick, reference):
            desk.apply(AccountChanged("A", {"account.cash": Fraction(0)}))
            desk.apply(InstrumentChanged("ACME", {"instrument.bid": Fraction("0.0001")}))
