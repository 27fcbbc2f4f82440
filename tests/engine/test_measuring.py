"""Measured facts reach both evaluators, follow the facts they are measured from, and yield to given ones."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lexorder.engine.desk import Make, fast, slow
from lexorder.engine.events import AccountChanged, InstrumentChanged
from lexorder.engine.measure import REGISTRY, measure
from lexorder.engine.snapshot import MissingFactError, Projection, Subject
from lexorder.engine.terms import Value
from tests.worlds import book, desk, instrument, order, world

RULES = (
    "rule: trades\ntitle: At most three day trades\nrequire: account.day_trades <= 3",
    "rule: adv\ntitle: Little of the volume\nrequire: order.quantity <= instrument.adv",
)


@pytest.fixture(autouse=True)
def measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two measures for tests: day trades from cash, volume from the mark."""
    monkeypatch.setitem(REGISTRY, "account.day_trades", _trades)
    monkeypatch.setitem(REGISTRY, "instrument.adv", _volume)


def _trades(seen: Projection, subject: Subject) -> Value:
    assert subject.key == seen.account
    cash = subject.facts.get("account.cash")
    if not isinstance(cash, Fraction) or cash < 0:
        raise MissingFactError("account.cash", subject.key)
    return Fraction(int(cash) % 10)


def _volume(_seen: Projection, subject: Subject) -> Value:
    return subject.facts["instrument.mark"]


def make_world(cash: str = "100003") -> dict[str, object]:
    bare = instrument("ACME")
    del bare["adv"]
    return world(account={"cash": cash}, instruments=[bare])


@pytest.mark.parametrize("make", [slow, fast], ids=["reference", "production"])
class TestDesk:
    @pytest.mark.parametrize(("cash", "outcome"), [("100003", "approve"), ("100004", "reject"), ("-1", "undecided")])
    def test_rules_read_the_measure(self, make: Make, cash: str, outcome: str) -> None:
        assert desk(book(*RULES), make_world(cash), make).check(order()).outcome == outcome

    def test_it_follows_the_facts_and_back(self, make: Make) -> None:
        live = desk(book(*RULES), make_world(), make)
        seen = []
        for cash in (100003, 100004, -1, 100002):
            live.apply(AccountChanged("A", {"account.cash": Fraction(cash)}))
            seen.append(live.check(order(id=f"c{cash}")).outcome.value)
        assert seen == ["approve", "reject", "undecided", "approve"]

    def test_instruments_are_measured_too(self, make: Make) -> None:
        live = desk(book(*RULES), make_world(), make)
        assert live.check(order(quantity=100)).outcome == "approve"
        assert live.check(order(quantity=101)).outcome == "reject"
        live.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(50)}))
        assert live.check(order(quantity=51)).outcome == "reject"

    def test_a_given_fact_wins(self, make: Make) -> None:
        given = make_world("100009")
        given["accounts"][0]["day_trades"] = "1"  # type: ignore[index]
        assert desk(book(*RULES), given, make).check(order()).outcome == "approve"

    def test_the_snapshot_hash_is_of_given_facts(self, make: Make) -> None:
        live = desk(book(*RULES), make_world(), make)
        before = live.snapshot.hash
        assert live.check(order()).snapshot_hash == before == live.snapshot.hash


@pytest.mark.parametrize("make", [slow, fast], ids=["reference", "production"])
def test_a_measure_that_fails_is_undecided(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_seen: Projection, _subject: Subject) -> Value:
        raise ZeroDivisionError("a secret")

    monkeypatch.setitem(REGISTRY, "account.day_trades", fails)
    answer = desk(book(*RULES), make_world(), make).check(order())
    assert (answer.outcome, answer.reason) == ("undecided", "ENGINE_FAULT")
    assert "secret" not in str(answer.to_json())


def test_a_name_is_measured_once() -> None:
    with pytest.raises(ValueError, match="measured twice"):
        measure("account.day_trades")(_trades)
