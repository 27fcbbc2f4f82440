"""Facts that grow old, whoever they belong to: good at their age limit to the microsecond, not known beyond it.

The shipped vocabulary gives prices an age limit; a desk may give one to anything. Each rule here reads such a fact, and
nothing happens between two checks but the clock: no event says that the fact has become too old.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lexorder.engine.decision import Outcome
from lexorder.engine.desk import Desk, fast, shipped_rules, slow
from lexorder.engine.events import SingleChanged
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.vector import VectorBook
from lexorder.engine.vocabulary import vocabulary_of
from tests.engine import vector_cases as cases
from tests.worlds import NOON, order, position, working, world

OWNERS = ("account", "trader", "firm", "signal", "position", "instrument")
LIMIT = timedelta(minutes=15)
ORDERS = [order("buy", n, id=f"{n}", trader="T") for n in (1, 5, 6)]


def _names() -> str:
    """A score and the time it was taken, for each owner."""
    return "".join(
        f"  {owner}.score: {{type: ratio, min: 0, max: 100, max_age: 15 min, as_of: {owner}.scored, meaning: Score, "
        f"supplied_by: model, example: 3}}\n"
        f"  {owner}.scored: {{type: timestamp, meaning: When, supplied_by: model, example: {NOON}}}\n"
        for owner in OWNERS
    )


def _vocabulary() -> str:
    text = (shipped_rules() / "vocabulary.yaml").read_text()
    cut = text.index("  signal.id:")
    return text[:cut] + _names() + text[cut:]


VOCABULARY = vocabulary_of(_vocabulary())
SCORED = {"score": "3", "scored": NOON}
RULES: tuple[tuple[str, str, str], ...] = (
    ("order", "", "account.score >= 1"),
    ("order", "", "firm.score >= 1"),
    ("order", "", "instrument.score >= 1"),
    ("order", "", "trader.score >= 1"),
    ("trader", "", "trader.score >= 1"),
    ("account", "", "account.score >= 1"),
    ("order", "account.score >= 1", "order.quantity <= 5"),
    ("account", "", "sum(signal.score) <= 50"),
    ("order", "", "count(signal where signal.score >= 1) >= 1"),
    ("account", "", "count(fill where firm.score >= 1) <= 5"),
    ("instrument", "", "sum(fill.quantity where account.score > 1) + sum(order.quantity) <= 100"),
    ("account", "", "count(working_order where account.score >= 1) <= 5"),
    ("account", "", "sum(position.after.quantity * account.score) <= 1_000"),
    ("account", "", "sum(position.before.quantity * position.score) <= 1_000"),
    ("position", "", "position.after.quantity <= 100 and position.score >= 1"),
    ("account", "", "sum(position.after.value where instrument.score >= 1) <= 1 * account.nav"),
    ("issuer", "", "sum(abs(position.after.value)) <= (if account.score >= 1 then 5% else 1%) * account.nav"),
)  # fmt: skip


def document(rule: str) -> dict[str, Any]:
    """A world; instruments have a score only where the rule reads it, else theirs would turn with the others."""
    own = SCORED if "instrument.score" in rule else {}
    plain = world()
    return world(
        account=SCORED,
        firm=SCORED,
        instruments=[{**i, **own, "mark_time": "2026-06-15T18:00:00-04:00"} for i in plain["instruments"]],
        traders=[{"id": "T", "role": "portfolio_manager", **SCORED}],
        positions=[{**position(s, 5), **SCORED} for s in ("ACME", "BETA", "COCO")],
        working_orders=[working("W", "COCO", "buy", 1)],
        fills=[{"id": "F", "account": "A", "symbol": "ACME", "side": "buy", "quantity": "95", "date": "2026-06-15"}],
        signals=[{"id": "S", "symbol": "ACME", **SCORED}],
    )


@pytest.mark.parametrize(("kind", "when", "require"), RULES, ids=[f"{r[0]}: {r[1]} {r[2]}" for r in RULES])
def test_it_is_good_at_its_limit_and_not_known_a_microsecond_later(kind, when, require):
    """The fast pair and the bulk path answer as the reference does, each time by the clock alone."""
    book = RuleBook.of(cases.rule("r", kind, when, require), VOCABULARY)
    quick, plain = (Desk(book, document(require), VOCABULARY, make) for make in (fast, slow))
    vector = VectorBook(quick, small=0)
    outcomes = []
    for later in (timedelta(0), LIMIT, timedelta(microseconds=1)):
        for desk in (quick, plain):
            desk.apply(SingleChanged({"clock.now": desk.time + later}))
        expected = [plain.check(o) for o in ORDERS]
        found = [quick.check(o) for o in ORDERS]
        assert [(d.outcome, d.reason) for d in found] == [(d.outcome, d.reason) for d in expected]
        bulk = {place for cleared in vector.cleared(cases.columns(ORDERS)) for place in cleared.places}
        assert bulk <= {n for n, decision in enumerate(expected) if decision.outcome is Outcome.APPROVE}
        outcomes.append({d.outcome for d in expected})
    assert outcomes[0] == outcomes[1]
    assert Outcome.APPROVE in outcomes[0]
    assert outcomes[2] == {Outcome.UNDECIDED}, "the rule reads a fact that has become too old"
