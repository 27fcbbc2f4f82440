"""A rule book joined from parts is the book of all their texts."""

from __future__ import annotations

import pytest

from lexorder.engine.errors import RuleFileError
from lexorder.engine.rulebook import RuleBook
from tests.worlds import VOCABULARY

ONE = "- rule: one\n  title: One\n  for_each: order\n  require: order.quantity <= 5\n"
TWO = "- rule: two\n  title: Two\n  for_each: order\n  require: order.quantity <= 6\n"


def test_joined_is_the_book_of_both_texts():
    whole = RuleBook.of(ONE + TWO, VOCABULARY)
    parts = RuleBook.of(TWO, VOCABULARY).joined([RuleBook.of(ONE, VOCABULARY)])
    files = RuleBook.of_files({"b.yaml": TWO, "a.yaml": ONE}, VOCABULARY)
    assert parts.hash == whole.hash == files.hash
    assert parts.ids() == files.ids() == ("one", "two")


def test_joining_a_rule_of_the_same_name_is_refused():
    with pytest.raises(RuleFileError, match="duplicate-rule"):
        RuleBook.of(ONE, VOCABULARY).joined([RuleBook.of(ONE, VOCABULARY)])


def test_findings_name_the_file_they_are_in():
    with pytest.raises(RuleFileError) as caught:
        RuleBook.of_files({"good.yaml": ONE, "bad.yaml": TWO.replace("quantity", "quantitee")}, VOCABULARY)
    assert [problem.file for problem in caught.value.problems] == ["bad.yaml"]


def test_only_keeps_what_is_named():
    both = RuleBook.of(ONE + TWO, VOCABULARY)
    assert both.only(["two", "three"]).hash == RuleBook.of(TWO, VOCABULARY).hash
