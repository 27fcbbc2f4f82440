"""The monitor of a running service: breaches are recorded by themselves, once, and nobody is called sound unseen."""

from __future__ import annotations

import asyncio
import threading
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from lexorder.api.service import following, looking, monitoring
from lexorder.api.service.hub import Reader
from lexorder.api.service.monitoring import ROUND, Monitor
from lexorder.api.service.open_breaches import BEGUN, ENDED
from lexorder.api.service.paging import number_in
from lexorder.api.service.peers import Answer
from lexorder.api.service.roles import Role
from lexorder.api.service.sharding import Sharding
from lexorder.api.service.shards import shard_of
from lexorder.api.service.utilisation import covering, today, uses
from lexorder.api.service.watched import is_watched
from lexorder.engine.events import AccountChanged
from lexorder.engine.ledger.record import Record
from tests.service import stepping
from tests.service.house import House, Outage, state_of
from tests.worlds import NOON, VOCABULARY, position, world

LONG = 30.0


def settled(house: House) -> None:
    """Wait until the monitor has looked at everything."""
    house.until(lambda: house.service.monitor.status()["state"] == "watching", LONG)


def records(house: House, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    """Kind and body of what is in the ledger, in order."""
    ledger = house.service.ledger
    assert ledger is not None
    wanted = kinds or (BEGUN, ENDED)
    return [(r.kind, msgspec.json.decode(r.body)) for r in ledger.read() if r.kind in wanted]


def told(house: House, *keys: str) -> list[tuple[Any, ...]]:
    """These keys of the beginnings and ends, after the kind."""
    return [(kind, *(body[key] for key in keys)) for kind, body in records(house)]


def price(house: House, mark: str, symbol: str = "ACME") -> None:
    """A price comes."""
    house.post("/v1/prices", {"event_id": f"p{next(stepping.NUMBERS)}", "items": [{"symbol": symbol, "mark": mark}]})


def sold(house: House, quantity: int, symbol: str = "ACME") -> None:
    """A fill without an order."""
    row = {"id": f"f{next(stepping.NUMBERS)}", "account": "A", "symbol": symbol, "side": "sell", "date": NOON[:10]}
    whole = {**row, "time": NOON, "quantity": str(quantity), "price": "100"}
    house.post("/v1/fills", {"event_id": row["id"], "items": [whole]})


@pytest.fixture
def holding(house: House) -> House:
    """A holds 500 shares of ACME at 100, exactly half of its net assets."""
    document = world(positions=[position("ACME", 500)])
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    house.post("/v1/snapshot", document)
    settled(house)
    assert records(house) == []
    return house


# ---- beginning and end -----------------------------------------------------------------------------


def test_a_price_begins_a_breach_and_a_fill_ends_it_once_each(holding):
    price(holding, "100.01")
    settled(holding)
    ((kind, begun),) = records(holding)
    assert kind == BEGUN
    shown = {k: begun[k] for k in ("account", "rule", "subject", "severity", "cause", "changes", "reason", "by")}
    assert shown == {
        "account": "A",
        "rule": "issuer-weight",
        "subject": "ACME",
        "severity": "hard",
        "cause": "passive",
        "changes": ["prices"],
        "reason": "LIMIT_EXCEEDED",
        "by": "monitor",
    }
    assert (begun["observed"], begun["limit"], begun["margin"]) == ("0.50005", "0.5", "-5")
    price(holding, "100.02")  # worse, and still the same breach
    settled(holding)
    assert len(records(holding)) == 1
    sold(holding, 1)
    settled(holding)
    (_, (kind, ended)) = records(holding)
    assert (kind, ended["account"], ended["rule"], ended["subject"]) == (ENDED, "A", "issuer-weight", "ACME")
    assert (ended["since"], ended["why"]) == (begun["now"], "holds")
    assert len(holding.service.floor.breaches) == 0


def test_exactly_at_the_limit_nothing_begins(holding):
    price(holding, "100")
    settled(holding)
    assert records(holding) == []


def test_a_fill_makes_it_active(holding):
    row = {"id": "f-own", "account": "A", "symbol": "ACME", "side": "buy", "date": NOON[:10], "time": NOON}
    holding.post("/v1/fills", {"event_id": "e-own", "items": [{**row, "quantity": "1", "price": "100"}]})
    settled(holding)
    assert told(holding, "cause", "changes") == [(BEGUN, "active", ["fills"])]


def test_an_approved_limit_begins_breaches_and_its_retirement_ends_them(holding):
    limit = {"id": "w", "kind": "position-weight", "severity": "soft", "values": {"2026-01-01": "5%"}}
    holding.post("/v1/limits", limit, by="risk_officer/ann", status=202)
    settled(holding)
    assert records(holding) == []
    holding.post("/v1/limits/w/approve", by="risk_officer/bob")
    settled(holding)
    assert told(holding, "rule", "cause", "changes") == [(BEGUN, "limit-w", "passive", ["rules"])]
    holding.call("DELETE", "/v1/limits/w", by="risk_officer/ann")
    holding.post("/v1/limits/w/approve", by="risk_officer/bob") if holding.service.floor.limits.in_force() else None
    settled(holding)
    assert told(holding, "rule")[1:] == [(ENDED, "limit-w")]
    assert records(holding)[1][1]["why"] == "no longer judged"


def test_what_was_broken_from_the_start_has_no_known_cause(house):
    house.post("/v1/snapshot", world(positions=[position("ACME", 501)]))
    settled(house)
    assert told(house, "cause", "changes") == [(BEGUN, "unknown", ["snapshot"])]


def test_what_nobody_can_judge_any_more_stays_open(holding):
    price(holding, "101")
    settled(holding)
    document = world(positions=[position("ACME", 500)])
    del document["instruments"][0]["mark"]
    holding.post("/v1/snapshot", document)
    settled(holding)
    assert [kind for kind, _ in records(holding)] == [BEGUN]
    (found,) = holding.get("/v1/breaches")["items"]
    assert (found["status"], found["cause"]) == ("undecided", "passive")
    assert found["since"] == records(holding)[0][1]["now"]


def test_a_mark_that_grows_old_makes_a_rule_undecided_and_ends_nothing(house):
    document = world(positions=[position("ACME", 501)])
    document["instruments"][0]["mark_time"] = NOON
    house.post("/v1/snapshot", document)
    settled(house)
    house.post("/v1/prices", {"event_id": "later", "items": [], "session": {}, "time": NOON})
    house.service.floor.move_to("2026-06-15T12:15:01-04:00")
    settled(house)
    assert [b["status"] for b in house.get("/v1/breaches")["items"]] == ["undecided"]
    assert [kind for kind, _ in records(house)] == [BEGUN]


# ---- restarts --------------------------------------------------------------------------------------


def test_a_restart_keeps_open_breaches_and_begins_none_anew(holding):
    price(holding, "101")
    settled(holding)
    before = dict(holding.service.floor.breaches.of)
    holding.reopen()
    assert dict(holding.service.floor.breaches.of) == before != {}
    settled(holding)
    assert [kind for kind, _ in records(holding)] == [BEGUN]
    price(holding, "100")
    settled(holding)
    assert [kind for kind, _ in records(holding)] == [BEGUN, ENDED]


def test_open_breaches_are_shown_before_anybody_looked_and_the_account_is_behind(holding):
    price(holding, "101")
    settled(holding)
    holding.run(holding.service.monitor.stop())  # nobody looks from here on
    holding.service.monitor = Monitor(holding.service)
    found = holding.get("/v1/breaches?wait=0")
    assert (found["accounts"], found["behind"], found["behind_count"]) == (0, ["A", "B"], 2)
    assert [(b["rule"], b["status"], b["headroom"]) for b in found["items"]] == [("issuer-weight", "breach", None)]
    assert holding.get("/readyz")["monitor"]["state"] == "failed"


def test_a_breach_outlives_a_snapshot_and_an_account_that_is_gone_ends_its_own(holding):
    price(holding, "101")
    settled(holding)
    holding.post("/v1/snapshot", world(positions=[position("ACME", 501)]))
    settled(holding)
    assert [kind for kind, _ in records(holding)] == [BEGUN]
    holding.post("/v1/snapshot", world(account={"id": "C"}))
    settled(holding)
    assert [(kind, body.get("why")) for kind, body in records(holding)] == [(BEGUN, None), (ENDED, "not watched here")]


def test_an_outage_loses_no_breach(holding):
    with Outage(holding):
        assert holding.refused("POST", "/v1/prices", {"event_id": "x", "items": []})[0] == 503
    holding.until(lambda: not holding.service.journal.down, LONG)
    price(holding, "101")
    settled(holding)
    assert [kind for kind, _ in records(holding)] == [BEGUN]


# ---- the stream, figures, probes -------------------------------------------------------------------


def follower(house: House, role: Role = Role.RISK_OFFICER, accounts: frozenset[str] | None = None) -> Reader:
    """Somebody who follows the topic `breaches`."""
    reader = Reader(frozenset({"breaches"}), accounts, role)
    house.service.hub.readers.add(reader)
    return reader


def heard(reader: Reader) -> list[str]:
    """Kinds of the records that wait for a reader."""
    found: list[Record] = []
    while not reader.waiting.empty():
        found.append(reader.waiting.get_nowait())
    return [record.kind for record in found]


def test_the_stream_hears_the_beginning_and_the_end(holding):
    mine, others = follower(holding), follower(holding, accounts=frozenset({"B"}))
    price(holding, "101")
    settled(holding)
    price(holding, "100")
    settled(holding)
    assert heard(mine) == [BEGUN, ENDED]
    assert heard(others) == []


QUIET = """
- rule: quiet
  title: Quiet
  audience: compliance
  for_each: position
  require: abs(position.after.quantity) <= 10
"""


def test_a_rule_for_compliance_is_hidden_from_all_others_everywhere(tmp_path):
    house = House(tmp_path, QUIET)
    try:
        house.post("/v1/snapshot", world())
        settled(house)
        officer, trader = follower(house), follower(house, Role.SENIOR_TRADER)
        house.post("/v1/positions", {"event_id": "p", "items": [position("ACME", 11)]})
        settled(house)
        assert [kind for kind, _ in records(house)] == [BEGUN]
        assert (heard(officer), heard(trader)) == ([BEGUN], [])
        for query in ("", "?ended=true"):
            assert house.get(f"/v1/breaches{query}", by="risk_officer")["count"] == 1
            assert house.get(f"/v1/breaches{query}", by="analyst")["count"] == 0
        page = house.call("GET", "/metrics").text
        assert 'lexorder_breaches_open{rule="withheld",severity="hard",shard="0"} 1.0' in page
        assert 'rule="quiet"' not in page
    finally:
        house.close()


def test_figures_and_the_probe_say_how_the_monitor_is(holding):
    price(holding, "101")
    settled(holding)
    page = holding.call("GET", "/metrics").text
    for line in (
        'lexorder_breaches_open{rule="issuer-weight",severity="hard",shard="0"} 1.0',
        'lexorder_breach_changes_total{change="begun",shard="0"} 1.0',
        'lexorder_monitor_behind_accounts{shard="0"} 0.0',
        'lexorder_monitor_lag_seconds{shard="0"} 0.0',
        'lexorder_monitor_failed{shard="0"} 0.0',
    ):
        assert line in page, line
    status = holding.get("/readyz")["monitor"]
    assert status == {"state": "watching", "reason": "", "accounts": 2, "behind": 0, "lag_s": 0.0, "open": 1}


# ---- behind and failed -----------------------------------------------------------------------------


def test_a_look_that_fails_is_said_and_the_account_is_never_sound(holding, monkeypatch):
    def broken(*_arguments: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(monitoring, "look", broken)
    monkeypatch.setattr(monitoring, "FAILED_S", 0.05)
    price(holding, "101")
    holding.until(lambda: bool(holding.service.monitor.failed), LONG)
    status = holding.get("/readyz")["monitor"]
    assert (status["state"], status["reason"], status["behind"]) == ("failed", "look-failed", 1)
    found = holding.get("/v1/breaches?wait=0.2")
    assert (found["behind"], found["accounts"], found["items"]) == (["A"], 1, [])
    assert 'lexorder_monitor_failed{shard="0"} 1.0' in holding.call("GET", "/metrics").text
    monkeypatch.undo()
    settled(holding)
    assert [kind for kind, _ in records(holding)] == [BEGUN]


def test_a_slow_look_holds_no_check_up_and_the_account_is_behind_meanwhile(holding, monkeypatch):
    real, go = looking.look, threading.Event()

    def slow(*arguments: Any) -> Any:
        go.wait(LONG)
        return real(*arguments)

    monkeypatch.setattr(monitoring, "look", slow)
    price(holding, "101")
    holding.until(lambda: bool(holding.service.monitor._looking), LONG)
    seen = holding.check(id="meanwhile", symbol="BETA", quantity=1)
    assert seen["outcome"] == "approve"
    found = holding.get("/v1/breaches?wait=0")
    assert (found["behind"], found["items"]) == (["A"], [])
    go.set()
    settled(holding)
    assert [kind for kind, _ in records(holding)] == [BEGUN]


def test_an_account_is_behind_whatever_of_its_changes_is_the_older_one(holding):
    monitor = holding.service.monitor
    holding.run(monitor.stop())
    dues = monitor._follows.dues
    assert dues is not None
    number = monitor.told
    assert monitor.behind(["A", "B"], number) == []
    dues.all(number, 0.0, "rules", accounts=["A"])
    dues.sort([AccountChanged(account, {"account.nav": Fraction(1)}) for account in "AB"], number + 1, 0.0)
    assert monitor.behind(["A", "B"], number) == ["A"]
    assert monitor.behind(["A", "B"], number + 1) == ["A", "B"]


def test_too_many_events_at_once_make_everything_due(holding, monkeypatch):
    monkeypatch.setattr(following, "EVENTS_MAX", 1)

    async def burst() -> None:
        for mark in ("101", "102", "103"):
            answer = await holding.calling(
                "POST", "/v1/prices", {"event_id": f"b{mark}", "items": [{"symbol": "ACME", "mark": mark}] * 3}
            )
            assert answer.status_code == 200, answer.text

    holding.run(burst())
    settled(holding)
    assert [kind for kind, _ in records(holding)] == [BEGUN]


def test_once_in_a_while_a_round_is_recorded_and_moves_the_time(holding):
    assert records(holding, ROUND) == []
    holding.service.monitor._again = 0.0
    holding.until(lambda: bool(records(holding, ROUND)), LONG)
    ((_, body),) = records(holding, ROUND)
    assert (body["accounts"], body["open"], body["failed"], body["by"]) == (2, 0, 0, "monitor")


def test_each_worker_watches_its_own_accounts(tmp_path):
    house = House(tmp_path, workers=2, shard=0)
    try:
        document = world(positions=[position("ACME", 501, a) for a in ("A", "B", "C", "D")])
        document["accounts"] = [{**document["accounts"][0], "id": name} for name in "ABCD"]
        house.post("/v1/snapshot", document)
        settled(house)
        mine = {a for a in "ABCD" if shard_of({}, a, 2) == 0}
        assert 0 < len(mine) < 4
        assert {account for _, account in told(house, "account")} == mine
        found = house.get("/v1/breaches")
        assert ({b["account"] for b in found["items"]}, found["accounts"]) == (mine, len(mine))
    finally:
        house.close()


class Beside:
    """The other worker, as it answered."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def ask(self, _shard: int, _scope: Any, _body: bytes | None = None) -> Answer:
        """What it said."""
        return Answer.json(self.answers.pop(0))


def test_workers_answer_together(tmp_path):
    """Each of two workers has the whole world and watches its part; one answer holds both parts, each account once."""
    document = world(positions=[position("ACME", 501, a) for a in "ABCD"])
    document["accounts"] = [{**document["accounts"][0], "id": name} for name in "ABCD"]
    houses = [House(tmp_path / str(shard), workers=2, shard=shard) for shard in (0, 1)]
    try:
        for house in houses:
            house.post("/v1/snapshot", document)
            settled(house)
        queries = ("", "?ended=true")
        other = Beside(*(houses[1].get(f"/v1/breaches{query}") for query in queries))
        houses[0].app = Sharding(houses[0].app, houses[0].service, other, None, None)  # type: ignore[arg-type,assignment]
        now, history = (houses[0].get(f"/v1/breaches{query}") for query in queries)
        assert sorted(item["account"] for item in now["items"]) == ["A", "B", "C", "D"]
        assert (now["count"], now["accounts"], now["behind"], now["behind_count"]) == (4, 4, [], 0)
        assert (sorted(item["account"] for item in history["items"]), history["count"]) == (["A", "B", "C", "D"], 4)
    finally:
        for house in houses:
            house.close()


# ---- history ---------------------------------------------------------------------------------------


def test_the_history_in_pages_by_account_rule_and_time(holding):
    for mark in ("101", "100", "102"):
        price(holding, mark)
        settled(holding)
    whole = holding.get("/v1/breaches?ended=true")
    assert [item["kind"] for item in whole["items"]] == [BEGUN, ENDED, BEGUN]
    assert whole["next"] is None
    first = holding.get("/v1/breaches?ended=true&limit=2")
    assert (first["count"], number_in(first["next"])) == (2, whole["items"][2]["seq"])
    rest = holding.get(f"/v1/breaches?ended=true&limit=2&cursor={first['next']}")
    assert rest["items"] == whole["items"][2:]
    for query, count in (("account=A", 3), ("account=B", 0), ("rule=issuer-weight", 3), ("rule=other", 0)):
        assert holding.get(f"/v1/breaches?ended=true&{query}")["count"] == count
    second = whole["items"][1]["at"]
    assert [i["seq"] for i in holding.get(f"/v1/breaches?from={second}")["items"]] == [
        i["seq"] for i in whole["items"] if i["at"] >= second
    ]
    assert [i["seq"] for i in holding.get(f"/v1/breaches?to={second}")["items"]] == [
        i["seq"] for i in whole["items"] if i["at"] < second
    ]
    only_b = {"by": "portfolio_manager/pam", "accounts": ["B"]}
    assert holding.get("/v1/breaches?ended=true", **only_b)["count"] == 0
    assert holding.refused("GET", "/v1/breaches?from=noon") == (422, "bad-time")


# ---- the property ----------------------------------------------------------------------------------


def anew(house: House) -> set[tuple[str, str, str]]:
    """What is broken, by judging every account from the beginning by the reference."""
    desk = house.service.floor.standing
    snapshot = desk.snapshot
    rules = desk.book.on(today(snapshot))
    found = set()
    for account in snapshot.accounts:
        mine = [r for r in rules if covering(r, snapshot, [account])]
        for use in uses(snapshot, VOCABULARY, account, [r for r in mine if is_watched(r)], mine):
            if use.broken and use.finding.status.value != "undecided":
                found.add((account, use.rule.id, use.finding.subject))
    return found


def opened(house: House) -> set[tuple[str, str, str]]:
    """What is open by the records."""
    return {(account, *key) for account, of in house.service.floor.breaches.of.items() for key in of}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(stepping.days(8))
def test_after_any_day_what_is_open_is_what_judging_everything_finds(shared, steps):
    stepping.begin(shared)
    for step in steps:
        stepping.take(shared, [step])
    settled(shared)
    assert opened(shared) == anew(shared)
    floor = stepping.rebuilt(shared)
    assert floor.breaches.of == shared.service.floor.breaches.of
    assert state_of(floor) == state_of(shared.service.floor)


def test_nothing_of_the_monitor_is_left_when_the_service_stops(holding):
    async def tasks() -> int:
        return sum("Monitor" in repr(task.get_coro()) for task in asyncio.all_tasks())

    assert holding.run(tasks()) == 1
    task = holding.service.monitor.task
    holding.close()
    assert task is not None
    assert task.done()
