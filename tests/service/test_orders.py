"""One order: the bytes of its decision, the record behind it, its reservation, its idempotency key."""

from __future__ import annotations

import asyncio
import json

import httpx
import msgspec
import pytest

from lexorder.api.service.problems import Problem
from lexorder.api.service.repeats import LENGTH_MAX, REMEMBERED, Repeats, fingerprint, key_of
from lexorder.api.service.wire import sorted_json
from lexorder.engine.desk import Desk, slow
from lexorder.engine.facts import canonical_bytes
from lexorder.engine.rulebook import RuleBook
from tests.service.house import RULES
from tests.service.stepping import snapshot
from tests.worlds import VOCABULARY, order, world

PATH = "/v1/orders/check"


async def ask(house, body, key=None, by="admin", query=""):
    role, _, owner = by.partition("/")
    headers = {"authorization": f"Bearer {house.key(role, owner)}", "content-type": "application/json"}
    if key is not None:
        headers["idempotency-key"] = key
    transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    async with httpx.AsyncClient(transport=transport, base_url="http://house", headers=headers) as client:
        return await client.post(PATH + query, content=content)


def asked(house, body, key=None, **given):
    return house.run(ask(house, body, key, **given))


def records(house, reference):
    return list(house.service.ledger.read(ref=reference, kind="decision"))


# ---- the decision -------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", [1, 100, 101, 200, 201, 500, 501, 1000, 1001])
def test_an_answer_is_what_the_reference_evaluator_says(shared, quantity):
    snapshot(shared)
    document = world()
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    told = order(id=f"q{quantity}", quantity=quantity)
    floor = shared.service.floor
    reference = Desk(RuleBook.of(RULES, VOCABULARY), {**document, "time": floor.standing.time.isoformat()}, make=slow)
    expected = reference.check(told).to_json()
    found = asked(shared, told, query="?reserve=false").json()
    facts = ("outcome", "reason", "violations", "undecided", "warnings", "passive", "largest_compliant")
    assert {k: found[k] for k in facts} == json.loads(canonical_bytes({k: expected[k] for k in facts}))


def test_the_record_is_the_answer_and_the_order_byte_for_byte(shared):
    raw = json.dumps(order(id="bytes", quantity=101), indent=3).encode()
    answer = asked(shared, raw)
    (record,) = records(shared, "bytes")
    kept = msgspec.json.decode(record.body, type=dict[str, msgspec.Raw])
    assert bytes(kept["order"]) == raw
    document = answer.json()
    assert (document.pop("id"), document.pop("recorded")) == (f"0-{record.seq}", {"shard": 0, "seq": record.seq})
    assert bytes(kept["decision"]) == sorted_json(document)


def test_an_approved_order_works_at_once_and_one_that_is_not_does_not(shared):
    snapshot(shared)
    for name, quantity, query in (("a", 100, ""), ("b", 101, ""), ("c", 100, "?reserve=false")):
        asked(shared, order(id=name, quantity=quantity), query=query)
    working = shared.service.floor.standing.working
    assert {name: int(facts["working_order.quantity"]) for name, facts in working.items()} == {"a": 100}


def test_orders_one_after_the_other_stop_exactly_at_the_limit(shared):
    snapshot(shared)
    outcomes = [asked(shared, order(id=f"n{n}", quantity=100)).json()["outcome"] for n in range(6)]
    assert outcomes == ["approve"] * 5 + ["reject"]  # 500 shares at 100 are half of 100,000


def test_orders_at_the_same_time_stop_exactly_there_too(shared):
    snapshot(shared)

    async def rush():
        return await asyncio.gather(*(ask(shared, order(id=f"rush{n}", quantity=50)) for n in range(20)))

    outcomes = [answer.json()["outcome"] for answer in shared.run(rush())]
    assert sorted(outcomes) == ["approve"] * 10 + ["reject"] * 10


def test_a_market_order_works_at_the_price_it_was_checked_at(shared):
    snapshot(shared)
    told = order(id="market", quantity=7, ord_type="market")
    del told["price"]
    assert asked(shared, told).json()["outcome"] == "approve"
    price = shared.service.floor.standing.working["market"]["working_order.price"]
    assert price >= 100  # the worse of ask and mark, moved by the collar: never in the account's favour


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", "wrong-shape"),
        (b"{", "json-malformed"),
        (b"", None),
        (b'{"id":"x","id":"y"}', "json-duplicate-key"),
        (order(quantity="1.5"), None),
        (order(side="steal"), None),
        (order(colour="red"), "unknown-name"),
        (order(id="x" * 65), "not-canonical"),
    ],
)
def test_what_is_no_order_is_refused_and_leaves_nothing(shared, body, code):
    size = shared.service.ledger.size
    answer = asked(shared, body)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert code is None or answer.json()["code"] == code
    assert shared.service.ledger.size == size


