"""Batches of feeds: taken whole or not at all, and a batch says what its rows say one by one.

The independent account is the desk itself: told the rows singly it must end where the batch ends, and whatever a batch
was admitted with it must take to the last event. The cash of fills is worked out here, in fractions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lexorder.api.service.admissible import Known
from lexorder.api.service.feed_events import events_of
from lexorder.api.service.feeds import FEEDS
from lexorder.engine.desk import Desk
from lexorder.engine.errors import SnapshotError
from tests.service.house import House
from tests.service.stepping import rebuilt
from tests.worlds import VOCABULARY, book, desk, instrument, position, working, world

Rows = list[dict[str, Any]]
RULES = book("rule: r\ntitle: t\nrequire: order.quantity <= 1_000")


def told_world() -> dict[str, Any]:
    """Accounts A and B, orders W1 (A buys 100 ACME) and W2 (B sells 7 BETA), ACME's issuer on a list."""
    held = [position("ACME", 40), position("BETA", 9, account="B")]
    orders = [working("W1", "ACME", "buy", 100), {**working("W2", "BETA", "sell", 7), "account": "B"}]
    document = world(positions=held, working_orders=orders)
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    document["lists"]["restricted"] = [{"name": "COCO", "kind": "issuer"}]
    return document


def made() -> Desk:
    """A desk on that world."""
    return desk(RULES, told_world())


def known(live: Desk) -> Known:
    """What rows are read against."""
    return Known(VOCABULARY, live.tables, live.working, live.live.fills)


def facts_of(live: Desk) -> dict[str, Any]:
    """All a desk knows, as plain data."""
    now = live.snapshot
    return {
        "accounts": dict(now.accounts),
        "instruments": dict(now.instruments),
        "traders": dict(now.traders),
        "strategies": dict(now.strategies),
        "positions": {a: dict(held) for a, held in now.positions.items() if held},
        "working": {str(w["working_order.id"]): w for w in now.working_orders},
        "fills": list(now.fills),
        "quotes": list(now.quotes),
        "signals": list(now.signals),
        "single": dict(now.single),
        "lists": dict(now.lists),
    }


def take(live: Desk, feed: str, body: Mapping[str, Any]) -> str:
    """Let a desk take a batch: the code it is refused with, or nothing. Whatever was admitted must be taken."""
    try:
        events = events_of(feed, body, known(live))
    except SnapshotError as refused:
        return refused.code
    for event in events:
        live.apply(event)
    return ""


def refusal(live: Desk, feed: str, **body: Any) -> tuple[str, str]:
    """Code and place of a refusal that must come."""
    with pytest.raises(SnapshotError) as refused:
        events_of(feed, body, known(live))
    return refused.value.code, refused.value.where


# ---- any rows ------------------------------------------------------------------------------------------

SYMBOLS = st.sampled_from(["ACME", "BETA", "COCO", "NEW", "NOPE"])
ACCOUNTS = st.sampled_from(["A", "B", "C", "NOPE"])
ORDERS = st.sampled_from(["W1", "W2", "W9"])
SIDES = st.sampled_from(["buy", "sell", "sell_short"])


def rows(required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Rows]:
    """Up to four rows."""
    return st.lists(st.fixed_dictionaries(required, optional=optional), min_size=1, max_size=4)


