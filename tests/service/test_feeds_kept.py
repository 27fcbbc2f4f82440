"""Feeds over a long day: random batches, whole feeds and snapshots against a set of numbers; ages to the microsecond.

The model knows which numbers of the present numbering were heard of and which are in; `feeds.py` keeps two numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lexorder.api.service import feeds as feeds_module
from lexorder.api.service.feeds import FEEDS, NAMES, SEQUENCE_MAX, Feed, Feeds, reads
from tests.service.house import House
from tests.worlds import NOON, VOCABULARY, order, world

START = datetime.fromisoformat(NOON)
NUMBERS = st.integers(0, 9)


class FeedDay(RuleBasedStateMachine):
    """One feed beside a model: `base` is where the numbering began, `taken` and `heard` are numbers above it."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = Feed("prices")
        self.base: int | None = None
        self.taken: set[int] = set()
        self.heard: set[int] = set()
        self.ids: set[str] = set()
        self.now = START
        self.spoke: datetime | None = None

    def following(self) -> int | None:
        """The number that comes next, where there is a numbering."""
        return None if self.base is None else max({self.base} | self.taken) + 1

    def kept(self, identifier: str) -> None:
        self.ids.add(identifier)
        self.spoke = self.now

    @rule(seconds=st.integers(1, 90))
    def time_goes_by(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(identifier=NUMBERS, number=NUMBERS)
    def a_numbered_batch(self, identifier: int, number: int) -> None:
        key, following = f"e{identifier}", self.following()
        answer = self.feed.offer(key, number)
        if key in self.ids:
            assert answer == "repeat"
        elif following is None or number == following:
            assert answer == "take"
            self.feed.taken(key, number, self.now)
            self.base = number if self.base is None else self.base
            self.taken.add(number)
            self.kept(key)
        elif number < following:
            assert answer == "behind"
        else:
            assert answer == "gap"
            self.feed.beyond(number)
            self.heard.add(number)

    @rule(identifier=NUMBERS)
    def a_batch_without_a_number(self, identifier: int) -> None:
        key = f"e{identifier}"
        answer = self.feed.offer(key, None)
        assert answer == ("repeat" if key in self.ids else "take")
        if answer == "take":
            self.feed.taken(key, None, self.now)
            self.kept(key)

    @rule(number=NUMBERS)
    def all_of_it_up_to_a_number(self, number: int) -> None:
        self.feed.whole(self.now, number)
        restarted = self.base is None or number <= max({self.base} | self.taken)
        self.heard = set() if restarted else {n for n in self.heard if n > number}
        self.base, self.taken, self.spoke = number, set(), self.now

    @rule()
    def all_of_it_without_a_number(self) -> None:
        self.feed.whole(self.now)
        self.base, self.taken, self.heard, self.spoke = None, set(), set(), self.now

    @precondition(lambda self: self.base is not None)
    @rule()
    def the_missing_ones_in_order(self) -> None:
        """A sender that answers a gap leaves no doubt behind."""
        for number in range(self.following() or 0, max(self.heard, default=-1) + 1):
            key = f"again-{number}-{len(self.ids)}"
            assert self.feed.offer(key, number) == "take"
            self.feed.taken(key, number, self.now)
            self.taken.add(number)
            self.kept(key)
        assert self.feed.missing_from is None

    @invariant()
    def what_is_missing_is_what_was_heard_of_and_is_not_in(self) -> None:
        following = self.following()
        missing = following if following is not None and any(n >= following for n in self.heard) else None
        assert self.feed.missing_from == missing
        assert self.feed.heard == self.spoke
        assert set(self.feed.seen) == self.ids


TestFeedDay = FeedDay.TestCase
TestFeedDay.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_a_feed_told_whole_below_what_was_heard_lacks_the_rest():
    feed = Feed("prices")
    feed.taken("a", 1, START)
    feed.beyond(9)
    feed.whole(START, 5)
    assert feed.missing_from == 6
    feed.whole(START, 8)
    assert feed.missing_from == 9
    feed.whole(START, 9)
    assert feed.missing_from is None


def test_ids_are_remembered_up_to_a_number_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feeds_module, "REMEMBERED", 3)
    feed = Feed("prices")
    for number in range(4):
        feed.taken(f"e{number}", number, START)
    assert [feed.offer(f"e{n}", None) for n in range(4)] == ["take", "repeat", "repeat", "repeat"]
    assert feed.offer("e0", 0) == "behind", "its number tells the forgotten one apart"


# ---- ages ----------------------------------------------------------------------------------------------

TICK = timedelta(microseconds=1)


@settings(max_examples=60, deadline=None)
@given(seconds=st.sampled_from([0.5, 1, 60, 86_400]), gone=st.sampled_from([-TICK, timedelta(0), TICK]))
def test_a_feed_is_stale_one_microsecond_after_its_age(seconds: float, gone: timedelta):
    feeds = Feeds({"prices": seconds})
    feeds["prices"].taken("e", None, START)
    told = feeds.doubts(START + timedelta(seconds=seconds) + gone)
    assert told == ({"prices": f"the prices feed has been silent for more than {seconds:g} s"} if gone > -gone else {})


