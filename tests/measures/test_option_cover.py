"""Calls that nothing covers, against every way of pairing and every fill state."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import strategies as st

from lexorder.engine.desk import Desk, Make, fast, slow
from lexorder.engine.measure import REGISTRY
from lexorder.engine.measures.option_cover import Call, not_covered
from lexorder.engine.snapshot import MissingFactError, Subject
from tests.rules.library import book, forall, held, instrument, order, projected, words, working, world

DAY = date(2026, 9, 18)
series = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))


def call(shares: int, strike: int, days: int) -> Call:
    return Call(Fraction(shares), Fraction(strike), DAY + timedelta(days))


def best(short: list[tuple[int, int, int]], long: list[tuple[int, int, int]]) -> int:
    """Shares left uncovered by the best of all pairings, one share at a time."""
    owed = [s for s in short for _ in range(s[0])]
    free = [c for c in long for _ in range(c[0])]

    def left(place: int, used: frozenset[int]) -> int:
        if place == len(owed):
            return 0
        _, strike, days = owed[place]
        fits = {n for n, c in enumerate(free) if n not in used and c[1] <= strike and c[2] >= days}
        # Shares of one series are alike, so one of each is tried.
        tried = {free[n]: n for n in fits}.values()
        return min([1 + left(place + 1, used), *(left(place + 1, used | {n}) for n in tried)])

    return left(0, frozenset())


@forall(short=st.lists(series, max_size=2), long=st.lists(series, max_size=3))
def test_it_is_the_best_of_all_pairings(short: list[tuple[int, int, int]], long: list[tuple[int, int, int]]) -> None:
    assert not_covered([call(*s) for s in short], [call(*c) for c in long]) == best(short, long)


def test_a_call_that_lasts_long_is_kept_for_the_one_that_needs_it() -> None:
    long = [call(100, 40, 9), call(100, 40, 1)]
    assert not_covered([call(100, 50, 1), call(100, 60, 9)], long) == 0


# ---- measured on an account ----------------------------------------------------------------------


def option(symbol: str, strike: int = 50, days: int = 0, **facts: str) -> dict[str, object]:
    plain = {"kind": "option", "right": "call", "multiplier": "100", "underlying": "ACME", "mark": "1"}
    expiry = (DAY + timedelta(days)).isoformat()
    return instrument(symbol, **{**plain, "strike": str(strike), "expiry": expiry, **facts})


def account(*positions: dict[str, str], **sections: Any) -> dict[str, Any]:
    """An account at level 3 with the long series L (50, day 0) and the short ones H and others as given."""
    stocks = [instrument("ACME", underlying="ACME"), instrument("BETA", underlying="BETA")]
    options = sections.pop("options", [option("L"), option("H", 60)])
    facts = {"tags": ["options"], "option_level": "3", "kind": "margin"}
    return world(account=facts, instruments=[*stocks, *options], positions=list(positions), **sections)


def uncovered(document: dict[str, Any], *orders: dict[str, object]) -> tuple[object, object]:
    seen = projected(document, *orders)
    subject = Subject("account", "A", seen.snapshot.accounts["A"])
    return (
        REGISTRY["account.uncovered_calls"](seen, subject),
        REGISTRY["account.uncovered_calls_before"](seen, subject),
    )


@pytest.mark.parametrize(
    ("strike", "days", "left"),
    [(60, 0, 0), (50, 0, 0), (49, 0, 100), (60, -1, 0), (60, 1, 100), (50, 1, 100), (49, -1, 100)],
)
def test_strike_and_expiry_of_the_short_leg(strike: int, days: int, left: int) -> None:
    document = account(held(1, "L"), options=[option("L"), option("H", strike, days)])
    assert uncovered(document, order("sell", 1, "H")) == (left, 0)


@pytest.mark.parametrize("kind", ["security", "fund"])
def test_shares_cover_whatever_the_strike(kind: str) -> None:
    document = account(held(199), held(-1, "H"), options=[option("H", 1)])
    document["instruments"][0]["kind"] = kind
    assert uncovered(document, order("sell", 1, "H")) == (1, 0)


def test_another_underlying_covers_nothing() -> None:
    document = account(held(100, "BETA"), held(1, "L"), options=[option("L", underlying="BETA"), option("H")])
    assert uncovered(document, order("sell", 1, "H")) == (100, 0)


def test_puts_are_not_counted() -> None:
    document = account(held(1, "L"), options=[option("L", right="put"), option("P", right="put"), option("H")])
    assert uncovered(document, order("sell", 3, "P")) == (0, 0)
    assert uncovered(document, order("sell", 1, "H")) == (100, 0)


@forall(
    shares=st.integers(0, 250),
    long=st.integers(0, 2),
    short=st.integers(0, 2),
    at_work=st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.sampled_from(["L", "H"])), max_size=2),
    sold=st.integers(1, 2),
)
def test_it_is_the_worst_of_all_fill_states(
    shares: int, long: int, short: int, at_work: list[tuple[str, str]], sold: int
) -> None:
    moves = [*((side, symbol, 1) for side, symbol in at_work), ("sell", "H", sold)]
    document = account(
        held(shares),
        held(long, "L"),
        held(-short, "H"),
        working_orders=[working(side, 1, symbol, f"W-{n}") for n, (side, symbol) in enumerate(at_work)],
    )
    worst = 0
    for fills in product(*(range(q + 1) for _, _, q in moves)):
        now = {"L": long, "H": -short}
        for (side, symbol, _), filled in zip(moves, fills, strict=True):
            now[symbol] += filled if side == "buy" else -filled
        # H has the higher strike and L the same expiry: L may cover H and never the other way round.
        naked = max(0, -now["H"] - max(0, now["L"])) + max(0, -now["L"] - 0)
        if now["H"] > 0 and now["L"] < 0:
            naked = -now["L"]
        worst = max(worst, 100 * naked - shares)
    assert uncovered(document, order("sell", sold, "H"))[0] == max(0, worst)


def test_a_missing_strike_counts_only_where_it_matters() -> None:
    bare = option("L")
    del bare["strike"]
    document = account(held(1, "L"), held(100), options=[bare, option("H", 60)])
    assert uncovered(document, order("sell", 1, "H")) == (0, 0)
    with pytest.raises(MissingFactError, match=r"instrument\.strike of L"):
        uncovered(document, order("sell", 2, "H"))


@pytest.mark.parametrize("make", [fast, slow])
@pytest.mark.parametrize(
    ("strike", "days", "sold", "stopped"),
    [
        (60, 0, 1, set()),
        (60, 0, 2, {"covered-call-or-spread", "spread-legs-cover"}),
        (49, 0, 1, {"spread-legs-cover"}),
        (60, 1, 1, {"spread-legs-cover"}),
    ],
)
def test_a_desk_pairs_the_legs(make: Make, strike: int, days: int, sold: int, stopped: set[str]) -> None:
    document = account(held(1, "L"), options=[option("L"), option("H", strike, days)])
    found = Desk(book(), document, words(), make).check(order("sell", sold, "H"))
    breached = {report.rule for report in found.reports if report.status.value == "breach"}
    assert breached & {"covered-call-or-spread", "spread-legs-cover", "covered-call"} == stopped


@pytest.mark.parametrize("make", [fast, slow])
def test_buying_back_an_uncovered_call_goes(make: Make) -> None:
    document = account(held(-2, "H"), options=[option("H")])
    found = Desk(book(), document, words(), make).check(order("buy", 1, "H", position_effect="close"))
    assert "spread-legs-cover" not in {report.rule for report in found.reports}
