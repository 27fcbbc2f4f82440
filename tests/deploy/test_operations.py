"""docs/operations.md says what is there."""

import re

from typer.testing import CliRunner

from lexorder.api.cli import app
from lexorder.api.service.export import ANONYMISED, COLUMNS
from lexorder.api.service.metric_families import FAMILIES
from lexorder.api.service.metrics import SERIES_MAX
from lexorder.api.service.restoring import LASTING
from lexorder.engine.ledger.tail import CHECKED
from tests.deploy.files import DEPLOY, OPERATIONS, ROOT, alerts

TEXT = OPERATIONS.read_text(encoding="utf-8")


def test_the_table_of_figures_is_the_list():
    found = re.findall(r"^\| `(lexorder_\w+)` \| (\w+) \| (.+?) \| (.+) \|$", TEXT, re.M)
    listed = [(f.name, f.kind, ", ".join(f"`{label}`" for label in f.labels) or "–", f.help) for f in FAMILIES.values()]
    assert found == listed


def test_the_columns_of_an_export_are_those_it_has():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (all|plain exports) \|", TEXT, re.M)
    told = [(name.strip("` "), where) for names, where in rows for name in names.split(",")]
    assert tuple(name for name, _ in told) == COLUMNS
    assert tuple(name for name, where in told if where == "all") == ANONYMISED


def test_flags_it_names_are_flags():
    for command, usage in re.findall(r"^(lexorder ledger \w+) (.*--.*)$", TEXT, re.M):
        words = command.split()[1:]
        answer = CliRunner().invoke(app, [*words, "--help"], terminal_width=200)
        assert answer.exit_code == 0
        for flag in re.findall(r"--[a-z]+", usage):
            assert flag in answer.output, (command, flag)


def test_what_stays_is_what_is_said_to_stay():
    told = TEXT[TEXT.index("Not cut, whatever the day") :]
    for kind in LASTING:
        assert kind.replace("rulebook", "rule book").replace("-", " ") in told
    assert f"{CHECKED:,} records" in told


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
