"""`rules/vocabulary.yaml` to a `Vocabulary`.

In: the YAML file. Out: a frozen `Vocabulary` (see `names.py`): every name with its unit, bounds, default, example
and, where it has one, its definition typechecked and fully expanded. Guaranteed: links and `as_of` lead somewhere,
defaults and examples fit type and bounds, definitions are free of circles; the digest does not change with
comments, blank space or order. Refused (RuleFileError): anything else, all findings at once.
Why a second pass for `means`: a definition may use names declared below it.
Before: `source.py`, `typecheck.py`, `names.py`. After: `rulebook.py`, `snapshot.py`, `schema.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from lexorder.engine import literals, shape, syntax
from lexorder.engine.codes import Findings, nearest_name, refuse
from lexorder.engine.errors import shown
from lexorder.engine.fit import a_unit
from lexorder.engine.mistakes import KEYWORDS
from lexorder.engine.names import Entity, Name, NameTable, Resolved, Vocabulary
from lexorder.engine.parse import parse
from lexorder.engine.resolve import tied
from lexorder.engine.source import Mapping, Node, Scalar, Sequence, nodes, read
from lexorder.engine.syntax import Syntax
from lexorder.engine.terms import Span, Value
from lexorder.engine.typecheck import Checker
from lexorder.engine.units import UNITS, Kind, Unit

__all__ = ["Entity", "Name", "Resolved", "Vocabulary", "load", "vocabulary_of"]

SCALES = {
    "price": 4,
    "account_price": 8,
    "money": 4,
    "local_money": 4,
    "shares": 0,
    "ratio": 6,
    "fx_rate": 8,
    "duration": 3,
}
"""Decimals admitted by type, when the vocabulary does not say."""

_ENTITY_KEYS = ("key", "links", "collection", "single", "open", "groups")
_NAME_KEYS = (
    *("type", "meaning", "min", "max", "scale", "default", "example", "max_age", "as_of", "means"),
    *("derived", "values", "fix", "supplied_by"),
)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+\Z")


def load(path: Path | str, name: str = "") -> Vocabulary:
    """The vocabulary of a file. `name` is how positions call the file.

    Raises:
        RuleFileError: with every problem found.
    """
    return _Loader().vocabulary(read(Path(path), name))


def vocabulary_of(text: str, file: str = "vocabulary.yaml") -> Vocabulary:
    """The vocabulary of a YAML text.

    Raises:
        RuleFileError: with every problem found.
    """
    return _Loader().vocabulary(nodes(text, file))


@dataclass(frozen=True, slots=True)
class _Definition:
    """A name's `means`, not yet typechecked."""

    name: str
    tree: Syntax
    span: Span


