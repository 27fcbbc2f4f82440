"""The OpenAPI document against the service itself: what it says of orders is what the reader takes, no more, no less.

Patterns are tried with texts drawn from them and with texts drawn past them; answers of the running service are judged
by a validator of JSON Schema that knows nothing of this project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lexorder.api.service.app import create_app
from lexorder.api.service.document import OPEN, REQUIRED, order_schema
from lexorder.api.service.wire import OrderReader
from lexorder.engine.errors import LexorderError
from lexorder.engine.units import Kind
from tests.service.house import House
from tests.worlds import VOCABULARY, order, position, world

SCHEMA = order_schema(VOCABULARY)
PROPERTIES: dict[str, dict[str, Any]] = SCHEMA["properties"]
READER = OrderReader(VOCABULARY)
NUMBERS = sorted(name for name in PROPERTIES if VOCABULARY.name(f"order.{name}").unit.kind is Kind.NUMBER)  # type: ignore[union-attr]
NAMES = ("id", "account", "symbol")


def read(name: str, value: Any) -> Any:
    """What the reader makes of one member of an order; None when it refuses it."""
    try:
        return READER.read({**order(), name: value}).get(f"order.{name}")
    except LexorderError:
        return None


def says(name: str, text: str) -> bool:
    """Whether the document admits a text, as a validator reads it: `$` is the end of the text."""
    return re.fullmatch(PROPERTIES[name]["pattern"][1:-1], text) is not None


# ---- an order ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMBERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_number_the_document_admits_is_read_as_it_stands(name: str, data: st.DataObject):
    text = data.draw(st.from_regex(PROPERTIES[name]["pattern"][1:-1], fullmatch=True, alphabet="0123456789."))
    assert read(name, text) == Fraction(text)


@pytest.mark.parametrize("name", NUMBERS)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_number_well_within_the_bounds_is_admitted(name: str, data: st.DataObject):
    """Above zero and shorter than the bound is long; what has as many digits as the bound may be left out."""
    declared = VOCABULARY.name(f"order.{name}")
    assert declared is not None
    assert declared.maximum is not None
    below = max(10 ** (len(str(int(declared.maximum))) - 1), 1)
    unit = Decimal(1).scaleb(-declared.scale)
    value = data.draw(st.decimals(unit, below - unit, places=declared.scale))
    assume(value > 0)
    text = format(value, "f")
    assert read(name, text) == Fraction(text)
    assert says(name, text)
    assert says(name, text.rstrip("0").rstrip(".") if "." in text else text), "without the zeros at its end"


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["", "1e3", "+1", " 1", "1 ", "01", "1.", ".5", "0x1", "1,000", "٣", "1\n"])
def test_what_is_no_plain_decimal_is_neither_admitted_nor_read(name: str, text: str):
    assert not says(name, text)
    assert read(name, text) is None


@pytest.mark.parametrize("name", NUMBERS)
def test_the_edges_of_numbers_are_told_rightly(name: str):
    declared = VOCABULARY.name(f"order.{name}")
    assert declared is not None
    smallest = format(Decimal(1).scaleb(-declared.scale), "f")
    assert says(name, smallest)
    assert read(name, smallest) == Fraction(smallest)
    assert says(name, "0") == (declared.minimum == 0)
    if declared.scale:
        finer = smallest[:-1] + "01"
        assert not says(name, finer)
        assert read(name, finer) is None
    beyond = str(int(declared.maximum or 0) * 10)
    assert not says(name, beyond)
    assert read(name, beyond) is None


LETTERS = "AZaz09._/:#@^=+- ä\n\t\\"


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(NAMES), text=st.text(LETTERS, max_size=6) | st.text("Aa", min_size=63, max_size=66))
@example(name="id", text="A" * 64)
@example(name="symbol", text="A" * 64)
@example(name="id", text="A" * 65)
@example(name="symbol", text="BRK/B")
@example(name="symbol", text="acme")
@example(name="account", text="acme")
def test_a_name_is_admitted_exactly_when_it_is_read(name: str, text: str):
    admitted = says(name, text) and PROPERTIES[name]["minLength"] <= len(text) <= PROPERTIES[name]["maxLength"]
    assert admitted == (read(name, text) == text)


@pytest.mark.parametrize("name", sorted(n for n in PROPERTIES if "enum" in PROPERTIES[n]))
def test_a_choice_is_admitted_exactly_when_it_is_read(name: str):
    told = PROPERTIES[name]["enum"]
    assert len(told) == len(set(told)) > 1
    for value in told:
        assert read(name, value) == value
    strange: list[Any] = ["", "nonsense", told[0].upper() + " ", told[0] + told[1], 1, True, [told[0]]]
    assert [read(name, value) for value in strange] == [None] * len(strange)


@pytest.mark.parametrize("name", sorted(n for n in PROPERTIES if PROPERTIES[n]["type"] == "boolean"))
def test_a_truth_is_a_json_truth(name: str):
    assert [read(name, value) for value in (True, False)] == [True, False]
    strange: list[Any] = ["yes", "TRUE", 1, 0, "", []]
    assert [read(name, value) for value in strange] == [None] * len(strange)


@pytest.mark.parametrize("name", [*REQUIRED, *sorted(set(PROPERTIES) - set(REQUIRED))])
def test_an_order_needs_what_the_document_says_it_needs(name: str):
    full = order(ord_type="market")
    full.pop("price")
    if name in REQUIRED:
        full.pop(name)
        with pytest.raises(LexorderError):
            READER.read(full)
    else:
        READER.read(full)
    assert set(SCHEMA["required"]) == set(REQUIRED)


@pytest.mark.parametrize("name", ["ID", "qty", "notional", "signed_quantity", "order.id", "", "price "])
def test_nothing_else_may_stand_in_an_order(name: str):
    assert SCHEMA["additionalProperties"] is False
    assert name not in PROPERTIES
    with pytest.raises(LexorderError):
        READER.read({**order(), name: "1"})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), clock="feed").furnished()
    yield house
    house.close()


@pytest.mark.parametrize("kind", [None, "market", "limit", "stop", "stop_limit"])
@pytest.mark.parametrize("price", [None, "100"])
@pytest.mark.parametrize("stop", [None, "100"])
def test_a_price_is_needed_where_the_document_says(
    served: House, kind: str | None, price: str | None, stop: str | None
):
    """By a validator on one side, by the service on the other."""
    told = {"ord_type": kind, "price": price, "stop_price": stop}
    base = {key: value for key, value in order().items() if key not in told}
    body = {
        **base,
        "id": f"O-{kind}-{price}-{stop}",
        **{key: value for key, value in told.items() if value is not None},
    }
    admitted = jsonschema.Draft202012Validator(SCHEMA).is_valid(body)
    answer = served.call("POST", "/v1/orders/check?reserve=false", body)
    assert admitted == (answer.status_code == 200), answer.text


# ---- the whole document --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(served: House) -> FastAPI:
    return create_app(served.service)


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def references(found: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(found, dict):
        if isinstance(found.get("$ref"), str):
            yield found["$ref"]
        for each in found.values():
            yield from references(each)
    elif isinstance(found, list):
        for each in found:
            yield from references(each)


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(path, m): op for path, methods in document["paths"].items() for m, op in methods.items()}


def test_every_reference_leads_somewhere_and_every_schema_is_one(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    wanted = {ref.removeprefix("#/components/schemas/") for ref in references(document)}
    assert wanted <= set(schemas)
    assert {"Order", "OrderBatch", "Decision", "BatchDecision", "Problem", "Snapshot"} <= set(schemas)
    assert not {"HTTPValidationError", "ValidationError"} & (wanted | set(schemas))
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_operation_may_refuse_and_all_but_the_open_ones_ask_for_a_key(document: dict[str, Any]):
    assert document["openapi"] == "3.1.0"
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for (path, method), operation in operations(document).items():
        assert operation["responses"]["default"]["content"] == problem, (path, method)
        assert "422" not in operation["responses"]
        assert operation.get("security") == (None if path in OPEN else [{"key": []}]), (path, method)
    identifiers = [operation["operationId"] for operation in operations(document).values()]
    assert len(identifiers) == len(set(identifiers))


def test_a_document_made_twice_is_the_same(app: FastAPI, document: dict[str, Any]):
    assert app.openapi() == document
    assert create_app_document(app) == document


def create_app_document(app: FastAPI) -> dict[str, Any]:
    """The document made once more from nothing."""
    app.openapi_schema = None
    return app.openapi()


def valid(document: dict[str, Any], schema: str, answer: Any) -> None:
    """An answer judged by the document's own schema."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(answer)


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({"quantity": 1}, "approve"),
        ({"quantity": 101}, "needs_override"),
        ({"quantity": 1001}, "reject"),
        ({"quantity": 1, "account": "NOPE"}, "reject"),
        ({"quantity": 1, "symbol": "NOPE"}, "reject"),
        ({"quantity": 600}, "reject"),
    ],
)
def test_decisions_are_as_the_document_says(
    served: House, document: dict[str, Any], facts: dict[str, Any], outcome: str
):
    asked = order(**facts, id=f"D-{outcome}-{len(str(facts))}")
    answer = served.post("/v1/orders/check?reserve=false", asked, by="senior_trader/tess")
    assert answer["outcome"] == outcome
    valid(document, "Decision", answer)
    batch = served.post("/v1/orders/check-batch", {"mode": "independent", "orders": [asked]})
    valid(document, "BatchDecision", batch)


