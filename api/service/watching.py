"""Where the figures and the traces come from: what is asked of the parts of a service, and what they are asked to tell.

In: the parts of one service. Out: nothing; from here on its `Metrics` know how the ledger, the feeds, the stream and
the doors are, and each commit is timed. Guaranteed: nothing here can stop or change what is watched; what is cheaper to
ask for than to count is asked for when Prometheus comes. Refused: nothing. Why not counted where it happens: the ledger
belongs to `engine/`, which has no clock, and the guard does not know the routes behind it.
Before: `metrics.py`, `traces.py`. After: `service.py`, `app.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import Any, Protocol

from lexorder.api.service.feeds import Feeds
from lexorder.api.service.journal import Journal
from lexorder.api.service.metrics import OTHER, Metrics
from lexorder.api.service.open_breaches import OpenBreaches
from lexorder.api.service.traces import Traces
from lexorder.engine.errors import LexorderError
from lexorder.engine.ledger.ledger import Ledger

GONE = 499
"""What is counted when the caller went away before the answer; no answer has this status."""

Scope = MutableMapping[str, Any]
Observed = Callable[[Scope, int, int], None]


class Standing(Protocol):
    """What is asked of the floor."""

    @property
    def feeds(self) -> Feeds:
        """When each was heard."""
        ...

    @property
    def doubts(self) -> Mapping[str, str]:
        """Why each that may not be relied on may not."""
        ...


class Looking(Protocol):
    """What is asked of the monitor."""

    begun: int
    ended: int
    looks: int

    def status(self) -> dict[str, Any]:
        """How it is."""
        ...


class Breached(Protocol):
    """What is asked of the floor about breaches."""

    @property
    def breaches(self) -> OpenBreaches:
        """The open ones."""
        ...


class Reading(Protocol):
    """What is asked of a reader of the stream."""

    @property
    def waiting(self) -> Any:
        """A queue with `qsize`."""
        ...


def watch_ledger(metrics: Metrics, traces: Traces, journal: Journal, ledger: Ledger | None) -> None:
    """Count what the ledger takes and loses, and time its commits."""
    journal.failing = metrics.ledger_failure
    if ledger is None:
        return

    def asked(known: Metrics) -> None:
        # First what is durable: the other way round a commit in between would look like a negative lag.
        committed = ledger.committed
        known.ledger(ledger.size, committed, failed=bool(journal.down))

    def timed(records: int, write: Callable[[], None]) -> None:
        """One commit, in the writer's thread."""
        started, code = time.perf_counter_ns(), ""
        try:
            write()
        except LexorderError as error:
            code = error.code
            raise
        finally:
            taken = time.perf_counter_ns() - started
            metrics.commit(taken / 1e9)
            if traces.on:
                ended = time.time_ns()
                traces.commit(records, (ended - taken, ended), code)

    metrics.before_render(asked)
    ledger.around_commit = timed


def watch_feeds(metrics: Metrics, floor: Callable[[], Standing]) -> None:
    """Ask the floor, whichever there is then, when each feed was heard and which may not be relied on."""

    def asked(known: Metrics) -> None:
        standing = floor()
        for name, feed in standing.feeds.feeds.items():
            if feed.heard is not None:
                known.heard(name, feed.heard.timestamp())
        known.doubtful(standing.feeds.feeds, standing.doubts)

    metrics.before_render(asked)


def watch_stream(metrics: Metrics, readers: Collection[Reading]) -> None:
    """Ask how many follow the stream, and how far the slowest is behind."""

    def asked(known: Metrics) -> None:
        known.subscribers = len(readers)
        known.queue("stream", max((reader.waiting.qsize() for reader in list(readers)), default=0))

    metrics.before_render(asked)


def watch_monitor(metrics: Metrics, monitor: Looking, floor: Callable[[], Breached]) -> None:
    """Ask what is broken, and whether the monitor keeps up."""

    def asked(known: Metrics) -> None:
        status = monitor.status()
        known.breaches(floor().breaches.counts(), monitor.begun, monitor.ended)
        known.monitor(status["behind"], status["lag_s"], failed=status["state"] == "failed", looks=monitor.looks)

    metrics.before_render(asked)


def observer(metrics: Metrics, known: Collection[str]) -> Observed:
    """What the guard tells of each answered request; `known` are paths that are their own template."""

    def observed(scope: Scope, status: int, nanoseconds: int) -> None:
        route = getattr(scope.get("route"), "path", None)
        if route is None:
            path = scope["path"]
            route = path if path in known else OTHER
        metrics.request(route, status or GONE, nanoseconds / 1e9)

    return observed


def watch_heads(metrics: Metrics, problem: Callable[[], str]) -> None:
    """Ask whether signed heads reach their second place; `problem` is the code of why not, or empty."""

    def asked(known: Metrics) -> None:
        known.heads_failed = bool(problem())

    metrics.before_render(asked)


def watch_doors(metrics: Metrics, requests: Callable[[], int]) -> None:
    """Ask how many requests are not answered."""

    def asked(known: Metrics) -> None:
        known.in_flight = requests()

    metrics.before_render(asked)
