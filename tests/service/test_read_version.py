"""Whoever approves a limit may name the version that was read: what was put in its place is not approved unread."""

from __future__ import annotations

import pytest

from tests.service.house import House

RITA, SAM = "risk_officer/rita", "approver/sam"


def figure(value: str) -> dict[str, object]:
    return {"kind": "order-quantity", "values": {"2026-01-01": value}}


@pytest.fixture
def house(house: House) -> House:
    house.furnished().post("/v1/limits", {"id": "cap", **figure("10")}, by=RITA, status=202)
    return house


def exchanged(house: House) -> None:
    """Who asked takes the first version back and asks for another one."""
    house.post("/v1/limits/cap/reject", by=RITA)
    assert house.call("PUT", "/v1/limits/cap", figure("1000000"), by=RITA).status_code == 202


@pytest.mark.parametrize("step", ["approve", "reject"])
def test_another_version_is_refused_and_named(house: House, step: str) -> None:
    exchanged(house)
    answer = house.call("POST", f"/v1/limits/cap/{step}?version=1", by=SAM)
    assert (answer.status_code, answer.json()["code"], answer.json()["version"]) == (409, "other-version", 2)
    assert house.get("/v1/limits/cap?version=2", by=RITA)["state"] == "proposed"
    told = house.post(f"/v1/limits/cap/{step}?version=2", by=SAM)
    assert (told["version"], told["state"]) == (2, "approved" if step == "approve" else "rejected")


def test_without_a_version_whatever_waits_is_meant(house: House) -> None:
    exchanged(house)
    assert house.post("/v1/limits/cap/approve", by=SAM)["version"] == 2


def test_the_end_of_a_limit_has_the_version_that_ends(house: House) -> None:
    house.post("/v1/limits/cap/approve?version=1", by=SAM)
    assert house.call("DELETE", "/v1/limits/cap", by=RITA).json()["version"] == 1
    assert house.refused("POST", "/v1/limits/cap/approve?version=2", by=SAM) == (409, "other-version")
    assert house.post("/v1/limits/cap/approve?version=1", by=SAM)["state"] == "retired"


@pytest.mark.parametrize("version", ["0", "-1", "x", "1.5", ""])
def test_a_version_is_a_number(house: House, version: str) -> None:
    assert house.refused("POST", f"/v1/limits/cap/approve?version={version}", by=SAM) == (422, "invalid-request")
    assert house.get("/v1/limits/cap", by=RITA)["state"] == "proposed"


def test_who_asked_is_told_so_whatever_the_version(house: House) -> None:
    assert house.refused("POST", "/v1/limits/cap/approve?version=1", by=RITA) == (409, "second-person-required")
