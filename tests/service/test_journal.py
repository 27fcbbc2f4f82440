"""A ledger that fails: nothing is approved meanwhile, and nothing is lost or invented after."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from lexorder.api.service.journal import RING_MAX, Journal, NoLedger
from lexorder.api.service.problems import Problem
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.record import chained
from tests.service.house import Outage, state_of
from tests.worlds import order


class Paper:
    """A ledger on paper: commits when told to, fails when told to."""

    def __init__(self):
        self.size = self.committed = 0
        self.waiting, self.kept, self.recoveries = [], [], 0
        self.on_batch = lambda done, error: None
        self.refusing = None
        self.broken_recoveries = 0
        self.rings = 0

    def append(self, kind, ref, account, body, at, done=None, ring=True, /):  # noqa: PLR0917  as the ledger's own
        if self.refusing is not None:
            raise self.refusing
        record = chained(self.size, bytes(32), kind, at, ref, account, body)
        self.size += 1
        self.waiting.append((record, done))
        if ring:
            self.ring()
        return record

    def ring(self):
        self.rings += 1

    def settle(self, error=None):
        """The writer's commit, or its failure."""
        taken, self.waiting = self.waiting, []
        if error is None:
            self.kept += [record for record, _ in taken]
        self.committed = len(self.kept)
        self.on_batch([done for _, done in taken], error)

    def recover(self):
        self.recoveries += 1
        if self.recoveries <= self.broken_recoveries:
            raise LedgerError("ledger-unavailable", "still")
        self.size = self.committed
        self.refusing = None
        return []


def journal_of(paper, **given):
    made = Journal(paper, lambda: datetime(2026, 6, 15, tzinfo=UTC), **given)
    made.start()
    return made


async def ticks(number=20):
    for _ in range(number):
        await asyncio.sleep(0)


