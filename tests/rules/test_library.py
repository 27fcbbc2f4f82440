"""The library as a whole: clean, complete, cited, and listed in the manual."""

from __future__ import annotations

import csv
import re
from datetime import date

import pytest

from lexorder.engine.catalogue import latest, page
from lexorder.engine.rule import Phase, Rule, TermClass
from lexorder.engine.rulebook import rule_files
from lexorder.engine.symbols import is_symbol
from tests.rules.library import FOLDERS, LIBRARY, ROOT, book

RULES = [latest(item) for item in book().versions]
DEMANDS = [r for r in RULES if r.require is not None]
OTHERS = [r for r in RULES if r.require is None]
NEVER_PASS = {"restricted-list"}
"""Where the rule applies at all, every order breaks it; the order that goes is one it does not apply to."""
CHOSEN = {
    "ucits-five-ten-forty",
    "ucits-covered-bond-total",
    "ucits-article-54-issues-kept",
    "diversified-company",
}
"""Laws that add up the issuers above a size, which jumps as an issuer passes it."""
NAMES = [r.id for r in RULES]
DAY = re.compile(r"\b[12][0-9]{3}-[01][0-9]-[0-3][0-9]\b|\b17 CFR\b|\bRule [0-9]")


def outcome(expect: object) -> str:
    """The outcome an example expects: `pass`, `fail`, `derive`, `fires`, …"""
    return expect if isinstance(expect, str) else str(next(iter(expect)))  # type: ignore[call-overload]


def outcomes(rule: Rule) -> set[str]:
    return {outcome(example.expect) for example in rule.examples}


def test_every_rule_file_is_in_a_folder_of_the_library() -> None:
    assert {path.parent.name for path in rule_files([LIBRARY])} == set(FOLDERS)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_rule_is_titled_cited_and_owned(rule: Rule) -> None:
    assert rule.title
    assert not rule.title.endswith(".")
    assert rule.owner
    assert DAY.search(rule.cite), rule.cite
    assert all(let.cite for let in rule.history if let.since is not None)


@pytest.mark.parametrize("rule", DEMANDS, ids=[r.id for r in DEMANDS])
def test_every_requirement_has_a_passing_and_a_failing_example(rule: Rule) -> None:
    assert ("not_applicable" if rule.id in NEVER_PASS else "pass") in outcomes(rule)
    assert "fail" in outcomes(rule)
    assert rule.message


@pytest.mark.parametrize("rule", OTHERS, ids=[r.id for r in OTHERS])
def test_every_other_rule_has_an_example_that_fires_and_one_that_does_not(rule: Rule) -> None:
    assert outcomes(rule) & {"derive", "fires"}
    assert outcomes(rule) & {"not_applicable", "silent"}


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_examples_have_different_names(rule: Rule) -> None:
    named = [example.name for example in rule.examples]
    assert all(named)
    assert len(named) == len(set(named))


@pytest.mark.parametrize("rule", DEMANDS, ids=[r.id for r in DEMANDS])
def test_facts_alone_never_steer_the_optimizer_and_never_pass_as_old_breaches(rule: Rule) -> None:
    assert rule.classified is not None
    if rule.classified.term_class is TermClass.FACTS_ONLY:
        assert rule.phases <= {Phase.PRE_TRADE, Phase.MONITOR}
        assert not rule.may_improve
    else:
        # Everything that depends on fills is a shape the optimizer can take as it is, or adds up chosen issuers.
        admitted = {TermClass.LINEAR, TermClass.CONVEX}
        assert rule.classified.term_class in (admitted | {TermClass.MIXED_INTEGER} if rule.id in CHOSEN else admitted)


def test_the_library_loads_on_every_day_something_changes() -> None:
    for day in (*book().dates(), date(2001, 9, 27), date(2030, 1, 1)):
        assert len(book().on(day)) >= 1


def test_the_page_of_the_library_is_current() -> None:
    assert (ROOT / "docs" / "library.md").read_text(encoding="utf-8") == page(book()), (
        "run `python -m lexorder.engine.catalogue rules > docs/library.md`"
    )


def test_sample_lists_have_entries_the_snapshot_admits() -> None:
    with (LIBRARY / "lists" / "restricted.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["list"] for row in rows} == {"restricted", "watch"}
    for row in rows:
        assert is_symbol(row["name"])
        assert row["reason"]
        since, until = row["from"], row["until"]
        assert date.fromisoformat(since) < (date.fromisoformat(until) if until else date.max)
