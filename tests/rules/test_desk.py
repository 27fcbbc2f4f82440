"""The desk's role limits in integer arithmetic of our own."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.rules.library import (
    BREACH,
    NOT_APPLICABLE,
    PASS,
    PASSIVE,
    cents,
    forall,
    held,
    order,
    status,
    working,
    world,
)

ROLES = [
    "admin",
    "risk_officer",
    "senior_trader",
    "junior_trader",
    "portfolio_manager",
    "analyst",
    "observer",
    "algorithm",
]
LIMITS = {"senior": (100_000, 50_000), "junior": (25_000, 10_000)}
side = st.sampled_from(["buy", "sell", "sell_short"])


def trader(role: str, traded: int = 0) -> list[dict[str, str]]:
    """Traded today in cents."""
    return [{"id": "T", "role": role, "traded_today": cents(traded)}]


@pytest.mark.parametrize("grade", LIMITS)
@forall(price=st.integers(1, 400), over=st.integers(-1, 1), earlier=st.integers(0, 1_000_000), way=side)
def test_daily_limit(grade: str, price: int, over: int, earlier: int, way: str) -> None:
    limit = 100 * LIMITS[grade][0]
    quantity = max(1, (limit - earlier) // (100 * price) + over)
    expected = PASS if earlier + 100 * price * quantity <= limit else BREACH
    now = world(traders=trader(f"{grade}_trader", earlier))
    assert status(f"{grade}-trader-daily-limit", now, order(way, quantity, price=str(price))) is expected


@pytest.mark.parametrize("grade", LIMITS)
@forall(parts=st.lists(st.integers(1, 700), min_size=2, max_size=3))
def test_splitting_an_order_does_not_escape_the_daily_limit(grade: str, parts: list[int]) -> None:
    now = world(traders=trader(f"{grade}_trader"))
    slices = [order("buy", part, id=f"S-{n}") for n, part in enumerate(parts)]
    expected = PASS if 100 * sum(parts) <= LIMITS[grade][0] else BREACH
    assert status(f"{grade}-trader-daily-limit", now, *slices) is expected


@pytest.mark.parametrize("grade", LIMITS)
def test_another_trader_s_orders_do_not_count(grade: str) -> None:
    limit = LIMITS[grade][0] // 100
    people = [*trader(f"{grade}_trader"), {"id": "U", "role": "portfolio_manager"}]
    both = [order("buy", limit), order("buy", 5_000, id="2", trader="U")]
    assert status(f"{grade}-trader-daily-limit", world(traders=people), *both) is PASS


@pytest.mark.parametrize("grade", LIMITS)
@forall(before=st.integers(-700, 700), waiting=st.integers(0, 20), way=side, quantity=st.integers(1, 700))
def test_position_limit(grade: str, before: int, waiting: int, way: str, quantity: int) -> None:
    limit = LIMITS[grade][1] // 100
    at_work = [working("buy", waiting)] if waiting else []
    now = world(traders=trader(f"{grade}_trader"), positions=[held(before)], working_orders=at_work)
    low = before - (0 if way == "buy" else quantity)
    high = before + waiting + (quantity if way == "buy" else 0)
    worst, old = max(abs(low), abs(high)), max(abs(before), abs(before + waiting))
    flips = before * low < 0 or before * high < 0
    passive = limit < old and worst <= old and not flips
    expected = PASS if worst <= limit else PASSIVE if passive else BREACH
    assert status(f"{grade}-trader-position-limit", now, order(way, quantity)) is expected


@pytest.mark.parametrize("role", ROLES)
def test_limits_bind_their_own_role_only(role: str) -> None:
    now, sent = world(traders=trader(role)), order("buy", 1)
    for grade in LIMITS:
        expected = PASS if role == f"{grade}_trader" else NOT_APPLICABLE
        assert status(f"{grade}-trader-daily-limit", now, sent) is expected
        assert status(f"{grade}-trader-position-limit", now, sent) is expected
    assert status("roles-without-trading", now, sent) is (BREACH if role in ("analyst", "observer") else PASS)
