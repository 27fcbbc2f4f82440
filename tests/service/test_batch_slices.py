"""Parts of a batch: their records and views, and what happens to a batch while others come between its slices."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.api.service import batch as endpoint
from lexorder.api.service.batch_slices import Batch, Written, by_account, cut, head_of, record_of, views_of
from lexorder.api.service.order_columns import columns_of
from lexorder.api.service.views import view_bytes
from lexorder.engine.approved import Approved, Ground
from lexorder.engine.vector import Cleared
from tests.service.house import RULES, House
from tests.worlds import order

PATH = "/v1/orders/check-batch"
GROUND = Ground(datetime(2026, 6, 15, 16, 0, 0, 250, tzinfo=UTC), 7, "ab" * 32, "cd" * 32)
NAMES = st.text(st.sampled_from('AZaz09-_/.é"\\ '), min_size=1, max_size=8)


@given(st.integers(0, 40), st.integers(1, 50))
def test_parts_are_the_whole(count, size):
    parts = list(cut(range(count), size))
    assert [n for part in parts for n in part] == list(range(count))
    assert all(1 <= len(part) <= size for part in parts)


@given(st.lists(st.sampled_from("ABC"), max_size=12))
def test_each_account_is_one_part_in_the_order_of_its_first(accounts):
    orders: Any = [{"order.account": name} for name in accounts]
    parts = [list(part) for part in by_account(orders)]
    assert sorted(n for part in parts for n in part) == list(range(len(accounts)))
    assert [accounts[part[0]] for part in parts] == list(dict.fromkeys(accounts))
    assert all(len({accounts[n] for n in part}) == 1 and part == sorted(part) for part in parts)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=6))
def test_bytes_and_views_of_many_approvals_are_those_of_each(pairs):
    accounts, orders = [a for a, _ in pairs], [o for _, o in pairs]
    cleared = Cleared(GROUND, list(range(len(pairs))), accounts, orders)
    assert cleared.encoded() == [Approved(GROUND, a, o).encoded() for a, o in pairs]
    for found, (account, name) in zip(views_of(cleared), pairs, strict=True):
        assert msgspec.json.decode(found) == msgspec.json.decode(view_bytes(GROUND.decision(account, name)))


def raw(count: int) -> Batch:
    orders = [order(id=f"o{n}") for n in range(count)]
    return Batch("independent", [msgspec.Raw(msgspec.json.encode(o)) for o in orders], orders)


@pytest.mark.parametrize("places", [[0], [3, 1], [0, 1, 2, 3], [2]])
def test_a_record_has_its_orders_and_decisions_in_their_order(places):
    batch, written = raw(4), Written(4, in_full=True)
    written.put_all(0, Cleared(GROUND, [0, 1, 2, 3], ["A"] * 4, [f"o{n}" for n in range(4)]))
    body = msgspec.json.decode(record_of(head_of("2026-06-15", 'a "key"', [0]), batch, places, written))
    assert body["orders"] == [order(id=f"o{n}") for n in places]
    assert [d["orders"] for d in body["decisions"]] == [[f"o{n}"] for n in places]
    assert (body["now"], body["by"], body["mode"], body["reserved"]) == ("2026-06-15", 'a "key"', "independent", [0])
    assert "shown" not in body


def test_views_stand_by_their_place_in_the_record():
    batch, written = raw(4), Written(4, in_full=True)
    written.put_all(0, Cleared(GROUND, [0, 1, 2, 3], ["A"] * 4, [f"o{n}" for n in range(4)]))
    written.seen = {1: b'{"one":1}', 3: b'{"three":3}'}
    body = msgspec.json.decode(record_of(head_of("now", "x", []), batch, [3, 0, 1], written))
    assert body["shown"] == {"0": {"three": 3}, "2": {"one": 1}}


@pytest.mark.parametrize("columns", [True, False])
def test_rows_and_columns_of_a_part(columns):
    orders = [order(id=f"o{n}", quantity=n + 1) for n in range(5)]
    body = msgspec.json.encode({"mode": "independent", "orders": orders})
    found = columns_of(body)
    assert found is not None
    whole = Batch("independent", found.raw, columns=found) if columns else Batch("independent", found.raw, orders)
    assert whole.size == 5
    assert whole.accounts() == {"A"}
    assert whole.rows([4, 0]) == [orders[4], orders[0]]
    part = whole.part(range(1, 3))
    assert {name: list(values) for name, values in part.items()} == {
        name: [o[name] for o in orders[1:3]] for name in orders[0]
    }


def traded(**facts: Any) -> dict[str, Any]:
    """An order with its trader: the house's rules look for one."""
    return order(trader="T", **facts)


