"""The rule library as a page: every rule with its title, source, class, dates and number of examples.

In: a `RuleBook`. Out: Markdown, sorted by folder and file, so that a change shows as a small difference. Guaranteed:
depends on the rules alone, not on today's date. `python -m lexorder.engine.catalogue rules > docs/library.md` writes
it; a test keeps the file current. Before: `rulebook.py`. After: `docs/library.md`, `lexorder rules list`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePath

from lexorder.engine.dated import Versions
from lexorder.engine.rule import Rule
from lexorder.engine.rulebook import RuleBook

HEADING = """# The rule library

Made from `rules/` by `python -m lexorder.engine.catalogue rules`; change the rules, not this page.
"""
TABLE = """| rule | what it says | source | severity | class | phases | in force | examples |
|---|---|---|---|---|---|---|--:|"""
PHASES = ("pre_trade", "rebalance", "monitor", "signal")


def page(book: RuleBook) -> str:
    """The page."""
    parts = [HEADING]
    for file, found in groupby(sorted(book.versions, key=_place), key=lambda v: _place(v)[0]):
        rows = [_row(item) for item in found]
        parts.append("\n".join([f"## {file}\n", TABLE, *rows]) + "\n")
    return "\n".join(parts)


def latest(item: Versions) -> Rule:
    """The newest version of a rule."""
    return item.items[-1][1]


def _place(item: Versions) -> tuple[str, int]:
    """Folder and file name of a rule, and its line."""
    span = latest(item).span
    return "/".join(PurePath(span.file).parts[-2:]), span.line


def _row(item: Versions) -> str:
    rule = latest(item)
    cells = [
        f"`{rule.id}`",
        rule.title,
        rule.cite or "–",
        rule.severity.value if rule.require is not None else "–",
        _class(rule),
        ", ".join(p for p in PHASES if p in {phase.value for phase in rule.phases}),
        _dates(item),
        str(len(rule.examples)),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _class(rule: Rule) -> str:
    if rule.classified is not None:
        return rule.classified.term_class.value
    return "derived fact" if rule.derive else "reaction"


def _dates(item: Versions) -> str:
    """From when, every day a figure changes, and until when."""
    rule = latest(item)
    since = [str(day) for day in _starts(item)]
    text = "from " + ", ".join(since) if since else "always"
    return text + (f"; until {rule.effective_until} (not included)" if rule.effective_until else "")


def _starts(item: Versions) -> Iterator[object]:
    rule = latest(item)
    first = rule.effective_from
    days = sorted({day for day, _ in item.items if day is not None} | ({first} if first else set()))
    yield from (day for day in days if first is None or day >= first)


if __name__ == "__main__":
    sys.stdout.write(page(RuleBook.load(Path(sys.argv[1] if len(sys.argv) > 1 else "rules"))))
