"""The page about the ledger says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lexorder.engine.ledger import heads
from lexorder.engine.ledger.errors import CODES, LedgerError
from lexorder.engine.ledger.record import GENESIS, chained
from tests.ledger.entries import AT

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/ledger.md").read_text("utf-8")
SOURCE = "".join(path.read_text("utf-8") for path in (ROOT / "engine/ledger").rglob("*.py"))


def test_documented_codes_are_the_codes():
    assert re.findall(r"^\| `(ledger-[a-z-]+)` \| (.+) \|$", PAGE, re.M) == list(CODES.items())


def test_every_code_is_used_and_no_other():
    used = set(re.findall(r'"(ledger-[a-z-]+)"', SOURCE.replace('"ledger-{', "")))
    assert used == set(CODES)
    with pytest.raises(AssertionError):
        LedgerError("ledger-made-up", "words")


def test_the_hash_on_the_page_is_the_hash():
    example = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert example is not None
    scope = dict[str, object]()
    exec(example.group(1), scope)
    record = chained(7, GENESIS, "decision", AT, "D-Ω", "A", b'{"a":1}')
    hashed = scope["record_hash"]
    assert callable(hashed)
    assert hashed(7, "decision", AT, "D-Ω", "A", b'{"a":1}', GENESIS) == record.hash


def test_the_head_on_the_page_has_the_fields_of_a_head():
    line = re.search(r'^\{"format":"lexorder-head-1".*$', PAGE, re.M)
    assert line is not None
    assert tuple(json.loads(line.group())) == heads.Head.__slots__


@pytest.mark.parametrize(
    "name", ["ledger-damage.json", "power-cut.json", "ledger-kill.json", "ledger-kill-postgresql.json"]
)
def test_figures_on_the_page_are_those_stored(name):
    stored = json.loads((ROOT / "benchmarks/results" / name).read_text())
    shown = {f"{number:,}" for number in numbers_to_show(name, stored)}
    assert {number for number in shown if number not in PAGE} == set()


def numbers_to_show(name: str, stored: dict[str, dict[str, dict[str, int]]]) -> list[object]:
    if name == "ledger-damage.json":
        damage = stored["damage"]
        return [damage["all"]["trials"], damage["file: bit flip without effect on any record"]["trials"]]
    if name == "power-cut.json":
        settings = stored["settings"].values()
        return [value[key] for value in settings for key in ("acknowledged", "lost", "cuts")]
    return [stored["acknowledged"], stored["cycles"]]
