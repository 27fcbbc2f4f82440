"""Any day of counting against the counters of the Prometheus client itself, told the same.

`metrics.py` counts in plain integers because the client's own objects cost too much for each order; the page must be
the one they would have given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lexorder.api.service import metrics as metrics_module
from lexorder.api.service.histogram import CHECK_BOUNDS, REBALANCE_BOUNDS
from lexorder.api.service.metric_families import FAMILIES
from lexorder.api.service.metrics import Metrics
from lexorder.engine.decision import Outcome
from lexorder.engine.reasons import BY_CODE

NOW = 1_800_000_000.0
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(page: bytes, names: set[str]) -> Samples:
    """The samples of these figures on a page."""
    found: Samples = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if family.name in names and not sample.name.endswith("_created"):
                found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


class Theirs:
    """The client's own objects under our names."""

    def __init__(self, shard: str) -> None:
        self.shard = shard
        self.registry = CollectorRegistry()
        self.made: dict[str, Any] = {}

    def of(self, name: str, **labels: str) -> Any:
        """The counter, gauge or histogram of a name, with these labels."""
        family = FAMILIES[name]
        if name not in self.made:
            names = ["shard", *family.labels]
            if family.kind == "histogram":
                bounds = REBALANCE_BOUNDS if "rebalance" in name else CHECK_BOUNDS
                made: Any = Histogram(name, family.help, names, registry=self.registry, buckets=bounds)
            elif family.kind == "counter":
                made = Counter(name.removesuffix("_total"), family.help, names, registry=self.registry)
            else:
                made = Gauge(name, family.help, names, registry=self.registry)
            self.made[name] = made
        return self.made[name].labels(shard=self.shard, **labels)

    def samples(self) -> Samples:
        names = {name.removesuffix("_total") for name in self.made}
        return samples(generate_latest(self.registry), names)


OUTCOMES, REASONS = [o.value for o in Outcome], ["", *sorted(BY_CODE)]
SECONDS = st.sampled_from([0.0, 1e-9, *CHECK_BOUNDS, *(b + 1e-9 for b in CHECK_BOUNDS), 1e6]) | st.floats(0, 2)
FEED, ROUTE = st.sampled_from(["prices", "fills", "ä\n"]), st.sampled_from(["/a", "/b/{id}", '"}'])
LONG, SCOPE = st.sampled_from([*REBALANCE_BOUNDS, 999.0]), st.sampled_from(["firm", "account"])
STEPS = st.one_of(
    st.tuples(st.just("decision"), st.sampled_from(OUTCOMES), st.sampled_from(REASONS), st.sampled_from("rs"), SECONDS),
    st.tuples(st.just("batch"), st.integers(1, 10**6), SECONDS),
    st.tuples(st.just("request"), ROUTE, st.sampled_from([200, 422, 503]), SECONDS),
    st.tuples(st.just("gap"), FEED),
    st.tuples(st.just("cut"), st.sampled_from(["slow-reader", "gone"])),
    st.tuples(st.just("queue"), st.sampled_from(["rebalances", "x"]), st.integers(0, 9)),
    st.tuples(st.just("rebalance"), st.sampled_from(["traded", "infeasible"]), LONG),
    st.tuples(st.just("commit"), SECONDS),
    st.tuples(st.just("ledger_failure"), st.sampled_from(["ledger-full", "ledger-unavailable"])),
    st.tuples(st.just("trading_state"), SCOPE, st.just("HALTED"), st.integers(0, 3)),
)  # fmt: skip


def _decision(theirs: Theirs, outcome: str, reason: str, rule: str, seconds: float) -> None:
    theirs.of("lexorder_decisions_total", outcome=outcome, reason=reason, rule=rule).inc()
    theirs.of("lexorder_check_seconds").observe(seconds)


def _batch(theirs: Theirs, orders: int, seconds: float) -> None:
    theirs.of("lexorder_batch_orders_total").inc(orders)
    theirs.of("lexorder_batch_seconds").observe(seconds)


def _request(theirs: Theirs, route: str, status: int, seconds: float) -> None:
    theirs.of("lexorder_http_requests_total", route=route, status=str(status)).inc()
    theirs.of("lexorder_http_request_seconds", route=route).observe(seconds)


