"""The alerts: each complete, explained in the manual, and tried on made-up series by Prometheus' own tool.

`promtool` comes with Prometheus (Debian's package `prometheus`); where it is not installed, what needs it is skipped
and says so. The queries themselves are checked in `test_queries.py` without it.
"""

import re
import shutil
import subprocess

import pytest

from tests.deploy.files import ALERTS, DEPLOY, OPERATIONS, ROOT, alerts, document

CASES = ROOT / "tests" / "deploy" / "alerts_test.yaml"
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


def promtool(*arguments):
    return subprocess.run([str(PROMTOOL), *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_how_soon_and_what_to_do(alert):
    assert re.fullmatch(r"Lexorder[A-Z]\w+", alert["alert"])
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert set(alert["annotations"]) == {"summary", "runbook"}
    file, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert ROOT / file == OPERATIONS
    assert anchor in {heading.lower() for heading in re.findall(r"^### `?(\w+)`?$", OPERATIONS.read_text(), re.M)}


def test_names_are_unique():
    named = [alert["alert"] for alert in alerts()]
    assert len(named) == len(set(named))


def test_every_alert_is_tried_with_something_firing():
    fired = {
        case["alertname"] for test in document(CASES)["tests"] for case in test["alert_rule_test"] if case["exp_alerts"]
    }
    assert fired == {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize(
    "asked_for",
    [
        "lexorder_evaluator_disagreements_total > 0",
        "lexorder_ledger_lag_records",
        "lexorder_ledger_failed",
        "lexorder_feed_age_seconds",
        "lexorder_feed_doubtful",
        "histogram_quantile(0.99",
        '5.."',
        'outcome="reject"',
        'scope="firm", state="HALTED"',
    ],
)
def test_what_a_desk_must_know_has_an_alert(asked_for):
    assert any(asked_for in alert["expr"] for alert in alerts())


@needs_promtool
@pytest.mark.parametrize("name", ["prometheus.yml", "kubernetes.yml"])
def test_prometheus_takes_the_configuration(name):
    answer = promtool("check", "config", "--syntax-only", DEPLOY / "prometheus" / name)
    assert answer.returncode == 0, answer.stderr


@needs_promtool
def test_prometheus_takes_the_alerts():
    answer = promtool("check", "rules", ALERTS)
    assert answer.returncode == 0, answer.stderr


@needs_promtool
def test_the_alerts_fire_when_they_should_and_only_then():
    answer = promtool("test", "rules", CASES)
    assert answer.returncode == 0, answer.stderr


LOOSENED = [
    ("> 2000", "> 2001"),
    ("> 2000", ">= 2000"),
    ("> 15\n", ">= 15\n"),
    ("> 15\n", "> 16\n"),
    ("feed_doubtful == 1", "feed_doubtful >= 0"),
    ("< -5", "<= -5"),
    ("< -5", "< -6"),
    ("> 0.005", "> 0.008"),
    ("> 0.05\n        for: 2m", "> 0.08\n        for: 2m"),
    ("> 0.05\n        for: 1m", "> 0.1\n        for: 1m"),
    ("> 0.05\n        for: 1m", ">= 0.05\n        for: 1m"),
    ("> 0.001", "> 0.02"),
    ("> 0.001", "> 0.0009"),
    ("> 3 *", "> 0 *"),
    ("> 3 *", "> 30 *"),
    ("> 0.2\n        for", "> 0\n        for"),
    ('status=~"5.."', 'status=~"[45].."'),
    ('scope="firm", ', ""),
    ("ledger_failed == 1", "ledger_failed == 2"),
    ("heads_failed == 1\n        for: 1m", "heads_failed == 1\n        for: 0s"),
    ("unless on", "and on"),
    ("count by (hash)", "count by (shard)"),
    ("> 2000\n        for: 10s", "> 2000\n        for: 60s"),
]


@needs_promtool
@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong"), LOOSENED)
def test_an_alert_that_was_changed_is_noticed(right, wrong, tmp_path):
    text = ALERTS.read_text()
    assert right in text
    (tmp_path / "alerts.yaml").write_text(text.replace(right, wrong))
    (tmp_path / "cases.yaml").write_text(CASES.read_text().replace("../../deploy/prometheus/", ""))
    answer = promtool("test", "rules", tmp_path / "cases.yaml")
    assert answer.returncode == 1, "the cases do not notice"
    assert "FAILED" in answer.stderr


@needs_promtool
@pytest.mark.slow
@pytest.mark.parametrize("name", [alert["alert"] for alert in alerts()])
def test_an_alert_that_never_fires_is_noticed(name, tmp_path):
    text = ALERTS.read_text()
    silenced = re.sub(rf"(- alert: {name}\n +expr: )(?:>-\n(?: {{10}}.+\n)+|.+\n)", r"\1vector(0) > 1\n", text)
    assert silenced != text
    (tmp_path / "alerts.yaml").write_text(silenced)
    (tmp_path / "cases.yaml").write_text(CASES.read_text().replace("../../deploy/prometheus/", ""))
    answer = promtool("test", "rules", tmp_path / "cases.yaml")
    assert answer.returncode == 1
    assert name in answer.stderr
