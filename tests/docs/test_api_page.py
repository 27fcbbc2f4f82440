"""`docs/api.md` is what the service answers today, and leaves no operation out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from lexorder.api.service.app import create_app
from lexorder.api.service.service import Service
from lexorder.api.service.settings import Settings
from tests.docs.api_examples import SECTIONS
from tests.docs.api_page import page, steady
from tests.docs.consoles import ROOT

UNSHOWN = {("GET", "/v1/rebalances/{id}/certificate")}
"""Shown within a command that keeps it in a variable."""


def _commands() -> list[tuple[str, str]]:
    """Method and path of every curl in the examples."""
    found = []
    for _, lines in SECTIONS:
        for line in (text for text in lines if not text.startswith("@")):
            for part in line.split("curl ")[1:]:
                url = re.search(r"\$URL(/[^\s\"'|;)]*)", part)
                assert url, part
                given = re.search(r"-X ([A-Z]+)", part)
                body = " -d " in part or "--data" in part
                path = url[1].split("?")[0]
                path = path.removeprefix("/..") if path.startswith("/..") else "/v1" + path
                found.append((given[1] if given else "POST" if body else "GET", path))
    return found


def _covers(operation: tuple[str, str], shown: tuple[str, str]) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation[1]))
    return operation[0] == shown[0] and re.fullmatch(pattern, shown[1]) is not None


def test_every_operation_has_an_example(tmp_path: Path):
    service = Service.open(Settings(data_dir=tmp_path))
    try:
        document = create_app(service).openapi()
    finally:
        assert service.ledger is not None
        service.ledger.close()
    offered = {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}
    shown = _commands()
    missing = {op for op in offered if not any(_covers(op, command) for command in shown)} - UNSHOWN
    assert missing == set()


def test_what_differs_from_run_to_run_is_left_out():
    said = '{"hash":"' + "ab" * 32 + '","id":"0-17","at":"2026-11-21T10:00:00.000001Z"}'
    assert steady(said) == '{"hash":"…","id":"0-…","at":"…"}'


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_page_is_what_the_service_answers():
    """Made anew by `python -m tests.docs.api_page > docs/api.md`."""
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert page() == written
