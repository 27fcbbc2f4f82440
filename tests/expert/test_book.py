"""The expert judges orders: alone where it can, by exact verdicts where it cannot, and never silently."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.errors import ExpertError
from lexorder.engine.events import InstrumentChanged
from lexorder.engine.expert.book import ExpertBook
from lexorder.engine.expert.clipslib import lib
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.ports import ExactAnswer
from lexorder.engine.verdict import Status
from tests.expert.books import NOTHING, Pair, rules, simple
from tests.worlds import VOCABULARY, instrument, order, position, working, world

WEIGHT = "sum(abs(position.after.value)) <= 5% * account.nav"


class TestAlone:
    """CLIPS finds breaches with no exact verdict to lean on."""

    def test_a_share_beyond_the_limit(self):
        pair = Pair(simple("order.quantity <= 50"))
        assert pair.alone(quantity=50) == set()
        assert pair.alone(quantity=51) == {("r", "buy-ACME-51", "breach")}

    def test_exactly_at_a_weight(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        assert pair.alone(quantity=50) == set()
        assert pair.alone(quantity=51) == {("r", "ACME", "breach")}

    def test_a_working_order_counts_as_if_it_had_filled(self):
        pair = Pair(simple(WEIGHT, "issuer"), world(working_orders=[working("W", "ACME", "buy", 20)]))
        assert pair.alone(quantity=30) == set()
        assert pair.alone(quantity=31) == {("r", "ACME", "breach")}

    def test_a_working_sell_frees_nothing(self):
        document = world(positions=[position("ACME", 50)], working_orders=[working("W", "ACME", "sell", 50)])
        assert Pair(simple(WEIGHT, "issuer"), document).alone(quantity=1) == {("r", "ACME", "breach")}

    def test_the_other_names_of_an_issuer_count(self):
        document = world(
            instruments=[instrument("ACME"), instrument("ACME.B", issuer="ACME")], positions=[position("ACME.B", -40)]
        )
        pair = Pair(simple(WEIGHT, "issuer"), document)
        assert pair.alone(quantity=10) == set()
        assert pair.alone(quantity=11) == {("r", "ACME", "breach")}

    def test_selling_out_of_a_breach_is_passive(self):
        pair = Pair(simple(WEIGHT, "issuer"), world(positions=[position("ACME", 80)]))
        assert pair.alone(side="sell", quantity=10) == {("r", "ACME", "passive")}
        assert pair.alone(side="buy", quantity=1) == {("r", "ACME", "breach")}

    def test_but_not_through_zero(self):
        pair = Pair(simple(WEIGHT, "issuer"), world(positions=[position("ACME", 80)]))
        assert pair.alone(side="sell", quantity=80) == {("r", "ACME", "passive")}
        assert pair.alone(side="sell", quantity=81) == {("r", "ACME", "breach")}

    def test_cash(self):
        pair = Pair(simple("account.after.cash >= 0", "account"), world(account={"cash": "1000"}))
        assert pair.alone(quantity=10) == set()
        assert pair.alone(quantity=11) == {("r", "A", "breach")}
        assert pair.alone(quantity=10, fee_per_share="0.01") == {("r", "A", "breach")}

    def test_a_market_order_is_counted_at_the_collar(self):
        pair = Pair(simple("account.after.cash >= 0", "account"), world(account={"cash": "1049"}))
        facts = {**order(quantity=10, ord_type="market")}
        del facts["price"]
        assert pair.agree(facts).keys == {("r", "A", Status.BREACH)}

    def test_a_short_sale_without_a_locate(self):
        pair = Pair(simple("order.has_locate", extra="when: order.side == sell_short"))
        assert pair.alone(side="sell_short", has_locate="true") == set()
        assert pair.alone(side="sell_short") == {("r", "sell_short-ACME-1", "breach")}
        assert pair.alone(side="sell") == set()

    def test_a_restricted_symbol(self):
        pair = Pair(simple("order.symbol not in lists.restricted"), world(lists={"restricted": ["ACME"], "watch": []}))
        assert pair.alone() == {("r", "buy-ACME-1", "breach")}
        assert pair.alone(symbol="BETA") == set()

    def test_every_pair_an_order_touches(self):
        pairs = [{"id": f"ACME/{s}", "first": "ACME", "second": s, "correlation": "0.9"} for s in ("BETA", "COCO")]
        document = world(pairs=pairs, positions=[position("BETA", 95)])
        pair = Pair(simple("sum(position.after.value) <= 10% * account.nav", "pair"), document)
        assert pair.alone(quantity=6) == {("r", "ACME/BETA", "breach")}
        assert pair.agree(order(quantity=6)).count == 2

    def test_a_breach_outranks_a_passive_part(self):
        book = simple("position.after.quantity <= 5 and position.after.quantity >= -5", "position")
        pair = Pair(book, world(positions=[position("ACME", 10)]))
        assert pair.alone(side="sell", quantity=16) == {("r", "ACME", "breach")}


class TestCounts:
    def test_every_rule_and_subject_is_counted(self):
        book = (*simple("order.quantity <= 5"), *simple(WEIGHT, "issuer", name="s"))
        assert Pair(book).agree(order()).count == 2

    def test_a_rule_that_does_not_apply_is_counted(self):
        assert Pair(simple("order.quantity <= 5", extra="when: instrument.halted")).agree(order(quantity=9)).count == 1

    def test_a_breach_of_two_parts_is_one_verdict(self):
        answer = Pair(simple("order.quantity <= 5 and order.quantity <= 6")).agree(order(quantity=9))
        assert len(answer.keys) == answer.count == 1


class TestExactVerdicts:
    def test_a_rule_left_to_the_exact_evaluator_takes_its_verdict(self):
        pair = Pair(simple("count(position where position.after.quantity != 0) <= 1", "account"))
        assert pair.expert.shares()["r"] != "clips"
        assert pair.agree(order()).keys == frozenset()

    def test_its_breach_is_taken_over(self):
        document = world(positions=[position("BETA", 1)])
        pair = Pair(simple("count(position where position.after.quantity != 0) <= 1", "account"), document)
        assert pair.agree(order()).keys == {("r", "A", Status.BREACH)}

    def test_a_missing_fact_is_undecided(self):
        document = world()
        del document["instruments"][0]["adv"]
        pair = Pair(simple("order.quantity <= 5% * instrument.adv"), document)
        assert pair.agree(order()).keys == {("r", "buy-ACME-1", Status.UNDECIDED)}

    def test_a_missing_group_is_undecided_for_the_empty_subject(self):
        document = world()
        del document["instruments"][0]["issuer"]
        pair = Pair(simple(WEIGHT, "issuer"), document)
        assert pair.agree(order()).keys == {("r", "", Status.UNDECIDED)}

    def test_a_stale_price_is_undecided_once_its_time_is_over(self):
        from datetime import timedelta

        from lexorder.engine.events import SingleChanged

        document = world()
        document["instruments"][0]["mark_time"] = "2026-06-15T11:50:00-04:00"
        pair = Pair(simple(WEIGHT, "issuer"), document)
        assert pair.agree(order()).keys == frozenset()
        now = pair.reference.snapshot.time
        pair.apply(SingleChanged({"clock.now": now + timedelta(minutes=5)}))
        assert pair.agree(order()).keys == frozenset()
        pair.apply(SingleChanged({"clock.now": now + timedelta(minutes=5, seconds=1)}))
        assert pair.agree(order()).keys == {("r", "ACME", Status.UNDECIDED)}

    def test_the_same_when_another_holding_is_stale(self):
        from datetime import timedelta

        from lexorder.engine.events import SingleChanged

        document = world(positions=[position("BETA", 1)])
        document["instruments"][1]["mark_time"] = "2026-06-15T11:50:00-04:00"
        pair = Pair(simple("sum(position.after.value) <= account.nav", "account"), document)
        assert pair.agree(order()).keys == frozenset()
        now = pair.reference.snapshot.time
        pair.apply(SingleChanged({"clock.now": now + timedelta(minutes=6)}))
        assert pair.agree(order()).keys == {("r", "A", Status.UNDECIDED)}

    def test_baskets_are_the_exact_evaluators(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        answer = pair.agree(order(quantity=30), order(quantity=31))
        assert answer.keys == {("r", "ACME", Status.BREACH)}

    def test_no_order_at_all(self):
        pair = Pair(simple(WEIGHT, "issuer"), world(positions=[position("ACME", 80)]))
        assert pair.agree().keys

    def test_an_order_beyond_the_caps(self):
        pair = Pair(simple("order.notional <= 1_000"))
        assert pair.agree(order(quantity=10_000_000)).keys == {("r", "buy-ACME-10000000", Status.BREACH)}

    def test_a_limit_order_without_a_price(self):
        pair = Pair(simple("order.notional <= 1_000"))
        facts = load_order(order(), VOCABULARY)
        del facts["order.price"]
        exact = pair.reference.check("A", (facts,))
        assert pair.expert.check("A", (facts,), exact).keys == exact.keys == {("r", "buy-ACME-1", Status.UNDECIDED)}

    def test_a_market_order_needs_none(self):
        facts = order(ord_type="market")
        del facts["price"]
        pair = Pair(simple("order.notional <= 100"))
        assert pair.agree(facts).keys == {("r", "buy-ACME-1", Status.BREACH)}


class TestInt64Border:
    def book(self, limit: str) -> Pair:
        document = world(account={"nav": "900000000000"})
        return Pair(simple(f"sum(abs(position.after.value)) <= {limit} * account.nav", "account"), document)

    def off(self, pair: Pair) -> frozenset[str]:
        """The rules that one share bought leaves to the exact verdict."""
        rows = pair.expert.rows
        _, off = rows.packed(load_order(order(), VOCABULARY), pair.expert.live.accounts["A"])
        found: frozenset[str] = rows.off_rules(off)
        return found

    def test_values_that_fit_are_clips_own(self):
        pair = self.book("5%")
        pair.agree(order())
        assert self.off(pair) == frozenset()

    def test_values_that_could_wrap_are_left_to_the_exact_verdict(self):
        pair = self.book("5.00000001%")
        pair.agree(order())
        assert self.off(pair) == {"r"}

    def test_without_the_proof_clips_would_wrap_and_the_two_would_disagree(self, monkeypatch):
        monkeypatch.setattr("lexorder.engine.expert.formula.check", lambda node, ranges: None)
        document = world(account={"nav": "900000000000.0001"})
        wrong = 0
        for digit in range(1, 9):
            text = f"sum(abs(position.after.value)) <= 5.12345678{digit}% * account.nav"
            exact, answer = Pair(simple(text, "account"), document).both(order())
            assert exact.keys == frozenset()
            wrong += answer.keys != exact.keys
        assert wrong


class TestDerivedFacts:
    BOOK = rules(
        "rule: regime\ntitle: T\nfor_each: market\nwhen: market.volatility > 5%\nderive: {market.regime: VOLATILE}",
        "rule: small\ntitle: T\nwhen: market.regime == VOLATILE\nrequire: order.quantity <= 5",
    )

    def document(self, volatility: str | None) -> dict[str, Any]:
        facts = {} if volatility is None else {"volatility": volatility}
        return world(market=[{"symbol": "ACME", **facts}])

    def test_a_rule_chains_on_it(self):
        pair = Pair(self.BOOK, self.document("6%"))
        answer = pair.agree(order(quantity=6))
        assert answer.keys == {("small", "buy-ACME-6", Status.BREACH)}
        assert [(d.name, d.subject, d.value, d.rule) for d in answer.derived] == [
            ("market.regime", "ACME", "VOLATILE", "regime")
        ]
        assert [(f.rule, f.why) for f in answer.fired] == [("regime", "market.volatility = 0.06")]

    def test_nothing_derived_is_the_default(self):
        pair = Pair(self.BOOK, self.document("5%"))
        assert pair.agree(order(quantity=6)).keys == frozenset()

    def test_what_cannot_be_derived_is_undecided(self):
        pair = Pair(self.BOOK, self.document(None))
        assert pair.agree(order(quantity=6)).keys == {("small", "buy-ACME-6", Status.UNDECIDED)}

    def test_it_follows_the_market(self):
        from lexorder.engine.events import InstrumentChanged

        pair = Pair(self.BOOK, self.document("6%"))
        pair.agree(order(quantity=6))
        pair.apply(InstrumentChanged("ACME", {"market.volatility": Fraction(1, 100)}))
        assert pair.agree(order(quantity=6)).keys == frozenset()


class TestFaults:
    """Whatever goes wrong is an error or a difference, never a pass."""

    def test_a_dropped_rule_is_a_difference(self):
        book = (*simple("order.quantity <= 5"), *simple("order.quantity <= 6", name="s"))
        pair = Pair(book)
        rule = lib.FindDefrule(pair.expert.session.environment, b"s-1-buy")
        assert lib.Undefrule(rule, pair.expert.session.environment)
        exact, answer = pair.both(order(quantity=9))
        assert exact.keys - answer.keys == {("s", "buy-ACME-9", Status.BREACH)}

    def test_a_rule_left_out_of_the_book_is_a_different_count(self):
        book = (*simple("order.quantity <= 5"), *simple("order.quantity <= 6", name="s"))
        pair = Pair(book)
        short = ExpertBook(book[:1], VOCABULARY, load_snapshot(world(), VOCABULARY))
        exact, _ = pair.both(order())
        assert short.check("A", (load_order(order(), VOCABULARY),), exact).count != exact.count

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [("(<=", "(<"), ("50000", "50001"), ("(not (<= ?o-quantity 50000))", "(<= ?o-quantity 50000)")],
    )
    def test_a_changed_construct_is_a_difference_on_the_limit(self, monkeypatch, right, wrong):
        from lexorder.engine.expert import rowplan

        real = rowplan._rule
        monkeypatch.setattr(rowplan, "_rule", lambda r, sides: real(r, sides).replace(right, wrong))
        pair = Pair(simple("order.quantity <= 50_000"), world(account={"nav": "100000000"}))
        different = [
            exact.keys != answer.keys for exact, answer in (pair.both(order(quantity=q)) for q in (50_000, 50_001))
        ]
        assert any(different)

    def test_an_error_in_a_construct_is_raised_not_passed(self, monkeypatch):
        from lexorder.engine.expert import rowplan

        real = rowplan._rule
        bad = "(div 1 (- ?o-quantity ?o-quantity))"
        monkeypatch.setattr(
            rowplan, "_rule", lambda r, sides: real(r, sides).replace("(<= ?o-quantity 5)", f"(> {bad} 0)")
        )
        pair = Pair(simple("order.quantity <= 5"))
        for _ in range(2):
            with pytest.raises(ExpertError, match="expert-error"):
                pair.both(order(quantity=9))

    def test_a_run_without_its_last_rule_is_an_error(self):
        pair = Pair(simple("order.quantity <= 5"))
        pair.agree(order())
        environment = pair.expert.session.environment
        assert lib.Undefrule(lib.FindDefrule(environment, b"row-done"), environment)
        with pytest.raises(ExpertError, match="stopped before"):
            pair.both(order())

    def test_a_halted_run_is_an_error(self):
        pair = Pair(simple("order.quantity <= 5"))
        lib.Build(pair.expert.session.environment, b"(defrule stop (declare (salience 99)) (row) => (halt))")
        with pytest.raises(ExpertError, match="stopped before"):
            pair.both(order())

    def test_a_swallowed_error_is_noticed_by_the_count_of_firings(self):
        pair = Pair(simple("order.quantity <= 5"))
        lib.Build(pair.expert.session.environment, b"(defrule stop (declare (salience 99)) (row) => (div 1 0))")
        with pytest.raises(ExpertError, match="expert-error"):
            pair.both(order())

    def test_a_loop_is_stopped_and_the_next_order_is_judged(self):
        pair = Pair(simple("order.quantity <= 5"))
        pair.agree(order())
        loop = b"(defrule spin (row (quantity 7)) => (while TRUE do (bind ?x 1)))"
        lib.Build(pair.expert.session.environment, loop)
        with pytest.raises(ExpertError, match="expert-deadline"):
            pair.both(order(quantity=7))
        assert pair.agree(order(quantity=8)).keys

    def test_another_thread_is_refused(self):
        pair = Pair(simple("order.quantity <= 5"))
        codes: list[str] = []

        def use() -> None:
            try:
                pair.both(order())
            except ExpertError as error:
                codes.append(error.code)

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        assert codes == ["expert-thread"]

    def test_findings_do_not_stay_for_the_next_order(self):
        pair = Pair(simple("order.quantity <= 5"))
        pair.agree(order(quantity=6))
        assert pair.agree(order(quantity=5)).keys == frozenset()

    def test_verdicts_of_rules_clips_judges_itself_are_not_taken_over(self):
        pair = Pair(simple("order.quantity <= 5"))
        lie = ExactAnswer(frozenset({("r", "buy-ACME-1", Status.BREACH)}), 1, lambda: ())
        assert pair.expert.check("A", (load_order(order(), VOCABULARY),), lie).keys == frozenset()


class TestRows:
    def test_what_is_known_of_an_account_and_a_name_is_used_again(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        pair.agree(order(quantity=51))
        blocks = pair.expert.rows._blocks
        before = {place: dict(found) for place, found in blocks.items()}
        pair.agree(order(quantity=52))
        assert all(blocks[place][key] is block for place, found in before.items() for key, block in found.items())

    def test_a_finer_value_brings_finer_scales_and_the_same_verdicts(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        pair.agree(order(quantity=50))
        first = pair.expert.rows
        pair.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(1000001, 10_000)}))
        assert pair.agree(order(quantity=50)).keys
        assert pair.agree(order(quantity=49)).keys == frozenset()
        assert pair.expert.rows is not first

    def test_a_value_finer_than_any_scale_is_left_to_the_exact_verdict(self):
        pair = Pair(simple("order.quantity * (1 / account.nav) <= 1", "order"), world(account={"nav": "1000000007"}))
        pair.agree(order(quantity=50))
        rows = pair.expert.rows
        _, off = rows.packed(load_order(order(), VOCABULARY), pair.expert.live.accounts["A"])
        assert rows.off_rules(off) == {"r"}

    def test_nothing_stays_in_clips_for_an_order(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        for quantity in (10, 51, 10, 51):
            pair.agree(order(quantity=quantity))
        for template in ("row", "finding", "verdict"):
            assert list(pair.expert.session.facts(template)) == []

    def test_a_word_beside_a_test_is_tested_too(self):
        """CLIPS takes `?x&word&:(test)` for the word alone: the row never writes it."""
        text = "count(order where order.position_effect == open) <= 1"
        pair = Pair(simple(text, "account", "when: any(order.position_effect == open)"))
        assert pair.agree(order()).keys == frozenset()
        assert all("&open" not in construct for construct in pair.expert.rows.plan.constructs)

    def test_closing_gives_everything_back(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        pair.expert.close()
        with pytest.raises(ExpertError):
            pair.expert.check("A", (load_order(order(), VOCABULARY),), NOTHING)
