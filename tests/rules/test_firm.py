"""The firm's rules in integer arithmetic of our own.

What can still fill makes a name's holding any whole number between `before - sells` and `before + buys`, each name by
itself. The worst of these states is worked out here by hand, without the engine's own closed forms.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st

from lexorder.engine.verdict import Status
from tests.rules.library import (
    BREACH,
    NOT_APPLICABLE,
    PASS,
    PASSIVE,
    UNDECIDED,
    decimal,
    forall,
    found,
    held,
    instrument,
    order,
    status,
    ticks,
    working,
    world,
)

few = st.integers(min_value=0, max_value=12)
holding = st.integers(min_value=-12, max_value=12)
side = st.sampled_from(["buy", "sell", "sell_short"])


@dataclass(frozen=True)
class Name:
    """One name: what is held, what works on each side, and the new order."""

    before: int
    buying: int = 0
    selling: int = 0
    new_buy: int = 0
    new_sell: int = 0

    def reach(self, *, new: bool) -> tuple[int, int]:
        """Least and greatest holding, with or without the new order."""
        return (
            self.before - self.selling - self.new_sell * new,
            self.before + self.buying + self.new_buy * new,
        )

    def gross(self, *, new: bool) -> int:
        return max(map(abs, self.reach(new=new)))

    def flips(self) -> bool:
        return (self.new_buy + self.new_sell) > 0 and any(self.before * end < 0 for end in self.reach(new=True))


def name(before: int, buying: int, selling: int, way: str, quantity: int) -> Name:
    return Name(before, buying, selling, *((quantity, 0) if way == "buy" else (0, quantity)))


def judged(worst: int, worst_before: int, limit: int, *, flips: bool) -> Status:
    """Pass within the limit; else an old breach that grows no larger, and does not flip, is passive."""
    if worst <= limit:
        return PASS
    return PASSIVE if limit < worst_before and worst <= worst_before and not flips else BREACH


def works(one: Name, symbol: str = "ACME") -> list[dict[str, str]]:
    sides = (("buy", one.buying), ("sell", one.selling))
    return [working(way, q, symbol, name=f"{way}-{symbol}") for way, q in sides if q]


# ---- concentration -----------------------------------------------------------------------------


@forall(before=holding, buying=few, selling=few, way=side, quantity=st.integers(1, 12), limit=st.integers(0, 40))
def test_issuer_weight(*, before: int, buying: int, selling: int, way: str, quantity: int, limit: int) -> None:
    # Shares cost 100: with a net asset value of 2,000 × limit, 5% of it is `limit` shares.
    one = name(before, buying, selling, way, quantity)
    now = world(account={"nav": str(2_000 * max(limit, 1))}, positions=[held(before)], working_orders=works(one))
    expected = judged(one.gross(new=True), one.gross(new=False), max(limit, 1), flips=one.flips())
    assert status("max-issuer-weight", now, order(way, quantity)) is expected


@forall(quantity=st.integers(1, 80), more=st.integers(1, 5), way=side)
def test_issuer_weight_is_monotone_in_quantity(quantity: int, more: int, way: str) -> None:
    now = world(account={"nav": "100000"})
    if status("max-issuer-weight", now, order(way, quantity)) is BREACH:
        assert status("max-issuer-weight", now, order(way, quantity + more)) is BREACH


@forall(parts=st.lists(st.integers(1, 30), min_size=2, max_size=4))
def test_splitting_an_order_does_not_escape_the_issuer_weight(parts: list[int]) -> None:
    now = world(account={"nav": "100000"})
    slices = [order("buy", part, id=f"S-{n}") for n, part in enumerate(parts)]
    expected = PASS if sum(parts) <= 50 else BREACH
    assert status("max-issuer-weight", now, *slices) is expected
    at_work = [working("buy", part, name=f"W-{n}") for n, part in enumerate(parts[1:])]
    assert status("max-issuer-weight", {**now, "working_orders": at_work}, order("buy", parts[0])) is expected


@forall(one=st.integers(0, 60), other=st.integers(0, 60), quantity=st.integers(1, 30))
def test_share_classes_of_an_issuer_add_up_and_tickers_do_not_matter(one: int, other: int, quantity: int) -> None:
    listed = [instrument("ACME"), instrument("ACME.B", issuer="ACME"), instrument("BETA")]
    now = world(account={"nav": "100000"}, instruments=listed, positions=[held(one), held(other, "ACME.B")])
    worst, before = one + other + quantity, one + other
    assert status("max-issuer-weight", now, order("buy", quantity)) is judged(worst, before, 50, flips=False)


def test_without_an_issuer_the_weight_is_undecided() -> None:
    nameless = {k: v for k, v in instrument().items() if k != "issuer"}
    assert status("max-issuer-weight", world(instruments=[nameless]), order()) is UNDECIDED


@forall(one=st.integers(0, 300), quantity=st.integers(1, 300), same=st.booleans(), price=st.integers(1, 900))
def test_sector_weight(one: int, quantity: int, same: bool, price: int) -> None:
    listed = [
        instrument("ACME", mark=str(price), bid=str(price), ask=str(price)),
        instrument("BETA", sector="Industrials" if same else "Energy"),
    ]
    now = world(account={"nav": "100000"}, instruments=listed, positions=[held(one, "BETA")])
    worst, before = price * quantity + 100 * one * same, 100 * one * same
    assert status("max-sector-weight", now, order("buy", quantity)) is judged(worst, before, 20_000, flips=False)


@forall(other=st.integers(-90, 90), quantity=st.integers(1, 120), way=side, correlation=st.integers(799_999, 800_001))
def test_correlated_pair(other: int, quantity: int, way: str, correlation: int) -> None:
    pair = {"id": "ACME/BETA", "first": "ACME", "second": "BETA", "correlation": decimal(correlation, 6)}
    now = world(account={"nav": "100000"}, pairs=[pair], positions=[held(other, "BETA")])
    after = other + (quantity if way == "buy" else -quantity)
    worst, before, limit = max(abs(other), abs(after)), abs(other), 80
    # Each direction is a limit of its own: an old breach one way is no excuse for a new one the other way.
    new_long, new_short = max(after, other) > max(limit, other), min(after, other) < min(-limit, other)
    expected = PASS if worst <= limit else BREACH if new_long or new_short else PASSIVE
    assert before >= 0
    assert status("max-correlated-pair", now, order(way, quantity)) is (
        expected if correlation > 800_000 else NOT_APPLICABLE
    )


# ---- leverage and cash -------------------------------------------------------------------------


@forall(
    one=holding, other=holding, buying=few, selling=few, way=side, quantity=st.integers(1, 12), limit=st.integers(1, 20)
)
def test_gross_leverage(
    *, one: int, other: int, buying: int, selling: int, way: str, quantity: int, limit: int
) -> None:
    # With a net asset value of 100 × limit and shares at 100, twice it is 2 × limit shares.
    acme = name(one, 0, 0, way, quantity)
    beta = Name(other, buying, selling)
    now = world(
        account={"nav": str(100 * limit)},
        positions=[held(one), held(other, "BETA")],
        working_orders=works(beta, "BETA"),
    )
    worst = acme.gross(new=True) + beta.gross(new=True)
    before = acme.gross(new=False) + beta.gross(new=False)
    assert status("max-gross-leverage", now, order(way, quantity)) is judged(
        worst, before, 2 * limit, flips=acme.flips()
    )


@forall(
    one=holding, other=holding, buying=few, selling=few, way=side, quantity=st.integers(1, 12), limit=st.integers(1, 20)
)
def test_net_leverage(*, one: int, other: int, buying: int, selling: int, way: str, quantity: int, limit: int) -> None:
    acme = name(one, 0, 0, way, quantity)
    beta = Name(other, buying, selling)
    now = world(
        account={"nav": str(100 * limit)},
        positions=[held(one), held(other, "BETA")],
        working_orders=works(beta, "BETA"),
    )
    parts = []
    for sign in (1, -1):
        ends = [max(sign * end for end in n.reach(new=True)) for n in (acme, beta)]
        old = [max(sign * end for end in n.reach(new=False)) for n in (acme, beta)]
        parts.append(judged(sum(ends), sum(old), limit, flips=acme.flips()))
    expected = BREACH if BREACH in parts else PASSIVE if PASSIVE in parts else PASS
    assert status("max-net-leverage", now, order(way, quantity)) is expected


@forall(
    cash=st.integers(0, 4_000),
    price=st.integers(1, 120),
    fee=st.integers(0, 300),
    way=side,
    quantity=st.integers(1, 30),
    buying=few,
    selling=few,
)
def test_cash_buffer(*, cash: int, price: int, fee: int, way: str, quantity: int, buying: int, selling: int) -> None:
    # Cents. Net asset value 50,000: the buffer is 1,000. What a sale brings is not counted before it has filled.
    at_work = [working("buy", buying, "BETA", "W-1", "50")] if buying else []
    at_work += [working("sell", selling, "BETA", "W-2", "50")] if selling else []
    now = world(account={"nav": "50000", "cash": str(cash)}, working_orders=at_work)
    sent = order(way, quantity, price=str(price), fee_per_share=decimal(fee, 2))
    paid = quantity * max(0, (100 * price if way == "buy" else -100 * price) + fee)
    before = 100 * cash - 5_000 * buying
    low, buffer = before - paid, 100_000
    expected = PASS if low >= buffer else PASSIVE if before < buffer and paid == 0 else BREACH
    assert status("min-cash-buffer", now, sent) is expected


@pytest.mark.parametrize(("cash", "expected"), [("11000", PASS), ("10999.9999", BREACH)])
def test_cash_exactly_at_the_buffer(cash: str, expected: Status) -> None:
    # 2% of 500,000 is 10,000; ten shares cost 1,000.
    assert status("min-cash-buffer", world(account={"nav": "500000", "cash": cash}), order("buy", 10)) is expected


def test_a_market_purchase_sets_the_collar_aside_too() -> None:
    now = world(account={"nav": "500000", "cash": "11000"}, firm={"collar": "0.05"})
    assert status("min-cash-buffer", now, order("buy", 9)) is PASS  # 9 × 105 = 945
    assert status("min-cash-buffer", now, order("buy", 10)) is BREACH  # 10 × 105 = 1,050


# ---- losses ------------------------------------------------------------------------------------

LOSSES = [("start_of_day_nav", 2, "daily-loss"), ("peak_nav", 10, "drawdown")]


@pytest.mark.parametrize(("base", "percent", "rule"), LOSSES)
@forall(opening=st.integers(1, 10**9), over=st.integers(-1, 1), before=holding, way=side, quantity=st.integers(1, 12))
def test_beyond_a_loss_only_closing(
    *, base: str, percent: int, rule: str, opening: int, over: int, before: int, way: str, quantity: int
) -> None:
    # Ten-thousandths of a dollar; `over` is one unit to either side of the largest loss within the limit.
    loss = opening * percent // 100 + over
    nav = max(opening - loss, 1)
    beyond = 100 * (opening - nav) > percent * opening
    now = world(account={base: ticks(opening), "nav": ticks(nav)}, positions=[held(before)])
    room = max(0, -before) if way == "buy" else max(0, before)
    expected = NOT_APPLICABLE if not beyond else PASS if quantity <= room else BREACH
    assert status(f"{rule}-closing-only", now, order(way, quantity)) is expected
    assert status(f"{rule}-limit", now) is (BREACH if beyond else PASS)


def test_a_loss_does_not_stop_the_closing_of_everything_at_once() -> None:
    now = world(account={"nav": "900000"}, positions=[held(7), held(-5, "BETA")])
    both = [order("sell", 7), order("buy", 5, "BETA")]
    assert status("daily-loss-closing-only", now, *both) is PASS
    assert status("daily-loss-closing-only", now, order("sell", 7), order("buy", 6, "BETA")) is BREACH


# ---- volume, lists, hours ----------------------------------------------------------------------


@forall(
    adv=st.integers(0, 400),
    way=side,
    quantity=st.integers(1, 30),
    buying=few,
    selling=few,
    filled=few,
)
def test_volume_participation(*, adv: int, way: str, quantity: int, buying: int, selling: int, filled: int) -> None:
    at_work = works(Name(0, buying, selling))
    fill = {"id": "F", "account": "A", "symbol": "ACME", "side": "buy", "quantity": str(filled), "price": "100"}
    done = [fill] if filled else []
    now = world(instruments=[instrument(adv=str(adv))], working_orders=at_work, fills=done)
    before = buying + selling + filled
    within = 10 * (before + quantity) <= adv
    # Volume only ever grows, so an order beyond the limit always makes it worse.
    assert status("max-volume-participation", now, order(way, quantity)) is (PASS if within else BREACH)


@forall(parts=st.lists(st.integers(1, 60), min_size=2, max_size=3))
def test_splitting_an_order_does_not_escape_participation(parts: list[int]) -> None:
    now = world(instruments=[instrument(adv="1000")])
    slices = [order("buy", part, id=f"S-{n}") for n, part in enumerate(parts)]
    assert status("max-volume-participation", now, *slices) is (PASS if sum(parts) <= 100 else BREACH)


listed = st.lists(st.sampled_from(["ACME", "ACME.B", "BETA", "ACM", "ACME.A"]), unique=True)


@forall(restricted=listed, symbol=st.sampled_from(["ACME", "ACME.B", "BETA"]), way=side, quantity=st.integers(1, 5))
def test_restricted_and_watch_lists(restricted: list[str], symbol: str, way: str, quantity: int) -> None:
    names = [instrument("ACME"), instrument("ACME.B", issuer="ACME"), instrument("BETA")]
    entries = [{"name": name, "elsewhere": True} for name in restricted]
    now = world(instruments=names, lists={"restricted": entries, "watch": entries}, positions=[held(3, "BETA")])
    issuer = "ACME" if symbol.startswith("ACME") else "BETA"
    hit = symbol in restricted or issuer in restricted
    sent = order(way, quantity, symbol)
    assert status("restricted-list", now, sent) is (BREACH if hit else NOT_APPLICABLE)
    assert status("watch-list", now, sent) is (BREACH if hit else PASS)


def test_without_a_list_nothing_passes() -> None:
    assert status("restricted-list", world(lists={}), order()) is UNDECIDED
    assert status("watch-list", world(lists={}), order()) is UNDECIDED


@forall(seconds=st.integers(0, 1_200))
def test_no_order_in_the_opening_minutes(seconds: int) -> None:
    minute, second = divmod(seconds, 60)
    now = world(time=f"2026-06-15T09:{30 + minute}:{second:02d}-04:00") if minute < 30 else world()
    expected = PASS if seconds >= 600 else BREACH
    assert {f.status for f in found("no-trading-in-the-opening-minutes", now, order())} == {expected}


def test_in_winter_and_on_early_closes_the_opening_is_the_exchange_s() -> None:
    # 2026-11-27 closes at 13:00 and is standard time: 14:40 UTC is ten minutes after the opening.
    assert status("no-trading-in-the-opening-minutes", world(time="2026-11-27T14:40:00+00:00"), order()) is PASS
    assert status("no-trading-in-the-opening-minutes", world(time="2026-11-27T14:39:59+00:00"), order()) is BREACH


def test_on_a_day_without_a_session_the_hours_are_undecided() -> None:
    sunday = world(time="2026-06-14T12:00:00-04:00")
    assert status("no-trading-in-the-opening-minutes", sunday, order()) is UNDECIDED
