"""The twelve decided semantics, one section each, against figures worked out by hand.

Every test runs with the reference meaning and with the production pair.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.decision import Decision, Largest, Outcome
from lexorder.engine.desk import Make, fast, slow
from lexorder.engine.errors import RuleFileError, SnapshotError
from tests.worlds import book, desk, instrument, order, position, working, world

WEIGHT = """
rule: max-position-weight
title: No issuer above 5% of net assets
for_each: issuer
require: sum(abs(position.after.value)) <= 5% * account.nav
"""
CASH = """
rule: cash-buffer
title: Cash stays above 2% of net assets
for_each: account
require: account.after.cash >= 2% * account.nav
"""
GROSS = """
rule: gross
title: Gross exposure at most net assets
for_each: account
require: sum(abs(position.after.value)) <= account.nav
"""

Decide = Callable[..., Decision]


@pytest.fixture(params=[slow, fast], ids=["reference", "production"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def decide(make: Make) -> Decide:
    def run(rules: list[str], document: dict[str, Any], *orders: dict[str, Any]) -> Decision:
        return desk(book(*rules), document, make).check_basket(orders)[0]

    return run


class TestBeforeAndAfter:
    """1. `after` is every state that working orders and orders under test can reach."""

    @pytest.mark.parametrize(("quantity", "outcome"), [(49, "approve"), (50, "approve"), (51, "reject")])
    def test_order_alone(self, decide: Decide, quantity: int, outcome: str) -> None:
        assert decide([WEIGHT], world(), order(quantity=quantity)).outcome == outcome

    @pytest.mark.parametrize(("quantity", "outcome"), [(29, "approve"), (30, "approve"), (31, "reject")])
    def test_working_buy_counts_as_filled(self, decide: Decide, quantity: int, outcome: str) -> None:
        document = world(working_orders=[working("W", "ACME", "buy", 20)])
        assert decide([WEIGHT], document, order(quantity=quantity)).outcome == outcome

    def test_working_sell_frees_nothing(self, decide: Decide) -> None:
        document = world(positions=[position("ACME", 50)], working_orders=[working("W", "ACME", "sell", 50)])
        assert decide([WEIGHT], document, order(quantity=1)).outcome == "reject"

    def test_sell_in_the_same_basket_frees_no_cash(self, decide: Decide) -> None:
        document = world(account={"cash": "2000"}, positions=[position("ACME", 50)])
        both = decide([CASH], document, order("sell", 50), order("buy", 1, "BETA"))
        assert both.outcome == "reject"
        assert decide([CASH], document, order("sell", 50)).outcome == "approve"

    def test_partial_fill_between_two_good_ends_is_seen(self, decide: Decide) -> None:
        odd = """
        rule: none-or-many
        title: Hold none or at least five
        for_each: position
        require: position.after.quantity <= 3 or position.after.quantity >= 5
        """
        assert decide([odd], world(), order(quantity=10)).outcome == "reject"
        assert decide([odd], world(), order(quantity=3)).outcome == "approve"
        assert decide([odd], world(positions=[position("ACME", 5)]), order(quantity=10)).outcome == "approve"

    def test_short_and_long_ends_are_both_seen(self, decide: Decide) -> None:
        document = world(working_orders=[working("W", "ACME", "sell", 50)])
        assert decide([WEIGHT], document, order(quantity=50)).outcome == "approve"
        assert decide([WEIGHT], document, order("sell", 1)).outcome == "reject"

    def test_sum_of_thresholds_takes_each_name_at_its_worst(self, decide: Decide) -> None:
        large = """
        rule: large-names
        title: Names above 5% add up to at most 10%
        for_each: account
        require: sum(position.after.value where position.after.value > 5% * account.nav) <= 10% * account.nav
        """
        document = world(positions=[position("ACME", 60)])
        assert decide([large], document, order(quantity=40, symbol="BETA")).outcome == "approve"
        assert decide([large], document, order(quantity=50, symbol="BETA")).outcome == "approve"
        assert decide([large], document, order(quantity=51, symbol="BETA")).outcome == "reject"

    def test_more_states_than_can_be_looked_at_is_undecided(self, decide: Decide) -> None:
        rule = """
        rule: not-both
        title: Not both names held
        for_each: account
        require: >-
          not (any(position.after.quantity > 0 where position.symbol == "ACME")
          and any(position.after.quantity > 0 where position.symbol == "BETA"))
        """
        document = world(account={"nav": "1000000000", "cash": "1000000000"})
        small = decide([rule], document, order(quantity=1), order(quantity=1, symbol="BETA"))
        assert small.outcome == "reject"


class TestPrices:
    """2. Holdings at the mark; cash at the limit, or the worse of quote and mark moved by the collar."""

    def test_limit_price_for_cash(self, decide: Decide) -> None:
        document = world(account={"cash": "2099"})
        assert decide([CASH], document, order(quantity=1, price="99")).outcome == "approve"
        assert decide([CASH], document, order(quantity=1, price="99.0001")).outcome == "reject"

    def test_market_order_takes_worse_price_and_collar(self, decide: Decide) -> None:
        document = world(
            account={"cash": "2106.05"},
            instruments=[instrument("ACME", "100", ask="101", bid="99")],
            firm={"collar": "5%"},
        )
        assert decide([CASH], document, order(ord_type="market", price=None)).outcome == "approve"
        document["accounts"][0]["cash"] = "2106.04"
        assert decide([CASH], document, order(ord_type="market", price=None)).outcome == "reject"

    @pytest.mark.parametrize(("cash", "outcome"), [("2500", "approve"), ("2499.9999", "reject")])
    def test_a_contract_costs_its_multiple(self, decide: Decide, cash: str, outcome: str) -> None:
        document = world(account={"cash": cash}, instruments=[instrument("ACME", "5", multiplier="100")])
        assert decide([CASH], document, order(price="5")).outcome == outcome

    @pytest.mark.parametrize(("quantity", "outcome"), [(10, "approve"), (11, "reject")])
    def test_a_contract_weighs_its_multiple(self, decide: Decide, quantity: int, outcome: str) -> None:
        document = world(instruments=[instrument("ACME", "5", multiplier="100")])
        assert decide([WEIGHT], document, order(quantity=quantity, price="5")).outcome == outcome

    def test_no_price_is_undecided(self, decide: Decide) -> None:
        bare = instrument("ACME")
        del bare["mark"]
        answer = decide([WEIGHT], world(instruments=[bare]), order())
        assert answer.outcome == "undecided"
        assert "instrument.mark of ACME" in answer.undecided[0].message

    @pytest.mark.parametrize(
        ("taken", "outcome"), [("2026-06-15T11:45:00-04:00", "approve"), ("2026-06-15T11:44:59-04:00", "undecided")]
    )
    def test_old_price_is_undecided(self, decide: Decide, taken: str, outcome: str) -> None:
        document = world(instruments=[instrument("ACME", mark_time=taken)])
        assert decide([WEIGHT], document, order()).outcome == outcome


class TestDenominators:
    """3. A rule names its denominator; before the trade unless it says after."""

    def test_each_base_is_its_own(self, decide: Decide) -> None:
        document = world(account={"nav": "100000", "equity": "50000"})
        by_equity = WEIGHT.replace("account.nav", "account.equity")
        assert decide([WEIGHT], document, order(quantity=50)).outcome == "approve"
        assert decide([by_equity], document, order(quantity=50)).outcome == "reject"

    def test_nav_after_includes_execution_against_mark(self, decide: Decide) -> None:
        rule = """
        rule: no-loss-of-value
        title: A trade may not cost more than 10 of net assets
        for_each: account
        require: account.after.nav >= account.cash - 10
        """
        assert decide([rule], world(), order(quantity=10, price="101")).outcome == "approve"
        assert decide([rule], world(), order(quantity=10, price="101.0001")).outcome == "reject"


class TestPassiveBreach:
    """4. Better is always allowed; worse, and through zero, never."""

    def test_reducing_passes_and_is_marked(self, decide: Decide) -> None:
        answer = decide([WEIGHT], world(positions=[position("ACME", 80)]), order("sell", 10))
        assert answer.outcome == "approve"
        assert [r.rule for r in answer.passive] == ["max-position-weight"]

    def test_worsening_fails(self, decide: Decide) -> None:
        assert decide([WEIGHT], world(positions=[position("ACME", 80)]), order("buy", 1)).outcome == "reject"

    @pytest.mark.parametrize(("quantity", "outcome"), [(80, "approve"), (81, "reject"), (150, "reject")])
    def test_through_zero_is_not_better(self, decide: Decide, quantity: int, outcome: str) -> None:
        document = world(positions=[position("ACME", 80)])
        assert decide([WEIGHT], document, order("sell", quantity)).outcome == outcome

    def test_short_side_too(self, decide: Decide) -> None:
        document = world(positions=[position("ACME", -80)])
        assert decide([WEIGHT], document, order("buy", 80)).outcome == "approve"
        assert decide([WEIGHT], document, order("buy", 81)).outcome == "reject"

    def test_block_forbids_even_improvement(self, decide: Decide) -> None:
        strict = WEIGHT.rstrip() + "\nif_already_breached: block\n"
        assert decide([strict], world(positions=[position("ACME", 80)]), order("sell", 10)).outcome == "reject"

    def test_may_not_worsen_another_broken_rule(self, decide: Decide) -> None:
        document = world(account={"cash": "1000"}, positions=[position("ACME", -80)])
        answer = decide([WEIGHT, CASH], document, order("buy", 1))
        assert answer.outcome == "reject"
        assert [r.rule for r in answer.violations] == ["cash-buffer"]


class TestMissingFacts:
    """5. Nothing passes because something was absent."""

    RULE = """
    rule: adv
    title: At most 1% of average volume
    require: order.quantity <= 1% * instrument.adv
    """

    def _without_adv(self) -> dict[str, Any]:
        bare = instrument("ACME")
        del bare["adv"]
        return world(instruments=[bare])

    def test_undecided(self, decide: Decide) -> None:
        answer = decide([self.RULE], self._without_adv(), order())
        assert (answer.outcome, answer.reason) == ("undecided", "MISSING_FACT")

    def test_fail_when_the_rule_says_so(self, decide: Decide) -> None:
        strict = self.RULE.rstrip() + "\n    if_missing: fail\n"
        assert decide([strict], self._without_adv(), order()).outcome == "reject"

    def test_missing_list_is_undecided(self, decide: Decide) -> None:
        rule = """
        rule: restricted
        title: Nothing on the restricted list
        require: order.symbol not in lists.restricted
        """
        assert decide([rule], world(lists={}), order()).outcome == "undecided"
        assert decide([rule], world(lists={"restricted": []}), order()).outcome == "approve"
        assert decide([rule], world(lists={"restricted": ["ACME"]}), order()).outcome == "reject"

    def test_a_false_half_decides_although_the_other_is_missing(self, decide: Decide) -> None:
        rule = """
        rule: kleene
        title: A false half decides
        require: order.quantity <= 5 and order.quantity <= 1% * instrument.adv
        """
        assert decide([rule], self._without_adv(), order(quantity=6)).outcome == "reject"
        assert decide([rule], self._without_adv(), order(quantity=5)).outcome == "undecided"


class TestOutcome:
    """6. undecided, then hard, then soft, then warn; everything is reported."""

    def _limit(self, name: str, severity: str, most: int) -> str:
        extra = "\noverride: {roles: [risk_officer]}" if severity == "soft" else ""
        return f"rule: {name}\ntitle: {name}\nseverity: {severity}\nrequire: order.quantity <= {most}{extra}"

    def test_precedence_and_all_findings(self, decide: Decide) -> None:
        rules = [self._limit("a-warn", "warn", 1), self._limit("b-soft", "soft", 2), self._limit("c-hard", "hard", 3)]
        outcomes = [decide(rules, world(), order(quantity=q)).outcome for q in (1, 2, 3, 4)]
        assert outcomes == ["approve", "approve", "needs_override", "reject"]
        last = decide(rules, world(), order(quantity=4))
        assert [r.rule for r in last.violations] == ["c-hard", "b-soft"]
        assert [r.rule for r in last.warnings] == ["a-warn"]

    def test_undecided_outranks_a_reject(self, decide: Decide) -> None:
        rules = [self._limit("c-hard", "hard", 3), TestMissingFacts.RULE]
        answer = decide(rules, TestMissingFacts()._without_adv(), order(quantity=4))
        assert answer.outcome == "undecided"
        assert [r.rule for r in answer.violations] == ["c-hard"]


class TestDerive:
    """7. Derived facts chain; conflicts are undecided or an error."""

    REGIME = """
    rule: regime
    title: Volatile above 5%
    when: market.volatility > 5%
    derive: {market.regime: VOLATILE}
    """
    SMALL = """
    rule: small-when-volatile
    title: At most 10 shares in a volatile market
    when: market.regime == VOLATILE
    require: order.quantity <= 10
    """

    @pytest.mark.parametrize(
        ("volatility", "quantity", "outcome"),
        [("5%", 11, "approve"), ("5.0001%", 11, "reject"), ("5.0001%", 10, "approve")],
    )
    def test_chain(self, decide: Decide, volatility: str, quantity: int, outcome: str) -> None:
        document = world(market=[{"symbol": "ACME", "volatility": volatility}])
        answer = decide([self.REGIME, self.SMALL], document, order(quantity=quantity))
        assert answer.outcome == outcome
        fired = [] if volatility == "5%" else ["regime"]
        assert [f.rule for f in answer.fired] == fired

    def test_cycle_is_named(self) -> None:
        other = """
        rule: other
        title: Goes round
        when: signal.strength == STRONG
        derive: {market.regime: VOLATILE}
        """
        back = """
        rule: back
        title: Goes back
        for_each: signal
        when: market.regime == VOLATILE
        derive: {signal.strength: STRONG}
        """
        with pytest.raises(RuleFileError):
            book(other, back)


class TestGrouping:
    """9. By issuer, never by ticker; unknown groups are never dropped."""

    def test_two_tickers_of_one_issuer_add_up(self, decide: Decide) -> None:
        document = world(
            instruments=[instrument("GOOG", issuer="ALPHABET"), instrument("GOOGL", issuer="ALPHABET")],
            positions=[position("GOOG", 30)],
        )
        assert decide([WEIGHT], document, order(quantity=20, symbol="GOOGL")).outcome == "approve"
        assert decide([WEIGHT], document, order(quantity=21, symbol="GOOGL")).outcome == "reject"

    def test_instrument_without_issuer_is_undecided(self, decide: Decide) -> None:
        bare = instrument("ACME")
        del bare["issuer"]
        assert decide([WEIGHT], world(instruments=[bare]), order()).outcome == "undecided"

    def test_unknown_field_is_an_error(self) -> None:
        with pytest.raises(RuleFileError, match="issuer"):
            book(WEIGHT.replace("account.nav", "instrument.isuer"))


class TestTime:
    """10. Time is a given, in the exchange's timezone, with its calendar."""

    RULE = """
    rule: no-early-trades
    title: Nothing in the first ten minutes
    require: clock.now - session.open >= 10 min
    """

    @pytest.mark.parametrize(
        ("time", "outcome"),
        [
            ("2026-06-15T09:39:59-04:00", "reject"),
            ("2026-06-15T13:40:00+00:00", "approve"),
            ("2026-06-14T12:00:00-04:00", "undecided"),
        ],
    )
    def test_around_the_boundary_and_on_a_sunday(self, decide: Decide, time: str, outcome: str) -> None:
        assert decide([self.RULE], world(time=time), order()).outcome == outcome


