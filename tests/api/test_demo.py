"""The demonstration: it runs, says what it must, writes what it promises, twice the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lexorder.api import charts, cli, demo_data, demo_tour, figures
from lexorder.engine import verify
from lexorder.engine.errors import SolverError, UsageError
from tests.api.commands import mistaken

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """One short run: its folder and what it printed."""
    out = tmp_path_factory.mktemp("demo")
    result = CliRunner().invoke(cli.app, ["demo", "--out", str(out), "--weeks", "24"], env={"COLUMNS": "160"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 0, result.output
    return out, result.output


def test_it_shows_every_part(tour):
    _, said = tour
    for part in (
        "Signals, before and after the rules",
        "Orders",
        "Weights",
        "Limits, before and after",
        "Binding rules",
    ):
        assert part in said
    assert said.count("VALID") == 2
    assert "REJECT" in said
    assert "A minimal set of rules in conflict" in said


def test_the_refused_order_breaks_exactly_two_rules_and_knows_its_largest_size(tour):
    out, said = tour
    decision = json.loads((out / "refused.json").read_text())
    assert decision["outcome"] == "reject"
    assert [v["rule"] for v in decision["violations"]] == ["max-issuer-weight", "max-sector-weight"]
    largest = int(decision["largest_compliant"]["quantity"])
    assert 0 < largest < 7000
    assert f"Largest compliant quantity: {largest:,}" in said


def test_the_conflict_names_three_rules_of_which_one_alone_would_do(tour):
    out, _ = tour
    clashes = json.loads((out / "infeasible.json").read_text())["conflict"]
    assert [c["rule"] for c in clashes] == ["client-energy-floor", "max-correlated-pair", "max-issuer-weight"]
    assert 0.12 < float(clashes[0]["smallest_relaxed_limit"]) < 0.13


def test_the_certificates_are_valid_by_themselves(tour):
    out, _ = tour
    for name in ("certificate.json", "conflict-certificate.json"):
        done = subprocess.run(
            [sys.executable, "-I", verify.__file__, out / name], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_orders_come_in_two_waves_and_cure_what_was_broken(tour):
    out, _ = tour
    document = json.loads((out / "orders.json").read_text())
    assert {o["wave"] for o in document["orders"]} == {"1", "2"}
    assert all(o["Side"] == "2" for o in document["orders"] if o["wave"] == "1")
    assert all(d["outcome"] == "approve" for d in document["decisions"])
    assert any(h["status_before"] == "passive" for h in document["headroom"])
    assert not any(h["status_after"] in ("passive", "breach") for h in document["headroom"])


class Page(HTMLParser):
    """Collects what a page would fetch, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.titles = 0

    def handle_starttag(self, tag, attrs):
        self.fetched += [v for k, v in attrs if k in ("src", "href") and v]
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)
        self.titles += tag == "title"

    def handle_startendtag(self, tag, attrs):
        self.fetched += [v for k, v in attrs if k in ("src", "href") and v]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_accessible_page(tour):
    text = (tour[0] / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.fetched == []
    assert page.open == []
    assert "<script" not in text
    assert text.count("<svg") == page.titles - 1 + text.count('class="usage"')
    assert 'lang="en"' in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert len(re.findall(r'role="img"', text)) >= 2


def test_a_second_run_writes_the_same(tour, tmp_path):
    CliRunner().invoke(cli.app, ["demo", "--out", str(tmp_path), "--weeks", "24"])
    for name in ("orders.json", "certificate.json", "report.html", "refused.json", "infeasible.json"):
        assert (tmp_path / name).read_bytes() == (tour[0] / name).read_bytes(), name


def test_a_file_that_cannot_be_written_is_named_and_no_defect(tmp_path):
    """Something else has the name."""
    (tmp_path / "certificate.json").mkdir()
    said = mistaken("demo", "--out", tmp_path, "--weeks", "12")
    assert "file-unwritable: " in said
    assert "cannot be written: Is a directory" in said
    assert not (tmp_path / "report.html").exists()


def test_what_cannot_be_read_elsewhere_is_not_said_to_be_unwritable_here(tmp_path):
    with pytest.raises(FileNotFoundError), demo_tour._writing(tmp_path):
        (tmp_path.parent / "nowhere").read_text()


def test_without_skfolio_it_says_what_to_do(monkeypatch):
    def absent(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(UsageError, match="pip install --no-deps skfolio"):
        demo_data.price_file()


def test_another_skfolio_is_refused(monkeypatch):
    class Other:
        files: tuple[Path, ...] = ()

    monkeypatch.setattr(metadata, "distribution", lambda _: Other())
    with pytest.raises(UsageError, match="has no skfolio"):
        demo_data.price_file()


def test_prices_are_read_without_importing_skfolio():
    demo_data.market()
    assert "skfolio" not in sys.modules


def test_the_starting_portfolio_is_ten_million_in_whole_shares():
    found = demo_data.market()
    document = demo_data.snapshot_document(found, [])
    worth = sum(Fraction(found.marks[p["symbol"]]) * int(p["quantity"]) for p in document["positions"])
    assert worth + Fraction(document["accounts"][0]["cash"]) == 10_000_000


def test_a_certificate_that_is_refused_stops(tmp_path):
    from lexorder.api.proof import verifier

    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(SolverError, match="refused"):
        verifier(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (Fraction(1, 8), 1, "0.1"),
        (Fraction(-5, 2), 0, "-2"),
        (1_234_567, 0, "1,234,567"),
        (Fraction(7, 1000), 2, "0.01"),
        (None, 2, "–"),
    ],
)
def test_figures_round_half_to_even(value, places, text):
    assert figures.number(value, places) == text


def test_charts_escape_labels_and_need_no_bars():
    bar = charts.Bar("<b>&", Fraction(1, 10), Fraction(1, 20), Fraction(1, 10))
    drawn = charts.before_after("x", "T", [bar])
    assert "&lt;b&gt;&amp;" in drawn
    assert "<b>" not in drawn
    assert charts.before_after("x", "T", []) == ""
    assert 'class="bad"' in charts.usage(Fraction(11, 10))
