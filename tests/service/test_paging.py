"""Pages: everything exactly once, whatever the size of a page and whatever comes or goes between two of them."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.api.service.paging import latest_first, number, number_in, page_beside, page_of, read, written
from lexorder.api.service.problems import Problem
from lexorder.engine.desk import Desk
from tests.service.house import House
from tests.service.test_state_lists import a_fill
from tests.worlds import instrument, position, working, world

RITA = "risk_officer/rita"
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
KEYS = st.lists(st.tuples(NAMES, NAMES), max_size=30, unique=True)


def everything(keyed, limit):
    """All pages, one behind the other."""
    found, cursor = [], None
    while True:
        page = page_of(keyed, cursor, limit)
        found.append(page)
        cursor = page.next
        if cursor is None:
            return found


@given(keys=KEYS, limit=st.integers(1, 31))
def test_pages_of_any_size_are_the_list_sorted_and_cut(keys, limit):
    pages = everything([(key, n) for n, key in enumerate(keys)], limit)
    told = [thing for page in pages for thing in page.things]
    assert [keys[n] for n in told] == sorted(keys)
    assert {page.count for page in pages} == {len(keys)}
    assert all(len(page.things) == limit for page in pages[:-1])
    assert len(pages) == max(1, -(-len(keys) // limit))


@given(keys=KEYS.filter(len), limit=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_what_stays_is_told_once_while_others_come_and_go(keys, limit, seed):
    rng = Random(seed)
    staying = [key for key in keys if rng.random() < 0.6]
    told, cursor = [], None
    while True:
        there = {*staying, *(key for key in keys if rng.random() < 0.5)}
        page = page_of([(key, key) for key in there], cursor, limit)
        told += page.things
        cursor = page.next
        if cursor is None:
            break
    assert len(told) == len(set(told))
    assert set(staying) <= set(told)


@given(key=st.lists(NAMES, max_size=4).map(tuple))
def test_a_cursor_is_its_key_and_safe_in_an_address(key):
    text = written(key)
    assert read(text) == key
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()


ODD = ("", "x", "====", "W10", "bnVsbA", "MQ", "WzFd", "e30", "\u2028", "WyJhIl0=!", "W1si", "a" * 2000)


@pytest.mark.parametrize("cursor", [text for text in ODD if text != "W10"])
def test_any_other_text_is_no_cursor(cursor):
    with pytest.raises(Problem) as caught:
        read(cursor)
    assert (caught.value.status, caught.value.code) == (422, "bad-cursor")


@pytest.mark.parametrize("key", [(), ("1",), (number(1), number(1)), ("\u0661" * 20,), (number(1)[:-1] + "\n",)])
def test_a_number_is_one_number(key):
    with pytest.raises(Problem):
        number_in(written(key))


@given(one=st.integers(0, 10**18), two=st.integers(0, 10**18))
def test_numbers_sort_as_numbers_do(one, two):
    assert (number(one) < number(two)) is (one < two)
    assert (latest_first(one) < latest_first(two)) is (one > two)
    assert number_in(written((number(one),))) == one


def test_beside_the_loop_is_the_same():
    keyed = [((str(n),), n) for n in range(5000)]
    assert asyncio.run(page_beside(keyed, None, 7)) == page_of(keyed, None, 7)


# ---- every list of the service -------------------------------------------------------------------


def crowded(folder):
    """A service where every list has at least seven things."""
    document = world(lists={f"list-{n}": [] for n in range(7)} | {"restricted": ["ACME"], "watch": []})
    names = [f"N{n:02d}" for n in range(9)]
    account = document["accounts"][0]
    document["accounts"] = [{**account, "id": name} for name in "ABCDEFGHI"]
    document["instruments"] += [instrument(name) for name in names]
    document["positions"] = [position(s, 5000, account=a) for a in "BA" for s in reversed(names)]
    document["working_orders"] = [working(f"W{n}", "BETA", "buy", 3) for n in (3, 1, 2, 9, 8, 7, 0)]
    document["fills"] = [a_fill(n, "A") for n in (3, 1, 2, 9, 8, 7, 0)]
    document["signals"] = [
        {"id": f"S{n}", "symbol": "ACME", "direction": "long", "expected_return": "1%", "confidence": "50%"}
        | {"timeframe": "1d"}
        for n in (3, 1, 2, 9, 8, 7, 0)
    ]
    house = House(folder)
    house.post("/v1/snapshot", document)
    for n in range(7):
        house.post("/v1/kill", {"scope": "trader", "id": f"T{n}"})
        limit = {"id": f"limit-{n}", "kind": "order-quantity", "values": {"2026-01-01": "900000"}}
        house.post("/v1/limits", limit, by=RITA, status=202)
        house.key("observer", f"o{n}")
        text = f"- rule: r{n}\n  title: R\n  require: order.quantity <= {n + 1}\n"
        house.post("/v1/rulebooks", {"files": {"a.yaml": text}}, by=RITA)
        house.check(id=f"soft-{n}", quantity=150 + n)
        house.post(f"/v1/orders/soft-{n}/override", {"reason": "why"}, by="senior_trader/tess", status=202)
    return house


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = crowded(tmp_path_factory.mktemp("house"))
    yield made
    made.close()


FEEDS = ("accounts", "positions", "prices", "fills", "working-orders", "lists", "signals")
LISTS = (
    *FEEDS,
    "limits",
    "rulebooks",
    "rulebooks/history",
    "keys",
    "trading-state",
    "overrides",
    "decisions",
    "breaches",
)


def rows(house, place, query=""):
    """A page of a list, by who may read it."""
    page = house.get(f"/v1/{place}{query}", by="admin" if place == "keys" else RITA)
    return page["states" if place == "trading-state" else "items"], page["next"], page.get("count")


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("place", [*LISTS, "breaches?ended=true"])
def test_every_list_comes_in_pages(house, place, size):
    place, _, more = place.partition("?")
    whole, following, count = rows(house, place, f"?limit=1000&{more}".rstrip("&"))
    assert following is None
    assert len(whole) >= 7
    told, cursor = [], ""
    while True:
        page, following, counted = rows(house, place, f"?limit={size}{cursor}" + (f"&{more}" if more else ""))
        assert len(page) <= size
        assert more or counted == count
        told += page
        if following is None:
            break
        cursor = f"&cursor={following}"
    assert told == whole
    assert len({str(row) for row in told}) == len(told)


@pytest.mark.parametrize("place", [*LISTS, "breaches?ended=true"])
def test_no_list_takes_another_text_for_a_cursor(house, place):
    sign = "&" if "?" in place else "?"
    for cursor in ("x", "W10x", "%00", "-1"):
        assert house.refused("GET", f"/v1/{place}{sign}cursor={cursor}") == (422, "bad-cursor")
    status, code = house.refused("GET", f"/v1/{place}{sign}limit=0")
    assert (status, code) == (422, "invalid-request")


@pytest.mark.parametrize("feed", FEEDS)
def test_a_feed_is_listed_by_its_own_names(house, feed):
    names = [tuple(row.get(k, "") for k in ("list", "account", "symbol", "id")) for row in rows(house, feed)[0]]
    by_id = feed in ("fills", "signals", "working-orders")
    assert names == sorted(names, key=lambda n: n[3] if by_id else n)


def test_only_what_is_on_the_page_is_written_out(house, monkeypatch):
    from lexorder.api.service import routes_state

    written_out = []
    real = routes_state.shown

    def counting(facts):
        written_out.append(facts)
        return real(facts)

    monkeypatch.setattr(routes_state, "shown", counting)
    assert len(rows(house, "positions", "?limit=2")[0]) == 2
    assert len(written_out) == 2


def test_a_page_that_was_begun_goes_on_after_a_change(house):
    first, following, _ = rows(house, "working-orders", "?limit=3")
    before = [row["id"] for row in first]
    gone = {"event_id": "gone", "items": [{"id": before[0], "action": "remove"}, {"id": "W9", "action": "remove"}]}
    house.post("/v1/working-orders", gone)
    rest = [row["id"] for row in rows(house, "working-orders", f"?cursor={following}")[0]]
    assert before[-1] < rest[0]
    assert not set(before) & set(rest)
    assert "W9" not in rest


def test_the_list_is_the_desk_s(house):
    desk = house.service.floor.standing
    assert isinstance(desk, Desk)
    assert [r["symbol"] for r in rows(house, "prices")[0]] == sorted(desk.instruments)
    assert [r["id"] for r in rows(house, "accounts")[0]] == sorted(desk.accounts)


def test_a_holding_is_listed_as_it_is_told(house):
    row = rows(house, "positions", "?limit=1")[0][0]
    assert row == {"account": "A", "symbol": "N00", "quantity": "5000"}
    told = house.post("/v1/positions", {"event_id": "back", "items": [row]})
    assert told["status"] == "taken"
