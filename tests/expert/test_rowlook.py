"""Reading a name for a row: ends by counting fills, unit values by their own definition, codes by evaluation."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import pytest

from lexorder.engine.evaluate import value
from lexorder.engine.expert.atoms import Atom, atoms_of
from lexorder.engine.expert.emit import plan
from lexorder.engine.expert.live import Live
from lexorder.engine.expert.rowlook import (
    Look,
    ends_of,
    held_code,
    is_homogeneous,
    times_filled,
    unit_places,
    unit_values,
    working_values,
)
from lexorder.engine.expert.rowplan import Cell, rowplan
from lexorder.engine.expert.worst import excess_of, linear_share
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.terms import Aggregate, Compare, Term
from lexorder.engine.typecheck import term_of
from tests.agreement import worlds
from tests.expert.books import simple
from tests.worlds import VOCABULARY, instrument, order, position, working, world


def live_of(**sections: Any) -> Live:
    return Live(load_snapshot(world(**sections), VOCABULARY), VOCABULARY)


def look_of(live: Live, symbol: str = "ACME", **facts: Any) -> Look:
    return Look(live, live.accounts["A"], symbol, load_order(order(symbol=symbol, **facts), VOCABULARY))


def left(text: str, for_each: str = "account") -> Term:
    """The left side of a comparison."""
    found = term_of(text, VOCABULARY, for_each)
    assert isinstance(found, Compare)
    return found.left


def body(text: str) -> Term:
    """What a sum over positions adds for each."""
    found = left(f"sum({text}) <= 1")
    assert isinstance(found, Aggregate)
    assert found.body is not None
    return found.body


def moving(text: str, for_each: str = "account") -> tuple[Atom, ...]:
    found = term_of(text, VOCABULARY, for_each)
    assert isinstance(found, Compare)
    return tuple(a for a in atoms_of(found) if a.kind != "static")


class TestEnds:
    @pytest.mark.parametrize("held", [-7, 0, 4])
    @pytest.mark.parametrize("orders", [(), (3,), (-3,), (2, -5), (1, 1, -1), (-2, -3)])
    def test_the_least_and_the_most_of_all_fill_states(self, held, orders):
        sections: dict[str, Any] = {"positions": [position("ACME", held)]} if held else {}
        sides = ("buy", "sell", "sell_short")
        listed = [working(f"W{n}", "ACME", "buy" if q > 0 else sides[1 + n % 2], abs(q)) for n, q in enumerate(orders)]
        live = live_of(working_orders=listed, **sections)
        found = ends_of(live.accounts["A"], "ACME")
        reached = [held + sum(filled) for filled in product(*(sorted((0, q)) for q in orders))]
        assert found == (held, min(reached), max(reached), bool(orders))

    @pytest.mark.parametrize("where", ["held", "working"])
    def test_parts_of_shares_have_no_ends(self, where):
        live = live_of(positions=[position("ACME", 4)], working_orders=[working("W", "ACME", "buy", 3)])
        state = live.accounts["A"]
        if where == "held":
            state.positions["ACME"]["position.before.quantity"] = Fraction(7, 2)
        else:
            state.working["W"]["working_order.quantity"] = Fraction(1, 2)
        assert ends_of(state, "ACME") is None
        assert ends_of(state, "BETA") == (0, 0, 0, False)


HOMOGENEOUS = {
    "position.after.quantity": True,
    "position.after.value": True,
    "abs(position.after.value)": True,
    "-position.after.value": True,
    "position.after.value * 20%": True,
    "position.after.value / 2": True,
    "position.after.value / position.instrument.mark": True,
    "max(position.after.value, 0)": True,
    "min(position.after.value, 0)": True,
    "max(abs(position.after.value), position.after.value * 3)": True,
    "position.after.value - abs(position.after.value)": True,
    "if position.instrument.halted then position.after.value else abs(position.after.value)": True,
    "if position.after.quantity > 5 then position.after.value else 2 * position.after.value": False,
    "max(position.after.value, 100)": False,
    "position.after.value + 1": False,
    "position.after.value * position.after.quantity": False,
    "100 / position.after.quantity": False,
    "position.before.value": False,
    "position.instrument.mark": False,
    "abs(position.after.value - 100)": False,
}


class TestUnitValues:
    @pytest.mark.parametrize(("text", "expected"), HOMOGENEOUS.items(), ids=HOMOGENEOUS)
    def test_a_term_said_to_grow_in_proportion_does(self, text, expected):
        """f(k·x) = k·f(x), tried on holdings; a term that fails it must not be said to."""
        term = body(text)
        assert is_homogeneous(term) is expected
        live = live_of()
        found: dict[int, Any] = {}
        for shares in (-6, -4, -2, -1, 1, 2, 4, 6):
            live.accounts["A"].positions["ACME"] = {
                "position.before.quantity": Fraction(shares),
                "position.account": "A",
                "position.symbol": "ACME",
            }
            look = look_of(live)
            at = look.reading("account").at(look.seen, look.subject("position"))
            found[shares] = value(term, at)
        if expected:
            assert all(found[k * unit] == k * found[unit] for unit in (1, -1) for k in (2, 4, 6))

    @pytest.mark.parametrize("text", [t for t, grows in HOMOGENEOUS.items() if grows])
    @pytest.mark.parametrize("shares", [-7, -1, 0, 1, 9])
    def test_two_unit_values_give_every_holding(self, text, shares):
        live = live_of(
            positions=[position("ACME", shares)] if shares else [], instruments=[instrument("ACME", "33.3333")]
        )
        look, atoms = look_of(live), moving(f"sum({text}) <= 1")
        up, down = unit_values(atoms, look, "account")
        exact = excess_of(atoms, "ACME", look.reading("account"), {}, ())
        assert exact == (up * shares if shares > 0 else -down * shares)

    @pytest.mark.parametrize(
        ("text", "for_each", "reads"),
        [
            ("sum(abs(position.after.value)) <= 1", "account", {"instrument", "single"}),
            ("sum(position.after.quantity) <= 1", "account", set()),
            ("sum(position.after.value) / account.nav <= 1", "account", {"instrument", "single", "account"}),
            ("position.after.quantity <= 5", "position", set()),
            ("account.after.cash >= 1", "account", set()),
            ("sum(max(position.after.value, 100)) <= 1", "account", None),
        ],
    )
    def test_what_they_depend_on(self, text, for_each, reads):
        found = unit_places(moving(text, for_each), VOCABULARY)
        if reads is None:
            assert found is None
        else:
            assert found is not None
            assert reads - {"single"} <= found <= reads | {"single", "instrument"}

    def test_a_missing_price_is_missing(self):
        document = world()
        del document["instruments"][0]["mark"]
        live = Live(load_snapshot(document, VOCABULARY), VOCABULARY)
        with pytest.raises(MissingFactError, match=r"instrument\.mark of ACME"):
            unit_values(moving("sum(abs(position.after.value)) <= 1"), look_of(live), "account")


class TestWorkingOrders:
    CASES = (
        "account.after.cash >= 0",
        "sum(working_order.filled * working_order.price) <= 1",
        "sum(working_order.filled) <= 1",
        "sum(working_order.filled * working_order.price where working_order.side == buy) <= 1",
    )

    @pytest.mark.parametrize("text", CASES)
    @pytest.mark.parametrize("seed", range(2))
    def test_a_start_and_a_step_give_the_share_of_a_name(self, text, seed):
        """Unfilled, and each share more: summed over the orders where it adds, it is what `worst.py` says."""
        random = Random(f"working {seed}")
        for _ in range(5):
            snapshot = worlds.snapshot(random, worlds.Rates(0, 0, 0))
            live = Live(snapshot, VOCABULARY)
            state = live.accounts["A"]
            for symbol in state.symbols():
                atoms = tuple(a for a in moving(text) if a.kind == "working")
                look = Look(live, state, symbol, {"order.symbol": symbol, "order.account": "A"})
                total = Fraction(0)
                for each in state.working_of[symbol]:
                    flat = all(times_filled(a.term) for a in atoms)
                    none, step = working_values(atoms, each, look, "account", flat=flat)
                    assert (none, step) == working_values(atoms, each, look, "account")
                    total += none + max(Fraction(0), step) * each["working_order.quantity"]  # type: ignore[operator]
                assert total == linear_share(atoms, symbol, look.reading("account"))

    @pytest.mark.parametrize(
        ("text", "flat"),
        [
            ("sum(working_order.filled) <= 1", True),
            ("sum(working_order.filled * working_order.price) <= 1", True),
            ("sum(working_order.filled where working_order.side == buy) <= 1", True),
            ("sum(working_order.filled * working_order.filled) <= 1", False),
            ("sum(working_order.filled where working_order.filled > 1) <= 1", False),
            ("sum(working_order.filled + 1) <= 1", False),
            ("sum(working_order.quantity) <= 1", False),
            ("count(working_order where working_order.filled > 0) <= 1", False),
        ],
    )
    def test_nothing_filled_nothing_added(self, text, flat):
        assert times_filled(left(text)) is flat


class TestHeldCode:
    @pytest.mark.parametrize(
        "text",
        [
            "position.before.quantity",
            "max(0, position.before.quantity)",
            "min(position.before.quantity, 5)",
            "max(min(position.before.quantity, 5), 2)",
        ],
    )
    @pytest.mark.parametrize("held", [-7, 0, 3, 9])
    def test_a_code_is_the_term(self, text, held):
        term = left(f"{text} <= 1", "position")
        code = held_code(term)
        live = live_of(positions=[position("ACME", held)] if held else [])
        look = look_of(live)
        at = look.reading("position").at(look.seen)
        assert code is not None
        assert eval(code, {"held": held, "max": max, "min": min}) == value(term, at)

    @pytest.mark.parametrize(
        "text",
        [
            "position.before.quantity + 1",
            "max(0.5, position.before.quantity)",
            "position.after.quantity",
            "account.nav",
        ],
    )
    def test_anything_else_has_no_code(self, text):
        assert held_code(left(f"{text} <= 1", "position")) is None
        assert held_code(None) is None


CELLS = (
    ("order.notional <= 5% * account.nav", "order"),
    ("order.quantity <= instrument.adv", "order"),
    ("order.symbol not in lists.restricted and not instrument.halted", "order"),
    ("trader.traded_today + sum(order.notional) <= 9_000", "trader"),
    ("sum(position.before.value) + sum(order.notional) <= account.nav", "issuer"),
    ("position.before.quantity + sum(order.quantity) <= 5", "position"),
)


class TestLook:
    @pytest.mark.parametrize(("text", "for_each"), CELLS)
    def test_the_value_of_a_cell_is_the_references(self, text, for_each):
        """Read beside `evaluate.value` under the same subjects, in the account as it really is."""
        rules = simple(text, for_each)
        made = rowplan(plan(rules, VOCABULARY), rules, VOCABULARY, {})
        live = live_of(positions=[position("ACME", 5)], lists={"restricted": ["BETA"], "watch": []})
        for symbol in ("ACME", "BETA"):
            look = look_of(live, symbol, trader="T")
            for cell in (c for c in made.cells if c.leaf.what in ("term", "counted") and c.place != "sum"):
                assert look.value(cell) == self.by_reference(cell, look)

    def by_reference(self, cell: Cell, look: Look) -> Any:
        seen = look.live.projection("A", (look.order,))
        inner = () if cell.leaf.frame == "subject" else (look.subject(cell.leaf.frame),)
        assert cell.leaf.term is not None
        found = value(cell.leaf.term, look.reading(cell.entity).at(seen, *inner))
        return Fraction(bool(found)) if cell.leaf.what == "counted" else found

    @pytest.mark.parametrize(
        ("entity", "key"),
        [
            ("order", "buy-ACME-1"),
            ("account", "A"),
            ("trader", "NONE"),
            ("position", "ACME"),
            ("instrument", "ACME"),
            ("market", "ACME"),
            ("issuer", "ACME"),
            ("sector", "Tech"),
        ],
    )
    def test_the_one_subject_of_each_kind(self, entity, key):
        found = look_of(live_of()).subject(entity)
        assert (found.entity, found.key) == (entity, key)

    @pytest.mark.parametrize("missing", ["issuer", "sector"])
    def test_a_group_that_is_not_known_is_missing(self, missing):
        document = world()
        del document["instruments"][0][missing]
        live = Live(load_snapshot(document, VOCABULARY), VOCABULARY)
        with pytest.raises(MissingFactError, match=f"{missing} of ACME"):
            look_of(live).subject(missing)
