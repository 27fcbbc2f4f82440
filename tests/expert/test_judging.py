"""The expert judges orders, from one row or prepared leaves: alone where it can, else by exact verdicts.

All that stands here holds for both ways; what only one of them has is in `test_book.py` and `test_contextbook.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest

from lexorder.engine.errors import ExpertError
from lexorder.engine.events import InstrumentChanged, SingleChanged
from lexorder.engine.expert import emit, rowplan
from lexorder.engine.expert.clipslib import lib
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.ports import ExactAnswer
from lexorder.engine.verdict import Status
from tests.expert.books import NOTHING, Leaves, Pair, rules, simple
from tests.worlds import VOCABULARY, instrument, order, position, working, world

WEIGHT = "sum(abs(position.after.value)) <= 5% * account.nav"
CASH = "account.after.cash >= 0"


@dataclass(frozen=True)
class Way:
    """One of the two ways: its pair, the template an order becomes a fact of, and the function that writes a rule."""

    pair: Callable[..., Pair]
    template: str
    module: ModuleType
    writer: str

    def changed(self, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str) -> None:
        """From now on rules are written with one text in place of another."""
        real = getattr(self.module, self.writer)
        monkeypatch.setattr(self.module, self.writer, lambda r, sides: real(r, sides).replace(right, wrong))

    def built(self, pair: Pair, condition: str, action: str, salience: int = 0) -> None:
        """One more rule on the order's fact, given to CLIPS behind the engine's back."""
        text = f"(defrule planted (declare (salience {salience})) ({self.template}{condition}) => {action})"
        assert lib.Build(pair.expert.session.environment, text.encode()) == lib.BE_NO_ERROR

    def left(self, pair: Pair) -> set[str]:
        """The rules that one share bought leaves to the exact verdict."""
        if self.template == "order":
            (context,) = pair.expert.contexts.kept.values()
            return {key if isinstance(key, str) else key[0] for key in context.routed}
        rows = pair.expert.rows
        _, off = rows.packed(load_order(order(), VOCABULARY), pair.expert.live.accounts["A"])
        return set(rows.off_rules(off))


ROWS = Way(Pair, "row", rowplan, "_rule")
LEAVES = Way(Leaves, "order", emit, "_rule_text")


@pytest.fixture(params=[ROWS, LEAVES], ids=["row", "leaves"])
def way(request: pytest.FixtureRequest) -> Way:
    """Both ways, one after the other."""
    found: Way = request.param
    return found


def restricted(*names: str) -> dict[str, list[str]]:
    return {"restricted": list(names), "watch": []}


TWO_NAMES = [instrument("ACME"), instrument("ACME.B", issuer="ACME")]
ALONE: dict[str, tuple[Any, dict[str, Any], list[tuple[dict[str, Any], str]]]] = {
    "a share beyond the limit": (
        simple("order.quantity <= 50"),
        {},
        [({"quantity": 50}, ""), ({"quantity": 51}, "buy-ACME-51 breach")],
    ),
    "exactly at a weight": (
        simple(WEIGHT, "issuer"),
        {},
        [({"quantity": 50}, ""), ({"quantity": 51}, "ACME breach")],
    ),
    "a working order counts as if it had filled": (
        simple(WEIGHT, "issuer"),
        {"working_orders": [working("W", "ACME", "buy", 20)]},
        [({"quantity": 30}, ""), ({"quantity": 31}, "ACME breach")],
    ),
    "a working sell frees nothing": (
        simple(WEIGHT, "issuer"),
        {"positions": [position("ACME", 50)], "working_orders": [working("W", "ACME", "sell", 50)]},
        [({"quantity": 1}, "ACME breach")],
    ),
    "the other names of an issuer count": (
        simple(WEIGHT, "issuer"),
        {"instruments": TWO_NAMES, "positions": [position("ACME.B", -40)]},
        [({"quantity": 10}, ""), ({"quantity": 11}, "ACME breach")],
    ),
    "selling out of a breach is passive, but not through zero": (
        simple(WEIGHT, "issuer"),
        {"positions": [position("ACME", 80)]},
        [
            ({"side": "sell", "quantity": 10}, "ACME passive"),
            ({"side": "sell", "quantity": 80}, "ACME passive"),
            ({"side": "sell", "quantity": 81}, "ACME breach"),
            ({"side": "buy", "quantity": 1}, "ACME breach"),
        ],
    ),
    "cash, fees included": (
        simple(CASH, "account"),
        {"account": {"cash": "1000"}},
        [
            ({"quantity": 10}, ""),
            ({"quantity": 11}, "A breach"),
            ({"quantity": 10, "fee_per_share": "0.0001"}, "A breach"),
        ],
    ),
    "a short sale without a locate": (
        simple("order.has_locate", extra="when: order.side == sell_short"),
        {},
        [
            ({"side": "sell_short", "has_locate": "true"}, ""),
            ({"side": "sell_short"}, "sell_short-ACME-1 breach"),
            ({"side": "sell"}, ""),
        ],
    ),
    "a restricted symbol": (
        simple("order.symbol not in lists.restricted"),
        {"lists": restricted("ACME")},
        [({}, "buy-ACME-1 breach"), ({"symbol": "BETA"}, "")],
    ),
    "a breach outranks a passive part": (
        simple("position.after.quantity <= 5 and position.after.quantity >= -5", "position"),
        {"positions": [position("ACME", 10)]},
        [
            ({"side": "sell", "quantity": 4}, "ACME passive"),
            ({"side": "sell", "quantity": 15}, "ACME breach"),
            ({"side": "sell", "quantity": 16}, "ACME breach"),
        ],
    ),
    "a name that is new counts with what it adds by being there": (
        simple("sum(position.after.value + 100) <= 1_000", "account"),
        {"positions": [position("BETA", 5)]},
        [({"quantity": 3}, ""), ({"quantity": 4}, "A breach"), ({"quantity": 4, "symbol": "BETA"}, "")],
    ),
    "a strict limit is broken when it is met": (
        simple("sum(position.after.value) < 1_000", "account"),
        {},
        [({"quantity": 9}, ""), ({"quantity": 10}, "A breach")],
    ),
}


@pytest.mark.parametrize("case", ALONE.values(), ids=ALONE)
def test_clips_finds_by_itself(way, case):
    """No exact verdict to lean on; the same findings stand in the reference."""
    book, sections, orders = case
    pair = way.pair(book, world(**sections))
    for facts, expected in orders:
        found = {f"{subject} {status}" for _, subject, status in pair.alone(**facts)}
        assert found == ({expected} if expected else set()), facts
        pair.agree(order(**facts))
    pair.expert.close()


class TestPairs:
    def test_every_pair_an_order_touches(self):
        """For several subjects there is no row: only prepared leaves."""
        pairs = [{"id": f"ACME/{s}", "first": "ACME", "second": s, "correlation": "0.9"} for s in ("BETA", "COCO")]
        document = world(pairs=pairs, positions=[position("BETA", 95)])
        for make in (Pair, Leaves):
            pair = make(simple("sum(position.after.value) <= 10% * account.nav", "pair"), document)
            assert pair.alone(quantity=6) == {("r", "ACME/BETA", "breach")}
            assert pair.agree(order(quantity=6)).count == 2


class TestCounts:
    def test_every_rule_and_subject_is_counted(self, way):
        book = (*simple("order.quantity <= 5"), *simple(WEIGHT, "issuer", name="s"))
        assert way.pair(book).agree(order()).count == 2

    def test_a_rule_that_does_not_apply_is_counted(self, way):
        pair = way.pair(simple("order.quantity <= 5", extra="when: instrument.halted"))
        assert pair.agree(order(quantity=9)).count == 1

    def test_a_breach_of_two_parts_is_one_verdict(self, way):
        answer = way.pair(simple("order.quantity <= 5 and order.quantity <= 6")).agree(order(quantity=9))
        assert len(answer.keys) == answer.count == 1


class TestExactVerdicts:
    def test_a_rule_left_to_the_exact_evaluator_takes_its_verdict(self, way):
        text = "count(position where position.after.quantity != 0) <= 1"
        for held, broken in (([], False), ([position("BETA", 1)], True)):
            pair = way.pair(simple(text, "account"), world(positions=held))
            assert pair.expert.shares()["r"] != "clips"
            assert pair.agree(order()).keys == ({("r", "A", Status.BREACH)} if broken else frozenset())

    @pytest.mark.parametrize(
        ("fact", "text", "for_each", "subject"),
        [
            ("adv", "order.quantity <= 5% * instrument.adv", "order", "buy-ACME-1"),
            ("mark", WEIGHT, "issuer", "ACME"),
            ("issuer", WEIGHT, "issuer", ""),
        ],
    )
    def test_a_missing_fact_is_undecided(self, way, fact, text, for_each, subject):
        document = world()
        del document["instruments"][0][fact]
        pair = way.pair(simple(text, for_each), document)
        assert pair.agree(order()).keys == {("r", subject, Status.UNDECIDED)}

    @pytest.mark.parametrize(("ordered", "stale"), [("ACME", 0), ("ACME", 1)])
    def test_a_stale_price_is_undecided_once_its_time_is_over(self, way, ordered, stale):
        """The ordered name's own price, or that of another holding."""
        document = world(positions=[position("BETA", 1)])
        document["instruments"][stale]["mark_time"] = "2026-06-15T11:50:00-04:00"
        pair = way.pair(simple("sum(position.after.value) <= account.nav", "account"), document)
        now = pair.reference.snapshot.time
        for seconds, known in ((0, True), (300, True), (301, False), (3_000, False)):
            pair.apply(SingleChanged({"clock.now": now + timedelta(seconds=seconds)}))
            found = pair.agree(order(symbol=ordered)).keys
            assert found == (frozenset() if known else {("r", "A", Status.UNDECIDED)})

    def test_baskets_are_the_exact_evaluators(self, way):
        pair = way.pair(simple(WEIGHT, "issuer"))
        assert pair.agree(order(quantity=30), order(quantity=31)).keys == {("r", "ACME", Status.BREACH)}

    def test_no_order_at_all(self, way):
        assert way.pair(simple(WEIGHT, "issuer"), world(positions=[position("ACME", 80)])).agree().keys

    def test_an_order_beyond_the_caps(self, way):
        pair = way.pair(simple("order.notional <= 1_000"))
        assert pair.agree(order(quantity=10_000_000)).keys == {("r", "buy-ACME-10000000", Status.BREACH)}

    def test_a_limit_order_without_a_price(self, way):
        pair = way.pair(simple("order.notional <= 1_000"))
        facts = {k: v for k, v in load_order(order(), VOCABULARY).items() if k != "order.price"}
        exact = pair.reference.check("A", (facts,))
        assert pair.expert.check("A", (facts,), exact).keys == exact.keys == {("r", "buy-ACME-1", Status.UNDECIDED)}

    @pytest.mark.parametrize(("text", "for_each"), [("order.notional <= 1_049", "order"), (CASH, "account")])
    def test_a_market_order_needs_no_price_and_counts_at_the_collar(self, way, text, for_each):
        facts = {k: v for k, v in order(quantity=10, ord_type="market").items() if k != "price"}
        for cash, broken in (("1049.9999", True), ("1050", for_each == "order")):
            pair = way.pair(simple(text, for_each), world(account={"cash": cash}))
            assert bool(pair.agree(facts).keys) is broken


