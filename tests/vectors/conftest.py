"""`--vectors=FILE`: which published cases to judge; one test for each, and a line for each in the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vectors.case import read_cases
from tests.vectors.report import totals

OWN = Path(__file__).with_name("cases.jsonl")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that names the file."""
    parser.addoption("--vectors", metavar="FILE", default=None, help="published cases to judge (JSON lines)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for every case of the file."""
    if "case" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--vectors", default=None)
        try:
            cases = read_cases(Path(chosen) if chosen else OWN)
        except (OSError, ValueError) as error:
            raise pytest.UsageError(f"--vectors: {error}") from None
        metafunc.parametrize("case", [pytest.param(case, id=case.id) for case in cases])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for every case, and the totals."""
    found = sorted(_lines(terminalreporter))
    if found:
        terminalreporter.section("published cases")
        for line, _, _ in found:
            terminalreporter.write_line(line)
        terminalreporter.write_line(totals((status, cautioned) for _, status, cautioned in found))


def _lines(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, str, bool]]:
    for reports in terminalreporter.stats.values():
        for report in reports:
            said = dict(getattr(report, "user_properties", ()))
            if getattr(report, "when", "") == "call" and "vector" in said:
                yield str(said["vector"]), str(said["status"]), bool(said["cautioned"])
