"""Every command in the manual's console blocks prints what the manual says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.consoles import ROOT, blocks, checkout, matches, run, run_example

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "rules/README.md"]
COMMANDS = {page: blocks(page.read_text()) for page in PAGES}


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES if COMMANDS[page]])
def test_the_manual_prints_what_it_says(page: Path, tmp_path: Path) -> None:
    """One after the other: a page's commands may read what those before them wrote."""
    place = checkout(tmp_path)
    for command in COMMANDS[page]:
        printed = run(command.line, place)
        assert matches(command.output, printed), f"$ {command.line}\n{printed}"


def test_there_is_something_to_test() -> None:
    lines = [command.line for commands in COMMANDS.values() for command in commands]
    for word in ("lexorder check", "lexorder rules", "lexorder rebalance", "verify.py"):
        assert any(word in line for line in lines), word


def test_a_difference_is_noticed() -> None:
    assert matches("a\nb", "a\nb")
    assert matches("a\n…\nd", "a\nb\nc\nd")
    assert matches("a\n…", "a\nb")
    assert not matches("a\n…\nd", "a\nb\nc\ne")
    assert not matches("a", "a\nb")


def test_the_python_example_runs() -> None:
    text = (ROOT / "README.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.S)
    assert example is not None
    code = example.group(1)
    run_example(code)
