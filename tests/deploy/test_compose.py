"""compose.yaml, read without an engine: what it names is there, nothing listens to the world, nothing is root's."""

import re

import pytest

from lexorder.engine.ledger.database import read_url
from tests.deploy.files import DEPLOY, document

COMPOSE = document(DEPLOY / "compose.yaml")
SERVICES = COMPOSE["services"]

# Keys of a service and of the top level that the Compose specification has and this file uses. A misspelt one is
# refused by an engine, which does not run here.
# https://github.com/compose-spec/compose-spec/blob/main/05-services.md
KEYS = {
    "build", "image", "restart", "depends_on", "environment", "ports", "volumes", "networks", "read_only", "tmpfs",
    "cap_drop", "security_opt", "stop_grace_period", "command", "healthcheck",
}  # fmt: skip
TOP = {"name", "services", "networks", "volumes"}


def test_keys_are_those_of_the_specification():
    assert set(COMPOSE) <= TOP
    for name, service in SERVICES.items():
        assert set(service) <= KEYS, name


def test_the_four_are_there():
    assert set(SERVICES) == {"lexorder", "postgres", "prometheus", "grafana"}


def test_what_is_mounted_is_in_the_checkout_or_declared():
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
                assert volume.endswith(":ro")
            else:
                assert source in COMPOSE["volumes"]
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert set(COMPOSE["volumes"]) <= used


def test_networks_are_declared_and_the_database_is_out_of_reach_of_what_watches():
    assert {network for service in SERVICES.values() for network in service["networks"]} == set(COMPOSE["networks"])
    assert not set(SERVICES["postgres"]["networks"]) & set(SERVICES["grafana"]["networks"])
    assert not set(SERVICES["postgres"]["networks"]) & set(SERVICES["prometheus"]["networks"])
    assert set(SERVICES["postgres"]["networks"]) & set(SERVICES["lexorder"]["networks"])


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_listens_beyond_this_machine(name):
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_the_database_listens_to_nobody_outside():
    assert "ports" not in SERVICES["postgres"]


def test_dependencies_are_services_and_the_database_is_waited_for():
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
    assert SERVICES["lexorder"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert SERVICES["postgres"]["healthcheck"]["test"][1] == "pg_isready"


def test_passwords_come_from_outside_and_their_absence_stops_the_start():
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable or variable == "LEXORDER_DATABASE":
                assert re.search(r"\$\{\w+_PASSWORD:\?", value), variable
    assert (DEPLOY / ".gitignore").read_text().splitlines()[-1] == ".env"


def test_the_service_reaches_the_database_it_has():
    address = SERVICES["lexorder"]["environment"]["LEXORDER_DATABASE"]
    user, database = (SERVICES["postgres"]["environment"][f"POSTGRES_{word}"] for word in ("USER", "DB"))
    assert address.startswith(f"postgresql+pg8000://{user}:")
    assert address.endswith(f"@postgres/{database}")
    parsed = read_url(re.sub(r"\$\{[^}]*\}", "0" * 48, address))
    assert (parsed.username, parsed.password, parsed.host, parsed.database) == (user, "0" * 48, "postgres", database)


def test_the_database_keeps_what_it_acknowledged():
    command = SERVICES["postgres"]["command"]
    for setting in ("fsync=on", "synchronous_commit=on", "full_page_writes=on"):
        assert setting in command


def test_prometheus_scrapes_the_service_where_it_listens():
    scraped = document(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"]
    assert scraped == ["lexorder:8000"]
    assert SERVICES["lexorder"]["ports"] == ["127.0.0.1:8000:8000"]
    assert set(SERVICES["lexorder"]["networks"]) & set(SERVICES["prometheus"]["networks"])
    assert SERVICES["lexorder"]["environment"]["LEXORDER_OPEN_METRICS"] == "true"


def test_grafana_asks_prometheus_where_it_listens():
    source = document(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert set(SERVICES["grafana"]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_the_service_may_do_little():
    service = SERVICES["lexorder"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
