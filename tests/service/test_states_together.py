"""Trading states of firm, account, strategy and trader together: of all that concern an order the strictest wins.

Every one of the 81 combinations is set and orders of every kind are checked against a model of three lines: any HALTED
refuses, any REDUCING lets positions shrink only, else the order goes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from lexorder.api.service.trading_states import FIRM, SCOPES, STATES, TradingStates
from tests.service.house import House
from tests.worlds import order, position, world

SUBJECTS = {"firm": FIRM, "account": "A", "strategy": "ALGO", "trader": "T"}
RITA = "risk_officer/rita"
COUNT = iter(range(10**9))

State = tuple[str, ...]
"""A state for each of the four scopes."""


def snake() -> list[State]:
    """All 81 combinations, each differing from the one before in one scope."""
    found: list[State] = [()]
    for _ in SCOPES:
        found = [
            (*left, state)
            for n, left in enumerate(found)
            for state in (STATES if n % 2 == 0 else tuple(reversed(STATES)))
        ]
    return found


def concerned(account: str, strategy: str | None, trader: str | None) -> dict[str, str]:
    """What an order falls under."""
    named = {"firm": FIRM, "account": account, "strategy": strategy, "trader": trader}
    return {scope: key for scope, key in named.items() if key is not None}


def expected(states: dict[tuple[str, str], str], under: dict[str, str], side: str) -> str:
    """What must come of a small order that nothing else speaks against; 50 shares are held."""
    found = {states.get(key, "ACTIVE") for key in under.items()}
    if "HALTED" in found or ("REDUCING" in found and side == "buy"):
        return "reject"
    return "approve"


def document() -> dict[str, Any]:
    """Accounts A and B hold 50 shares each; trader T and strategy ALGO are known."""
    held = [position("ACME", 50), position("ACME", 50, account="B")]
    made = world(positions=held, strategies=[{"id": "ALGO"}])
    made["accounts"].append({**made["accounts"][0], "id": "B"})
    return made


ORDERS = list(product("AB", (None, "ALGO"), (None, "T"), ("buy", "sell")))


def asked(account: str, strategy: str | None, trader: str | None, side: str) -> dict[str, Any]:
    """One small order of these."""
    named = {"strategy": strategy, "trader": trader}
    given = {key: value for key, value in named.items() if value is not None}
    return order(side, 1, account=account, id=f"o{next(COUNT)}", **given)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), clock="feed")
    house.post("/v1/snapshot", document())
    yield house
    house.close()


@pytest.fixture
def free(held: House) -> Iterator[House]:
    """The house with every scope ACTIVE, now and afterwards."""
    yield held
    for scope, key in SUBJECTS.items():
        change(held, scope, "ACTIVE", key)


def change(house: House, scope: str, state: str, key: str, by: str = RITA) -> Any:
    told = {"scope": scope, "state": state, "reason": "a test"}
    return house.call("POST", "/v1/trading-state", told if scope == "firm" else {**told, "id": key}, by)


# ---- every combination ---------------------------------------------------------------------------------


def test_of_all_combinations_the_strictest_state_wins_for_every_order(free: House):
    now: dict[tuple[str, str], str] = {}
    seen = set()
    for combination in snake():
        for (scope, key), state in zip(SUBJECTS.items(), combination, strict=True):
            if now.get((scope, key), "ACTIVE") != state:
                assert change(free, scope, state, key).status_code == 200
                now[scope, key] = state
        seen.add(tuple(now.get(item, "ACTIVE") for item in SUBJECTS.items()))
        body = {"mode": "independent", "orders": [asked(*each) for each in ORDERS]}
        answers = free.post("/v1/orders/check-batch", body, by="senior_trader/tess")["decisions"]
        told = {each: answer["outcome"] for each, answer in zip(ORDERS, answers, strict=True)}
        wanted = {each: expected(now, concerned(*each[:3]), each[3]) for each in ORDERS}
        assert told == wanted, combination
    assert len(seen) == 81


@pytest.mark.parametrize(("first", "second"), [(a, b) for a in SCOPES for b in SCOPES if a < b])
@pytest.mark.parametrize("states", list(product(STATES, STATES)), ids=" ".join)
def test_every_pair_of_states_is_heeded_by_a_single_check(
    free: House, first: str, second: str, states: tuple[str, str]
):
    now = {(scope, SUBJECTS[scope]): state for scope, state in zip((first, second), states, strict=True)}
    for (scope, key), state in now.items():
        change(free, scope, state, key)
    for each in (("A", "ALGO", "T", "buy"), ("A", "ALGO", "T", "sell"), ("B", None, None, "buy")):
        answer = free.post("/v1/orders/check?reserve=false", asked(*each), by="senior_trader/tess")
        assert answer["outcome"] == expected(now, concerned(*each[:3]), each[3]), each
        assert answer["reason"] == ("" if answer["outcome"] == "approve" else "NOT_PERMITTED")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("quantity", "outcome"), [(49, "approve"), (50, "approve"), (51, "reject")])
def test_reducing_lets_all_that_is_held_go_and_not_a_share_more(free: House, scope: str, quantity: int, outcome: str):
    change(free, scope, "REDUCING", SUBJECTS[scope])
    sold = order("sell", quantity, id=f"o{next(COUNT)}", strategy="ALGO", trader="T")
    assert free.post("/v1/orders/check?reserve=false", sold)["outcome"] == outcome


@pytest.mark.parametrize("mode", ["cumulative", "basket"])
@pytest.mark.parametrize("state", STATES)
def test_a_basket_and_a_sequence_stop_with_one_of_their_orders(free: House, mode: str, state: str):
    """Only the second order has the trader."""
    change(free, "trader", state, "T")
    orders = [asked("A", None, None, "buy"), asked("A", None, "T", "buy")]
    answer = free.post("/v1/orders/check-batch", {"mode": mode, "orders": orders})
    outcomes = [decision["outcome"] for decision in answer["decisions"]]
    stopped = state != "ACTIVE"
    if mode == "cumulative":
        assert outcomes == ["approve", "reject" if stopped else "approve"]
    else:
        assert set(outcomes) == {"reject" if stopped else "approve"}


@pytest.mark.parametrize("scope", ["strategy", "trader"])
@pytest.mark.parametrize("key", ["None", "none", "null"])
def test_an_order_that_names_nobody_falls_under_nobodys_halt(free: House, scope: str, key: str):
    change(free, scope, "HALTED", key)
    try:
        assert free.check(id=f"o{next(COUNT)}")["outcome"] == "approve"
        named = free.check(id=f"o{next(COUNT)}", **{scope: key})
        assert (named["outcome"], named["reason"]) == ("reject", "NOT_PERMITTED")
    finally:
        change(free, scope, "ACTIVE", key)


@pytest.mark.parametrize("other", ["a", "A ", "AA", "B", "T", "*"])
def test_a_halt_of_one_name_is_not_one_of_a_name_that_looks_like_it(other: str):
    states = TradingStates()
    states.apply({"scope": "account", "id": "A", "state": "HALTED", "reason": "r", "by": "b", "now": "n"})
    assert states.stops({"order.account": other, "order.trader": "A", "order.strategy": "A"}) is None
    assert states.stops({"order.account": "A"}) == ("account", "A")


@pytest.mark.parametrize("halted", list(product((False, True), repeat=4)), ids=str)
def test_the_widest_halted_scope_is_named(halted: tuple[bool, ...]):
    states = TradingStates()
    for (scope, key), stop in zip(SUBJECTS.items(), halted, strict=True):
        state = "HALTED" if stop else "REDUCING"
        states.apply({"scope": scope, "id": key, "state": state, "reason": "r", "by": "b", "now": "n"})
    facts = {"order.account": "A", "order.strategy": "ALGO", "order.trader": "T"}
    found = next((item for item, stop in zip(SUBJECTS.items(), halted, strict=True) if stop), None)
    assert states.stops(facts) == found
    assert states.stops({**facts, "order.action": "cancel"}) is None
    assert len(states.known) == 4
    assert len(states.halted) == sum(halted)


# ---- from one state to another -------------------------------------------------------------------------

STRICTNESS = {"ACTIVE": 0, "REDUCING": 1, "HALTED": 2}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("old", "new"), list(product(STATES, STATES)), ids=str)
@pytest.mark.parametrize("role", ["admin", "risk_officer", "approver", "senior_trader"])
def test_stricter_is_for_many_and_milder_for_few(free: House, scope: str, old: str, new: str, role: str):
    key = SUBJECTS[scope]
    change(free, scope, old, key)
    answer = change(free, scope, new, key, by=role)
    milder = new == "ACTIVE" or STRICTNESS[new] < STRICTNESS[old]
    if milder and role in ("approver", "senior_trader"):
        assert (answer.status_code, answer.json()["code"]) == (403, "not-permitted")
        assert free.service.floor.states.state(scope, key) == old
        return
    told = answer.json()
    assert (told["scope"], told["id"], told["state"], told["known"], told["warnings"]) == (scope, key, new, True, [])
    assert told["recorded"]["seq"] >= 0
    assert free.service.floor.states.state(scope, key) == new


def test_states_are_listed_by_strictness_then_scope_then_name(free: House):
    told = [("trader", "T", "HALTED"), ("strategy", "ALGO", "REDUCING"), ("account", "A", "HALTED"),
            ("account", "B", "HALTED"), ("firm", FIRM, "REDUCING"), ("trader", "S", "HALTED")]  # fmt: skip
    for scope, key, state in told:
        change(free, scope, state, key)
    try:
        listed = free.get("/v1/trading-state", by="observer")
        wanted = sorted(
            told, key=lambda t: (-STRICTNESS[t[2]], ("firm", "account", "strategy", "trader").index(t[0]), t[1])
        )
        assert [(s["scope"], s["id"], s["state"]) for s in listed["states"]] == wanted
        assert listed["firm"] == "REDUCING"
        assert {s["person"] for s in listed["states"]} == {"rita"}
    finally:
        for scope, key, _ in told:
            change(free, scope, "ACTIVE", key)


# ---- a day of changes ----------------------------------------------------------------------------------


def step(house: House, model: dict[tuple[str, str], str], dice: random.Random) -> None:
    """One change of a state, or something that must change none."""
    what = dice.choice(["set", "set", "set", "kill", "snapshot", "feed", "firm", "rebuild"])
    scope = dice.choice(SCOPES)
    key, state = SUBJECTS[scope], dice.choice(STATES)
    if what == "set":
        assert change(house, scope, state, key).status_code == 200
        model[scope, key] = state
    elif what == "kill":
        house.post("/v1/kill", {"scope": scope} if scope == "firm" else {"scope": scope, "id": key}, by="junior_trader")
        model[scope, key] = "HALTED"
    elif what == "snapshot":
        told = document()
        told["accounts"][0]["trading_state"] = told["traders"][0]["trading_state"] = "ACTIVE"
        told["firm"] = {"trading_state": "ACTIVE"}
        house.post("/v1/snapshot", told)
    elif what == "feed":
        rows = {"items": [{"id": "A", "trading_state": "ACTIVE"}], "traders": [{"id": "T", "trading_state": "ACTIVE"}]}
        told = {"event_id": f"e{next(COUNT)}", **rows, "strategies": [{"id": "ALGO", "trading_state": "ACTIVE"}]}
        house.post("/v1/accounts", told)
    elif what == "firm":
        firm = {"firm": {"trading_state": "ACTIVE"}, "items": [{"symbol": "ACME", "mark": "100"}]}
        house.post("/v1/prices", {"event_id": f"e{next(COUNT)}", **firm})
    else:
        house.run(house.service.rebuild())


@pytest.mark.parametrize("seed", range(2))
def test_nothing_but_risk_control_changes_a_state(tmp_path: Any, seed: int):
    dice, model = random.Random(seed), dict[tuple[str, str], str]()
    house = House(tmp_path, clock="feed")
    try:
        house.post("/v1/snapshot", document())
        for number in range(30):
            step(house, model, dice)
            if number == 20:
                house.reopen()
            set_ = {item: state for item, state in model.items() if state != "ACTIVE"}
            listed = house.get("/v1/trading-state")["states"]
            assert {(s["scope"], s["id"]): s["state"] for s in listed} == set_
            for each in (("A", "ALGO", "T", "buy"), ("A", "ALGO", "T", "sell"), ("B", None, None, "buy")):
                found = house.post("/v1/orders/check?reserve=false", asked(*each))["outcome"]
                assert found == expected(model, concerned(*each[:3]), each[3]), (number, each, model)
        page = house.call("GET", "/metrics").text
        for scope, state in product(SCOPES, STATES[1:]):
            subjects = sum(1 for (s, _), known in model.items() if (s, known) == (scope, state))
            line = f'lexorder_trading_state_subjects{{scope="{scope}",shard="0",state="{state}"}} {subjects}.0'
            assert line in page
    finally:
        house.close()