async def until(true, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


def test_nothing_is_answered_and_nobody_is_told_before_the_commit():
    async def day():
        paper, heard = Paper(), []
        journal = journal_of(paper)
        journal.listeners.append(lambda record: heard.append(record.seq))
        _, first = journal.take("decision", "o1", "A", b"{}")
        _, second = journal.take("decision", "o2", "A", b"{}")
        await ticks()
        assert (first.done(), second.done(), heard) == (False, False, [])
        paper.settle()
        await asyncio.gather(first, second)
        assert heard == [0, 1]

    asyncio.run(day())


def test_the_writer_is_woken_once_for_all_that_comes_in_one_turn_of_the_loop():
    async def day():
        paper = Paper()
        journal = journal_of(paper)
        for turn in range(1, 4):
            for n in range(5):
                journal.take("decision", f"o{turn}-{n}", "A", b"{}")
            assert paper.rings == turn - 1
            await ticks(2)
            assert paper.rings == turn
        paper.settle()

    asyncio.run(day())


def test_a_listener_that_fails_keeps_nobody_from_his_answer():
    async def day():
        paper, heard = Paper(), []
        journal = journal_of(paper)
        journal.listeners += [lambda _record: 1 // 0, lambda record: heard.append(record.ref)]
        waiting = [journal.take("decision", f"o{n}", "A", b"{}")[1] for n in range(3)]
        paper.settle()
        await asyncio.gather(*waiting)
        assert heard == []
        journal.listeners.pop(0)
        _, last = journal.take("decision", "o3", "A", b"{}")
        paper.settle()
        await last
        assert heard == ["o3"]

    asyncio.run(day())


def test_who_hands_a_record_over_is_told_of_it_once_after_the_listeners():
    async def day():
        paper = Paper()
        heard: list[Any] = []
        journal = journal_of(paper)
        journal.listeners.append(lambda record: heard.append(("listener", record.ref, None)))
        for n in range(2):
            journal.hand("decision", f"o{n}", "A", b"{}", lambda *told: heard.append(("asker", told[0].ref, told[1])))
        await ticks()
        assert heard == []
        paper.settle()
        await ticks()
        assert heard == [(who, ref, None) for ref in ("o0", "o1") for who in ("listener", "asker")]
        heard.clear()
        journal.hand("decision", "o2", "A", b"{}", lambda *told: heard.append(told))
        paper.settle(OSError(28))
        await ticks()
        ((record, problem),) = heard
        assert (record.ref, problem.status, problem.code) == ("o2", 503, "ledger-unavailable")
        journal._recovery.cancel()

    asyncio.run(day())


def test_a_client_that_leaves_takes_no_record_with_it():
    async def day():
        paper, heard = Paper(), []
        journal = journal_of(paper)
        journal.listeners.append(lambda record: heard.append(record.ref))
        _, gone = journal.take("decision", "o1", "A", b"{}")
        gone.cancel()
        _, stays = journal.take("decision", "o2", "A", b"{}")
        paper.settle()
        await stays
        assert heard == ["o1", "o2"]

    asyncio.run(day())


@pytest.mark.parametrize(("error", "code"), [(LedgerError("ledger-broken", "x"), "ledger-broken"), (OSError(28), None)])
def test_a_failed_commit_answers_503_to_everybody_who_waits(error, code):
    async def day():
        paper = Paper()
        failing: list[str] = []
        journal = journal_of(paper)
        journal.failing = failing.append
        waiting = [journal.take("decision", f"o{n}", "A", b"{}")[1] for n in range(3)]
        paper.settle(error)
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [(p.status, p.code) for p in found if isinstance(p, Problem)] == [(503, "ledger-unavailable")] * 3
        assert failing == [code or "ledger-unavailable"]  # once, not for each
        for kind in ("decision", "decision", "limit"):
            with pytest.raises(Problem, match="ledger-unavailable"):
                journal.require(kind)
        with pytest.raises(Problem, match="ledger-unavailable"):
            journal.take("batch", "", "", b"{}")
        assert journal.refused == {"decision": 2, "limit": 1, "batch": 1}
        journal._recovery.cancel()

    asyncio.run(day())


def test_what_was_refused_is_recorded_first_when_the_ledger_is_back():
    async def day():
        paper, order_ = Paper(), []
        paper.broken_recoveries = 2

        async def rebuild():
            order_.append("rebuilt")

        journal = journal_of(paper, rebuild=rebuild)
        journal.back = lambda: order_.append("back")
        paper.refusing = LedgerError("ledger-unavailable", "x")
        with pytest.raises(Problem):
            journal.take("decision", "o1", "A", b"{}")
        with pytest.raises(Problem):
            journal.require("decision")
        await until(lambda: paper.waiting)
        assert (paper.recoveries, order_, journal.down) == (3, ["rebuilt", "back"], "")
        paper.settle()
        (outage,) = paper.kept
        assert (outage.kind, outage.ref) == ("outage", "ledger-unavailable")
        body = msgspec.json.decode(outage.body)
        assert body == {"code": "ledger-unavailable", "refused": {"decision": 1}}
        await until(journal._recovery.done)

    asyncio.run(day())


def test_a_floor_that_cannot_be_rebuilt_keeps_everything_refused():
    async def day():
        tries = []

        async def rebuild():
            tries.append(1)
            if len(tries) < 2:
                raise OSError("not yet")

        paper = Paper()
        journal = journal_of(paper, rebuild=rebuild)
        _, durable = journal.take("decision", "o1", "A", b"{}")
        paper.settle(LedgerError("ledger-unavailable", "x"))
        with pytest.raises(Problem):
            await durable
        await until(lambda: tries)
        await ticks()
        assert journal.down
        await until(lambda: not journal.down)
        assert len(tries) == 2
        paper.settle()
        await until(journal._recovery.done)

    asyncio.run(day())


def test_without_a_ledger_records_are_numbered_and_durable_at_once():
    async def day():
        journal, heard = journal_of(NoLedger()), []
        journal.listeners.append(lambda record: heard.append(record.seq))
        for number in range(3):
            record, durable = journal.take("decision", "o", "A", b"{}")
            assert durable.done()
            assert record.seq == number
        assert heard == [0, 1, 2]

    asyncio.run(day())


# ---- with the whole service ---------------------------------------------------------------------


def test_the_service_approves_nothing_meanwhile_and_goes_on_from_what_is_recorded(house):
    assert house.check(id="before", quantity=10)["outcome"] == "approve"
    kept = state_of(house.service.floor)
    with Outage(house):
        # The first was decided and taken over before its commit failed; the others are refused at once.
        for n in range(3):
            assert house.refused("POST", "/v1/orders/check", order(id=f"lost-{n}")) == (503, "ledger-unavailable")
        batch = {"mode": "independent", "orders": [order(id="lost-batch")]}
        assert house.refused("POST", "/v1/orders/check-batch", batch) == (503, "ledger-unavailable")
        told = {"event_id": "lost", "items": [{"symbol": "ACME", "mark": "1"}]}
        assert house.refused("POST", "/v1/prices", told) == (503, "ledger-unavailable")
        assert house.call("GET", "/readyz").status_code == 503
    house.until(lambda: not house.service.journal.down, 60)
    house.until(lambda: bool(list(house.service.ledger.read(kind="outage"))), 60)
    now = state_of(house.service.floor)
    assert {k: v for k, v in now.items() if k != "time"} == {k: v for k, v in kept.items() if k != "time"}
    assert list(house.service.floor.standing.working) == ["before"]
    assert not [r for r in house.service.ledger.read() if r.ref.startswith("lost")]
    (outage,) = house.service.ledger.read(kind="outage")
    refused = msgspec.json.decode(outage.body)["refused"]
    assert refused, "what was refused is counted"
    assert house.check(id="after", quantity=10)["outcome"] == "approve"
    assert house.post("/v1/prices", told)["status"] == "taken"


def test_a_key_whose_record_was_lost_may_be_used_again(house):
    async def ask(key):
        import httpx

        headers = {"authorization": f"Bearer {house.key('admin')}", "idempotency-key": key}
        transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://house", headers=headers) as client:
            return await client.post("/v1/orders/check", json=order(id="again"))

    with Outage(house):
        assert house.run(ask("k")).status_code == 503
    house.until(lambda: not house.service.journal.down, 60)
    answer = house.run(ask("k"))
    assert (answer.status_code, answer.json()["outcome"]) == (200, "approve")
    assert house.run(ask("k")).content == answer.content
    assert len(list(house.service.ledger.read(ref="again"))) == 1


def test_a_step_that_breaks_off_leaves_the_floor_of_the_ledger(house, monkeypatch):
    kept = state_of(house.service.floor)
    floor = house.service.floor

    def half(body):
        floor.limits.history.append("half")
        raise ZeroDivisionError

    monkeypatch.setitem(floor._steps, "limit", half)
    body = {"id": "w", "kind": "position-weight", "values": {"2026-01-01": "5%"}}
    assert house.call("POST", "/v1/limits", body, by="risk_officer/ann").status_code == 500
    assert house.service.floor is not floor
    now = state_of(house.service.floor)
    assert {k: v for k, v in now.items() if k != "time"} == {k: v for k, v in kept.items() if k != "time"}


def rings(kinds: list[str], more: bool, turns: int = 3) -> int:
    """How often the writer was woken for records of these kinds, one handed in each turn of the loop."""

    async def run() -> int:
        paper = Paper()
        journal = Journal(paper, lambda: datetime.now(UTC))
        journal.start()
        journal.more = lambda: more
        for kind in kinds:
            journal.hand(kind, "r", "A", b"{}", lambda record, problem: None)
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        return paper.rings

    return asyncio.run(run())


@pytest.mark.parametrize("count", [1, 2, RING_MAX - 1])
def test_the_writer_sleeps_while_more_decisions_are_about_to_come(count):
    assert rings(["decision"] * count, more=True) == 0
    assert rings(["decision"] * count, more=False) == count


def test_it_is_woken_for_so_many_at_the_latest():
    assert rings(["decision"] * RING_MAX, more=True) == 1
    assert rings(["decision"] * (2 * RING_MAX), more=True) == 2


@pytest.mark.parametrize("kind", ["trading-state", "events", "limit", "override"])
def test_it_is_woken_at_once_for_anything_else(kind):
    assert rings([kind], more=True) == 1
    assert rings(["decision", kind], more=True) == 1
