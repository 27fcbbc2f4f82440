"""Which requirements CLIPS works out itself, in which words, and which it leaves to the exact verdict."""

from __future__ import annotations

import pytest

from lexorder.engine.expert import formula as f
from lexorder.engine.expert.atoms import NotLoweredError, atoms_of, is_static
from lexorder.engine.expert.emit import plan
from lexorder.engine.expert.lower import lower, parts_of
from lexorder.engine.terms import Compare
from tests.expert.books import rules, simple
from tests.worlds import VOCABULARY


def lowered(require: str, for_each: str = "order", side: str = "buy", extra: str = ""):
    (rule,) = simple(require, for_each, extra)
    return lower(rule, parts_of(rule)[0], side, VOCABULARY)


def broken(require: str, for_each: str = "order", side: str = "buy", extra: str = "") -> str:
    return f.text(lowered(require, for_each, side, extra).broken)


class TestFactsOnly:
    def test_a_limit_stands_in_the_text(self):
        assert broken("order.quantity <= 50_000") == "(not (<= ?o-quantity 50000))"

    def test_a_price_is_counted_in_its_scale(self):
        assert broken("order.price <= 2.5") == "(not (<= ?o-price 25000))"

    def test_an_enumeration(self):
        assert (
            broken("order.ord_type in {limit, market}") == "(not (or (eq ?o-ord-type limit) (eq ?o-ord-type market)))"
        )

    def test_the_side_is_known(self):
        assert lowered("order.side == buy").broken == f.NO
        assert lowered("order.side == buy", side="sell").broken == f.YES

    def test_what_the_side_rules_out_is_not_even_looked_at(self):
        text = "(if order.side == buy then order.price - instrument.ask else instrument.bid - order.price) <= 1"
        (ask,), (bid,) = lowered(text).leaves, lowered(text, side="sell").leaves
        assert ask.term.name == "instrument.ask"
        assert bid.term.name == "instrument.bid"

    def test_a_flag_of_the_order(self):
        assert broken("order.has_locate", extra="when: order.side == sell_short", side="sell_short") == (
            "(not (eq ?o-has-locate TRUE))"
        )

    def test_what_does_not_depend_on_the_order_is_one_leaf(self):
        found = lowered("order.symbol not in lists.restricted")
        assert f.text(found.broken) == "(eq ?k0 TRUE)"
        assert [leaf.kind for leaf in found.leaves] == ["flag"]

    def test_static_factors_are_joined_to_one_leaf(self):
        found = lowered("order.quantity * order.price * instrument.fx <= 5_000_000")
        assert f.text(found.broken) == "(not (<= (* ?o-quantity (* ?o-price ?k0)) (* ?d 50000000000)))"

    def test_a_guard_comes_first(self):
        text = broken("order.quantity <= 10", extra="when: order.ord_type == market")
        assert text == "(and (eq ?o-ord-type market) (not (<= ?o-quantity 10)))"

    def test_equal_leaves_are_one(self):
        assert len(lowered("order.price <= instrument.mark * 2 and true").leaves) == 1


class TestFillStates:
    def test_convex_both_ends(self):
        text = broken("sum(abs(position.after.value)) <= 5% * account.nav", "issuer")
        assert text == "(> (* 20 (+ ?k0 (max ?k2 (abs (* (+ ?k1 ?o-quantity) ?k4))))) ?k5)"

    def test_the_other_end_when_selling(self):
        text = broken("sum(abs(position.after.value)) <= 5% * account.nav", "issuer", "sell")
        assert "(abs (* (- ?k1 ?o-quantity) ?k4))" in text

    def test_linear_old_worst_plus_slope(self):
        text = broken("sum(position.after.value) <= account.nav", "account")
        assert text == "(> (+ ?k0 (max 0 (* ?o-quantity ?k1))) ?k2)"

    def test_cash_reads_the_orders_own_price(self):
        found = lowered("account.after.cash >= 2% * account.nav", "account")
        assert {"order.quantity", "order.price", "order.ord_type"} <= set(found.slots)

    def test_a_strict_limit_is_broken_when_met(self):
        assert broken("sum(position.after.value) < account.nav", "account").startswith("(>= ")

    def test_a_rule_that_blocks_knows_no_passive_breach(self):
        found = lowered("position.after.quantity <= 5", "position", extra="if_already_breached: block")
        assert found.passive == f.NO

    def test_a_rule_that_lets_improve_asks_for_old_breach_direction_and_flips(self):
        found = lowered("position.after.quantity <= 5", "position", extra="if_already_breached: must_not_worsen")
        assert {leaf.what for leaf in found.leaves} >= {"old", "slope", "held", "low", "high"}
        assert "or" in f.text(found.passive)

    def test_a_sum_with_a_condition_counts_the_ordered_name_by_a_leaf(self):
        found = lowered('sum(abs(position.after.value) where position.instrument.sector == "Tech") <= 100', "account")
        assert "counted" in {leaf.what for leaf in found.leaves}