def test_a_feed_that_never_spoke_is_stale_at_once_and_one_without_an_age_never():
    feeds = Feeds({"prices": 1e9})
    assert set(feeds.doubts(START)) == {"prices"}
    feeds["prices"].taken("e", None, START)
    assert feeds.doubts(START + timedelta(days=3650)) == {}


def test_a_feed_heard_in_the_future_is_not_stale():
    feeds = Feeds({"prices": 1})
    feeds["prices"].taken("e", None, START + timedelta(hours=1))
    assert feeds.doubts(START) == {}


def test_a_gap_is_told_before_silence():
    feeds = Feeds({"prices": 1})
    feeds["prices"].taken("e", 1, START)
    feeds["prices"].beyond(3)
    later = START + timedelta(days=1)
    assert feeds.doubts(later) == {"prices": "the prices feed has a gap from sequence number 2"}
    for number in (2, 3):
        feeds["prices"].taken(f"e{number}", number, START)
    assert "silent" in feeds.doubts(later)["prices"]


def test_every_fact_but_the_orders_own_and_the_clock_comes_from_a_feed():
    """A fact that no feed is said to change could be lost without any rule being in doubt."""
    names = [name for name in VOCABULARY.names if VOCABULARY.name(name).means is None]  # type: ignore[union-attr]
    orphans = {name for name in names if not any(reads(feed, frozenset({name})) for feed in FEEDS)}
    assert {name.split(".", 1)[0] for name in orphans} == {"order", "clock"}
    assert set(NAMES) == set(FEEDS)


# ---- through the service -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), clock="feed")
    yield house
    house.close()


@pytest.fixture
def fresh(served: House) -> House:
    served.post("/v1/snapshot", world())
    return served


def stand(house: House, feed: str) -> dict[str, Any]:
    (row,) = (row for row in house.get("/v1/feeds") if row["feed"] == feed)
    return dict(row)


def told_so_far(house: House) -> int:
    """How many batches are recorded; the monitor may add records of its own at any time."""
    return len(house.run(house.service.recorded(kind="events")))


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("number", [0, 1, SEQUENCE_MAX - 1])
def test_a_snapshot_says_where_a_feed_goes_on(fresh: House, feed: str, number: int):
    fresh.post("/v1/snapshot", world(sequences={feed: number}))
    assert stand(fresh, feed)["sequence"] == number
    body = {"event_id": "e", "sequence": number + 1, "items": []}
    assert fresh.post(f"/v1/{feed}", body)["sequence"] == number + 1
    assert fresh.refused("POST", f"/v1/{feed}", {**body, "event_id": "f"}) == (409, "sequence-behind")


@pytest.mark.parametrize(
    "sequences",
    [{"prices": -1}, {"prices": SEQUENCE_MAX + 1}, {"prices": 10**30}, {"prices": True}, {"prices": False},
     {"prices": "1"}, {"prices": None}, {"price": 1}, {"": 1}, [["prices", 1]], "prices", 1],
    ids=str,
)  # fmt: skip
def test_a_number_that_no_batch_could_follow_is_refused(fresh: House, sequences: Any):
    before = fresh.service.floor.standing.hash
    assert fresh.refused("POST", "/v1/snapshot", world(sequences=sequences)) == (422, "wrong-shape")
    assert fresh.service.floor.standing.hash == before
    assert stand(fresh, "prices")["sequence"] is None


@pytest.mark.parametrize("sequence", [-1, SEQUENCE_MAX + 1, "x", [1], {}])
def test_a_batch_has_a_number_that_is_one(fresh: House, sequence: Any):
    body = {"event_id": "e", "sequence": sequence, "items": []}
    assert fresh.refused("POST", "/v1/prices", body) == (422, "invalid-request")


@pytest.mark.parametrize("identifier", ["", "a b", "ä", "x" * 129, "a\n", 5, None])
def test_a_batch_has_an_id_that_can_be_told_again(fresh: House, identifier: Any):
    assert fresh.refused("POST", "/v1/prices", {"event_id": identifier, "items": []}) == (422, "invalid-request")
    assert fresh.post("/v1/prices", {"event_id": "!" * 128, "items": []})["status"] == "taken"


def test_a_feed_told_whole_from_before_a_gap_stays_in_doubt(fresh: House):
    fresh.post("/v1/prices", {"event_id": "a", "sequence": 1, "items": []})
    fresh.call("POST", "/v1/prices", {"event_id": "b", "sequence": 9, "items": []})
    fresh.post("/v1/prices", {"event_id": "c", "sequence": 5, "whole": True, "items": []})
    assert (stand(fresh, "prices")["missing_from"], stand(fresh, "prices")["sequence"]) == (6, 5)
    fresh.post("/v1/snapshot", world(sequences={"prices": 8}))
    assert stand(fresh, "prices")["missing_from"] == 9
    fresh.post("/v1/prices", {"event_id": "b", "sequence": 9, "items": []})
    assert stand(fresh, "prices")["doubt"] == ""