@pytest.mark.parametrize(
    ("by", "asked", "body"),
    [
        ("admin", "GET /v1/nothing", None),
        ("admin", "GET /v1/limits/nothing", None),
        ("admin", "DELETE /v1/feeds", None),
        ("observer", "POST /v1/kill", None),
        ("admin", "POST /v1/orders/check", []),
        ("admin", "POST /v1/orders/check", {**order(), "quantity": "x"}),
        ("risk_officer", "POST /v1/limits", {"id": "x", "require": "x <= limit", "values": {"2026-01-01": "1"}}),
        ("admin", "POST /v1/prices", {"event_id": "e", "items": [{"symbol": "ACME", "mark": "0"}]}),
        ("admin", "POST /v1/snapshot", {"time": "noon"}),
    ],
)
def test_refusals_are_as_the_document_says(served: House, document: dict[str, Any], by: str, asked: str, body: Any):
    method, path = asked.split(" ")
    answer = served.call(method, path, body, by)
    assert answer.status_code >= 400
    assert answer.headers["content-type"] == "application/problem+json"
    valid(document, "Problem", answer.json())
    assert answer.json()["instance"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("changed", [{}, {"positions": [position("ACME", 1)]}, {"sequences": {"prices": 1}}])
def test_a_snapshot_the_service_takes_is_one_by_the_document(
    served: House, document: dict[str, Any], changed: dict[str, Any]
):
    told = world(**changed)
    valid(document, "Snapshot", told)
    served.post("/v1/snapshot", told)
    with pytest.raises(jsonschema.ValidationError):
        valid(document, "Snapshot", {key: value for key, value in told.items() if key != "time"})
