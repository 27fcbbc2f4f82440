"""The client's calls against the service's own OpenAPI document: each has the other."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from lexorder.api import client_calls, client_risk_calls
from lexorder.api.client_calls import Call
from lexorder.api.service.app import create_app
from lexorder.api.service.service import Service
from lexorder.api.service.settings import Settings

ARGUMENTS: dict[str, Any] = {
    "order": {"id": "O-1", "account": "A"},
    "orders": [{"id": "O-1", "account": "A"}],
    "body": {},
    "document": {},
    "items": [],
    "files": {},
    "seq": 1,
    "old": 1,
}
"""What is given for arguments without a default; any other is a text."""


def _calls() -> dict[str, Call[Any]]:
    """One call of each function of the two modules."""
    found = {}
    for module in (client_calls, client_risk_calls):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
                plain = [p.name for p in needed if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
                given = {p: ARGUMENTS.get(p, "text") for p in plain}
                if name == "request_override":
                    given["order"] = "O-1"
                found[name] = function(**given)
    return found


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    service = Service.open(Settings(data_dir=Path(tmp_path_factory.mktemp("data"))))
    try:
        return create_app(service).openapi()
    finally:
        assert service.ledger is not None
        service.ledger.close()


def _operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(m.upper(), path): op for path, methods in document["paths"].items() for m, op in methods.items()}


def test_every_operation_has_a_call_and_every_call_an_operation(document):
    offered = set(_operations(document))
    called = {(call.method, call.template) for call in _calls().values()}
    assert offered - called == set(), "operations without a call"
    assert called - offered == set(), "calls of what is not there"


def test_no_two_calls_are_of_one_operation():
    called = [(call.method, call.template) for call in _calls().values()]
    assert len(called) == len(set(called))


@pytest.mark.parametrize("name", sorted(_calls()))
def test_a_call_names_the_parameters_of_its_operation(document, name):
    call = _calls()[name]
    operation = _operations(document)[call.method, call.template]
    parameters = {p["name"]: p["in"] for p in operation.get("parameters", [])}
    assert set(call.named) == {n for n, where in parameters.items() if where == "path"}
    assert set(call.query) <= {n for n, where in parameters.items() if where == "query"}
    if call.body is not None:
        assert "requestBody" in operation, "a body nobody reads"


def test_the_keys_calls_send_are_in_the_schemas(document):
    compared = 0
    for name, call in _calls().items():
        body = _operations(document)[call.method, call.template].get("requestBody", {}).get("content", {})
        schema = body.get("application/json", {}).get("schema", {})
        if "$ref" in schema and isinstance(call.body, dict):
            named = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
            assert set(call.body) <= set(named["properties"]), name
            compared += 1
    assert compared >= 10, "nearly every body has a schema"
