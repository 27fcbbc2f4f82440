"""What the monitor's rules ask for: orders that close and never turn round, whatever else fills meanwhile."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import product
from random import Random

import pytest

from lexorder.engine import acting
from lexorder.engine.acting import Acted, ExitOrder, act
from lexorder.engine.compose import Effect, Exit, compose
from lexorder.engine.errors import SnapshotError
from lexorder.engine.expert.inference import Inference
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.react import Act, Reactions, Unknown
from tests.worlds import VOCABULARY, book, instrument, position, working, world

CRASH = """
    rule: crash
    phases: [monitor]
    for_each: instrument
    when: market.return_10s < -2%
    then:
      - set: {trading_state: REDUCING, for: 15 min}
      - exit: {fraction: 100%, price: instrument.bid * 99%, participation: 10%}
      - alert: critical
"""
LOSS = """
    rule: loss
    phases: [monitor]
    for_each: account
    when: account.nav < 90_000
    then:
      - exit: {fraction: 50%}
      - cancel: working_orders
"""


def titled(*rules: str):
    """A book of them; each also needs a title."""
    return book(*(re.sub(r"(?m)^( *)(rule: .*)$", r"\1\2\n\1title: T", rule) for rule in rules))


def looked(rules, **sections) -> Acted:
    return act(titled(*rules), load_snapshot(world(**sections), VOCABULARY), VOCABULARY, "A")


def leaving(how: str, held: int, *orders, **facts) -> tuple[ExitOrder, ...]:
    """The exit orders of a rule that always asks for `how`, with so much of ACME held."""
    rule = f"""
        rule: out
        phases: [monitor]
        for_each: position
        when: position.before.quantity != 0
        then: [{how}]
    """
    things = [instrument("ACME", **facts)]
    return looked([rule], instruments=things, positions=[position("ACME", held)], working_orders=list(orders)).exits


class TestALook:
    def test_nothing_moved(self):
        calm = looked([CRASH], market=[{"symbol": s, "return_10s": "-2%"} for s in ("ACME", "BETA", "COCO")])
        assert (calm.effects, calm.exits, calm.cancels, calm.unknown) == ((), (), (), ())

    def test_one_name_fell(self):
        moved = [{"symbol": s, "return_10s": m} for s, m in (("ACME", "-2.0001%"), ("BETA", "0%"), ("COCO", "-3%"))]
        told = looked([CRASH], market=moved, positions=[position("ACME", 7)])
        (acme, coco) = told.effects
        assert (acme.entity, acme.key, coco.key) == ("instrument", "ACME", "COCO")
        assert acme.effect.trading_state == "REDUCING"
        assert acme.effect.seconds == 900
        assert acme.effect.alert == "critical"
        (out,) = told.exits  # COCO is not held
        assert (out.symbol, out.side) == ("ACME", "sell")
        assert out.quantity == 7
        assert out.price == 99
        assert out.participation == Fraction(1, 10)

    def test_a_missing_fact_is_unknown_and_not_calm(self):
        told = looked([CRASH], market=[{"symbol": "ACME", "return_10s": "-3%"}, {"symbol": "BETA", "return_10s": "0%"}])
        assert [e.key for e in told.effects] == ["ACME"]
        assert [(u.rule, u.subject) for u in told.unknown] == [("crash", "COCO")]
        assert "market.return_10s of COCO" in told.unknown[0].why

    def test_rules_of_one_name_come_to_one_effect_whatever_they_call_it(self):
        calls = ["instrument", "market", "position"]
        rules = [
            f"""
            rule: r{n}
            phases: [monitor]
            for_each: {entity}
            then: [exit: {{fraction: {n + 1}0%}}]
            """
            for n, entity in enumerate(calls)
        ]
        told = looked(rules, instruments=[instrument("ACME")], positions=[position("ACME", 100)])
        assert [(e.key, e.effect.exit) for e in told.effects] == [("ACME", Exit(Fraction(3, 10)))]
        assert told.effects[0].effect.rules == ("r0", "r1", "r2")
        assert [o.quantity for o in told.exits] == [30]

    def test_an_account_s_exit_is_one_of_every_position(self):
        held = [position("ACME", 11), position("BETA", -4)]
        told = looked([LOSS], account={"nav": "89999.9999"}, positions=held)
        assert [(e.entity, e.key) for e in told.effects] == [("account", "A")]
        assert [(o.symbol, o.side, int(o.quantity)) for o in told.exits] == [("ACME", "sell", 5), ("BETA", "buy", 2)]

    def test_exactly_at_the_figure_it_is_silent(self):
        assert looked([LOSS], account={"nav": "90000"}, positions=[position("ACME", 11)]).effects == ()

    def test_the_largest_exit_of_several_rules_and_the_order_names_them(self):
        moved = [{"symbol": s, "return_10s": "-3%"} for s in ("ACME", "BETA", "COCO")]
        held = [position("ACME", 11), position("BETA", 10)]
        told = looked([LOSS, CRASH], account={"nav": "1"}, positions=held, market=moved)
        assert [(o.symbol, int(o.quantity), o.rules) for o in told.exits] == [
            ("ACME", 11, ("crash", "loss")),
            ("BETA", 10, ("crash", "loss")),
        ]

    def test_working_orders_to_cancel(self):
        waiting = [working("W1", "ACME", "buy", 5), working("W2", "BETA", "sell", 5)]
        told = looked([LOSS], account={"nav": "1"}, working_orders=waiting, positions=[position("BETA", 9)])
        assert told.cancels == ("W1", "W2")
        assert looked([CRASH], market=[], working_orders=waiting).cancels == ()

    def test_rules_of_others_and_of_other_phases_say_nothing(self):
        other = LOSS.replace("for_each", "scope: {accounts: [B]}\n    for_each")
        assert looked([other], account={"nav": "1"}).effects == ()
        signals = "rule: s\nphases: [signal]\nfor_each: signal\nthen: [skip: no]"
        assert looked([signals, CRASH], market=[]).effects == ()

    def test_the_hashes_say_what_was_looked_at(self):
        snapshot = load_snapshot(world(), VOCABULARY)
        told = act(titled(LOSS), snapshot, VOCABULARY, "A")
        assert (told.rulebook_hash, told.snapshot_hash) == (titled(LOSS).hash, snapshot.hash)
        assert told.account == "A"

    def test_an_account_that_is_not_there(self):
        with pytest.raises(SnapshotError, match="did you mean `A`") as caught:
            act(titled(LOSS), load_snapshot(world(), VOCABULARY), VOCABULARY, "AA")
        assert caught.value.code == "unknown-account"


class TestDisagreement:
    @pytest.mark.parametrize(
        "other",
        [
            Reactions(()),
            Reactions((), (Unknown("loss", "A"),)),
            Reactions((Act("loss", "A", 0, "exit", (("fraction", Fraction(1)),)),)),
        ],
    )
    def test_what_only_one_evaluator_says_is_asked_of_nobody(self, monkeypatch, other):
        monkeypatch.setattr(Inference, "react", lambda *_arguments: other)
        told = looked([LOSS], account={"nav": "1"}, positions=[position("ACME", 11)])
        assert (told.effects, told.exits, told.cancels) == ((), (), ())
        assert [(u.rule, u.subject, u.why) for u in told.unknown] == [("loss", "A", acting.DISAGREED)]

    def test_nor_when_the_reference_says_nothing(self, monkeypatch):
        monkeypatch.setattr(acting, "react", lambda *_arguments: Reactions(()))
        told = looked([LOSS], account={"nav": "1"}, positions=[position("ACME", 11)])
        assert (told.effects, told.exits) == ((), ())
        assert [u.rule for u in told.unknown] == ["loss"]


class TestQuantity:
    @pytest.mark.parametrize(
        ("held", "fraction", "lot", "closed"),
        [
            (10, "50%", 1, 5),
            (3, "50%", 1, 1),
            (1, "50%", 1, 0),
            (250, "100%", 100, 200),
            (199, "50%", 100, 0),
            (200, "50%", 100, 100),
            (-3, "100%", 1, 3),
            (-3, "50%", 1, 1),
            (10, "250%", 1, 10),
            (10, "0%", 1, 0),
        ],
    )
    def test_whole_lots_rounded_down(self, held, fraction, lot, closed):
        orders = leaving(f"exit: {{fraction: {fraction}}}", held, lot=str(lot))
        assert [o.quantity for o in orders] == [closed] * bool(closed)

    @pytest.mark.parametrize(
        ("to", "held", "closed"),
        [
            ("30", 100, 70),
            ("30", -100, 70),
            ("100", 100, 0),
            ("101", 100, 0),
            ("99", 100, 1),
            ("0", 5, 5),
            ("USD 2_999.99", 100, 70),
            ("USD 3_000", 100, 70),
            ("USD 3_000.01", 100, 69),
            ("-5", 10, 10),
        ],
    )
    def test_reduced_to_shares_or_money_and_not_below(self, to, held, closed):
        """At a mark of 100, 3,000.01 is a bit more than 30 shares: to sell 70 would leave less."""
        if to.startswith("USD"):
            to = f"{to[4:]} USD"
        orders = leaving(f"reduce: {{to: {to}}}", held)
        assert [o.quantity for o in orders] == [closed] * bool(closed)

    @pytest.mark.parametrize("held", [10, -10])
    @pytest.mark.parametrize("waiting", [0, 1, 9, 10, 11])
    def test_what_working_orders_close_is_not_closed_twice(self, held, waiting):
        closing = "sell" if held > 0 else "buy"
        orders = [working("W", "ACME", closing, waiting)] if waiting else []
        found = leaving("exit: {fraction: 100%}", held, *orders)
        assert sum(o.quantity for o in found) == max(0, 10 - waiting)

    def test_working_orders_that_open_more_change_nothing(self):
        (out,) = leaving("exit: {fraction: 100%}", 10, working("W", "ACME", "buy", 5))
        assert out.quantity == 10

    def test_no_fill_of_anything_turns_a_holding_round(self):
        """Every corner of what may fill, of random holdings, working orders and exits."""
        random = Random(7)
        for _ in range(150):
            held = random.choice((-1, 1)) * random.randint(1, 40)
            waiting = [
                working(f"W{n}", "ACME", random.choice(("buy", "sell")), random.randint(1, 25))
                for n in range(random.randint(0, 3))
            ]
            how = random.choice(("exit: {fraction: 100%}", "exit: {fraction: 37%}", "reduce: {to: 3}"))
            orders = leaving(how, held, *waiting)
            moves = [(1 if w["side"] == "buy" else -1) * int(w["quantity"]) for w in waiting]
            closing = [m for m in moves if m * held < 0]
            if abs(sum(closing)) > abs(held):
                assert orders == (), "they turn it round without any exit"
                continue
            exits = [(1 if o.side == "buy" else -1) * int(o.quantity) for o in orders]
            for parts in product((0, 1), repeat=len(closing) + len(exits)):
                filled: int = sum(p * m for p, m in zip(parts, [*closing, *exits], strict=True))
                assert (held + filled) * held >= 0


class TestPrice:
    @pytest.mark.parametrize(
        ("held", "price", "tick", "asked"),
        [
            (5, "99.999", "0.01", "100"),
            (5, "99.99", "0.01", "99.99"),
            (5, "99.9901", "0.01", "100"),
            (-5, "99.999", "0.01", "99.99"),
            (-5, "99.99", "0.01", "99.99"),
            (-5, "100.0099", "0.01", "100"),
            (5, "99.01", "0.05", "99.05"),
            (-5, "99.01", "0.05", "99"),
        ],
    )
    def test_on_the_tick_and_never_worse_than_the_rule_says(self, held, price, tick, asked):
        (out,) = leaving(f"exit: {{fraction: 100%, price: {price}}}", held, tick=tick)
        assert out.price == Fraction(asked)
        assert out.price >= Fraction(price) if held > 0 else out.price <= Fraction(price)

    def test_without_a_price_of_its_own_it_is_the_other_side_s(self):
        (sold,) = leaving("exit: {fraction: 100%}", 5, bid="98", ask="102")
        (bought,) = leaving("exit: {fraction: 100%}", -5, bid="98", ask="102")
        assert sold.price == 98
        assert bought.price == 102

    def test_at_the_market(self):
        (out,) = leaving("exit: {fraction: 100%, style: market}", 5)
        assert out.price is None
        assert out.facts("A") == {
            "id": "exit-ACME", "account": "A", "symbol": "ACME", "side": "sell", "quantity": "5", "ord_type": "market",
        }  # fmt: skip

    def test_without_a_quote_nothing_is_ordered_and_that_is_said(self):
        bare = instrument("ACME")
        del bare["bid"]
        rule = "rule: out\nphases: [monitor]\nfor_each: position\nthen: [exit: {fraction: 100%}]"
        told = looked([rule], instruments=[bare], positions=[position("ACME", 5)])
        assert told.exits == ()
        assert told.unknown == (Unknown("out", "ACME", "instrument.bid of ACME is missing"),)
        assert [e.key for e in told.effects] == ["ACME"], "what is asked for is told all the same"

    def test_an_exit_is_an_order_like_any(self):
        (out,) = leaving("exit: {fraction: 100%, price: 99.5}", 5)
        facts = load_order(out.facts("A", "T"), VOCABULARY)
        assert facts["order.price"] == Fraction("99.5")
        assert facts["order.trader"] == "T"
        assert facts["order.quantity"] == 5


def test_nobody_asking_comes_to_nothing():
    assert looked([LOSS]).effects == ()
    assert Effect() == compose([])
