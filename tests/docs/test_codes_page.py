"""The page of codes names every code the service raises, with its status, and no other."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.consoles import ROOT

SERVICE = ROOT / "api/service"
ROW = re.compile(r"^\| `([a-z-]+)` \| (\d{3}) \|", re.M)
CODE = re.compile(r"[a-z]+(-[a-z]+)*")


def rows(page: str) -> list[tuple[str, int]]:
    return [(code, int(status)) for code, status in ROW.findall((ROOT / f"docs/{page}.md").read_text("utf-8"))]


def raised() -> set[tuple[str, int]]:
    """Every refusal whose code and status stand in the source."""
    found = set()
    for file in SERVICE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != "Problem":
                continue
            status, code = ([a.value for a in node.args if isinstance(a, ast.Constant)] + [None, None])[:2]
            if isinstance(status, int) and isinstance(code, str) and CODE.fullmatch(code):
                found.add((code, status))
    return found


def test_every_code_is_on_a_page_with_its_status() -> None:
    found = raised()
    assert len(found) > 80, "the walk itself works"
    assert found == set(rows("codes")) | (set(rows("security")) & found)


def test_no_code_is_on_the_page_twice() -> None:
    written = [code for code, _ in rows("codes")]
    assert len(written) == len(set(written))
    assert not set(written) & {code for code, _ in rows("security")}


@pytest.mark.parametrize("page", ["api", "operations", "security"])
def test_other_pages_speak_of_codes_that_are_there(page: str) -> None:
    """`409 already-ended` and the like in running text."""
    text = (ROOT / f"docs/{page}.md").read_text("utf-8")
    known = dict([*rows("codes"), *rows("security")])
    for status, code in re.findall(r"\b([45]\d\d) `([a-z]+(?:-[a-z]+)+)`", text):
        assert known.get(code) == int(status), code
