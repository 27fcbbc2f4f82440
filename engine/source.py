"""YAML text to nodes that know where they stand.

In: the text of one file. Out: `Scalar`, `Sequence` and `Mapping` nodes; a scalar maps every character of its
value back to the line and column it was written at, also inside quoted and block scalars, so that an error in
an expression points at the very character. Guaranteed: scalars are text (no YAML type is ever guessed: `NO` is
a word, `1_000` stays as written); mappings keep their order. Refused (RuleFileError): more than 1 MiB, not
UTF-8, invalid YAML, anchors, aliases, tags, merge keys, duplicate keys, several documents, nesting above 32.
Why events and not a loader: loaders construct objects, expand aliases and forget positions.
Before: `codes.py`. After: `rulebook.py`, `vocabulary.py`, `parse.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from lexorder.engine.codes import refuse
from lexorder.engine.errors import shown
from lexorder.engine.terms import NOWHERE, Span

SIZE_MAX = 1 << 20
"""Bytes in one file."""
DEPTH_MAX = 32
"""Levels of lists and mappings."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A piece of text. `style` is YAML's mark: empty for plain, a quote, `|` or `>`.

    `raw` is the text as written, from the first character (quotes and block marks included).
    """

    text: str
    span: Span = NOWHERE
    style: str = ""
    raw: str = field(default="", compare=False, repr=False)

    def at(self, offset: int, length: int = 1) -> Span:
        """Position of the character at `offset` of `text`; the end of the text for larger offsets."""
        if self.span.line == 0:
            return Span(self.span.file, 1, offset + 1, length)
        index = _raw_index(self, offset)
        before = self.raw[:index]
        newlines = before.count("\n")
        column = index - (before.rfind("\n") + 1) + (self.span.column if not newlines else 1)
        return Span(self.span.file, self.span.line + newlines, column, length)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys (text) with their nodes, in written order; each key once."""

    entries: tuple[tuple[Scalar, Node], ...]
    span: Span = NOWHERE

    def get(self, name: str) -> Node | None:
        """The node under a key, or None."""
        return next((value for key, value in self.entries if key.text == name), None)

    def key(self, name: str) -> Scalar | None:
        """The key itself, for its position."""
        return next((key for key, _ in self.entries if key.text == name), None)

    def __iter__(self) -> Iterator[tuple[Scalar, Node]]:
        return iter(self.entries)


Node = Scalar | Sequence | Mapping