# ---- while others come between ------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A house whose slices hold a few orders, so that a batch has many."""
    monkeypatch.setitem(endpoint.SLICE, "independent", 40)
    monkeypatch.setattr(endpoint, "SINGLES", 3)
    house = House(tmp_path, RULES).furnished()
    yield house
    house.close()


def records(house: House) -> list[Any]:
    assert house.service.ledger is not None
    return [msgspec.json.decode(r.body) for r in house.service.ledger.read(kind="batch")]


def test_what_is_not_cleared_comes_behind_in_small_slices(small):
    quantities = [1001 if n % 10 == 0 else 1 for n in range(90)]
    orders = [traded(id=f"i{n}", quantity=q) for n, q in enumerate(quantities)]
    found = small.post(PATH, {"mode": "independent", "orders": orders})
    assert [d["outcome"] for d in found["decisions"]] == ["reject" if q == 1001 else "approve" for q in quantities]
    assert [d["orders"] for d in found["decisions"]] == [[o["id"]] for o in orders]
    assert found["approved"] == 81
    sizes = [len(body["orders"]) for body in records(small)]
    # The last part, ten orders, is too small for columns: one by one, as the nine that were refused.
    assert sizes == [36, 36, *([3] * 6)]
    kept = [o["id"] for body in records(small) for o in body["orders"]]
    assert sorted(kept) == sorted(o["id"] for o in orders)
    for body in records(small):
        assert [d["orders"][0] for d in body["decisions"]] == [o["id"] for o in body["orders"]]


def test_a_halt_between_two_slices_holds_for_those_behind_it(small):
    orders = [traded(id=f"i{n}") for n in range(120)]
    check = endpoint.BatchCheck._cleared

    async def both() -> tuple[Any, Any]:
        first = asyncio.ensure_future(small.calling("POST", PATH, {"mode": "independent", "orders": orders}))
        while not seen:
            await asyncio.sleep(0)
        halted = await small.calling("POST", "/v1/kill", {"scope": "account", "id": "A"})
        return await first, halted

    seen: list[int] = []

    def noting(self: Any, run: Any, places: Any) -> Any:
        seen.append(places.start)
        return check(self, run, places)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(endpoint.BatchCheck, "_cleared", noting)
        answer, halted = small.run(both())
    assert halted.status_code == 200
    outcomes = [d["outcome"] for d in answer.json()["decisions"]]
    assert outcomes[:40] == ["approve"] * 40
    assert set(outcomes[40:]) <= {"approve", "reject"}
    # Whatever was decided after the halt was answered is refused: nothing approved behind a refusal of a later record.
    after = [body for body in records(small) if any(d["reason"] == "NOT_PERMITTED" for d in body["decisions"])]
    assert all(d["outcome"] == "reject" for body in after for d in body["decisions"])
    found = small.post(PATH, {"mode": "independent", "orders": [traded(id=f"j{n}") for n in range(50)]})
    assert {d["outcome"] for d in found["decisions"]} == {"reject"}


@pytest.mark.parametrize("bad", [0, 39, 40, 79, 89])
def test_an_order_that_cannot_be_read_is_named_by_its_place_in_the_batch(small, bad):
    orders = [traded(id=f"i{n}", quantity="1.5" if n == bad else "1") for n in range(90)]
    problem = small.post(PATH, {"mode": "independent", "orders": orders}, status=422)
    assert problem["where"] == f"orders[{bad}]"


@pytest.mark.parametrize("mode", ["independent", "cumulative"])
def test_an_order_without_an_identifier_is_refused_with_its_place(small, mode):
    orders = [{k: v for k, v in traded().items() if k != "id"}] * 40
    problem = small.post(PATH, {"mode": mode, "orders": orders}, status=422)
    assert problem["where"] == "orders[0]"


def test_a_trader_gets_the_same_views_from_columns_and_one_by_one(small):
    orders = [traded(id=f"i{n}", quantity=101 if n == 7 else 1) for n in range(40)]
    by_columns = small.post(PATH, {"mode": "independent", "orders": orders}, by="senior_trader/tess")["decisions"]
    few = [
        small.post(PATH, {"mode": "independent", "orders": orders[n : n + 8]}, by="senior_trader/tess")
        for n in range(0, 40, 8)
    ]
    singly = [d for part in few for d in part["decisions"]]
    time = {"time": ""}
    assert [{**d, **time} for d in by_columns] == [{**d, **time} for d in singly]