ITEMS: dict[str, st.SearchStrategy[Rows]] = {
    "accounts": rows(
        {"id": ACCOUNTS}, nav=st.sampled_from(["0.0001", "1", "0"]), cash=st.just("-5"), tags=st.just(["ucits"])
    ),
    "positions": rows({"account": ACCOUNTS, "symbol": SYMBOLS}, quantity=st.sampled_from(["0", "-3", "100000000"])),
    "prices": rows(
        {"symbol": SYMBOLS},
        mark=st.sampled_from(["0.0001", "2000000", "2000000.0001"]),
        issuer=st.sampled_from(["COCO", "ZETA"]),
        underlying=st.sampled_from(["ACME", "BETA", "COCO"]),
    ),
    "fills": rows(
        {
            "id": st.sampled_from(["F1", "F2", "F3"]),
            "account": st.sampled_from(["A", "A", "B", "NOPE"]),
            "symbol": st.sampled_from(["ACME", "ACME", "BETA", "NOPE"]),
            "side": SIDES,
            "quantity": st.sampled_from(["1", "7", "99", "100", "101"]),
            "price": st.just("10"),
        },
        order=ORDERS,
        fee=st.sampled_from(["0", "1.5", "-1"]),
    ),
    "working-orders": st.lists(
        st.one_of(
            st.fixed_dictionaries({"id": ORDERS, "action": st.just("remove")}),
            st.builds(
                working,
                ORDERS,
                SYMBOLS,
                SIDES,
                st.sampled_from([0, 1, 10_000_000]),
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    "lists": rows(
        {
            "list": st.sampled_from(["restricted", "watch", "own", "Own"]),
            "entries": st.lists(
                st.sampled_from(["ACME", "NOPE", "acme", {"name": "NOPE", "elsewhere": True}, {"name": "COCO"}]),
                max_size=2,
            ),
        }
    ),
    "signals": rows({"id": st.sampled_from(["S1", "S2"])}, symbol=SYMBOLS, account=ACCOUNTS),
}


@pytest.mark.parametrize("feed", FEEDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), whole=st.booleans())
def test_a_batch_is_taken_to_its_last_event_or_changes_nothing(feed: str, data: st.DataObject, *, whole: bool):
    live = made()
    before = facts_of(live)
    if take(live, feed, {"items": data.draw(ITEMS[feed]), "whole": whole}):
        assert facts_of(live) == before


@pytest.mark.parametrize("feed", FEEDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_batch_says_what_its_rows_say_one_by_one(feed: str, data: st.DataObject):
    items = data.draw(ITEMS[feed])
    at_once, singly = made(), made()
    refused = take(at_once, feed, {"items": items})
    codes = [take(singly, feed, {"items": [row]}) for row in items]
    if not refused:
        assert codes == [""] * len(items)
        assert (facts_of(at_once), at_once.hash) == (facts_of(singly), singly.hash)
    else:
        # Only of an order that an earlier row has filled a batch knows more: the row by itself names none there is.
        assert refused in codes or (feed, refused) == ("fills", "out-of-bounds")


@settings(max_examples=80, deadline=None)
@given(
    traders=rows({"id": st.sampled_from(["T", "X", "Y"])}, role=st.sampled_from(["analyst", "senior_trader", "king"])),
    strategies=rows(
        {"id": st.sampled_from(["S", "R"])}, trading_state=st.sampled_from(["REDUCING", "ACTIVE"]), unknown=st.just(1)
    ),
)
def test_traders_and_strategies_of_a_batch_are_taken_like_single_ones(traders: Rows, strategies: Rows):
    at_once, singly = made(), made()
    refused = take(at_once, "accounts", {"traders": traders, "strategies": strategies})
    parts: Sequence[tuple[str, Rows]] = (("traders", traders), ("strategies", strategies))
    codes = [take(singly, "accounts", {key: [row]}) for key, found in parts for row in found]
    if refused:
        assert refused in codes
        assert facts_of(at_once) == facts_of(made())
    else:
        assert codes == [""] * len(codes)
        assert facts_of(at_once) == facts_of(singly)


# ---- what is refused, and where ------------------------------------------------------------------------

GOOD = position("ACME", 10)
FILL = {"id": "F1", "account": "A", "symbol": "ACME", "side": "buy", "quantity": "10", "price": "100", "order": "W1"}
SOLD = {**FILL, "id": "F2", "account": "B", "symbol": "BETA", "side": "sell", "quantity": "7", "order": "W2"}
ANOTHER = ("bad-value", "items[1].order")
LISTED_WRONG = {"list": "restricted", "entries": ["NOPE"]}


def about(symbol: str, underlying: str) -> dict[str, Any]:
    """An instrument that is about another one."""
    return {"symbol": symbol, "underlying": underlying}


@pytest.mark.parametrize(
    ("feed", "items", "code", "where"),
    [
        ("positions", [GOOD, position("ACME", 1, account="NOPE")], "unknown-thing", "items[1]"),
        ("positions", [GOOD, position("NOPE", 1)], "unknown-thing", "items[1]"),
        ("positions", [GOOD, {"account": "A"}], "missing-key", "items[1]"),
        ("positions", [GOOD, {"account": "A", "symbol": "ACME"}], "missing-key", "items[1]"),
        ("positions", [{"account": "A", "symbol": "ACME", "quantity": None}], "missing-key", "items[0]"),
        ("positions", [position("ACME", 100_000_001)], "out-of-bounds", "items[0].quantity"),
        ("fills", [FILL, FILL], "duplicate-thing", "items[1].id"),
        ("fills", [SOLD, {**FILL, "account": "B"}], *ANOTHER),
        ("fills", [SOLD, {**FILL, "symbol": "BETA"}], *ANOTHER),
        ("fills", [SOLD, {**FILL, "side": "sell"}], *ANOTHER),
        ("fills", [SOLD, {**FILL, "side": "sell_short"}], *ANOTHER),
        ("fills", [{**FILL, "quantity": "101"}], "out-of-bounds", "items[0].quantity"),
        ("fills", [{**FILL, "quantity": "100"}, {**FILL, "id": "F3"}], "out-of-bounds", "items[1].quantity"),
        ("fills", [{**FILL, "quantity": "0"}], "out-of-bounds", "items[0].quantity"),
        ("fills", [{**FILL, "account": "NOPE", "order": "X"}], "unknown-thing", "items[0]"),
        ("fills", [{**FILL, "fee": "-0.01"}], "out-of-bounds", "items[0].flat_fee"),
        ("fills", [{k: v for k, v in FILL.items() if k != "price"}], "missing-key", "items[0]"),
        ("working-orders", [{"id": "W9", "action": "remove"}], "unknown-thing", "items[0]"),
        ("working-orders", [{"id": "W1", "action": "remove"}] * 2, "unknown-thing", "items[1]"),
        ("working-orders", [{"id": "W1", "action": "cancel"}], "bad-value", "items[0].action"),
        ("working-orders", [{"id": "W9", "account": "A"}], "missing-key", "items[0]"),
        ("lists", [{"list": "watch", "entries": ["ACME"]}, LISTED_WRONG], "unknown-thing", "lists.restricted"),
        ("lists", [{"list": "restricted", "entry": ["ACME"]}], "wrong-shape", "items[0]"),
        ("lists", [{"list": "restricted"}], "wrong-shape", "items[0]"),
        ("lists", [{"list": "a.b", "entries": []}], "unknown-name", "items[0].list"),
        ("lists", [{"list": ["restricted"], "entries": []}], "unknown-name", "items[0].list"),
        ("prices", [{"symbol": "ACME"}, {"symbol": "COCO", "issuer": "ZETA"}], "unknown-thing", "lists.restricted"),
        ("prices", [about("ACME", "BETA"), about("BETA", "ACME")], "circle", "instruments "),
        ("prices", [{"mark": "1"}], "missing-key", "items[0]"),
        ("signals", [{"symbol": "ACME"}], "missing-key", "items[0]"),
        ("accounts", [{"nav": "1"}], "missing-key", "items[0]"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_row_and_why(feed: str, items: Rows, code: str, where: str):
    found = refusal(made(), feed, items=items)
    assert found[0] == code
    assert found[1].startswith(where)


@pytest.mark.parametrize(
    "body",
    [{"items": "ACME"}, {"items": {"symbol": "ACME"}}, {"items": 5}, {"items": ["ACME"]}, {"items": [["ACME"]]},
     {"quotes": [None]}, {"quotes": "q"}],
)  # fmt: skip
def test_what_is_no_list_of_objects_is_refused(body: dict[str, Any]):
    assert refusal(made(), "prices", **body)[0] == "wrong-shape"


def test_a_feed_that_is_none_is_an_error_of_the_caller():
    with pytest.raises(KeyError):
        events_of("weather", {"items": []}, known(made()))


# ---- what is taken -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "left"), [("1", 99), ("99", 1), ("100", None)])
def test_a_fill_leaves_the_rest_of_its_order(quantity: str, left: int | None):
    live = made()
    assert take(live, "fills", {"items": [{**FILL, "quantity": quantity}]}) == ""
    facts = live.working.get("W1")
    assert (None if facts is None else facts["working_order.quantity"]) == left
    assert live.snapshot.positions["A"]["ACME"]["position.before.quantity"] == 40 + int(quantity)
    assert "W2" in live.working


def test_fills_of_one_batch_fill_one_order_to_the_last_share():
    live = made()
    parts = [{**FILL, "id": f"F{n}", "quantity": q} for n, q in enumerate(("1", "60", "39"))]
    assert take(live, "fills", {"items": parts}) == ""
    assert "W1" not in live.working
    assert [f["fill.quantity"] for f in live.snapshot.fills] == [1, 60, 39]


@pytest.mark.parametrize("order", ["GONE", "NONE"])
def test_a_fill_of_an_order_that_is_not_working_moves_the_position_alone(order: str):
    live = made()
    assert take(live, "fills", {"items": [{**FILL, "order": order, "symbol": "BETA", "side": "sell"}]}) == ""
    assert live.working["W1"]["working_order.quantity"] == 100
    assert live.snapshot.positions["A"]["BETA"]["position.before.quantity"] == -10


CENTS = st.decimals("0.0001", "2000000", places=4).map(str)


@settings(max_examples=100, deadline=None)
@given(
    side=SIDES,
    quantity=st.sampled_from([1, 3, 10_000_000]),
    price=CENTS,
    multiplier=st.sampled_from(["1", "100", "0.000001", "1000000"]),
    rate=st.sampled_from([("USD", "1"), ("EUR", "1.08253")]),
    fee=st.sampled_from(["0", "0.35", "1000000"]),
)
@example(side="buy", quantity=10_000_000, price="2000000", multiplier="1000000", rate=("USD", "1"), fee="1000000")
def test_the_cash_of_a_fill_is_exact(**drawn: Any):
    side, quantity, price = drawn["side"], drawn["quantity"], drawn["price"]
    multiplier, rate, fee = drawn["multiplier"], drawn["rate"], drawn["fee"]
    traded = instrument("ACME", multiplier=multiplier, currency=rate[0])
    document = world(instruments=[traded], fx={"base": "USD", "EUR": "1.08253"})
    row = {**FILL, "side": side, "quantity": str(quantity), "price": price, "fee": fee, "order": "X"}
    live = desk(RULES, document)
    assert take(live, "fills", {"items": [row]}) == ""
    sign = 1 if side == "buy" else -1
    moved = quantity * Fraction(price) * Fraction(multiplier) * Fraction(rate[1])
    expected = 100_000 - sign * moved - Fraction(fee)
    assert live.snapshot.accounts["A"]["account.cash"] == expected


@pytest.mark.parametrize(
    ("given", "date"),
    [
        ({}, "2026-06-15"),
        ({"time": "2026-06-12T15:59:00-04:00"}, "2026-06-12"),
        ({"time": "2026-06-13T03:59:00Z"}, "2026-06-12"),
        ({"time": "2026-06-13T04:00:00Z"}, "2026-06-13"),
        ({"time": "2026-06-12T15:59:00-04:00", "date": "2026-06-11"}, "2026-06-11"),
    ],
)
def test_a_fill_counts_for_the_day_at_the_exchange(given: dict[str, str], date: str):
    live = made()
    assert take(live, "fills", {"items": [{**FILL, **given}]}) == ""
    (fill,) = live.snapshot.fills
    assert str(fill["fill.date"]) == date


@pytest.mark.parametrize(
    ("items", "left"),
    [
        ([], set()),
        ([{"id": "W1", "action": "remove"}], set()),
        ([working("W2", "BETA", "sell", 6)], {"W2"}),
        ([working("W1", "ACME", "buy", 1), working("W9", "COCO", "buy", 1)], {"W1", "W9"}),
    ],
)
def test_working_orders_told_whole_are_all_there_are(items: Rows, left: set[str]):
    live = made()
    assert take(live, "working-orders", {"items": items, "whole": True}) == ""
    assert set(live.working) == left


@pytest.mark.parametrize(
    "items", [[], [position("ACME", 3)], [position("COCO", -1, account="B")], [position("BETA", 1)]]
)
def test_positions_told_whole_leave_nothing_else_held(items: Rows):
    live = made()
    assert take(live, "positions", {"items": items, "whole": True}) == ""
    held = {
        (account, symbol): facts["position.before.quantity"]
        for account, symbols in live.snapshot.positions.items()
        for symbol, facts in symbols.items()
        if facts["position.before.quantity"]
    }
    assert held == {(row["account"], row["symbol"]): Fraction(row["quantity"]) for row in items}


def test_lists_told_whole_are_emptied_where_they_are_not_named():
    live = made()
    assert take(live, "lists", {"items": [{"list": "watch", "entries": ["BETA"]}], "whole": True}) == ""
    assert live.snapshot.single["lists.restricted"] == frozenset()
    assert live.snapshot.single["lists.watch"] == {"BETA"}


@pytest.mark.parametrize("feed", ["accounts", "prices", "signals", "fills"])
def test_no_account_price_signal_or_fill_is_forgotten_because_it_is_not_named(feed: str):
    live = made()
    before = facts_of(live)
    assert take(live, feed, {"items": [], "whole": True}) == ""
    assert facts_of(live) == before


def test_names_of_a_market_go_where_rules_look_for_them():
    live = made()
    row = {"symbol": "ACME", "mark": "7", "regime": "VOLATILE"}
    assert take(live, "prices", {"items": [row], "firm": {"exposure": "5"}}) == ""
    facts = live.snapshot.instruments["ACME"]
    assert (facts["instrument.mark"], facts["market.regime"]) == (7, "VOLATILE")
    assert live.snapshot.single["firm.exposure"] == 5


# ---- through the service -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), clock="feed")
    yield house
    house.close()


@pytest.mark.parametrize(
    ("feed", "items"),
    [
        ("positions", [GOOD, position("ACME", 1, account="NOPE")]),
        ("positions", [GOOD, position("NOPE", 1)]),
        ("fills", [{**FILL, "quantity": "1"}, {**FILL, "id": "F2", "account": "B"}]),
        ("lists", [{"list": "watch", "entries": ["ACME"]}, {"list": "restricted", "entries": ["NOPE"]}]),
        ("prices", [{"symbol": "BETA", "mark": "1"}, {"symbol": "COCO", "issuer": "ZETA"}]),
    ],
)
def test_a_refused_batch_leaves_the_floor_as_the_ledger_has_it(served: House, feed: str, items: Rows):
    served.post("/v1/snapshot", told_world())
    before, size = served.service.floor.standing.hash, len(served.run(served.service.recorded(kind="events")))
    answer = served.call("POST", f"/v1/{feed}", {"event_id": "e1", "items": items})
    assert answer.status_code == 422
    assert served.service.floor.standing.hash == before
    assert len(served.run(served.service.recorded(kind="events"))) == size
    assert rebuilt(served).standing.hash == before
    assert served.post(f"/v1/{feed}", {"event_id": "e1", "items": items[:1]})["status"] == "taken"


def test_a_batch_the_desk_gives_up_halfway_is_undone_from_the_ledger(served: House, monkeypatch: pytest.MonkeyPatch):
    """A refusal that nobody foresaw: the answer is no, and the floor is what was recorded."""
    served.post("/v1/snapshot", told_world())
    before = served.service.floor.standing.hash
    with monkeypatch.context() as patch:
        patch.setattr("lexorder.api.service.feed_events.admit", lambda *_: None)
        items = [GOOD, position("NOPE", 1)]
        assert served.refused("POST", "/v1/positions", {"event_id": "e1", "items": items}) == (500, "internal-defect")
    assert served.service.floor.standing.hash == before
    assert served.get("/v1/positions?symbol=ACME")["items"][0]["quantity"] == "40"
    assert served.check(quantity=1)["outcome"] == "approve"


@pytest.mark.parametrize("told", ["ACTIVE", "REDUCING", "HALTED"])
@pytest.mark.parametrize("set_", ["REDUCING", "HALTED"])
def test_no_price_feed_lifts_what_risk_control_has_set_for_the_firm(served: House, set_: str, told: str):
    served.post("/v1/snapshot", told_world())
    served.post("/v1/trading-state", {"state": set_, "reason": "a test"})
    try:
        served.post("/v1/prices", {"event_id": "e1", "items": [], "firm": {"trading_state": told}})
        assert served.check(id=f"o-{set_}-{told}")["reason"] == "NOT_PERMITTED"
        assert served.get("/v1/trading-state")["firm"] == set_
    finally:
        served.post("/v1/trading-state", {"state": "ACTIVE", "reason": "a test"})
