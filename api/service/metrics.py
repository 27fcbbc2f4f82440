"""What the service counts, and the page that Prometheus reads.

In: calls of the service, one for each thing that happens. Out: `Metrics.render`, the text of `/metrics`. Guaranteed:
counting never raises, never waits and costs about a microsecond for a decision (plain integers; Prometheus' own
objects are only made when the page is asked for); the number of series is bounded whatever names come in, because a
name beyond the bound is counted under `other`; a feed that never spoke is infinitely old, not absent. Refused: nothing.
Why nothing about accounts or traders is a label: they are many, and they are personal. Each worker has its own
`Metrics` and its own `shard` label; adding up is Prometheus' work. One thread calls, except that `commit` may come from
the ledger's writer thread, which nothing else shares. Before: `metric_families.py`. After: `app.py`.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib.metadata import version as installed
from itertools import chain

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.metrics_core import Metric

from lexorder.api.service.histogram import REBALANCE_BOUNDS, Histogram
from lexorder.api.service.metric_families import durations, numbers
from lexorder.engine.decision import Outcome
from lexorder.engine.reasons import BY_CODE

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
"""The Content-Type of `render`."""

SERIES_MAX = 2_000
"""Most combinations of outcome, reason and rule that are told apart; a busier rule book is counted under `other`."""

NAMES_MAX = 200
"""Most routes, feeds, queues, codes or scopes that are told apart, for each figure."""

OTHER = "other"

DISAGREEMENTS = frozenset({"EVALUATORS_DISAGREE", "VERDICT_MISSING"})
"""Leading reasons that mean that the evaluators differed. They lead all others, so they are never hidden."""

FAULTS = frozenset({"ENGINE_FAULT"})

Ages = dict[tuple[str, ...], float]

_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
_REASONS = frozenset({"", *BY_CODE})


class Metrics:
    """The counts of one worker. `feeds` are those that must speak: they are published before their first event."""

    def __init__(self, shard: int = 0, feeds: Iterable[str] = (), clock: Callable[[], float] = time.time) -> None:
        self.shard = str(shard)
        self.in_flight = 0
        self.rebalances_running = 0
        self.subscribers = 0
        self._clock = clock
        self._sources: list[Callable[[Metrics], None]] = []
        self._source_errors = 0
        self._decisions: dict[tuple[str, str, str], int] = {}
        self._check = Histogram()
        self._batch = Histogram()
        self._batch_orders = 0
        self._requests: dict[tuple[str, ...], int] = {}
        self._routes: dict[tuple[str, ...], Histogram] = {}
        self._queues: dict[tuple[str, ...], int] = {}
        self._ledger = (0, 0, False)
        self._commit = Histogram()
        self.heads_failed = False
        self._failures: dict[tuple[str, ...], int] = {}
        self._last: dict[str, float] = dict.fromkeys(feeds, float("-inf"))
        self._events: dict[tuple[str, ...], int] = {}
        self._gaps: dict[tuple[str, ...], int] = {}
        self._doubtful: dict[tuple[str, ...], int] = {}
        # Published from the start: an absent kill switch would look like one that is off.
        self._states: dict[tuple[str, ...], int] = {("firm", "REDUCING"): 0, ("firm", "HALTED"): 0}
        self._rulebook = ("", 0)
        self._breaches: dict[tuple[str, ...], int] = {}
        self._changes: dict[tuple[str, ...], int] = {("begun",): 0, ("ended",): 0}
        self._monitor = (0, 0.0, False, 0)
        self._rebalances: dict[tuple[str, ...], Histogram] = {}
        self._cut: dict[tuple[str, ...], int] = {}
        self._build = (installed("lexorder"), platform.python_version())
        self._process = ProcessCollector(registry=None)

    # --- decisions -------------------------------------------------------------------------------------------------

    def decision(self, outcome: str, reason: str, rule: str, seconds: float) -> None:
        """Count one order decided alone: `reason` and `rule` are those that lead, both empty for a plain approval."""
        self.decided(outcome, reason, rule)
        self._check.observe(seconds)

    def decided(self, outcome: str, reason: str, rule: str, orders: int = 1) -> None:
        """Count orders decided alike, without a time; a batch calls it once for each combination."""
        key = (outcome, reason, rule)
        try:
            self._decisions[key] += orders
        except KeyError:
            key = self._admitted(key)
            self._decisions[key] = self._decisions.get(key, 0) + orders

    def batch(self, orders: int, seconds: float) -> None:
        """Count one batch of `orders` that was decided in `seconds`; its outcomes go to `decided`."""
        self._batch_orders += orders
        self._batch.observe(seconds)

    def _admitted(self, key: tuple[str, str, str]) -> tuple[str, str, str]:
        """`key`, with the rule under `other` once there are too many, and no word that is not a code of ours."""
        outcome, reason, rule = key
        if len(self._decisions) >= SERIES_MAX:
            rule = OTHER
        return (outcome if outcome in _OUTCOMES else OTHER, reason if reason in _REASONS else OTHER, rule)

    # --- requests --------------------------------------------------------------------------------------------------

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request answered; `route` is the template, never the path."""
        _add(self._requests, (route, str(status)), NAMES_MAX * 5)
        _histogram(self._routes, route).observe(seconds)

    def queue(self, name: str, length: int) -> None:
        """Say how many wait in a queue now."""
        _put(self._queues, (name,), length)

    def cut(self, reason: str) -> None:
        """Count one reader of the stream that was cut."""
        _add(self._cut, (reason,))

    # --- the ledger ------------------------------------------------------------------------------------------------

    def ledger(self, appended: int, committed: int, failed: bool = False) -> None:
        """Say how many records the ledger was given, how many are durable, and whether it refuses more."""
        self._ledger = (appended, committed, failed)

    def commit(self, seconds: float) -> None:
        """Count one group commit."""
        self._commit.observe(seconds)

    def ledger_failure(self, code: str) -> None:
        """Count one commit that failed, by the code of its error."""
        _add(self._failures, (code,))

    # --- state -----------------------------------------------------------------------------------------------------

    def feed(self, name: str, at: float) -> None:
        """Count one event of a feed. `at` is the event's own time, seconds since 1970; an older one changes no age."""
        known = name if name in self._last or len(self._last) < NAMES_MAX else OTHER
        self._last[known] = max(at, self._last.get(known, float("-inf")))
        _add(self._events, (known,))

    def heard(self, name: str, at: float) -> None:
        """Say when a feed was heard last, without counting an event: a snapshot or a restart may set it back."""
        self._last[name if name in self._last or len(self._last) < NAMES_MAX else OTHER] = at

    def doubtful(self, feeds: Iterable[str], doubts: Collection[str]) -> None:
        """Say which of the feeds may not be relied on now, so that rules that read them are undecided."""
        for name in feeds:
            _put(self._doubtful, (name,), int(name in doubts))

    def gap(self, name: str) -> None:
        """Count one missing sequence number in a feed."""
        _add(self._gaps, (name,))

    def trading_state(self, scope: str, state: str, subjects: int) -> None:
        """Say how many subjects of a scope (firm, account, strategy, trader) are in a state now."""
        _put(self._states, (scope, state), subjects)

    def rulebook(self, hash_: str, rules: int) -> None:
        """Say which rule book is active, by its hash, and how many rules it has."""
        self._rulebook = (hash_, rules)

    def breaches(self, counts: Mapping[tuple[str, str], int], begun: int, ended: int) -> None:
        """Say how many breaches of holdings are open, by rule and severity, and how many began and ended so far."""
        found: dict[tuple[str, ...], int] = {}
        for (rule, severity), count in sorted(counts.items()):
            key = (rule, severity) if len(found) < NAMES_MAX else (OTHER, severity)
            found[key] = found.get(key, 0) + count
        self._breaches = found
        self._changes = {("begun",): begun, ("ended",): ended}

    def monitor(self, behind: int, lag_s: float, *, failed: bool, looks: int) -> None:
        """Say how many accounts the monitor has not looked at since they changed, and since when."""
        self._monitor = (behind, lag_s, failed, looks)

    def rebalance(self, outcome: str, seconds: float) -> None:
        """Count one rebalance that ended."""
        _histogram(self._rebalances, outcome, REBALANCE_BOUNDS).observe(seconds)

    # --- the page --------------------------------------------------------------------------------------------------

    def before_render(self, source: Callable[[Metrics], None]) -> None:
        """Have `source` called each time the page is made, for figures that are cheaper to ask for than to count."""
        self._sources.append(source)

    def render(self) -> bytes:
        """The page of `/metrics`, in Prometheus' text format (`CONTENT_TYPE`). A source that fails is counted."""
        return b"".join(self.pieces())

    async def paced(self) -> bytes:
        """The same page, giving way to whatever else waits in the event loop after each figure."""
        page = []
        for piece in self.pieces():
            page.append(piece)
            await asyncio.sleep(0)
        return b"".join(page)

    def pieces(self) -> Iterator[bytes]:
        """`render` in pieces of one figure each, so that an event loop can answer orders in between."""
        for source in self._sources:
            try:
                source(self)
            except Exception:  # the other figures must still be seen, and this one is an alert of its own
                self._source_errors += 1
        for metric in chain(self.collect(), self._process.collect()):
            yield generate_latest(_Alone(metric))

    def collect(self) -> Iterator[Metric]:
        """Every figure of ours, also those without samples yet; a `prometheus_client` registry takes this object."""
        yield from self._decision_figures()
        yield from self._http_figures()
        yield from self._ledger_figures()
        yield from self._state_figures()

    def _one(self, name: str, value: float) -> Metric:
        return numbers(name, self.shard, {(): value})

    def _decision_figures(self) -> Iterator[Metric]:
        counts = dict(self._decisions)
        yield numbers("lexorder_decisions_total", self.shard, dict(counts.items()))
        yield self._one("lexorder_evaluator_disagreements_total", _led_by(counts, DISAGREEMENTS))
        yield self._one("lexorder_engine_faults_total", _led_by(counts, FAULTS))
        yield durations("lexorder_check_seconds", self.shard, [((), self._check)])
        yield durations("lexorder_batch_seconds", self.shard, [((), self._batch)])
        yield self._one("lexorder_batch_orders_total", self._batch_orders)

    def _http_figures(self) -> Iterator[Metric]:
        yield numbers("lexorder_http_requests_total", self.shard, self._requests)
        yield durations("lexorder_http_request_seconds", self.shard, list(self._routes.items()))
        yield self._one("lexorder_http_requests_in_flight", self.in_flight)
        yield numbers("lexorder_queue_length", self.shard, self._queues)
        yield self._one("lexorder_stream_subscribers", self.subscribers)
        yield numbers("lexorder_stream_cut_readers_total", self.shard, self._cut)

    def _ledger_figures(self) -> Iterator[Metric]:
        appended, committed, failed = self._ledger
        yield self._one("lexorder_ledger_appended_records", appended)
        yield self._one("lexorder_ledger_committed_records", committed)
        yield self._one("lexorder_ledger_lag_records", max(0, appended - committed))
        yield self._one("lexorder_ledger_failed", int(failed))
        yield durations("lexorder_ledger_commit_seconds", self.shard, [((), self._commit)])
        yield numbers("lexorder_ledger_failures_total", self.shard, self._failures)
        yield self._one("lexorder_heads_failed", int(self.heads_failed))

    def _state_figures(self) -> Iterator[Metric]:
        now = self._clock()
        ages: Ages = {(feed,): now - at for feed, at in list(self._last.items())}
        yield numbers("lexorder_feed_age_seconds", self.shard, ages)
        yield numbers("lexorder_feed_events_total", self.shard, self._events)
        yield numbers("lexorder_feed_gaps_total", self.shard, self._gaps)
        yield numbers("lexorder_feed_doubtful", self.shard, self._doubtful)
        yield numbers("lexorder_trading_state_subjects", self.shard, self._states)
        hash_, rules = self._rulebook
        yield numbers("lexorder_rulebook_info", self.shard, {(hash_,): 1} if hash_ else {})
        yield self._one("lexorder_rulebook_rules", rules)
        yield from self._monitor_figures()
        yield durations("lexorder_rebalance_seconds", self.shard, list(self._rebalances.items()))
        yield self._one("lexorder_rebalances_running", self.rebalances_running)
        yield numbers("lexorder_build_info", self.shard, {self._build: 1})
        yield self._one("lexorder_metrics_source_errors_total", self._source_errors)

    def _monitor_figures(self) -> Iterator[Metric]:
        behind, lag, failed, looks = self._monitor
        yield numbers("lexorder_breaches_open", self.shard, self._breaches)
        yield numbers("lexorder_breach_changes_total", self.shard, self._changes)
        yield self._one("lexorder_monitor_behind_accounts", behind)
        yield self._one("lexorder_monitor_lag_seconds", lag)
        yield self._one("lexorder_monitor_failed", int(failed))
        yield self._one("lexorder_monitor_looks_total", looks)


class _Alone(CollectorRegistry):
    """A registry of one figure, because `generate_latest` takes a registry."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def _led_by(counts: dict[tuple[str, str, str], int], reasons: frozenset[str]) -> int:
    return sum(count for (_, reason, _), count in counts.items() if reason in reasons)


def _known(series: dict[tuple[str, ...], int], key: tuple[str, ...], most: int) -> tuple[str, ...]:
    return key if key in series or len(series) < most else (OTHER,) * len(key)


def _add(series: dict[tuple[str, ...], int], key: tuple[str, ...], most: int = NAMES_MAX) -> None:
    known = _known(series, key, most)
    series[known] = series.get(known, 0) + 1


def _put(series: dict[tuple[str, ...], int], key: tuple[str, ...], value: int) -> None:
    series[_known(series, key, NAMES_MAX)] = value


def _histogram(
    series: dict[tuple[str, ...], Histogram], name: str, bounds: tuple[float, ...] | None = None
) -> Histogram:
    found = series.get((name,))
    if found is None:
        key = (name,) if len(series) < NAMES_MAX else (OTHER,)
        found = series.setdefault(key, Histogram(bounds) if bounds else Histogram())
    return found
