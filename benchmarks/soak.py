"""A long run: does memory grow, do the slow ones get slower?

`python -m benchmarks.soak [--decisions 1000000] [--seconds 600] [--reserve] [--store]`. One worker with the durable
ledger, the thirty rules and 1,000 accounts of `benchmarks.http`; wrk sends orders on 32 connections in tenths of the
run, each of which tells its latencies, while the memory of the process (RSS) is read after each. With `--reserve` what
is approved works, and after each tenth the feed of working orders is sent whole and empty, as an OMS would whose orders
are done. It ends after so many decisions or so many seconds, whichever comes first, and stores how many there were
(counted by the service itself). Writes results/soak.json when told `--store`, each variant beside the other.

A machine drifts too: after each tenth the bare FastAPI route of `benchmarks.http`, which keeps nothing, gets the same
load for some seconds. `drift` is the trend over the run (Theil and Sen: the median of the slopes of all pairs of
tenths, over the whole run, in percent of the median), which one odd tenth cannot make or hide; that of the bare route
stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx

from benchmarks import desk as world
from benchmarks.http import ACCOUNTS, BARE, CHECK, Target, running, thirty, wrk
from tests.faults.served import children_of, memory_of
from tests.ports import free_port

RESULT = Path(__file__).resolve().parent / "results" / "soak.json"
PARTS = 10
WARM_S, BARE_S = 5, 5


def decided(target: Target) -> int:
    """Decisions counted by the service."""
    text = httpx.get(f"{target.address}/metrics", headers=head(target), timeout=60).text
    found = re.findall(r"^lexorder_decisions_total\{[^}]*\} ([\d.e+]+)$", text, re.MULTILINE)
    return round(sum(float(number) for number in found))


def head(target: Target) -> dict[str, str]:
    """What a caller sends."""
    return {"authorization": f"Bearer {target.key}"}


def emptied(target: Target, number: int) -> None:
    """No order is working any more, says the feed."""
    told = {"event_id": f"soak-{number}", "whole": True, "items": []}
    answer = httpx.post(f"{target.address}/v1/working-orders", json=told, headers=head(target), timeout=300)
    assert answer.status_code == 200, answer.text


def trend(values: Sequence[float]) -> float:
    """How much values rise from the first to the last, in percent of their median, by the slopes of all pairs."""
    slopes = [(b - a) / (m - n) for (n, a), (m, b) in combinations(enumerate(values), 2)]
    return round(100 * statistics.median(slopes) * (len(values) - 1) / statistics.median(values), 1)


def soaked(
    target: Target, bare: Target, process: int, *, decisions: int, seconds: float, reserve: bool
) -> dict[str, Any]:
    """Warm up, then the tenths, the bare route after each."""
    path = CHECK if reserve else f"{CHECK}?reserve=false"
    rate = 0
    while rate == 0:  # a busy machine may need a while for the first answers
        rate = wrk(target, path, WARM_S)["per_second"]
    if reserve:
        emptied(target, PARTS)
    part = max(1, round(min(seconds, decisions / rate) / PARTS))
    first, tenths = decided(target), []
    for number in range(PARTS):
        row = wrk(target, path, part)
        if reserve:
            emptied(target, number)
        tenths.append({**row, "rss_mb": round(memory_of(process) / 1e6, 1), "bare": wrk(bare, CHECK, BARE_S)})
    return {
        "decisions": decided(target) - first,
        "seconds": part * PARTS,
        "drift": {
            name: {
                "service": f"{trend([t[name] for t in tenths])}%",
                "bare": f"{trend([t['bare'][name] for t in tenths])}%",
            }
            for name in ("p50_ms", "p90_ms", "p99_ms")
        },
        "first_to_last": {
            "p99": f"{round(100 * (tenths[-1]['p99_ms'] / tenths[0]['p99_ms'] - 1), 1)}%",
            "rss_mb": round(tenths[-1]["rss_mb"] - tenths[0]["rss_mb"], 1),
        },
        "tenths": tenths,
    }


def main() -> int:
    """Run, print, store when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--reserve", action="store_true")
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    document, loads = world.document(ACCOUNTS), [round(n, 1) for n in os.getloadavg()]
    marks = tuple(row["mark"] for row in document["instruments"])
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        command = [sys.executable, "-c", "from lexorder.api.cli import main; main()", "serve", "--port", str(port)]
        command += ["--data-dir", str(folder / "data"), "--rules", str(thirty(folder))]
        door = free_port()
        plain = [sys.executable, "-c", BARE.replace("PORT", str(door))]
        with (
            running(command, port, {"LEXORDER_RATE_PER_KEY": "10000000"}, folder / "log") as address,
            running(plain, door, {}, folder / "bare") as beside,
        ):
            process = next(p for p in children_of(os.getpid()) if b"serve" in Path(f"/proc/{p}/cmdline").read_bytes())
            bare = Target(beside, "none", marks, folder)
            target = Target(address, (folder / "data" / "admin.key").read_text().strip(), marks, folder)
            loaded = httpx.post(f"{address}/v1/snapshot", json=document, headers=head(target), timeout=300)
            assert loaded.status_code == 200, loaded.text[:300]
            until = time.monotonic() + 120
            while not httpx.get(f"{address}/readyz", timeout=60).json().get("warm") and time.monotonic() < until:
                time.sleep(0.5)
            began = time.monotonic()
            found = soaked(
                target, bare, process, decisions=options.decisions, seconds=options.seconds, reserve=options.reserve
            )
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    found = {"command": " ".join(sys.argv[1:]), "machine": machine, "load_before": loads, **found}
    print(json.dumps(found, indent=1), f"{time.monotonic() - began:.0f} s")
    if options.store:
        stored = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        stored["approvals reserved" if options.reserve else "nothing reserved"] = found
        RESULT.write_text(json.dumps(stored, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