TELL: dict[str, Callable[..., None]] = {
    "decision": _decision,
    "batch": _batch,
    "request": _request,
    "gap": lambda theirs, feed: theirs.of("lexorder_feed_gaps_total", feed=feed).inc(),
    "cut": lambda theirs, reason: theirs.of("lexorder_stream_cut_readers_total", reason=reason).inc(),
    "queue": lambda theirs, name, length: theirs.of("lexorder_queue_length", queue=name).set(length),
    "rebalance": lambda theirs, how, s: theirs.of("lexorder_rebalance_seconds", outcome=how).observe(s),
    "commit": lambda theirs, s: theirs.of("lexorder_ledger_commit_seconds").observe(s),
    "ledger_failure": lambda theirs, code: theirs.of("lexorder_ledger_failures_total", code=code).inc(),
    "trading_state": lambda theirs, scope, state, number: theirs.of(
        "lexorder_trading_state_subjects", scope=scope, state=state
    ).set(number),
}
"""The same for the client's objects."""


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(STEPS, max_size=40), shard=st.integers(0, 9))
def test_the_page_is_the_one_the_clients_own_counters_would_give(steps: list[tuple[Any, ...]], shard: int):
    ours, theirs = Metrics(shard, clock=lambda: NOW), Theirs(str(shard))
    for step in steps:
        getattr(ours, step[0])(*step[1:])
        TELL[step[0]](theirs, *step[1:])
    expected = theirs.samples()
    found = samples(ours.render(), {name.removesuffix("_total") for name in theirs.made})
    for key, value in expected.items():
        assert math.isclose(found[key], value, rel_tol=1e-12), key
    extra = {key for key in found.keys() - expected.keys() if found[key] != 0}
    assert not extra, "nothing but what was told"


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=20))
def test_a_page_asked_for_counts_nothing(steps: list[tuple[Any, ...]]):
    metrics = Metrics(clock=lambda: NOW)
    for step in steps:
        getattr(metrics, step[0])(*step[1:])
    ours = [[line for line in metrics.render().splitlines() if b"lexorder_" in line] for _ in range(2)]
    assert ours[0] == ours[1]


# ---- ages ------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    told=st.lists(
        st.tuples(st.sampled_from(["feed", "heard"]), st.sampled_from(["p", "f"]), st.integers(-100, 100)), max_size=12
    )
)
def test_the_age_of_a_feed_is_that_of_its_newest_event_since_it_was_last_set(told: list[tuple[str, str, int]]):
    metrics, newest = Metrics(feeds=("p",), clock=lambda: NOW), {"p": -math.inf}
    for what, name, at in told:
        getattr(metrics, what)(name, NOW + at)
        newest[name] = NOW + at if what == "heard" else max(NOW + at, newest.get(name, -math.inf))
    found = samples(metrics.render(), {"lexorder_feed_age_seconds"})
    ages = {dict(labels)["feed"]: value for (_, labels), value in found.items()}
    assert ages == {name: NOW - at for name, at in newest.items()}


# ---- bounds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3, 4, 9])
def test_breaches_beyond_the_bound_are_counted_with_others_of_their_severity(
    monkeypatch: pytest.MonkeyPatch, number: int
):
    monkeypatch.setattr(metrics_module, "NAMES_MAX", 3)
    metrics = Metrics(clock=lambda: NOW)
    counts = {(f"r{n}", severity): 1 for n in range(number) for severity in ("hard", "soft")}
    metrics.breaches(counts, 2 * number, 0)
    found = samples(metrics.render(), {"lexorder_breaches_open"})
    by_severity = dict.fromkeys(("hard", "soft"), 0.0)
    for (_, labels), value in found.items():
        by_severity[dict(labels)["severity"]] += value
    assert by_severity == {"hard": number, "soft": number}
    assert len(found) <= 3 + 2
    metrics.breaches({}, 2 * number, 2 * number)
    assert samples(metrics.render(), {"lexorder_breaches_open"}) == {}


@pytest.mark.parametrize("word", ["", "Approve", "approve ", "other", "approve\n"])
def test_an_outcome_that_is_none_of_ours_is_other(word: str):
    metrics = Metrics(clock=lambda: NOW)
    metrics.decision(word, word, "r", 0.1)
    (key,) = samples(metrics.render(), {"lexorder_decisions"})
    reason = "" if not word else "other"
    assert dict(key[1]) == {"shard": "0", "outcome": "other", "reason": reason, "rule": "r"}


@pytest.mark.parametrize("seconds", [-1.0, math.nan, -math.inf, -0.0])
def test_a_time_that_cannot_be_counts_as_none(seconds: float):
    metrics = Metrics(clock=lambda: NOW)
    metrics.decision("approve", "", "", seconds)
    found = samples(metrics.render(), {"lexorder_check_seconds"})
    by_name = {(name, dict(labels).get("le")): value for (name, labels), value in found.items()}
    assert by_name["lexorder_check_seconds_sum", None] == 0
    assert by_name["lexorder_check_seconds_count", None] == 1
    assert by_name["lexorder_check_seconds_bucket", "0.0001"] == 1


def test_committed_beyond_appended_is_no_lag():
    """Both are read at different instants."""
    metrics = Metrics(clock=lambda: NOW)
    metrics.ledger(5, 7)
    (lag,) = samples(metrics.render(), {"lexorder_ledger_lag_records"}).values()
    assert lag == 0
