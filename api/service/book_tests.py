"""The examples inside a rule book, run as the condition of its activation; findings for those who write rules.

In: a rule book; a `RuleFileError`. Out: `Tested`, which names what differs; findings as plain data. Guaranteed: every
example of every rule is run; an example that cannot be run has failed. Refused by `Problem`: 409 `tests-fail`.
Before: `engine/examples.py`. After: `book_process.py`, `routes_rulebooks.py`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from lexorder.api.service.problems import FINDINGS_MAX, Problem
from lexorder.engine import examples
from lexorder.engine.errors import RuleFileError
from lexorder.engine.rulebook import RuleBook


@dataclass(frozen=True, slots=True)
class Failed:
    """An example that came out differently: where it stands, and how it differs."""

    rule: str
    example: str
    file: str
    line: int
    difference: str

    def shown(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "rule": self.rule,
            "example": self.example,
            "file": self.file,
            "line": self.line,
            "difference": self.difference,
        }


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of all examples of a book. `untested` are rules without one."""

    passed: int
    failed: tuple[Failed, ...]
    untested: tuple[str, ...]

    def shown(self, known: Set[str] | None = None) -> dict[str, Any]:
        """Plain data; with `known`, only these rules are named."""
        listed = [f.shown() for f in self.failed if known is None or f.rule in known]
        return {
            "ok": not self.failed,
            "passed": self.passed,
            "failed": len(self.failed),
            "failures": listed[:FINDINGS_MAX],
            "untested": [rule for rule in self.untested if known is None or rule in known],
        }

    def require(self) -> None:
        """Nothing when all pass. Raises Problem 409 `tests-fail`."""
        if self.failed:
            named = [{"rule": f.rule, "example": f.example} for f in self.failed[:FINDINGS_MAX]]
            raise Problem(409, "tests-fail", "Examples of this rule book fail.", failures=named)


def results_of(book: RuleBook) -> Tested:
    """Every example of every rule."""
    passed, failed, untested = 0, [], []
    for identifier in book.ids():
        results = examples.run(book, identifier)
        if not results:
            untested.append(identifier)
        for result in results:
            if result.difference:
                span, name = result.span, result.example.name
                failed.append(Failed(result.rule, name, span.file, span.line, result.difference))
            else:
                passed += 1
    return Tested(passed, tuple(failed), tuple(untested))


def findings_of(error: RuleFileError) -> list[dict[str, Any]]:
    """The findings for who wrote the rules: here the words in question are shown, each cut to sixty characters."""
    return [
        {
            "file": p.file,
            "line": p.line,
            "column": p.column,
            "code": p.code,
            "message": p.message,
            "nearest": p.nearest,
        }
        for p in error.problems[:FINDINGS_MAX]
    ]
