"""Compare the evaluators on as many cases as asked for: `python -m tests.agreement --cases 10000000 --jobs 2`.

Writes what was compared to `benchmarks/results/agreement.json` and exits with 1 when anything differs. CI runs 50,000
cases; ten million take some hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.agreement import compare

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
SHARE = 20_000
"""Verdicts of one piece of work."""


def piece(seed: int, expert: bool = False) -> compare.Tally:
    """One piece of work, by its seed, with CLIPS as third evaluator when asked."""
    compare.quick_classes()
    if expert:
        from lexorder.engine.expert.book import ExpertBook

        compare.PLUGINS["clips"] = ExpertBook
    return compare.run(seed, SHARE, compare.MASS if seed % 5 else None)


def main(arguments: list[str]) -> int:
    """Run, report, store."""
    parser = argparse.ArgumentParser(prog="python -m tests.agreement", description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000, help="verdicts to compare")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--out", type=Path, default=RESULTS / "agreement.json", help="where the result goes")
    parser.add_argument("--expert", action="store_true", help="compare CLIPS too (slower)")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    total = compare.Tally()
    seeds = range(asked.seed, asked.seed + -(-asked.cases // SHARE))
    with ProcessPoolExecutor(asked.jobs) as pool:
        for done, tally in enumerate(pool.map(partial(piece, expert=asked.expert), seeds), 1):
            total.add(tally)
            print(f"\r{total.verdicts:,} verdicts, {len(total.differences)} differences ({done}/{len(seeds)})", end="")
    print()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(report(total, asked, time.monotonic() - began), indent=2) + "\n")
    for difference in total.differences[:10]:
        print(difference)
    return 1 if total.differences else 0


def report(total: compare.Tally, asked: argparse.Namespace, seconds: float) -> dict[str, object]:
    """What is stored."""
    return {
        "evaluators": ["reference", "compiled", *(["clips"] if asked.expert else [])],
        "first_seed": asked.seed,
        "verdicts": total.verdicts,
        "orders": total.orders,
        "orders_on_a_limit_or_one_unit_to_a_side": total.near,
        "verdicts_exactly_on_a_limit": total.exactly,
        "undecided_by_size": total.undecided_by_size,
        "statuses": dict(sorted(total.statuses.items())),
        "differences": total.differences[:100],
        "seconds": round(seconds),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
