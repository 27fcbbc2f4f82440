"""Spans as a collector receives them, and nothing at all when nobody asked."""

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lexorder.api.service.traces import ENDPOINTS, OFF, PROTOCOLS, from_environment
from lexorder.engine.errors import UsageError

service = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the extra `traces` is not installed"
)

from opentelemetry.sdk.trace import Tracer  # noqa: E402

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # the example of W3C Trace Context, section 3.2
START, END = 1_800_000_000_000_000_000, 1_800_000_000_000_250_000


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME", *ENDPOINTS, *PROTOCOLS):
        monkeypatch.delenv(name, raising=False)


class Collector(ThreadingHTTPServer):
    """Takes OTLP/HTTP and keeps what it was sent."""

    def __init__(self):
        self.requests = []
        super().__init__(("127.0.0.1", 0), Receive)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def spans(self):
        return [s for r in self.requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]

    @property
    def resource(self):
        return {a.key: a.value.string_value for a in self.requests[0].resource_spans[0].resource.attributes}


class Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self):
        assert self.path == "/v1/traces"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(service.ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def checked(traces, decision, outcome="approve", reason="", rule="", *, parent=""):
    traces.check(decision, outcome=outcome, reason=reason, rule=rule, times=(START, END), parent=parent)


def attributes(span):
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def test_without_settings_traces_are_off():
    assert from_environment() is OFF
    assert not OFF.on


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_SDK_DISABLED", "true"), ("OTEL_SDK_DISABLED", " TRUE "), ("OTEL_TRACES_EXPORTER", "none")],
)
def test_an_endpoint_may_be_overruled(monkeypatch, name, value):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    assert from_environment() is OFF


def test_off_does_nothing_and_hides_no_error():
    checked(OFF, "d1", parent=PARENT)
    OFF.commit(5, (START, END))
    with OFF.rebalance("r1") as ended:
        ended.word = "traded"
    with pytest.raises(ValueError, match="own"), OFF.rebalance("r1"):
        raise ValueError("own")
    OFF.close()


def test_a_check_is_sent_with_its_times_and_what_led(collector):
    traces = from_environment(shard=2)
    assert traces.on
    checked(traces, "d1", "reject", "CASH", "no-overdraft")
    traces.close()
    (span,) = collector.spans
    assert span.name == "check"
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (START, END)
    assert attributes(span) == {
        "lexorder.decision": "d1",
        "lexorder.outcome": "reject",
        "lexorder.reason": "CASH",
        "lexorder.rule": "no-overdraft",
    }
    assert collector.resource["service.name"] == "lexorder"
    assert collector.resource["service.instance.id"] == "lexorder-2"


def test_an_approval_has_no_empty_reason(collector):
    traces = from_environment()
    checked(traces, "d1")
    traces.close()
    assert attributes(collector.spans[0]) == {"lexorder.decision": "d1", "lexorder.outcome": "approve"}


def test_the_callers_trace_goes_on(collector):
    traces = from_environment()
    checked(traces, "d1", parent=PARENT)
    with traces.rebalance("r1", PARENT):
        pass
    traces.close()
    for span in collector.spans:
        assert span.trace_id.hex() == PARENT.split("-")[1]
        assert span.parent_span_id.hex() == PARENT.split("-")[2]


@pytest.mark.parametrize("parent", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "x" * 10_000, "\x00\n"])
def test_a_parent_that_is_none_starts_a_new_trace(collector, parent):
    traces = from_environment()
    checked(traces, "d1", parent=parent)
    traces.close()
    (span,) = collector.spans
    assert span.parent_span_id == b""
    assert any(span.trace_id)


def test_a_caller_that_does_not_sample_is_not_sampled(collector):
    traces = from_environment()
    checked(traces, "d1", parent=PARENT[:-2] + "00")
    checked(traces, "d2", parent=PARENT)
    traces.close()
    assert [attributes(span)["lexorder.decision"] for span in collector.spans] == ["d2"]


def test_the_standard_sampler_setting_is_obeyed(collector, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    traces = from_environment()
    for _ in range(50):
        checked(traces, "d1")
    traces.close()
    assert collector.spans == []


def test_commits_say_how_many_records_and_why_they_failed(collector):
    traces = from_environment()
    traces.commit(32, (START, END))
    traces.commit(5, (START, END), "ledger-full")
    traces.close()
    fine, failed = collector.spans
    assert (fine.name, attributes(fine), fine.status.code) == ("ledger commit", {"lexorder.records": 32}, 0)
    assert (failed.status.code, failed.status.message) == (2, "ledger-full")


def test_a_rebalance_says_how_it_ended(collector):
    traces = from_environment()
    with traces.rebalance("r1") as ended:
        ended.word = "infeasible"
    traces.close()
    (span,) = collector.spans
    assert span.name == "rebalance"
    assert attributes(span) == {"lexorder.rebalance": "r1", "lexorder.outcome": "infeasible"}
    assert span.end_time_unix_nano >= span.start_time_unix_nano > START - 10**18


def test_a_rebalance_that_fails_tells_the_kind_and_none_of_the_text(collector):
    traces = from_environment()
    with pytest.raises(ValueError, match="ACC-17"), traces.rebalance("r1"):
        raise ValueError("ACC-17 holds 500 ACME")
    traces.close()
    (span,) = collector.spans
    assert (span.status.code, span.status.message) == (2, "ValueError")
    assert b"ACC-17" not in collector.requests[0].SerializeToString()


def test_a_dead_collector_costs_no_decision(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    traces = from_environment()
    started = time.perf_counter()
    for number in range(5_000):  # more than the queue of the SDK holds
        checked(traces, f"d{number}")
    assert time.perf_counter() - started < 30  # 5,000 waits for a connection would be minutes
    traces.close()


def test_a_sampler_that_fails_costs_no_decision(collector, monkeypatch):
    traces = from_environment()
    monkeypatch.setattr(Tracer, "start_span", lambda *a, **k: 1 / 0)
    checked(traces, "d1")
    traces.close()


def test_an_exporter_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(UsageError) as refused:
        from_environment()
    assert refused.value.code == "unknown-exporter"
    assert "otlp, console, none" in refused.value.message


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, "grpc")
    with pytest.raises(UsageError) as refused:
        from_environment()
    assert refused.value.code == "unknown-protocol"


def test_traces_without_the_extra_are_refused(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(UsageError) as refused:
        from_environment()
    assert refused.value.code == "traces-not-installed"
    assert "lexorder[traces]" in refused.value.message


def test_the_console_exporter_is_there(monkeypatch, capsys):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    traces = from_environment()
    checked(traces, "d1")
    traces.close()
    assert '"lexorder.decision": "d1"' in capsys.readouterr().err


def test_nothing_of_opentelemetry_is_imported_when_traces_are_off():
    program = (
        "import sys; from lexorder.api.service.traces import from_environment; from_environment();"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