class TestCurrencyAndScale:
    """11. Currencies need an exact rate; finer than the scale is refused."""

    @pytest.mark.parametrize(("quantity", "outcome"), [(46, "approve"), (47, "reject")])
    def test_converted_exactly(self, decide: Decide, quantity: int, outcome: str) -> None:
        document = world(instruments=[instrument("ACME", currency="EUR")], fx={"USD": "1", "EUR": "1.08"})
        assert decide([WEIGHT], document, order(quantity=quantity)).outcome == outcome

    def test_no_rate_is_undecided(self, decide: Decide) -> None:
        document = world(instruments=[instrument("ACME", currency="EUR")])
        assert decide([WEIGHT], document, order()).outcome == "undecided"

    def test_finer_than_scale_is_refused(self) -> None:
        with pytest.raises(SnapshotError, match="too-fine"):
            desk(book(WEIGHT), world(instruments=[instrument("ACME", "100.00001")]))


class TestHash:
    """12. Equal inputs give equal bytes; any change shows."""

    def test_repeatable_and_sensitive(self, decide: Decide) -> None:
        first = decide([WEIGHT], world(), order(quantity=51))
        again = decide([WEIGHT], world(), order(quantity=51))
        other = decide([WEIGHT], world(account={"nav": "100001"}), order(quantity=51))
        assert first.to_json() == again.to_json()
        assert first.hash == again.hash
        assert other.snapshot_hash != first.snapshot_hash
        assert other.rulebook_hash == first.rulebook_hash

    def test_order_of_facts_does_not_matter(self, decide: Decide) -> None:
        document = world()
        turned = {**document, "instruments": document["instruments"][::-1]}
        assert decide([WEIGHT], document, order()).snapshot_hash == decide([WEIGHT], turned, order()).snapshot_hash


