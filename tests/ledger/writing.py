"""A process that writes to a ledger until it is stopped: `python -m tests.ledger.writing URL ACKS [options]`.

Each record that was called durable is written to the file ACKS at once, as `seq hash` between two line feeds: what
stands there whole was acknowledged. (A kill can cut even a short write, where it crosses a page of the file; the line
feed in front keeps the next writer's line apart from the half one.) It keeps a few records in flight, as a service
does, and goes on after a failure.
"""

from __future__ import annotations

import argparse
import os
import random
import time

from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Done, Ledger, Record
from tests.ledger.entries import AT

IN_FLIGHT = 24


class Acks:
    """The file of acknowledgements; one `write` for each, straight to the kernel."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def about(self, holder: list[Record]) -> Done:
        """What to call when the record in `holder` is durable."""

        def done(error: BaseException | None) -> None:
            while not holder:  # the writer was faster than `append`
                time.sleep(0)
            if error is None:
                os.write(self._descriptor, f"\n{holder[0].seq} {holder[0].hash.hex()}\n".encode())

        return done


def write(url: str, acks: Acks, durability: str, *, records: int, seed: int, failures: int) -> None:
    """Append until `records` are durable or it failed `failures` times, recovering where it can."""
    rng = random.Random(seed)
    ledger = Ledger.open(url, durability=durability)
    end = ledger.size + records
    failed = 0
    while ledger.committed < end and failed < failures:
        try:
            if ledger.failed is not None:
                ledger.recover()
            append(ledger, acks, rng)
            ledger.wait(max(0, ledger.size - rng.randint(1, IN_FLIGHT)), 60)
        except LedgerError:
            failed += 1
    ledger.close()


def append(ledger: Ledger, acks: Acks, rng: random.Random) -> None:
    """A handful of records, of all sizes, without waiting for them."""
    for _ in range(rng.randint(1, 8)):
        holder: list[Record] = []
        body = rng.randbytes(rng.choice((20, 300, 300, 300, 3000)))
        holder.append(ledger.append("decision", f"{os.getpid()}-{ledger.size}", "A", body, AT, acks.about(holder)))


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("acks")
    parser.add_argument("--durability", default="full")
    parser.add_argument("--records", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=int, default=10**9)
    options = parser.parse_args()
    acks = Acks(options.acks)
    write(options.url, acks, options.durability, records=options.records, seed=options.seed, failures=options.failures)


if __name__ == "__main__":
    main()
