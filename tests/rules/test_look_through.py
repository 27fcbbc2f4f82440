"""Concentration looked at through funds: against sums over every fill state, worked out here by hand."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.desk import Desk, fast, slow
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rule import TermClass
from lexorder.optimizers.outcome import Rebalanced
from lexorder.optimizers.rebalance import Aims, Request, independent, rebalance
from lexorder.optimizers.universe import Trading
from tests.rules.library import BREACH, PASS, UNDECIDED, book, order, rule, status, words
from tests.worlds import instrument, position, working, world

RULE = "look-through-issuer-weight"
LIMIT = Fraction(5, 100)
NAV = 10_000
SYMBOLS = ("ACME", "BETA", "ETF", "FOF")


def document(**sections: Any) -> dict[str, Any]:
    """Two shares, a fund of both and a fund of that fund, all at 10; net assets of 10,000."""
    names = [instrument("ACME", "10"), instrument("BETA", "10")]
    funds = [instrument(s, "10", kind="fund", issuer="House") for s in ("ETF", "FOF")]
    account = {"nav": str(NAV), "tags": ["look-through"]}
    return world(account=account, instruments=[*names, *funds], **sections)


def desk(found: dict[str, Any], make: Any) -> Desk:
    """A desk with this rule alone."""
    return Desk(book().only([RULE]), found, words(), make)


def rows(weights: Mapping[str, Mapping[str, int]]) -> list[dict[str, str]]:
    """The section of these weights in percent; what is named after a fund is that fund."""
    return [
        {"fund": fund, ("symbol" if name in SYMBOLS else "issuer"): name, "weight": f"{percent}%"}
        for fund, parts in weights.items()
        for name, percent in parts.items()
    ]


def share(symbol: str, issuer: str, weights: Mapping[str, Mapping[str, int]]) -> Fraction:
    """The part of a name that is, or may be, an issuer's: down every path, plus what is not told."""
    if symbol not in weights:
        return Fraction(symbol == issuer)
    named = sum((Fraction(p, 100) * share(name, issuer, weights) for name, p in weights[symbol].items()), Fraction(0))
    return named + max(Fraction(0), 1 - Fraction(sum(weights[symbol].values()), 100))


parts = st.fixed_dictionaries({"ACME": st.integers(1, 60), "BETA": st.integers(1, 60)})
outer = st.fixed_dictionaries({"ETF": st.integers(1, 70), "ACME": st.integers(1, 40)})
moves = st.lists(st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(["buy", "sell"]), st.integers(1, 30)), max_size=3)


@settings(deadline=None, max_examples=30)
@given(
    st.fixed_dictionaries({"ETF": parts, "FOF": outer}),
    st.fixed_dictionaries({s: st.integers(0, 40) for s in SYMBOLS}),
    moves,
    st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(["buy", "sell"]), st.integers(1, 40)),
)
def test_the_worst_of_all_fill_states_decides(
    weights: dict[str, dict[str, int]], held: dict[str, int], open_orders: list[Any], asked: tuple[str, str, int]
) -> None:
    found = document(
        constituents=rows(weights),
        positions=[position(s, q) for s, q in held.items()],
        working_orders=[working(f"W-{n}", s, side, q, "10") for n, (s, side, q) in enumerate(open_orders)],
    )
    expected = _expected(weights, held, open_orders, asked)
    symbol, side, quantity = asked
    for make in (fast, slow):
        decision = desk(found, make).check(order(side, quantity, symbol))
        assert {(r.subject, r.status.value) for r in decision.reports} == expected, make.__name__


def _expected(weights: Any, held: dict[str, int], open_orders: list[Any], asked: Any) -> set[tuple[str, str]]:
    """(issuer, status) of what is not a plain pass, by trying each order filled and not filled."""

    def worst(issuer: str, able: list[Any]) -> Fraction:
        exposures = []
        for filled in product((0, 1), repeat=len(able)):
            now = dict(held)
            for (symbol, side, quantity), share_filled in zip(able, filled, strict=True):
                now[symbol] += (quantity if side == "buy" else -quantity) * share_filled
            exposures.append(sum(abs(10 * q) * share(s, issuer, weights) for s, q in now.items()))
        return Fraction(max(exposures))

    found = set()
    touched = [asked[0]] if asked[0] not in weights else ["ACME", "BETA"]
    for issuer in touched:
        before, after = worst(issuer, open_orders), worst(issuer, [*open_orders, asked])
        if after > LIMIT * NAV:
            symbol = asked[0]
            sold = sum(q for s, way, q in [*open_orders, asked] if s == symbol and way == "sell")
            flips = held[symbol] > 0 and sold > held[symbol]
            improves = before > LIMIT * NAV and after <= before and not flips
            found.add((issuer, "passive" if improves else "breach"))
    return found