def read(path: Path, name: str = "") -> Node | None:
    """The nodes of a file, None for an empty one. `name` is how positions call the file (default: its path).

    Raises:
        RuleFileError: unreadable, too large, not UTF-8, or anything `nodes` refuses.
    """
    name = name or path.as_posix()
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= SIZE_MAX else b""
    except OSError:
        refuse("file-unreadable", "the file cannot be read", Span(name, 1, 1))
    if size > SIZE_MAX:
        _too_large(name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        refuse("not-utf8", "the file is not UTF-8 text: save it as UTF-8", Span(name, line, 1))
    return nodes(text, name)


def nodes(text: str, file: str = "") -> Node | None:
    """The nodes of a YAML text, None when it holds nothing but comments.

    Raises:
        RuleFileError: `file-too-large`, `yaml-syntax`, `yaml-anchor`, `yaml-tag`, `yaml-merge`,
            `several-documents`, `duplicate-key`, `too-deep`, `not-utf8`.
    """
    if len(text) > SIZE_MAX:
        _too_large(file)
    try:
        return _Composer(text, file).document()
    except MarkedYAMLError as error:
        refuse("yaml-syntax", _explained(error, text), _place(error, file))
    except YAMLError:
        line = next((n for n, row in enumerate(text.split("\n"), 1) if not _printable(row)), 1)
        refuse("not-utf8", "the file holds a control character: delete it", Span(file, line, 1))


def _too_large(file: str) -> None:
    refuse("file-too-large", "the file is above 1 MiB: split it", Span(file, 1, 1))


def _printable(row: str) -> bool:
    return all(c.isprintable() or c in "\t\r" for c in row)


class _Composer:
    """Builds nodes from YAML events; one use."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))

    def document(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    refuse(
                        "several-documents",
                        "a second document starts here: remove the `---`",
                        self.span(event),
                    )
                root = self.node(next(self.events), 1)
        return None if isinstance(root, Scalar) and not root.text and not root.style else root

    def node(self, event: Event, depth: int) -> Node:
        if depth > DEPTH_MAX:
            refuse("too-deep", f"nested more than {DEPTH_MAX} deep: flatten it", self.span(event))
        self.plain_only(event)
        if isinstance(event, ScalarEvent):
            return self.scalar(event)
        if isinstance(event, SequenceStartEvent):
            return self.sequence(event, depth)
        assert isinstance(event, MappingStartEvent)
        return self.mapping(event, depth)

    def plain_only(self, event: Event) -> None:
        """Refuse what makes YAML more than a tree of texts."""
        span = self.span(event)
        if isinstance(event, AliasEvent):
            refuse(
                "yaml-anchor",
                f"{shown('*' + event.anchor)} is a YAML alias, which is not allowed: write the value "
                "out, or put the text in quotes",
                span,
            )
        assert isinstance(event, NodeEvent)
        if event.anchor:
            refuse(
                "yaml-anchor",
                f"{shown('&' + event.anchor)} is a YAML anchor, which is not allowed: write the value "
                "out where it is needed, or put the text in quotes",
                span,
            )
        tag = getattr(event, "tag", None)
        if tag:
            refuse(
                "yaml-tag",
                "a value that starts with `!` is a YAML tag, which is not allowed: write `not`, or put "
                "the text in quotes",
                span,
            )

    def scalar(self, event: ScalarEvent) -> Scalar:
        raw = self.text[event.start_mark.index : event.end_mark.index]
        return Scalar(event.value, self.span(event, len(raw)), event.style or "", raw)

    def sequence(self, start: SequenceStartEvent, depth: int) -> Sequence:
        items = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return Sequence(tuple(items), self.span(start))

    def mapping(self, start: MappingStartEvent, depth: int) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        seen: dict[str, Scalar] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            key = self.node(event, depth + 1)
            if not isinstance(key, Scalar):
                refuse("wrong-shape", "a key must be a word, not a list or a mapping", key.span)
            self.new_key(key, seen)
            value = self.node(next(self.events), depth + 1)
            if isinstance(value, Scalar) and not value.raw:  # YAML places a value that is not there at what follows
                value = replace(value, span=key.span)
            entries.append((key, value))
        return Mapping(tuple(entries), self.span(start))

    def new_key(self, key: Scalar, seen: dict[str, Scalar]) -> None:
        if key.text == "<<" and not key.style:
            refuse("yaml-merge", "`<<` is a merge key: write the keys out", key.span)
        if key.text in seen:
            refuse(
                "duplicate-key",
                f"{shown(key.text)} is already given on line {seen[key.text].span.line}: keep one",
                key.span,
            )
        seen[key.text] = key

    def span(self, event: Event, length: int = 0) -> Span:
        mark = event.start_mark
        return Span(self.file, mark.line + 1, mark.column + 1, length)


def _raw_index(scalar: Scalar, offset: int) -> int:
    """Index into `raw` of the character `offset` of the value."""
    positions = _aligned(scalar)
    if offset < len(positions):
        return positions[offset]
    return positions[-1] + 1 if positions else _opening(scalar)


def _opening(scalar: Scalar) -> int:
    """Where the content starts in `raw`: after the quote, or on the line after a block's mark."""
    if scalar.style in ("|", ">"):
        return scalar.raw.find("\n") + 1
    return 1 if scalar.style else 0


def _aligned(scalar: Scalar) -> list[int]:
    """For each character of the value, its index in `raw`.

    White space is where YAML rewrites (folding, indentation), so a blank maps to wherever the walk stands and
    every other character to its next occurrence; quoted escapes are stepped over as one character.
    """
    raw, at = scalar.raw, _opening(scalar)
    found = []
    for char in scalar.text:
        if not char.isspace():
            at = _skip_blank(raw, at, escapes=scalar.style == '"')
        found.append(min(at, max(len(raw) - 1, 0)))
        at += _width(raw, at, scalar.style) if not char.isspace() or _blank_here(raw, at) else 0
    return found


def _blank_here(raw: str, at: int) -> bool:
    return at < len(raw) and raw[at] in " \t"


def _skip_blank(raw: str, at: int, *, escapes: bool) -> int:
    while at < len(raw) and (raw[at].isspace() or (escapes and raw.startswith(("\\\n", "\\ ", "\\n", "\\t"), at))):
        at += 2 if raw[at] == "\\" else 1
    return at


_ESCAPE_WIDTHS = {"x": 4, "u": 6, "U": 10}


def _width(raw: str, at: int, style: str) -> int:
    """How many characters of `raw` stand for one of the value."""
    if style == '"' and raw.startswith("\\", at):
        return _ESCAPE_WIDTHS.get(raw[at + 1 : at + 2], 2)
    if style == "'" and raw.startswith("''", at):
        return 2
    return 1


_OPENED = ("while scanning a quoted scalar", "while parsing a flow mapping", "while parsing a flow sequence")
"""What is wrong is that something was not closed: the place to show is where it was opened."""


def _place(error: MarkedYAMLError, file: str) -> Span:
    opened = error.context in _OPENED and error.context_mark is not None
    mark = error.context_mark if opened else error.problem_mark or error.context_mark
    return Span(file, mark.line + 1, mark.column + 1) if mark else Span(file, 1, 1)


def _explained(error: MarkedYAMLError, text: str) -> str:
    """YAML's complaint in the words of someone who writes rules."""
    said = f"{error.problem or ''} {error.context or ''}"
    mark = error.problem_mark
    if "mapping values" in said and mark and text.splitlines()[mark.line][: mark.column].strip().isidentifier():
        return "this line is indented further than the key above it: put keys of one rule below each other"
    for part, advice in _ADVICE.items():
        if part in said:
            return advice
    return "this is not valid YAML here: check indentation, quotes and brackets"


_ADVICE = {
    "mapping values are not allowed": "a `: ` inside a text starts a new key: put the whole text in quotes",
    r"'\t'": "a tab stands where spaces are needed: indent with spaces",
    "found unexpected end of stream": "the quotation mark that opens here is not closed",
    "found character '%'": "a text cannot start with `%`: put it in quotes",
    "found character '@'": "a text cannot start with `@`: put it in quotes",
    "found character '`'": "a text cannot start with a backtick: put it in quotes",
    "unknown escape character": "a backslash in double quotes starts an escape: write `\\\\`, or use single quotes",
    "flow sequence": "the list in `[ ]` that opens here is not closed, or a comma is missing",
    "flow mapping": "the `{` that opens here is not closed, or a comma is missing; text with `,` `{` `}` needs quotes",
    "block mapping": "the indentation does not match the keys above, or a `:` is missing after a key",
    "block collection": "the indentation does not match the list above, or a `-` is missing",
    "could not find expected ':'": "a `:` is missing after this key",
    "simple key": "a `:` is missing after this key",
    "block scalar": "after `|` or `>` the text starts on the next line",
    "document start": "something follows the end of the list or mapping: check the indentation",
}
"""A part of the parser's words → what to do."""
