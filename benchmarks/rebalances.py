"""Generated rebalances, each checked in every fill state of every wave: how many break a rule anywhere?

Run `python -m benchmarks.rebalances --count 1000`; the result goes to `benchmarks/results/rebalances.json`. A case is a
seed: `tests/optimizers/generated.py` makes portfolio, limits and signals from it. Checked by `engine.judge` (all fill
states) and by `engine.evaluate` at random partial fills, neither of which knows rows, solver or certificate.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

from lexorder.engine.desk import fast
from lexorder.engine.errors import LexorderError
from lexorder.optimizers.outcome import Rebalanced
from lexorder.optimizers.rebalance import rebalance
from tests.optimizers.generated import request, violations

OUT = Path(__file__).parent / "results" / "rebalances.json"


def case(seed: int, low: int, high: int) -> dict[str, object]:
    """One rebalance: its outcome, what breaks, seconds."""
    random = Random(seed * 7919)
    names = round(low * (high / low) ** random.random())
    asked = replace(request(seed, names, working=seed % 3, lots=seed % 2 == 1), make=fast)
    start = time.perf_counter()
    try:
        result = rebalance(asked)
    except LexorderError as error:
        return {"seed": seed, "names": names, "outcome": error.code, "broken": [], "seconds": _since(start)}
    seconds = _since(start)
    if not isinstance(result, Rebalanced):
        return {"seed": seed, "names": names, "outcome": "infeasible", "broken": [], "seconds": seconds}
    broken = violations(asked, result, samples=2, seed=seed)
    found = {"waves": result.waves, "orders": len(result.orders), "left_out": len(result.left_out)}
    return {"seed": seed, "names": names, "outcome": "rebalanced", "broken": broken, "seconds": seconds, **found}


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 3)


def summary(cases: list[dict[str, object]]) -> dict[str, object]:
    """Counts over all cases."""
    return {
        "cases": len(cases),
        "outcomes": dict(Counter(str(c["outcome"]) for c in cases)),
        "cases with a violation": sum(bool(c["broken"]) for c in cases),
        "orders": sum(int(str(c.get("orders", 0))) for c in cases),
        "waves": dict(Counter(str(c.get("waves")) for c in cases if "waves" in c)),
        "seconds in all": round(sum(float(str(c["seconds"])) for c in cases), 1),
    }


def main() -> None:
    """Run and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--low", type=int, default=20)
    parser.add_argument("--high", type=int, default=200)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    cases: list[dict[str, object]] = []
    for seed in range(given.first, given.first + given.count):
        cases.append(case(seed, given.low, given.high))
        if len(cases) % 10 == 0 or len(cases) == given.count:
            odd = [c for c in cases if c["broken"] or c["outcome"] not in {"rebalanced", "infeasible"}]
            command = f"python -m benchmarks.rebalances --count {given.count}"
            document = {"command": command, **summary(cases), "odd": odd}
            given.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(summary(cases), indent=2))


if __name__ == "__main__":
    main()
