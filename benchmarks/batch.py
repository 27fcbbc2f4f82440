"""Orders a second for batches of independent orders: from JSON bytes to JSON bytes, and by the engine alone.

`python -m benchmarks.batch [--accounts 1000] [--orders 10000] [--rounds 5] [--store]`. The world is that of
`benchmarks.desk`: accounts of 100 holdings, 30 ordinary rules, random accounts and names. Two batches are timed, one in
which every order passes and one in which seven of ten do (the others are decided on the single path, with evidence);
beside them, in the same run, the same orders one by one. A batch after a second's worth of events shows what keeping
the columns up to date costs. Every answer of one batch is compared with the single path first.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import desk as world
from lexorder.api.service.wire import decision_bytes
from lexorder.engine.approved import Approved
from lexorder.engine.desk import Desk, shipped_vocabulary
from lexorder.engine.events import InstrumentChanged, SingleChanged, WorkingAdded
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.vector import VectorBook

HERE = Path(__file__).resolve().parent


class Order(msgspec.Struct, gc=False):
    """An order as the wire has it: amounts are decimal text."""

    id: str
    account: str
    symbol: str
    side: str
    quantity: str
    ord_type: str = "limit"
    price: str | None = None
    trader: str | None = None
    has_locate: bool = False


class Body(msgspec.Struct):
    """A request."""

    orders: list[Order]


NAMES = tuple(Order.__struct_fields__)
DECODER = msgspec.json.Decoder(Body)


def columns(orders: Sequence[Order]) -> dict[str, list[Any]]:
    """The orders' facts by name."""
    return {name: [getattr(order, name) for order in orders] for name in NAMES}


def served(vector: VectorBook, body: bytes) -> bytes:
    """JSON in, JSON out, as the service does it: each decision in full, with its hash."""
    given = columns(DECODER.decode(body).orders)
    answers: list[bytes] = [b""] * len(given["id"])
    for cleared in vector.cleared(given):
        for place, answer in zip(cleared.places, cleared.encoded(), strict=True):
            answers[place] = answer
    for place in [n for n, answer in enumerate(answers) if not answer]:
        decision = vector.single(given, place)
        assert not isinstance(decision, Exception), decision
        answers[place] = decision_bytes(decision)
    return b"".join((b'{"decisions":[', b",".join(answers), b"]}"))


class Orders:
    """Random orders; `share` is their size in hundreds of thousands of money."""

    def __init__(self, desk: Desk, seed: int = 3) -> None:
        self.desk = desk
        self.draw = random.Random(seed)
        self.held = {a: tuple(p) for a, p in desk.tables.positions.items()}
        self.accounts, self.symbols = tuple(self.held), tuple(desk.instruments)
        self.number = 0

    def one(self, share: float) -> Order:
        """One order, three in four of them in a name the account holds."""
        draw, self.number = self.draw, self.number + 1
        account = draw.choice(self.accounts)
        symbol = draw.choice(self.held[account] if draw.random() < 0.75 else self.symbols)
        mark: Any = self.desk.instruments[symbol]["instrument.mark"]
        quantity = max(1, int(100_000 * share / mark))
        return Order(
            id=f"O-{self.number}",
            account=account,
            symbol=symbol,
            side=draw.choice(("buy", "buy", "sell")),
            quantity=str(quantity),
            price=world.money(int(mark * 100)),
            trader=f"T{draw.randrange(world.TRADERS)}",
            has_locate=True,
        )

    def passing(self, vector: VectorBook, count: int, passes: bool) -> list[Order]:
        """This many orders that pass, or that do not."""
        found: list[Order] = []
        while len(found) < count:
            asked = [self.one(0.02 if passes else 40.0) for _ in range(min(1_000, count))]
            answers = vector.decide_columns(columns(asked))
            found += [o for o, a in zip(asked, answers, strict=True) if isinstance(a, Approved) == passes]
        return found[:count]


def plain(order: Order) -> Mapping[str, Any]:
    """An order as `load_order` takes it."""
    return {n: v for n in NAMES if (v := getattr(order, n)) is not None}


def check(desk: Desk, vector: VectorBook, orders: Sequence[Order]) -> int:
    """Compare every answer with the single path; how many were approved in bulk. Exits when one differs."""
    answers = vector.decide_columns(columns(orders))
    for order, answer in zip(orders, answers, strict=True):
        expected = desk.check(plain(order))
        if isinstance(answer, Exception) or answer.to_json() != expected.to_json():
            sys.exit(f"the batch and the single path differ on {order}")
    return sum(isinstance(a, Approved) for a in answers)


def rates(call: Callable[[], object], count: int, rounds: int) -> dict[str, float]:
    """Orders a second: the median of some rounds, the best of them, and the median by processor time."""
    walls, used = [], []
    for _ in range(rounds):
        wall, processor = time.perf_counter(), time.process_time()
        call()
        walls.append(count / (time.perf_counter() - wall))
        used.append(count / (time.process_time() - processor))
    return {
        "per_s": round(statistics.median(walls)),
        "best_per_s": round(max(walls)),
        "per_cpu_s": round(statistics.median(used)),
    }


