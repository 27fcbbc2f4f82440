"""Every query of the alerts and the dashboard reads what is published, and every figure is looked at by one."""

import pytest

from lexorder.api.service.metric_families import FAMILIES
from tests.deploy.files import queries
from tests.deploy.promql import names, problems


@pytest.mark.parametrize(
    ("where", "query"), queries(), ids=lambda value: value if value[:5] in ("alert", "panel") else ""
)
def test_a_query_reads_what_is_published(where, query):
    assert problems(query) == []


def test_every_figure_is_looked_at():
    read = {name for _, query in queries() for name in names(query)}
    unread = [family.name for family in FAMILIES.values() if not read & set(family.series)]
    assert unread == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("lexorder_ledger_lag", "`lexorder_ledger_lag` is not published"),
        ('lexorder_feed_age_seconds{name="prices"} > 1', "`lexorder_feed_age_seconds` has no label `name`"),
        ("sum by (rule) (lexorder_ledger_failed)", "`lexorder_ledger_failed` has no label `rule` to group by"),
        ("rate(lexorder_feed_age_seconds[5m])", "rate() of the gauge `lexorder_feed_age_seconds`"),
        ("deriv(lexorder_feed_gaps_total[5m])", "deriv() of the counter `lexorder_feed_gaps_total`"),
        (
            "histogram_quantile(0.9, sum by (shard) (rate(lexorder_check_seconds_bucket[5m])))",
            "histogram_quantile() after `le` was summed away",
        ),
        (
            "histogram_quantile(0.9, rate(lexorder_check_seconds_count[5m]))",
            "histogram_quantile() of `lexorder_check_seconds_count`, which has no buckets",
        ),
    ],
)
def test_a_planted_mistake_is_found(query, problem):
    assert problem in problems(query)


@pytest.mark.parametrize("query", ["rate(up[5m)", "sum by lexorder_ledger_failed", "up{", "rate(up)", "up and"])
def test_what_is_no_promql_is_found(query):
    (problem,) = problems(query)
    assert problem.startswith("no PromQL")
