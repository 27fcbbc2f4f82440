"""Shapes of nodes: what is asked for comes back as it is, anything else is refused with its code and its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lexorder.engine import shape
from lexorder.engine.errors import RuleFileError
from lexorder.engine.source import Mapping, Node, Scalar, Sequence, nodes
from lexorder.engine.terms import Span


def root(text: str) -> Mapping:
    found = nodes(text, "f.yaml")
    assert isinstance(found, Mapping)
    return found


def under(text: str) -> Node | None:
    """What stands under `k`."""
    return root(text).get("k")


HERE = Span("f.yaml", 7, 3)
MAP, LIST, WORD, EMPTY, NONE = "k: {a: 1}", "k: [x, y]", "k: word", 'k: ""', "other: 1"


def asked(ask: Callable[..., Any], text: str) -> Any:
    node = under(text)
    if ask is shape.scalar:
        assert node is not None
        return ask(node, "`k`")
    return ask(node, "`k`", HERE)


@pytest.mark.parametrize(
    ("ask", "text", "code", "place"),
    [
        (shape.mapping, LIST, "wrong-shape", (1, 4)),
        (shape.mapping, WORD, "wrong-shape", (1, 4)),
        (shape.mapping, NONE, "missing-key", (7, 3)),
        (shape.sequence, MAP, "wrong-shape", (1, 4)),
        (shape.sequence, WORD, "wrong-shape", (1, 4)),
        (shape.sequence, NONE, "missing-key", (7, 3)),
        (shape.words, "k: [x, {a: 1}]", "wrong-shape", (1, 8)),
        (shape.words, 'k: [x, ""]', "missing-key", (1, 8)),
        (shape.words, NONE, "missing-key", (7, 3)),
        (shape.scalar, MAP, "wrong-shape", (1, 4)),
        (shape.scalar, LIST, "wrong-shape", (1, 4)),
        (shape.scalar, EMPTY, "missing-key", (1, 4)),
        (shape.scalar, 'k: "  "', "missing-key", (1, 4)),
    ],
)
def test_another_shape_is_refused_where_it_stands(ask, text, code, place):
    """What is absent is pointed at where it should be."""
    with pytest.raises(RuleFileError) as refused:
        asked(ask, text)
    (problem,) = refused.value.problems
    assert (problem.code, (problem.line, problem.column)) == (code, place)
    assert "`k`" in problem.message


def test_the_shape_asked_for_comes_back():
    assert isinstance(asked(shape.mapping, MAP), Mapping)
    assert [item.text for item in asked(shape.sequence, LIST)] == ["x", "y"]
    assert [item.text for item in asked(shape.words, LIST)] == ["x", "y"]
    assert asked(shape.sequence, "k: []") == ()
    found = asked(shape.scalar, WORD)
    assert isinstance(found, Scalar)
    assert found.text == "word"
    assert isinstance(under(LIST), Sequence)


def test_texts_under_keys():
    """A required one must be there; one that need not be is empty."""
    body = root("a: one\nb: [x]")
    assert shape.word(body, "a", HERE).text == shape.text(body, "a") == "one"
    assert shape.text(body, "c") == ""
    for call, code in ((lambda: shape.word(body, "c", HERE), "missing-key"), (lambda: shape.text(body, "b"),
                       "wrong-shape"), (lambda: shape.word(body, "b", HERE), "wrong-shape")):  # fmt: skip
        with pytest.raises(RuleFileError) as refused:
            call()
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("text", "unknown", "near"),
    [
        ("title: a\nseverity: b", [], ""),
        ("titel: a", ["titel"], "title"),
        ("zzz: a\ntitle: b\nqqq: c", ["zzz", "qqq"], ""),
        ("Title: a", ["Title"], "title"),
    ],
)
def test_all_unknown_keys_are_told_at_once_with_the_nearest(text, unknown, near):
    body = root(text)
    if not unknown:
        shape.known_keys(body, ("title", "severity"), "a rule")
        return
    with pytest.raises(RuleFileError) as refused:
        shape.known_keys(body, ("title", "severity"), "a rule")
    problems = refused.value.problems
    assert [p.code for p in problems] == ["unknown-key"] * len(unknown)
    assert all(f"`{word}`" in p.message for word, p in zip(unknown, problems, strict=True))
    assert {p.nearest for p in problems} == {near}


@pytest.mark.parametrize("count", [1, shape.LISTED_MAX, shape.LISTED_MAX + 1])
def test_a_short_list_of_keys_is_shown_and_a_long_one_is_not(count):
    known = [f"key_number_{n}" for n in range(count)]
    with pytest.raises(RuleFileError) as refused:
        shape.known_keys(root("zzz: 1"), known, "a rule")
    assert (known[0] in refused.value.problems[0].message) == (count <= shape.LISTED_MAX)


@pytest.mark.parametrize(("word", "near"), [("hard", None), ("hrad", "hard"), ("", ""), ("HARD", "hard")])
def test_a_choice(word, near):
    """The words there are stand in the message; spelling counts."""
    written = root(f'k: "{word}"').get("k")
    assert isinstance(written, Scalar)
    if near is None:
        assert shape.choice(written, ("hard", "soft", "warn"), "`severity`") == word
        return
    with pytest.raises(RuleFileError, match="hard, soft, warn") as refused:
        shape.choice(written, iter(("hard", "soft", "warn")), "`severity`")
    assert refused.value.problems[0].code == "bad-choice"
    assert refused.value.problems[0].nearest == near
