"""The closed list of figures the service publishes, and their way into Prometheus' types.

In: plain numbers from `metrics.py`. Out: `prometheus_client` families, each with a `shard` label first. Guaranteed: a
figure that is not in `FAMILIES` cannot be published, so alert rules, the dashboard and `docs/operations.md` can be
compared with this list, and a test does. Why a list and not `Counter` objects where they are used: the hot path then
counts in plain integers, and what exists can be read in one place. Before: `histogram.py`. After: `metrics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from lexorder.api.service.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Family:
    """One published figure: `kind` is counter, gauge or histogram; `labels` come after `shard`."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which Prometheus stores it."""
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum")
        return (self.name,)


_LIST = (
    Family("lexorder_build_info", "gauge", "Always 1; says which program answers.", ("version", "python")),
    Family("lexorder_rulebook_info", "gauge", "Always 1; the hash of the active rule book.", ("hash",)),
    Family("lexorder_rulebook_rules", "gauge", "Rules in the active rule book."),
    Family(
        "lexorder_decisions_total",
        "counter",
        "Orders decided, by outcome, leading reason and the rule that leads; batches included.",
        ("outcome", "reason", "rule"),
    ),
    Family("lexorder_check_seconds", "histogram", "Time to decide one order, without network and ledger."),
    Family("lexorder_batch_seconds", "histogram", "Time to decide one batch, without network and ledger."),
    Family("lexorder_batch_orders_total", "counter", "Orders that came in batches."),
    Family(
        "lexorder_evaluator_disagreements_total",
        "counter",
        "Decisions in which the two evaluators differed in a verdict or in how many they gave.",
    ),
    Family("lexorder_engine_faults_total", "counter", "Decisions in which an evaluator failed or ran out of time."),
    Family("lexorder_http_requests_total", "counter", "Requests answered.", ("route", "status")),
    Family(
        "lexorder_http_request_seconds",
        "histogram",
        "From the request's last byte to the answer's first one; waiting for the ledger included.",
        ("route",),
    ),
    Family("lexorder_http_requests_in_flight", "gauge", "Requests not yet answered."),
    Family("lexorder_queue_length", "gauge", "What waits, by queue.", ("queue",)),
    Family("lexorder_ledger_appended_records", "gauge", "Records given to the ledger, the waiting ones included."),
    Family("lexorder_ledger_committed_records", "gauge", "Records that are durable."),
    Family("lexorder_ledger_lag_records", "gauge", "Records appended and not yet durable."),
    Family("lexorder_ledger_commit_seconds", "histogram", "Time of one group commit."),
    Family("lexorder_ledger_failures_total", "counter", "Commits that failed, by code.", ("code",)),
    Family("lexorder_ledger_failed", "gauge", "1 while the ledger takes no records, so that nothing is approved."),
    Family("lexorder_heads_failed", "gauge", "1 while signed heads cannot be written to their second place."),
    Family(
        "lexorder_feed_age_seconds",
        "gauge",
        "Time since a feed's last event, by the event's own time; +Inf before the first one.",
        ("feed",),
    ),
    Family("lexorder_feed_events_total", "counter", "Events taken from a feed.", ("feed",)),
    Family(
        "lexorder_feed_doubtful", "gauge", "1 while rules that read a feed are undecided: stale, or a gap.", ("feed",)
    ),
    Family("lexorder_feed_gaps_total", "counter", "Times a sequence number was missing in a feed.", ("feed",)),
    Family(
        "lexorder_trading_state_subjects",
        "gauge",
        "How many firms, accounts, strategies or traders are in a trading state.",
        ("scope", "state"),
    ),
    Family(
        "lexorder_breaches_open",
        "gauge",
        "Breaches of holdings that have begun and not ended; rules for compliance alone are `withheld`.",
        ("rule", "severity"),
    ),
    Family("lexorder_breach_changes_total", "counter", "Breaches that began or ended.", ("change",)),
    Family("lexorder_monitor_behind_accounts", "gauge", "Accounts not looked at since something of theirs changed."),
    Family("lexorder_monitor_lag_seconds", "gauge", "Time since the oldest change that was not looked at."),
    Family("lexorder_monitor_failed", "gauge", "1 while the monitor, or its look at an account, fails."),
    Family("lexorder_monitor_looks_total", "counter", "Looks at an account."),
    Family("lexorder_rebalance_seconds", "histogram", "Time of one rebalance, by outcome.", ("outcome",)),
    Family("lexorder_rebalances_running", "gauge", "Rebalances under way."),
    Family("lexorder_stream_subscribers", "gauge", "Readers of the stream."),
    Family(
        "lexorder_stream_cut_readers_total",
        "counter",
        "Readers of the stream that were cut, by reason.",
        ("reason",),
    ),
    Family("lexorder_metrics_source_errors_total", "counter", "Sources of figures that failed when they were asked."),
)

FAMILIES: Mapping[str, Family] = {family.name: family for family in _LIST}
"""Every figure, by name."""

Values = Mapping[tuple[str, ...], float]
"""Label values (without `shard`) → value."""

Builder = type[CounterMetricFamily] | type[GaugeMetricFamily]


def numbers(name: str, shard: str, values: Values) -> Metric:
    """The counter or gauge `name` with one sample for each entry of `values`."""
    family = FAMILIES[name]
    build: Builder = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = build(family.name, family.help, labels=("shard", *family.labels))
    for labels, value in list(values.items()):  # a copy: another thread may add a label while it is asked
        metric.add_metric((shard, *labels), value)
    return metric


def durations(name: str, shard: str, values: Iterable[tuple[Sequence[str], Histogram]]) -> Metric:
    """The histogram `name` with one set of buckets for each entry of `values`."""
    family = FAMILIES[name]
    metric = HistogramMetricFamily(family.name, family.help, labels=("shard", *family.labels))
    for labels, histogram in values:
        metric.add_metric((shard, *labels), histogram.buckets(), histogram.sum_seconds)
    return metric
