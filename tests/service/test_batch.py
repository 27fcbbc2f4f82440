"""A batch is nothing but its orders: each mode compared with the orders one by one on a desk of its own."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexorder.api.service.batch import SLICE
from lexorder.api.service.replay import Replay
from lexorder.api.service.views import HIDDEN
from lexorder.engine.desk import Desk
from lexorder.engine.rulebook import RuleBook
from tests.service.house import RULES, House
from tests.service.stepping import ORDERS, numbered, rebuilt, snapshot, tell
from tests.worlds import VOCABULARY, order, position, world

PATH = "/v1/orders/check-batch"
BOOK = RuleBook.of(RULES, VOCABULARY)
FACTS = ("orders", "account", "outcome", "reason", "violations", "undecided", "warnings", "passive")


def desk(house):
    """A desk that has seen nothing but the snapshot, at the time of the house's."""
    document = world()
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    return Desk(BOOK, {**document, "time": house.service.floor.standing.time.isoformat()}, VOCABULARY)


def batch(house, mode, orders, by="admin", status=200):
    return house.post(PATH, {"mode": mode, "orders": orders}, by=by, status=status)


def gist(decision):
    plain = msgspec.json.decode(msgspec.json.encode(decision))
    return {name: plain[name] for name in FACTS}


def works(orders):
    """Plain working orders of approved ones."""
    return {o["id"]: int(o["quantity"]) for o in orders}


def working(house):
    return {k: int(f["working_order.quantity"]) for k, f in house.service.floor.standing.working.items()}


LISTS = st.lists(ORDERS, min_size=1, max_size=9)
QUIET = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@QUIET
@given(drawn=LISTS)
def test_independent_is_each_by_itself(shared, drawn):
    snapshot(shared)
    orders = [numbered(o) for o in drawn]
    found = batch(shared, "independent", orders)
    alone = desk(shared)
    assert [gist(d) for d in found["decisions"]] == [gist(alone.check(o).to_json()) for o in orders]
    assert not working(shared)


@QUIET
@given(drawn=LISTS)
def test_basket_is_all_of_an_account_or_none(shared, drawn):
    snapshot(shared)
    orders = [numbered(o) for o in drawn]
    found = batch(shared, "basket", orders)
    together = {d.account: d for d in desk(shared).check_basket(orders)}
    expected = [gist(together[o["account"]].to_json()) for o in orders]
    assert [gist(d) for d in found["decisions"]] == expected
    assert working(shared) == works(o for o in orders if together[o["account"]].approved)


@QUIET
@given(drawn=LISTS)
def test_cumulative_is_one_order_after_the_other(shared, drawn):
    orders = [numbered(o) for o in drawn]
    snapshot(shared)
    found = batch(shared, "cumulative", orders)
    left = working(shared)
    snapshot(shared)
    # Time runs on between the two and is part of the decision, but not of what is compared.
    one_by_one = [shared.post("/v1/orders/check", o) for o in orders]
    assert [gist(d) for d in found["decisions"]] == [gist(d) for d in one_by_one]
    assert (
        left
        == working(shared)
        == works(o for o, d in zip(orders, one_by_one, strict=True) if d["outcome"] == "approve")
    )
    assert found["approved"] == len(left)


def test_cumulative_stops_exactly_at_the_limit_across_slices(shared):
    snapshot(shared)
    size = SLICE["cumulative"]
    orders = [order(id=f"c{n}", quantity=5) for n in range(2 * size + 1)]
    found = batch(shared, "cumulative", orders)
    outcomes = [d["outcome"] for d in found["decisions"]]
    assert outcomes == ["approve"] * 100 + ["reject"] * (2 * size + 1 - 100)  # 100 × 5 × 100 = 50,000, half of it all
    slices = [
        r for r in shared.service.ledger.read(kind="batch") if msgspec.json.decode(r.body)["mode"] == "cumulative"
    ]
    assert [len(msgspec.json.decode(r.body)["orders"]) for r in slices[-3:]] == [size, size, 1]


