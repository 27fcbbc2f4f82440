"""JSON Schema (draft-07) of rule files, so that any editor with a YAML language server completes and checks them.

In: the vocabulary. Out: a schema as plain data. Guaranteed: every rule file that loads is valid against it; keys,
words, reason codes, subjects and derived names are the ones the loader knows. Not covered: expressions (any text), and
what only the loader can tell. Refused: nothing. Why generated: a hand-written copy would fall behind the vocabulary.
Before: `rulefile.py`, `reactions.py`, `names.py`. After: `lexorder rules schema`.
"""

from __future__ import annotations

from typing import Any

from lexorder.engine.dated import DATES_MAX
from lexorder.engine.names import Vocabulary
from lexorder.engine.reactions import ONE_WORD, SHAPES, Argument
from lexorder.engine.reasons import REASONS
from lexorder.engine.rule import Audience, Phase, Severity
from lexorder.engine.rulefile import KINDS, ONLY_FOR

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"

_TEXT: Schema = {"type": "string", "minLength": 1}
_EXPRESSION: Schema = {"type": ["string", "number", "boolean"], "description": "An expression of the rule language."}
_DATE: Schema = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
_WORDS: Schema = {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1}
_ANY: Schema = {}


def schema(vocabulary: Vocabulary) -> Schema:
    """The schema of a rule file over this vocabulary."""
    return {
        "$schema": DRAFT,
        "title": "lexorder rule file",
        "description": "A list of rules. The language is described in docs/language.md.",
        "type": ["array", "null"],
        "items": _rule(vocabulary),
    }


def _rule(vocabulary: Vocabulary) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["rule", "title"],
        "properties": {**_descriptions(), **_bodies(vocabulary), **_fixed(vocabulary)},
        "oneOf": [{"required": [kind]} for kind in KINDS],
        "dependencies": {key: {"anyOf": [{"required": [kind]} for kind in kinds]} for key, kinds in ONLY_FOR.items()},
    }


def _descriptions() -> Schema:
    return {
        "rule": {"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 80},
        "title": {**_TEXT, "description": "One line in plain English."},
        "message": {**_TEXT, "description": "Shown on a breach; {name} or {name:format} is filled in."},
        "owner": _TEXT,
        "cite": _TEXT,
    }


def _bodies(vocabulary: Vocabulary) -> Schema:
    derived = {n.name: {**_EXPRESSION, "description": n.meaning} for n in vocabulary.names.values() if n.derived}
    return {
        "let": _lets(),
        "when": {**_EXPRESSION, "description": "The rule applies only where this holds."},
        "require": {**_EXPRESSION, "description": "What must hold."},
        "derive": {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": derived},
        "then": {"type": "array", "minItems": 1, "items": {"oneOf": _reactions()}},
    }


def _lets() -> Schema:
    value = {
        "type": "object",
        "additionalProperties": False,
        "required": ["value"],
        "properties": {"value": _EXPRESSION, "cite": _TEXT},
    }
    dated = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": DATES_MAX,
        "additionalProperties": False,
        "patternProperties": {_DATE["pattern"]: {"oneOf": [_EXPRESSION, value]}},
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {"^[a-z][a-z0-9_]*$": {"anyOf": [_EXPRESSION, value, dated]}},
    }


def _reactions() -> list[Schema]:
    shaped = [_one_key(kind, _arguments(arguments)) for kind, arguments in SHAPES.items()]
    worded = [_one_key(kind, {"enum": list(words)} if words else _TEXT) for kind, (_, words) in ONE_WORD.items()]
    return [*shaped, *worded]


def _one_key(key: str, value: Schema) -> Schema:
    return {"type": "object", "required": [key], "additionalProperties": False, "properties": {key: value}}


def _arguments(arguments: Any) -> Schema:
    known: dict[str, Argument] = dict(arguments)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [key for key, argument in known.items() if argument.required],
        "properties": {key: {"enum": list(a.words)} if a.words else _EXPRESSION for key, a in known.items()},
    }


def _fixed(vocabulary: Vocabulary) -> Schema:
    return {
        "severity": {"enum": [s.value for s in Severity]},
        "phases": {"type": "array", "minItems": 1, "items": {"enum": [p.value for p in Phase]}},
        "scope": _scope(),
        "effective": _object({"from": _DATE, "until": _DATE}),
        "for_each": {"enum": list(vocabulary.subjects())},
        "if_already_breached": {"enum": ["must_not_worsen", "block"]},
        "if_missing": {"enum": ["undecided", "fail"]},
        "reason": {"oneOf": [{"const": r.code, "description": r.meaning} for r in REASONS]},
        "override": _override(),
        "audience": {"enum": [a.value for a in Audience]},
        "priority": {"type": ["integer", "string"], "pattern": "^-?[0-9]{1,4}$"},
        "tests": {"type": "array", "items": _test()},
    }


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}


def _scope() -> Schema:
    tagged = _object({"tag": _TEXT, "tags": _WORDS})
    return _object({"accounts": {"oneOf": [_WORDS, {**tagged, "minProperties": 1}]}, "except": _WORDS})


def _override() -> Schema:
    properties = {
        "roles": _WORDS,
        "reason": {"enum": ["required", "optional"]},
        "approvers": {"type": ["integer", "string"], "pattern": "^[1-9]$", "minimum": 1, "maximum": 9},
        "expires": {**_TEXT, "description": "A duration, `1 day`."},
    }
    return _object(properties, ("roles",))


def _test() -> Schema:
    return _object({"name": _TEXT, "given": {"type": "object"}, "expect": _ANY}, ("expect",))
