"""`GET /docs`: every address of the service on one page that asks nobody else for anything.

In: the OpenAPI document and the matrix of roles. Out: HTML without scripts. Guaranteed: whatever the document describes
stands on the page, with who may call it; the browser loads nothing from other places. Refused: nothing. Why not a
viewer from a content network: a desk has no way out to one, and a script of somebody else's has no place beside keys.
Before: `document.py`, `roles.py`. After: `app.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexorder.api.service.roles import Matrix

TEMPLATE = Path(__file__).parent.parent / "templates" / "reference.html"
METHODS = ("get", "post", "put", "delete")
FEW = 12
"""Words of a choice that are listed."""

NOTHING = ("object", "any")
"""Types that say no more than that there is something."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a key of a body or an answer."""

    name: str
    where: str
    type: str
    needed: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address; `roles` is empty where no key is asked for."""

    method: str
    path: str
    words: str
    scope: str
    roles: tuple[str, ...]
    parameters: tuple[Field, ...]
    body: str
    answer: str

    @property
    def anchor(self) -> str:
        """The name of its place on the page."""
        return f"{self.method}-{self.path}".lower().replace("/", "-").replace("{", "").replace("}", "")


def page(document: Json, matrix: Matrix) -> str:
    """The page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    groups: dict[str, list[Operation]] = {}
    for tag, operation in operations(document, matrix):
        groups.setdefault(tag, []).append(operation)
    schemas = {name: (schema, tuple(fields_of(schema))) for name, schema in document["components"]["schemas"].items()}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(info=document["info"], groups=groups, schemas=dict(sorted(schemas.items())))


def operations(document: Json, matrix: Matrix) -> Iterator[tuple[str, Operation]]:
    """Every operation with its group."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                found = methods[method]
                yield (found.get("tags") or ["other"])[0], _operation(method.upper(), path, found, matrix)


def _operation(method: str, path: str, found: Json, matrix: Matrix) -> Operation:
    line = matrix.lines.get((method, path))
    given = found.get("parameters", ())
    return Operation(
        method=method,
        path=path,
        words=found.get("description") or found.get("summary", ""),
        scope="" if line is None else line.scope.value,
        roles=() if line is None else tuple(sorted(role.value for role in line.roles)),
        parameters=tuple(_parameter(each) for each in given),
        body=_content(found.get("requestBody", {})),
        answer=_content(next((a for code, a in found["responses"].items() if code.startswith("2")), {})),
    )


def _parameter(found: Json) -> Field:
    schema = found["schema"]
    return Field(found["name"], found["in"], type_of(schema), found.get("required", False), _meaning(found | schema))


def _content(found: Json) -> str:
    """The name of the schema in a body or an answer; empty for none, or one that says nothing."""
    for content in found.get("content", {}).values():
        named = type_of(content.get("schema", {}))
        return "" if named in NOTHING else named
    return ""


def fields_of(schema: Json) -> Iterator[Field]:
    """The keys of an object."""
    needed = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        yield Field(name, "", type_of(each), name in needed, _meaning(each))


def _meaning(found: Json) -> str:
    default, said = found.get("default"), str(found.get("description", ""))
    if default in (None, "", []):
        return said
    return f"{said} (by default {str(default).lower() if isinstance(default, bool) else default})".strip()


def type_of(schema: Json) -> str:
    """A type in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "enum" in schema:
        words = [str(word) for word in schema["enum"]]
        return " | ".join(words[:FEW]) + (" | …" if len(words) > FEW else "")
    for several in ("anyOf", "oneOf"):
        if several in schema and "type" not in schema:
            kinds = [type_of(each) for each in schema[several]]
            return " or ".join(kind for kind in kinds if kind != "null")
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    return str(schema.get("const", schema.get("type", "any")))
