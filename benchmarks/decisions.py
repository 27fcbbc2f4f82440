"""Microseconds per decision, lexorder beside its peers, in one run.

`python -m benchmarks.decisions [--orders 10000] [--rounds 5]`. Every engine judges the same orders under the same
twelve rules; first all must agree on each order, then rounds go A B C D, A B C D, … so that a drifting machine hits
all alike, and the median of the rounds is reported with its ratio to zen-engine. Writes results/decisions.json and .md.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import peers, world
from lexorder.engine.desk import Desk
from lexorder.engine.facts import load_order

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Measure, print and store. Exit code 1 when an engine disagrees on any order."""
    options = argparse.ArgumentParser()
    options.add_argument("--orders", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    stock = world.names()
    asked = world.orders(stock, chosen.orders)
    desk = Desk(HERE / "twelve.yaml", world.document(stock))
    facts = [load_order(world.order_document(o), desk.vocabulary) for o in asked]
    contexts = peers.contexts(stock, asked)
    runs: dict[str, tuple[Callable[[Any], bool], Sequence[Any]]] = {
        "lexorder (two evaluators, full Decision)": (lambda f: desk.check(f).approved, facts),
        "zen-engine": (peers.zen(), contexts),
        "cedarpy": (peers.cedar(), contexts),
        "plain integer Python": (peers.plain, contexts),
    }
    answers = {name: [judge(item) for item in items] for name, (judge, items) in runs.items()}
    expected = answers["plain integer Python"]
    for name, given in answers.items():
        wrong = [n for n, (a, b) in enumerate(zip(given, expected, strict=True)) if a != b]
        if wrong:
            print(f"{name} disagrees on {len(wrong)} orders, first {asked[wrong[0]]}", file=sys.stderr)
            return 1
    timed: dict[str, list[list[float]]] = {name: [] for name in runs}
    for _ in range(chosen.rounds):
        for name, (judge, items) in runs.items():
            timed[name].append(_microseconds(judge, items))
    report(timed, len(asked), sum(expected))
    return 0


def _microseconds(judge: Callable[[Any], bool], items: Sequence[Any]) -> list[float]:
    clock = time.perf_counter_ns
    taken = []
    for item in items:
        start = clock()
        judge(item)
        taken.append((clock() - start) / 1000)
    return taken


def report(timed: dict[str, list[list[float]]], count: int, approved: int) -> None:
    """Print the table and store it."""
    rows: list[dict[str, Any]] = []
    for name, rounds in timed.items():
        p50 = statistics.median(statistics.median(r) for r in rounds)
        p99 = statistics.median(sorted(r)[len(r) * 99 // 100] for r in rounds)
        mean = statistics.median(statistics.fmean(r) for r in rounds)
        rows.append({"engine": name, "p50_us": round(p50, 2), "p99_us": round(p99, 2), "mean_us": round(mean, 2)})
    zen = next(r["p50_us"] for r in rows if r["engine"] == "zen-engine")
    for row in rows:
        row["p50_to_zen"] = round(row["p50_us"] / zen, 3)
    count_of_rounds = len(next(iter(timed.values())))
    machine = f"Python {platform.python_version()}, {platform.machine()}"
    lines = [
        f"{count} orders, {approved} approved, 12 rules; median of {count_of_rounds} interleaved rounds; {machine}",
        "",
        "| engine | p50 µs | p99 µs | mean µs | p50 / zen-engine |",
        "|---|--:|--:|--:|--:|",
        *(f"| {r['engine']} | {r['p50_us']} | {r['p99_us']} | {r['mean_us']} | {r['p50_to_zen']} |" for r in rows),
    ]
    print("\n".join(lines))
    folder = HERE / "results"
    (folder / "decisions.md").write_text("# Decisions\n\n" + "\n".join(lines) + "\n")
    (folder / "decisions.json").write_text(
        json.dumps({"orders": count, "approved": approved, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
