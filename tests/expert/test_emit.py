"""Constructs as CLIPS has them: every book loads, verdicts become findings, and orders match where formulas say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from lexorder.engine.errors import ExpertError
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.emit import (
    NOBODY,
    THIS,
    default_number,
    default_word,
    needs_subject,
    plan,
    slot_of,
)
from lexorder.engine.expert.lowered import variable_of
from lexorder.engine.expert.session import Session
from lexorder.engine.units import Kind
from lexorder.engine.verdict import Status
from tests.agreement import compare
from tests.expert.books import rules, simple
from tests.worlds import VOCABULARY


@pytest.fixture
def session() -> Iterator[Session]:
    opened = Session()
    yield opened
    opened.close()


def told(session: Session, rule: str, subject: str, status: str, template: str = "verdict") -> None:
    builder = session.builder(template)
    for slot, word in ((b"rule", rule), (b"subject", subject), (b"status", status)):
        session.put(builder, slot, session.symbol(word))
    session.add(builder)


def findings(session: Session) -> set[tuple[str, ...]]:
    return {
        tuple(str(session.read(fact, slot)) for slot in (b"rule", b"subject", b"status"))
        for fact in session.facts("finding")
    }


class TestFrame:
    """What happens between verdicts that are told and findings, in a CLIPS of its own."""

    @pytest.fixture(autouse=True)
    def loaded(self, session):
        session.load(plan(simple("order.quantity <= 5"), VOCABULARY).constructs)

    @pytest.mark.parametrize("status", [s.value for s in Status])
    def test_a_verdict_that_is_told_becomes_a_finding(self, session, status):
        told(session, "r", "A", status)
        assert session.run() == 1
        assert findings(session) == {("r", "A", status)}

    @pytest.mark.parametrize("order", list(product(("breach", "passive", "undecided"), repeat=2)))
    def test_a_breach_outranks_a_passive_one_of_the_same_subject(self, session, order):
        for number, status in enumerate(order):
            if not number or order[0] != status:
                told(session, "r", "A", status)
        told(session, "r", "B", "passive")
        told(session, "s", "A", "passive")
        session.run()
        left = {status for rule, subject, status in findings(session) if (rule, subject) == ("r", "A")}
        assert left == (set(order) - {"passive"} if "breach" in order else set(order))
        assert ("r", "B", "passive") in findings(session)
        assert ("s", "A", "passive") in findings(session)

    def test_an_order_whose_context_is_gone_fires_nothing(self, session):
        builder = session.builder("order")
        session.put(builder, b"ctx", session.integer(7))
        session.add(builder)
        assert session.run() == 0

    def test_the_engines_own_subjects_are_no_identifiers(self):
        """A rule of such a name would be refused, so nothing that is named can be taken for them."""
        (rule,) = simple("order.quantity <= 5")
        for name in (THIS, NOBODY):
            with pytest.raises(ExpertError, match="expert-construct"):
                plan((replace(rule, id=name),), VOCABULARY)
        assert THIS != NOBODY


class TestBooks:
    @pytest.mark.parametrize("seed", range(6))
    def test_random_books_load_all_or_nothing(self, session, seed):
        book = compare.rules_of(9_000 + seed, 15, 0.3)
        made = plan(book, VOCABULARY)
        session.load(made.constructs)
        judged = {r.id for r in book if r.require is not None}
        assert set(made.variants) | set(made.exact) == judged
        assert not set(made.variants) & set(made.exact)
        names = [v.name for group in made.variants.values() for v in group]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("name", ["r(", "r)", "r;", '"', "r r", "?r", "r" * 121, "", "1r", "é"])
    def test_a_name_that_clips_would_read_is_refused(self, name):
        (rule,) = simple("order.quantity <= 5")
        with pytest.raises(ExpertError, match="expert-construct"):
            plan((replace(rule, id=name),), VOCABULARY)

    def test_a_reaction_or_a_derivation_is_no_rule_to_plan(self):
        book = rules(
            "rule: d\ntitle: T\nfor_each: market\nwhen: market.volatility > 5%\nderive: {market.regime: VOLATILE}",
            "rule: a\ntitle: T\nfor_each: instrument\nphases: [monitor]\nwhen: instrument.halted\n"
            "then: [{alert: warning}]",
        )
        made = plan(book, VOCABULARY)
        assert (made.variants, made.exact) == ({}, {})


class TestAlone:
    """A rule of the order alone needs no leaves, unless its numbers could overflow."""

    CUBE = "order.quantity * order.quantity * order.quantity * order.price"

    @pytest.mark.parametrize(
        ("text", "extra", "alone"),
        [
            ("order.quantity <= 5", "", True),
            ("order.quantity <= 5", "when: order.side == buy", True),
            ("order.quantity <= 5", "when: instrument.halted", False),
            ("order.quantity * order.price <= 2 * order.quantity * order.price", "", True),
            (f"{CUBE} <= 2 * {CUBE}", "", False),
        ],
    )
    def test_a_template(self, text, extra, alone):
        (rule,) = simple(text, extra=extra)
        variants = plan((rule,), VOCABULARY).variants["r"]
        assert [bool(v.template) for v in variants] == [not alone] * len(variants)

    @pytest.mark.parametrize(
        ("for_each", "text", "extra", "needed"),
        [
            ("order", "order.quantity <= 5", "", False),
            ("order", "order.quantity <= 5", "when: order.side == buy", False),
            ("order", "order.quantity <= 5", "when: account.nav > 5", True),
            ("account", "sum(order.quantity) <= 5", "", True),
        ],
    )
    def test_who_must_be_named(self, for_each, text, extra, needed):
        (rule,) = simple(text, for_each, extra)
        assert needs_subject(rule) is needed


class TestNames:
    def test_slots_and_variables_are_one_for_one(self):
        names = [n.name for n in VOCABULARY.of_entity("order")]
        assert len({slot_of(n) for n in names}) == len(names)
        assert all(variable_of(n) == f"o-{slot_of(n)}" for n in names)
        assert all("_" not in slot_of(n) and "." not in slot_of(n) for n in names)

    def test_what_is_not_put_is_the_vocabularys_default(self):
        for name in VOCABULARY.of_entity("order"):
            if name.unit.kind is Kind.NUMBER:
                expected = 0 if name.default is None else name.default * 10**name.scale
                assert default_number(name) == expected
            elif name.unit.kind is Kind.ENUM:
                assert default_word(name) in name.unit.values
            elif name.unit.kind is Kind.BOOL:
                assert default_word(name) == ("TRUE" if name.default is True else "FALSE")

    def test_a_truth_that_is_known_needs_no_slot(self):
        (rule,) = simple("order.side == buy or order.quantity <= 5")
        (variant,) = plan((rule,), VOCABULARY).variants["r"]
        assert variant.sides == ("sell", "sell_short")
        assert variant.lowered.broken != f.YES
