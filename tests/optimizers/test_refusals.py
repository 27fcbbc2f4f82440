"""The closed list of reasons for having no answer: codes, classes, and words that name and do not leak."""

from __future__ import annotations

import inspect

import pytest

from lexorder.engine.errors import LexorderError, SolverError
from lexorder.optimizers import refusals
from lexorder.optimizers.confirm import RowsMismatch
from lexorder.optimizers.refusals import (
    CertificateRefused,
    ModelError,
    ProposalError,
    UndecidedError,
    UnsafePathError,
    UnsafeStartError,
)
from lexorder.optimizers.rows import Refusal, RowsRefused
from lexorder.optimizers.separable import LoweringError

TABLE: list[tuple[SolverError, str, str]] = [
    (ModelError("bad column"), "model-input", "bad column"),
    (ProposalError("HiGHS", "kTimeLimit"), "solver-status", "HiGHS ended with status `kTimeLimit`"),
    (UndecidedError("holdings"), "undecided", "holdings: neither found nor refuted within the budget"),
    (UnsafeStartError(("cap/A",)), "unsafe-start", "broken before the first order, and not passive: `cap/A`"),
    (UnsafePathError(("A",), ("cash",)), "unsafe-path", "no safe wave can trade A because of `cash`"),
    (CertificateRefused("row-broken"), "certificate-refused", "the verifier refused the certificate: row-broken"),
    (RowsMismatch("r", "A", "why"), "rows-mismatch", "rule `r` for A: why"),
    (RowsRefused((Refusal("r", "A", "why"),)), "rows-refused", "`r` for A why"),
    (LoweringError("why"), "not-lowered", "why"),
]


@pytest.mark.parametrize(("error", "code", "words"), TABLE, ids=[code for _, code, _ in TABLE])
def test_each_reason_has_its_code_and_says_what_it_knows(error, code, words):
    assert isinstance(error, SolverError)
    assert isinstance(error, LexorderError)
    assert (error.code, error.message) == (code, words)
    assert str(error) == f"{code}: {words}"


def test_each_code_is_raised_by_one_class_only():
    codes = [code for _, code, _ in TABLE]
    assert len(set(codes)) == len(codes)
    own = {c for _, c in inspect.getmembers(refusals, inspect.isclass) if c.__module__ == refusals.__name__}
    assert own == {type(e) for e, _, _ in TABLE if type(e).__module__ == refusals.__name__}


def test_facts_are_kept_as_fields():
    assert (ProposalError("A", "b").solver, ProposalError("A", "b").status) == ("A", "b")
    assert UndecidedError("x").what == "x"
    assert UnsafeStartError(("a", "b")).rows == ("a", "b")
    path = UnsafePathError(("A",), ("r", "s"))
    assert (path.names, path.rows) == (("A",), ("r", "s"))
    assert CertificateRefused("x").reason == "x"
    assert (RowsMismatch("r", "A", "x").rule, RowsMismatch("r", "A", "x").subject) == ("r", "A")


@pytest.mark.parametrize("count", [5, 6, 1000])
def test_a_long_list_is_shown_in_part_and_kept_whole(count):
    many = tuple(f"row{n}" for n in range(count))
    for error in (UnsafeStartError(many), UnsafePathError(many, many)):
        assert "row4" in error.message
        assert "row5" not in error.message
        assert error.rows == many


def test_refused_rules_are_told_once_each_with_how_many_more_subjects():
    refused = RowsRefused(
        (
            Refusal("cap", "A", "is curved"),
            Refusal("cap", "B", "is curved"),
            Refusal("cap", "C", "is curved"),
            Refusal("floor", "", "reads nothing"),
        )
    )
    assert refused.message == "`cap` for A (and 2 more) is curved; `floor` for an unknown subject reads nothing"
    assert len(refused.refusals) == 4
