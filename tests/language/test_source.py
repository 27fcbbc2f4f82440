"""YAML to nodes: positions, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.errors import RuleFileError
from lexorder.engine.source import DEPTH_MAX, SIZE_MAX, Mapping, Scalar, Sequence, nodes, read


def first(text: str) -> Scalar:
    """The value of the only key of a text."""
    root = nodes(text, "f.yaml")
    assert isinstance(root, Mapping)
    value = root.entries[0][1]
    assert isinstance(value, Scalar)
    return value


def code_of(text: str) -> str:
    with pytest.raises(RuleFileError) as caught:
        nodes(text, "f.yaml")
    return caught.value.code


def where(scalar: Scalar, part: str) -> tuple[int, int]:
    span = scalar.at(scalar.text.index(part))
    return span.line, span.column


@pytest.mark.parametrize(
    "written",
    ["NO", "0.1", "1_000", "2026-01-01", "true", "~", "0x1F", "1e5", ".nan", "12:30", "null", "+1", "010"],
)
def test_scalars_are_text(written):
    assert first(f"k: {written}").text == written


@pytest.mark.parametrize(
    ("text", "part", "place"),
    [
        ("k: one two", "two", (1, 8)),
        ("k:   one two", "two", (1, 10)),
        ("k: 'it''s two'", "two", (1, 11)),
        ('k: "a \\"q\\" two"', "two", (1, 13)),
        ('k: "\\u0041b two"', "two", (1, 13)),
        ('k: "a\\tb two"', "two", (1, 10)),
        ("k: |\n  one\n  two", "two", (3, 3)),
        ("k: |-\n    one\n      two", "two", (3, 7)),
        ("k: >-\n  one\n  two", "two", (3, 3)),
        ("k: >\n\n  one\n\n  two three", "three", (5, 7)),
        ("k: |  # comment\n  one\n  two", "two", (3, 3)),
        ("k: one\n  two\n  three", "three", (3, 3)),
        ('k: "one\n  two"', "two", (2, 3)),
        ("k: 'one\n\n  two'", "two", (3, 3)),
        ("k:\n  deeper\n  two", "two", (3, 3)),
        ("k: é two", "two", (1, 6)),
    ],
)
def test_every_character_knows_its_place(text, part, place):
    assert where(first(text), part) == place


def test_the_end_of_a_text_is_after_its_last_character():
    scalar = first("k: abc")
    assert (scalar.at(3).line, scalar.at(3).column) == (1, 7)
    assert scalar.at(99).column == 7


def test_an_empty_text_points_at_itself():
    assert first('k: ""').at(0).column == 5
    assert first("k:").at(0).line == 1


def test_windows_line_ends():
    assert where(first("k: >-\r\n  one\r\n  two"), "two") == (3, 3)


def test_a_text_without_a_file_counts_from_one():
    span = Scalar("abc").at(2)
    assert (span.line, span.column) == (1, 3)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["alpha", "b", "<=", "5%", "x.y", "(", ")", '"t"', "é"]), min_size=1, max_size=12),
    st.sampled_from(["plain", "single", "double", "folded", "literal"]),
    st.data(),
)
def test_positions_show_the_same_character_in_any_style(words, style, data):
    text = _styled(words, style)
    scalar = first(text)
    assert scalar.text.split() == words
    rows = text.split("\n")
    for offset, char in enumerate(scalar.text):
        if not char.isspace() and char != '"':
            span = scalar.at(offset)
            assert rows[span.line - 1][span.column - 1] == char


def _styled(words: list[str], style: str) -> str:
    if style == "plain":
        words[0] = "alpha"  # a plain text may not begin with every character
        return "k: " + " ".join(words)
    if style == "single":
        return "k: '" + "  ".join(words) + "'"
    if style == "double":
        return 'k: "' + " ".join(words).replace('"', '\\"') + '"'
    return f"k: {'>-' if style == 'folded' else '|-'}\n" + "\n".join("   " + word for word in words)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: &x 1", "yaml-anchor"),
        ("a: *x", "yaml-anchor"),
        ("a: &x\n  b: 1", "yaml-anchor"),
        ("a: &x [1]", "yaml-anchor"),
        ("a: !!str 1", "yaml-tag"),
        ("a: !python/object:os.system [x]", "yaml-tag"),
        ("!x {a: 1}", "yaml-tag"),
        ("<<: {a: 1}", "yaml-merge"),
        ("a: 1\na: 2", "duplicate-key"),
        ("a: {b: 1, b: 2}", "duplicate-key"),
        ("a: 1\n---\nb: 2", "several-documents"),
        ("[" * 40, "too-deep"),
        ("{a: " * 40, "too-deep"),
        ("a: [1", "yaml-syntax"),
        ("a: 'x", "yaml-syntax"),
        ("? [a]\n: 1", "wrong-shape"),
        ("a: \x07", "not-utf8"),
        ("a: b: c", "yaml-syntax"),
        ("%TAG ! tag:x,2026:\n---\na: !y 1", "yaml-tag"),
    ],
)
def test_refused(text, code):
    assert code_of(text) == code


def test_a_quoted_merge_key_is_an_ordinary_key():
    root = nodes('"<<": 1')
    assert isinstance(root, Mapping)
    assert root.entries[0][0].text == "<<"


def test_as_deep_as_admitted():
    assert isinstance(nodes("[" * (DEPTH_MAX - 1) + "]" * (DEPTH_MAX - 1)), Sequence)


@pytest.mark.parametrize("text", ["", "# nothing", "---\n", "\n\n"])
def test_nothing(text):
    assert nodes(text) is None


def test_the_bomb_of_anchors_is_refused_at_its_first_anchor():
    bomb = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n"
    with pytest.raises(RuleFileError) as caught:
        nodes(bomb, "f")
    assert caught.value.problems[0].line == 1


def test_files(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert isinstance(read(path), Mapping), "a byte order mark is no content"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(RuleFileError) as caught:
        read(path, "x")
    assert (caught.value.code, caught.value.problems[0].line) == ("not-utf8", 2)
    path.write_bytes(b"#" * (SIZE_MAX + 1))
    with pytest.raises(RuleFileError, match="file-too-large"):
        read(path)
    with pytest.raises(RuleFileError, match="file-unreadable"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(RuleFileError, match="file-unreadable"):
        read(tmp_path)


def test_a_long_text_is_too_large_too():
    assert code_of("#" * (SIZE_MAX + 1)) == "file-too-large"


def test_many_keys_are_read_once_each():
    root = nodes("\n".join(f"k{n}: {n}" for n in range(2_000)))
    assert isinstance(root, Mapping)
    assert len(root.entries) == 2_000
    assert root.get("k1999") == Scalar("1999", root.get("k1999").span)  # type: ignore[union-attr]
    assert root.get("absent") is None
    assert root.key("k7").text == "k7"  # type: ignore[union-attr]