class TestBaskets:
    """Baskets are judged cumulatively."""

    def test_two_halves_count_together(self, decide: Decide) -> None:
        assert decide([WEIGHT], world(), order(quantity=25, id="1"), order(quantity=25, id="2")).outcome == "approve"
        assert decide([WEIGHT], world(), order(quantity=25, id="1"), order(quantity=26, id="2")).outcome == "reject"

    def test_gross_over_names(self, decide: Decide) -> None:
        legs = [order("buy", 500, "ACME"), order("sell_short", 500, "BETA")]
        assert decide([GROSS], world(), *legs).outcome == "approve"
        assert decide([GROSS], world(), *legs, order("buy", 1, "COCO")).outcome == "reject"


class TestEvidence:
    """What a rejection says."""

    def test_figures_and_largest_quantity(self, decide: Decide) -> None:
        answer = decide([WEIGHT], world(positions=[position("ACME", 20)]), order(quantity=51))
        report = answer.violations[0]
        assert (report.observed, report.limit, report.margin) == (Fraction(71, 1000), Fraction(1, 20), Fraction(-2100))
        assert report.subject == "ACME"
        assert answer.largest is not None
        assert (answer.largest.quantity, answer.largest.binding) == (30, ("max-position-weight",))

    def test_largest_is_the_least_over_rules(self, decide: Decide) -> None:
        document = world(account={"cash": "4050"})
        answer = decide([WEIGHT, CASH], document, order(quantity=60))
        assert answer.largest is not None
        assert (answer.largest.quantity, answer.largest.binding) == (20, ("cash-buffer",))
        assert {r.rule: r.largest for r in answer.violations} == {"max-position-weight": 50, "cash-buffer": 20}

    def test_headroom_of_an_order_that_would_pass(self, make: Make) -> None:
        live = desk(book(WEIGHT, CASH), world(positions=[position("ACME", 20)]), make)
        assert live.headroom(order(quantity=1), cap=60) == Largest(30, ("max-position-weight",))
        assert live.headroom(order(quantity=1), cap=25).quantity == 25

    def test_unknown_things_are_rejected_by_name(self, decide: Decide) -> None:
        assert decide([WEIGHT], world(), order(symbol="NOPE")).reason == "UNKNOWN_SYMBOL"
        assert decide([WEIGHT], world(), order(trader="X")).reason == "UNKNOWN_TRADER"
        assert decide([WEIGHT], world(), order(account="Z")).reason == "UNKNOWN_ACCOUNT"
        twice = decide([WEIGHT], world(), order(id="1"), order(id="1"))
        assert (twice.outcome, twice.reason) == (Outcome.REJECT, "DUPLICATE_ORDER")
