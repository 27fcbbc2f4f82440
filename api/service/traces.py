"""Traces of checks, ledger commits and rebalances for an OpenTelemetry collector, when someone wants them.

In: what happened, with its times. Out: spans, sent by a thread of the SDK over OTLP/HTTP. Guaranteed: without settings
nothing is imported and `OFF` answers, whose methods do nothing; a collector that is slow or dead costs spans, never a
decision; no account, trader or order goes out, only the decision's id, by which the ledger finds the rest. Settings are
the standard OTEL_* variables; traces are on when OTEL_TRACES_EXPORTER or an OTLP endpoint is set and neither
OTEL_SDK_DISABLED=true nor OTEL_TRACES_EXPORTER=none says otherwise. Refused: traces asked for without the extra
`traces`, and an exporter or protocol that is not there, by UsageError, because a silent nothing would be noticed on the
day it is needed. Why not on by default, as the specification has it: a desk without a collector would log an error each
few seconds. Before: nothing. After: `app.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

from lexorder.engine.errors import UsageError, shown

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
EXPORTERS = ("otlp", "console", "none")

Attributes = Mapping[str, str | int]


class Outcome:
    """Where the body of `Traces.rebalance` says how it ended."""

    def __init__(self) -> None:
        self.word = ""


class Traces:
    """Traces that are off: every method does nothing. `on` lets a hot path skip even the call."""

    on = False

    def check(
        self, decision: str, *, outcome: str, reason: str, rule: str, times: tuple[int, int], parent: str
    ) -> None:
        """Record one decision; `times` are start and end in ns since 1970, `parent` the caller's `traceparent`."""

    def commit(self, records: int, times: tuple[int, int], code: str = "") -> None:
        """Record one group commit of the ledger; `code` is the error's when it failed."""

    @contextmanager
    def rebalance(self, identifier: str, parent: str = "") -> Iterator[Outcome]:
        """Record the body as one rebalance; it says how it ended in `word`. An exception ends it as failed."""
        del identifier, parent
        yield Outcome()

    def close(self) -> None:
        """Send what waits, then stop."""


OFF = Traces()
"""Traces that are off."""


class _Recorded(Traces):
    """Traces that are sent by `provider`."""

    on = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("lexorder", installed("lexorder"))

    def check(
        self, decision: str, *, outcome: str, reason: str, rule: str, times: tuple[int, int], parent: str
    ) -> None:
        told = {"lexorder.decision": decision, "lexorder.outcome": outcome}
        led = {"lexorder.reason": reason, "lexorder.rule": rule} if reason else {}
        self._record("check", times, {**told, **led}, parent)

    def commit(self, records: int, times: tuple[int, int], code: str = "") -> None:
        self._record("ledger commit", times, {"lexorder.records": records}, failed=code)

    @contextmanager
    def rebalance(self, identifier: str, parent: str = "") -> Iterator[Outcome]:
        from opentelemetry.trace import Status, StatusCode

        ended = Outcome()
        told = {"lexorder.rebalance": identifier}
        span = self._tracer.start_span("rebalance", _context(parent), attributes=told, record_exception=False)
        try:
            yield ended
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.set_attribute("lexorder.outcome", ended.word)
            span.end()

    def close(self) -> None:
        self._provider.shutdown()

    def _record(
        self, name: str, times: tuple[int, int], attributes: Attributes, parent: str = "", failed: str = ""
    ) -> None:
        from opentelemetry.trace import Status, StatusCode

        with suppress(Exception):  # a sampler or processor from outside may fail; a decision may not fail with it
            span = self._tracer.start_span(name, _context(parent), attributes=dict(attributes), start_time=times[0])
            if failed:
                span.set_status(Status(StatusCode.ERROR, failed))
            span.end(times[1])


def _context(parent: str) -> Context:
    """The caller's trace, or a new one when `parent` is no W3C `traceparent`."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent}, Context()) if parent else Context()


def from_environment(shard: int = 0) -> Traces:
    """Traces as the OTEL_* variables want them, for the worker of a shard.

    Raises:
        UsageError: traces are asked for and cannot be sent: `traces-not-installed`, `unknown-exporter`,
            `unknown-protocol`.
    """
    exporter = _exporter_name()
    if exporter == "none":
        return OFF
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        sender = _exporter(exporter)
    except ImportError:
        raise UsageError(
            "traces-not-installed", "OTEL_* asks for traces: install `lexorder[traces]`, or set OTEL_SDK_DISABLED=true"
        ) from None
    name = os.environ.get("OTEL_SERVICE_NAME") or "lexorder"
    told = Resource.create(
        {"service.name": name, "service.version": installed("lexorder"), "service.instance.id": f"{name}-{shard}"}
    )
    provider = TracerProvider(resource=told, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(sender))
    return _Recorded(provider)


def _exporter_name() -> str:
    """otlp, console or none, from the environment alone."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none"
    asked = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    name = asked or ("otlp" if any(os.environ.get(variable) for variable in ENDPOINTS) else "none")
    if name not in EXPORTERS:
        known = ", ".join(EXPORTERS)
        raise UsageError("unknown-exporter", f"OTEL_TRACES_EXPORTER is {shown(name)}; lexorder has {known}")
    protocol = next((os.environ[v].strip() for v in PROTOCOLS if os.environ.get(v)), PROTOCOL)
    if name == "otlp" and protocol != PROTOCOL:
        raise UsageError("unknown-protocol", f"{PROTOCOLS[1]} is {shown(protocol)}; lexorder has {PROTOCOL}")
    return name


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)  # the log has standard output to itself
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
