"""Strict JSON against Python's own decoder, which sees every pair of an object and every number as written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service.problems import Problem
from lexorder.api.service.strict_json import DEPTH_MAX, DIGITS_MAX, loads


def code_of(body: bytes) -> str:
    with pytest.raises(Problem) as caught:
        loads(body)
    assert caught.value.status == 400
    return caught.value.code


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'"x"',
        b"0",
        b"-1",
        b"null",
        b'{"a":"b","c":{"a":"b"}}',
        b'[{"a":1},{"a":2}]',
        rb'{"a\"b":"\\","c\\":"\""}',
        rb'{"a":"\\\"\\\\\""}',
        rb'{"\u0061":1,"b":"\u0022"}',
        b'{"time":"2026-01-02T15:00:00Z","note":"a:b:c","list":[]}',
        '{"naïve":"日本 😀"}'.encode(),
        rb'{"a":"\ud83d\ude00"}',
        b' {"a" : [ 1 , true , null , "x" ] }\n',
    ],
)
def test_what_every_reader_understands_alike_is_read(body: bytes):
    assert loads(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":"x","b":"y","a":"z"}',
        b'{"x":{"a":1,"a":2}}',
        b'[[{"a":1,"b":2,"a":3}]]',
        rb'{"a":1,"\u0061":2}',
        rb'{"a\"":1,"a\u0022":2}',
        b'{"":1,"":2}',
        b'{"a":{"deep":["x","y"]},"a":1}',
        b'{"quantity":"100","quantity":"100000"}',
    ],
)
def test_a_key_twice_in_one_object_is_refused(body: bytes):
    assert code_of(body) == "json-duplicate-key"


@pytest.mark.parametrize("body", [b"1.0", b"1e5", b"-0.0", b"1E400", b'{"price":101.25}', b"[1,2,0.5]"])
def test_a_number_with_fraction_or_exponent_is_refused(body: bytes):
    assert code_of(body) == "json-number"


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("form", ["{}", "[{}]", '{{"a":{}}}', '{{"a":"x","b":[1,{}]}}'])
def test_digits_are_counted_on_the_limit(sign: str, form: str):
    most = form.format(sign + "9" * DIGITS_MAX).encode()
    assert loads(most) == json.loads(most)
    assert code_of(form.format(sign + "1" + "0" * DIGITS_MAX).encode()) == "json-number"


def test_a_number_beyond_what_python_would_convert_is_refused():
    assert code_of(b"1" * 5000) == "json-number"
    assert code_of(b"1" * 1_000_000) == "json-number"


@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_counted_on_the_limit(left: bytes, right: bytes):
    middle = b"[]" if left == b"[" else b"{}"
    deepest = left * (DEPTH_MAX - 1) + middle + right * (DEPTH_MAX - 1)
    assert loads(deepest) == json.loads(deepest)
    assert code_of(left + deepest + right) == "json-too-deep"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_nesting_cannot_exhaust_the_stack(body: bytes):
    assert code_of(body) == "json-too-deep"


@pytest.mark.parametrize(
    "body",
    [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'{"\xf5\x80\x80\x80":1}', rb'"\u0000"', rb'{"a\u0000":"b"}'],
)
def test_what_is_not_text_is_refused(body: bytes):
    assert code_of(body) == "json-encoding"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"nul",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"{'a':1}",
        b"[1,]",
        b"01",
        b"+1",
        b"1 1",
        b'"a\nb"',
        b'"\x00"',
        rb'"\x"',
        b"\xef\xbb\xbf{}",
        b"{}\x00",
        rb'"\ud800"',
        rb'"\ud800x"',
        rb'"\udc00"',
        rb'"\udc00\ud800"',
        rb'"\ud800\ud800"',
        b"/**/1",
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_what_is_not_json_is_refused(body: bytes):
    assert code_of(body) == "json-malformed"


def test_an_escaped_backslash_before_u0000_is_only_text():
    assert loads(rb'"\\u0000"') == "\\u0000"
    assert code_of(rb'"\\\u0000"') == "json-encoding"


def test_a_refusal_repeats_nothing_of_the_body():
    for body in (b'{"MARKER":1,"MARKER":2}', b'"MARKER', b'{"MARKER":1.5}', b'{"MARKER":"\xff"}'):
        with pytest.raises(Problem) as caught:
            loads(body)
        assert b"MARKER" not in caught.value.to_bytes("id")


# Letters that make trouble: quotes, backslashes, colons, brackets, and an escape that spells another key.
TROUBLE = st.text(st.sampled_from('ab"\\:{}[],u0é😀'), max_size=4)


def written(text: str, escape: bool) -> str:
    """A JSON string, every character escaped if asked."""
    if not escape:
        return json.dumps(text, ensure_ascii=False)
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2)) + '"'


STRINGS = st.builds(written, TROUBLE, st.booleans())


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(STRINGS, values), max_size=4)
    return pairs.map(lambda items: "{" + ",".join(f"{k}:{v}" for k, v in items) + "}")


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda items: "[" + ",".join(items) + "]")


TEXTS = st.recursive(
    STRINGS | st.integers().map(str) | st.sampled_from(["true", "null"]),
    lambda inner: objects(inner) | arrays(inner),
    max_leaves=12,
)


class TwiceError(Exception):
    pass


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise TwiceError
    return dict(pairs)


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_it_agrees_with_reading_pair_by_pair(text: str):
    body = text.encode()
    try:
        expected = json.loads(text, object_pairs_hook=once)
    except TwiceError:
        assert code_of(body) == "json-duplicate-key"
        return
    assert loads(body) == expected


def outcome(body: bytes) -> str:
    try:
        loads(body)
    except Problem as problem:
        return problem.code
    return "read"


@settings(deadline=None)
@given(st.binary(max_size=40) | TEXTS.map(str.encode), st.data())
def test_any_bytes_are_read_or_refused_with_a_known_code(body: bytes, data: st.DataObject):
    cut = data.draw(st.integers(0, len(body)))
    known = {"read", "json-malformed", "json-encoding", "json-duplicate-key", "json-number", "json-too-deep"}
    for piece in (body, body[:cut], body[cut:]):
        assert outcome(piece) in known
