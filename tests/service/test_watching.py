"""What the figures say of a running service, and what its traces say."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lexorder.api.service import service as module
from lexorder.api.service.feeds import FEEDS, Feeds
from lexorder.api.service.metrics import Metrics
from lexorder.api.service.traces import Traces
from lexorder.api.service.watching import GONE, observer, watch_feeds, watch_ledger
from lexorder.engine.ledger.errors import LedgerError
from tests.service.house import House, Outage


class Kept(Traces):
    """Traces that keep what they are told."""

    on = True

    def __init__(self):
        self.checks, self.commits = [], []

    def check(self, decision, *, outcome, reason, rule, times, parent):
        self.checks.append((decision, outcome, reason, rule, times, parent))

    def commit(self, records, times, code=""):
        assert 0 < times[0] <= times[1]
        self.commits.append((records, code))


def figures(page):
    """`(name, labels without shard)` → value."""
    return {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if k != "shard")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def read(house, name, **labels):
    response = house.call("GET", "/metrics")
    assert response.status_code == 200
    return figures(response.text).get((name, frozenset(labels.items())))


def test_decisions_of_a_running_service_are_counted_by_what_leads(house):
    house.check(id="O-1", quantity=10)
    house.check(id="O-2", quantity=1001)
    assert read(house, "lexorder_decisions_total", outcome="approve", reason="", rule="") == 1
    counted = [
        (dict(labels), value)
        for (name, labels), value in figures(house.call("GET", "/metrics").text).items()
        if name == "lexorder_decisions_total" and dict(labels)["outcome"] == "reject"
    ]
    assert [value for _, value in counted] == [1]
    assert counted[0][0]["rule"] in ("order-quantity", "issuer-weight")
    assert read(house, "lexorder_check_seconds_count") == 2


def test_requests_are_counted_by_template_and_status(house):
    house.check(id="O-1", quantity=10)
    house.call("GET", "/v1/limits/none-such")
    house.call("GET", "/healthz")
    house.call("GET", "/no/such/page")
    house.run(house.asking("POST", "/v1/orders/check", {}, "lx_wrong_key"))
    page = figures(house.call("GET", "/metrics").text)

    def count(route, status):
        return page.get(("lexorder_http_requests_total", frozenset({("route", route), ("status", status)})))

    assert count("/v1/orders/check", "200") == 1
    assert count("/v1/orders/check", "401") == 1
    assert count("/v1/limits/{id}", "404") == 1
    assert count("/healthz", "200") == 1
    assert count("other", "404") == 1
    assert not [1 for name, labels in page if name == "lexorder_http_requests_total" and "none-such" in str(labels)]


def test_the_page_itself_is_in_flight_while_it_is_made(house):
    assert read(house, "lexorder_http_requests_in_flight") == 1


def test_the_ledgers_records_are_those_it_holds(house):
    for number in range(5):
        house.check(id=f"O-{number}", quantity=1)
    ledger = house.service.ledger
    assert read(house, "lexorder_ledger_committed_records") == ledger.committed
    assert read(house, "lexorder_ledger_appended_records") == ledger.size
    assert read(house, "lexorder_ledger_lag_records") == 0
    assert 5 <= read(house, "lexorder_ledger_commit_seconds_count") <= ledger.committed
    assert read(house, "lexorder_ledger_commit_seconds_sum") > 0


def test_an_outage_is_counted_once_and_seen_while_it_lasts(house):
    assert read(house, "lexorder_ledger_failed") == 0
    with Outage(house):
        assert house.refused("POST", "/v1/orders/check", order_of("O-1"), by="senior_trader")[0] == 503
        assert house.refused("POST", "/v1/orders/check", order_of("O-2"), by="senior_trader")[0] == 503
        assert read(house, "lexorder_ledger_failed") == 1
    house.until(lambda: not house.service.journal.down)
    assert read(house, "lexorder_ledger_failed") == 0
    assert read(house, "lexorder_ledger_failures_total", code="ledger-unavailable") == 1
    assert read(house, "lexorder_decisions_total", outcome="approve", reason="", rule="") is None


def order_of(identifier):
    from tests.worlds import order

    return order(id=identifier, quantity=1)


def test_heads_that_cannot_be_written_are_shown(house):
    assert read(house, "lexorder_heads_failed") == 0
    house.service.heads.problem = "ledger-unavailable"
    assert read(house, "lexorder_heads_failed") == 1


def test_the_active_rule_book_and_the_trading_state_are_shown(house):
    book = house.service.floor.standing.book
    assert read(house, "lexorder_rulebook_info", hash=book.hash) == 1
    assert read(house, "lexorder_rulebook_rules") == len(book.versions)
    assert read(house, "lexorder_trading_state_subjects", scope="firm", state="HALTED") == 0
    house.post("/v1/kill", {"reason": "a test"}, by="risk_officer")
    assert read(house, "lexorder_trading_state_subjects", scope="firm", state="HALTED") == 1


def test_a_feed_that_must_speak_is_infinitely_old_until_it_does(tmp_path):
    house = House(tmp_path, feed_ages="prices=5")
    try:
        assert read(house, "lexorder_feed_age_seconds", feed="prices") == float("inf") or (
            read(house, "lexorder_feed_age_seconds", feed="prices") < 60
        )
        house.furnished()
        assert 0 <= read(house, "lexorder_feed_age_seconds", feed="prices") < 60
        assert read(house, "lexorder_feed_doubtful", feed="prices") == 0
    finally:
        house.close()


def test_the_source_of_the_commit_time_passes_errors_on():
    metrics, traces = Metrics(), Kept()
    journal: Any = SimpleNamespace(down="", failing=None)
    ledger: Any = SimpleNamespace(committed=3, size=5, around_commit=None)
    watch_ledger(metrics, traces, journal, ledger)

    def broken():
        raise LedgerError("ledger-full", "no room")

    with pytest.raises(LedgerError):
        ledger.around_commit(7, broken)
    ledger.around_commit(2, lambda: None)
    assert traces.commits == [(7, "ledger-full"), (2, "")]
    page = figures(metrics.render().decode())
    assert page["lexorder_ledger_commit_seconds_count", frozenset()] == 2
    assert page["lexorder_ledger_lag_records", frozenset()] == 2
    journal.failing("ledger-full")
    assert (
        figures(metrics.render().decode())["lexorder_ledger_failures_total", frozenset({("code", "ledger-full")})] == 1
    )


def test_feeds_are_asked_of_the_floor_that_stands_now():
    doubts: list[dict[str, str]] = [{"fills": "a gap"}, {}]
    floors: list[Any] = [SimpleNamespace(feeds=Feeds(), doubts=each) for each in doubts]
    metrics = Metrics()
    watch_feeds(metrics, lambda: floors[0])
    first = figures(metrics.render().decode())
    floors.pop(0)
    second = figures(metrics.render().decode())
    for name in FEEDS:
        place = ("lexorder_feed_doubtful", frozenset({("feed", name)}))
        assert (first[place], second[place]) == (int(name == "fills"), 0)


@pytest.mark.parametrize(
    ("scope", "status", "expected"),
    [
        ({"path": "/v1/orders/check"}, 200, ("/v1/orders/check", "200")),
        ({"path": "/v1/limits/L-1"}, 404, ("other", "404")),
        (
            {"path": "/v1/limits/L-1", "route": type("Route", (), {"path": "/v1/limits/{id}"})},
            200,
            ("/v1/limits/{id}", "200"),
        ),
        ({"path": "/v1/orders/check"}, 0, ("/v1/orders/check", str(GONE))),
        ({"path": "/v1/orders/check", "route": object()}, 503, ("/v1/orders/check", "503")),
    ],
)
def test_an_observed_request_has_a_template_and_a_status(scope, status, expected):
    metrics = Metrics()
    observer(metrics, {"/v1/orders/check"})(scope, status, 2_000_000)
    labels = frozenset({("route", expected[0]), ("status", expected[1])})
    page = figures(metrics.render().decode())
    assert page["lexorder_http_requests_total", labels] == 1
    assert page["lexorder_http_request_seconds_sum", frozenset({("route", expected[0])})] == 0.002


@pytest.fixture
def traced(tmp_path, monkeypatch):
    kept = Kept()
    monkeypatch.setattr(module, "traces_of_environment", lambda _shard: kept)
    house = House(tmp_path).furnished()
    yield house, kept
    house.close()


def test_a_check_is_traced_with_the_callers_trace(traced):
    import httpx

    house, kept = traced
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def asked():
        transport = httpx.ASGITransport(app=house.app)
        headers = {"authorization": f"Bearer {house.key('senior_trader')}", "traceparent": parent}
        async with httpx.AsyncClient(transport=transport, base_url="http://house", headers=headers) as client:
            return (await client.post("/v1/orders/check", json=order_of("O-1"))).json()

    before = time.time_ns()
    answer = house.run(asked())
    ((decision, outcome, reason, rule, times, given),) = kept.checks
    assert (decision, outcome, reason, rule, given) == (answer["id"], "approve", "", "", parent)
    assert before - 1_000_000_000 < times[0] < times[1] <= time.time_ns()
    assert any(records >= 1 and code == "" for records, code in kept.commits)


def test_a_decision_that_was_not_recorded_is_not_traced(traced):
    house, kept = traced
    with Outage(house):
        house.refused("POST", "/v1/orders/check", order_of("O-1"), by="senior_trader")
    assert kept.checks == []
    assert "ledger-unavailable" in {code for _, code in kept.commits}


def test_the_page_does_not_keep_orders_waiting(house):
    async def both():
        key = house.key("senior_trader")
        page = asyncio.create_task(house.asking("GET", "/metrics", None, house.key("admin")))
        check = asyncio.create_task(house.asking("POST", "/v1/orders/check", order_of("O-1"), key))
        return (await page).status_code, (await check).status_code

    assert house.run(both()) == (200, 200)
