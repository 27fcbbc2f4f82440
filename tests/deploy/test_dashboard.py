"""The dashboard: whole, legible, and fed by the data source that is provisioned beside it."""

import itertools

import pytest

from tests.deploy.files import DEPLOY, dashboard, document, panels

PROVISIONING = DEPLOY / "grafana" / "provisioning"


def test_it_has_a_name_that_stays():
    assert dashboard()["uid"] == "lexorder"
    assert dashboard()["title"]


def test_panels_have_numbers_of_their_own():
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(numbers) == len(set(numbers))


def covered(panel):
    place = panel["gridPos"]
    return {
        (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    }


def test_no_panel_covers_another_or_leaves_the_page():
    squares = [covered(panel) for panel in dashboard()["panels"]]
    assert all(0 <= x < 24 for square in squares for x, _ in square)
    assert not [1 for one, other in itertools.combinations(squares, 2) if one & other]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows(panel):
    assert len(panel["description"].split()) >= 3
    assert panel["targets"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    references = [target["refId"] for target in panel["targets"]]
    assert len(references) == len(set(references))
    if panel["type"] == "timeseries":
        assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_can_be_narrowed(panel):
    for target in panel["targets"]:
        assert 'job=~"$job"' in target["expr"]
        if "lexorder_" in target["expr"]:
            assert 'shard=~"$shard"' in target["expr"]


def test_variables_used_are_variables_declared():
    declared = {variable["name"] for variable in dashboard()["templating"]["list"]}
    assert declared == {"datasource", "job", "shard"}


def test_an_absent_figure_is_never_drawn_as_a_good_one():
    assert not [t for panel in panels() for t in panel["targets"] if "vector(" in t["expr"] or "absent(" in t["expr"]]


def test_provisioning_finds_the_dashboard_and_its_data():
    (source,) = document(PROVISIONING / "datasources" / "prometheus.yaml")["datasources"]
    assert source["type"] == "prometheus"
    assert source["isDefault"] is True
    scraped = document(DEPLOY / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
    (provider,) = document(PROVISIONING / "dashboards" / "lexorder.yaml")["providers"]
    grafana = document(DEPLOY / "compose.yaml")["services"]["grafana"]
    mounted = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert mounted["./grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"
