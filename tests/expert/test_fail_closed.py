"""Whatever fails in the expert, the desk says no: every branch, through a real desk with both evaluators.

Each case plants one fault in CLIPS, in a session or in the expert's facts, and asks for an order that both evaluators
approve while nothing is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.decision import Decision, Outcome
from lexorder.engine.desk import Desk, fast
from lexorder.engine.events import AccountChanged, InstrumentChanged, SingleChanged
from lexorder.engine.expert import factmemory, rowplan
from lexorder.engine.expert.book import ExpertBook
from lexorder.engine.expert.clipslib import lib
from lexorder.engine.expert.session import Session
from tests.worlds import book, desk, order, position, world

BOOK = book(
    "rule: size\ntitle: T\nseverity: hard\nrequire: order.quantity <= 50",
    "rule: weight\ntitle: T\nseverity: hard\nfor_each: issuer\n"
    "require: sum(abs(position.after.value)) <= 5% * account.nav",
    "rule: pairs\ntitle: T\nseverity: hard\nfor_each: pair\nrequire: sum(position.after.value) <= 50% * account.nav",
    "rule: regime\ntitle: T\nfor_each: market\nwhen: market.volatility > 5%\nderive: {market.regime: VOLATILE}",
    "rule: calm\ntitle: T\nseverity: hard\nwhen: market.regime == VOLATILE\nrequire: order.quantity <= 5",
    "rule: names\ntitle: T\nseverity: hard\nfor_each: account\n"
    "require: count(position where position.after.quantity != 0) <= 9",
)
PAIRS = [{"id": "ACME/BETA", "first": "ACME", "second": "BETA", "correlation": "0.9"}]


def start() -> tuple[Desk, ExpertBook]:
    """A desk that has just approved an order, and its expert."""
    document = world(pairs=PAIRS, positions=[position("BETA", 1)], market=[{"symbol": "ACME", "volatility": "1%"}])
    made: list[ExpertBook] = []

    def noting(*given: Any) -> Any:
        by = fast(*given)
        assert isinstance(by.second, ExpertBook)
        made.append(by.second)
        return by

    live = desk(BOOK, document, noting)
    decision = live.check(order(id="FIRST"))
    assert decision.approved
    assert decision.verdicts == 5
    return live, made[0]


def sessions(expert: ExpertBook) -> dict[str, Session]:
    inference = expert.rest.inference
    assert inference is not None
    return {"row": expert.rows.session, "rest": expert.rest.session, "chain": inference.session}


def build(session: Session, text: str) -> None:
    assert lib.Build(session.environment, text.encode()) == lib.BE_NO_ERROR


Fault = Callable[[Desk, ExpertBook], None]


def planted(where: str, text: str) -> Fault:
    """One more construct in one of the sessions."""

    def plant(live: Desk, expert: ExpertBook) -> None:
        del live
        build(sessions(expert)[where], text)

    return plant


def dropped(where: str, rule: str) -> Fault:
    """One construct less."""

    def drop(live: Desk, expert: ExpertBook) -> None:
        del live
        environment = sessions(expert)[where].environment
        found = lib.FindDefrule(environment, rule.encode())
        assert lib.Undefrule(found, environment)

    return drop


def closed(where: str) -> Fault:
    def close(live: Desk, expert: ExpertBook) -> None:
        del live
        sessions(expert)[where].close()

    return close


def unknown_to_the_expert(live: Desk, expert: ExpertBook) -> None:
    """An event the expert has never seen: its facts are not those of the desk."""
    event = AccountChanged("A", {"account.nav": Fraction(100)})
    live.live.apply(event)
    for seat in live._seats.values():
        seat.by.exact.apply(event)
    del expert


def seen_by_the_expert_alone(live: Desk, expert: ExpertBook) -> None:
    del live
    expert.apply(AccountChanged("A", {"account.nav": Fraction(100)}))


def withdrawn(live: Desk, expert: ExpertBook) -> None:
    del live
    expert.apply(InstrumentChanged("ACME", {"instrument.mark": None}))  # type: ignore[dict-item]


def price_of_tomorrow(live: Desk, expert: ExpertBook) -> None:
    """The expert's clock alone runs on: prices are too old for it."""
    now = live.snapshot.time
    expert.apply(InstrumentChanged("ACME", {"instrument.mark_time": now}))
    expert.apply(SingleChanged({"clock.now": now + timedelta(hours=1)}))


