"""The parts of a certificate: what they refuse, what they compute, and the bytes they become."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest

from lexorder.engine.certificate import (
    Bound,
    Cases,
    Certificate,
    CertificateError,
    Clause,
    End,
    Factor,
    Function,
    Infeasible,
    Leaf,
    Name,
    Objective,
    Order,
    Problem,
    Row,
    Safe,
    Split,
    Working,
    canonical_bytes,
    problem_hash,
)
from lexorder.engine.errors import LexorderError
from lexorder.engine.verify import verify

RULEBOOK, SNAPSHOT = "ab" * 32, "cd" * 32
ACME, BETA, CARA = Name("ACME", 120, 0, 400), Name("BETA", 30, 30, 30), Name("CARA", -5, -9, 0)


def problem(**changes) -> Problem:
    parts: dict[str, Any] = {
        "names": (ACME, BETA, CARA),
        "working": (Working(1, -20), Working(1, 7)),
        "rows": (
            Row("cap/ACME", 5_000, ((0, Function.linear(10)),), passive=True),
            Row("cash", 900, ((0, Function.around(120, -9, 11)),), ((0, -3), (1, 4))),
            Row("short/CARA", 9, ((2, Function.absolute()),), asserted=False),
        ),
        "clauses": (Clause("either", ((2,), (0, 1))),),
        "objective": Objective("cents", ((0, Function.linear(-2)),), (Factor(3, 1, ((0, 1), (2, -1))),)),
    }
    return Problem(**(parts | changes))


def test_every_error_is_a_lexorder_error_with_a_stable_code():
    with pytest.raises(LexorderError) as caught:
        Name("", 0, 0, 0)
    assert caught.value.code == "certificate-malformed"


@pytest.mark.parametrize("text", ["", "x" * 201, "é", "a\nb", "tab\t", "ＡＣＭＥ", "\x7f"])
@pytest.mark.parametrize(
    "make",
    [
        lambda text: Name(text, 0, 0, 0),
        lambda text: Row(text, 0),
        lambda text: Clause(text, ((0,),)),
        Objective,
    ],
    ids=["name", "row", "clause", "unit"],
)
def test_an_id_is_1_to_200_printable_ascii_characters(make, text):
    with pytest.raises(CertificateError, match="printable ASCII"):
        make(text)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Name("A", 0, 2, 1), "lower is above upper"),
        (lambda: Order(0, 0), "needs a quantity"),
        (lambda: Working(0, 0), "needs a quantity"),
        (lambda: Order(-1, 5), "name index"),
        (lambda: Clause("c", ()), "needs an alternative"),
        (lambda: Clause("c", ((0,), ())), "needs a row"),
        (lambda: Factor(-1, 0, ()), "weight"),
        (lambda: Leaf(((0, 0),)), "at least 1"),
        (lambda: Leaf(((0, 1), (0, 2))), "two multipliers"),
        (lambda: Bound(0, (), (), 0, 0), "scale"),
        (lambda: Bound(1, ((0, -1),), (), 0, 0), "at least 1"),
        (lambda: problem(names=(ACME, BETA, ACME)), "two names"),
        (lambda: problem(working=(Working(3, 1),)), "name index"),
        (lambda: problem(working=(Working(0, 1),)), "frozen"),
        (lambda: problem(rows=(Row("r", 0, ((3, Function.constant(0)),)),), clauses=()), "a name index"),
        (lambda: problem(rows=(Row("r", 0, ((0, Function.constant(0)),) * 2),), clauses=()), "a name is listed twice"),
        (lambda: problem(rows=(Row("r", 0, (), ((2, 1),)),), clauses=()), "a working order index"),
        (lambda: problem(clauses=(Clause("c", ((3,),)),)), "a row index"),
        (lambda: problem(clauses=(Clause("c", ((1, 1),)),)), "a row is listed twice"),
        (lambda: problem(objective=Objective("u", ((9, Function.constant(0)),))), "a name index"),
        (lambda: problem(objective=Objective("u", (), (Factor(1, 0, ((0, 1), (0, 1))),))), "a name is listed twice"),
        (lambda: Certificate("AB" * 32, SNAPSHOT, problem()), "64 lower-case hex"),
        (lambda: Certificate(RULEBOOK, "ab", problem()), "64 lower-case hex"),
        (lambda: Certificate(RULEBOOK, SNAPSHOT, problem(), claims=()), "needs a claim"),
    ],
)
def test_a_malformed_part_is_refused(make, words):
    with pytest.raises(CertificateError, match=words):
        make()


def test_a_number_of_81_digits_is_not_written():
    Certificate(RULEBOOK, SNAPSHOT, problem(rows=(Row("r", 10**80 - 1),), clauses=())).text()
    with pytest.raises(CertificateError, match="over 80 digits"):
        Certificate(RULEBOOK, SNAPSHOT, problem(rows=(Row("r", -(10**80)),), clauses=())).text()


def test_reachable_holdings_are_intervals_that_contain_every_partial_fill():
    waves = ((Order(0, -50),), (Order(2, 3), Order(0, -10)))
    assert problem().boxes(waves) == [
        [(70, 120), (10, 37), (-5, -5)],
        [(60, 70), (10, 37), (-5, -2)],
        [(60, 60), (10, 37), (-2, -2)],
    ]
    assert problem().holdings(waves) == [60, 30, -2]
    assert problem().holdings() == [120, 30, -5]


def test_the_worst_value_adds_the_adverse_fills_of_working_orders():
    cash = problem().rows[1]
    # Buying 10 costs 110; the working sale of 20 is adverse by 60, the purchase of 7 by 28.
    assert problem().worst(cash, [(120, 130), (10, 37), (-5, -5)]) == 110 + 60 + 28


def test_a_working_sale_never_frees_room():
    row = Row("cash", 0, (), ((0, 5),))
    assert problem().worst(row, problem().box(problem().holdings())) == 0


def test_a_row_is_mixed_when_a_name_and_its_order_are_both_in_it():
    mixed = Row("m", 0, ((1, Function.linear(1)),), ((0, 1),))
    apart = Row("a", 0, ((0, Function.linear(1)),), ((0, 1),))
    assert problem().mixed(mixed)
    assert not problem().mixed(apart)
    assert problem().frozen == {1}


def test_the_worst_value_of_a_mixed_row_is_an_upper_bound_only():
    mixed = Row("m", 0, ((1, Function.linear(1)),), ((0, 1), (1, -1)))
    reached = [30 + a + b + a - b for a in range(-20, 1) for b in range(8)]
    assert problem().worst(mixed, problem().box(problem().holdings())) == 37 >= max(reached)


def test_the_objective_adds_functions_and_squared_factors():
    # -2*100 + 3*(1 + 100 - (-4))**2
    objective = problem().objective
    assert objective is not None
    assert objective.value([100, 30, -4]) == -200 + 3 * 105**2


def test_equal_parts_are_equal_and_cannot_be_changed():
    assert problem() == problem()
    assert hash(problem()) == hash(problem())
    assert Working(0, 1) != Order(0, 1), "an order at the market is not an order of a wave"
    with pytest.raises(AttributeError):
        setattr(problem().rows[0], "limit", 1)  # noqa: B010  (mypy already refuses to assign)


def test_canonical_bytes_do_not_depend_on_the_order_of_keys():
    assert canonical_bytes({"b": 1, "a": [2, {"d": None, "c": "x"}]}) == b'{"a":[2,{"c":"x","d":null}],"b":1}'
    assert canonical_bytes({"b": 1, "a": 2}) == canonical_bytes({"a": 2, "b": 1})


def test_the_problem_hash_is_that_of_the_documented_bytes():
    document: Any = Certificate(RULEBOOK, SNAPSHOT, problem()).to_json()
    written = json.dumps(document["problem"], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert document["hashes"]["problem"] == hashlib.sha256(written.encode()).hexdigest() == problem_hash(problem())


def test_the_problem_hash_changes_with_every_part():
    changed = [
        problem(),
        problem(names=(ACME, BETA, Name("CARA", -5, -9, 1))),
        problem(working=(Working(1, 7), Working(1, -20))),
        problem(rows=problem().rows[::-1]),
        problem(clauses=()),
        problem(objective=None),
    ]
    assert len({problem_hash(p) for p in changed}) == len(changed)


def test_the_whole_document_is_the_documented_one():
    claims = (
        Safe(),
        End(),
        Infeasible((0,), (0,), Split(0, 5, Leaf(((0, 2),)), Cases(0, (Leaf(()), Leaf(((1, 1),)))))),
        Bound(2, ((1, 3),), (4,), -9, 8),
    )
    document: Any = Certificate(RULEBOOK, SNAPSHOT, problem(), ((Order(2, 1),),), claims).to_json()
    assert list(document) == ["format", "hashes", "problem", "waves", "claims"]
    assert document["format"] == "lexorder-certificate-1"
    assert document["waves"] == [[{"name": 2, "quantity": 1}]]
    assert document["problem"]["names"][0] == {"id": "ACME", "held": 120, "lower": 0, "upper": 400}
    assert document["problem"]["working"] == [{"name": 1, "quantity": -20}, {"name": 1, "quantity": 7}]
    assert document["problem"]["rows"][1] == {
        "id": "cash",
        "limit": 900,
        "asserted": 1,
        "passive": 0,
        "functions": [[0, {"breaks": [120], "polys": [[-1080, 9, 0], [-1320, 11, 0]]}]],
        "working": [[0, -3], [1, 4]],
    }
    assert document["problem"]["clauses"] == [{"id": "either", "alternatives": [[2], [0, 1]]}]
    assert document["problem"]["objective"]["factors"] == [{"weight": 3, "constant": 1, "loadings": [[0, 1], [2, -1]]}]
    cases = {"clause": 0, "cases": [{"multipliers": []}, {"multipliers": [[1, 1]]}]}
    assert document["claims"] == [
        {"claim": "safe"},
        {"claim": "end"},
        {
            "claim": "infeasible",
            "rows": [0],
            "clauses": [0],
            "tree": {"name": 0, "at": 5, "low": {"multipliers": [[0, 2]]}, "high": cases},
        },
        {"claim": "bound", "scale": 2, "multipliers": [[1, 3]], "points": [4], "value": -9, "objective": 8},
    ]


@pytest.mark.parametrize("name", ["ACME", '"problem":null', '\\"problem":null', '{"hashes":{"problem":null}}'])
def test_the_text_is_that_of_the_whole_document_whatever_the_names_are(name):
    renamed = problem(names=(Name(name, 120, 0, 400), BETA, CARA))
    claims = (Safe(), End(), Infeasible((0,), (0,), Leaf(((0, 2),))), Bound(2, ((1, 3),), (4,), -9, 8))
    certificate = Certificate(RULEBOOK, SNAPSHOT, renamed, ((Order(2, 1),),), claims)
    assert certificate.text().encode() == canonical_bytes(certificate.to_json())
    assert json.loads(certificate.text())["hashes"]["problem"] == problem_hash(renamed)


def test_the_text_is_canonical_and_read_back_by_the_verifier():
    certificate = Certificate(RULEBOOK, SNAPSHOT, problem(), ((Order(0, -50),),))
    text = certificate.text()
    assert text.encode() == canonical_bytes(json.loads(text))
    assert re.search(r"\s", text.replace("1e-12 of NAV", "")) is None
    verdict = verify(text)
    assert verdict.valid, verdict
