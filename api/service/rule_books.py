"""The rule books of the service: uploaded, tested, asked for, activated by a second person, with their history.

In: texts by file name; who does what, when. Out: the active book with the approved limits and the standing switches.
Guaranteed: a book that does not load is never kept; a book becomes active only when somebody else than who asked for it
agrees; `kill-switch` and `reducing-only` of the shipped library stand beside every book that lacks them; what was
joined once is not joined again, so that an activation prepared beforehand cannot fail. Refused: RuleFileError with
every finding; `Problem` 404 `unknown-rulebook`, 409 `wrong-state` and `too-many-rulebooks`. Why texts are kept and
books loaded when needed: a restart reads every upload there ever was, and loading the library takes two seconds.
Before: `engine/rulebook.py`. After: `floor.py`, `routes_rulebooks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lexorder.api.service.authors import author_of, told
from lexorder.api.service.principal import Author
from lexorder.api.service.problems import Problem
from lexorder.engine.desk import shipped_rules
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import SWITCHES, Audience
from lexorder.engine.rulebook import RuleBook, rule_files

STANDING = tuple(sorted(SWITCHES))
"""Rules of the shipped library that no active book goes without."""

STANDING_FILE = Path("regulatory") / "thresholds.yaml"

UPLOADED_MAX = 1000
"""Books kept; each may have a quarter of a megabyte of text."""

JOINED_MAX = 8
"""Books with limits kept ready."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """One uploaded book. `state`: uploaded, requested, active, retired, rejected; `tests` how many examples passed."""

    id: str
    name: str
    files: Mapping[str, str]
    by: Author
    at: str
    rules: int
    state: str = "uploaded"
    tests: int | None = None
    requested: Author | None = None
    requested_at: str = ""
    decided: Author | None = None
    active_from: str = ""
    reason: str = ""

    def shown(self) -> dict[str, Any]:
        """Plain data without the texts."""
        return {
            "id": self.id,
            "name": self.name,
            "files": sorted(self.files),
            "rules": self.rules,
            "state": self.state,
            "tests_passed": self.tests,
            "uploaded": {**(told(self.by) or {}), "at": self.at},
            "requested": {**(told(self.requested) or {}), "at": self.requested_at} if self.requested else None,
            "decided": told(self.decided),
            "active_from": self.active_from,
            "reason": self.reason,
        }


def read_folder(folder: Path) -> dict[str, str]:
    """The rule files of a folder or file as texts by name. Raises RuleFileError for a path that is not there."""
    base = folder if folder.is_dir() else folder.parent
    return {p.relative_to(base).as_posix(): p.read_text(encoding="utf-8") for p in rule_files([folder])}


class RuleBooks:
    """All uploaded books and the one that is active; `load`, `book` and `joined` are slow and change no state."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.uploaded: dict[str, Uploaded] = {}
        self.loaded: dict[str, RuleBook] = {}
        self.active = ""
        self.history: list[dict[str, Any]] = []
        self._joined: dict[tuple[str, str], RuleBook] = {}
        self._standing = RuleBook.load(shipped_rules() / STANDING_FILE, vocabulary).only(STANDING)

    # ---- slow, without effect --------------------------------------------------------------------

    def load(self, files: Mapping[str, str]) -> RuleBook:
        """A book from texts. Raises RuleFileError."""
        return RuleBook.of_files(files, self.vocabulary)

    def book(self, identifier: str) -> RuleBook:
        """An uploaded book, loaded when it was not yet. Raises RuleFileError after a change of the vocabulary."""
        found = self.loaded.get(identifier)
        if found is None:
            found = self.loaded[identifier] = self.load(self.uploaded[identifier].files)
        return found

    def joined(self, identifier: str, limits: RuleBook | None) -> RuleBook:
        """What decides when this book is active with these limits. Raises RuleFileError when they clash."""
        key = (identifier, limits.hash if limits is not None else "")
        found = self._joined.get(key)
        if found is None:
            book = self.book(identifier)
            lacking = self._standing.only(set(STANDING) - set(book.ids()))
            found = book.joined([lacking, *([limits] if limits is not None else [])])
            for old in list(self._joined)[: -(JOINED_MAX - 1)]:
                self._joined.pop(old, None)
            self._joined[key] = found
        return found

    # ---- steps -----------------------------------------------------------------------------------

    def apply(self, action: str, body: Mapping[str, Any]) -> None:
        """Take over a recorded step: upload, request, activate, reject."""
        identifier, by, now = str(body["id"]), author_of(body), str(body["now"])
        self.history.append({"at": now, "action": action, "id": identifier, **(told(by) or {})})
        if action == "upload":
            files, rules = body["files"], body.get("rules", 0)
            self.uploaded[identifier] = Uploaded(identifier, body["name"], files, by, now, rules)
        elif action == "request":
            asked = {"requested": by, "requested_at": now, "tests": body.get("tests"), "reason": body.get("reason", "")}
            self._change(identifier, state="requested", decided=None, **asked)
        elif action == "activate":
            if self.active:
                self._change(self.active, state="retired")
            self._change(identifier, state="active", decided=by, active_from=now)
            self.active = identifier
        elif action == "reject":
            self._change(identifier, state="rejected", decided=by, reason=body.get("reason", ""))

    def _change(self, identifier: str, **changes: Any) -> None:
        self.uploaded[identifier] = replace(self.uploaded[identifier], **changes)

    # ---- questions -------------------------------------------------------------------------------

    def find(self, identifier: str, *states: str) -> Uploaded:
        """One uploaded book, in one of these states if any are given. Raises Problem 404, 409."""
        found = self.uploaded.get(self.active if identifier == "active" else identifier)
        if found is None:
            raise Problem(404, "unknown-rulebook", "Upload the rule book first with POST /v1/rulebooks.")
        if states and found.state not in states:
            raise Problem(409, "wrong-state", f"The book must be {' or '.join(states)}.", state=found.state)
        return found

    def room(self) -> None:
        """Nothing when one more book may be kept. Raises Problem 409."""
        if len(self.uploaded) >= UPLOADED_MAX:
            raise Problem(409, "too-many-rulebooks", f"At most {UPLOADED_MAX} rule books are kept.")

    def in_force(self, limits: RuleBook | None) -> RuleBook:
        """The active book, the standing switches it lacks, and the approved limits."""
        return self.joined(self.active, limits)


def changes(old: RuleBook, new: RuleBook) -> dict[str, list[str]]:
    """Which rules a new book adds, removes and changes. Comments and layout are no change."""
    before, after = ({v.id: book.only([v.id]).hash for v in book.versions} for book in (old, new))
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(i for i in after.keys() & before.keys() if after[i] != before[i]),
    }


def open_rules(book: RuleBook) -> frozenset[str]:
    """The rules everyone may know of: all versions of them are for everyone."""
    return frozenset(v.id for v in book.versions if all(rule.audience is Audience.EVERYONE for _, rule in v.items))
