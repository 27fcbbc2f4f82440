"""`lexorder rules`: findings as compilers print them, a rule in plain English on any day, its schema, its examples."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from lexorder.api.cli_rules import shipped, shown_rule, vocabulary_for
from lexorder.engine.rulebook import RuleBook
from tests.api.commands import command, mistaken

CAP = """\
- rule: cap
  title: No issuer above the limit
  phases: [pre_trade, rebalance]
  for_each: issuer
  effective: {from: 2026-01-01, until: 2030-01-01}
  let:
    limit:
      2026-01-01: {value: 5%, cite: "first letter"}
      2027-01-01: {value: 4%, cite: "second letter"}
      2028-01-01: {value: 3%}
  require: sum(position.after.value) <= limit * account.nav
  owner: risk
  cite: "the mandate"
- rule: size
  title: At most 10 shares
  require: order.quantity <= 10
  tests:
    - name: exactly ten
      given: {order: {quantity: 10}}
      expect: pass
    - name: eleven
      given: {order: {quantity: 11}}
      expect: {fail: hard, max_order: 10}
"""
FINDING = re.compile(r"(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): (?P<code>[a-z0-9-]+): (?P<words>.+)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(CAP)
    return tmp_path


# ---- lint --------------------------------------------------------------------------------------------


def findings(*paths: Path) -> list[re.Match[str]]:
    """What lint finds; it must find something."""
    ended = command("rules", "lint", *paths)
    assert ended.code == 1, ended
    found = [FINDING.fullmatch(line) for line in ended.out.splitlines()]
    assert all(found), ended.out
    many = f"{len(found)} finding" + ("" if len(found) == 1 else "s")
    assert ended.err.startswith(many)
    return [each for each in found if each is not None]


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("order.quantity <= 10", "order.quantitee <= 10", "unknown-name", "order.quantity"),
        ("order.quantity <= 10", "order.quantity <=", "syntax", ""),
        ("order.quantity <= 10", "order.quantity <= 10%", "", ""),
        ("order.quantity <= 10", "order.quantity + order.price <= 10", "", ""),
        ("title: At most 10 shares", "titel: At most 10 shares", "", "title"),
        ("rule: size", "rule: cap", "", "cap"),
        ("rule: size", "rule: Size", "", ""),
        ("for_each: issuer", "for_each: isuer", "", "issuer"),
        ("phases: [pre_trade, rebalance]", "phases: [pretrade]", "", "pre_trade"),
        ("2027-01-01:", "2027-02-30:", "", ""),
        ("limit * account.nav", "limt * account.nav", "", "limit"),
        ("expect: pass", "expect: passes", "", "pass"),
    ],
)
def test_a_finding_names_the_line_that_holds_it(folder: Path, old: str, new: str, code: str, said: str):
    text = CAP.replace(old, new, 1)
    assert text != CAP
    (folder / "a.yaml").write_text(text)
    wrong = max(n for n, line in enumerate(text.splitlines(), 1) if new in line)
    found = findings(folder)
    assert wrong in {int(each["line"]) for each in found}, [each.string for each in found]
    first = next(each for each in found if int(each["line"]) == wrong)
    assert code in first["code"]
    assert said in first["words"]
    assert 1 <= int(first["column"]) <= len(text.splitlines()[wrong - 1]) + 1
    assert Path(first["file"]) == folder / "a.yaml"


def test_every_file_is_linted_and_every_finding_printed(folder: Path):
    for name in ("b", "c"):
        (folder / f"{name}.yaml").write_text(f"- rule: {name}\n  title: T\n  require: order.quantitee <= 1\n")
    found = findings(folder)
    assert [Path(each["file"]).name for each in found] == ["b.yaml", "c.yaml"]
    assert command("rules", "lint", folder).err == "2 findings in 2 files\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"- rule: [", b"a: &x 1\nb: *x\n", b"!!python/object:x {}", b"\x00", b"- 5\n", b"just words"],
    ids=["empty", "not text", "open", "anchor", "tag", "zero byte", "number", "words"],
)
def test_files_that_are_no_rules_have_a_place(tmp_path: Path, content: bytes):
    (tmp_path / "x.yaml").write_bytes(content)
    ended = command("rules", "lint", tmp_path)
    assert ended.code == 1
    assert ended.out
    assert all(FINDING.fullmatch(line) for line in ended.out.splitlines())


def test_no_findings_are_counted(folder: Path):
    ended = command("rules", "lint", folder)
    assert (ended.code, ended.out, ended.err) == (0, "2 rules in 1 file: no findings\n", "")
    (folder / "b.yaml").write_text(CAP.partition("- rule: size")[0].replace("rule: cap", "rule: other"))
    assert command("rules", "lint", folder).out == "3 rules in 2 files: no findings\n"
    assert command("rules", "lint", folder / "b.yaml").out == "1 rule in 1 file: no findings\n"


# ---- show --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "now", "before", "coming"),
    [
        ("2026-01-01", "5%", [], ["4%", "3%"]),
        ("2026-12-31", "5%", [], ["4%", "3%"]),
        ("2027-01-01", "4%", ["5%"], ["3%"]),
        ("2027-12-31", "4%", ["5%"], ["3%"]),
        ("2028-01-01", "3%", ["5%", "4%"], []),
        ("2029-12-31", "3%", ["5%", "4%"], []),
    ],
)
def test_a_day_decides_which_value_is_in_force(folder: Path, day: str, now: str, before: list[str], coming: list[str]):
    said = command("rules", "show", "cap", "--rules", folder, "--date", day).out
    parts = re.split(r"(?m)^(Limits in force on .*|Before:|To come:|Source:.*)$", said)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))

    def values(title: str) -> list[str]:
        return re.findall(r"limit = (\S+) since", sections.get(title, ""))

    assert values(f"Limits in force on {day}:") == [now]
    assert values("Before:") == before
    assert values("To come:") == coming
    assert "In force from 2026-01-01 until 2030-01-01." in said
    assert "Source: the mandate" in said
    assert "Owner: risk" in said
    assert "class: linear" in said or "class: convex" in said


@pytest.mark.parametrize("day", ["2025-12-31", "2030-01-01"])
def test_outside_its_days_a_rule_says_when_the_book_changes(folder: Path, day: str):
    said = mistaken("rules", "show", "cap", "--rules", folder, "--date", day)
    assert said.startswith(f"not-in-force: `cap` is not in force on {day}")
    for change in ("2026-01-01", "2027-01-01", "2028-01-01", "2030-01-01"):
        assert change in said


@pytest.mark.parametrize(
    ("identifier", "hint"), [("cpa", "did you mean `cap`?"), ("sise", "did you mean `size`?"), ("zzzzzzzz", "")]
)
def test_a_rule_that_is_not_there_comes_with_the_nearest(folder: Path, identifier: str, hint: str):
    said = mistaken("rules", "show", identifier, "--rules", folder, "--date", "2026-06-15")
    assert said.startswith(f"unknown-rule: there is no rule `{identifier}`")
    assert said.rstrip().endswith(hint or "`")


@pytest.mark.parametrize("day", ["2026-02-30", "20260615", "15.06.2026", "", "tomorrow", "2026-6-15", "0000-01-01"])
def test_a_day_that_is_none_is_no_day(folder: Path, day: str):
    assert mistaken("rules", "show", "cap", "--rules", folder, "--date", day).startswith("bad-date: ")


def test_hostile_words_are_not_printed_as_they_are(folder: Path):
    said = mistaken("rules", "show", "\x1b[31mred\x07" + "x" * 5000, "--rules", folder)
    assert "\x1b" not in said
    assert "\x07" not in said
    assert len(said) < 400


def test_every_shipped_rule_can_be_shown_on_every_day_on_which_the_book_changes():
    book = RuleBook.load([shipped()], vocabulary_for([shipped()], None))
    shown = 0
    days = {day + timedelta(days=step) for day in book.dates() for step in (-1, 0)} | {date(2026, 6, 15)}
    for identifier in book.ids():
        for day in sorted(days)[:: max(1, len(days) // 6)]:
            if book.rule(identifier, day) is not None:
                lines = shown_rule(book, identifier, day)
                assert lines[0].startswith(f"{identifier}: ")
                assert not any("None" in line.split() for line in lines), lines
                shown += 1
    assert shown > len(book.ids())


# ---- schema ------------------------------------------------------------------------------------------


def test_the_schema_takes_good_rules_and_no_others(folder: Path):
    schema = json.loads(command("rules", "schema").out)
    jsonschema.Draft7Validator.check_schema(schema)
    good = YAML(typ="safe", pure=True).load(CAP)[1]
    validator = jsonschema.Draft7Validator(schema)
    assert list(validator.iter_errors([good])) == []
    for key, value in (("for_each", "isuer"), ("phases", ["pretrade"]), ("severity", "grave"), ("titel", "T")):
        assert list(validator.iter_errors([{**good, key: value}])), key
    assert list(validator.iter_errors([{key: value for key, value in good.items() if key != "title"}]))


# ---- test --------------------------------------------------------------------------------------------


def test_examples_that_hold_are_counted_and_what_is_untried_is_told(folder: Path):
    ended = command("rules", "test", folder)
    assert ended.code == 0
    assert re.fullmatch(r"2 examples of 2 rules: 2 as expected, 0 not; \d+ untried\n", ended.err)
    assert all(" untried: " in line and ": cap: " in line for line in ended.out.splitlines())
    assert command("rules", "test", folder, "--strict").code == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("quantity: 10}", "quantity: 11}"),
        ("quantity: 11}", "quantity: 10}"),
        ("max_order: 10", "max_order: 9"),
        ("max_order: 10", "max_order: 11"),
        ("fail: hard", "fail: soft"),
        ("order.quantity <= 10", "order.quantity < 10"),
        ("order.quantity <= 10", "order.quantity <= 11"),
    ],
)
def test_an_example_that_does_not_hold_is_a_failure_at_its_place(folder: Path, old: str, new: str):
    text = CAP.replace(old, new, 1)
    assert text != CAP
    (folder / "a.yaml").write_text(text)
    ended = command("rules", "test", folder)
    assert ended.code == 1
    failed = [line for line in ended.out.splitlines() if ": size: " in line and "untried" not in line]
    assert failed
    for line in failed:
        number = int(line.removeprefix(f"{folder / 'a.yaml'}:").split(":")[0])
        assert "expect" in text.splitlines()[number - 1] or "name" in text.splitlines()[number - 1]


# ---- vocabularies ------------------------------------------------------------------------------------


def test_the_vocabulary_is_the_one_named_or_the_nearest_above_or_the_shipped(tmp_path: Path):
    plain = (shipped() / "vocabulary.yaml").read_text("utf-8")
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    (deep / "r.yaml").write_text(CAP)
    shipped_one = vocabulary_for([], None).digest
    assert vocabulary_for([deep], None).digest == shipped_one
    own = plain.replace("meaning: ", "meaning: our ", 1)
    (tmp_path / "vocabulary.yaml").write_text(own)
    above = vocabulary_for([deep / "r.yaml"], None).digest
    assert above != shipped_one
    (deep / "vocabulary.yaml").write_text(plain)
    assert vocabulary_for([deep], None).digest == shipped_one, "the nearest wins"
    assert vocabulary_for([deep], tmp_path / "vocabulary.yaml").digest == above, "what is named wins"
    assert command("rules", "lint", deep, "--vocabulary", tmp_path / "vocabulary.yaml").code == 0
