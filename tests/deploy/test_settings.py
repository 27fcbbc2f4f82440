"""What deploy/ tells the service is what the service reads; nothing is misspelt into silence."""

import os
import re
from dataclasses import fields

import pytest

from lexorder.api.service.settings import PREFIX, Settings, from_environment
from tests.deploy.files import DEPLOY, document, documents

SETTINGS = {PREFIX + known.name.upper() for known in fields(Settings)}
TEXTS = sorted(p for p in DEPLOY.rglob("*") if p.is_file() and p.suffix != ".json")


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_every_variable_is_a_setting(path):
    used = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", path.read_text(encoding="utf-8")))
    assert used <= SETTINGS


def given_by_containerfile():
    text = (DEPLOY / "Containerfile").read_text()
    return dict(re.findall(rf"({PREFIX}[A-Z_]+)=(\S+)", text))


def given_by_compose():
    return {
        name: re.sub(r"\$\{\w+:\?[^}]*\}", "aa", value)
        for name, value in document(DEPLOY / "compose.yaml")["services"]["lexorder"]["environment"].items()
    }


def given_by_kubernetes(file):
    (told,) = [d["data"] for d in documents(DEPLOY / "kubernetes" / file) if d["kind"] == "ConfigMap"]
    return told


@pytest.mark.parametrize(
    "given",
    [
        given_by_containerfile(),
        given_by_compose(),
        given_by_kubernetes("lexorder.yaml"),
        given_by_kubernetes("stateless.yaml"),
    ],
    ids=["Containerfile", "compose", "lexorder.yaml", "stateless.yaml"],
)
def test_the_service_takes_every_value(given):
    assert given
    assert all(isinstance(value, str) for value in given.values())
    settings = from_environment(given)
    for name, value in given.items():
        known = getattr(settings, name.removeprefix(PREFIX).lower())
        assert str(known).lower() == value.lower()


def test_the_container_listens_where_its_probes_ask():
    told = from_environment(given_by_containerfile())
    text = (DEPLOY / "Containerfile").read_text()
    assert told.host == "0.0.0.0"
    assert f"EXPOSE {told.port}" in text
    assert f"http://127.0.0.1:{told.port}/healthz" in text


def test_the_heads_are_kept_apart_from_the_ledger():
    told = from_environment(given_by_containerfile())
    assert told.second_place != told.data_dir
    assert told.data_dir not in told.second_place.parents


@pytest.mark.parametrize("given", [given_by_containerfile(), given_by_compose(), given_by_kubernetes("lexorder.yaml")])
def test_nothing_deployed_is_less_durable_than_the_default(given):
    assert from_environment(given).ledger == "full"


def test_the_alert_on_prices_waits_no_less_than_the_rules_do():
    # A page before the rules themselves are undecided would be noise; long after, too late.
    alerts = (DEPLOY / "prometheus" / "alerts.yaml").read_text()
    (seconds,) = re.findall(r'feed="prices"\} > (\d+)', alerts)
    for given in (given_by_compose(), given_by_kubernetes("lexorder.yaml")):
        assert given["LEXORDER_FEED_AGES"] == f"prices={seconds}"


def test_the_environment_of_this_test_is_not_asked(monkeypatch):
    monkeypatch.setitem(os.environ, "LEXORDER_PORT", "1")
    assert from_environment(given_by_containerfile()).port == 8000
