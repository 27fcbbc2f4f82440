"""Limits through the running service: every way they can go, how many may decide, and how much of them is used.

`test_limit_book.py` tries random steps on the book alone; here each answer, the orders and the measured use must fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from lexorder.api.service import routes_limits
from lexorder.api.service.limit_kinds import KINDS
from tests.service.house import House, answered
from tests.worlds import instrument, position, working, world

ANN, BOB = "risk_officer/ann", "risk_officer/bob"


def shares(most: int, since: str = "2026-01-01") -> dict[str, Any]:
    """A limit on the shares of an order."""
    return {"kind": "order-quantity", "values": {since: str(most)}}


def done(house: House, step: str, key: str, most: int = 50) -> Any:
    """One step of a life, by whoever takes it."""
    if step == "propose":
        known = house.call("GET", f"/v1/limits/{key}").status_code == 200
        if known:
            return answered(house.call("PUT", f"/v1/limits/{key}", shares(most), ANN), 202)
        return house.post("/v1/limits", {"id": key, **shares(most)}, by=ANN, status=202)
    if step == "retire":
        return answered(house.call("DELETE", f"/v1/limits/{key}", by=ANN), 202)
    return house.post(f"/v1/limits/{key}/{step}", by=BOB)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), clock="feed").furnished()
    yield house
    house.close()


LIVES = [
    ("propose", [(1, "proposed")], None),
    ("propose reject", [(1, "proposed"), (1, "rejected")], None),
    ("propose approve", [(1, "proposed"), (1, "approved")], 1),
    ("propose approve propose", [(1, "proposed"), (1, "approved"), (2, "proposed")], 1),
    ("propose approve propose approve", [(1, "proposed"), (1, "approved"), (2, "proposed"), (2, "approved")], 2),
    ("propose approve retire", [(1, "proposed"), (1, "approved"), (1, "retiring")], 1),
    ("propose approve retire reject", [(1, "proposed"), (1, "approved"), (1, "retiring"), (1, "approved")], 1),
    ("propose approve retire approve", [(1, "proposed"), (1, "approved"), (1, "retiring"), (1, "retired")], None),
    (
        "propose approve propose reject retire",
        [(1, "proposed"), (1, "approved"), (2, "proposed"), (2, "rejected"), (1, "retiring")],
        1,
    ),
    (
        "propose approve propose reject retire approve",
        [(1, "proposed"), (1, "approved"), (2, "proposed"), (2, "rejected"), (1, "retiring"), (1, "retired")],
        None,
    ),
    ("propose reject propose approve", [(1, "proposed"), (1, "rejected"), (2, "proposed"), (2, "approved")], 2),
    (
        "propose approve retire approve propose approve",
        [(1, "proposed"), (1, "approved"), (1, "retiring"), (1, "retired"), (2, "proposed"), (2, "approved")],
        2,
    ),
]


@pytest.mark.parametrize(("life", "told", "decides"), LIVES, ids=[life.replace(" ", "-") for life, _, _ in LIVES])
def test_each_step_tells_of_the_version_it_is_about(
    served: House, life: str, told: list[tuple[int, str]], decides: int | None
):
    key = "l" + life.replace(" ", "-")
    found, proposed = [], 0
    for step in life.split():
        proposed += step == "propose"
        answer = done(served, step, key, 20 + proposed)
        found.append((answer["version"], answer["state"]))
    assert found == told
    names = {f"limit-{key}"} & set(served.service.floor.standing.book.ids())
    assert names == ({f"limit-{key}"} if decides else set())
    if decides:
        most = 20 + decides
        for quantity, stopped in ((most, False), (most + 1, True)):
            decided = served.post("/v1/orders/check?reserve=false", order_of(quantity))
            assert (f"limit-{key}" in {v["rule"] for v in decided["violations"]}) == stopped
        assert served.get(f"/v1/limits/{key}")["version"] == decides
    steps = served.get(f"/v1/limits/{key}/history")["items"]
    assert len(steps) == len(told)


def order_of(quantity: int) -> dict[str, Any]:
    return {"id": "O-1", "account": "A", "symbol": "ACME", "side": "buy", "quantity": str(quantity), "price": "100"}


# ---- how many --------------------------------------------------------------------------------------------


def test_no_more_limits_decide_than_may_however_they_came(house: House, monkeypatch: pytest.MonkeyPatch):
    """What is only proposed has no place yet, so the place is looked for again when it is agreed to."""
    monkeypatch.setattr(routes_limits, "LIMITS_MAX", 2)
    for key in ("a", "b", "c"):
        done(house, "propose", key)
    for key in ("a", "b"):
        done(house, "approve", key)
    assert house.refused("POST", "/v1/limits/c/approve", by=BOB) == (409, "too-many-limits")
    assert house.refused("POST", "/v1/limits", {"id": "d", **shares(1)}, ANN) == (409, "too-many-limits")
    assert {i for i in house.service.floor.standing.book.ids() if i.startswith("limit-")} == {"limit-a", "limit-b"}
    done(house, "retire", "a")
    assert house.refused("POST", "/v1/limits/c/approve", by=BOB) == (409, "too-many-limits"), "it decides until then"
    done(house, "approve", "a")
    assert done(house, "approve", "c")["state"] == "approved"


def test_a_limit_is_tightened_and_retired_however_many_there_are(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes_limits, "LIMITS_MAX", 1)
    done(house, "propose", "a", 50)
    done(house, "approve", "a")
    assert done(house, "propose", "a", 40)["version"] == 2
    assert done(house, "approve", "a")["state"] == "approved"
    assert house.check(id="o1", quantity=41)["outcome"] == "reject"
    done(house, "retire", "a")
    assert done(house, "approve", "a")["state"] == "retired"


# ---- at the same time ------------------------------------------------------------------------------------


def test_of_answers_to_one_request_given_at_once_one_counts(house: House):
    done(house, "propose", "a")
    asked = [("approve", BOB), ("approve", "approver/cid"), ("reject", "approver/gil"), ("approve", "risk_officer/dot")]
    for _, by in asked:
        house.key(*by.split("/"))

    async def all_of_them() -> list[int]:
        calls = (house.calling("POST", f"/v1/limits/a/{step}", None, by) for step, by in asked)
        return [answer.status_code for answer in await asyncio.gather(*calls)]

    assert sorted(house.run(all_of_them())) == [200, 409, 409, 409]
    assert len(house.get("/v1/limits/a/history")["items"]) == 2


def test_of_proposals_of_one_name_made_at_once_one_is_kept(house: House):
    house.key("risk_officer", "ann")

    async def all_of_them() -> list[int]:
        calls = (house.calling("POST", "/v1/limits", {"id": "a", **shares(n)}, ANN) for n in range(1, 5))
        return [answer.status_code for answer in await asyncio.gather(*calls)]

    assert sorted(house.run(all_of_them())) == [202, 409, 409, 409]
    (version,) = house.get("/v1/limits/a/history")["versions"]
    assert version["state"] == "proposed"


# ---- days ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "most"),
    [("2025-12-31", None), ("2026-01-01", 30), ("2026-03-09", 30), ("2026-03-10", 20), ("2026-06-16", 10)],
)
def test_of_dated_figures_the_last_one_that_has_begun_counts(house: House, day: str, most: int | None):
    values = {"2026-03-10": "20", "2026-01-01": "30", "2026-06-16": {"value": "10", "cite": "minutes"}}
    house.post("/v1/limits", {"id": "a", "kind": "order-quantity", "values": values}, by=ANN, status=202)
    done(house, "approve", "a")
    house.post("/v1/snapshot", world(time=f"{day}T12:00:00-05:00"))
    for quantity in (10, 11, 20, 21, 30, 31):
        decided = house.post("/v1/orders/check?reserve=false", order_of(quantity))
        assert ("limit-a" in {v["rule"] for v in decided["violations"]}) == (most is not None and quantity > most)
    note = house.post("/v1/limits/a/check")["note"]
    assert note == ("judged order by order" if most else "not in force on this day")


# ---- use -------------------------------------------------------------------------------------------------

HELD = {"ACME": 30, "BETA": -20, "COCO": 7}
MARKS = {"ACME": Fraction(100), "BETA": Fraction(50), "COCO": Fraction("33.33")}
NAV = 100_000


def furnish(house: House) -> None:
    """A long, a short and an odd position; two names share an issuer, and all a sector; 5 BETA are being bought."""
    instruments = [
        instrument("ACME", "100"),
        instrument("BETA", "50", issuer="ACME"),
        instrument("COCO", "33.33", sector="Food"),
    ]
    positions = [position(symbol, quantity) for symbol, quantity in HELD.items()]
    document = world(instruments=instruments, positions=positions, working_orders=[working("W1", "BETA", "buy", 5)])
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    house.post("/v1/snapshot", document)


def worth(symbol: str) -> Fraction:
    """The worth of a position in the fill state that counts most: a purchase only makes the short smaller."""
    return abs(HELD[symbol] * MARKS[symbol])


USED: dict[str, dict[str, Fraction]] = {
    "position-value": {symbol: worth(symbol) for symbol in HELD},
    "position-weight": {symbol: worth(symbol) / NAV for symbol in HELD},
    "issuer-weight": {"ACME": (worth("ACME") + worth("BETA")) / NAV, "COCO": worth("COCO") / NAV},
    "sector-weight": {"Tech": (worth("ACME") + worth("BETA")) / NAV, "Food": worth("COCO") / NAV},
    "gross-exposure": {"A": sum(map(worth, HELD), Fraction(0)) / NAV},
}
"""By kind and subject, worked out by hand."""


@pytest.mark.parametrize("kind", sorted(USED))
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_the_use_of_every_kind_is_exact_on_the_limit_and_a_unit_beside(served: House, kind: str, beside: int):
    """The limit is the largest use, or a ten-thousandth more or less."""
    furnish(served)
    largest = max(USED[kind].values())
    figure = largest + Fraction(beside, 10_000)
    text = f"{float(figure):.4f} USD" if kind == "position-value" else f"{float(figure * 100):.6f}%"
    key = f"use-{kind}-{beside + 1}"
    served.post("/v1/limits", {"id": key, "kind": kind, "values": {"2026-01-01": text}}, by=ANN, status=202)
    found = served.post(f"/v1/limits/{key}/check", {"version": 1, "accounts": ["A"]})
    told = {use["subject"]: use for use in found["items"]}
    assert set(told) == set(USED[kind])
    for subject, used in USED[kind].items():
        use = told[subject]
        assert (Fraction(use["observed"]), Fraction(use["limit"])) == (used, figure)
        assert Fraction(use["headroom"]) == figure - used
        assert use["status"] == ("pass" if used <= figure else "breach")
        assert use["reason"] == KINDS[kind].reason
        rounded = Fraction(use["used"])
        assert abs(rounded - used / figure) <= Fraction(1, 20_000)
        assert (rounded * 10_000).denominator == 1
    assert found["breaches"] == sum(used > figure for used in USED[kind].values())
    assert (found["state"], found["version"]) == ("proposed", 1)


@pytest.mark.parametrize("accounts", [["NOPE"], ["A", "NOPE"], [""], ["a"]])
def test_an_account_that_is_not_known_is_no_account_without_use(served: House, accounts: list[str]):
    furnish(served)
    served.call("POST", "/v1/limits", {"id": "seen", **shares(5)}, ANN)
    asked = {"accounts": accounts}
    assert served.refused("POST", "/v1/limits/seen/check", asked) == (404, "unknown-account")
    narrow = served.refused("POST", "/v1/limits/seen/check", asked, "portfolio_manager/pam", accounts=["A"])
    assert narrow == (403, "account-not-permitted")


@pytest.mark.parametrize(
    ("accounts", "told"),
    [(None, {"A"}), ([], set()), (["A"], {"A"}), (["A", "A"], {"A"}), (["B", "A"], {"A"}), (["B"], set())],
    ids=str,
)
def test_each_account_is_measured_once(served: House, accounts: list[str] | None, told: set[str]):
    furnish(served)
    body = {"id": "once", "kind": "position-value", "values": {"2026-01-01": "1 USD"}}
    served.call("POST", "/v1/limits", body, ANN)
    found = served.post("/v1/limits/once/check", {} if accounts is None else {"accounts": accounts})
    assert {use["account"] for use in found["items"]} == told
    assert found["breaches"] == len(found["items"]) == (3 if told else 0)


@pytest.mark.parametrize(
    ("body", "status"),
    [({"version": 0}, 422), ({"version": 2}, 404), ({"version": "x"}, 422), ({"accounts": "A"}, 422),
     ({"account": "A"}, 422), ({"accounts": ["A"] * 1000}, 200),
     ({"accounts": ["A"] * 1001}, 422), ({"accounts": ["x" * 201]}, 422)],
    ids=["zero", "beyond", "text", "no list", "misspelt", "many", "too many", "too long"],
)  # fmt: skip
def test_what_is_asked_about_a_limit_is_checked(served: House, body: Any, status: int):
    furnish(served)
    served.call("POST", "/v1/limits", {"id": "seen", **shares(5)}, ANN)
    assert served.call("POST", "/v1/limits/seen/check", body).status_code == status


def test_a_limit_covers_the_accounts_of_its_scope_and_no_others(served: House):
    furnish(served)
    body = {"kind": "gross-exposure", "values": {"2026-01-01": "1%"}, "scope": {"accounts": ["B"]}}
    served.post("/v1/limits", {"id": "scoped", **body}, by=ANN, status=202)
    assert {u["account"] for u in served.post("/v1/limits/scoped/check")["items"]} == {"B"}
    assert served.post("/v1/limits/scoped/check", {"accounts": ["A"]})["items"] == []
