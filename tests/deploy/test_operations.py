"""docs/operations.md says what is there."""

import re

from lexorder.api.service.metric_families import FAMILIES
from lexorder.api.service.metrics import SERIES_MAX
from tests.deploy.files import DEPLOY, OPERATIONS, ROOT, alerts

TEXT = OPERATIONS.read_text(encoding="utf-8")


def test_the_table_of_figures_is_the_list():
    found = re.findall(r"^\| `(lexorder_\w+)` \| (\w+) \| (.+?) \| (.+) \|$", TEXT, re.M)
    listed = [(f.name, f.kind, ", ".join(f"`{label}`" for label in f.labels) or "–", f.help) for f in FAMILIES.values()]
    assert found == listed


def test_every_alert_and_no_other_is_explained():
    explained = set(re.findall(r"^### (Lexorder\w+)$", TEXT, re.M))
    sent_to = {alert["annotations"]["runbook"].partition("#")[2] for alert in alerts()}
    assert {name.lower() for name in explained} == sent_to


def test_files_it_names_exist():
    named = set(re.findall(r"`((?:deploy|tests|api)/[\w./-]+)`", TEXT))
    assert named
    assert all((ROOT / name).exists() for name in named)
    for file in DEPLOY.rglob("*"):
        if file.is_file() and not file.name.startswith(".") and file.suffix != ".dockerignore":
            assert any(file == ROOT / name or (ROOT / name) in file.parents for name in named), file


def test_pages_it_sends_to_exist():
    for page in re.findall(r"\]\((\w[\w./-]*\.md)\)", TEXT):
        assert (OPERATIONS.parent / page).is_file(), page


def test_the_bound_it_names_is_the_bound():
    assert f"{SERIES_MAX:,} combinations of outcome" in TEXT
