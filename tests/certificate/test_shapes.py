"""Every field of a certificate, one by one: left out, doubled, renamed, or of another type, it is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from lexorder.engine.verify import CODES, SHAPE, TEXT, verify
from tests.certificate.tampering import plain, rehash
from tests.certificate.test_refusals import conflict, sound

Path = tuple[str | int, ...]


def places(node: Any, way: Path = ()) -> Iterator[Path]:
    """Every value of a document by its path, the whole first."""
    yield way
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield from places(node[key], (*way, key))


def found(node: Any, way: Path) -> Any:
    for key in way:
        node = node[key]
    return node


# One whose waves are right, and one that proves a conflict: together they have every kind of part. A way begins with
# the name of its document; what both have alike is looked at once.
DOCUMENT = {"sound": plain(sound()), "conflict": plain(conflict())}
PLACES = [way for way in places(DOCUMENT) if len(way) > 0 and (way[0] == "sound" or way[1:2] == ("claims",))]
OBJECTS = [way for way in PLACES if isinstance(found(DOCUMENT, way), dict)]
LISTS = [way for way in PLACES if isinstance(found(DOCUMENT, way), list)]
NUMBERS = [way for way in PLACES if type(found(DOCUMENT, way)) is int]
WORDS = [way for way in PLACES if isinstance(found(DOCUMENT, way), str)]


def told(way: Path) -> str:
    return "/".join(map(str, way))


def refused(changed: dict[str, Any], way: Path) -> str:
    """The code by which the document a way leads into is refused, its problem hashed anew where that was changed."""
    document = changed[str(way[0])]
    if way[1:2] == ("problem",) and isinstance(document.get("problem"), dict):
        rehash(document)
    verdict = verify(json.dumps(document))
    assert not verdict.valid
    assert verdict.code in CODES
    assert verdict.reason.isprintable()
    return verdict.code


def changed(way: Path, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    found(document, way[:-1])[way[-1]] = value
    return document


def test_the_certificates_that_are_changed_are_valid_and_have_every_kind_of_claim():
    claims = [claim["claim"] for document in DOCUMENT.values() for claim in document["claims"]]
    assert sorted(claims) == ["bound", "end", "infeasible", "safe"]
    assert all(verify(json.dumps(document)).valid for document in DOCUMENT.values())
    assert min(len(OBJECTS), len(LISTS), len(NUMBERS), len(WORDS)) > 10


@pytest.mark.parametrize("way", OBJECTS, ids=told)
def test_each_field_is_needed_and_no_other_is_admitted(way):
    for key in found(DOCUMENT, way):
        document = copy.deepcopy(DOCUMENT)
        del found(document, way)[key]
        assert refused(document, way) == "wrong-shape", key
    for key in ("extra", "", "Claim", "limit ", "ﬁeld", "__proto__"):
        document = copy.deepcopy(DOCUMENT)
        found(document, way)[key] = 0
        assert refused(document, way) in ("wrong-shape", "not-ascii"), key


OTHERS: dict[type, tuple[Any, ...]] = {
    dict: ([], None, 0, "", True),
    list: ({}, None, 0, "", True),
    int: ([], {}, None, "", "1", True, False),
    str: ([], {}, None, 0, True),
}


def is_free(way: Path, value: Any) -> bool:
    """The one place where another type is admitted: a problem may have no objective."""
    return way == ("sound", "problem", "objective") and value is None


@pytest.mark.parametrize("way", [way for way in PLACES if len(way) > 1], ids=told)
def test_each_value_has_its_type_and_true_is_no_number(way):
    kind = type(found(DOCUMENT, way))
    for value in OTHERS[kind]:
        if not is_free(way, value):
            assert refused(changed(way, value), way) == "wrong-shape", value


def test_a_problem_without_objective_has_no_bound():
    way: Path = ("sound", "problem", "objective")
    assert refused(changed(way, None), way) == "wrong-objective"


@pytest.mark.parametrize("way", NUMBERS, ids=told)
def test_a_number_is_written_as_an_integer_or_not_at_all(way):
    mark = 987_654_321
    marked = json.dumps(changed(way, mark)[str(way[0])])
    assert marked.count(str(mark)) == 1
    for written in ("1.0", "1e3", "0x1", "NaN", "-Infinity", "1E400", "01", "+1", "1_000"):
        verdict = verify(marked.replace(str(mark), written))
        assert verdict.code in ("not-an-integer", "not-json"), written
    assert verify(marked.replace(str(mark), "9" * 81)).code == "number-too-long"


@pytest.mark.parametrize("way", WORDS, ids=told)
def test_words_are_printable_ascii_of_admitted_length(way):
    for value in ("", "a\nb", "\x7f", "x" * 201, "\x00"):
        assert refused(changed(way, value), way) in ("wrong-shape", "hash-mismatch"), value
    marked = json.dumps(changed(way, "MARK")[str(way[0])]).replace('"MARK"', '"é"')
    assert verify(marked).code == "not-ascii"


INDEXES: list[Path] = [
    ("sound", "problem", "working", 0, "name"),
    ("sound", "problem", "rows", 0, "functions", 0, 0),
    ("sound", "problem", "rows", 1, "working", 0, 0),
    ("sound", "problem", "clauses", 0, "alternatives", 0, 0),
    ("sound", "problem", "objective", "functions", 0, 0),
    ("sound", "problem", "objective", "factors", 0, "loadings", 0, 0),
    ("sound", "waves", 0, 0, "name"),
    ("sound", "claims", 2, "multipliers", 0, 0),
    ("conflict", "claims", 0, "rows", 0),
    ("conflict", "claims", 0, "clauses", 0),
    ("conflict", "claims", 0, "tree", "low", "clause"),
    ("conflict", "claims", 0, "tree", "low", "cases", 0, "multipliers", 0, 0),
]


@pytest.mark.parametrize("way", INDEXES, ids=told)
def test_an_index_points_at_something_that_is_there(way):
    for value in (-1, 6, 10**30):
        assert refused(changed(way, value), way) == "out-of-range", value


@pytest.mark.parametrize("way", LISTS, ids=told)
def test_a_list_of_other_things_is_refused(way):
    others: list[Any] = [[None], ["x"], [{}], [[[[]]]], [True]]
    for value in others:
        assert refused(changed(way, value), way) in SHAPE.split(), value


def test_the_texts_that_are_no_document_are_refused_before_anything_is_read():
    for text in ("", " ", "null", "[]", "0", '"x"', "{", "{}", '{"a":1,"a":2}', "[" * 100_000, '{"format":"x"}'):
        verdict = verify(text)
        assert not verdict.valid
        assert verdict.code in (*TEXT.split(), "wrong-shape"), text[:20]
        assert verdict.checked == ()
