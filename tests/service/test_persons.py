"""Who the humans are: sealed on disk, shown to two roles, in nobody's answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lexorder.api.service.personal import Vault, new_key
from lexorder.engine.errors import UsageError
from tests.service.house import House

PERSON = {"name": "Jane Secretperson", "email": "jane@secret.example", "tax_id": "TAX-SECRET-99"}
KEY = new_key()
PLACES = ["/v1/accounts/A/person", "/v1/traders/T1/person"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, pii_key=KEY).furnished()
    yield made
    made.close()


def on_disk(house: House) -> bytes:
    """Everything the service has written, the database's log included."""
    return b"".join(path.read_bytes() for path in house.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("place", PLACES)
def test_a_person_is_told_and_read_back(house: House, place: str):
    told = house.call("PUT", place, PERSON, by="risk_officer/rita")
    assert told.status_code == 200
    assert told.json()["recorded"]["seq"] > 0
    assert house.get(place, by="admin") == PERSON
    assert house.get(place, by="risk_officer/rita") == PERSON


@pytest.mark.parametrize("place", PLACES)
def test_nothing_of_it_is_on_the_disk(house: House, place: str):
    house.call("PUT", place, PERSON)
    written = on_disk(house)
    assert b"sealed:1:" in written, "it was stored at all"
    for value in PERSON.values():
        assert value.encode() not in written
    house.close()
    assert not any(value.encode() in on_disk(house) for value in PERSON.values())


def test_an_account_and_a_trader_of_one_name_are_two(house: House):
    house.call("PUT", "/v1/accounts/X/person", {"name": "One"})
    house.call("PUT", "/v1/traders/X/person", {"name": "Two"})
    assert house.get("/v1/accounts/X/person") == {"name": "One"}
    assert house.get("/v1/traders/X/person") == {"name": "Two"}


def test_what_is_told_last_holds_and_null_takes_away(house: House):
    house.call("PUT", PLACES[0], PERSON)
    house.call("PUT", PLACES[0], {"name": "Jane Other", "email": None})
    assert house.get(PLACES[0]) == {"name": "Jane Other"}


def test_nobody_recorded_is_not_found(house: House):
    assert house.refused("GET", "/v1/accounts/B/person") == (404, "unknown-person")


def test_it_survives_a_start_and_a_new_key(tmp_path: Path):
    house = House(tmp_path, pii_key=KEY)
    house.call("PUT", PLACES[0], PERSON)
    house.close()
    newer = new_key()
    rotated = House(tmp_path, pii_key=f"{newer},{KEY}")
    assert rotated.get(PLACES[0]) == PERSON
    rotated.call("PUT", PLACES[1], PERSON)
    rotated.close()
    forgotten = House(tmp_path, pii_key=newer)
    assert forgotten.get(PLACES[1]) == PERSON
    assert forgotten.refused("GET", PLACES[0]) == (409, "no-personal-key"), "its key is gone, and so is the person"
    forgotten.close()


def test_without_a_key_nothing_is_taken_or_recorded(tmp_path: Path):
    house = House(tmp_path)
    before = house.get("/v1/ledger/head")["size"]
    assert house.refused("PUT", PLACES[0], PERSON) == (409, "no-personal-key")
    assert house.get("/v1/ledger/head")["size"] == before
    assert PERSON["name"].encode() not in on_disk(house)
    house.close()


def test_a_key_that_is_none_stops_the_start(tmp_path: Path):
    with pytest.raises(UsageError) as caught:
        House(tmp_path, pii_key="short")
    assert caught.value.code == "bad-personal-key"


def test_a_key_for_other_accounts_sees_nobody(house: House):
    house.call("PUT", PLACES[0], PERSON)
    for method, body in (("GET", None), ("PUT", PERSON)):
        refusal = house.refused(method, PLACES[0], body, by="risk_officer/rob", accounts=("B",))
        assert refusal == (403, "account-not-permitted")


@pytest.mark.parametrize(
    "body",
    [{"nmae": "x"}, {"name": ""}, {"name": "x" * 201}, {"name": "a\nb"}, {"name": 7}, {"tax_id": ["x"]}, []],
)
def test_what_does_not_fit_is_refused_unrepeated(house: House, body: object):
    refusal = house.call("PUT", PLACES[0], body)
    assert refusal.status_code == 422
    assert "nmae" not in refusal.text
    assert house.refused("GET", PLACES[0]) == (404, "unknown-person")


def test_the_record_says_who_told_it_and_nothing_of_what(house: House):
    house.call("PUT", PLACES[0], PERSON, by="risk_officer/rita")
    (record,) = house.run(house.service.recorded(kind="person"))
    body = json.loads(record.body)
    assert (record.ref, record.account, body["person"]) == ("account:A", "A", "rita")
    assert set(body["sealed"]) == set(PERSON)
    assert Vault(KEY).open(body["sealed"]["name"], "account:A", "name") == PERSON["name"]
