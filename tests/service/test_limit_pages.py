"""How much of a limit is used, and what was done to it, page by page: everything once, sums over all pages."""

from __future__ import annotations

from typing import Any

import pytest

from lexorder.api import client_risk_calls as risk
from tests.service.house import House
from tests.worlds import position, world

ANN, BOB = "risk_officer/ann", "risk_officer/bob"
ACCOUNTS = ("A", "B", "C", "D2", "D10")
SYMBOLS = ("ACME", "BETA", "COCO")
CAP = {"id": "cap", "kind": "position-value", "values": {"2026-01-01": "250 USD"}}
ROWS = [(account, symbol) for account in sorted(ACCOUNTS) for symbol in SYMBOLS]
BROKEN = 2 * len(ACCOUNTS) - 2
"""Each account holds 1, 3 and 5 shares at 100, but for D10, which holds one of each."""


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = House(tmp_path_factory.mktemp("house"), clock="feed", rate_per_key=1_000_000)
    document = world()
    account = document["accounts"][0]
    document["accounts"] = [{**account, "id": name} for name in reversed(ACCOUNTS)]
    held = {a: (1, 1, 1) if a == "D10" else (1, 3, 5) for a in ACCOUNTS}
    document["positions"] = [position(s, n, account=a) for a in ACCOUNTS for s, n in zip(SYMBOLS, held[a], strict=True)]
    made.post("/v1/snapshot", document)
    made.post("/v1/limits", CAP, by=ANN, status=202)
    for n in range(3):
        made.call("POST", "/v1/limits/cap/" + ("reject" if n else "approve"), None, by=BOB)
        made.call("PUT", "/v1/limits/cap", {k: v for k, v in CAP.items() if k != "id"}, by=ANN)
    yield made
    made.close()


def pages(house: House, call: Any) -> list[dict[str, Any]]:
    """All pages of a call, each as `client.every` would ask for it."""
    found = []
    ahead = [call]
    while ahead:
        query = "&".join(f"{name}={value}" for name, value in ahead[0].query.items())
        answer = house.call(ahead[0].method, f"{ahead[0].path}?{query}", ahead[0].body, by=ANN)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        ahead = ahead[0].following(found[-1])
    return found


@pytest.mark.parametrize("limit", [1, 2, 7, 14, 15, 16, 10_000])
def test_every_use_is_on_one_page_and_the_sums_are_of_all(paged: House, limit: int) -> None:
    found = pages(paged, risk.check_limit("cap", {"version": 1}, limit=limit))
    rows = [row for page in found for row in page["items"]]
    assert [(row["account"], row["subject"]) for row in rows] == ROWS
    assert {(page["count"], page["breaches"]) for page in found} == {(len(ROWS), BROKEN)}
    assert sum(row["status"] == "breach" for row in rows) == BROKEN
    assert all(len(page["items"]) == limit for page in found[:-1])
    assert len(found) == -(-len(ROWS) // limit)


def test_without_a_word_it_is_the_first_page(paged: House) -> None:
    (whole,) = pages(paged, risk.check_limit("cap"))
    assert whole["next"] is None
    assert len(whole["items"]) == whole["count"] == len(ROWS)


def test_accounts_narrow_the_pages_and_the_sums(paged: House) -> None:
    found = pages(paged, risk.check_limit("cap", {"accounts": ["D10", "B"]}, limit=2))
    assert [(row["account"], row["subject"]) for page in found for row in page["items"]] == [
        row for row in ROWS if row[0] in ("B", "D10")
    ]
    assert {(page["count"], page["breaches"]) for page in found} == {(6, 2)}


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_every_step_is_on_one_page_with_the_versions_it_is_about(paged: House, limit: int) -> None:
    found = pages(paged, risk.limit_history("cap", limit=limit))
    steps = [step for page in found for step in page["items"]]
    assert [(step["action"], step["version"]) for step in steps] == [
        *(("propose", 1), ("approve", 1), ("propose", 2), ("reject", 2), ("propose", 3), ("reject", 3)),
        ("propose", 4),
    ]
    assert {page["count"] for page in found} == {7}
    for page in found:
        assert [v["version"] for v in page["versions"]] == sorted({s["version"] for s in page["items"]})
    states = {v["version"]: v["state"] for page in found for v in page["versions"]}
    assert states == {1: "approved", 2: "rejected", 3: "rejected", 4: "proposed"}


def test_a_retired_version_is_named_by_every_step_about_it(tmp_path: Any) -> None:
    house = House(tmp_path).furnished()
    try:
        house.post("/v1/limits", CAP, by=ANN, status=202)
        house.post("/v1/limits/cap/approve", by=BOB)
        for answer in ("reject", "approve"):
            house.call("DELETE", "/v1/limits/cap", {"reason": "old"}, by=ANN)
            house.post(f"/v1/limits/cap/{answer}", by=BOB)
        before = house.get("/v1/limits/cap/history", by=ANN)
        assert [step["version"] for step in before["items"]] == [1] * 6
        house.reopen()
        assert house.get("/v1/limits/cap/history", by=ANN) == before
    finally:
        house.close()


@pytest.mark.parametrize(("method", "path"), [("POST", "check"), ("GET", "history")])
def test_a_text_that_is_no_cursor_is_refused(paged: House, method: str, path: str) -> None:
    for cursor in ("x", "W10x", "%00", "-1"):
        refused = paged.refused(method, f"/v1/limits/cap/{path}?cursor={cursor}", by=ANN)
        assert refused == (422, "bad-cursor")
    assert paged.refused(method, f"/v1/limits/cap/{path}?limit=0", by=ANN) == (422, "invalid-request")
    assert paged.refused(method, f"/v1/limits/cap/{path}?limti=1", by=ANN) == (422, "unknown-parameter")