@pytest.mark.parametrize("mode", ["cumulative", "independent", "basket"])
def test_a_halt_and_a_doubt_hold_in_every_mode(house, mode):
    tell(house, "positions", sequence=1, items=[])
    tell(house, "positions", sequence=3, items=[])
    (doubtful,) = {d["outcome"] for d in batch(house, mode, [order(id="d1"), order(id="d2")])["decisions"]}
    assert doubtful == "undecided"
    tell(house, "positions", whole=True, sequence=4, items=[])
    assert batch(house, mode, [order(id="e1")])["approved"] == 1
    house.post("/v1/kill", {"scope": "account", "id": "A"})
    found = batch(house, mode, [order(id="h1"), order(id="h2", account="B")])["decisions"]
    assert [d["outcome"] for d in found] == ["reject", "approve"]


@pytest.mark.parametrize("mode", ["cumulative", "independent", "basket"])
def test_an_order_that_cannot_be_read_is_named_and_nothing_works(shared, mode):
    snapshot(shared)
    orders = [order(id="ok"), order(id="ok2"), order(id="bad", quantity="1.5")]
    problem = batch(shared, mode, orders, status=422)
    assert problem["where"] == "orders[2]"
    assert not working(shared)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "wrong-shape"),
        ({}, "wrong-shape"),
        ({"orders": {}}, "wrong-shape"),
        ({"orders": []}, "batch-size"),
        ({"orders": [1]}, "wrong-shape"),
        ({"orders": [order()], "mode": "some"}, "unknown-mode"),
    ],
)
def test_what_is_no_batch_is_refused(shared, body, code):
    assert shared.refused("POST", PATH, body) == (422, code)


def test_a_batch_has_a_largest_size(tmp_path):
    small = House(tmp_path, RULES, batch_max=3).furnished()
    assert batch(small, "independent", [order(id=f"i{n}") for n in range(3)])["count"] == 3
    too_many = {"mode": "independent", "orders": [order(id=f"i{n}") for n in range(4)]}
    assert small.refused("POST", PATH, too_many) == (422, "batch-size")
    small.close()


def test_a_key_for_one_account_sends_no_batch_for_another(shared):
    body = {"mode": "independent", "orders": [order(id="i1"), order(id="i2", account="B")]}
    by = {"by": "senior_trader/tom", "accounts": ["A"]}
    assert shared.refused("POST", PATH, body, **by) == (403, "account-not-permitted")
    assert shared.call("POST", PATH, {**body, "orders": body["orders"][:1]}, **by).status_code == 200


def test_a_trader_sees_each_order_of_a_batch_as_a_trader(shared):
    snapshot(shared)
    orders = [order(id="v1"), order(id="v2", quantity=101), order(id="v3", quantity=1001)]
    full = batch(shared, "independent", orders)["decisions"]
    seen = batch(shared, "independent", orders, by="senior_trader/tess")["decisions"]
    assert [d["outcome"] for d in seen] == [d["outcome"] for d in full] == ["approve", "needs_override", "reject"]
    for decision in seen:
        assert not set(HIDDEN) & set(decision)


@pytest.mark.parametrize("mode", ["cumulative", "independent", "basket"])
def test_what_a_batch_left_is_rebuilt_and_replayed(house, mode):
    house.post("/v1/snapshot", world(positions=[position("BETA", 100)]))
    orders = [order(id=f"r{n}", quantity=q) for n, q in enumerate((100, 101, 200, 99))]
    batch(house, mode, [*orders, order("sell", 100, "BETA", id="r9")])
    assert dict(rebuilt(house).standing.working) == dict(house.service.floor.standing.working)
    found = list(Replay(house.service._new_floor(), house.service.ledger).run(0))
    assert found
    assert all(compared.same for compared in found)