# ---- idempotency keys ---------------------------------------------------------------------------


def replayed(answer: httpx.Response) -> bool:
    """Whether an answer is said to have been given before."""
    said: str | None = answer.headers.get("idempotent-replayed")
    assert said in (None, "true")
    return said is not None


def test_the_same_key_is_one_decision(house):
    first = asked(house, order(id="once", quantity=100), "k1")
    again = asked(house, order(id="once", quantity=100), "k1")
    assert again.content == first.content
    assert (replayed(first), replayed(again)) == (False, True)
    assert len(records(house, "once")) == 1


def test_many_at_once_with_one_key_are_one_decision(house):
    async def rush():
        return await asyncio.gather(*(ask(house, order(id="rush", quantity=100), "k") for _ in range(15)))

    answers = house.run(rush())
    assert [replayed(each) for each in answers].count(False) == 1, "one of them is the decision itself"
    assert all(each.content == answers[0].content for each in answers)
    assert len(records(house, "rush")) == 1
    assert list(house.service.floor.standing.working) == ["rush"]


def test_a_key_with_another_order_is_refused_now_and_after_a_restart(house):
    asked(house, order(id="o1", quantity=100), "k")
    for _ in range(2):
        for body in (order(id="o1", quantity=99), json.dumps(order(id="o1", quantity=100), indent=1).encode()):
            answer = asked(house, body, "k")
            assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-key-reused")
        house.reopen()


@pytest.mark.parametrize("by", ["admin", "senior_trader/tess"])
@pytest.mark.parametrize("quantity", [100, 101, 1001])
def test_the_ledger_answers_a_key_from_before_the_restart(shared, by, quantity):
    snapshot(shared)
    body = order(id=f"old-{by}-{quantity}".replace("/", "-"), quantity=quantity)
    key = f"k {body['id']}"  # a key of its own: the house is shared
    first = asked(shared, body, key, by=by)
    shared.service.repeats = Repeats()  # what a restart leaves of the memory
    for _ in range(2):  # from the ledger, then from memory
        again = asked(shared, body, key, by=by)
        assert again.content == first.content
        assert replayed(again)
    assert len(records(shared, body["id"])) == 1


def test_an_approval_from_before_a_halt_is_told_again_as_such(house):
    first = asked(house, order(id="early", quantity=100), "k")
    house.post("/v1/kill", {"scope": "firm"})
    for _ in range(2):
        again = asked(house, order(id="early", quantity=100), "k")
        assert (again.content, replayed(again)) == (first.content, True)
        house.reopen()
    assert asked(house, order(id="late", quantity=100), "k2").json()["outcome"] == "reject"


def test_blank_space_around_an_order_is_no_other_order_after_a_restart(house):
    body = b" \r\n" + json.dumps(order(id="o1", quantity=100)).encode() + b"\n\t"
    first = asked(house, body, "k")
    house.reopen()
    again = asked(house, body, "k")
    assert (again.content, replayed(again)) == (first.content, True)


@pytest.mark.parametrize(
    "queries", [("?reserve=false", ""), ("", "?reserve=false"), ("?reserve=false", "?reserve=true")]
)
def test_a_key_is_not_for_an_order_that_reserves_and_one_that_does_not(house, queries):
    first = asked(house, order(id="o1", quantity=100), "k", query=queries[0])
    assert first.json()["outcome"] == "approve"
    for _ in range(2):
        answer = asked(house, order(id="o1", quantity=100), "k", query=queries[1])
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-key-reused")
        house.reopen()


def test_a_refused_order_reserved_nothing_either_way(house):
    first = asked(house, order(id="o1", quantity=1001), "k", query="?reserve=false")
    house.reopen()
    again = asked(house, order(id="o1", quantity=1001), "k")
    assert (again.content, replayed(again)) == (first.content, True)