def never_ending(live: Desk, expert: ExpertBook) -> None:
    """Each firing makes the next one."""
    del live
    for text in (
        "(deftemplate tick (slot n))",
        "(defrule begin (row) => (assert (tick (n 0))))",
        "(defrule more ?t <- (tick (n ?n)) => (retract ?t) (assert (tick (n (+ ?n 1)))))",
    ):
        build(expert.rows.session, text)


def fewer_rules(live: Desk, expert: ExpertBook) -> None:
    del live
    expert._passed = type(expert._passed)(frozenset(), expert._passed.count - 1)


def zero_firings(live: Desk, expert: ExpertBook) -> None:
    del live
    expert.rows.session.firings_max = 0


def foreign_facts(live: Desk, expert: ExpertBook) -> None:
    """Memory is written to another template than the row's."""
    del live
    session = expert.rows.session
    build(session, "(deftemplate other (slot a))")
    expert.rows.memory.template = factmemory.lib.FindDeftemplate(expert.rows.memory.environment, b"finding")
    expert.rows.memory.bytes = 0


LOOP = "(while TRUE do (bind ?x 1))"
FAULTS: dict[str, tuple[Fault, str]] = {
    "the row's last rule is gone": (dropped("row", "row-done"), "ENGINE_FAULT"),
    "the last rule of the others is gone": (dropped("rest", "order-done"), "ENGINE_FAULT"),
    "a halt in the row": (planted("row", "(defrule p (declare (salience 9)) (row) => (halt))"), "ENGINE_FAULT"),
    "a halt in the others": (planted("rest", "(defrule p (declare (salience 9)) (order) => (halt))"), "ENGINE_FAULT"),
    "a division by nought": (planted("row", "(defrule p (row (quantity ?q)) => (div ?q 0))"), "ENGINE_FAULT"),
    "one in a condition": (planted("row", "(defrule p (row (quantity ?q&:(> (div ?q 0) 1))) =>)"), "ENGINE_FAULT"),
    "one in the others": (planted("rest", "(defrule p (order (ctx ?q&:(> (div ?q 0) 1))) =>)"), "ENGINE_FAULT"),
    "a loop in the row": (planted("row", f"(defrule p (row) => {LOOP})"), "ENGINE_FAULT"),
    "a loop in the others": (planted("rest", f"(defrule p (order) => {LOOP})"), "ENGINE_FAULT"),
    "rules that fire for ever": (never_ending, "ENGINE_FAULT"),
    "a finding out of the blue": (
        planted("row", "(defrule p (row) => (assert (finding (rule size) (subject *this*) (status breach))))"),
        "EVALUATORS_DISAGREE",
    ),
    "a finding of no status": (
        planted("row", "(defrule p (row) => (assert (finding (rule size) (subject *this*) (status great))))"),
        "ENGINE_FAULT",
    ),
    "a finding of no rule": (
        planted("row", "(defrule p (row) => (assert (finding (rule nosuch) (subject *this*) (status breach))))"),
        "ENGINE_FAULT",
    ),
    "a finding of the others": (
        planted("rest", "(defrule p (order) => (assert (finding (rule pairs) (subject x) (status undecided))))"),
        "EVALUATORS_DISAGREE",
    ),
    "a session that is closed": (closed("row"), "ENGINE_FAULT"),
    "another that is closed": (closed("rest"), "ENGINE_FAULT"),
    "an event the expert missed": (unknown_to_the_expert, "EVALUATORS_DISAGREE"),
    "an event only the expert saw": (seen_by_the_expert_alone, "EVALUATORS_DISAGREE"),
    "a rule that is not counted": (fewer_rules, "VERDICT_MISSING"),
    "no firing allowed": (zero_firings, "ENGINE_FAULT"),
    "a row that is no row": (foreign_facts, "ENGINE_FAULT"),
}


