"""schemathesis against the running service: requests made from its own OpenAPI document.

`python -m tests.faults.fuzzing [--examples 50] [--paths REGEX] [--store]`. Only one check counts here: no answer may be
a server error (`not_a_server_error`; 503 is one, too). Beside it, how many orders the engine decided is read from
`/metrics` before and after a run of the order check alone.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.faults.served import Served

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
CHECK = "^/v1/orders/check$"


def decided(service: Served) -> int:
    """Decisions counted by the service."""
    text = service.call("GET", "/metrics").text
    found = re.findall(r"^lexorder_decisions_total\{[^}]*\} ([\d.e+]+)$", text, re.MULTILINE)
    return round(sum(float(number) for number in found))


def run(service: Served, paths: str, examples: int, seed: int, timeout: float) -> dict[str, Any]:
    """One run: cases made, server errors, and what the tool said at its end."""
    before = decided(service)
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.address}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {service.key}", "--include-path-regex", paths, "--seed", str(seed)]
    command += ["--checks", "not_a_server_error", "--max-examples", str(examples), "--phases", "examples,fuzzing"]
    command += ["--generation-database", "none", "--no-color", "--mode", "positive"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout, cwd=service.folder)
    cases = re.search(r"(\d[\d,]*) generated", done.stdout)
    return {
        "paths": paths,
        "examples": examples,
        "seed": seed,
        "exit": done.returncode,
        "cases": int(cases[1].replace(",", "")) if cases else 0,
        "decided": decided(service) - before,
        "said": done.stdout.replace(service.key, "KEY").splitlines()[-25:],
    }


def main() -> int:
    """Run and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=50)
    parser.add_argument("--paths", default=CHECK)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Served(Path(folder)) as service:
        service.furnish(2)
        found = run(service, options.paths, options.examples, 1, options.seconds)
    text = json.dumps({"command": " ".join(["python -m tests.faults.fuzzing", *sys.argv[1:]]), **found}, indent=1)
    print(text)
    if options.store:
        name = "schemathesis.json" if options.paths == CHECK else "schemathesis-all.json"
        (RESULTS / name).write_text(text + "\n")
    return int(found["exit"])


if __name__ == "__main__":
    sys.exit(main())
