"""Every refusal code, reached from one honest certificate by one change; and the table in the manual."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lexorder.engine import verify as module
from lexorder.engine.certificate import (
    Bound,
    Cases,
    Certificate,
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
)
from lexorder.engine.verify import CODES, TEXT, Verdict, main, verify
from tests.certificate.tampering import plain, rehash

MANUAL = Path(__file__).parents[2] / "docs" / "certificate.md"


def base() -> Certificate:
    """All four claims, true together: three names, two working orders, a clause, a mixed row.

    What is infeasible is the clause that asks for at most 0 or at least 9 of the second name, of which
    1 to 8 may be held.
    """
    rows = (
        Row("cap", 8, ((0, Function.linear(1)),)),
        Row("cash", 200, ((0, Function.around(2, -3, 4)),), ((0, -5), (1, 5)), passive=True),
        Row("mixed", 100, ((2, Function.linear(1)),), ((0, 1),)),
        Row("at-most-0", 0, ((1, Function.linear(1)),), asserted=False),
        Row("at-least-9", -9, ((1, Function.linear(-1)),), asserted=False),
        Row("between", -1, ((1, Function.threshold(5, (1, -1, 0), (0, -1, 0))),), passive=True),
    )
    names = (Name("ACME", 2, 0, 8), Name("BETA", 4, 1, 8), Name("CARA", 10, 10, 10))
    objective = Objective("cents", ((0, Function.linear(-2)),), (Factor(3, 1, ((0, 1), (1, -1))),))
    clauses = (Clause("low-or-high", ((3,), (4,))), Clause("cap-or-low", ((0,), (3,))))
    problem = Problem(names, (Working(2, -4), Working(2, 3)), rows, clauses[1:] + clauses[:1], objective)
    waves = ((Order(0, 3),), (Order(1, 1), Order(0, 1)))
    tree = Split(
        1,
        4,
        Cases(1, (Leaf(((3, 1),)), Leaf(((4, 2),)))),
        Cases(1, (Leaf(((3, 1),)), Leaf(((4, 3),)))),
    )
    final = problem.holdings(waves)
    bound = Bound(2, ((0, 1),), (objective.factors[0].exposure(final),), -100, objective.value(final))
    return Certificate("ab" * 32, "cd" * 32, problem, waves, (Safe(), End(), Infeasible((0, 1), (1,), tree), bound))


def sound() -> Certificate:
    """`base` without the clause that makes it infeasible in the claims about the waves."""
    whole = base()
    problem = whole.problem
    feasible = Problem(problem.names, problem.working, problem.rows, problem.clauses[:1], problem.objective)
    claims = tuple(claim for claim in whole.claims if not isinstance(claim, Infeasible))
    return Certificate(whole.rulebook, whole.snapshot, feasible, whole.waves, claims)


def conflict() -> Certificate:
    """`base` with the one claim that nothing is feasible."""
    whole = base()
    claims = tuple(claim for claim in whole.claims if isinstance(claim, Infeasible))
    return Certificate(whole.rulebook, whole.snapshot, whole.problem, (), claims)


def at(document, path: str):
    """The container and the key of `problem/rows/0/limit`."""
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in way:
        document = document[step]
    return document, last


def with_value(certificate: Certificate, path: str, value, *, hashed: bool = True) -> str:
    document = plain(certificate)
    container, key = at(document, path)
    container[key] = value
    if hashed:
        rehash(document)
    return json.dumps(document)


def without(certificate: Certificate, path: str) -> str:
    document = plain(certificate)
    container, key = at(document, path)
    del container[key]
    rehash(document)
    return json.dumps(document)


def texts(old: str, new: str) -> str:
    """The text of `sound` with one piece of it written otherwise."""
    text = sound().text()
    assert old in text
    return text.replace(old, new, 1)


def chain(depth: int) -> str:
    """A tree of `depth` splits below each other, as text, in a certificate of its own."""
    names = (Name("ACME", 0, 0, depth + 1),)
    row = Row("r", -1, ((0, Function.constant(0)),))
    problem = Problem(names, (), (row,))
    text = Certificate("ab" * 32, "cd" * 32, problem, (), (Infeasible((0,), (), Leaf(())),)).text()
    leaf = '{"multipliers":[[0,1]]}'
    opened = "".join(f'{{"name":0,"at":{at},"low":{leaf},"high":' for at in range(depth))
    return text.replace('{"multipliers":[]}', opened + leaf + "}" * depth)


def many_waves() -> str:
    """Twenty thousand empty waves over a thousand names: short to write, long to check."""
    problem = Problem(tuple(Name(f"N{n}", 0, 0, 0) for n in range(1_000)))
    return Certificate("ab" * 32, "cd" * 32, problem, ((),) * 20_000).text()


S, C = sound, conflict
ROWS, CLAIM = "problem/rows/", "claims/0/"
HALF = {"multipliers": [[3, 1]]}

CASES: list[tuple[str, str, str]] = [
    # the text
    ("not-ascii", "a letter", texts("ACME", "ACMÉ")),
    ("not-ascii", "full-width digits", texts('"limit":8', '"limit":８')),
    ("not-ascii", "a byte order mark", "\ufeff" + sound().text()),
    ("number-too-long", "81 digits", texts('"limit":8', '"limit":' + "8" * 81)),
    ("number-too-long", "81 digits of all kinds", texts('"limit":8', '"limit":' + "1234567890" * 8 + "9")),
    ("number-too-long", "in a string", texts("ACME", "8" * 81)),
    ("not-an-integer", "1.0", texts('"limit":8', '"limit":8.0')),
    ("not-an-integer", "1e3", texts('"limit":8', '"limit":8e0')),
    ("not-an-integer", "a huge exponent", texts('"limit":8', '"limit":1e999999999')),
    ("not-an-integer", "NaN", texts('"limit":8', '"limit":NaN')),
    ("not-an-integer", "infinity", texts('"limit":8', '"limit":-Infinity')),
    ("duplicate-key", "limit twice", texts('"limit":8', '"limit":8,"limit":9')),
    ("duplicate-key", "claims twice", texts('"claims":', '"claims":[],"claims":')),
    ("duplicate-key", "the same key, escaped", texts('"limit":8', '"limit":8,"lim\\u0069t":9')),
    ("not-json", "nothing", ""),
    ("not-json", "cut off", sound().text()[:-1]),
    ("not-json", "something behind", sound().text() + "x"),
    ("not-json", "a leading zero", texts('"limit":8', '"limit":08')),
    ("not-json", "a plus sign", texts('"limit":8', '"limit":+8')),
    ("not-json", "an underscore", texts('"limit":200', '"limit":2_00')),
    ("not-json", "a raw control character", texts("ACME", "AC\x01ME")),
    ("too-deep", "lists", "[" * 100_000),
    ("too-deep", "objects", '{"a":' * 100_000),
    ("too-deep", "a tree", chain(3_000)),
    # the shape
    ("wrong-shape", "a list", "[]"),
    ("wrong-shape", "a number", "7"),
    ("wrong-shape", "null", "null"),
    ("wrong-shape", "another format", with_value(S(), "format", "lexorder-certificate-2")),
    ("wrong-shape", "a format that begins right", with_value(S(), "format", "lexorder-certificate-10")),
    ("wrong-shape", "true for an integer", with_value(S(), ROWS + "0/limit", value=True)),
    ("wrong-shape", "true for a flag", with_value(S(), ROWS + "0/asserted", value=True)),
    ("wrong-shape", "text for an integer", with_value(S(), ROWS + "0/limit", "8")),
    ("wrong-shape", "null for an integer", with_value(S(), ROWS + "0/limit", None)),
    ("wrong-shape", "a number for an id", with_value(S(), ROWS + "0/id", 8)),
    ("wrong-shape", "an empty id", with_value(S(), ROWS + "0/id", "")),
    ("wrong-shape", "201 characters", with_value(S(), ROWS + "0/id", "x" * 201)),
    ("wrong-shape", "an id with a line break", with_value(S(), "problem/names/0/id", "ACME\n")),
    ("wrong-shape", "an escaped letter", with_value(S(), "problem/names/0/id", "ACM\u0415")),
    ("wrong-shape", "a lone surrogate", with_value(S(), "problem/names/0/id", "\ud800")),
    ("wrong-shape", "an unknown field", with_value(S(), ROWS + "0/note", 1)),
    ("wrong-shape", "an unknown field at the top", with_value(S(), "note", 1)),
    ("wrong-shape", "a missing field", without(S(), ROWS + "0/passive")),
    ("wrong-shape", "no problem", without(S(), "problem/objective")),
    ("wrong-shape", "a short hash", with_value(S(), "hashes/rulebook", "ab")),
    ("wrong-shape", "an upper-case hash", with_value(S(), "hashes/snapshot", "AB" * 32)),
    ("wrong-shape", "a hash with a line break", with_value(S(), "hashes/snapshot", "ab" * 32 + "\n")),
    ("wrong-shape", "a poly of two", with_value(S(), ROWS + "0/functions/0/1/polys/0", [0, 1])),
    ("wrong-shape", "a pair of three", with_value(S(), ROWS + "1/working/0", [0, 5, 0])),
    ("wrong-shape", "an objective of 0", with_value(S(), "problem/objective", 0)),
    ("wrong-shape", "an empty objective", with_value(S(), "problem/objective", {})),
    ("wrong-shape", "an unknown claim", with_value(S(), CLAIM + "claim", "robust")),
    ("wrong-shape", "a claim that is a list", with_value(S(), CLAIM + "claim", [])),
    ("wrong-shape", "a claim that is text", with_value(S(), "claims/0", "safe")),
    ("wrong-shape", "a claim named like a tree", with_value(S(), CLAIM + "claim", "multipliers")),
    ("wrong-shape", "a claim named like a method", with_value(S(), CLAIM + "claim", "__init__")),
    ("wrong-shape", "an empty tree", with_value(C(), CLAIM + "tree", {})),
    ("wrong-shape", "a tree of two kinds", with_value(C(), CLAIM + "tree", {**HALF, "clause": 1, "cases": []})),
    ("wrong-shape", "a tree that is a list", with_value(C(), CLAIM + "tree", [])),
    ("out-of-range", "a flag of 2", with_value(S(), ROWS + "0/passive", 2)),
    ("out-of-range", "a concave piece", with_value(S(), ROWS + "0/functions/0/1/polys/0/2", -1)),
    ("out-of-range", "a name", with_value(S(), ROWS + "0/functions/0/0", 3)),
    ("out-of-range", "a name from behind", with_value(S(), ROWS + "0/functions/0/0", -1)),
    ("out-of-range", "a working order", with_value(S(), ROWS + "1/working/0/0", 2)),
    ("out-of-range", "a row of a clause", with_value(S(), "problem/clauses/0/alternatives/0/0", 6)),
    ("out-of-range", "a name in a wave", with_value(S(), "waves/0/0/name", 3)),
    ("out-of-range", "a name of a working order", with_value(S(), "problem/working/0/name", -1)),
    ("out-of-range", "a factor weight", with_value(S(), "problem/objective/factors/0/weight", -1)),
    ("out-of-range", "a multiplier of 0", with_value(S(), "claims/2/multipliers/0/1", 0)),
    ("out-of-range", "a negative multiplier", with_value(S(), "claims/2/multipliers/0/1", -1)),
    ("out-of-range", "a row with a multiplier", with_value(S(), "claims/2/multipliers/0/0", -6)),
    ("out-of-range", "a scale of 0", with_value(S(), "claims/2/scale", 0)),
    ("out-of-range", "a listed row", with_value(C(), CLAIM + "rows/0", 6)),
    ("out-of-range", "a listed clause", with_value(C(), CLAIM + "clauses/0", 2)),
    ("out-of-range", "a split name", with_value(C(), CLAIM + "tree/name", -2)),
    ("out-of-range", "a clause of a tree", with_value(C(), CLAIM + "tree/low/clause", -1)),
    ("listed-twice", "two names with one id", with_value(S(), "problem/names/1/id", "ACME")),
    ("listed-twice", "a name in a row", with_value(S(), "problem/objective/factors/0/loadings", [[0, 1], [0, 1]])),
    ("listed-twice", "a working order", with_value(S(), ROWS + "1/working", [[0, 5], [0, 5]])),
    ("listed-twice", "a name in a wave", with_value(S(), "waves/1/0/name", 0)),
    ("listed-twice", "a multiplier", with_value(S(), "claims/2/multipliers", [[0, 1], [0, 1]])),
    ("listed-twice", "a row of an alternative", with_value(S(), "problem/clauses/0/alternatives/0", [0, 0])),
    ("listed-twice", "a listed row", with_value(C(), CLAIM + "rows", [0, 0])),
    ("hash-mismatch", "a limit", with_value(S(), ROWS + "0/limit", 9, hashed=False)),
    ("hash-mismatch", "the hash", with_value(S(), "hashes/problem", "ef" * 32, hashed=False)),
    ("wrong-bounds", "lower above upper", with_value(S(), "problem/names/0/lower", 9)),
    ("wrong-bounds", "a working order with room above", with_value(S(), "problem/names/2/upper", 11)),
    ("wrong-bounds", "a working order elsewhere", with_value(S(), "problem/names/2/held", 9)),
    ("wrong-pieces", "a break too many", with_value(S(), ROWS + "0/functions/0/1/breaks", [0])),
    ("wrong-pieces", "no poly", with_value(S(), ROWS + "0/functions/0/1/polys", [])),
    (
        "wrong-pieces",
        "breaks that stand still",
        with_value(S(), ROWS + "0/functions/0/1", {"breaks": [1, 1], "polys": [[0, 1, 0]] * 3}),
    ),
    ("wrong-pieces", "in the objective", with_value(S(), "problem/objective/functions/0/1/breaks", [1])),
    ("wrong-count", "no claims", with_value(S(), "claims", [])),
    ("wrong-count", "no alternatives", with_value(S(), "problem/clauses/0/alternatives", [])),
    ("wrong-count", "an empty alternative", with_value(S(), "problem/clauses/0/alternatives/0", [])),
    ("wrong-count", "a case left out", with_value(C(), CLAIM + "tree/low/cases", [HALF])),
    ("wrong-count", "no points", with_value(S(), "claims/2/points", [])),
    ("zero-quantity", "in a wave", with_value(S(), "waves/0/0/quantity", 0)),
    ("zero-quantity", "at the market", with_value(S(), "problem/working/0/quantity", 0)),
    # the waves
    ("frozen-name-traded", "its order is working", with_value(S(), "waves/0/0/name", 2)),
    ("traded-both-ways", "over two waves", with_value(S(), "waves/1/1/quantity", -1)),
    ("ends-outside-bounds", "above", with_value(S(), "waves/1/0/quantity", 5)),
    ("ends-outside-bounds", "below", with_value(S(), "waves", [[{"name": 0, "quantity": -3}]])),
    (
        "ends-outside-bounds",
        "an untraded name, at the end",
        with_value(replace(S(), waves=()), "problem/names/1/held", 9),
    ),
    # the claims
    ("row-broken", "the cap, on the way", with_value(S(), ROWS + "0/limit", 5)),
    ("row-broken", "cash, by working orders", with_value(S(), ROWS + "1/limit", 30)),
    ("row-broken", "an old breach, at the end", with_value(S(), ROWS + "5/limit", -6)),
    ("clause-broken", "both alternatives", with_value(S(), "problem/clauses/0/alternatives", [[3], [4]])),
    ("not-usable", "a listed row that is not asserted", with_value(C(), CLAIM + "rows", [3])),
    ("not-usable", "a row that no case brought in", with_value(C(), CLAIM + "tree/low/cases/1", HALF)),
    ("not-usable", "an asserted row that is not listed", with_value(C(), CLAIM + "tree", {"multipliers": [[5, 1]]})),
    ("not-usable", "a clause that is not listed", with_value(C(), CLAIM + "clauses", [0])),
    ("not-usable", "a row that is not asserted, in a bound", with_value(S(), "claims/2/multipliers/0/0", 3)),
    ("mixed-row", "in a bound", with_value(S(), "claims/2/multipliers/0/0", 2)),
    ("split-outside-box", "below", with_value(C(), CLAIM + "tree/at", 0)),
    ("split-outside-box", "at the top", with_value(C(), CLAIM + "tree/at", 8)),
    ("split-outside-box", "a frozen name", with_value(C(), CLAIM + "tree/name", 2)),
    ("not-refuted", "nothing weighted", with_value(C(), CLAIM + "tree/low/cases/0/multipliers", [])),
    ("not-refuted", "a row that can hold", with_value(C(), CLAIM + "tree/low/cases/0/multipliers", [[0, 1]])),
    ("wrong-objective", "one more", with_value(S(), "claims/2/objective", 999)),
    ("wrong-objective", "none", with_value(S(), "problem/objective", None)),
    ("bound-not-proved", "too high", with_value(S(), "claims/2/value", 10**9)),
    ("too-much-work", "empty waves", many_waves()),
]


def test_the_certificates_that_are_changed_are_valid_before():
    assert verify(sound().text()).valid, verify(sound().text())
    assert verify(conflict().text()).valid, verify(conflict().text())
    assert verify(chain(100)).valid


@pytest.mark.parametrize(("code", "text"), [(c, t) for c, _, t in CASES], ids=[f"{c}: {w}" for c, w, _ in CASES])
def test_a_change_is_refused_by_its_code(code, text):
    verdict = verify(text)
    assert (verdict.valid, verdict.code) == (False, code), verdict.reason
    assert verdict.reason


def test_too_large_a_text_is_not_even_looked_at(monkeypatch):
    monkeypatch.setattr(module, "CHARACTERS_MAX", len(sound().text()))
    assert verify(sound().text()).valid
    assert verify(sound().text() + " ").code == "too-large"


def test_too_much_work_in_a_tree_or_a_bound_is_refused(monkeypatch):
    needed = [text for text in (conflict().text(), sound().text()) if verify(text).valid]
    monkeypatch.setattr(module, "WORK_MAX", 60)
    assert [verify(text).code for text in needed] == ["too-much-work"] * 2


def test_a_file_that_is_not_there_has_a_code(tmp_path, capsys):
    assert main([str(tmp_path / "missing.json")]) == 2
    assert capsys.readouterr().out.startswith("INVALID no-file: ")


def test_every_code_is_reached_by_a_test_and_no_other_exists():
    elsewhere = {"no-file", "too-large"}
    assert {code for code, _, _ in CASES} | elsewhere == set(CODES)
    assert len(set(CODES)) == len(CODES)


def test_the_manual_lists_exactly_these_codes_with_their_exit_codes():
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| ([12]) \|", MANUAL.read_text("utf-8"), flags=re.MULTILINE))
    assert rows == {code: "2" if code in TEXT.split() else "1" for code in CODES}


def test_every_code_used_in_the_source_is_in_the_table():
    source = Path(module.__file__).read_text("utf-8")
    used = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source)) - {"lexorder-certificate-1"}
    assert used <= set(CODES) | {"latin-1"}


@pytest.mark.parametrize(
    "text", ["\x00", "null", '"safe"', "{}", "[[[[", "0" * 100, "\ud800", "{" * 2_000, "-", "1" * 80]
)
def test_verify_returns_and_never_raises(text):
    verdict = verify(text)
    assert isinstance(verdict, Verdict)
    assert not verdict.valid


def test_a_refusal_never_repeats_control_or_foreign_characters():
    for _, _, text in CASES:
        if len(text) < 100_000:
            reason = verify(text).reason
            assert reason.isascii()
            assert reason.isprintable()
            assert len(reason) < 700


def test_a_passive_clause_may_stay_broken_only_if_no_alternative_gets_worse():
    """Broken before, by two distances: 5 from the first alternative and 4 from the second."""
    rows = (
        Row("low", 0, ((0, Function.linear(1)),), asserted=False, passive=True),
        Row("high", -9, ((0, Function.linear(-1)),), asserted=False, passive=True),
    )
    problem = Problem((Name("A", 5, 0, 9), Name("B", 0, 0, 9)), (), rows, (Clause("either", ((0,), (1,))),))

    def safe(*orders: Order, **changes) -> str:
        changed = Problem(problem.names, (), changes.get("rows", rows), problem.clauses)
        return verify(Certificate("ab" * 32, "cd" * 32, changed, (orders,)).text()).code

    assert safe() == ""
    assert safe(Order(1, 3)) == "", "another name may move"
    assert safe(Order(0, 1)) == "clause-broken", "nearer to one alternative, further from the other"
    assert safe(Order(0, -1)) == "clause-broken"
    strict = (rows[0], Row("high", -9, rows[1].functions, asserted=False))
    assert safe(rows=strict) == "clause-broken", "a row that is not passive must hold"


def test_a_passive_row_may_get_better_or_stay_but_not_worse():
    row = Row("cap", 3, ((0, Function.linear(1)),), passive=True)
    problem = Problem((Name("A", 5, 0, 9),), (), (row,))

    def codes(quantity: int) -> list[str]:
        certificates = (
            Certificate("ab" * 32, "cd" * 32, problem, ((Order(0, quantity),),), (c,)) for c in (Safe(), End())
        )
        return [verify(certificate.text()).code for certificate in certificates]

    assert codes(1) == ["row-broken", "row-broken"]
    assert codes(-1) == ["", "row-broken"]
    assert codes(-2) == ["", ""]


def test_sentences_say_what_was_checked_and_what_was_not():
    sentences = verify(base_text := sound().text()).checked
    assert [sentence.split(":")[0] for sentence in sentences] == ["problem", "safe", "end", "bound"]
    assert "3 names, 6 rows, 2 waves" in sentences[0]
    assert "not checked" in sentences[0]
    assert "ab" * 32 in sentences[0]
    assert json.loads(base_text)["hashes"]["snapshot"] in sentences[0]
    assert "-100" in sentences[3]
    assert "cents" in sentences[3]
    assert "'cap', 'cash', 'low-or-high'" in verify(conflict().text()).checked[1]
