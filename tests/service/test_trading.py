"""Trading states and the kill switch: who may, what stops, what survives."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from lexorder.api.service.journal import RETRY_S
from lexorder.api.service.roles import Role
from lexorder.api.service.routes_trading import FORGETFUL, UNKNOWN, UNRECORDED
from lexorder.api.service.trading_states import FIRM, SCOPES, STATES, TradingStates
from tests.service.house import Outage, state_of
from tests.worlds import order, position, world

MAY_KILL = {"admin", "risk_officer", "approver", "senior_trader", "junior_trader", "portfolio_manager"}
MAY_SET = {"admin", "risk_officer", "approver", "senior_trader"}


def change(scope="firm", state="HALTED", id=None, reason="a test"):  # noqa: A002
    told = {"scope": scope, "state": state, "reason": reason}
    return told if id is None else {**told, "id": id}


def resume(house, **scope):
    return house.post("/v1/trading-state", change(state="ACTIVE", **scope), by="risk_officer/rita")


# ---- who --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [r.value for r in Role])
def test_whoever_trades_or_watches_risk_may_pull_the_kill_switch(shared, role):
    if role in MAY_KILL:
        assert shared.post("/v1/kill", by=role)["state"] == "HALTED"
        resume(shared)
    else:
        assert shared.refused("POST", "/v1/kill", by=role) == (403, "not-permitted")
    assert shared.get("/v1/trading-state")["firm"] == "ACTIVE"


@pytest.mark.parametrize("role", sorted(MAY_SET))
@pytest.mark.parametrize("milder", ["ACTIVE", "REDUCING"])
def test_only_a_risk_officer_or_an_admin_lets_trading_go_on(shared, role, milder):
    shared.post("/v1/trading-state", change(), by=role)
    answer = shared.call("POST", "/v1/trading-state", change(state=milder), by=role)
    if role in {"admin", "risk_officer"}:
        assert answer.json()["state"] == milder
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "not-permitted")
        assert shared.get("/v1/trading-state")["firm"] == "HALTED"
    resume(shared)


@pytest.mark.parametrize("role", sorted({r.value for r in Role} - MAY_SET))
def test_nobody_else_sets_a_state(shared, role):
    assert shared.refused("POST", "/v1/trading-state", change(), by=role) == (403, "not-permitted")


def test_a_key_for_some_accounts_stops_these_and_nothing_else(shared):
    mine = {"by": "senior_trader/tom", "accounts": ["A"]}
    for scope, key in [("firm", None), ("account", "B"), ("trader", "T"), ("strategy", "ALGO")]:
        told = change(scope=scope, id=key)
        assert shared.refused("POST", "/v1/trading-state", told, **mine) == (403, "account-not-permitted")
        del told["state"]
        assert shared.refused("POST", "/v1/kill", told, **mine) == (403, "account-not-permitted")
    assert shared.post("/v1/kill", {"scope": "account", "id": "A"}, **mine)["id"] == "A"
    shared.post("/v1/kill", {"scope": "account", "id": "B"})
    assert {s["id"] for s in shared.get("/v1/trading-state", **mine)["states"]} == {"A"}
    assert {s["id"] for s in shared.get("/v1/trading-state")["states"]} == {"A", "B"}
    resume(shared, scope="account", id="A")
    resume(shared, scope="account", id="B")


# ---- what -------------------------------------------------------------------------------------


def outcome(house, number=[0], **facts):  # noqa: B006  counts through the module
    number[0] += 1
    answer = house.check(id=f"try-{number[0]}", quantity=1, **facts)
    return answer["outcome"], answer["reason"]


YES, NO = ("approve", ""), ("reject", "NOT_PERMITTED")


def test_a_halted_firm_approves_nothing_until_it_is_resumed(shared):
    assert outcome(shared) == YES
    shared.post("/v1/kill")
    assert outcome(shared) == outcome(shared, account="B") == NO
    resume(shared)
    assert outcome(shared) == YES


@pytest.mark.parametrize(
    ("scope", "key", "stopped", "free"),
    [
        ("account", "A", {"account": "A"}, {"account": "B"}),
        ("trader", "T", {"trader": "T"}, {}),
        ("strategy", "ALGO", {"strategy": "ALGO"}, {}),
    ],
)
def test_a_halt_stops_its_scope_and_no_other(shared, scope, key, stopped, free):
    shared.post("/v1/kill", {"scope": scope, "id": key})
    assert outcome(shared, **stopped) == NO
    assert outcome(shared, **free) == YES
    resume(shared, scope=scope, id=key)
    assert outcome(shared, **stopped) == YES


def test_reducing_lets_positions_shrink_only(house):
    house.post("/v1/snapshot", world(positions=[position("ACME", 50)]))
    house.post("/v1/trading-state", change(state="REDUCING"))
    assert outcome(house)[0] == "reject"
    assert outcome(house, side="sell") == YES


@pytest.mark.parametrize("scope", ["account", "trader"])
def test_a_feed_cannot_lift_what_risk_control_has_set(house, scope):
    house.post("/v1/trading-state", change(scope=scope, id="A" if scope == "account" else "T", state="REDUCING"))
    row = {"items": [{"id": "A", "trading_state": "ACTIVE"}], "traders": [{"id": "T", "trading_state": "ACTIVE"}]}
    house.post("/v1/accounts", {"event_id": "e1", **row})
    assert outcome(house, trader="T")[0] == "reject"


def test_an_account_that_comes_to_be_known_later_is_stopped_too(house):
    answer = house.post("/v1/trading-state", change(scope="account", id="C", state="REDUCING"))
    assert (answer["known"], answer["warnings"]) == (False, [UNKNOWN])
    house.post("/v1/accounts", {"event_id": "e1", "items": [{**world()["accounts"][0], "id": "C"}]})
    assert outcome(house, account="C")[0] == "reject"


def test_a_snapshot_lifts_nothing(house):
    house.post("/v1/kill", {"scope": "account", "id": "A"})
    house.post("/v1/trading-state", change(scope="trader", id="T", state="REDUCING"))
    house.furnished()
    assert outcome(house) == NO
    assert outcome(house, account="B", trader="T")[0] == "reject"


def test_the_same_halt_twice_is_one_halt(shared):
    shared.post("/v1/kill")
    shared.post("/v1/kill", {"reason": "again"})
    (state,) = shared.get("/v1/trading-state")["states"]
    assert (state["reason"], state["recorded"], state["person"]) == ("again", True, "admin")
    resume(shared)
    assert shared.get("/v1/trading-state")["states"] == []


def test_states_are_listed_strictest_first(shared):
    told = [("trader", "T", "REDUCING"), ("account", "B", "HALTED"), ("firm", None, "REDUCING")]
    for scope, key, state in told:
        shared.post("/v1/trading-state", change(scope=scope, id=key, state=state))
    listed = [(s["scope"], s["state"]) for s in shared.get("/v1/trading-state", by="observer")["states"]]
    assert listed == [("account", "HALTED"), ("firm", "REDUCING"), ("trader", "REDUCING")]
    figures = shared.call("GET", "/metrics").text
    assert 'lexorder_trading_state_subjects{scope="account",shard="0",state="HALTED"} 1.0' in figures
    for scope, key, _ in told:
        resume(shared, scope=scope, id=key)
    assert 'scope="account",shard="0",state="HALTED"} 0.0' in shared.call("GET", "/metrics").text


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (change(id="A"), "scope-without-id"),
        (change(scope="account"), "scope-without-id"),
        (change(state="PAUSED"), "invalid-request"),
        (change(scope="desk", id="A"), "invalid-request"),
        (change(reason=""), "invalid-request"),
        (change(scope="account", id="A\nB"), "invalid-request"),
        ({**change(), "until": "noon"}, "invalid-request"),
    ],
)
def test_what_makes_no_sense_is_refused(shared, told, code):
    assert shared.refused("POST", "/v1/trading-state", told) == (422, code)
    assert shared.get("/v1/trading-state")["states"] == []


# ---- at once ----------------------------------------------------------------------------------


def test_once_the_call_is_answered_no_check_approves(house):
    told: list[str] = []

    async def one(number):
        answer = await house.calling("POST", "/v1/orders/check", order(id=f"o{number}"), by="senior_trader/tess")
        told.append(answer.json()["outcome"])

    async def kill():
        await house.calling("POST", "/v1/kill", by="risk_officer")
        told.append("killed")

    async def all_at_once():
        house.key("senior_trader", "tess"), house.key("risk_officer")
        await asyncio.gather(*(one(n) for n in range(60)), kill(), *(one(n) for n in range(60, 120)))

    house.run(all_at_once())
    assert told.count("approve") + told.count("reject") == 120
    assert "approve" not in told[told.index("killed") :]
    records = house.run(house.service.recorded())
    halted = next(r.seq for r in records if r.kind == "trading-state")
    decided = {r.seq: msgspec.json.decode(r.body)["decision"]["outcome"] for r in records if r.kind == "decision"}
    assert all((seq < halted) == (found == "approve") for seq, found in decided.items())


def test_a_halt_survives_restarts(house):
    house.post("/v1/kill", {"scope": "account", "id": "A", "reason": "fat finger"})
    house.post("/v1/trading-state", change(scope="trader", id="T", state="REDUCING"))
    house.check(account="B", id="between")
    before = state_of(house.service.floor)
    house.reopen()
    assert state_of(house.service.floor) == before
    assert outcome(house) == NO
    assert outcome(house, account="B", trader="T")[0] == "reject"
    resume(house, scope="account", id="A")
    house.reopen()
    assert outcome(house) == YES


# ---- while the ledger is down -----------------------------------------------------------------


def kinds(house):
    return [r.kind for r in house.run(house.service.recorded())]


def back(house):
    """Wait until the ledger takes records again and has told so."""
    known = kinds(house).count("outage")
    house.until(lambda: kinds_committed(house) > known)


def kinds_committed(house):
    ledger = house.service.ledger
    return 0 if house.service.journal.down else sum(1 for r in ledger.read() if r.kind == "outage")


def test_a_halt_while_the_ledger_is_down_is_in_force_at_once_and_recorded_first(house):
    before = len(kinds(house))
    with Outage(house):
        answer = house.post("/v1/kill", {"reason": "fire"}, by="junior_trader/jo")
        assert (answer["recorded"], answer["warnings"]) == (None, [UNRECORDED])
        assert house.service.floor.states.state("firm", FIRM) == "HALTED"
        assert house.service.halts.path.exists()
        assert house.call("POST", "/v1/orders/check", order(), by="senior_trader").status_code == 503
        (state,) = house.get("/v1/trading-state")["states"]
        assert state["recorded"] is False
    back(house)
    assert kinds(house)[before : before + 2] == ["trading-state", "outage"]
    assert outcome(house) == NO
    assert house.get("/v1/trading-state")["states"][0]["recorded"] is True
    house.until(lambda: not house.service.halts.path.exists())
    before_restart = state_of(house.service.floor)
    house.reopen()
    assert outcome(house) == NO
    assert before_restart["states"] == state_of(house.service.floor)["states"]


def test_a_floor_that_is_rebuilt_in_the_outage_stays_halted(house):
    with Outage(house):
        house.post("/v1/kill")
        house.run(house.service.rebuild())
        assert house.service.floor.states.stops({"order.account": "B"}) == ("firm", FIRM)
        house.run(asyncio.sleep(RETRY_S * 2))
        assert house.service.floor.states.stops({"order.account": "B"}) == ("firm", FIRM)
    back(house)
    assert outcome(house) == NO


def test_a_halt_that_was_never_recorded_outlives_the_process(house):
    with Outage(house):
        house.post("/v1/kill", {"scope": "account", "id": "A"})
        house.post("/v1/trading-state", change(scope="trader", id="T", state="REDUCING"))
    house.reopen()
    assert outcome(house) == NO
    assert outcome(house, account="B", trader="T")[0] == "reject"
    assert not house.service.halts.path.exists()
    states = house.get("/v1/trading-state")["states"]
    assert [(s["id"], s["recorded"]) for s in states] == [("A", True), ("T", True)]
    resume(house, scope="account", id="A")
    house.reopen()
    assert outcome(house) == YES


def test_nothing_is_made_milder_without_a_record(house):
    house.post("/v1/kill")
    with Outage(house):
        assert house.refused("POST", "/v1/trading-state", change(state="ACTIVE")) == (503, "ledger-unavailable")
        assert house.refused("POST", "/v1/trading-state", change(state="ACTIVE")) == (503, "ledger-unavailable")
    back(house)
    assert outcome(house) == NO


def test_a_milder_state_told_after_a_resume_that_came_to_nothing_leaves_the_halt(house):
    house.post("/v1/kill")
    with Outage(house):
        assert house.refused("POST", "/v1/trading-state", change(state="ACTIVE")) == (503, "ledger-unavailable")
        house.post("/v1/trading-state", change(state="REDUCING"))
    back(house)
    assert outcome(house) == NO
    assert house.get("/v1/trading-state")["firm"] == "HALTED"


def test_who_stops_is_told_when_it_could_not_be_kept_either(house):
    house.service.halts.path = house.folder / "no-such-folder" / "halts.json"
    with Outage(house):
        assert house.post("/v1/kill")["warnings"] == [UNRECORDED, FORGETFUL]
    back(house)
    assert outcome(house) == NO


def test_a_halt_that_the_ledger_holds_after_all_is_not_made_again(house):
    house.post("/v1/kill", {"scope": "account", "id": "A"})
    (record,) = house.run(house.service.recorded(kind="trading-state"))
    body = json.loads(record.body)
    resume(house, scope="account", id="A")
    house.service.halts.path.write_text(json.dumps({body["token"]: body}), "ascii")
    house.reopen()
    assert outcome(house) == YES
    assert not house.service.halts.path.exists()


def test_a_file_of_halts_that_cannot_be_read_stops_the_start(house):
    house.service.halts.path.write_text("{", "ascii")
    with pytest.raises(json.JSONDecodeError):
        house.reopen()
    house.service.halts.path.unlink()
    house.reopen()
    assert outcome(house) == YES


# ---- the table by itself ----------------------------------------------------------------------


def test_the_table_of_states_orders_them_and_forgets_active_ones():
    states = TradingStates()
    for scope in SCOPES:
        for n, state in enumerate(STATES):
            states.apply({"scope": scope, "id": "X", "state": state, "reason": "r", "by": "b", "now": "n"})
            assert states.state(scope, "X") == state
            milder = [s for s in STATES if states.is_milder(scope, "X", s)]
            assert milder == list(STATES[:n])
        assert (scope, "X") in states.halted
        states.apply({"scope": scope, "id": "X", "state": "ACTIVE"})
    assert (states.known, states.halted) == ({}, frozenset())
    assert states.stops({"order.account": "X"}) is None


def test_a_cancellation_passes_a_halt(house):
    house.post("/v1/kill")
    house.run(house.service.rebuild())
    states = house.service.floor.states
    assert states.stops({"order.account": "A", "order.action": "new"}) == ("firm", FIRM)
    assert states.stops({"order.account": "A", "order.action": "replace"}) == ("firm", FIRM)
    assert states.stops({"order.account": "A", "order.action": "cancel"}) is None
