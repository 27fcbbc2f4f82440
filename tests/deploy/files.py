"""The files of deploy/, read the way their programs read them."""

import json
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "lexorder.json"
OPERATIONS = ROOT / "docs" / "operations.md"

YAML_FILES = sorted([*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")])


def documents(path: Path) -> list[Any]:
    """All documents of a YAML file, by YAML 1.2."""
    return list(YAML(typ="safe").load_all(path.read_text(encoding="utf-8")))


def documents_1_1(path: Path) -> list[Any]:
    """The same by YAML 1.1, in which `no` and `on` without quotes are not text."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def document(path: Path) -> Any:
    """The only document of a YAML file."""
    (only,) = documents(path)
    return only


def alerts() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for group in document(ALERTS)["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    return dict(json.loads(DASHBOARD.read_text(encoding="utf-8")))


def panels() -> list[dict[str, Any]]:
    """The panels that draw something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """Every query of alerts and dashboard with where it stands; Grafana's variables are filled in."""
    from_alerts = [(f"alert {a['alert']}", a["expr"]) for a in alerts()]
    from_panels = [(f"panel {p['title']}", filled(t["expr"])) for p in panels() for t in p["targets"]]
    return from_alerts + from_panels


def filled(expression: str) -> str:
    """A query with values for Grafana's variables."""
    return expression.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$shard", ".*")
