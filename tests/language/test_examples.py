"""Inline tests: the worlds they make, the answers they compare, and what they leave untried."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction

import pytest

from lexorder.engine.coverage import branches, gaps
from lexorder.engine.errors import SnapshotError
from lexorder.engine.examples import Result, run
from lexorder.engine.given import World, world
from lexorder.engine.render import definitions, fold, render
from lexorder.engine.rulebook import RuleBook
from tests.worlds import VOCABULARY

DAY = date(2026, 6, 15)
SIZE = "- rule: r\n  title: R\n  require: order.quantity <= 500\n"
LATER = SIZE + "  effective: {from: 2030-01-01}\n"
WEIGHT = "- rule: r\n  title: R\n  for_each: issuer\n  require: sum(abs(position.after.value)) <= 5% * account.nav\n"
CRASH = (
    "- rule: r\n  title: R\n"
    "  for_each: instrument\n"
    "  when: market.return_10s <= -2%\n"
    "  then: [{exit: {fraction: 50%}}, {alert: critical}]\n"
)
WILD = "- rule: r\n  title: R\n  when: market.volatility > 5%\n  derive: {market.regime: VOLATILE}\n"


def results(rule: str, *tests: str) -> list[Result]:
    text = rule + "  tests:\n" + "".join(f"    - {{{test}}}\n" for test in tests)
    return list(run(RuleBook.of(text, VOCABULARY), "r"))


def difference(rule: str, test: str) -> str:
    (found,) = results(rule, test)
    return found.difference


def made(given: Mapping[str, object], rule: str = SIZE) -> World:
    (parsed,) = RuleBook.of(rule, VOCABULARY).on(DAY)
    return world(given, parsed, VOCABULARY)


# ---- worlds --------------------------------------------------------------------------------------


def test_what_is_not_given_takes_the_example():
    here = made({})
    (order,) = here.orders
    assert order["order.quantity"] == 100
    assert here.account == "ACC-1"
    assert here.snapshot.accounts["ACC-1"]["account.nav"] == 1_000_000
    assert here.snapshot.instruments["ACME"]["instrument.mark"] == 100
    assert here.snapshot.time.isoformat() == "2026-06-15T12:00:00-04:00"


def test_what_is_given_holds():
    here = made({"account": {"nav": "5"}, "order": {"quantity": "7", "symbol": "BETA"}, "trader": {"role": "admin"}})
    assert here.orders[0]["order.quantity"] == 7
    assert here.snapshot.accounts["ACC-1"]["account.nav"] == 5
    assert set(here.snapshot.instruments) == {"BETA"}
    assert here.snapshot.traders["T-1"]["trader.role"] == "admin"


def test_numbers_of_an_example_are_written_as_in_a_rule():
    here = made(
        {"account": {"nav": "2_500_000"}, "order": {"quantity": "1_000", "id": "1_000"}, "firm": {"collar": "1_0%"}}
    )
    assert here.snapshot.accounts["ACC-1"]["account.nav"] == 2_500_000
    assert here.orders[0]["order.quantity"] == 1000
    assert here.orders[0]["order.id"] == "1_000", "a name is no number"
    assert here.snapshot.single["firm.collar"] == Fraction(1, 10)
    position = made({"position": {"symbol": "ACME", "quantity": "1_000", "price": "1_250.5"}}).snapshot
    assert position.positions["ACC-1"]["ACME"]["position.before.quantity"] == 1000
    assert position.instruments["ACME"]["instrument.mark"] == Fraction("1250.5")


def test_an_instrument_for_every_symbol_mentioned():
    here = made(
        {
            "positions": [{"symbol": "BETA", "quantity": "5"}],
            "working_orders": [{"symbol": "COCO"}],
            "pairs": [{"first": "DADA", "second": "EVE"}],
        }
    )
    assert set(here.snapshot.instruments) == {"ACME", "BETA", "COCO", "DADA", "EVE"}
    assert here.snapshot.instruments["BETA"]["instrument.issuer"] == "BETA", "others are their own issuer"
    assert here.snapshot.positions["ACC-1"]["BETA"]["position.before.quantity"] == 5


def test_bid_and_ask_follow_the_mark():
    given = {"instrument": {"mark": "50"}}
    facts = made(given).snapshot.instruments["ACME"]
    assert [facts[f"instrument.{n}"] for n in ("mark", "bid", "ask")] == [50, 50, 50]
    facts = made({"instrument": {"mark": "50", "bid": "49"}}).snapshot.instruments["ACME"]
    assert [facts[f"instrument.{n}"] for n in ("mark", "bid", "ask")] == [50, 49, 50]
    facts = made({"position": {"symbol": "ACME", "price": "40"}}).snapshot.instruments["ACME"]
    assert facts["instrument.mark"] == 40


def test_several_orders_get_identifiers():
    here = made({"orders": [{"quantity": "1"}, {"quantity": "2", "id": "MINE"}, {"side": "sell"}]})
    assert [o["order.id"] for o in here.orders] == ["O-1", "MINE", "O-3"]


def test_another_account_is_everywhere():
    here = made({"account": {"id": "ACC-7", "nav": "5"}, "positions": [{"symbol": "BETA", "quantity": "5"}]})
    assert here.account == "ACC-7"
    assert here.orders[0]["order.account"] == "ACC-7"
    assert set(here.snapshot.positions) == {"ACC-7"}


@pytest.mark.parametrize(
    ("clock", "now"),
    [
        ({"date": "2011-07-13"}, "2011-07-13T12:00:00-04:00"),
        ({"time": "09:31"}, "2026-06-15T09:31:00-04:00"),
        ({"date": "2026-12-01", "time": "09:31:15"}, "2026-12-01T09:31:15-04:00"),
        ({"now": "2026-03-02T10:00:00-05:00"}, "2026-03-02T10:00:00-05:00"),
        ({"date": "2027-01-01"}, "2027-01-01T12:00:00-04:00"),
    ],
)
def test_clocks(clock, now):
    assert made({"clock": clock}).snapshot.time.isoformat() == now


@pytest.mark.parametrize(
    "given",
    [
        {"ordr": {}},
        {"order": {"quantiy": "5"}},
        {"order": {"quantity": "0"}},
        {"order": {"quantity": "many"}},
        {"order": {"notional": "5"}},
        {"order": [{"quantity": "5"}]},
        {"order": {}, "orders": []},
        {"orders": {"quantity": "5"}},
        {"order": "5"},
        {"account": {"nav": "-5"}},
        {"lists": {"restrictd": "x"}},
        {"position": {"symbol": "acme"}},
    ],
)
def test_worlds_that_are_refused(given):
    with pytest.raises(SnapshotError):
        made(given)


# ---- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "test"),
    [
        (SIZE, "given: {order: {quantity: 500}}, expect: pass"),
        (SIZE, "given: {order: {quantity: 501}}, expect: {fail: hard}"),
        (SIZE, "given: {order: {quantity: 501}}, expect: {fail: hard, max_order: 500}"),
        (SIZE, "given: {order: {quantity: 501}}, expect: {fail: hard, observed: 501, limit: 500}"),
        (SIZE + "  severity: warn\n", "given: {order: {quantity: 501}}, expect: warn"),
        (SIZE + "  severity: warn\n", "given: {order: {quantity: 501}}, expect: {fail: warn}"),
        (SIZE + "  severity: soft\n", "given: {order: {quantity: 501}}, expect: {fail: soft}"),
        (SIZE + "  when: order.side == sell\n", "expect: not_applicable"),
        (SIZE + "  effective: {from: 2030-01-01}\n", "given: {order: {quantity: 501}}, expect: not_applicable"),
        (
            SIZE + "  effective: {from: 2030-01-01}\n",
            "given: {clock: {date: 2030-01-02}, order: {quantity: 501}}, expect: {fail: hard}",
        ),
        (WEIGHT, "given: {account: {nav: 100000}, order: {quantity: 50}}, expect: pass"),
        (
            WEIGHT,
            "given: {account: {nav: 100000}, order: {quantity: 51}}, expect: {fail: hard, observed: 5.1%, limit: 5%}",
        ),
        (
            WEIGHT,
            "given: {account: {nav: 100000}, order: {quantity: 51}}, expect: {fail: hard, max_order: 50}",
        ),
        (
            WEIGHT,
            "given: {account: {nav: 1}, position: {quantity: 80}, order: {side: sell, quantity: 5}}, expect: passive",
        ),
        (SIZE.replace("order.quantity <= 500", "order.price > 5"), "expect: undecided"),
        (CRASH, "given: {market: {return_10s: -2%}}, expect: fires"),
        (CRASH, "given: {market: {return_10s: -1%}}, expect: silent"),
        (CRASH, "given: {market: {return_10s: -1%}}, expect: not_applicable"),
        (CRASH, "given: {market: {return_10s: -2%}}, expect: {fires: {exit: {fraction: 50%}}}"),
        (CRASH, "given: {market: {return_10s: -2%}}, expect: {fires: {alert: critical}}"),
        (WILD, "given: {market: {volatility: 6%}}, expect: {derive: {market.regime: VOLATILE}}"),
        (WILD, "given: {market: {volatility: 5%}}, expect: not_applicable"),
    ],
)
def test_as_expected(rule, test):
    assert difference(rule, test) == ""


@pytest.mark.parametrize(
    ("rule", "test", "part"),
    [
        (SIZE, "given: {order: {quantity: 501}}, expect: pass", "expected pass, got fail hard"),
        (SIZE, "given: {order: {quantity: 500}}, expect: {fail: hard}", "expected fail hard, got pass"),
        (SIZE, "given: {order: {quantity: 501}}, expect: {fail: soft}", "expected fail soft, got fail hard"),
        (
            SIZE,
            "given: {order: {quantity: 501}}, expect: {fail: hard, max_order: 499}",
            "expected max_order 499, got 500",
        ),
        (
            SIZE,
            "given: {order: {quantity: 501}}, expect: {fail: hard, observed: 500}",
            "expected observed 500, got 501",
        ),
        (SIZE, "given: {order: {quantity: 501}}, expect: {fail: hard, limit: 5}", "expected limit 5, got 500"),
        (SIZE, "given: {order: {quantity: 501}}, expect: {fail: hard, most: 5}", "is not understood"),
        (SIZE, "given: {order: {quantity: 501}}, expect: {fail: hard, max_order: many}", "whole number"),
        (SIZE, "given: {order: {quantiy: 501}}, expect: pass", "did you mean `quantity`"),
        (
            SIZE.replace("order.quantity <= 500", "order.price > 5"),
            "expect: pass",
            "expected pass, got undecided, because",
        ),
        (SIZE + "  severity: warn\n", "expect: warn", "expected warn, got pass"),
        (CRASH, "given: {market: {return_10s: -2%}}, expect: silent", "expected silent, got fires"),
        (CRASH, "expect: {fires: {alert: critical}}", "expected fires, got silent"),
        (
            CRASH,
            "given: {market: {return_10s: -2%}}, expect: {fires: {exit: {fraction: 40%}}}",
            "expected exit fraction 40%, got 0.5",
        ),
        (CRASH, "given: {market: {return_10s: -2%}}, expect: {fires: {halt: {for: 1 h}}}", "does not have"),
        (WILD, "given: {market: {volatility: 6%}}, expect: not_applicable", "expected not_applicable, got derive"),
        (
            WILD,
            "given: {market: {volatility: 6%}}, expect: {derive: {market.regime: NORMAL}}",
            "got market.regime: VOLATILE",
        ),
        (WILD, "given: {market: {volatility: 5%}}, expect: {derive: {market.regime: VOLATILE}}", "got not_applicable"),
    ],
)
def test_differences_are_told(rule, test, part):
    assert part in difference(rule, test)


def test_each_example_is_judged_by_the_version_of_its_date():
    rule = (
        "- rule: r\n  title: R\n  let: {limit: {2026-01-01: 500, 2027-01-01: 400}}\n"
        "  require: order.quantity <= limit\n"
    )
    found = results(
        rule,
        "given: {order: {quantity: 450}}, expect: pass",
        "given: {clock: {date: 2027-01-01}, order: {quantity: 450}}, expect: {fail: hard, max_order: 400}",
    )
    assert [r.difference for r in found] == ["", ""]


def test_a_result_knows_where_its_example_stands():
    (found,) = results(SIZE, "expect: pass")
    assert found.span.line == 5
    assert found.outcome == "pass"


# ---- what is left untried ------------------------------------------------------------------------


def untried(rule: str, *tests: str) -> list[str]:
    text = rule + "  tests:\n" + "".join(f"    - {{{test}}}\n" for test in tests)
    book = RuleBook.of(text, VOCABULARY)
    parsed = book.versions[0].items[-1][1]
    return [gap.what for gap in gaps(book, parsed, run(book, "r"))]


def test_a_rule_tried_both_ways_has_no_gap():
    assert (
        untried(
            SIZE,
            "given: {order: {quantity: 500}}, expect: pass",
            "given: {order: {quantity: 501}}, expect: {fail: hard}",
        )
        == []
    )


def test_outcomes_never_seen():
    assert untried(SIZE, "expect: pass") == ["no example in which the rule fails"]
    assert untried(SIZE, "given: {order: {quantity: 501}}, expect: {fail: hard}") == [
        "no example in which the rule passes"
    ]
    assert untried(CRASH, "expect: silent")[0] == "no example in which the rule fires"
    assert untried(WILD, "given: {market: {volatility: 6%}}, expect: {derive: {market.regime: VOLATILE}}") == [
        "no example in which the rule stays silent",
        "no example in which `when` `market.volatility > 5%` is false",
    ]


def test_sides_of_or_and_conditions_of_if():
    rule = (
        "- rule: r\n  title: R\n"
        "  require: order.quantity <= (if order.side == buy then 500 else 50) or order.has_locate\n"
    )
    gaps_found = untried(
        rule, "given: {order: {quantity: 500}}, expect: pass", "given: {order: {quantity: 501}}, expect: {fail: hard}"
    )
    assert gaps_found == [
        "no example in which the side of an `or` `order.has_locate` is true",
        "no example in which the condition of an `if` `order.side == buy` is false",
    ]


def test_branches_inside_aggregates_are_tried_by_members():
    rule = (
        "- rule: r\n  title: R\n  for_each: account\n"
        '  require: sum(if instrument.sector == "X" then position.before.quantity else 0) <= 5\n'
    )
    one = "given: {positions: [{symbol: ACME, quantity: 9}]}, expect: pass"
    other = "given: {instrument: {sector: X}, positions: [{symbol: ACME, quantity: 9}]}, expect: {fail: hard}"
    assert untried(rule, one, other) == []
    assert untried(rule, one)[1:] == ['no example in which the condition of an `if` `instrument.sector == "X"` is true']


def test_branches_that_turn_as_orders_fill():
    rule = (
        "- rule: r\n  title: R\n"
        "  for_each: position\n"
        "  require: if position.after.quantity > 5 then account.nav > 9 else true\n"
    )
    assert untried(rule, "given: {order: {quantity: 9}}, expect: pass") == ["no example in which the rule fails"]


def test_definitions_are_not_looked_into():
    rule = "- rule: r\n  title: R\n  require: order.notional <= 5\n"
    (parsed,) = RuleBook.of(rule, VOCABULARY).on(DAY)
    assert branches(parsed, definitions(VOCABULARY)) == ()


def test_branches_are_what_was_written():
    rule = (
        "- rule: r\n  title: R\n"
        "  when: order.side == buy and (order.has_locate or order.quantity < 5)\n"
        "  require: order.notional <= 5\n"
    )
    (parsed,) = RuleBook.of(rule, VOCABULARY).on(DAY)
    known = definitions(VOCABULARY)
    told = [(b.kind, render(fold(b.condition, known))) for b in branches(parsed, known)]
    assert told == [
        ("`when`", "order.side == buy"),
        ("`when`", "order.has_locate or order.quantity < 5"),
        ("the side of an `or`", "order.has_locate"),
        ("the side of an `or`", "order.quantity < 5"),
    ]
