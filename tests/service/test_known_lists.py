"""A misspelt list does not quietly begin another one: the update is refused, and the rules keep what they had."""

from __future__ import annotations

from typing import Any

import pytest

from lexorder.api.service.known_lists import known_lists
from tests.service.house import RULES, House, state_of
from tests.worlds import world

RITA = "risk_officer/rita"
OWN = """
- rule: sanctioned
  title: Nothing that is sanctioned
  require: not (order.symbol in lists.sanctioned_eu)
- rule: from-next-year
  title: Another list from next year on
  let:
    most:
      2027-01-01: {value: 5, cite: desk memo}
  require: not (order.symbol in lists.later) or order.quantity <= most
"""
LIMIT = {"id": "own", "for_each": "order", "require": "order.symbol in lists.allowed or order.quantity <= limit"}


def opened(folder: Any) -> House:
    made = House(folder, RULES + OWN)
    made.post("/v1/snapshot", world(lists={"restricted": ["ACME"], "told": [], "sanctioned_eu": []}))
    return made


@pytest.fixture
def listing(tmp_path: Any) -> Any:
    made = opened(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same for tests that change nothing."""
    made = opened(tmp_path_factory.mktemp("house"))
    yield made
    made.close()


def tell(house: House, name: str, *, event: str = "e1", entries: Any = ("BETA",), **more: Any) -> Any:
    row = {"list": name, "entries": list(entries), **({"new": more.pop("new")} if "new" in more else {})}
    return house.call("POST", "/v1/lists", {"event_id": event, "items": [row], **more}, by=RITA)


def covered(house: House) -> dict[str, list[str]]:
    return {row["list"]: row["names"] for row in house.get("/v1/lists", by=RITA)["items"]}


MISSPELT = [
    ("restrcted", "restricted"),
    ("Restricted", "restricted"),
    ("restricted_", "restricted"),
    ("sanctioned_ue", "sanctioned_eu"),
    ("latter", "later"),
    ("zzz", ""),
]


@pytest.mark.parametrize(("name", "nearest"), MISSPELT)
@pytest.mark.parametrize("whole", [False, True])
def test_a_misspelt_list_is_refused_with_the_nearest(refusing: House, name: str, nearest: str, whole: bool) -> None:
    before, records = state_of(refusing.service.floor), len(refusing.run(refusing.service.recorded()))
    answer = tell(refusing, name, whole=whole)
    document = answer.json()
    assert (answer.status_code, document["code"]) == (422, "unknown-list")
    assert (document["where"], document["nearest"]) == ("items[0].list", nearest)
    assert name not in answer.text.replace(nearest or name, "") or name in nearest
    assert state_of(refusing.service.floor) == before
    assert len(refusing.run(refusing.service.recorded())) == records
    assert covered(refusing)["restricted"] == ["ACME"]


def test_the_row_is_named_and_the_rows_before_it_are_not_taken(refusing: House) -> None:
    rows = [{"list": "restricted", "entries": ["BETA"]}, {"list": "restrcted", "entries": ["COCO"]}]
    answer = refusing.call("POST", "/v1/lists", {"event_id": "e1", "items": rows}, by=RITA)
    assert answer.json()["where"] == "items[1].list"
    assert covered(refusing)["restricted"] == ["ACME"]


@pytest.mark.parametrize("name", ["restricted", "watch", "told", "sanctioned_eu", "later"])
def test_declared_told_and_read_lists_are_known(listing: House, name: str) -> None:
    assert name in known_lists(listing.service.floor)
    assert tell(listing, name).status_code == 200
    assert covered(listing)[name] == ["BETA"]


def test_a_list_for_rules_to_come_says_that_it_is_new(listing: House) -> None:
    assert tell(listing, "for_the_next_book").status_code == 422
    assert tell(listing, "for_the_next_book", new=False).status_code == 422
    assert tell(listing, "for_the_next_book", new=True).status_code == 200
    assert tell(listing, "for_the_next_book", event="e2", entries=[]).status_code == 200, "known from then on"
    assert tell(listing, "restricted", event="e3", new=True).status_code == 200, "and one that is there may say so too"


@pytest.mark.parametrize("new", ["true", 1, 0, "", [], {}])
def test_new_is_true_or_false(refusing: House, new: Any) -> None:
    for name in ("restricted", "zzz"):
        assert tell(refusing, name, new=new).status_code == 422
    assert covered(refusing)["restricted"] == ["ACME"]


def test_a_limit_that_reads_a_list_makes_it_known(listing: House) -> None:
    assert tell(listing, "allowed").status_code == 422
    listing.post("/v1/limits", {**LIMIT, "values": {"2026-01-01": "5"}}, by=RITA, status=202)
    assert tell(listing, "allowed").status_code == 422, "proposed is not approved"
    listing.post("/v1/limits/own/approve", by="risk_officer/rob")
    assert tell(listing, "allowed").status_code == 200
    assert covered(listing)["allowed"] == ["BETA"]


def test_what_was_taken_is_taken_again_after_a_restart(listing: House) -> None:
    """Even if nothing reads the list any more: a record is not asked again."""
    tell(listing, "for_the_next_book", new=True)
    before = state_of(listing.service.floor)
    listing.reopen()
    assert state_of(listing.service.floor) == before
    assert covered(listing)["for_the_next_book"] == ["BETA"]


@pytest.mark.parametrize("name", ["a.b", "", "restrcted", "watched"])
def test_new_does_not_make_a_list_of_what_is_none(refusing: House, name: str) -> None:
    """No name of a list, or all but that of a declared one."""
    answer = tell(refusing, name, new=True)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-name")
    assert tell(refusing, name).json()["code"] == "unknown-list"


def test_what_is_no_text_is_no_list(refusing: House) -> None:
    odd: tuple[Any, ...] = (None, 7, [], {"restricted": 1}, True)
    for name in odd:
        body = {"event_id": "e1", "items": [{"list": name, "entries": [], "new": True}]}
        assert refusing.refused("POST", "/v1/lists", body, by=RITA) == (422, "unknown-name")
