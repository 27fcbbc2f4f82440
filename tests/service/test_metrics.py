"""The figures of the service, read back with Prometheus' own parser."""

import asyncio
import math
import threading
import timeit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lexorder.api.service.metric_families import FAMILIES
from lexorder.api.service.metrics import CONTENT_TYPE, NAMES_MAX, SERIES_MAX, Metrics
from lexorder.engine.decision import Outcome
from lexorder.engine.reasons import REASONS

NOW = 1_800_000_000.0


@pytest.fixture
def metrics():
    return Metrics(shard=3, clock=lambda: NOW)


def samples(metrics):
    """`(name, labels without shard)` → value, from the page itself."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            labels = frozenset((k, v) for k, v in sample.labels.items() if k != "shard")
            assert (sample.name, labels) not in found
            found[sample.name, labels] = sample.value
    return found


def value(metrics, name, **labels):
    return samples(metrics).get((name, frozenset(labels.items())))


def test_an_approval_is_counted_without_reason_or_rule(metrics):
    metrics.decision("approve", "", "", 0.0001)
    metrics.decision("approve", "", "", 0.0001)
    assert value(metrics, "lexorder_decisions_total", outcome="approve", reason="", rule="") == 2


def test_a_rejection_is_counted_by_its_leading_reason_and_rule(metrics):
    metrics.decision("reject", "CASH", "no-overdraft", 0.0001)
    metrics.decision("reject", "MARGIN", "reg-t", 0.0001)
    metrics.decision("reject", "CASH", "no-overdraft", 0.0001)
    assert value(metrics, "lexorder_decisions_total", outcome="reject", reason="CASH", rule="no-overdraft") == 2
    assert value(metrics, "lexorder_decisions_total", outcome="reject", reason="MARGIN", rule="reg-t") == 1


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("reason", [r.code for r in REASONS])
def test_every_outcome_and_reason_of_the_engine_keeps_its_name(metrics, outcome, reason):
    metrics.decision(outcome.value, reason, "some-rule", 0.001)
    assert value(metrics, "lexorder_decisions_total", outcome=outcome.value, reason=reason, rule="some-rule") == 1


def test_a_word_that_is_no_code_is_counted_under_other(metrics):
    metrics.decision("approve\n# HELP x", 'x"} 9', "r", 0.001)
    metrics.decision("approve\n# HELP x", 'x"} 9', "r", 0.001)
    assert value(metrics, "lexorder_decisions_total", outcome="other", reason="other", rule="r") == 2


def test_decisions_of_a_batch_have_no_single_time(metrics):
    metrics.decided("approve", "", "", 9_000)
    metrics.decided("reject", "CASH", "no-overdraft", 1_000)
    metrics.batch(10_000, 0.05)
    assert value(metrics, "lexorder_decisions_total", outcome="approve", reason="", rule="") == 9_000
    assert value(metrics, "lexorder_check_seconds_count") == 0
    assert value(metrics, "lexorder_batch_seconds_count") == 1
    assert value(metrics, "lexorder_batch_orders_total") == 10_000


@pytest.mark.parametrize("reason", ["EVALUATORS_DISAGREE", "VERDICT_MISSING"])
def test_a_disagreement_is_a_figure_of_its_own(metrics, reason):
    metrics.decision("undecided", reason, "lexorder", 0.001)
    metrics.decision("undecided", "MISSING_FACT", "stale", 0.001)
    assert value(metrics, "lexorder_evaluator_disagreements_total") == 1
    assert value(metrics, "lexorder_engine_faults_total") == 0


def test_an_engine_fault_is_a_figure_of_its_own(metrics):
    metrics.decision("undecided", "ENGINE_FAULT", "lexorder", 0.001)
    assert value(metrics, "lexorder_engine_faults_total") == 1
    assert value(metrics, "lexorder_evaluator_disagreements_total") == 0


def test_a_disagreement_is_still_seen_after_the_series_are_full(metrics):
    for number in range(SERIES_MAX + 10):
        metrics.decision("reject", "CASH", f"rule-{number}", 0.001)
    metrics.decision("undecided", "EVALUATORS_DISAGREE", "lexorder", 0.001)
    assert value(metrics, "lexorder_evaluator_disagreements_total") == 1
    assert value(metrics, "lexorder_decisions_total", outcome="reject", reason="CASH", rule="other") == 10


def test_decisions_add_up_however_many_rules_there_are(metrics):
    for number in range(3 * SERIES_MAX):
        metrics.decision("reject", "CASH", f"rule-{number % (2 * SERIES_MAX)}", 0.001)
    counts = [v for (name, _), v in samples(metrics).items() if name == "lexorder_decisions_total"]
    assert sum(counts) == 3 * SERIES_MAX
    assert len(counts) == SERIES_MAX + 1


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda m, n: m.request(f"/r{n}", 200, 0.1), "lexorder_http_requests_total"),
        (lambda m, n: m.feed(f"feed-{n}", NOW), "lexorder_feed_events_total"),
        (lambda m, n: m.gap(f"feed-{n}"), "lexorder_feed_gaps_total"),
        (lambda m, n: m.cut(f"reason-{n}"), "lexorder_stream_cut_readers_total"),
        (lambda m, n: m.ledger_failure(f"code-{n}"), "lexorder_ledger_failures_total"),
        (lambda m, n: m.rebalance(f"outcome-{n}", 0.1), "lexorder_rebalance_seconds_count"),
    ],
)
def test_no_flood_of_names_makes_the_page_grow_or_loses_a_count(metrics, call, name):
    flood = 10 * NAMES_MAX
    for number in range(flood):
        call(metrics, number)
    counts = [v for (n, _), v in samples(metrics).items() if n == name]
    assert sum(counts) == flood
    assert len(counts) <= 5 * NAMES_MAX + 1


def test_requests_are_counted_by_route_and_status_and_timed_by_route(metrics):
    metrics.request("/v1/orders/check", 200, 0.003)
    metrics.request("/v1/orders/check", 503, 0.004)
    assert value(metrics, "lexorder_http_requests_total", route="/v1/orders/check", status="200") == 1
    assert value(metrics, "lexorder_http_requests_total", route="/v1/orders/check", status="503") == 1
    assert value(metrics, "lexorder_http_request_seconds_count", route="/v1/orders/check") == 2
    assert value(metrics, "lexorder_http_request_seconds_bucket", route="/v1/orders/check", le="0.005") == 2
    assert value(metrics, "lexorder_http_request_seconds_bucket", route="/v1/orders/check", le="0.0025") == 0


def test_the_ledgers_lag_is_what_is_appended_and_not_durable(metrics):
    metrics.ledger(appended=120, committed=100)
    metrics.commit(0.002)
    assert value(metrics, "lexorder_ledger_appended_records") == 120
    assert value(metrics, "lexorder_ledger_committed_records") == 100
    assert value(metrics, "lexorder_ledger_lag_records") == 20
    assert value(metrics, "lexorder_ledger_failed") == 0
    assert value(metrics, "lexorder_ledger_commit_seconds_count") == 1


def test_a_failed_ledger_says_so_until_it_recovers(metrics):
    metrics.ledger_failure("ledger-full")
    metrics.ledger(100, 100, failed=True)
    assert value(metrics, "lexorder_ledger_failed") == 1
    metrics.ledger(101, 101)
    assert value(metrics, "lexorder_ledger_failed") == 0
    assert value(metrics, "lexorder_ledger_failures_total", code="ledger-full") == 1


def test_a_feed_that_must_speak_and_never_did_is_infinitely_old():
    metrics = Metrics(feeds=("prices",), clock=lambda: NOW)
    assert value(metrics, "lexorder_feed_age_seconds", feed="prices") == math.inf


def test_the_age_of_a_feed_is_counted_from_its_newest_event(metrics):
    metrics.feed("prices", NOW - 7)
    metrics.feed("prices", NOW - 60)  # late, not newer
    assert value(metrics, "lexorder_feed_age_seconds", feed="prices") == 7
    assert value(metrics, "lexorder_feed_events_total", feed="prices") == 2


def test_a_feed_from_the_future_shows_a_negative_age(metrics):
    metrics.feed("prices", NOW + 30)
    assert value(metrics, "lexorder_feed_age_seconds", feed="prices") == -30


def test_the_age_grows_when_nothing_comes():
    now = [NOW]
    metrics = Metrics(clock=lambda: now[0])
    metrics.feed("prices", NOW)
    now[0] += 90
    assert value(metrics, "lexorder_feed_age_seconds", feed="prices") == 90


def test_a_feed_may_be_set_back_by_a_snapshot(metrics):
    metrics.feed("prices", NOW)
    metrics.heard("prices", NOW - 500)
    assert value(metrics, "lexorder_feed_age_seconds", feed="prices") == 500
    assert value(metrics, "lexorder_feed_events_total", feed="prices") == 1


def test_a_doubtful_feed_is_shown_until_it_is_not(metrics):
    metrics.doubtful(["prices", "fills"], {"fills": "a gap"})
    assert value(metrics, "lexorder_feed_doubtful", feed="fills") == 1
    assert value(metrics, "lexorder_feed_doubtful", feed="prices") == 0
    metrics.doubtful(["prices", "fills"], {})
    assert value(metrics, "lexorder_feed_doubtful", feed="fills") == 0


def test_trading_states_are_counts_of_subjects_and_can_fall(metrics):
    metrics.trading_state("account", "HALTED", 3)
    metrics.trading_state("account", "HALTED", 1)
    metrics.trading_state("firm", "HALTED", 1)
    assert value(metrics, "lexorder_trading_state_subjects", scope="account", state="HALTED") == 1
    assert value(metrics, "lexorder_trading_state_subjects", scope="firm", state="HALTED") == 1


def test_the_kill_switch_is_shown_before_anybody_touched_it(metrics):
    assert value(metrics, "lexorder_trading_state_subjects", scope="firm", state="HALTED") == 0


def test_only_the_active_rule_book_is_shown(metrics):
    assert not [key for key in samples(metrics) if key[0] == "lexorder_rulebook_info"]
    metrics.rulebook("aa" * 32, 30)
    metrics.rulebook("bb" * 32, 31)
    shown = [dict(labels) for name, labels in samples(metrics) if name == "lexorder_rulebook_info"]
    assert shown == [{"hash": "bb" * 32}]
    assert value(metrics, "lexorder_rulebook_rules") == 31


def test_gauges_follow_the_service(metrics):
    metrics.in_flight += 2
    metrics.subscribers = 4
    metrics.rebalances_running = 1
    metrics.queue("rebalances", 5)
    metrics.queue("rebalances", 0)
    assert value(metrics, "lexorder_http_requests_in_flight") == 2
    assert value(metrics, "lexorder_stream_subscribers") == 4
    assert value(metrics, "lexorder_rebalances_running") == 1
    assert value(metrics, "lexorder_queue_length", queue="rebalances") == 0


def test_rebalances_are_timed_up_to_minutes(metrics):
    metrics.rebalance("traded", 45.0)
    assert value(metrics, "lexorder_rebalance_seconds_bucket", outcome="traded", le="60.0") == 1
    assert value(metrics, "lexorder_rebalance_seconds_bucket", outcome="traded", le="30.0") == 0


def test_a_source_is_asked_for_each_page(metrics):
    lengths = iter([1, 2])
    metrics.before_render(lambda m: m.queue("orders", next(lengths)))
    assert value(metrics, "lexorder_queue_length", queue="orders") == 1
    assert value(metrics, "lexorder_queue_length", queue="orders") == 2


def test_a_source_that_fails_is_counted_and_hides_nothing(metrics):
    def broken(_):
        raise RuntimeError("secret of the source")

    metrics.before_render(broken)
    metrics.before_render(lambda m: m.queue("orders", 7))
    page = metrics.render()
    assert b"secret" not in page
    assert value(metrics, "lexorder_metrics_source_errors_total") == 2
    assert value(metrics, "lexorder_queue_length", queue="orders") == 7


def test_every_published_name_is_in_the_list_and_every_one_in_the_list_is_published(metrics):
    metrics.rulebook("aa", 1)
    page = metrics.render().decode()
    published = {f.name for f in text_string_to_metric_families(page) if f.name.startswith("lexorder_")}
    assert published == {name.removesuffix("_total") for name in FAMILIES}


def test_labels_are_those_of_the_list(metrics):
    metrics.decision("approve", "", "", 0.1)
    metrics.request("/r", 200, 0.1)
    metrics.queue("q", 1)
    metrics.ledger_failure("ledger-full")
    metrics.feed("f", NOW)
    metrics.gap("f")
    metrics.doubtful(["f"], ["f"])
    metrics.trading_state("firm", "HALTED", 1)
    metrics.rulebook("aa", 1)
    metrics.rebalance("traded", 1.0)
    metrics.cut("slow")
    metrics.breaches({("r", "hard"): 1}, 1, 0)
    series = {name: family for family in FAMILIES.values() for name in family.series}
    seen = set()
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name in series:
                assert set(sample.labels) - {"le"} == {"shard", *series[sample.name].labels}
                assert sample.labels["shard"] == "3"
                seen.add(sample.name)
    assert seen == set(series)


def test_hostile_label_values_are_escaped(metrics):
    metrics.request('/v1/"}\n# TYPE evil counter\nevil 1\n', 404, 0.1)
    page = metrics.render().decode()
    assert "\nevil 1" not in page
    assert value(metrics, "lexorder_http_requests_total", route='/v1/"}\n# TYPE evil counter\nevil 1\n', status="404")


def test_the_page_in_pieces_is_the_page(metrics):
    metrics.decision("approve", "", "", 0.1)
    ours = [piece for piece in metrics.pieces() if b"lexorder_" in piece]
    assert len(ours) == len(FAMILIES)
    assert b"".join(ours) in metrics.render()


def test_the_page_gives_way_to_others(metrics):
    turns = []

    async def other():
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    async def both():
        running = asyncio.create_task(other())
        page = await metrics.paced()
        running.cancel()
        return page

    page = asyncio.run(both())
    assert page.count(b"# HELP lexorder_") == len(FAMILIES)
    assert len(turns) >= len(FAMILIES)


def test_the_process_is_measured_too(metrics):
    assert value(metrics, "process_resident_memory_bytes") > 1_000_000


def test_two_workers_differ_in_their_shard_only():
    pages = [Metrics(shard, clock=lambda: NOW).render().decode() for shard in (0, 1)]
    ours = [[line for line in page.splitlines() if line.startswith("lexorder_")] for page in pages]
    assert ours[0] != ours[1]
    assert [line.replace('shard="0"', 'shard="1"') for line in ours[0]] == ours[1]


def test_the_page_may_be_made_while_another_thread_counts(metrics):
    stop = threading.Event()
    failed = []

    def count():
        number = 0
        while not stop.is_set():
            number += 1
            metrics.decision("reject", "CASH", f"rule-{number % 500}", 0.001)
            metrics.request(f"/r{number % 50}", 200, 0.001)
            metrics.feed(f"feed-{number % 50}", NOW)

    writer = threading.Thread(target=count)
    writer.start()
    try:
        for _ in range(20):
            metrics.render()
    except RuntimeError as error:
        failed.append(error)
    finally:
        stop.set()
        writer.join()
    assert failed == []


def test_the_content_type_is_prometheus_text():
    assert CONTENT_TYPE.startswith("text/plain; version=1.0.0")


def test_counting_a_decision_is_cheap(metrics):
    # 0.3 µs on a quiet machine; the bound only has to catch an order of magnitude (a lock, a new object per call).
    best = min(timeit.repeat(lambda: metrics.decision("approve", "", "", 0.0001), number=20_000, repeat=7)) / 20_000
    assert best < 10e-6
