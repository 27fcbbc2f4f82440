"""Each of the seven feeds: in order, twice, with gaps, whole and silent, compared with a desk told by hand."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service.feeds import FEEDS, Feed, Feeds
from lexorder.engine import events as e
from lexorder.engine.dated_lists import entries
from lexorder.engine.desk import Desk, slow
from lexorder.engine.facts import record
from lexorder.engine.listing import ListChanged
from lexorder.engine.literals import timestamp
from lexorder.engine.rule import Facts
from tests.service.house import House
from tests.worlds import NOON, VOCABULARY, instrument, order, position, working, world

RULES = """
- rule: r-order
  title: Reads no feed
  require: order.quantity <= 1_000
- rule: r-account
  title: Reads accounts
  require: account.orders_today <= 5
- rule: r-before
  title: Reads what is held
  for_each: position
  require: position.before.quantity <= 500
- rule: r-after
  title: Reads what may be held
  for_each: position
  require: position.after.quantity <= 700
- rule: r-price
  title: Reads prices
  require: instrument.mark <= 200
- rule: r-list
  title: Reads lists
  require: order.symbol not in lists.restricted
"""
READ = {
    "accounts": {"r-account"},
    "positions": {"r-before", "r-after"},
    "prices": {"r-price"},
    "fills": {"r-before", "r-after"},
    "working-orders": {"r-after"},
    "lists": {"r-list"},
    "signals": set(),
}
"""The rules above that a lost event of a feed could have changed, as a reader of the rules would say."""

FILL = {"id": "F1", "account": "A", "symbol": "ACME", "side": "buy", "quantity": "40", "price": "99.5", "order": "W1"}
SIGNAL = {"id": "S1", "symbol": "BETA", "account": "A", "direction": "long", "expected_return": "3%"}


def facts(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """Facts of one thing, read by the engine."""
    return dict(record(VOCABULARY, kind, row, kind))


def held(symbol: str, quantity: int) -> e.Event:
    """A holding, told to a desk."""
    told: Facts = {"position.account": "A", "position.symbol": symbol, "position.before.quantity": Fraction(quantity)}
    return e.PositionSet("A", symbol, told)


def listed(*names: str) -> Any:
    return ListChanged("restricted", entries(list(names), "lists"))


def account(row: dict[str, Any]) -> e.Event:
    return e.AccountChanged(row["id"], facts("account", row))


def priced(row: dict[str, Any]) -> e.Event:
    return e.InstrumentChanged(row["symbol"], facts("instrument", row))


def added(row: dict[str, Any]) -> e.Event:
    return e.WorkingAdded(facts("working_order", row))


FEW, MANY, LESS = ({"id": "A", "orders_today": n} for n in ("5", "6", "2"))
AT, ABOVE, BELOW = ({"symbol": "ACME", "mark": mark} for mark in ("200", "200.01", "99"))
NEW = instrument("NEW", "7")
W1, W2 = working("W1", "ACME", "buy", 100), working("W2", "ACME", "buy", 101)
WISH = {**SIGNAL, "confidence": "90%", "timeframe": "1d"}

DAY: list[tuple[str, list[dict[str, Any]], list[Any]]] = [
    ("accounts", [FEW], [account(FEW)]),
    ("accounts", [MANY], [account(MANY)]),
    ("accounts", [LESS], [account(LESS)]),
    ("positions", [position("ACME", 500)], [held("ACME", 500)]),
    ("positions", [position("ACME", 499), position("BETA", 501)], [held("ACME", 499), held("BETA", 501)]),
    ("prices", [AT], [priced(AT)]),
    ("prices", [ABOVE], [priced(ABOVE)]),
    ("prices", [NEW], [e.InstrumentSet("NEW", facts("instrument", NEW))]),
    ("prices", [BELOW], [priced(BELOW)]),
    ("working-orders", [W1], [added(W1)]),
    ("working-orders", [W2], [added(W2)]),
    ("working-orders", [{"id": "W2", "action": "remove"}], [e.WorkingRemoved("W2")]),
    ("fills", [FILL], []),  # told by hand below: its cash is worked out there
    ("lists", [{"list": "restricted", "entries": ["BETA"]}], [listed("BETA")]),
    ("lists", [{"list": "restricted", "entries": ["ACME", "COCO"]}], [listed("ACME", "COCO")]),
    ("lists", [{"list": "restricted", "entries": []}], [listed()]),
    ("signals", [WISH], [e.SignalSet(facts("signal", WISH))]),
]
"""A day: the feed, its rows, and the same for a desk. Figures sit on the limits and one unit beside."""

ASKED = [order(quantity=161), order(quantity=162, symbol="BETA")]


def by_hand(desk: Desk, feed: str, events: list[Any]) -> None:
    """Tell a desk the same."""
    if feed == "fills":  # 40 shares at 99.5 and a fee of 0.35
        dated = {**facts("fill", FILL), "fill.date": desk.snapshot.single["clock.date"]}
        events = [e.Fill("A", "ACME", "buy", Fraction(40), Fraction(-398035, 100), "W1", dated)]
    for event in events:
        desk.apply(event)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"), RULES, clock="feed")
    yield made
    made.close()


@pytest.fixture
def fresh(house: House) -> House:
    """The morning: nothing told yet, every feed counted from 0."""
    house.post("/v1/snapshot", world(account={"orders_today": "0"}, sequences=dict.fromkeys(FEEDS, 0)))
    return house


COUNT = iter(range(10**9))


def tell(house: House, feed: str, items: list[dict[str, Any]], status: int = 200, **more: Any) -> Any:
    body = {"event_id": f"e{next(COUNT)}", "items": items, **more}
    answer = house.call("POST", f"/v1/{feed}", body)
    assert answer.status_code == status, answer.text
    return answer.json()


def told(house: House) -> int:
    """How many batches are recorded; the monitor may add records of its own at any time."""
    return len(house.run(house.service.recorded(kind="events")))


def undecided(house: House) -> set[str]:
    """Which of our rules cannot decide a small order."""
    answer = house.post("/v1/orders/check?reserve=false", order(id=f"q{next(COUNT)}", symbol="COCO"))
    return {finding["rule"] for finding in answer["undecided"] if finding["rule"].startswith("r-")}


def test_a_desk_told_by_hand_decides_alike_after_every_event(fresh):
    document = world(account={"orders_today": "0"})
    theirs = Desk(fresh.service.floor.standing.book, document, VOCABULARY, slow)
    numbers = dict.fromkeys(FEEDS, 0)
    for feed, items, events in DAY:
        numbers[feed] += 1
        rows = [{**items[0], "fee": "0.35"}] if feed == "fills" else items
        told = tell(fresh, feed, rows, sequence=numbers[feed])
        assert (told["status"], told["sequence"]) == ("taken", numbers[feed])
        by_hand(theirs, feed, events)
        mine = fresh.service.floor.standing
        assert mine.hash == theirs.hash, feed
        for row in ASKED:
            ours = fresh.post("/v1/orders/check?reserve=false", {**row, "id": f"q{next(COUNT)}"})
            expected = theirs.check(fresh.service.floor.reader.read({**row, "id": ours["orders"][0]}))
            assert ours["hash"] == expected.hash, (feed, row)
    assert {feed for feed, _, _ in DAY} == set(FEEDS)


@pytest.mark.parametrize("feed", FEEDS)
def test_an_event_told_twice_is_taken_once(fresh, feed):
    items = next(items for name, items, _ in DAY if name == feed)
    if feed == "fills":
        items = [{key: value for key, value in items[0].items() if key != "order"}]
    first = {"event_id": f"twice-{feed}", "sequence": 1, "items": items}
    assert fresh.post(f"/v1/{feed}", first)["status"] == "taken"
    before = (fresh.service.floor.standing.hash, told(fresh))
    for body in (first, {**first, "sequence": 7}, {**first, "items": []}):
        again = fresh.post(f"/v1/{feed}", body)
        assert (again["status"], again["items"], again["sequence"], again["recorded"]) == ("repeated", 0, 1, None)
    assert (fresh.service.floor.standing.hash, told(fresh)) == before
    assert fresh.service.floor.doubts == {}


@pytest.mark.parametrize("feed", FEEDS)
def test_a_gap_leaves_the_rules_that_read_the_feed_undecided_until_the_missing_numbers_come(fresh, feed):
    assert undecided(fresh) == set()
    gap = tell(fresh, feed, [], 409, sequence=3)
    assert (gap["code"], gap["expected"]) == ("sequence-gap", 1)
    assert undecided(fresh) == READ[feed]
    stand = {row["feed"]: row for row in fresh.get("/v1/feeds")}
    assert (stand[feed]["sequence"], stand[feed]["missing_from"], bool(stand[feed]["doubt"])) == (0, 1, True)
    assert not any(row["doubt"] for name, row in stand.items() if name != feed)
    for sequence in (1, 2):
        tell(fresh, feed, [], sequence=sequence)
        assert undecided(fresh) == READ[feed], "the last one is still missing"
    tell(fresh, feed, [], sequence=3)
    assert undecided(fresh) == set()
    behind = tell(fresh, feed, [], 409, sequence=3)
    assert (behind["code"], behind["expected"]) == ("sequence-behind", 4)
    assert undecided(fresh) == set(), "an old number is no gap"


@pytest.mark.parametrize("feed", FEEDS)
def test_a_feed_told_whole_is_believed_again_from_its_number_on(fresh, feed):
    tell(fresh, feed, [], 409, sequence=9)
    assert undecided(fresh) == READ[feed]
    assert tell(fresh, feed, [], whole=True, sequence=20)["status"] == "taken"
    assert undecided(fresh) == set()
    assert tell(fresh, feed, [], 409, sequence=22)["expected"] == 21
    fresh.post("/v1/snapshot", world(account={"orders_today": "0"}))
    assert undecided(fresh) == set(), "and a snapshot of everything heals whatever is in doubt"


@pytest.mark.parametrize("feed", FEEDS)
def test_a_batch_with_one_wrong_row_is_not_taken_at_all(fresh, feed):
    items = [row for name, rows, _ in DAY if name == feed for row in rows][:1]
    before = fresh.service.floor.standing.hash
    for wrong in ({"nonsense": "1"}, {}, {"id": ["x"]}):
        refused = tell(fresh, feed, [*items, wrong], 422, sequence=1)
        assert refused["where"].startswith("items[1]"), refused
        assert "nonsense" not in refused["detail"]
    assert fresh.service.floor.standing.hash == before
    assert tell(fresh, feed, [], sequence=1)["status"] == "taken", "the number was not used up"


# ---- age ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("feed", FEEDS)
def test_a_feed_that_is_silent_for_longer_than_its_age_is_in_doubt(tmp_path, feed):
    house = House(tmp_path, RULES, feed_ages=f"{feed}=5", tick_s=0.001)
    try:
        seconds = [0.0]
        house.service.clock.monotonic = lambda: seconds[0]
        house.post("/v1/snapshot", world(account={"orders_today": "0"}))
        for moment, expected in ((0.0, set()), (5.0, set()), (5.001, READ[feed]), (50.0, READ[feed])):
            seconds[0] = moment
            assert undecided(house) == expected, moment
        tell(house, feed, [])
        assert undecided(house) == set()
        seconds[0] = 55.0
        assert undecided(house) == set()
        seconds[0] = 55.001
        assert undecided(house) == READ[feed]
    finally:
        house.close()


# ---- one feed by itself ------------------------------------------------------------------------------

MOMENT = timestamp(NOON)


@settings(max_examples=300, deadline=None)
@given(offers=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 8)), max_size=40))
def test_numbers_of_a_feed_go_up_by_one_and_each_id_once(offers):
    """Against a plain account of the same: what was taken, and the highest number anybody offered."""
    assert MOMENT is not None
    feed, taken, ids, highest = Feed("prices"), list[int](), set[str](), -1
    for identifier, number in offers:
        answer = feed.offer(f"e{identifier}", number)
        if f"e{identifier}" in ids:
            assert answer == "repeat"
            continue
        following = taken[-1] + 1 if taken else number
        assert answer == ("take" if number == following else "gap" if number > following else "behind")
        if answer == "take":
            feed.taken(f"e{identifier}", number, MOMENT)
            taken.append(number)
            ids.add(f"e{identifier}")
        elif answer == "gap":
            feed.beyond(number)
            highest = max(highest, number)
        missing = taken[-1] + 1 if taken and highest > taken[-1] else None
        assert feed.missing_from == missing
    assert taken == list(range(taken[0], taken[0] + len(taken))) if taken else True


def test_all_feeds_are_counted_apart():
    assert MOMENT is not None
    feeds = Feeds()
    feeds["prices"].taken("a", 1, MOMENT)
    feeds["prices"].beyond(3)
    assert set(feeds.doubts(MOMENT)) == {"prices"}
    assert feeds["positions"].offer("a", 1) == "take", "ids of one feed are none of another's"
