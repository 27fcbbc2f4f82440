"""Kills the whole service under load, over and over, and compares what it answered with what it holds.

`python -m tests.faults.killing --cycles 300 --out benchmarks/results/service-kills.json`. Four callers send orders,
each with an idempotency key; SIGKILL comes at a random moment, sometimes while the service still starts. After each
restart every caller repeats the request whose answer it never got, and one whose answer it has. Then: every decision
that was ever answered is in the ledger exactly once, at its number, as it was answered; no order was decided twice; the
working orders are the approvals of the ledger. One ledger for all cycles; at the end it is verified whole.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lexorder.engine.ledger import audit
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.record import Record
from tests.faults.forking import Forge
from tests.faults.served import PATIENCE_S, Served, body_of, until
from tests.worlds import order

CALLERS = 4
ACCOUNTS = 40
SYMBOLS = ("ACME", "BETA", "COCO")
RENEWED_EVERY = 25
"""Cycles between two snapshots, so that a start has few records to read."""

BROKEN = (OSError, http.client.HTTPException)


@dataclass
class Outcome:
    """What the kills showed. `unanswered`: requests the kill left open; `landed`: of these, decided all the same."""

    cycles: int = 0
    killed_while_starting: int = 0
    answered: int = 0
    approved: int = 0
    repeated: int = 0
    unanswered: int = 0
    landed: int = 0
    records: int = 0
    lost: int = 0
    duplicated: int = 0
    changed: int = 0
    repeats_that_differ: int = 0
    working_orders_that_differ: int = 0
    findings: int = 0

    @property
    def wrong(self) -> int:
        """Everything that must be zero."""
        faults = (self.lost, self.duplicated, self.changed, self.repeats_that_differ)
        return sum(faults) + self.working_orders_that_differ + self.findings


@dataclass
class Caller:
    """One client: what it was answered by order id, and the request that it does not know the end of."""

    name: str
    rng: random.Random
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    open: str = ""
    failures: list[str] = field(default_factory=list)

    def invent(self) -> str:
        """A new order."""
        rng, identifier = self.rng, f"{self.name}-{len(self.bodies)}"
        facts = {"account": f"A{rng.randrange(ACCOUNTS)}", "trader": "T", "id": identifier}
        made = order(rng.choice(("buy", "sell")), rng.choice((1, 5, 40, 100, 101, 1001)), rng.choice(SYMBOLS), **facts)
        self.bodies[identifier] = json.dumps(made).encode()
        return identifier

    def ask(self, service: Served, connection: http.client.HTTPConnection, identifier: str) -> dict[str, Any] | None:
        """The answer of an order, whether it is given for the first time or again; None when it was not decided.

        Raises what `BROKEN` names.
        """
        headers = {**service.headers, "idempotency-key": f"key-{identifier}"}
        connection.request("POST", "/v1/orders/check", self.bodies[identifier], headers)
        response = connection.getresponse()
        text = response.read()
        if response.status == 200:
            return dict(json.loads(text))
        if response.status != 503:
            self.failures.append(f"{response.status} {text[:200]!r}")
        return None

    def load(self, service: Served) -> None:
        """Orders until the service dies."""
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
        try:
            while True:
                self.open = self.invent()
                answer = self.ask(service, connection, self.open)
                if answer is not None:
                    self.answers[self.open] = answer
                    self.open = ""
        except BROKEN:
            return
        finally:
            connection.close()

    def settle(self, service: Served, outcome: Outcome) -> None:
        """After a restart: the open request again, and one that was answered."""
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
        if self.answers:
            chosen = self.rng.choice(list(self.answers))
            outcome.repeated += 1
            outcome.repeats_that_differ += self.ask(service, connection, chosen) != self.answers[chosen]
        if self.open:
            outcome.unanswered += 1
            answer = self.ask(service, connection, self.open)
            assert answer is not None, self.failures
            self.answers[self.open] = answer
            self.open = ""
        connection.close()


class Killing:
    """The cycles on one folder."""

    def __init__(self, folder: Path, seed: int, forge: Forge | None = None) -> None:
        self.rng = random.Random(seed)
        self.service = Served(folder, forge)
        self.callers = [Caller(f"C{n}", random.Random(seed * 100 + n)) for n in range(CALLERS)]
        self.held: dict[str, tuple[int, dict[str, Any]]] = {}
        self.working: dict[str, str] = {}
        self.size = 0
        self.outcome = Outcome()

    def run(self, cycles: int, seconds: float = float("inf")) -> Outcome:
        """So many cycles, or as many as begin within the time; then the whole ledger is verified."""
        end = time.monotonic() + seconds
        self.service.start()
        self.service.furnish(ACCOUNTS)
        while self.outcome.cycles < cycles and time.monotonic() < end:
            self.cycle()
        self.service.stop()
        self._last()
        return self.outcome

    def cycle(self) -> None:
        """Load, kill, restart, compare."""
        threads = [threading.Thread(target=caller.load, args=(self.service,)) for caller in self.callers]
        before = sum(len(caller.answers) for caller in self.callers)
        for thread in threads:
            thread.start()
        until(lambda: sum(len(caller.answers) for caller in self.callers) > before, pause=0.001)
        time.sleep(self.rng.random() * 0.4)
        self.service.kill()
        for thread in threads:
            thread.join(PATIENCE_S)
        if self.rng.random() < 0.1:
            self.service.begin()
            time.sleep(self.rng.random() * 0.5)
            self.service.kill()
            self.outcome.killed_while_starting += 1
        self.service.start()
        self.compare()
        self.outcome.cycles += 1
        if self.outcome.cycles % RENEWED_EVERY == 0:
            self.service.furnish(ACCOUNTS)

    def compare(self) -> None:
        """What every caller was answered against the ledger, before and after the open requests are repeated."""
        self.read()
        self.outcome.landed += sum(caller.open in self.held for caller in self.callers)
        self.outcome.working_orders_that_differ += self.service.working() != self.working
        for caller in self.callers:
            caller.settle(self.service, self.outcome)
        self.read()
        for caller in self.callers:
            compare_answers(caller.answers, self.held, self.outcome)
            assert not caller.failures, caller.failures
        self.outcome.working_orders_that_differ += self.service.working() != self.working

    def read(self) -> None:
        """Take in what is new in the ledger."""
        for record in self.service.records(self.size):
            assert record.seq == self.size
            self.size += 1
            self._take(record)
        self.outcome.records = self.size

    def _take(self, record: Record) -> None:
        if record.kind == "snapshot":
            self.working = {}
        if record.kind != "decision":
            return
        body = body_of(record)
        self.outcome.duplicated += record.ref in self.held
        self.held[record.ref] = record.seq, body["decision"]
        if body["reserved"]:
            self.working[record.ref] = body["order"]["quantity"]

    def _last(self) -> None:
        """The figures of the end, and the whole ledger verified."""
        answers = [answer for caller in self.callers for answer in caller.answers.values()]
        outcomes = Counter(answer["outcome"] for answer in answers)
        self.outcome.answered, self.outcome.approved = len(answers), outcomes["approve"]
        database = Database(self.service.url, read_only=True)
        self.outcome.findings = len(audit.audit(database, 0, [], None).findings)
        database.close()


def compare_answers(
    answers: dict[str, dict[str, Any]], held: dict[str, tuple[int, dict[str, Any]]], outcome: Outcome
) -> None:
    """Every answer is in the ledger, with the number and the decision it was given with."""
    for identifier, answer in answers.items():
        if identifier not in held:
            outcome.lost += 1
            continue
        seq, decision = held[identifier]
        told = {name: value for name, value in answer.items() if name not in ("id", "recorded")}
        place = {"id": f"0-{seq}", "recorded": {"shard": 0, "seq": seq}}
        outcome.changed += told != decision or {name: answer[name] for name in place} != place


def main() -> int:
    """Run as told, print and store the outcome; exit code 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no cycle after so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    forge = Forge()
    with tempfile.TemporaryDirectory() as folder:
        killing = Killing(Path(folder), options.seed, forge)
        try:
            outcome = killing.run(options.cycles, options.seconds)
        finally:
            killing.service.stop()
            forge.close()
    text = json.dumps({"command": " ".join(["python -m tests.faults.killing", *sys.argv[1:]]), **asdict(outcome)})
    text = json.dumps(json.loads(text), indent=2) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
