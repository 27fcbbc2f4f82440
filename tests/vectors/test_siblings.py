"""Cases of our own beside the published ones: other figures, boundaries, tiers, conventions, holdings and times of day.

`siblings.jsonl` has the format of the published file. Each expectation was worked out by hand from the text that its
`source` names, not by the engine.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vectors.case import Case, read_cases
from tests.vectors.conftest import OWN
from tests.vectors.report import PASS, judged
from tests.vectors.test_vectors import ADAPTERS

FILE = Path(__file__).with_name("siblings.jsonl")
SIBLINGS = read_cases(FILE)


@pytest.mark.parametrize("sibling", SIBLINGS, ids=[case.id for case in SIBLINGS])
def test_a_sibling_comes_out_as_its_text_says(sibling: Case) -> None:
    outcome = judged(sibling, ADAPTERS)
    assert outcome.status == PASS, outcome.line()


def test_every_published_kind_has_siblings() -> None:
    assert {case.rule for case in read_cases(OWN)} <= {case.rule for case in SIBLINGS}


def test_siblings_are_no_copies_of_published_cases() -> None:
    def question(line: str) -> str:
        raw = json.loads(line)
        return json.dumps([raw["rule"], raw["given"], raw["orders"]], sort_keys=True)

    files = [[question(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in (OWN, FILE)]
    assert not set(files[0]) & set(files[1])
    assert len(files[1]) == len(set(files[1])) == len({case.id for case in SIBLINGS})


def test_every_sibling_names_its_text() -> None:
    raw = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    assert all(line["source"] and line["provenance"] and not line["caution"] for line in raw)


@pytest.mark.parametrize("rule", sorted({case.rule for case in SIBLINGS if case.expect in ("approve", "reject")}))
def test_a_kind_that_decides_has_siblings_of_both_outcomes(rule: str) -> None:
    outcomes = {case.expect for case in (*SIBLINGS, *read_cases(OWN)) if case.rule == rule}
    assert {"approve", "reject"} <= outcomes
