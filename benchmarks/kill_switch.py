"""The kill switch under load: how long its call takes, and whether anything is approved after its answer.

`python -m benchmarks.kill_switch [--cycles 200] [--store]`. One worker with the durable ledger, the thirty rules and
1,000 accounts of `benchmarks.http`; 32 connections check orders without a pause from a process of their own (threads
of one interpreter, so they send what that can); trading is switched off and on by another connection. The call is timed
where it is made, on a connection that is open. Writes results/kill-switch.json when told `--store`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks import desk as world
from benchmarks.http import ACCOUNTS, running, thirty
from lexorder.engine.ledger.ledger import Ledger
from tests.faults.switching import Caller, Seen, Switched, approved_in_a_halt, ask, switch
from tests.ports import free_port

RESULT = Path(__file__).resolve().parent / "results" / "kill-switch.json"
CONNECTIONS = 32


def orders(marks: list[str]) -> list[dict[str, Any]]:
    """One order for each connection, each of another account."""
    plain = {"side": "buy", "quantity": "1", "ord_type": "limit"}
    return [
        {**plain, "id": f"K{n}", "account": f"A{n}", "symbol": f"N{n:03d}", "price": marks[n], "trader": "T1"}
        for n in range(CONNECTIONS)
    ]


def load(port: int, key: str, wanted: list[dict[str, Any]]) -> None:
    """The other process: check until a line arrives, then tell when approvals were asked for."""
    ended, seen = threading.Event(), [Seen() for _ in wanted]
    threads = [
        threading.Thread(target=ask, args=(Caller(port, key), order, mine, ended))
        for order, mine in zip(wanted, seen, strict=True)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.readline()
    ended.set()
    for thread in threads:
        thread.join()
    print(json.dumps([vars(mine) for mine in seen]))


def measured(port: int, key: str, wanted: list[dict[str, Any]], cycles: int) -> dict[str, Any]:
    """Switch under load and compare."""
    command = [sys.executable, "-m", "benchmarks.kill_switch", "--load", json.dumps([port, key, wanted])]
    began = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as loading:
        time.sleep(3)  # until it has imported what it needs, and the service has compiled what it was asked
        with contextlib.closing(Caller(port, key)) as caller:
            switched = switch(caller, cycles, 0.1)
        said, _ = loading.communicate("\n", timeout=120)
    return summary(switched, [seen_of(mine) for mine in json.loads(said)], time.monotonic() - began)


def seen_of(told: dict[str, Any]) -> Seen:
    """What a caller of the other process saw."""
    return Seen([(sent, came) for sent, came in told["approvals"]], told["refused"], told["other"])


def summary(switched: list[Switched], seen: list[Seen], seconds: float) -> dict[str, Any]:
    """The figures that are stored."""
    taken = sorted(one.ms for one in switched)
    approvals = [times for mine in seen for times in mine.approvals]
    refused = sum(mine.refused for mine in seen)
    return {
        "cycles": len(switched),
        "connections": len(seen),
        "approved": len(approvals),
        "refused": refused,
        "other": sorted({problem for mine in seen for problem in mine.other}),
        "checks_per_second": round((len(approvals) + refused) / seconds),
        "approved_after_the_switch": sum(one.wrong(approvals) for one in switched),
        "p50_ms": round(taken[len(taken) // 2], 3),
        "p99_ms": round(taken[len(taken) * 99 // 100], 3),
        "max_ms": round(taken[-1], 3),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "load_of_the_machine_before": [round(n, 1) for n in os.getloadavg()],
    }


def main() -> int:
    """Measure, print, store when asked; exit code 1 when anything was approved after the switch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(*json.loads(options.load))
        return 0
    document = world.document(ACCOUNTS)
    wanted = orders([row["mark"] for row in document["instruments"]])
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        command = [sys.executable, "-c", "from lexorder.api.cli import main; main()", "serve", "--port", str(port)]
        command += ["--data-dir", str(folder / "data"), "--rules", str(thirty(folder))]
        with running(command, port, {"LEXORDER_RATE_PER_KEY": "10000000"}, folder / "log") as address:
            key = (folder / "data" / "admin.key").read_text().strip()
            headers = {"authorization": f"Bearer {key}"}
            loaded = httpx.post(f"{address}/v1/snapshot", json=document, headers=headers, timeout=300)
            assert loaded.status_code == 200, loaded.text[:300]
            until = time.monotonic() + 120  # an account's first order is slow, and /readyz says when that is over
            while not httpx.get(f"{address}/readyz", timeout=60).json().get("warm") and time.monotonic() < until:
                time.sleep(0.5)
            found = measured(port, key, wanted, options.cycles)
        ledger = Ledger.open(f"sqlite:///{folder / 'data' / 'ledger.sqlite'}", read_only=True)
        wrong, decided = approved_in_a_halt(ledger.read())
        ledger.close()
    found |= {"recorded_in_a_halt": decided, "recorded_as_approved_in_a_halt": wrong}
    text = json.dumps({"command": f"python -m benchmarks.kill_switch --cycles {options.cycles}", **found}, indent=1)
    print(text)
    if options.store:
        RESULT.write_text(text + "\n")
    return 1 if found["approved_after_the_switch"] or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