@pytest.mark.parametrize(
    "query",
    ["?reserve=no", "?reserve=", "?reserve=FALSE", "?reserve", "?x=reserve=false", "?reserve=false&reserve=true"],
)
def test_whether_to_reserve_is_said_plainly_or_not_at_all(house, query):
    answer = asked(house, order(id="o1", quantity=100), query=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-parameter")
    assert records(house, "o1") == []


def test_two_callers_may_use_the_same_key(house):
    first = asked(house, order(id="o1", quantity=100), "k")
    other = asked(house, order(id="o2", quantity=99), "k", by="senior_trader/tess")
    assert (first.status_code, other.status_code) == (200, 200)
    assert other.json()["orders"] == ["o2"]


@pytest.mark.parametrize("key", ["", " ", "x" * (LENGTH_MAX + 1), "caf\u00e9", "a\tb"])
def test_a_key_that_is_none_is_refused(key):
    with pytest.raises(Problem) as caught:
        key_of([(b"idempotency-key", key.encode("latin-1"))])
    assert (caught.value.status, caught.value.code) == (400, "idempotency-key-invalid")


def test_two_keys_are_none():
    with pytest.raises(Problem) as caught:
        key_of([(b"idempotency-key", b"a"), (b"idempotency-key", b"b")])
    assert caught.value.code == "idempotency-key-invalid"


@pytest.mark.parametrize("key", ["x", "x" * LENGTH_MAX, "a b", "!~"])
def test_a_key_is_printable_ascii(key):
    assert key_of([(b"accept", b"x"), (b"idempotency-key", key.encode())]) == key


def test_without_the_header_there_is_no_key():
    assert key_of([(b"accept", b"x")]) == ""


def test_the_memory_of_keys_is_bounded_and_forgets_the_oldest():
    async def day():
        repeats = Repeats()
        for n in range(REMEMBERED + 1):
            repeats.begin("me", str(n), b"x").answer.set_result(b"")
        assert repeats.find("me", "0", b"x") is None
        assert repeats.find("me", "1", b"x") is not None
        assert repeats.find("you", "1", b"x") is None
        repeats.forget("me", "1")
        assert repeats.find("me", "1", b"x") is None

    asyncio.run(day())


def test_what_is_under_way_is_not_forgotten_however_much_comes_after_it():
    """It is not in the ledger yet: whoever repeats it would have it decided a second time."""

    async def day():
        repeats = Repeats()
        slow = repeats.begin("me", "slow", b"x")
        for n in range(REMEMBERED + 5):
            repeats.begin("me", str(n), b"x").answer.set_result(b"")
        assert repeats.find("me", "slow", b"x") is slow.answer
        slow.answer.set_result(b"")
        repeats.begin("me", "next", b"x").answer.set_result(b"")
        assert repeats.find("me", "slow", b"x") is None
        assert repeats.find("me", "5", b"x") is None
        assert repeats.find("me", "6", b"x") is not None, "and then no more is kept than before"

    asyncio.run(day())


@pytest.mark.parametrize("by", ["admin", "senior_trader/tess"])
def test_an_old_key_with_another_order_never_has_the_answer_of_the_first(house, by):
    """Beyond the memory: an order of that id is refused, one of another id is decided by itself."""
    first = asked(house, order(id="first", quantity=100), "k", by=by)
    assert first.json()["outcome"] == "approve"
    house.service.repeats = Repeats()
    same_id = asked(house, order(id="first", quantity=1001), "k", by=by)
    assert (same_id.status_code, same_id.json()["code"]) == (409, "idempotency-key-reused")
    house.service.repeats = Repeats()
    too_large = asked(house, order(id="second", quantity=1001), "k", by=by)
    assert (too_large.json()["outcome"], replayed(too_large)) == ("reject", False)
    assert too_large.json()["recorded"] != first.json()["recorded"]
    for body, answer in ((order(id="second", quantity=1001), too_large), (order(id="first", quantity=100), first)):
        house.service.repeats = Repeats()
        again = asked(house, body, "k", by=by)
        assert (again.content, replayed(again)) == (answer.content, True), "each order has its own answer"
    assert len(records(house, "first")) == len(records(house, "second")) == 1


def test_one_byte_more_is_another_request():
    known = fingerprint(b"{}", reserve=True)
    assert known == fingerprint(b"{}", reserve=True)
    assert len({known, fingerprint(b"{} ", reserve=True), fingerprint(b"{}", reserve=False)}) == 3


def test_who_waits_for_an_answer_that_fails_hears_of_it(house, monkeypatch):
    """The key may be used again: nothing was decided."""

    async def rush():
        return await asyncio.gather(*(ask(house, order(id="o1"), "k") for _ in range(4)))

    def broken(_orders):
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(house.service.floor, "decide", broken)
        answers = house.run(rush())
    assert {(a.status_code, a.json()["code"]) for a in answers} == {(500, "internal-defect")}
    assert asked(house, order(id="o1"), "k").json()["outcome"] == "approve"
