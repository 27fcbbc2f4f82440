"""The page of all addresses: complete, by itself, and safe to look at beside a desk."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from lexorder.api.service.reference_page import fields_of, operations, page, type_of
from lexorder.api.service.roles import shipped_matrix
from tests.service.house import House


class Seen(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.anchors, self.links, self.words, self.open = set(), [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.add(tag)
        self.anchors += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("href", "src", "action") if name in found]
        if tag not in ("meta", "br"):
            self.open.append(tag)
        assert not any(name.startswith("on") for name in found), "no handlers"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "what is opened is closed"

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def shown(shared):
    answer = shared.call("GET", "/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    return answer.text


def test_nothing_is_loaded_from_anywhere(shown):
    seen = Seen(shown)
    assert not seen.tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert not re.search(r"url\(|@import|https?:", shown)
    assert all(link.startswith("#") or link == "/openapi.json" for link in seen.links)
    assert seen.open == []


def test_every_place_a_link_leads_to_is_there_once(shown):
    seen = Seen(shown)
    assert len(seen.anchors) == len(set(seen.anchors))
    assert {link[1:] for link in seen.links if link.startswith("#")} <= set(seen.anchors)


def test_every_operation_and_schema_is_on_it(shared, shown):
    document = shared.get("/openapi.json")
    matrix = shipped_matrix()
    listed = dict.fromkeys(o for _, o in operations(document, matrix))
    assert len(listed) == sum(len(methods) for methods in document["paths"].values()) > 60
    anchors = set(Seen(shown).anchors)
    assert {o.anchor for o in listed} <= anchors
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= anchors
    for operation in listed:
        line = matrix.lines.get((operation.method, operation.path))
        assert (line is None) is (operation.roles == ())
        assert line is None or {role.value for role in line.roles} == set(operation.roles)
        assert operation.words, f"{operation.path} says what it is for"


def test_no_schema_is_called_by_a_path_of_modules(shared):
    document = shared.get("/openapi.json")
    names = set(document["components"]["schemas"])
    assert not [name for name in names if "__" in name]
    told = set(re.findall(r'"#/components/schemas/([^"]+)"', shared.call("GET", "/openapi.json").text))
    assert told <= names


def test_what_a_document_says_is_text_and_no_markup():
    odd = {
        "info": {"title": "<b>", "version": "1", "description": "a & b"},
        "paths": {"/x": {"get": {"description": "<script>alert(1)</script>", "responses": {"200": {}}}}},
        "components": {"schemas": {"<i>": {"properties": {"<u>": {"type": "string", "default": "<s>"}}}}},
    }
    text = page(odd, shipped_matrix())
    assert not Seen(text).tags & {"b", "i", "u", "s", "script"}
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"$ref": "#/components/schemas/Order"}, "Order"),
        ({"enum": ["a", "b"]}, "a | b"),
        ({"enum": list(range(20))}, " | ".join(str(n) for n in range(12)) + " | …"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
        ({"anyOf": [{"type": "integer"}, {"$ref": "#/x/Y"}]}, "integer or Y"),
        ({"type": "object", "anyOf": [{"required": ["a"]}]}, "object"),
        ({"type": "array", "items": {"type": "array", "items": {"const": "x"}}}, "list of list of x"),
        ({}, "any"),
    ],
)
def test_types_in_words(schema, words):
    assert type_of(schema) == words


def test_the_fields_of_an_object():
    schema = {"required": ["a"], "properties": {"a": {"type": "string"}, "b": {"default": True, "type": "boolean"}}}
    first, second = fields_of(schema)
    assert (first.name, first.needed, first.meaning) == ("a", True, "")
    assert (second.needed, second.meaning) == (False, "(by default true)")
    assert list(fields_of({"type": "string"})) == []


def test_it_can_be_left_out(tmp_path):
    house = House(tmp_path, docs=False)
    try:
        assert house.refused("GET", "/docs") == (404, "not-found")
    finally:
        house.close()