def a_second(desk: Desk, orders: Orders) -> None:
    """Events: fifty prices, fifty new working orders, the clock."""
    for symbol in orders.draw.sample(orders.symbols, 50):
        mark: Any = desk.instruments[symbol]["instrument.mark"]
        moved = mark + Fraction(orders.draw.choice((-1, 1)), 100)
        desk.apply(InstrumentChanged(symbol, {"instrument.mark": moved, "instrument.ask": moved}))
    for _ in range(50):
        facts = load_order(plain(orders.one(0.02)), desk.vocabulary)
        names = ("id", "account", "symbol", "side", "quantity", "price")
        desk.apply(WorkingAdded({f"working_order.{n}": facts[f"order.{n}"] for n in names}))
    moment = desk.time + timedelta(seconds=1)
    desk.apply(SingleChanged({"clock.now": moment, "clock.time": moment.time()}))


def main() -> int:
    """Measure, print, and store when asked to."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--accounts", type=int, default=1_000)
    options.add_argument("--orders", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--store", action="store_true")
    chosen = options.parse_args()
    desk = Desk(world.book(False), load_snapshot(world.document(chosen.accounts), shipped_vocabulary()))
    began = time.perf_counter()
    vector = VectorBook(desk)
    orders = Orders(desk)
    vector.decide_columns(columns([orders.one(0.02) for _ in range(1_000)]))
    result: dict[str, Any] = {
        "accounts": chosen.accounts,
        "orders": chosen.orders,
        "rules": len(desk.rules_of("A0")),
        "columns_built_s": round(time.perf_counter() - began, 2),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rates": {},
    }
    result["compared"], result["of_these_in_bulk"] = 500, check(desk, vector, [orders.one(0.02) for _ in range(500)])
    print(json.dumps({k: v for k, v in result.items() if k != "rates"}), flush=True)
    measure(desk, vector, orders, chosen, result["rates"])
    result["load_average"] = os.getloadavg()[0]
    if chosen.store:
        store(result)
    return 0


def measure(desk: Desk, vector: VectorBook, orders: Orders, chosen: argparse.Namespace, found: dict[str, Any]) -> None:
    """All rates."""
    count, rounds = chosen.orders, chosen.rounds
    passing = orders.passing(vector, count, True)
    mixed = passing[: count * 7 // 10] + orders.passing(vector, count - count * 7 // 10, False)
    orders.draw.shuffle(mixed)
    bodies = {name: msgspec.json.encode(Body(batch)) for name, batch in (("all pass", passing), ("70% pass", mixed))}
    typed = [load_order(plain(o), desk.vocabulary) for o in passing[:500]]
    gc.collect()
    gc.freeze()  # as a service does once it has started

    def show(name: str, call: Callable[[], object], size: int = count, turns: int = rounds) -> None:
        found[name] = rates(call, size, turns)
        print(f"{name:55} {found[name]}", flush=True)

    def after_events() -> None:
        a_second(desk, orders)
        served(vector, bodies["all pass"])

    given = columns(passing)
    show("all pass, engine alone (columns to what is cleared)", lambda: vector.cleared(given))
    show("all pass, JSON to JSON", lambda: served(vector, bodies["all pass"]))
    show("all pass, JSON to JSON, after a second's events", after_events)
    show("one by one: typed facts to decision", lambda: [desk.check(o) for o in typed], len(typed), 3)
    show("one by one: JSON to JSON", lambda: [one(desk, o) for o in passing[:500]], 500, 3)
    show("70% pass, JSON to JSON", lambda: served(vector, bodies["70% pass"]), turns=1)


def one(desk: Desk, order: Order) -> bytes:
    """The single path from JSON to JSON."""
    body = msgspec.json.encode(order)
    return msgspec.json.encode(desk.check(plain(msgspec.json.decode(body, type=Order))).to_json())


def store(result: dict[str, Any]) -> None:
    """Keep the figures with the machine they were taken on."""
    machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    kept = json.dumps({**result, "on": machine}, indent=2, ensure_ascii=False)
    (HERE / "results" / "batch.json").write_text(kept + "\n")
    head = (
        f"{result['orders']} orders, {result['accounts']} accounts × {world.HELD} holdings, {result['rules']} rules;"
        f" Python {machine['python']}, {machine['machine']}; load average {result['load_average']:.1f} on two cores"
    )
    lines = [
        "# Batches of independent orders",
        "",
        head,
        "",
        "| way | orders/s, median | best round | per second of processor time |",
        "|---|--:|--:|--:|",
        *(
            f"| {name} | {r['per_s']:,} | {r['best_per_s']:,} | {r['per_cpu_s']:,} |"
            for name, r in result["rates"].items()
        ),
    ]
    (HERE / "results" / "batch.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