@pytest.mark.parametrize(
    ("require", "for_each", "why"),
    [
        ("count(position where position.after.quantity != 0) <= 5", "account", "no sum over holdings"),
        ("position.after.quantity != 5", "position", "no comparison of amounts"),
        ("abs(sum(position.after.value)) <= 100", "account", "bent function of a sum"),
        ("any(position.after.value > 5)", "account", "no comparison of amounts"),
        ("100 / order.price <= 2", "order", "divides by an amount of the order"),
        ('order.id != "X"', "order", "comparison of text of the order"),
    ],
)
def test_what_is_left_to_the_exact_verdict_says_why(require, for_each, why):
    (rule,) = simple(require, for_each)
    with pytest.raises(NotLoweredError, match=why):
        lower(rule, parts_of(rule)[0], "buy", VOCABULARY)
    assert plan((rule,), VOCABULARY).exact.keys() == {"r"}


def test_a_guard_that_depends_on_fills_is_left():
    (rule,) = simple("order.quantity <= 5", extra="when: sum(position.after.value) > 5")
    with pytest.raises(NotLoweredError, match="condition depends on fills"):
        parts_of(rule)


def test_what_is_static():
    (rule,) = simple('order.price <= instrument.mark and order.symbol != "X"')
    price, symbol = parts_of(rule)
    assert not is_static(price)
    assert is_static(symbol)


def test_atoms_add_up_with_their_signs():
    (rule,) = simple("account.after.cash >= 2% * account.nav", "account")
    assert isinstance(rule.require, Compare)
    found = atoms_of(rule.require)
    assert found[0].kind == "static"
    assert found[0].times.ratio == -1
    assert {a.kind for a in found} == {"static", "order", "working"}


class TestPlan:
    def test_nearly_all_of_the_library_is_worked_out_by_clips(self):
        from lexorder.engine.desk import shipped_rules
        from lexorder.engine.rule import Phase
        from lexorder.engine.rulebook import RuleBook
        from tests.expert.books import DAY

        shipped = RuleBook.load(shipped_rules(), VOCABULARY).on(DAY)
        judged = [r for r in shipped if r.require is not None and Phase.PRE_TRADE in r.phases]
        found = plan(judged, VOCABULARY)
        assert len(found.exact) * 10 <= len(judged), found.exact

    def test_rules_of_one_name_are_refused(self):
        from lexorder.engine.errors import ExpertError

        (rule,) = simple("order.quantity <= 5")
        with pytest.raises(ExpertError, match="used twice"):
            plan((rule, rule), VOCABULARY)

    def test_a_part_no_side_can_break_has_no_construct(self):
        (rule,) = simple("order.side != sell or order.quantity <= 5")
        names = [c.split()[1] for c in plan((rule,), VOCABULARY).constructs if c.startswith("(defrule r-")]
        assert names == ["r-1-sell"]

    def test_sides_that_read_alike_share_a_construct(self):
        (rule,) = simple("order.quantity <= 5")
        assert plan((rule,), VOCABULARY).variants["r"][0].sides == ("buy", "sell", "sell_short")

    def test_tests_on_the_order_alone_hang_in_its_pattern(self):
        (rule,) = simple("order.quantity <= 5")
        (text,) = [c for c in plan((rule,), VOCABULARY).constructs if c.startswith("(defrule r-")]
        assert text == (
            "(defrule r-1-buy (order (quantity ?o-quantity&:(not (<= ?o-quantity 5))))"
            " => (assert (finding (rule r) (subject *this*) (status breach))))"
        )

    def test_no_fact_ever_stands_in_the_text(self):
        book = rules("rule: r\ntitle: T\nrequire: order.symbol not in lists.restricted")
        assert "ACME" not in "".join(plan(book, VOCABULARY).constructs)