def test_one_id_told_many_times_at_once_is_taken_once(fresh: House):
    mark = {"event_id": "one", "sequence": 1, "items": [{"symbol": "ACME", "mark": "99"}]}

    async def all_at_once() -> list[str]:
        answers = await asyncio.gather(*(fresh.calling("POST", "/v1/prices", mark) for _ in range(12)))
        return [answer.json()["status"] for answer in answers]

    fresh.key("admin")
    told = fresh.run(all_at_once())
    assert sorted(told) == ["repeated"] * 11 + ["taken"]
    records = fresh.run(fresh.service.recorded(ref="one", kind="events"))
    assert len(records) == 1


def test_numbers_told_at_once_in_any_order_are_taken_in_order(fresh: House):
    """Whoever is refused comes again; in the end every number is in, each once."""
    fresh.post("/v1/snapshot", world(sequences={"prices": 0}))

    async def sender(number: int) -> int:
        body = {"event_id": f"n{number}", "sequence": number, "items": []}
        for tries in range(1, 40):
            answer = await fresh.calling("POST", "/v1/prices", body)
            if answer.status_code == 200:
                assert answer.json()["status"] == "taken"
                return tries
            assert answer.json()["code"] == "sequence-gap"
            await asyncio.sleep(0)
        raise AssertionError("never taken")

    async def all_at_once() -> list[int]:
        return list(await asyncio.gather(*(sender(number) for number in (5, 3, 1, 4, 2))))

    fresh.key("admin")
    fresh.run(all_at_once())
    assert (stand(fresh, "prices")["sequence"], stand(fresh, "prices")["doubt"]) == (5, "")


def test_ids_numbers_and_gaps_survive_a_restart(tmp_path: Any):
    house = House(tmp_path, clock="feed").furnished()
    try:
        house.post("/v1/prices", {"event_id": "a", "sequence": 4, "items": []})
        house.call("POST", "/v1/prices", {"event_id": "c", "sequence": 6, "items": []})
        house.post("/v1/lists", {"event_id": "a", "items": []})
        before = house.get("/v1/feeds")
        house.reopen()
        assert house.get("/v1/feeds") == before
        assert stand(house, "prices")["missing_from"] == 5
        assert house.post("/v1/prices", {"event_id": "a", "sequence": 5, "items": []})["status"] == "repeated"
        assert house.check()["outcome"] == "undecided"
        for number in (5, 6):
            house.post("/v1/prices", {"event_id": f"d{number}", "sequence": number, "items": []})
        assert house.check(id="o2")["outcome"] == "approve"
    finally:
        house.close()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-06-15T12:00:01-04:00", "2026-06-15T12:00:01-04:00"),
        ("2026-06-15T16:00:01Z", "2026-06-15T12:00:01-04:00"),
        ("2026-06-15T12:00:00-04:00", NOON),
        ("2026-06-15T11:59:59-04:00", NOON),
        ("2020-01-01T00:00:00Z", NOON),
    ],
)
def test_an_event_moves_the_time_on_and_never_back(fresh: House, told: str, expected: str):
    fresh.post("/v1/prices", {"event_id": "e", "time": told, "items": []})
    answer = fresh.post("/v1/orders/check?reserve=false", order())
    assert datetime.fromisoformat(answer["time"]) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("told", ["", "noon", "2026-06-15", "2026-06-15T12:00:00", "12:00:00-04:00", "x" * 65])
def test_a_time_without_its_offset_is_refused_and_nothing_is_taken(fresh: House, told: str):
    size = told_so_far(fresh)
    status, code = fresh.refused("POST", "/v1/prices", {"event_id": "e", "time": told, "items": []})
    assert (status, code) == (422, "invalid-request" if len(told) > 64 else "bad-time")
    assert told_so_far(fresh) == size
    assert fresh.post("/v1/prices", {"event_id": "e", "items": []})["status"] == "taken"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offers=st.lists(st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 6))), max_size=8))
def test_the_route_answers_what_the_feed_by_itself_says(fresh: House, offers: list[tuple[int, int | None]]):
    fresh.post("/v1/snapshot", world())
    alone = Feed("signals")
    for identifier, number in offers:
        key, numbered = f"e{identifier}", {} if number is None else {"sequence": number}
        said = alone.offer(key, number)
        answer = fresh.call("POST", "/v1/signals", {"event_id": key, "items": [], **numbered})
        if said in ("take", "repeat"):
            assert answer.json()["status"] == {"take": "taken", "repeat": "repeated"}[said]
        else:
            assert answer.json()["code"] == f"sequence-{said}"
            assert answer.json()["expected"] == (alone.last or 0) + 1
        if said == "take":
            alone.taken(key, number, START)
        elif said == "gap" and number is not None:
            alone.beyond(number)
        shown = stand(fresh, "signals")
        assert (shown["sequence"], shown["missing_from"]) == (alone.last, alone.missing_from)
