"""Requests a second over HTTP, the service beside a bare FastAPI route, in one run.

`python -m benchmarks.http [--seconds 10] [--store]`. Needs `wrk`. One worker, 1,000 accounts of 100 holdings, the
thirty rules of `benchmarks.desk`; each order names an account, an instrument and a trader at random, at the mark, so
that most are approved. Measured, each with 32 connections beside the server on the same machine: a FastAPI route with a
model that does nothing; checks without a ledger; checks with the durable ledger that leave nothing, and such that leave
what they approve working. Then a single caller, one request after the other, and the batch endpoint with 10,000
independent orders. Each account has been asked about once before (`warm` of /readyz). Writes results/http.json and .md
when told `--store`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks import desk as world
from lexorder.engine.desk import shipped_rules
from tests.ports import free_port

HERE = Path(__file__).resolve().parent
ACCOUNTS = 1_000
CHECK = "/v1/orders/check"
BARE = """
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

class Order(BaseModel):
    id: str
    account: str
    symbol: str
    side: str
    quantity: str
    ord_type: str
    price: str
    trader: str

app = FastAPI()

@app.post("/v1/orders/check")
async def check(order: Order) -> dict[str, str]:
    return {"outcome": "approve", "order": order.id}

@app.get("/readyz")
async def ready() -> dict[str, str]:
    return {}

uvicorn.run(app, port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="error")
"""
LUA = """
local n = 0
local marks = {MARKS}
local headers = {["Authorization"] = "Bearer KEY", ["Content-Type"] = "application/json"}
local shape = '{"id":"%d-%d","account":"A%d","symbol":"N%03d","side":"buy","quantity":"%d",'
  .. '"ord_type":"limit","price":"%s","trader":"T%d"}'
