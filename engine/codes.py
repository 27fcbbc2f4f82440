"""The closed table of codes for mistakes in rule files and the vocabulary.

In: nothing. Out: `CODES`, code → one line for the manual, and `refuse`, the only way the front end raises.
Guaranteed: a code that is not in the table cannot be raised; `docs/errors.md` lists exactly these (a test
compares them). Why kebab-case words and not numbers: an author remembers `unit-mismatch`, not `LX042`.
Before: `errors.py`, `terms.py` (Span). After: `source.py`, `parse.py`, `typecheck.py`, `rulebook.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NoReturn

from lexorder.engine.errors import Problem, RuleFileError
from lexorder.engine.terms import Span

CODES: dict[str, str] = {
    # the file
    "file-unreadable": "the file or folder does not exist or cannot be read",
    "no-rules": "files and folders that hold no rule: a book without rules decides nothing",
    "file-too-large": "the file is above 1 MiB",
    "not-utf8": "the file is not UTF-8 text, or holds a control character",
    "yaml-syntax": "the file is not valid YAML",
    "yaml-anchor": "anchors `&` and aliases `*` are refused: write the value out",
    "yaml-tag": "tags such as `!!str` or `!name` are refused",
    "yaml-merge": "merge keys `<<` are refused: write the keys out",
    "several-documents": "a file holds one document, without `---` in the middle",
    "duplicate-key": "a key is written twice in one mapping",
    "too-deep": "lists and mappings are nested more than 32 deep",
    # the shape of a rule
    "wrong-shape": "a list, a mapping or a text stands where another is needed",
    "unknown-key": "the key is not one a rule may have",
    "missing-key": "a required key is absent or empty",
    "bad-identifier": "an identifier has characters that are not allowed",
    "bad-choice": "the word is not one of the admissible ones",
    "bad-date": "not a date written YYYY-MM-DD, or an end not after its start",
    "bad-value": "a number, a duration or a percentage was needed",
    "duplicate-rule": "two rules have one identifier; the second would silently replace the first",
    "no-rule-kind": "a rule has none, or more than one, of `require`, `derive`, `then`",
    "key-not-used": "the key has no effect in this kind of rule",
    # the text of an expression
    "expression-empty": "an expression has no text",
    "expression-too-large": "an expression is over 2,000 characters, 200 nodes or 32 levels, or over "
    "5,000 nodes once definitions are put in",
    "syntax": "an expression does not follow the grammar",
    "wrong-operator": "the operator is spelled differently here (`==`, `and`, `or`, `not`)",
    "chained-comparison": "`a < b < c` is not allowed: write `a < b and b < c`",
    "unclosed": "a parenthesis, a brace or a quotation mark is not closed",
    "bad-number": "a number is written in a way that is not allowed (`1e5`, `25,000`, `.5`)",
    "unknown-duration": "the unit of time is not one of ms, s, min, h, day, days",
    "unknown-currency": "the currency is not an ISO 4217 code",
    "bad-text": "a text is not in double quotes, or holds an unknown escape",
    # the meaning of an expression
    "unknown-name": "the name is neither in the vocabulary, nor in `let`, nor the subject",
    "unknown-function": "the function is not one of abs, min, max, sum, count, any, all",
    "unknown-value": "the word is not an admissible value of the enumeration it is compared with",
    "wrong-arguments": "a function has the wrong number or sort of arguments",
    "unit-mismatch": "two quantities of different units are added, compared or are alternatives",
    "wrong-type": "a value of another sort is needed (a condition, a number, a set)",
    "no-subject": "the name belongs to an entity that is not the subject and cannot be reached from it",
    "no-collection": "an aggregate names no collection, or more than one",
    "let-cycle": "`let` names are defined in a circle",
    "let-unused": "a `let` name is never used: often a misspelling elsewhere",
    "let-shadows": "a `let` name is already the subject, an entity or a keyword",
    # a rule as a whole
    "not-derived": "`derive` sets a name that the vocabulary does not declare `derived: true`",
    "derive-cycle": "derived facts depend on each other in a circle",
    "derive-conflict": "two rules may give one derived fact different values at the same time",
    "reaction-conflict": "two reactions contradict each other at the same priority",
    "unknown-action": "the reaction is not one of set, exit, reduce, scale, cap, skip, halt, cancel, alert",
    "bad-message": "the message uses an unknown name or format",
    "not-rebalanceable": "`rebalance` is among the phases but the requirement does not depend on fills",
    "unknown-subject": "`for_each` names no entity",
    "bad-example": "an inline test expects what a rule of its kind cannot give",
    # the vocabulary
    "bad-type": "a vocabulary type is not known, or lacks its values",
    "bad-bounds": "bounds, scale, default or example contradict each other or the type",
    "definition-cycle": "`means` definitions form a circle",
}


def refuse(code: str, message: str, span: Span, nearest: str = "") -> NoReturn:
    """Raise one problem at a position.

    Raises:
        RuleFileError: always.
    """
    raise RuleFileError((problem(code, message, span, nearest),))


def problem(code: str, message: str, span: Span, nearest: str = "") -> Problem:
    """A finding at a position; `code` must be in `CODES`."""
    assert code in CODES, code
    return Problem(code, message, span.file, span.line, span.column, nearest)


def nearest_name(word: str, known: Iterable[str]) -> str:
    """The known name closest to `word`, ignoring case, or empty when none is near."""
    by_folded = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else ""


class Findings:
    """Collects the problems of several independent steps, so that an author sees all at once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, code: str, message: str, span: Span, nearest: str = "") -> None:
        """Note one problem and go on."""
        self.problems.append(problem(code, message, span, nearest))

    def catching(self) -> _Catching:
        """A context that keeps the problems raised inside it and goes on after it."""
        return _Catching(self)

    def raise_any(self) -> None:
        """Raise everything found, in file order, each once.

        Raises:
            RuleFileError: when there is at least one problem.
        """
        if self.problems:
            unique = dict.fromkeys(self.problems)
            raise RuleFileError(tuple(sorted(unique, key=lambda p: (p.file, p.line, p.column, p.code))))


class _Catching:
    """See `Findings.catching`."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, RuleFileError):
            self.findings.problems.extend(error.problems)
        return isinstance(error, RuleFileError)
