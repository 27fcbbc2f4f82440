"""The closed table of codes: documented, used, and nothing else is raised."""

from __future__ import annotations

import re

import pytest

from lexorder.engine import codes
from lexorder.engine.codes import CODES, Findings, nearest_name, refuse
from lexorder.engine.errors import RuleFileError
from lexorder.engine.terms import Span
from tests.language.conftest import RULEFILES

ROOT = RULEFILES.parent.parent
FRONT_END = [p for p in (ROOT / "engine").glob("*.py") if p.name != "codes.py"]


def test_documented_codes_are_the_codes():
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", (ROOT / "docs/errors.md").read_text("utf-8"), re.M)
    assert rows == list(CODES.items())


def test_every_code_is_used_somewhere():
    source = "".join(path.read_text("utf-8") for path in FRONT_END)
    assert [code for code in CODES if f'"{code}"' not in source] == []


def test_meanings_are_one_line_in_lower_case_without_a_full_stop():
    for code, meaning in CODES.items():
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code)
        assert "\n" not in meaning
        assert not meaning.endswith(".")


def test_a_code_outside_the_table_cannot_be_raised():
    with pytest.raises(AssertionError):
        refuse("made-up", "words", Span())


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("quantiy", ["quantity", "price"], "quantity"),
        ("VOLATIL", ["NORMAL", "VOLATILE"], "VOLATILE"),
        ("volatile", ["NORMAL", "VOLATILE"], "VOLATILE"),
        ("BUY", ["buy", "sell"], "buy"),
        ("zzz", ["buy", "sell"], ""),
        ("x", [], ""),
    ],
)
def test_nearest_name(word, known, near):
    assert nearest_name(word, known) == near


def test_findings_are_kept_in_file_order_and_once():
    findings = Findings()
    findings.raise_any()
    findings.add("syntax", "b", Span("f", 2, 1))
    with findings.catching():
        refuse("syntax", "a", Span("f", 1, 9), "near")
    findings.add("syntax", "b", Span("f", 2, 1))
    with pytest.raises(RuleFileError) as caught:
        findings.raise_any()
    assert [p.render() for p in caught.value.problems] == ["f:1:9: syntax: a; did you mean `near`?", "f:2:1: syntax: b"]


def test_only_rule_file_errors_are_caught():
    findings = Findings()
    with pytest.raises(ZeroDivisionError), findings.catching():
        raise ZeroDivisionError
    assert findings.problems == []


def test_the_table_says_which_module_it_is_for():
    assert "rule files" in str(codes.__doc__)
