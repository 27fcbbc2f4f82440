"""Every example of the shipped library comes out as written, and together they try every condition both ways."""

from __future__ import annotations

import pytest

from lexorder.engine.catalogue import latest
from lexorder.engine.coverage import gaps
from lexorder.engine.examples import run
from lexorder.engine.rule import Rule
from tests.rules.library import book

RULES = [latest(item) for item in book().versions]


@pytest.mark.parametrize("identifier", book().ids())
def test_examples(identifier: str) -> None:
    wrong = [f"{r.example.name}: {r.difference}" for r in run(book(), identifier) if r.difference]
    assert wrong == []


@pytest.mark.parametrize("rule", RULES, ids=book().ids())
def test_examples_try_every_condition_both_ways(rule: Rule) -> None:
    assert [gap.what for gap in gaps(book(), rule, run(book(), rule.id))] == []
