"""Steps, repetitions and crossing one's own orders, in integers of our own."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import strategies as st

from lexorder.engine.desk import Desk
from lexorder.engine.measure import REGISTRY
from lexorder.engine.measures import orders
from lexorder.engine.snapshot import Subject
from lexorder.engine.terms import Value
from tests.rules.library import book, forall, instrument, order, projected, ticks, words, working, world

side = st.sampled_from(["buy", "sell", "sell_short"])
amount = st.integers(min_value=1, max_value=40)


def measured(name: str, document: dict[str, object], *sent: dict[str, object], which: int = 0) -> Value:
    """The measure of one of the orders."""
    seen = projected(document, *sent)
    facts = seen.orders[which]
    return REGISTRY[f"order.{name}"](seen, Subject("order", str(facts["order.id"]), facts))


@forall(value=st.integers(-10_000, 10_000), step=st.integers(1, 500))
def test_whole_steps(value: int, step: int) -> None:
    assert orders.whole_steps(Fraction(value, 100), Fraction(step, 100)) is (value % step == 0)


@forall(price=st.integers(1, 100_000), stop=st.integers(1, 100_000), tick=st.integers(1, 100))
def test_limit_and_stop_are_multiples_of_the_tick(price: int, stop: int, tick: int) -> None:
    stock = world(instruments=[instrument(tick=ticks(tick))])
    limit = order("buy", 1, price=ticks(price))
    both = order("buy", 1, price=ticks(price), stop_price=ticks(stop), ord_type="stop_limit")
    assert measured("on_tick", stock, limit) is (price % tick == 0)
    assert measured("on_tick", stock, both) is (price % tick == 0 and stop % tick == 0)
    assert measured("on_tick", stock, order("buy", 1)) is True


@forall(price=st.integers(1, 30_000), half=st.booleans())
def test_nms_stocks_step_in_cents_from_one_dollar(price: int, half: bool) -> None:
    stock = world(instruments=[instrument(**({"minimum_increment": "0.005"} if half else {}))])
    found = measured("on_increment", stock, order("buy", 1, price=ticks(price)))
    assert found is (price < 10_000 or price % (50 if half else 100) == 0)


def test_an_order_without_a_limit_is_on_every_step() -> None:
    sent = order("buy", 1, stop_price="1.0001", ord_type="stop")
    assert measured("on_increment", world(), sent) is True


@forall(quantity=st.integers(1, 5_000), lot=st.integers(1, 200))
def test_the_quantity_is_a_multiple_of_the_lot(quantity: int, lot: int) -> None:
    stock = world(instruments=[instrument(lot=str(lot))])
    assert measured("on_lot", stock, order("buy", quantity)) is (quantity % lot == 0)


# ---- identical orders --------------------------------------------------------------------------


@forall(
    before=st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 2), st.integers(99, 100)), max_size=6),
    way=st.sampled_from(["buy", "sell"]),
    quantity=st.integers(1, 2),
    price=st.integers(99, 100),
)
def test_identical_is_side_quantity_and_limit(
    before: list[tuple[str, int, int]], way: str, quantity: int, price: int
) -> None:
    at_work = [working(s, q, name=f"W-{n}", price=str(p)) for n, (s, q, p) in enumerate(before)]
    sent = order(way, quantity, price=str(price))
    assert measured("identical", world(working_orders=at_work), sent) == before.count((way, quantity, price))


def test_an_order_at_the_market_is_like_any_of_its_side_and_quantity() -> None:
    at_work = [working("buy", 5, name="W-1", price="99"), working("buy", 5, name="W-2", price="98")]
    assert measured("identical", world(working_orders=at_work), order("buy", 5)) == 2


def test_another_symbol_is_not_identical() -> None:
    at_work = [working("buy", 5, "BETA")]
    assert measured("identical", world(working_orders=at_work), order("buy", 5, price="100")) == 0


def test_orders_of_one_list_count_those_ahead_of_them() -> None:
    sent = [order("buy", 5, price="100", id=f"O-{n}") for n in range(3)]
    assert [measured("identical", world(), *sent, which=n) for n in range(3)] == [0, 1, 2]


def test_the_count_of_the_oms_wins() -> None:
    trading = Desk(book(), world(account={"identical_orders_limit": "3"}), words())
    reasons = {r.rule for r in trading.check(order("buy", 1, price="100", identical="2")).reports}
    assert "identical-orders" in reasons
    assert "identical-orders" not in {r.rule for r in trading.check(order("buy", 1, price="100")).reports}


# ---- orders against one's own ------------------------------------------------------------------


@forall(
    way=side,
    other=side,
    limit=st.one_of(st.none(), st.integers(98, 102)),
    against=st.one_of(st.none(), st.integers(98, 102)),
)
def test_orders_cross_when_the_buyer_pays_what_the_seller_asks(
    way: str, other: str, limit: int | None, against: int | None
) -> None:
    buyer, seller = (limit, against) if way == "buy" else (against, limit)
    opposite = (way == "buy") != (other == "buy")
    meet = buyer is None or seller is None or buyer >= seller
    mine, theirs = (None if p is None else Fraction(p) for p in (limit, against))
    assert orders.crosses(way, mine, other, theirs) is (opposite and meet)
    assert orders.crosses(other, theirs, way, mine) is (opposite and meet)


def owners(*accounts: str) -> dict[str, object]:
    """Accounts A and B with these owners, and an order of B to sell at 100."""
    named = [{"id": i, "currency": "USD", "beneficial_owner": o} for i, o in zip("AB", accounts, strict=True)]
    return world(accounts=named, working_orders=[{**working("sell", 5), "account": "B"}])


@pytest.mark.parametrize(
    ("accounts", "price", "expected"),
    [
        (("FUND", "FUND"), "100", True),
        (("FUND", "FUND"), "100.0001", True),
        (("FUND", "FUND"), "99.9999", False),
        (("FUND", "OTHER"), "100", False),
    ],
)
def test_orders_of_all_accounts_of_one_owner_count(accounts: tuple[str, str], price: str, expected: bool) -> None:
    assert measured("crosses_own", owners(*accounts), order("buy", 1, price=price)) is expected


def test_an_account_without_an_owner_is_its_own() -> None:
    at_work = [working("sell", 5), {**working("sell", 5, name="W-2", price="90"), "account": "B"}]
    document = world(working_orders=at_work, accounts=[{"id": i, "currency": "USD"} for i in "AB"])
    assert measured("crosses_own", document, order("buy", 1, price="100")) is True
    assert measured("crosses_own", document, order("buy", 1, price="99")) is False
    assert measured("crosses_own", document, order("sell", 1, price="80")) is False


def test_orders_sent_together_count_too_and_a_stop_may_cross() -> None:
    pair = [order("buy", 1, price="100", id="O-1"), order("sell", 1, price="100", id="O-2")]
    assert measured("crosses_own", world(), *pair) is True
    apart = [order("buy", 1, price="99", id="O-1"), order("sell", 1, price="100", id="O-2")]
    assert measured("crosses_own", world(), *apart) is False
    stop = [order("buy", 1, price="99", id="O-1"), order("sell", 1, ord_type="stop", stop_price="90", id="O-2")]
    assert measured("crosses_own", world(), *stop) is True


@forall(quantity=amount, parts=st.lists(amount, min_size=2, max_size=3))
def test_no_size_or_split_of_an_order_escapes(quantity: int, parts: list[int]) -> None:
    document = world(working_orders=[working("sell", quantity)])
    slices = [order("buy", part, price="100", id=f"P-{n}") for n, part in enumerate(parts)]
    assert all(measured("crosses_own", document, *slices, which=n) for n in range(len(slices)))
