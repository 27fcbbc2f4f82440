"""The JSON Schema: valid itself, admits what loads, refuses what has the wrong shape."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from lexorder.engine.desk import shipped_rules, shipped_vocabulary
from lexorder.engine.errors import RuleFileError
from lexorder.engine.reasons import REASONS
from lexorder.engine.rulebook import rule_files
from lexorder.engine.schema import schema
from lexorder.engine.source import read
from lexorder.engine.vocabulary import canonical
from tests.language.conftest import RULEFILES

GOOD = sorted((RULEFILES / "good").glob("*.yaml"))
SHAPES = (
    *("derive-given-name", "derive-unknown", "effective-day-first", "identifier-with-blanks", "let-with-hyphen"),
    *("let-without-value", "missing-title", "misspelt-phase", "misspelt-severity", "no-kind", "not-a-list"),
    *("override-without-roles", "phases-not-a-list", "priority-on-limit", "reaction-alert-word", "reaction-not-a-list"),
    *("reaction-missing-key", "reaction-misspelt-key", "reaction-unknown-state", "scope-empty-list"),
    *("scope-unknown-key", "severity-on-reaction", "test-misspelt-key", "test-without-expect", "two-kinds"),
    *("unknown-key", "unknown-reaction", "unknown-reason", "unknown-subject", "yaml-unquoted-set"),
)


@pytest.fixture(scope="module")
def checker(words) -> jsonschema.Draft7Validator:
    made = schema(words)
    jsonschema.Draft7Validator.check_schema(made)
    return jsonschema.Draft7Validator(made)


def errors(checker: jsonschema.Draft7Validator, data: object) -> list[str]:
    return [error.message for error in checker.iter_errors(data)]


@pytest.mark.parametrize("path", GOOD, ids=[p.stem for p in GOOD])
def test_good_files_are_valid(path: Path, checker):
    assert errors(checker, canonical(read(path))) == []


@pytest.mark.parametrize("path", GOOD, ids=[p.stem for p in GOOD])
def test_good_files_are_valid_as_an_editor_reads_them(path: Path, checker):
    """Editors give numbers and booleans their types; dates stay text in YAML 1.2."""
    reader = YAML(typ="safe", pure=True)
    data = reader.load(path.read_text("utf-8"))
    assert errors(checker, _dates_as_text(data)) == []


def _dates_as_text(data: object) -> object:
    if isinstance(data, dict):
        return {str(k): _dates_as_text(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_dates_as_text(item) for item in data]
    return data if isinstance(data, str | int | float | bool | None) else str(data)


@pytest.mark.parametrize("path", rule_files([shipped_rules()]), ids=lambda p: p.stem)
def test_shipped_rules_are_valid(path: Path):
    checker = jsonschema.Draft7Validator(schema(shipped_vocabulary()))
    assert errors(checker, canonical(read(path))) == []


@pytest.mark.parametrize("name", SHAPES)
def test_wrong_shapes_are_invalid(name: str, checker):
    assert errors(checker, canonical(read(RULEFILES / "bad" / f"{name}.yaml")))


def test_nothing_that_loads_is_invalid_and_much_that_does_not_is(checker):
    caught = 0
    for path in sorted((RULEFILES / "bad").glob("*.yaml")):
        try:
            data = canonical(read(path))
        except RuleFileError:
            continue
        caught += bool(errors(checker, data))
    assert caught >= len(SHAPES)


def test_words_come_from_the_code(words):
    rule = schema(words)["items"]["properties"]
    assert [c["const"] for c in rule["reason"]["oneOf"]] == [r.code for r in REASONS]
    assert rule["for_each"]["enum"] == list(words.subjects())
    assert set(rule["derive"]["properties"]) == {n.name for n in words.names.values() if n.derived}
    assert rule["derive"]["properties"]["market.regime"]["description"] == "Market regime"


def test_an_empty_file_is_valid(checker):
    assert errors(checker, None) == []
    assert errors(checker, []) == []
