"""The process that reads rule books for those who write them, so that no upload ever keeps an order waiting.

In: texts of rule files. Out: what they are called and how many rules they have, their findings, the results of their
examples, what they change. Guaranteed: one job at a time; a process that dies or takes longer than `LONGEST_S` is
started anew for the next job, and this one has no result. Refused: RuleFileError with every finding; `Problem` 503
`rules-process-lost`, `rules-timeout`. Why a process and not a thread: reading the library takes two seconds and its
examples ten, and a thread that computes makes the event loop wait for the interpreter's lock at every turn.
Before: `child_process.py`, `rule_books.py`, `book_tests.py`. After: `routes_rulebooks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from lexorder.api.service.book_tests import Tested, results_of
from lexorder.api.service.child_process import ChildError, ChildLate, ChildProcess, jobs_of
from lexorder.api.service.problems import Problem
from lexorder.api.service.rule_books import changes, open_rules
from lexorder.engine.errors import Problem as Finding
from lexorder.engine.errors import RuleFileError
from lexorder.engine.names import Vocabulary
from lexorder.engine.rulebook import RuleBook

LONGEST_S: Final = 300.0
"""Seconds after which a job is given up."""


@dataclass(frozen=True, slots=True)
class Job:
    """Texts to read; whether to run their examples; texts to compare them with."""

    files: Mapping[str, str]
    examples: bool = False
    against: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a book is. `open_rules` are those everyone may know of, in this book or the one it was compared with."""

    hash: str
    rules: int
    open_rules: frozenset[str]
    all_open: bool
    tested: Tested | None = None
    changes: Mapping[str, list[str]] | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """What came of a job: what was found, or why the texts are no rule book."""

    found: Found | None
    problems: tuple[Finding, ...] = ()


class BookProcess:
    """The process of one vocabulary, started when first needed. Safe to call from several threads; jobs queue."""

    def __init__(self, vocabulary: Vocabulary, longest_s: float = LONGEST_S) -> None:
        self.child = ChildProcess("rules", _serve, vocabulary)
        self._longest_s = longest_s

    def run(self, job: Job) -> Found:
        """The result of a job. Raises RuleFileError, Problem 503."""
        try:
            read = self.child.run(job, self._longest_s, _Read)
        except ChildLate:
            raise Problem(503, "rules-timeout", "Reading these rules takes too long.") from None
        except ChildError:
            raise Problem(503, "rules-process-lost", "The process that reads rules died: try again.") from None
        if read.found is None:
            raise RuleFileError(read.problems)
        return read.found

    def close(self) -> None:
        """End the process, whatever it is doing; no more jobs are taken."""
        self.child.close()


_PROCESSES: dict[str, BookProcess] = {}


def process_for(vocabulary: Vocabulary) -> BookProcess:
    """The process of this vocabulary: one, however many services run here. It ends with this process."""
    return _PROCESSES.setdefault(vocabulary.digest, BookProcess(vocabulary))


def found_in(job: Job, vocabulary: Vocabulary) -> Found:
    """The result of a job, worked out here. Raises RuleFileError."""
    book = RuleBook.of_files(job.files, vocabulary)
    known = open_rules(book)
    tested = results_of(book) if job.examples else None
    found = Found(book.hash, len(book.versions), known, len(known) == len(book.versions), tested)
    if job.against is None:
        return found
    old = RuleBook.of_files(job.against, vocabulary)
    # A rule that was for compliance alone in the old book is not told of because it is gone from the new one.
    closed = (set(old.ids()) - open_rules(old)) | (set(book.ids()) - known)
    told = frozenset(old.ids() + book.ids()) - closed
    return Found(found.hash, found.rules, told, found.all_open, tested, changes(old, book))


def _read(job: Job, vocabulary: Vocabulary) -> _Read:
    try:
        return _Read(found_in(job, vocabulary))
    except RuleFileError as error:
        return _Read(None, error.problems)


def _serve(wire: Connection, vocabulary: Vocabulary) -> None:
    """The other process."""
    jobs_of(wire, lambda job, _say: _read(job, vocabulary))