function init(args) math.randomseed(os.time()); salt = math.random(1, 1000000000) end
function request()
  n = n + 1
  local name = math.random(0, #marks - 1)
  local body = string.format(shape, salt, n, math.random(0, 999), name, math.random(1, 5), marks[name + 1],
    math.random(0, 19))
  return wrk.format("POST", "PATH", headers, body)
end
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A server to load: its address, a key for it, the marks of the instruments, where scripts go."""

    address: str
    key: str
    marks: tuple[str, ...]
    folder: Path


@contextlib.contextmanager
def running(command: list[str], port: int, environment: dict[str, str], log: Path) -> Iterator[str]:
    """A server until the block ends; its address."""
    with log.open("w") as sink:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=sink, stderr=sink)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                    break
            if process.poll() is not None:
                raise SystemExit(f"the server ended: {log.read_text()[-500:]}")
            time.sleep(0.25)
        yield address
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def thirty(folder: Path) -> Path:
    """The thirty rules as files."""
    out = folder / "rules"
    out.mkdir()
    for file in sorted(shipped_rules().rglob("*.yaml")):
        items = re.split(r"(?m)^(?=- rule: )", file.read_text(encoding="utf-8"))[1:]
        kept = [item for item in items if item.splitlines()[0].removeprefix("- rule: ").strip() in world.ORDINARY]
        if kept:
            (out / file.name).write_text("".join(kept), encoding="utf-8")
    return out


def wrk(target: Target, path: str, seconds: int) -> dict[str, Any]:
    """Requests a second and latencies, by wrk."""
    script = target.folder / "load.lua"
    marks = ",".join(f'"{mark}"' for mark in target.marks)
    script.write_text(LUA.replace("KEY", target.key).replace("PATH", path).replace("MARKS", marks))
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", "-s", str(script), target.address]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate, said
    found: dict[str, Any] = {"per_second": round(float(rate[1]))}
    for share in ("50", "90", "99"):
        at = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s)", said, re.MULTILINE)
        assert at, said
        found[f"p{share}_ms"] = round(float(at[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[at[2]], 3)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    found["not_2xx"] = int(failed[1]) if failed else 0
    return found


def alone(target: Target, count: int, path: str) -> dict[str, Any]:
    """A single caller, one request after the other, by the standard library's client."""
    import http.client
    import random

    draw, taken = random.Random(5), []
    connection = http.client.HTTPConnection(target.address.removeprefix("http://"), timeout=30)
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
    for n in range(count):
        body = json.dumps(_order(target, draw, f"s{n}"))
        began = time.perf_counter_ns()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        taken.append((time.perf_counter_ns() - began) / 1e6)
        assert answer.status == 200, answer.status
    taken = sorted(taken[count // 10 :])
    p50, p99 = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    return {"per_second": round(1000 * len(taken) / sum(taken)), "p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}


def _order(target: Target, draw: Any, identifier: str) -> dict[str, str]:
    name = draw.randrange(world.NAMES)
    return {
        "id": identifier,
        "account": f"A{draw.randrange(ACCOUNTS)}",
        "symbol": f"N{name:03d}",
        "side": "buy",
        "quantity": str(draw.randrange(1, 6)),
        "ord_type": "limit",
        "price": target.marks[name],
        "trader": f"T{draw.randrange(world.TRADERS)}",
    }


def batches(target: Target, rounds: int) -> dict[str, Any]:
    """Ten thousand independent orders in a request: the first time, and the median of the times after."""
    import random

    draw = random.Random(6)
    body = json.dumps(
        {"mode": "independent", "orders": [_order(target, draw, f"b{n}") for n in range(10_000)]}
    ).encode()
    headers = {"authorization": f"Bearer {target.key}", "content-type": "application/json"}
    taken, approved = [], 0
    with httpx.Client(base_url=target.address, headers=headers, timeout=300) as client:
        for _ in range(rounds + 1):
            began = time.perf_counter()
            answer = client.post("/v1/orders/check-batch", content=body)
            taken.append(time.perf_counter() - began)
            assert answer.status_code == 200, answer.text[:300]
            approved = answer.json()["approved"]
    later = sorted(taken[1:])
    return {
        "orders_per_second": round(10_000 / later[len(later) // 2]),
        "first_ms": round(taken[0] * 1000),
        "approved": approved,
    }


def main() -> int:
    """Measure, print, and store when asked."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--store", action="store_true")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 2
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rules = thirty(folder)
        port = free_port()
        bare = [sys.executable, "-c", BARE.replace("PORT", str(port))]
        document = world.document(ACCOUNTS)
        marks = tuple(row["mark"] for row in document["instruments"])
        with running(bare, port, {}, folder / "bare.log") as address:
            target = Target(address, "none", marks, folder)
            wrk(target, CHECK, 2)
            rows["bare FastAPI model route"] = wrk(target, CHECK, chosen.seconds)
        for ledger in ("off", "full"):
            port, data = free_port(), folder / f"data-{ledger}"
            command = [sys.executable, "-c", "from lexorder.api.cli import main; main()", "serve", "--port", str(port)]
            command += ["--data-dir", str(data), "--rules", str(rules), "--ledger", ledger]
            with running(command, port, {"LEXORDER_RATE_PER_KEY": "10000000"}, folder / f"{ledger}.log") as address:
                key = (data / "admin.key").read_text().strip()
                rows |= _service(Target(address, key, marks, folder), document, ledger, chosen.seconds)
    _report(rows, chosen.seconds, chosen.store)
    return 0


def _service(target: Target, document: dict[str, Any], ledger: str, seconds: int) -> dict[str, dict[str, Any]]:
    headers = {"authorization": f"Bearer {target.key}"}
    loaded = httpx.post(f"{target.address}/v1/snapshot", json=document, headers=headers, timeout=300)
    assert loaded.status_code == 200, loaded.text[:300]
    until = time.monotonic() + 120
    while not httpx.get(f"{target.address}/readyz", timeout=60).json().get("warm") and time.monotonic() < until:
        time.sleep(0.5)
    asking = f"{CHECK}?reserve=false"
    first = wrk(target, asking, seconds)
    if ledger == "off":
        return {"check, no ledger, first seconds": first, "check, no ledger": wrk(target, asking, seconds)}
    return {
        "check, durable, nothing reserved, first seconds": first,
        "check, durable, nothing reserved": wrk(target, asking, seconds),
        "single caller, durable": alone(target, 3000, asking),
        "batch of 10,000 independent, durable": batches(target, 5),
        "check, durable, approvals reserved": wrk(target, CHECK, seconds),
    }


def _report(rows: dict[str, dict[str, Any]], seconds: int, store: bool) -> None:
    bare = rows["bare FastAPI model route"]["per_second"]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    size = f"{ACCOUNTS} accounts of {world.HELD} holdings, {len(world.ORDINARY)} rules"
    lines = [
        f"One worker, wrk beside it (32 connections, {seconds} s each), {machine}; {size}.",
        "",
        "| what | per second | ratio to bare | p50 ms | p99 ms | not 2xx |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for what, row in rows.items():
        rate = row.get("per_second", row.get("orders_per_second", 0))
        cells = (rate, round(rate / bare, 2), row.get("p50_ms", ""), row.get("p99_ms", ""), row.get("not_2xx", ""))
        lines.append(f"| {what} | " + " | ".join(str(cell) for cell in cells) + " |")
    text = "\n".join(lines)
    print(text)
    if store:
        results = HERE / "results"
        (results / "http.md").write_text(
            "# The service over HTTP\n\n`python -m benchmarks.http --store`\n\n" + text + "\n"
        )
        (results / "http.json").write_text(json.dumps({"seconds": seconds, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