class TestInt64Border:
    def book(self, way: Way, limit: str) -> Pair:
        document = world(account={"nav": "900000000000"})
        return way.pair(simple(f"sum(abs(position.after.value)) <= {limit} * account.nav", "account"), document)

    @pytest.mark.parametrize(("limit", "left"), [("5%", set()), ("5.00000001%", {"r"})])
    def test_values_that_could_wrap_are_left_to_the_exact_verdict(self, way, limit, left):
        pair = self.book(way, limit)
        pair.agree(order())
        assert way.left(pair) == left

    def test_without_the_proof_clips_would_wrap_and_the_two_would_disagree(self, way, monkeypatch):
        monkeypatch.setattr("lexorder.engine.expert.formula.check", lambda node, ranges: None)
        document = world(account={"nav": "900000000000.0001"})
        wrong = 0
        for digit in range(1, 9):
            text = f"sum(abs(position.after.value)) <= 5.12345678{digit}% * account.nav"
            exact, answer = way.pair(simple(text, "account"), document).both(order())
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

    def test_a_rule_chains_on_it(self, way):
        answer = way.pair(self.BOOK, self.document("6%")).agree(order(quantity=6))
        assert answer.keys == {("small", "buy-ACME-6", Status.BREACH)}
        assert [(d.name, d.subject, d.value, d.rule) for d in answer.derived] == [
            ("market.regime", "ACME", "VOLATILE", "regime")
        ]
        assert [(f.rule, f.why) for f in answer.fired] == [("regime", "market.volatility = 0.06")]

    @pytest.mark.parametrize(("volatility", "status"), [("5%", None), ("6%", Status.BREACH), (None, Status.UNDECIDED)])
    def test_nothing_derived_is_the_default_and_what_cannot_be_is_undecided(self, way, volatility, status):
        pair = way.pair(self.BOOK, self.document(volatility))
        expected = frozenset() if status is None else {("small", "buy-ACME-6", status)}
        assert pair.agree(order(quantity=6)).keys == expected

    def test_it_follows_the_market(self, way):
        pair = way.pair(self.BOOK, self.document("6%"))
        pair.agree(order(quantity=6))
        pair.apply(InstrumentChanged("ACME", {"market.volatility": Fraction(1, 100)}))
        assert pair.agree(order(quantity=6)).keys == frozenset()


