"""Examples as the condition of an activation: which count, which are named, and what may be known of them by whom.

Books are drawn with examples that are right, wrong or cannot be run; what must come out is counted while they are made.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service import book_tests
from lexorder.api.service.book_process import Job, found_in
from lexorder.api.service.book_tests import Failed, findings_of, results_of
from lexorder.api.service.problems import FINDINGS_MAX, Problem
from lexorder.api.service.rule_books import open_rules
from lexorder.engine.errors import Problem as Finding
from lexorder.engine.errors import RuleFileError
from lexorder.engine.rulebook import RuleBook
from tests.worlds import VOCABULARY

RIGHT = "given: {order: {quantity: 5}}\n      expect: pass"
WRONG = "given: {order: {quantity: 6}}\n      expect: pass"
BREACH = "given: {order: {quantity: 6}}\n      expect: {fail: hard, max_order: 5}"
CLOSE = "given: {order: {quantity: 6}}\n      expect: {fail: hard, max_order: 6}"
SOFTER = "given: {order: {quantity: 6}}\n      expect: {fail: soft}"
UNRUN = "given: {order: {quantity: 6, symbol: acme}}\n      expect: {fail: hard}"
GOOD = {RIGHT: True, BREACH: True, WRONG: False, CLOSE: False, SOFTER: False, UNRUN: False}
"""Whether an example comes out as it says, of a rule that admits five shares."""


def rule(name: str, examples: list[str], *, audience: str = "") -> str:
    """One rule that admits five shares, with these examples."""
    head = f"- rule: {name}\n  title: t\n  require: order.quantity <= 5\n{audience}"
    if not examples:
        return head
    listed = "".join(f"    - name: e{n}\n      {example}\n" for n, example in enumerate(examples))
    return f"{head}  tests:\n{listed}"


def outcome(files: dict[str, str]) -> book_tests.Tested:
    return results_of(RuleBook.of_files(files, VOCABULARY))


BOOKS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]), st.lists(st.sampled_from(sorted(GOOD)), max_size=4), min_size=1
)


@settings(max_examples=60, deadline=None)
@given(made=BOOKS, split=st.booleans())
def test_every_example_of_every_rule_is_run_and_each_that_differs_is_named(made: dict[str, list[str]], *, split: bool):
    parts = {f"{name}.yaml": rule(name, examples) for name, examples in made.items()}
    found = outcome(parts if split else {"all.yaml": "".join(parts.values())})
    wrong = {(name, f"e{n}") for name, examples in made.items() for n, e in enumerate(examples) if not GOOD[e]}
    assert {(f.rule, f.example) for f in found.failed} == wrong
    assert len(found.failed) == len(wrong)
    assert found.passed == sum(GOOD[e] for examples in made.values() for e in examples)
    assert sorted(found.untested) == sorted(name for name, examples in made.items() if not examples)
    for failure in found.failed:
        assert failure.difference
        assert failure.file == (f"{failure.rule}.yaml" if split else "all.yaml")
        assert failure.line > 0
    assert found.shown()["ok"] == (not wrong)
    if wrong:
        with pytest.raises(Problem) as refused:
            found.require()
        named = refused.value.extra["failures"]
        assert {(row["rule"], row["example"]) for row in named} == wrong
        assert (refused.value.status, refused.value.code) == (409, "tests-fail")
    else:
        found.require()


def test_a_failure_is_told_by_the_line_of_its_example():
    text = "# a comment\n\n" + rule("a", [RIGHT, WRONG])
    (failure,) = outcome({"x/y.yaml": text}).failed
    lines = text.splitlines()
    assert (failure.file, failure.rule) == ("x/y.yaml", "a")
    assert "e1" in lines[failure.line - 1]


@pytest.mark.parametrize("example", [e for e, good in GOOD.items() if not good])
def test_an_example_differs_in_words_that_say_how(example: str):
    (failure,) = outcome({"a.yaml": rule("a", [example])}).failed
    shown = failure.shown()
    assert set(shown) == {"rule", "example", "file", "line", "difference"}
    assert len(shown["difference"]) > 10


# ---- what is shown ---------------------------------------------------------------------------------------


def failed(number: int, of: str = "a") -> tuple[Failed, ...]:
    return tuple(Failed(of, f"e{n}", "a.yaml", n + 1, "differs") for n in range(number))


@pytest.mark.parametrize("number", [0, 1, FINDINGS_MAX, FINDINGS_MAX + 1])
def test_failures_are_counted_in_full_and_listed_up_to_a_number(number: int):
    shown = book_tests.Tested(3, failed(number), ()).shown()
    assert (shown["ok"], shown["passed"], shown["failed"]) == (number == 0, 3, number)
    assert len(shown["failures"]) == min(number, FINDINGS_MAX)
    assert [f["example"] for f in shown["failures"]] == [f"e{n}" for n in range(min(number, FINDINGS_MAX))]


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from("abc"), max_size=6),
    untested=st.lists(st.sampled_from("abc"), unique=True),
    known=st.none() | st.sets(st.sampled_from("abc")),
)
def test_only_rules_one_may_know_of_are_named_and_all_are_counted(
    names: list[str], untested: list[str], known: set[str] | None
):
    every = tuple(f for n, name in enumerate(names) for f in (Failed(name, f"e{n}", "x.yaml", 1, "d"),))
    shown = book_tests.Tested(0, every, tuple(untested)).shown(known)
    visible = {"a", "b", "c"} if known is None else known
    assert [f["rule"] for f in shown["failures"]] == [name for name in names if name in visible]
    assert shown["untested"] == [name for name in untested if name in visible]
    assert (shown["failed"], shown["ok"]) == (len(names), not names)


def test_a_hidden_failure_does_not_crowd_out_one_that_may_be_told():
    """The list is cut after what may not be told is left out."""
    every = (*failed(FINDINGS_MAX, "secret"), *failed(1, "open"))
    shown = book_tests.Tested(0, every, ()).shown({"open"})
    assert [f["rule"] for f in shown["failures"]] == ["open"]


# ---- what is open ----------------------------------------------------------------------------------------

HUSH = "  severity: warn\n  audience: compliance\n"


@pytest.mark.parametrize("old", [[], ["open"], ["hush"], ["open", "hush"]], ids=str)
@pytest.mark.parametrize("new", [["open"], ["hush"], ["open", "hush"]], ids=str)
def test_a_rule_for_compliance_alone_stays_so_when_it_comes_or_goes(old: list[str], new: list[str]):
    def files(names: list[str]) -> dict[str, str]:
        return {"a.yaml": "".join(rule(n, [], audience=HUSH if n == "hush" else "") for n in names)}

    found = found_in(Job(files(new), against=files(old) if old else None), VOCABULARY)
    assert "hush" not in found.open_rules
    assert found.open_rules == {n for n in {*new, *old} if n == "open"}
    assert found.all_open == ("hush" not in new)
    assert found.rules == len(new)
    if old:
        assert found.changes == {
            "added": sorted(set(new) - set(old)),
            "removed": sorted(set(old) - set(new)),
            "changed": [],
        }
    else:
        assert found.changes is None


@pytest.mark.parametrize(("was", "is_"), [("", HUSH), (HUSH, "")], ids=["closed", "opened"])
def test_a_rule_that_changes_its_audience_is_not_told_of(was: str, is_: str):
    found = found_in(
        Job({"a.yaml": rule("x", [], audience=is_)}, against={"a.yaml": rule("x", [], audience=was)}), VOCABULARY
    )
    assert found.open_rules == frozenset()
    assert found.changes == {"added": [], "removed": [], "changed": ["x"]}


def test_the_book_by_itself_says_which_rules_everyone_may_know_of():
    text = rule("open", []) + rule("hush", [], audience=HUSH)
    assert open_rules(RuleBook.of_files({"a.yaml": text}, VOCABULARY)) == {"open"}


# ---- findings --------------------------------------------------------------------------------------------


def findings(files: dict[str, Any]) -> list[dict[str, Any]]:
    with pytest.raises(RuleFileError) as refused:
        RuleBook.of_files(files, VOCABULARY)
    return findings_of(refused.value)


def test_findings_come_from_every_file_with_their_place():
    found = findings({
        "a.yaml": "- rule: a\n  title: t\n  require: order.quantty <= 5\n",
        "b/c.yaml": "- rule: b\n  title: t\n  require: order.quantity <= 5\n  severity: deadly\n",
    })  # fmt: skip
    assert [(f["file"], f["line"], f["code"]) for f in found] == [
        ("a.yaml", 3, "unknown-name"),
        ("b/c.yaml", 4, "bad-choice"),
    ]
    assert found[0]["nearest"] == "order.quantity"
    assert all(f["message"] and f["column"] > 0 for f in found)


@pytest.mark.parametrize("number", [1, FINDINGS_MAX, FINDINGS_MAX + 1])
def test_findings_are_listed_up_to_a_number(number: int):
    problems = tuple(Finding("syntax", "m", "a.yaml", n + 1, 1) for n in range(number))
    told = findings_of(RuleFileError(problems))
    assert [f["line"] for f in told] == list(range(1, min(number, FINDINGS_MAX) + 1))


@pytest.mark.parametrize("word", ["x" * 500, "x\x1b[31m", "<script>", "x' OR 1=1"])
def test_words_of_the_author_are_shown_short_and_plain(word: str):
    text = f"- rule: a\n  title: t\n  require: order.quantity <= 5\n  {json.dumps(word)}: 1\n"
    (finding,) = findings({"a.yaml": text})
    assert finding["code"] == "unknown-key"
    assert word[:1] in finding["message"]
    assert finding["message"].count("x") < 80
    assert "\x1b" not in finding["message"]