def asked(live: Desk, name: str) -> Decision:
    return live.check(order(id=name))


@pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_fault_approves_nothing(fault, reason):
    live, expert = start()
    fault(live, expert)
    for number in range(2):
        decision = asked(live, f"O{number}")
        assert decision.outcome is Outcome.UNDECIDED
        assert not decision.approved
        assert reason in {r.reason for r in decision.reports}


@pytest.mark.parametrize("fault", [withdrawn, price_of_tomorrow], ids=["withdrawn", "too old"])
def test_a_fact_the_expert_lacks_is_left_to_the_exact_verdict(fault):
    """Its rule is switched off and the exact verdict stands, as for any value a row has not."""
    live, expert = start()
    fault(live, expert)
    _, off = expert.rows.packed(live._facts(order()), expert.live.accounts["A"])
    assert "weight" in expert.rows.off_rules(off)
    assert asked(live, "O").approved
    assert not live.check(order(id="P", quantity=51)).approved


def test_a_missing_fact_is_undecided_for_both():
    document = world(pairs=PAIRS)
    del document["instruments"][0]["mark"]
    decision = desk(BOOK, document, fast).check(order())
    assert decision.outcome is Outcome.UNDECIDED
    assert {r.reason for r in decision.reports} == {"MISSING_FACT"}


def test_another_thread_gets_no_approval():
    live, _ = start()
    found: list[Decision] = []
    thread = threading.Thread(target=lambda: found.append(asked(live, "O")))
    thread.start()
    thread.join()
    assert [(d.outcome, d.reports[0].reason) for d in found] == [(Outcome.UNDECIDED, "ENGINE_FAULT")]
    assert asked(live, "P").approved, "the owner goes on"


@pytest.mark.parametrize(
    "text",
    [
        "(defrule p (row (quantity 7)) => (while TRUE do (bind ?x 1)))",
        "(defrule p (row (quantity 7)) => (div 1 0))",
        "(defrule p (declare (salience 9)) (row (quantity 7)) => (halt))",
    ],
)
def test_after_a_fault_of_one_order_the_next_is_decided(text):
    live, expert = start()
    build(expert.rows.session, text)
    assert live.check(order(id="O", quantity=7)).outcome is Outcome.UNDECIDED
    assert live.check(order(id="P", quantity=8)).approved
    assert live.check(order(id="Q", quantity=51)).outcome is Outcome.REJECT


def test_a_message_of_a_fault_tells_nothing_of_its_text():
    """Names of things in CLIPS are nobody's business outside."""
    live, expert = start()
    build(expert.rows.session, '(defrule p (row) => (printout stderr "SECRET" crlf))')
    decision = asked(live, "O")
    assert decision.outcome is Outcome.UNDECIDED
    assert "SECRET" not in "".join(r.message for r in decision.reports)


@pytest.mark.parametrize("seed", range(3))
def test_orders_on_the_limit_while_a_rule_is_spoilt(monkeypatch, seed):
    """A spoilt construct is found on the limit at the latest: nothing beyond it is ever approved."""
    real = rowplan._rule
    spoils = [("(<= ", "(< "), ("(> ", "(>= "), (" 50", " 51")]
    monkeypatch.setattr(rowplan, "_rule", lambda r, sides: real(r, sides).replace(*spoils[seed]))
    live = desk(BOOK, world(pairs=PAIRS), fast)
    outcomes = {q: live.check(order(id=f"O{q}", quantity=q)).outcome for q in (1, 49, 50, 51, 52)}
    assert Outcome.APPROVE not in (outcomes[51], outcomes[52])
    assert Outcome.UNDECIDED in outcomes.values()