@pytest.mark.parametrize("make", [fast, slow])
@pytest.mark.parametrize(("quantity", "stopped"), [(25, False), (26, True)])
def test_the_figure_itself_passes_and_one_share_more_does_not(make: Any, quantity: int, stopped: bool) -> None:
    whole = rows({"ETF": {"ACME": 50, "BETA": 50}})
    found = document(constituents=whole, positions=[position("ETF", 50)])
    decision = desk(found, make).check(order("buy", quantity, "ACME"))
    assert decision.approved is not stopped
    if stopped:
        assert decision.largest is not None
        assert decision.largest.quantity == 25


def test_it_is_convex_and_says_so() -> None:
    found = rule(RULE).classified
    assert found is not None
    assert found.term_class is TermClass.CONVEX


def test_clips_works_it_out_by_itself() -> None:
    from lexorder.engine.expert.book import ExpertBook

    found = document(constituents=rows({"ETF": {"ACME": 50, "BETA": 50}}))
    snapshot = load_snapshot(found, words())
    assert ExpertBook([rule(RULE)], words(), snapshot).shares() == {RULE: "clips"}


@pytest.mark.parametrize("make", [fast, slow])
@pytest.mark.parametrize("symbol", ["ACME", "ETF"])
def test_a_fund_that_tells_nothing_leaves_it_undecided(make: Any, symbol: str) -> None:
    decision = desk(document(positions=[position("ETF", 1)]), make).check(order("buy", 1, symbol))
    (report,) = decision.reports
    assert report.reason == "MISSING_FACT"
    assert "constituent" in report.message


def test_a_fund_nobody_holds_or_orders_need_not_tell_anything() -> None:
    assert status(RULE, document(), order("buy", 1, "ACME")) is PASS


def test_an_instrument_without_issuer_is_undecided() -> None:
    bare = {k: v for k, v in instrument("BARE", "10").items() if k != "issuer"}
    found = document()
    found["instruments"].append(bare)
    assert status(RULE, found, order("buy", 1, "BARE")) is UNDECIDED


def test_a_short_position_is_no_room() -> None:
    found = document(constituents=rows({"ETF": {"ACME": 100}}), positions=[position("ACME", -30), position("ETF", 10)])
    assert status(RULE, found, order("buy", 11, "ETF")) is BREACH
    assert status(RULE, found, order("buy", 10, "ETF")) is PASS


@given(st.integers(1, 60), st.integers(1, 59))
@settings(deadline=None, max_examples=25)
def test_parts_are_judged_as_the_whole(quantity: int, first: int) -> None:
    found = document(constituents=rows({"ETF": {"ACME": 80, "BETA": 20}}), positions=[position("ACME", 5)])
    whole = status(RULE, found, order("buy", quantity, "ETF"))
    if first < quantity:
        split = (order("buy", first, "ETF", id="1"), order("buy", quantity - first, "ETF", id="2"))
        assert status(RULE, found, *split) is whole
    assert whole is (PASS if 50 + 8 * quantity <= 500 else BREACH)


def test_a_rebalance_looks_through_too() -> None:
    """Signals for a share and a fund that holds half of it: together they stay within the limit and nearly reach it."""
    told = [
        {"id": f"S-{s}", "account": "A", "symbol": s, "direction": "long", "expected_return": "5%", "confidence": "1"}
        for s in ("ACME", "ETF")
    ]
    found = document(constituents=rows({"ETF": {"ACME": 50, "BETA": 50}}), signals=told)
    found["instruments"] = [i for i in found["instruments"] if i["symbol"] != "FOF"]
    snapshot = load_snapshot(found, words())
    model = independent(len(snapshot.instruments), 0.02)
    aims = Aims(aversion=1.0, periods=1.0)
    request = Request(book().only([RULE]), snapshot, "A", model, Trading(trader="T"), aims, make=slow)
    result = rebalance(request)
    assert isinstance(result, Rebalanced)
    bought = {o.symbol: o.quantity for o in result.orders if o.side == "buy"}
    through = Fraction(10 * (2 * bought.get("ACME", 0) + bought.get("ETF", 0)), 2)
    assert LIMIT * NAV - 10 < through <= LIMIT * NAV
    assert (RULE, "ACME") in {(b.rule, b.subject) for b in result.binding}
