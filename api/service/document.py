"""The OpenAPI document: what FastAPI knows of its routes, and what it cannot know.

In: the application. Out: its OpenAPI 3.1 document. Guaranteed: the routes outside the framework stand in it with the
fields of an order (from the vocabulary) and of a decision (from the client's own types); every operation says that it
may answer a problem document; every one but the open ones asks for a bearer key. Refused: nothing. Why the client's
types: the document then describes what the client reads, and a test of one is a test of both. Before: `app.py`'s
routes, `client_models.py`. After: `/openapi.json`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from lexorder.api.client_models import Batch, Decision
from lexorder.engine.facts import SECTIONS, SINGLES
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.units import Kind

REQUIRED = ("id", "account", "symbol", "side", "quantity")
OPEN = ("/healthz", "/readyz")
PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `code` is stable; nothing that was sent is repeated.",
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The request id."},
    },
}
TYPES = {Kind.BOOL: "boolean"}
REFERENCE = "#/components/schemas/{name}"


def body(schema: str) -> dict[str, Any]:
    """What a route outside the framework says of its body."""
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(name=schema)}}}
    return {"requestBody": {"required": True, "content": content}}


def answers(schema: str, what: str) -> dict[int | str, dict[str, Any]]:
    """What it says of its answer."""
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(name=schema)}}}
    return {200: {"description": what, "content": content}}


def document_of(app: FastAPI, vocabulary: Vocabulary) -> dict[str, Any]:
    """The whole document."""
    found = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        description=app.description,
        routes=app.routes,
    )
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas |= _own_schemas(vocabulary)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in found["paths"].items():
        for operation in methods.values():
            refused = {"application/problem+json": {"schema": {"$ref": REFERENCE.format(name="Problem")}}}
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "Refused", "content": refused}
            if path not in OPEN:
                operation["security"] = [{"key": []}]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return _plainly_named(found)


def _plainly_named(document: dict[str, Any]) -> dict[str, Any]:
    """The document with schemas of one name called by their file's subject: `LimitsReason`, not a path of modules."""
    text = msgspec.json.encode(document).decode()
    for name in document["components"]["schemas"]:
        parts: list[str] = name.split("__")
        *_, file, kind = "", "", *parts
        if file:
            subject = "".join(word.capitalize() for word in file.removeprefix("routes_").split("_"))
            text = text.replace(f'"{name}"', f'"{subject}{kind}"').replace(f'/{name}"', f'/{subject}{kind}"')
    return dict(msgspec.json.decode(text))


def _own_schemas(vocabulary: Vocabulary) -> dict[str, Any]:
    _, answered = msgspec.json.schema_components((Decision, Batch), ref_template=REFERENCE)
    order = order_schema(vocabulary)
    batch = {
        "title": "OrderBatch",
        "type": "object",
        "required": ["orders"],
        "properties": {
            "mode": {"type": "string", "enum": ["cumulative", "independent", "basket"], "default": "cumulative"},
            "orders": {"type": "array", "minItems": 1, "items": {"$ref": REFERENCE.format(name="Order")}},
        },
    }
    renamed = {"Batch": "BatchDecision"}
    return {
        "Problem": PROBLEM,
        "Order": order,
        "OrderBatch": batch,
        "Snapshot": _snapshot_schema(),
        **{renamed.get(name, name): schema for name, schema in answered.items()},
    }


def _snapshot_schema() -> dict[str, Any]:
    """A snapshot document by its sections; `docs/snapshot.md` and the vocabulary say what stands in them."""
    rows = {"type": "array", "items": {"type": "object"}}
    return {
        "title": "Snapshot",
        "type": "object",
        "required": ["time"],
        "properties": {
            "time": {"type": "string", "format": "date-time"},
            **dict.fromkeys(SECTIONS, rows),
            **{single: {"type": "object"} for single in SINGLES},
            "sequences": {"type": "object", "description": "Where each feed goes on."},
        },
    }


def order_schema(vocabulary: Vocabulary) -> dict[str, Any]:
    """An order, by the names of the vocabulary that may be given."""
    given = [n for n in vocabulary.of_entity("order") if n.means is None and n.supplied_by == "order"]
    properties = {n.name.removeprefix("order."): _property(n) for n in given}
    return {
        "title": "Order",
        "type": "object",
        "required": list(REQUIRED),
        "properties": dict(sorted(properties.items())),
        "additionalProperties": False,
        "anyOf": [
            {"required": ["price"]},
            {"required": ["ord_type"], "properties": {"ord_type": {"enum": ["market", "stop"]}}},
        ],
    }


def _property(name: Name) -> dict[str, Any]:
    found: dict[str, Any] = {"description": name.meaning + (f" (FIX {name.fix})" if name.fix else "")}
    kind = name.unit.kind
    if kind is Kind.ENUM:
        return {"type": "string", "enum": list(name.unit.values), **found}
    if kind is Kind.BOOL:
        return {"type": "boolean", **found}
    if kind is Kind.NUMBER:
        return {"type": "string", "pattern": _digits(name), "examples": ["100"], **found}
    if name.name.endswith((".id", ".account", ".symbol")):
        letters = "A-Z" if name.name.endswith(".symbol") else "A-Za-z"
        pattern = rf"^[{letters}0-9][{letters}0-9._/:#@^=+-]{{0,63}}$"
        return {"type": "string", "minLength": 1, "maxLength": 64, "pattern": pattern, **found}
    return {"type": "string", **found}


def _digits(name: Name) -> str:
    """Decimals above zero within the bounds and the scale of a name; what is just within the bounds may be left out."""
    whole = len(str(int(name.maximum))) - 1 if name.maximum is not None else 12
    decimals = rf"(\.[0-9]{{1,{name.scale}}})?" if name.scale else ""
    # A part of one: some zeros, then a digit that is none, and no more places than there are.
    parts = [f"{'0' * zeros}[1-9][0-9]{{0,{name.scale - 1 - zeros}}}" for zeros in range(name.scale)]
    forms = [
        *([rf"[1-9][0-9]{{0,{whole - 1}}}{decimals}"] if whole else ["1"]),
        *([rf"0\.({'|'.join(parts)})"] if parts else []),
        *(["0"] if name.minimum == 0 else []),
    ]
    return f"^({'|'.join(forms)})$"
