"""Pauses after losses: windows open at their start, pauses end at their last instant; in minutes of our own."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st

from lexorder.engine.measure import REGISTRY
from lexorder.engine.measures import lockouts
from lexorder.engine.measures.lockouts import Exit
from lexorder.engine.snapshot import MissingFactError, Subject
from tests.rules.library import BREACH, NOON, NOT_APPLICABLE, PASS, forall, held, order, projected, status, world

NOW = datetime.fromisoformat(NOON)
minutes = st.integers(min_value=0, max_value=130)


def exits(*ago: int, stopped: bool = True, growth: int = 90) -> list[Exit]:
    return [Exit(NOW - timedelta(minutes=m), stopped, Fraction(growth, 100)) for m in ago]


@forall(ago=st.lists(minutes, max_size=6), limit=st.integers(1, 4), pause=st.integers(0, 90))
def test_stops_within_the_window_lock_until_the_pause_is_over(ago: list[int], limit: int, pause: int) -> None:
    recent = [m for m in ago if m < 60]
    locked = len(recent) >= limit and min(recent) < pause
    found = lockouts.stop_locked(exits(*ago), NOW, Fraction(3_600), Fraction(limit), Fraction(60 * pause))
    assert found is locked


@pytest.mark.parametrize(("ago", "expected"), [([30, 30], False), ([30, 100, 30], False), ([30, 100, 30, 30], True)])
def test_the_published_stops(ago: list[int], expected: bool) -> None:
    assert lockouts.stop_locked(exits(*ago), NOW, Fraction(3_600), Fraction(3), Fraction(2_400)) is expected


def test_exits_that_were_no_stops_do_not_count() -> None:
    others = exits(10, 10, 10, stopped=False)
    assert not lockouts.stop_locked(others, NOW, Fraction(3_600), Fraction(1), Fraction(3_600))


@forall(growths=st.lists(st.integers(0, 250), max_size=8))
def test_the_drawdown_is_the_deepest_fall_from_a_peak(growths: list[int]) -> None:
    sums = [0]
    for growth in growths:
        sums.append(sums[-1] + growth - 100)
    deepest = max((sums[i] - sums[j] for i in range(len(sums)) for j in range(i, len(sums))), default=0)
    made = [Exit(NOW, False, Fraction(g, 100)) for g in growths]
    assert lockouts.drawdown(made) * 100 == deepest
    assert lockouts.profit(made) * 100 == sums[-1]


def fills(*closed: tuple[int, int], reason: str = "signal", symbol: str = "ACME") -> list[dict[str, str]]:
    """Closed trades: minutes ago, growth in percent."""
    made = []
    for n, (ago, growth) in enumerate(closed):
        at = (NOW - timedelta(minutes=ago)).isoformat()
        plain = {"id": f"F-{n}", "account": "A", "symbol": symbol, "side": "sell", "quantity": "1", "price": "1"}
        made.append({**plain, "time": at, "exit_reason": reason, "trade_growth": f"{growth // 100}.{growth % 100:02d}"})
    return made


def desk(made: list[dict[str, str]], **firm: str) -> dict[str, Any]:
    return world(fills=made, firm={"collar": "0", **firm})


def measured(name: str, document: dict[str, Any]) -> object:
    seen = projected(document)
    entity = name.split(".", maxsplit=1)[0]
    key, facts = (
        ("A", seen.snapshot.accounts["A"]) if entity == "account" else ("ACME", seen.snapshot.instruments["ACME"])
    )
    return REGISTRY[name](seen, Subject(entity, key, facts))


PUBLISHED = [(900, 110), (900, 110), (900, 110), (400, 90), (1_100, 50), (410, 150)]


@pytest.mark.parametrize(("more", "expected"), [([], False), ([(10, 80)], True)])
def test_the_published_drawdown(more: list[tuple[int, int]], expected: bool) -> None:
    firm = {"drawdown_window": "1000 min", "drawdown_trades": "3", "drawdown_allowed": "0.15"}
    assert measured("account.drawdown_locked", desk(fills(*PUBLISHED, *more), **firm)) is expected


@pytest.mark.parametrize(("growth", "expected"), [(85, False), (84, True)])
def test_exactly_the_drawdown_allowed_does_not_lock(growth: int, expected: bool) -> None:
    document = desk(fills((10, growth)), drawdown_allowed="0.15")
    assert measured("account.drawdown_locked", document) is expected
    assert measured("account.recent_drawdown", document) == Fraction(100 - growth, 100)


def test_too_few_trades_make_no_drawdown() -> None:
    assert (
        measured("account.drawdown_locked", desk(fills((10, 10)), drawdown_allowed="0.15", drawdown_trades="2"))
        is False
    )


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        ([(450, 90), (120, 90)], False),
        ([(450, 90), (120, 90), (10, 115)], False),
        ([(450, 90), (120, 90), (10, 115), (20, 80)], True),
        ([(120, 90), (10, 110)], False),
    ],
)
def test_the_published_low_profit(closed: list[tuple[int, int]], expected: bool) -> None:
    firm = {"low_profit_window": "400 min", "low_profit_trades": "2", "low_profit_required": "0"}
    assert measured("instrument.low_profit_locked", desk(fills(*closed), **firm)) is expected
    assert measured("instrument.low_profit_locked", desk(fills(*closed, symbol="BETA"), **firm)) is False


@forall(ago=minutes, pause=st.integers(0, 120))
def test_an_instrument_cools_down_after_any_exit(ago: int, pause: int) -> None:
    document = desk(fills((ago, 120)), cooldown=f"{pause} min")
    assert measured("instrument.cooling_down", document) is (ago < pause)


def test_other_instruments_and_other_fills_do_not_count() -> None:
    assert measured("instrument.cooling_down", desk(fills((1, 90), symbol="BETA"), cooldown="60 min")) is False
    assert measured("instrument.cooling_down", desk(fills((1, 90), reason="none"), cooldown="60 min")) is False


def test_an_exit_without_a_time_cannot_be_counted() -> None:
    timeless = [{k: v for k, v in f.items() if k != "time"} for f in fills((1, 90))]
    with pytest.raises(MissingFactError):
        measured("account.stop_loss_locked", desk(timeless))


def test_nothing_is_locked_where_the_firm_sets_nothing() -> None:
    document = desk(fills((1, 0), (2, 0), (3, 0), reason="stop_loss"))
    names = ("account.stop_loss_locked", "account.drawdown_locked")
    assert not any(measured(n, document) for n in (*names, "instrument.cooling_down", "instrument.low_profit_locked"))


# ---- the rules ---------------------------------------------------------------------------------

LOCKS = {
    "lockout-after-stops": ("account", "stop_loss_locked"),
    "lockout-after-drawdown": ("account", "drawdown_locked"),
    "cooldown-after-exit": ("instrument", "cooling_down"),
    "lockout-after-low-profit": ("instrument", "low_profit_locked"),
}


@forall(
    rule=st.sampled_from(sorted(LOCKS)),
    locked=st.booleans(),
    before=st.integers(-40, 40),
    way=st.sampled_from(["buy", "sell"]),
    quantity=st.integers(1, 60),
)
def test_what_is_locked_may_be_closed(rule: str, locked: bool, before: int, way: str, quantity: int) -> None:
    entity, name = LOCKS[rule]
    account: dict[str, object] = {name: locked} if entity == "account" else {}
    document = world(account=account, positions=[held(before)])
    if entity == "instrument":
        document["instruments"][0][name] = locked
    closes = quantity <= max(0, -before if way == "buy" else before)
    expected = NOT_APPLICABLE if not locked else PASS if closes else BREACH
    assert status(rule, document, order(way, quantity)) is expected