class _Loader:
    """Builds one vocabulary; one use."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.definitions: dict[str, _Definition] = {}
        self.names = NameTable()
        self.spans: dict[str, Span] = {}

    def vocabulary(self, root: Node | None) -> Vocabulary:
        if not isinstance(root, Mapping):
            span = root.span if root else Span("", 1, 1)
            refuse("wrong-shape", "a vocabulary is a mapping with `entities:` and `names:`", span)
        with self.findings.catching():
            shape.known_keys(root, ("entities", "names"), "a vocabulary")
        self.findings.raise_any()
        entities = self.entities(root)
        self.names.entities = entities
        self.read_names(root, entities)
        self.findings.raise_any()
        vocabulary = Vocabulary(entities, self.names, _digest(root))
        self.check_references(vocabulary)
        self.findings.raise_any()
        self.define(vocabulary)
        self.findings.raise_any()
        return vocabulary

    # ---- entities ------------------------------------------------------------------------------

    def entities(self, root: Mapping) -> dict[str, Entity]:
        found: dict[str, Entity] = {}
        for key, node in shape.mapping(root.get("entities"), "`entities`", root.span):
            with self.findings.catching():
                found[key.text] = _entity(key, node)
        return found

    # ---- names ---------------------------------------------------------------------------------

    def read_names(self, root: Mapping, entities: dict[str, Entity]) -> None:
        for key, node in shape.mapping(root.get("names"), "`names`", root.span):
            with self.findings.catching():
                self.names[key.text] = self.one_name(key, node, entities)
                self.spans[key.text] = key.span

    def one_name(self, key: Scalar, node: Node, entities: dict[str, Entity]) -> Name:
        head = key.text.split(".")[0]
        if not _PATH.match(key.text) or KEYWORDS & set(key.text.split(".")):
            refuse("bad-identifier", f"{shown(key.text)} is not a name: write `entity.field`", key.span)
        if head not in entities:
            refuse("unknown-name", f"{shown(head)} is not an entity", key.span, nearest_name(head, entities))
        body = shape.mapping(node, f"the name {shown(key.text)}", key.span)
        shape.known_keys(body, _NAME_KEYS, "a name")
        kind = shape.word(body, "type", key.span)
        unit = _unit(body, kind)
        name = Name(
            name=key.text,
            entity=head,
            type=kind.text,
            unit=unit,
            meaning=shape.word(body, "meaning", key.span).text,
            as_of=shape.text(body, "as_of"),
            written=shape.text(body, "means"),
            derived=_flag(body, "derived"),
            fix=shape.text(body, "fix"),
            supplied_by=shape.text(body, "supplied_by"),
            scale=_scale(body, kind.text),
            max_age=_age(body),
        )
        self.note_definition(key, body)
        return _with_values(name, body)

    def note_definition(self, key: Scalar, body: Mapping) -> None:
        node = body.get("means")
        if node is not None:
            written = shape.scalar(node, "`means`")
            self.definitions[key.text] = _Definition(key.text, parse(written), written.span)

    # ---- what refers to what -------------------------------------------------------------------

    def check_references(self, vocabulary: Vocabulary) -> None:
        for name in self.names.values():
            if name.as_of and name.as_of not in self.names:
                near = nearest_name(name.as_of, self.names)
                self.findings.add("unknown-name", f"`as_of` names {shown(name.as_of)}", self.spans[name.name], near)
        for entity in vocabulary.entities.values():
            for target in entity.links:
                if target not in vocabulary.entities:
                    self.findings.add(
                        "unknown-name",
                        f"`{entity.name}` links to {shown(target)}, which is no entity",
                        Span(),
                        nearest_name(target, vocabulary.entities),
                    )

    # ---- definitions ---------------------------------------------------------------------------

    def define(self, vocabulary: Vocabulary) -> None:
        """Typecheck definitions, those they use first."""
        done: set[str] = set()
        for name in self.definitions:
            with self.findings.catching():
                self.define_one(name, vocabulary, done, ())

    def define_one(self, name: str, vocabulary: Vocabulary, done: set[str], within: tuple[str, ...]) -> None:
        if name in within:
            circle = " → ".join([*within[within.index(name) :], name])
            refuse(
                "definition-cycle", f"`means` definitions form a circle: {circle}", self.definitions[within[-1]].span
            )
        if name in done or name not in self.definitions:
            return
        definition = self.definitions[name]
        for used in _used(definition.tree, vocabulary):
            self.define_one(used, vocabulary, done, (*within, name))
        declared = self.names[name]
        term = Checker(vocabulary, declared.entity).term(definition.tree, declared.unit)
        self.names[name] = replace(declared, means=tied(term, declared.entity, vocabulary))
        done.add(name)


def _used(tree: Syntax, vocabulary: Vocabulary) -> list[str]:
    own = [tree.path] if isinstance(tree, syntax.Name) and "." in tree.path else []
    found = [vocabulary.resolve(path) for path in own]
    names = [resolved.declared.name for resolved in found if resolved]
    return names + [name for child in tree.children() for name in _used(child, vocabulary)]


def _entity(key: Scalar, node: Node) -> Entity:
    if not _WORD.match(key.text) or key.text in KEYWORDS:
        refuse("bad-identifier", f"{shown(key.text)} is not a word of letters, digits and `_`", key.span)
    body = shape.mapping(node, f"the entity {shown(key.text)}", key.span)
    shape.known_keys(body, _ENTITY_KEYS, "an entity")
    links = shape.mapping(body.get("links"), "`links`", key.span) if body.get("links") else Mapping(())
    return Entity(
        name=key.text,
        key=shape.text(body, "key"),
        links={k.text: shape.scalar(v, "a link").text for k, v in links},
        collection=_flag(body, "collection"),
        single=_flag(body, "single"),
        open=_flag(body, "open"),
        groups=shape.text(body, "groups"),
    )


def _flag(body: Mapping, key: str) -> bool:
    node = body.get(key)
    if node is None:
        return False
    written = shape.scalar(node, f"`{key}`")
    value = literals.truth(written.text)
    if value is None:
        refuse("bad-choice", f"`{key}` is `true` or `false`, not {shown(written.text)}", written.span)
    return value


def _unit(body: Mapping, kind: Scalar) -> Unit:
    if kind.text == "enum":
        values = tuple(v.text for v in shape.words(body.get("values"), "`values`", kind.span))
        if len(values) < 1 or len(set(values)) != len(values):
            refuse("bad-type", "an enumeration lists its `values`, each once", kind.span)
        return Unit(Kind.ENUM, values=values)
    if kind.text not in UNITS:
        refuse("bad-type", f"{shown(kind.text)} is not a type", kind.span, nearest_name(kind.text, (*UNITS, "enum")))
    return UNITS[kind.text]


def _scale(body: Mapping, kind: str) -> int:
    node = body.get("scale")
    if node is None:
        return SCALES.get(kind, 0)
    written = shape.scalar(node, "`scale`")
    if not re.fullmatch(r"[0-9]|1[0-8]", written.text):
        refuse("bad-bounds", "`scale` is a number of decimals from 0 to 18", written.span)
    return int(written.text)


def _age(body: Mapping) -> Fraction | None:
    node = body.get("max_age")
    if node is None:
        return None
    written = shape.scalar(node, "`max_age`")
    seconds = literals.duration(written.text)
    if seconds is None or seconds <= 0:
        refuse("bad-value", f"`max_age` is a duration like `15 min`, not {shown(written.text)}", written.span)
    return seconds


def _with_values(name: Name, body: Mapping) -> Name:
    """The name with bounds, default and example read and compared."""
    low, high = _bound(body, "min", name), _bound(body, "max", name)
    if low is not None and high is not None and low > high:
        refuse("bad-bounds", "`min` is above `max`", body.span)
    return replace(
        name,
        minimum=low,
        maximum=high,
        default=_given(body, "default", name, low, high),
        example=_given(body, "example", name, low, high),
    )


def _bound(body: Mapping, key: str, name: Name) -> Fraction | None:
    node = body.get(key)
    if node is None:
        return None
    written = shape.scalar(node, f"`{key}`")
    value = literals.value(written.text, name.unit) if name.unit.kind in {Kind.NUMBER, Kind.DURATION} else None
    if not isinstance(value, Fraction):
        refuse("bad-bounds", f"`{key}` is {shown(written.text)}, which is not of type {name.type}", written.span)
    return value


def _given(body: Mapping, key: str, name: Name, low: Fraction | None, high: Fraction | None) -> Value | None:
    node = body.get(key)
    if node is None:
        return None
    value = fact(node, name)
    if isinstance(value, Fraction):
        below = low is not None and value < low
        if below or (high is not None and value > high):
            refuse("bad-bounds", f"`{key}` is outside `min` and `max`", node.span)
    return value


def fact(node: Node, name: Name) -> Value:
    """A given fact written in YAML, by the name's type; a set is a list of texts.

    Raises:
        RuleFileError: `bad-value` when it does not fit the type.
    """
    if name.unit.kind is Kind.SET:
        return frozenset(item.text for item in shape.words(node, f"`{name.name}`", node.span))
    if isinstance(node, Sequence | Mapping):
        refuse("wrong-shape", f"`{name.name}` is {a_unit(name.unit)}, not a list or a mapping", node.span)
    value = literals.value(node.text, name.unit)
    if value is None:
        near = nearest_name(node.text, name.unit.values)
        refuse("bad-value", f"`{name.name}` is {a_unit(name.unit)}, not {shown(node.text)}", node.span, near)
    return value


def canonical(node: Node | None) -> object:
    """A node as plain data, keys sorted, texts as written: what digests are taken of."""
    if isinstance(node, Mapping):
        return {key.text: canonical(value) for key, value in sorted(node.entries, key=lambda e: e[0].text)}
    if isinstance(node, Sequence):
        return [canonical(item) for item in node.items]
    return node.text if node else None


def digest(data: object) -> str:
    """SHA-256 of canonical bytes: JSON with sorted keys, no blanks, UTF-8."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(root: Mapping) -> str:
    return digest(canonical(root))