class TestFaults:
    """Whatever goes wrong is an error or a difference, never a pass."""

    BOOK = (*simple("order.quantity <= 5"), *simple("order.quantity <= 6", name="s"))

    def test_a_dropped_rule_is_a_difference(self, way):
        pair = way.pair(self.BOOK)
        environment = pair.expert.session.environment
        assert lib.Undefrule(lib.FindDefrule(environment, b"s-1-buy"), environment)
        exact, answer = pair.both(order(quantity=9))
        assert exact.keys - answer.keys == {("s", "buy-ACME-9", Status.BREACH)}

    def test_a_rule_left_out_of_the_book_is_a_different_count(self, way):
        exact, _ = way.pair(self.BOOK).both(order())
        short = way.pair(self.BOOK[:1]).expert
        assert short.check("A", (load_order(order(), VOCABULARY),), exact).count != exact.count

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [("(<=", "(<"), ("50000", "50001"), ("(not (<= ?o-quantity 50000))", "(<= ?o-quantity 50000)")],
    )
    def test_a_changed_construct_is_a_difference_on_the_limit(self, way, monkeypatch, right, wrong):
        way.changed(monkeypatch, right, wrong)
        pair = way.pair(simple("order.quantity <= 50_000"), world(account={"nav": "100000000"}))
        answers = [pair.both(order(quantity=q)) for q in (50_000, 50_001)]
        assert any(exact.keys != answer.keys for exact, answer in answers)

    def test_an_error_in_a_construct_is_raised_not_passed(self, way, monkeypatch):
        way.changed(monkeypatch, "(<= ?o-quantity 5)", "(> (div 1 (- ?o-quantity ?o-quantity)) 0)")
        pair = way.pair(simple("order.quantity <= 5"))
        for _ in range(2):
            with pytest.raises(ExpertError, match="expert-error"):
                pair.both(order(quantity=9))

    @pytest.mark.parametrize(
        ("action", "error"), [("(halt)", "stopped before"), ("(div 1 0)", "expert-error"), ("(run 1 2)", "expert-")]
    )
    def test_a_run_that_is_cut_short_is_an_error(self, way, action, error):
        pair = way.pair(simple("order.quantity <= 5"))
        if action == "(run 1 2)":
            way.built(pair, "", "(assert (finding (rule r) (subject x) (status breach)))", 99)
            lib.Build(pair.expert.session.environment, b"(defrule more ?f <- (finding) => (printout werror here))")
        else:
            way.built(pair, "", action, 99)
        with pytest.raises(ExpertError, match=error):
            pair.both(order())

    def test_a_loop_is_stopped_and_the_next_order_is_judged(self, way):
        pair = way.pair(simple("order.quantity <= 5"))
        pair.agree(order())
        way.built(pair, " (quantity 7)", "(while TRUE do (bind ?x 1))")
        with pytest.raises(ExpertError, match="expert-deadline"):
            pair.both(order(quantity=7))
        assert pair.agree(order(quantity=8)).keys

    def test_rules_that_fire_for_ever_are_stopped_and_the_next_order_is_judged(self, way):
        pair = way.pair(simple("order.quantity <= 5"))
        pair.expert.session.firings_max = 50
        for text in (
            b"(deftemplate tick (slot n))",
            f"(defrule begin ({way.template} (quantity 7)) => (assert (tick (n 0))))".encode(),
            b"(defrule on ?t <- (tick (n ?n)) => (retract ?t) (assert (tick (n (+ ?n 1)))))",
        ):
            assert lib.Build(pair.expert.session.environment, text) == lib.BE_NO_ERROR
        with pytest.raises(ExpertError, match="stopped before"):
            pair.both(order(quantity=7))
        for fact in pair.expert.session.facts("tick"):
            lib.Retract(fact)
        pair.expert.session.recover()
        assert pair.agree(order(quantity=8)).keys

    def test_a_verdict_that_cannot_be_told_leaves_nothing_for_the_next_order(self, way, monkeypatch):
        """Two rules are left to exact verdicts; telling the second one fails."""
        text = "count(position where position.after.quantity != 0) <= 0"
        pair = way.pair((*simple(text, "account"), *simple(text, "account", name="s")))
        expert = getattr(pair.expert, "rest", pair.expert)
        self.second_add_fails(expert.session, monkeypatch)
        with pytest.raises(ExpertError, match="expert-deadline"):
            pair.both(order())
        monkeypatch.undo()
        assert list(expert.session.facts("verdict")) == []
        honest = ExactAnswer(frozenset(), 2, lambda: ())
        assert pair.expert.check("A", (load_order(order(), VOCABULARY),), honest).keys == frozenset()

    def second_add_fails(self, session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        real, calls = session.add, [0]

        def failing(builder: Any) -> Any:
            if builder.template == "verdict":
                calls[0] += 1
                if calls[0] == 2:
                    lib.FBAbort(builder.handle)
                    raise ExpertError("expert-deadline", "CLIPS took too long")
            return real(builder)

        monkeypatch.setattr(session, "add", failing)

    def test_another_thread_is_refused(self, way):
        pair = way.pair(simple("order.quantity <= 5"))
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

    def test_a_closed_book_is_refused(self, way):
        pair = way.pair(simple(WEIGHT, "issuer"))
        pair.expert.close()
        pair.expert.close()
        for orders in ((), (order(),), (order(), order(quantity=2))):
            with pytest.raises(ExpertError, match="expert-closed"):
                pair.expert.check("A", tuple(load_order(o, VOCABULARY) for o in orders), NOTHING)

    def test_findings_do_not_stay_for_the_next_order(self, way):
        pair = way.pair(simple("order.quantity <= 5"))
        pair.agree(order(quantity=6))
        assert pair.agree(order(quantity=5)).keys == frozenset()
        for template in (way.template, "finding", "verdict"):
            assert list(pair.expert.session.facts(template)) == []

    def test_verdicts_of_rules_clips_judges_itself_are_not_taken_over(self, way):
        pair = way.pair(simple("order.quantity <= 5"))
        lie = ExactAnswer(frozenset({("r", "buy-ACME-1", Status.BREACH)}), 1, lambda: ())
        assert pair.expert.check("A", (load_order(order(), VOCABULARY),), lie).keys == frozenset()

    def test_nor_is_silence_about_them(self, way):
        """An exact evaluator that forgets a breach does not make CLIPS forget it."""
        pair = way.pair(simple(WEIGHT, "issuer"))
        assert pair.alone(quantity=51) == {("r", "ACME", "breach")}


def test_a_snapshot_may_be_read_by_both_at_once():
    """Two books on one snapshot share nothing that changes."""
    snapshot = load_snapshot(world(), VOCABULARY)
    one, other = (
        Pair.make(simple(WEIGHT, "issuer"), VOCABULARY, snapshot),
        Leaves.make(simple(WEIGHT, "issuer"), VOCABULARY, snapshot),
    )
    one.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(200)}))
    orders = (load_order(order(quantity=30), VOCABULARY),)
    assert one.check("A", orders, NOTHING).keys == {("r", "ACME", Status.BREACH)}
    assert other.check("A", orders, NOTHING).keys == frozenset()
