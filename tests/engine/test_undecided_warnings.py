"""Record 10: an undecided rule counts as the worst it could have said; a warning that is lost is still reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lexorder.engine.decide import Evaluators
from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk, Make, fast, slow
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExactAnswer, ExpertAnswer
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import Snapshot
from tests.worlds import VOCABULARY, book, instrument, order, world

SIZE = "rule: size\ntitle: At most 10\nrequire: order.quantity <= 10"
VOLUME = "rule: volume\ntitle: At most 1% of volume\nrequire: order.quantity <= 1% * instrument.adv"
SOFT = "\nseverity: soft\noverride: {roles: [risk_officer]}"
WARN = "\nseverity: warn"

both = pytest.mark.parametrize("make", [fast, slow])


def unknown_volume() -> dict[str, Any]:
    """A world whose instrument has no average volume."""
    bare = instrument("ACME")
    del bare["adv"]
    return world(instruments=[bare])


def decided(make: Make, *rules: str, quantity: int = 1) -> Decision:
    return Desk(book(*rules), unknown_volume(), VOCABULARY, make).check(order(quantity=quantity))


@both
@pytest.mark.parametrize(("severity", "outcome"), [("", "undecided"), (SOFT, "undecided"), (WARN, "approve")])
def test_what_a_missing_fact_does_by_severity(make: Make, severity: str, outcome: str) -> None:
    assert decided(make, SIZE, VOLUME + severity).outcome == outcome


@both
def test_a_lost_warning_is_reported_with_what_is_missing(make: Make) -> None:
    found = decided(make, SIZE, VOLUME + WARN)
    (report,) = found.undecided
    assert (report.rule, report.reason, report.severity) == ("volume", "MISSING_FACT", "warn")
    assert "instrument.adv of ACME" in report.message
    written = found.to_json()
    assert [r["rule"] for r in written["undecided"]] == ["volume"]  # type: ignore[attr-defined]
    assert (written["warnings"], written["reason"]) == ([], "")


@both
def test_a_lost_warning_is_no_plain_pass(make: Make) -> None:
    known = Desk(book(SIZE, VOLUME + WARN), world(), VOCABULARY, make).check(order(quantity=1))
    assert known.approved
    assert known.reports == ()
    assert decided(make, SIZE, VOLUME + WARN).reports != ()


@both
def test_a_lost_warning_does_not_lead_a_reject(make: Make) -> None:
    found = decided(make, SIZE, VOLUME + WARN, quantity=11)
    assert (found.outcome, found.reason) == ("reject", "LIMIT_EXCEEDED")
    assert [r.rule for r in found.reports] == ["size", "volume"]


@both
def test_a_missing_fact_that_is_to_fail_warns_like_a_breach(make: Make) -> None:
    found = decided(make, SIZE, VOLUME + WARN + "\nif_missing: fail")
    assert found.approved
    assert [r.rule for r in found.warnings] == ["volume"]


def test_evaluators_that_differ_about_a_warning_are_no() -> None:
    class Forgets:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def check(self, account: str, orders: tuple[Facts, ...], exact: ExactAnswer) -> ExpertAnswer:
            answer: ExpertAnswer = self.inner.check(account, orders, exact)
            return replace(answer, keys=frozenset())

    def make(rules: tuple[Rule, ...], vocabulary: Vocabulary, snapshot: Snapshot) -> Evaluators:
        pair = slow(rules, vocabulary, snapshot)
        return Evaluators(pair.exact, Forgets(pair.second))  # type: ignore[arg-type]

    found = decided(make, VOLUME + WARN)  # type: ignore[arg-type]
    assert (found.outcome, found.reason) == ("undecided", "EVALUATORS_DISAGREE")
