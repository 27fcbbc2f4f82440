"""Two workers: an account has one of them, whichever door is asked; a halt has both; one that is gone says no."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import pytest
from websockets.sync.client import connect

from lexorder.api.client import Client, ServiceError, calls
from lexorder.api.service.hub import TOPICS
from lexorder.engine.ledger.ledger import Ledger
from tests.faults.forking import Forge
from tests.faults.served import PATIENCE_S, Served, body_of, children_of, furniture, until
from tests.running.conftest import PII_KEY
from tests.worlds import order, position

ACCOUNTS = [f"A{n}" for n in range(8)]
OWNER = {account: crc32(account.encode()) % 2 for account in [*ACCOUNTS, "A"]}
FIRST = {shard: next(a for a in ACCOUNTS if OWNER[a] == shard) for shard in (0, 1)}
"""An account of each worker."""

COUNT = iter(range(10**9))


class Pair(Served):
    """A service of two workers, each with a door of its own behind the public one."""

    def ready(self) -> bool:
        """Whether both say so."""
        with suppress(httpx.HTTPError):
            return all(httpx.get(f"{self.door(k)}/readyz", timeout=PATIENCE_S).status_code == 200 for k in (0, 1))
        return False

    def door(self, shard: int | None) -> str:
        """The address of a worker, or of whichever the kernel picks."""
        return self.address if shard is None else f"http://127.0.0.1:{self.port + 1 + shard}"

    def at(self, shard: int | None, method: str, path: str, body: Any = None, key: str = "") -> httpx.Response:
        """One request at a door, on a new connection."""
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx.request(method, self.door(shard) + path, json=body, headers=headers, timeout=PATIENCE_S)

    def decide(self, shard: int | None, **facts: Any) -> httpx.Response:
        """One order at a door, with an identifier of its own."""
        return self.at(shard, "POST", "/v1/orders/check", order(**{"id": f"p{next(COUNT)}", **facts}))

    def fresh(self) -> None:
        """Every account with nothing held and nothing ordered."""
        answer = self.at(None, "POST", "/v1/snapshot", furniture(len(ACCOUNTS)))
        assert answer.status_code == 200, answer.text

    def workers(self) -> list[int]:
        """The processes, in no order that means something."""
        assert self.process is not None
        return children_of(self.process.pid)

    def worker(self, shard: int) -> int:
        """The process of a worker."""
        named = f"LEXORDER_SHARD={shard}".encode()
        for pid in self.workers():
            if named in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return pid
        raise AssertionError(f"no worker {shard}")

    def ledger(self, shard: int) -> list[Any]:
        """The records of one worker."""
        ledger = Ledger.open(
            f"sqlite:///{self.data / ('ledger-1.sqlite' if shard else 'ledger.sqlite')}", shard, read_only=True
        )
        try:
            return list(ledger.read(0))
        finally:
            ledger.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, forge: Forge) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"), forge, workers=2, pii_key=PII_KEY)
    with made:
        made.fresh()
        yield made


@pytest.fixture(scope="module")
def risk(pair: Pair) -> str:
    """The key of a risk officer."""
    asked = {"role": "risk_officer", "name": "r", "owner": "rita"}
    made = str(pair.at(0, "POST", "/v1/keys", asked).json()["key"])
    until(lambda: pair.at(1, "GET", "/v1/shards", key=made).status_code == 200)
    return made


# ---- cumulative checks -------------------------------------------------------------------------------


def expected(held: Counter[tuple[str, str]], account: str, symbol: str, quantity: int) -> str:
    """What the small rule book says, in our words: 1,000 an order, 50% of 100,000 at 100, and 100 without asking."""
    if quantity > 1000 or held[account, symbol] + quantity > 500:
        return "reject"
    return "needs_override" if quantity > 100 else "approve"


@pytest.mark.parametrize("seed", range(3))
def test_random_orders_at_random_doors_end_as_with_one_worker(pair, seed):
    pair.fresh()
    chance, held = random.Random(seed), Counter[tuple[str, str]]()
    for _ in range(80):
        account, symbol = chance.choice(ACCOUNTS[:4]), chance.choice(["ACME", "BETA"])
        quantity = chance.choice([1, 99, 100, 100, 100, 101, 500, 501, 1000, 1001])
        answer = pair.decide(chance.choice([None, 0, 1]), account=account, symbol=symbol, quantity=quantity)
        assert answer.status_code == 200, answer.text
        assert answer.json()["outcome"] == expected(held, account, symbol, quantity)
        assert answer.json()["recorded"]["shard"] == OWNER[account]
        if answer.json()["outcome"] == "approve":
            held[account, symbol] += quantity
    rows = pair.at(chance.choice([0, 1]), "GET", "/v1/working-orders").json()["items"]
    sums = Counter[tuple[str, str]]()
    for row in rows:
        sums[row["account"], row["symbol"]] += int(row["quantity"])
    assert sums == held


def test_orders_that_race_at_both_doors_never_share_the_room_there_is_for_one(pair):
    pair.fresh()
    with ThreadPoolExecutor(6) as callers:
        doors = [(None, 0, 1)[n % 3] for n in range(24)]
        answers = list(callers.map(lambda door: pair.decide(door, account="A1", quantity=100).json(), doors))
    assert Counter(answer["outcome"] for answer in answers) == {"approve": 5, "reject": 19}


@pytest.mark.parametrize("door", [0, 1, None])
def test_a_batch_over_both_workers_is_answered_in_its_order(pair, door):
    pair.fresh()
    names = [account for n in range(12) for account in (ACCOUNTS[n % 4],)]
    rows = [order(quantity=100 + (n % 5 == 4), id=f"b{next(COUNT)}", account=a) for n, a in enumerate(names)]
    answer = pair.at(door, "POST", "/v1/orders/check-batch", {"mode": "cumulative", "orders": rows}).json()
    assert [d["orders"] for d in answer["decisions"]] == [[row["id"]] for row in rows]
    assert [d["account"] for d in answer["decisions"]] == names
    assert [d["outcome"] == "approve" for d in answer["decisions"]] == [row["quantity"] == "100" for row in rows]
    assert answer["approved"] == sum(row["quantity"] == "100" for row in rows)
    assert {place["shard"] for place in answer["recorded"]} == {OWNER[a] for a in names}


def test_accounts_of_one_beneficial_owner_share_a_worker(pair):
    document = furniture(len(ACCOUNTS))
    for account in document["accounts"]:
        account["beneficial_owner"] = "family"
    assert pair.at(0, "POST", "/v1/snapshot", document).status_code == 200
    shards = {pair.decide(None, account=account).json()["recorded"]["shard"] for account in ACCOUNTS}
    assert shards == {crc32(b"family") % 2}
    pair.fresh()


# ---- what everybody must know ------------------------------------------------------------------------


@pytest.mark.parametrize("door", [0, 1])
def test_a_firm_wide_halt_given_at_one_door_holds_at_both_at_once(pair, risk, door):
    pair.fresh()
    assert pair.at(door, "POST", "/v1/kill", {"reason": "a test"}).status_code == 200
    answers = [pair.decide(k, account=a).json() for a in ACCOUNTS for k in (0, 1)]
    lifted = pair.at(1 - door, "POST", "/v1/trading-state", {"scope": "firm", "state": "ACTIVE", "reason": "t"}, risk)
    assert {answer["outcome"] for answer in answers} == {"reject"}
    assert lifted.status_code == 200, lifted.text
    assert {pair.decide(k, account=a).json()["outcome"] for a in ACCOUNTS for k in (0, 1)} == {"approve"}


@pytest.mark.parametrize("door", [0, 1])
def test_feeds_told_at_one_door_are_known_at_both(pair, door):
    pair.fresh()
    held = [position("ACME", 450 + door, account) for account in ACCOUNTS]
    told = pair.at(door, "POST", "/v1/positions", {"event_id": f"h{next(COUNT)}", "items": held})
    assert told.json()["status"] == "taken"
    for account in ACCOUNTS:
        room = 50 - door
        over = pair.decide(1 - door, account=account, quantity=room + 1).json()
        assert (over["outcome"], over["largest_compliant"]["quantity"]) == ("reject", str(room))
        assert pair.decide(door, account=account, quantity=room).json()["outcome"] == "approve"


def test_a_gap_at_one_door_is_a_gap_at_both(pair):
    pair.fresh()
    for sequence, status in ((1, 200), (5, 409)):
        body = {"event_id": f"g{next(COUNT)}", "sequence": sequence, "items": []}
        assert pair.at(0, "POST", "/v1/positions", body).status_code == status
    assert {pair.decide(k, account=a).json()["outcome"] for a in ACCOUNTS for k in (0, 1)} == {"undecided"}
    pair.fresh()


def test_persons_told_at_one_door_are_known_at_both(pair, risk):
    for door in (0, 1):
        person = {"name": f"Ada {door}", "email": "ada@example.com"}
        assert pair.at(door, "PUT", "/v1/accounts/A1/person", person).status_code == 200
        for asked in (0, 1):
            assert pair.at(asked, "GET", "/v1/accounts/A1/person", key=risk).json()["name"] == person["name"]


def test_a_key_made_and_taken_back_at_one_door_counts_at_both(pair):
    made = pair.at(0, "POST", "/v1/keys", {"role": "analyst", "name": "n", "owner": "o"}).json()
    until(lambda: pair.at(1, "GET", "/v1/shards", key=made["key"]).status_code == 200)
    assert pair.at(1, "DELETE", f"/v1/keys/{made['id']}").status_code == 200
    until(lambda: pair.at(0, "GET", "/v1/shards", key=made["key"]).status_code == 401)
    assert pair.at(0, "GET", "/v1/shards", key=made["key"]).json()["code"] == "key-revoked"


def test_lists_of_all_workers_come_together(pair):
    pair.fresh()
    made = {pair.decide(None, account=a).json()["id"] for a in ACCOUNTS}
    for door in (0, 1):
        rows = pair.at(door, "GET", "/v1/decisions?newest_first=true&limit=1000").json()["items"]
        assert made <= {row["id"] for row in rows}
        for identifier in made:
            assert pair.at(door, "GET", f"/v1/decisions/{identifier}").json()["id"] == identifier
        only = pair.at(door, "GET", f"/v1/working-orders?account={FIRST[1]}").json()["items"]
        assert [row["account"] for row in only] == [FIRST[1]]
    assert pair.at(0, "GET", "/v1/decisions?shard=2").json()["code"] == "unknown-shard"


# ---- streams -----------------------------------------------------------------------------------------


def test_the_client_follows_each_worker_by_its_own_numbers(pair):
    pair.fresh()
    with Client(pair.address, pair.key, timeout_s=PATIENCE_S) as client:
        assert client.shards == {0: pair.door(0), 1: pair.door(1)}
        for account in ACCOUNTS * 2:
            client.check(order(id=f"p{next(COUNT)}", account=account))
        for shard in (0, 1):
            recorded = [(r.seq, r.account) for r in pair.ledger(shard) if r.kind in TOPICS["decisions"]]
            stream = client.stream(["decisions"], recorded[0][0], shard)
            heard = [next(stream) for _ in recorded]
            stream.close()  # type: ignore[attr-defined]
            assert [(m.seq, m.account) for m in heard] == recorded
            assert {m.shard for m in heard} == {shard}


@pytest.mark.parametrize(
    ("hello", "code"),
    [({"from": 3}, "shard-needed"), ({"from": 3, "shard": 0}, "misdirected"), ({"shard": 7}, "misdirected")],
)
def test_a_number_without_its_worker_is_no_place_to_go_on_from(pair, hello, code):
    address = f"ws{pair.door(1).removeprefix('http')}/v1/stream"
    with connect(address, additional_headers={"Authorization": f"Bearer {pair.key}"}) as stream:
        stream.send(json.dumps(hello))
        assert json.loads(stream.recv(timeout=PATIENCE_S))["code"] == code


# ---- rebalances at the wrong door --------------------------------------------------------------------


def begun(pair: Pair, door: int, count: int) -> list[str]:
    """Rebalances of an account of the other worker, asked for at this door, none of them waited for."""
    asked = {"account": FIRST[1 - door], "trader": "T", "wait": False}
    answers = [pair.at(door, "POST", "/v1/rebalances", asked) for _ in range(count)]
    assert {answer.status_code for answer in answers} == {202}
    return [str(answer.json()["id"]) for answer in answers]


@pytest.mark.parametrize("door", [0, 1])
def test_events_of_a_rebalance_come_one_by_one_through_either_door(pair, door):
    """The last of five is heard of before it has ended: an answer that was held back would come whole."""
    pair.fresh()
    last = begun(pair, door, 5)[-1]
    headers = {"authorization": f"Bearer {pair.key}"}
    with httpx.stream(
        "GET", f"{pair.door(door)}/v1/rebalances/{last}/events", headers=headers, timeout=PATIENCE_S
    ) as told:
        assert (told.status_code, told.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        state = pair.at(door, "GET", f"/v1/rebalances/{last}").json()["status"]
        heard = "".join(told.iter_text())
    assert state == "running", "the answer began before the rebalance ended"
    assert heard.count("event: result") == 1
    direct = pair.at(1 - door, "GET", f"/v1/rebalances/{last}/events").text
    assert [line for line in heard.split("\n") if line.startswith(("event", "data"))] == [
        line for line in direct.split("\n") if line.startswith(("event", "data"))
    ]


@pytest.mark.parametrize("door", [0, 1])
def test_events_of_what_nobody_knows_are_refused_at_either_door(pair, door):
    answer = pair.at(door, "GET", "/v1/rebalances/r-0000/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown-rebalance")


@pytest.mark.parametrize("door", [0, 1])
def test_a_rebalance_is_taken_back_through_either_door(pair, door):
    pair.fresh()
    last = begun(pair, door, 5)[-1]
    assert pair.at(door, "DELETE", f"/v1/rebalances/{last}").json()["status"] == "cancelled"
    assert {pair.at(k, "GET", f"/v1/rebalances/{last}").json()["status"] for k in (0, 1)} == {"cancelled"}
    assert [r.ref for r in pair.ledger(1 - door) if r.ref == last] == [last]
    assert [r.ref for r in pair.ledger(door) if r.ref == last] == []


# ---- a worker that is gone ---------------------------------------------------------------------------


@contextmanager
def without(pair: Pair, shard: int) -> Iterator[None]:
    """One worker is killed, and its supervisor stands still, so that it is not started anew before the end."""
    assert pair.process is not None
    os.kill(pair.process.pid, signal.SIGSTOP)
    try:
        os.kill(pair.worker(shard), signal.SIGKILL)
        yield
    finally:
        os.kill(pair.process.pid, signal.SIGCONT)
        until(pair.ready)


@pytest.mark.parametrize("gone", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_the_accounts_of_a_killed_worker_are_answered_503_and_those_of_the_other_go_on(pair, risk, gone):
    pair.fresh()
    here, lost = FIRST[1 - gone], FIRST[gone]
    assert {pair.decide(1 - gone, account=a, quantity=100).json()["outcome"] for a in (here, lost)} == {"approve"}
    with without(pair, gone):
        for _ in range(3):
            answer = pair.decide(1 - gone, account=lost)
            assert (answer.status_code, answer.json()["code"]) == (503, "shard-unavailable")
            assert pair.decide(1 - gone, account=here).json()["outcome"] == "approve"
        rows = [order(id=f"p{next(COUNT)}", account=a) for a in (here, lost)]
        answer = pair.at(1 - gone, "POST", "/v1/orders/check-batch", {"mode": "independent", "orders": rows})
        assert answer.status_code == 503
        assert "decisions" not in answer.json()
        for path in ("/v1/working-orders", "/v1/decisions", "/v1/breaches"):
            assert pair.at(1 - gone, "GET", path).status_code == 503, "half an answer would look like a whole one"
        halted = pair.at(1 - gone, "POST", "/v1/kill", {"scope": "account", "id": lost, "reason": "while it is away"})
        assert halted.status_code == 503, "not every worker was told"
        with Client(pair.door(1 - gone), pair.key, direct=False) as client, pytest.raises(ServiceError) as refused:
            client.send(calls.check_order(order(account=lost), reserve=False))
        assert refused.value.code == "shard-unavailable"
    held = [row for row in pair.at(None, "GET", "/v1/working-orders").json()["items"] if row["account"] == lost]
    assert [row["quantity"] for row in held] == ["100"], "what was approved before is still working"
    assert pair.decide(gone, account=lost).json()["outcome"] == "reject", "it halted before it answered anybody"
    state = {"scope": "account", "id": lost, "state": "ACTIVE", "reason": "it is back"}
    assert pair.at(None, "POST", "/v1/trading-state", state, risk).status_code == 200
    assert pair.decide(gone, account=lost).json()["outcome"] == "approve"


@pytest.mark.slow
def test_no_order_is_decided_twice_or_over_its_limit_while_a_worker_is_killed(pair):
    """Callers repeat with their keys through the kill: at most 500 shares, and one decision for each key."""
    pair.fresh()
    told: dict[str, dict[str, Any]] = {}
    lost = FIRST[1]
    start = threading.Barrier(5)

    def send(number: int) -> None:
        start.wait(PATIENCE_S)
        for n in range(6):
            name = f"k{number}-{n}-{next(COUNT)}"
            headers = {"authorization": f"Bearer {pair.key}", "idempotency-key": name}
            row = order(id=name, account=lost, quantity=50)

            def asked(row: dict[str, Any] = row, headers: dict[str, str] = headers) -> dict[str, Any] | None:
                with suppress(httpx.HTTPError):
                    address = pair.door(0) + "/v1/orders/check"
                    answer = httpx.post(address, json=row, headers=headers, timeout=PATIENCE_S)
                    if answer.status_code == 200:
                        return dict(answer.json())
                return None

            told[name] = until(asked)

    callers = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for caller in callers:
        caller.start()
    start.wait(PATIENCE_S)
    os.kill(pair.worker(1), signal.SIGKILL)
    for caller in callers:
        caller.join(PATIENCE_S)
    until(pair.ready)
    recorded = {r.ref: body_of(r) for r in pair.ledger(1) if r.kind == "decision" and r.ref in told}
    assert len(told) == 24
    assert {name: d["hash"] for name, d in told.items()} == {n: b["decision"]["hash"] for n, b in recorded.items()}
    assert Counter(d["outcome"] for d in told.values()) == {"approve": 10, "reject": 14}
