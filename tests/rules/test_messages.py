"""What traders read: every message of the library filled in, for every failing example."""

from __future__ import annotations

import pytest

from lexorder.engine.compile import CompiledBook
from lexorder.engine.decide import ENGINE, Evaluators, InForce, decide
from lexorder.engine.decision import Decision, Outcome
from lexorder.engine.examples import case_of
from lexorder.engine.live import Live
from lexorder.engine.reference import ReferenceExpert
from lexorder.engine.rule import Example, Rule, Severity
from lexorder.engine.verdict import Status
from tests.rules.library import book, order, rule, words, world
from tests.rules.test_library import DEMANDS, outcome

FAILING = [(r, e) for r in DEMANDS for e in r.examples if outcome(e.expect) == "fail"]
BLOCKED = {Severity.HARD: Outcome.REJECT, Severity.SOFT: Outcome.NEEDS_OVERRIDE, Severity.WARN: Outcome.APPROVE}


def decided(named: Rule, example: Example) -> tuple[Rule, Decision]:
    """The decision on an example's orders by the one rule, in the version in force on the example's date.

    The rules that derive facts are there too, since the one rule may read what they derive.
    """
    case = case_of(book(), named, example)
    assert case.rule is not None
    snapshot, orders = case.world.snapshot, case.world.orders
    today = snapshot.single["clock.date"]
    rules = (case.rule, *(r for r in book().on(today) if r.derive))  # type: ignore[arg-type]
    by = Evaluators(CompiledBook(rules, words(), snapshot), ReferenceExpert(rules, words(), snapshot))
    in_force = InForce(words(), {r.id: r for r in rules}, snapshot.time, book().hash, snapshot.hash, covered=True)
    return case.rule, decide(orders, case.world.account, Live(words(), snapshot), in_force, by)


@pytest.mark.parametrize(("named", "example"), FAILING, ids=[f"{r.id}: {e.name}" for r, e in FAILING])
def test_every_message_is_filled_in(named: Rule, example: Example) -> None:
    used, decision = decided(named, example)
    assert decision.outcome is BLOCKED[used.severity]
    (report,) = [r for r in decision.reports if r.status is Status.BREACH]
    if "{max_order" not in used.message or decision.outcome is not Outcome.APPROVE:
        assert "?" not in report.message
    assert "{" not in report.message
    assert report.reason == used.reason
    if report.rule == ENGINE:  # the engine refuses prices at or below zero before any rule is asked
        assert used.id == "price-above-zero"
        return
    assert report.cite.startswith(used.cite)


def test_a_message_names_the_amounts_the_condition_speaks_of() -> None:
    named = rule("pattern-day-trader-minimum-equity")
    _, decision = decided(named, named.examples[0])
    assert decision.violations[0].message == (
        "Pattern day trader (4 day trades in 5 business days) with equity 24,999.99, below 25,000.00: only orders that "
        "close positions go. Largest order: 0 shares."
    )


def test_a_rule_that_only_warns_does_not_lower_the_largest_order() -> None:
    warns, weighs = rule("watch-list"), rule("max-issuer-weight")
    from lexorder.engine.facts import load_order, load_snapshot

    document = world(account={"nav": "100000"}, lists={"restricted": [], "watch": ["ACME"]})
    exact = CompiledBook((weighs, warns), words(), load_snapshot(document, words()))
    largest, by_rule = exact.largest("A", load_order(order("buy", 60), words()), 60)
    assert (largest.quantity, largest.binding) == (50, ("max-issuer-weight",))
    assert by_rule == {"max-issuer-weight": 50, "watch-list": 0}
