"""What is wrong with a query, as far as it can be said without a Prometheus: names, labels, types."""

from collections.abc import Iterator
from typing import Any

import pytest

from lexorder.api.service.metric_families import FAMILIES

promql_parser: Any = pytest.importorskip("promql_parser", reason="promql-parser is not installed: no query is checked")

TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus adds to every series."""

OURS = {series: frozenset(f.labels) | {"shard"} for f in FAMILIES.values() for series in f.series}
PROCESS = ("process_resident_memory_bytes", "process_cpu_seconds_total")
KNOWN: dict[str, frozenset[str]] = {
    **{name: labels | TARGET | ({"le"} if name.endswith("_bucket") else frozenset()) for name, labels in OURS.items()},
    **dict.fromkeys((*PROCESS, "up"), TARGET),
}
"""Series → its labels."""

COUNTERS = frozenset(
    series
    for family in FAMILIES.values()
    for series in family.series
    if family.kind != "gauge"
) | {"process_cpu_seconds_total"}  # fmt: skip

FOR_COUNTERS = frozenset({"rate", "irate", "increase"})
FOR_GAUGES = frozenset({"deriv", "delta", "min_over_time", "max_over_time", "avg_over_time"})


def nodes(expression: Any) -> list[Any]:
    """The node and all below it, from above."""
    found: list[Any] = []
    promql_parser.walk(expression, found.append)
    return found


def selectors(expression: Any) -> list[Any]:
    """The series a query reads."""
    return [node for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)]


def names(text: str) -> set[str]:
    """The names of the series a query reads."""
    return {selector.name for selector in selectors(promql_parser.parse(text))}


def problems(text: str) -> list[str]:
    """One line for each thing that is wrong; empty when nothing is."""
    try:
        expression = promql_parser.parse(text)
    except ValueError as error:
        return [f"no PromQL: {error}"]
    found: list[str] = []
    for node in nodes(expression):
        found.extend(_wrong(node))
    return found


def _wrong(node: Any) -> Iterator[str]:
    if isinstance(node, promql_parser.VectorSelector):
        yield from _selector(node)
    elif isinstance(node, promql_parser.AggregateExpr):
        yield from _aggregate(node)
    elif isinstance(node, promql_parser.Call):
        yield from _call(node)


def _selector(node: Any) -> Iterator[str]:
    if node.name not in KNOWN:
        yield f"`{node.name}` is not published"
        return
    for matcher in node.matchers.matchers:
        if matcher.name not in KNOWN[node.name]:
            yield f"`{node.name}` has no label `{matcher.name}`"


def _aggregate(node: Any) -> Iterator[str]:
    if node.modifier is None:
        return
    for selector in selectors(node.expr):
        for label in node.modifier.labels:
            if selector.name in KNOWN and label not in KNOWN[selector.name]:
                yield f"`{selector.name}` has no label `{label}` to group by"


def _call(node: Any) -> Iterator[str]:
    name = node.func.name
    read = [selector.name for argument in node.args for selector in selectors(argument)]
    for series in read:
        if name in FOR_COUNTERS and series in KNOWN and series not in COUNTERS:
            yield f"{name}() of the gauge `{series}`"
        if name in FOR_GAUGES and series in COUNTERS:
            yield f"{name}() of the counter `{series}`"
        if name == "histogram_quantile" and not series.endswith("_bucket"):
            yield f"histogram_quantile() of `{series}`, which has no buckets"
    if name == "histogram_quantile":
        grouped = [n.modifier.labels for n in nodes(node) if isinstance(n, promql_parser.AggregateExpr)]
        if any("le" not in labels for labels in grouped):
            yield "histogram_quantile() after `le` was summed away"
