"""What rules depend on, and which events make whom due: each case said by hand."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from lexorder.api.service.due import TRADE, WHOLE, Due, Dues
from lexorder.api.service.watched import Watch, Watched, is_watched, watched
from lexorder.engine import events as e
from lexorder.engine.live import Live
from tests.service.test_due import Watcher, two_accounts
from tests.worlds import VOCABULARY, book, position, working, world

DAY = date(2026, 6, 15)

ISSUER = """
rule: issuer
title: Issuer
for_each: issuer
require: sum(abs(position.after.value)) <= 50% * account.nav
"""
GROSS = """
rule: gross
title: Gross
for_each: account
require: sum(abs(position.after.value)) <= account.nav
"""
VOLUME = """
rule: volume
title: Volume
for_each: instrument
require: sum(working_order.filled) <= 10% * instrument.adv
"""
AFTER = """
rule: after
title: Of net assets in any state
for_each: issuer
require: sum(abs(position.after.value)) <= 60% * account.after.nav
"""
TIMED = """
rule: noon
title: Nothing held after noon
for_each: position
require: clock.time < 12:00 or position.after.quantity == 0
"""
MARGIN = """
rule: margin
title: Margin accounts hold 10 at most
for_each: position
when: account.kind == margin and position.symbol in lists.watch
require: position.after.quantity <= 10
"""


def known(*rules: str) -> Watched:
    """What is watched of these rules."""
    return watched(book(*rules), DAY, VOCABULARY)


def one(rule: str) -> Watch:
    """The only one."""
    (watch,) = known(rule).watches
    return watch


@pytest.mark.parametrize(
    ("rule", "local", "timed", "whole", "switches"),
    [
        (ISSUER, True, False, False, 0),
        (GROSS, False, False, False, 0),
        (VOLUME, True, False, False, 0),
        (AFTER, False, False, False, 0),
        (TIMED, True, True, False, 0),
        (MARGIN, True, False, False, 1),
    ],
)
def test_what_a_rule_depends_on(rule, local, timed, whole, switches):
    watch = one(rule)
    assert (watch.local, watch.timed, watch.whole, len(watch.switches)) == (local, timed, whole, switches)


def test_names_are_all_that_is_read_with_what_sorts_and_what_dates():
    names = one(ISSUER).names
    assert {"instrument.mark", "instrument.mark_time", "instrument.issuer", "account.nav", "position.*"} <= names
    assert not {"instrument.adv", "account.cash"} & names


@pytest.mark.parametrize(
    ("phases", "subject", "expected"),
    [
        ("[monitor]", "position", True),
        ("[pre_trade]", "position", True),
        ("[rebalance]", "position", False),
        ("[pre_trade]", "order", False),
    ],
)
def test_which_rules_are_watched(phases, subject, expected):
    required = "order.quantity <= 9" if subject == "order" else "abs(position.after.quantity) <= 9"
    text = f"""
    rule: r
    title: R
    phases: {phases}
    for_each: {subject}
    require: {required}
    """
    (rule,) = book(text).on(DAY)
    assert is_watched(rule) is expected


# ---- what is due -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "expected"),
    [
        (Due(0, 0, everything=True), (WHOLE, WHOLE, WHOLE, WHOLE)),
        (Due(0, 0, timed=True), (None, None, None, WHOLE)),
        (Due(0, 0, names={"account.nav"}), (WHOLE, WHOLE, None, None)),
        (Due(0, 0, symbols={"ACME"}, of_symbols={"instrument.mark"}), ({"ACME"}, WHOLE, None, None)),
        (Due(0, 0, symbols={"ACME"}, of_symbols={"instrument.adv"}), (None, None, {"ACME"}, None)),
        (Due(0, 0, symbols={"ACME"}, of_symbols={TRADE}), ({"ACME"}, WHOLE, {"ACME"}, {"ACME"})),
        (Due(0, 0, names={"account.cash"}), (None, None, None, None)),
    ],
)
def test_what_is_asked_of_a_rule(due, expected):
    assert tuple(due.asks(one(rule)) for rule in (ISSUER, GROSS, VOLUME, TIMED)) == expected


def dues(*rules: str, **sections: Any) -> Dues:
    """Of accounts A (400 ACME, 100 BETA) and B (300 ACME)."""
    desk = Watcher(book(*rules), two_accounts(**sections)).desk
    return Dues(desk.live, known(*rules), lambda _account: True)


MARKED = {"instrument.mark": Fraction(101)}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (e.InstrumentChanged("ACME", MARKED), {"A", "B"}),
        (e.InstrumentChanged("BETA", MARKED), {"A"}),
        (e.InstrumentChanged("COCO", MARKED), set()),
        (e.InstrumentChanged("COCO", {"instrument.adv": Fraction(5)}), {"A", "B"}),  # `volume` is for every instrument
        (e.InstrumentChanged("COCO", {"instrument.sector": "Food"}), {"A", "B"}),
        (e.AccountChanged("B", {"account.nav": Fraction(5)}), {"B"}),
        (e.PositionSet("B", "COCO", {"position.before.quantity": Fraction(5)}), {"B"}),
        (e.Fill("A", "COCO", "buy", Fraction(5), Fraction(-500)), {"A"}),
        (e.WorkingRemoved("W"), {"A"}),
        (e.WorkingRemoved("nobody knows it"), {"A", "B"}),
        (e.SingleChanged({"clock.now": DAY}), set()),
        (e.SingleChanged({"fx.EUR": Fraction(2)}), {"A", "B"}),
        (SimpleNamespace(unheard="of"), {"A", "B"}),
    ],
)
def test_whom_an_event_makes_due(event, expected):
    found = dues(ISSUER, GROSS, VOLUME, TIMED, working_orders=[working("W", "BETA", "buy", 1)])
    found.sort([event], 1, 0.0)
    assert set(found.touched) == expected
    assert len(found) == len(expected)


def test_only_its_own_accounts_are_due_to_a_worker():
    desk = Watcher(book(GROSS), two_accounts()).desk
    found = Dues(desk.live, known(GROSS), lambda account: account == "B")
    found.all(0, 0.0, "start")
    found.sort([e.InstrumentChanged("ACME", MARKED), e.InstrumentChanged("BETA", MARKED)], 1, 0.0)
    assert {*found.touched, *found.waiting} == {"B"}


def test_what_was_read_of_other_instruments_counts_as_held():
    found = dues(GROSS)
    found.depends("B", ["COCO"], everything=False)
    found.sort([e.InstrumentChanged("COCO", MARKED)], 1, 0.0)
    assert set(found.touched) == {"B"}
    found.depends("A", [], everything=True)
    found.sort([e.InstrumentChanged("BETA", MARKED)], 2, 0.0)
    assert set(found.touched) == {"A", "B"}


def test_what_is_taken_is_no_longer_due_and_what_is_given_back_is_joined():
    found = dues(GROSS)
    found.all(3, 5.0, "start")
    found.sort([e.AccountChanged("A", {"account.nav": Fraction(1)})], 7, 9.0)
    first = found.take("A")
    assert first is not None
    assert (first.since, first.at, first.everything, first.changes) == (3, 5.0, True, {"start", "accounts"})
    assert found.of("A") is None
    found.sort([e.Fill("A", "ACME", "buy", Fraction(5), Fraction(-500))], 8, 9.5)
    found.give_back("A", first)
    again = found.of("A")
    assert again is not None
    assert (again.since, again.symbols, again.changes) == (3, {"ACME"}, {"start", "accounts", "fills"})
    assert found.take("nobody") is None


def test_a_mark_that_becomes_too_old_makes_its_holders_due():
    document = world(positions=[position("ACME", 1)])
    document["instruments"][0]["mark_time"] = document["time"]
    watcher = Watcher(book(ISSUER), document)
    live: Live = watcher.desk.live
    for minutes, expected in ((15, set()), (16, {"A"})):
        moment = watcher.desk.time.replace(minute=minutes, second=0)
        watcher.desk.apply(e.SingleChanged({"clock.now": moment}))
        watcher.dues.sort(watcher.told, 1, 0.0)
        assert set(watcher.dues.touched) == expected
    assert live.snapshot.time == watcher.desk.time
