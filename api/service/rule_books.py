"""The rule books of the service: uploaded, tested, asked for, activated by a second person, with their history.

In: texts by file name; who does what, when. Out: the active book with the approved limits and the standing switches.
Guaranteed: a book that does not load is never kept; a book becomes active only when somebody else than who asked for it
agrees; `kill-switch` and `reducing-only` of the shipped library stand beside every book that lacks them. Refused:
RuleFileError with every finding; `Problem` for steps in the wrong order. Before: `engine/rulebook.py`.
After: `floor.py`, `routes_rulebooks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lexorder.api.service.problems import Problem
from lexorder.engine.desk import shipped_rules
from lexorder.engine.names import Vocabulary
from lexorder.engine.rulebook import RuleBook, rule_files

STANDING = ("kill-switch", "reducing-only")
"""Rules of the shipped library that no active book goes without."""

STANDING_FILE = Path("regulatory") / "thresholds.yaml"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """One uploaded book. `state`: uploaded, requested, active, retired."""

    id: str
    name: str
    files: Mapping[str, str]
    by: str
    at: str
    rules: int
    state: str = "uploaded"
    requested_by: str = ""
    approved_by: str = ""
    active_from: str = ""

    def shown(self) -> dict[str, Any]:
        """Plain data without the texts."""
        return {
            "id": self.id,
            "name": self.name,
            "files": sorted(self.files),
            "rules": self.rules,
            "state": self.state,
            "uploaded_by": self.by,
            "uploaded_at": self.at,
            "requested_by": self.requested_by,
            "approved_by": self.approved_by,
            "active_from": self.active_from,
        }


def read_folder(folder: Path) -> dict[str, str]:
    """The rule files of a folder or file as texts by name. Raises RuleFileError for a path that is not there."""
    base = folder if folder.is_dir() else folder.parent
    return {p.relative_to(base).as_posix(): p.read_text(encoding="utf-8") for p in rule_files([folder])}


class RuleBooks:
    """All uploaded books and the one that is active; `load` is the only slow step and needs no state."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.uploaded: dict[str, Uploaded] = {}
        self.loaded: dict[str, RuleBook] = {}
        self.active = ""
        self._standing = RuleBook.load(shipped_rules() / STANDING_FILE, vocabulary).only(STANDING)

    def load(self, files: Mapping[str, str]) -> RuleBook:
        """A book from texts. Raises RuleFileError."""
        return RuleBook.of_files(files, self.vocabulary)

    def apply(self, action: str, body: Mapping[str, Any]) -> None:
        """Take over a recorded step: upload, request, activate."""
        identifier = str(body["id"])
        if action == "upload":
            book = self.loaded.get(identifier) or self.load(body["files"])
            self.loaded[identifier] = book
            self.uploaded[identifier] = Uploaded(
                identifier, body["name"], body["files"], body["by"], body["now"], len(book.versions)
            )
        elif action == "request":
            self._change(identifier, state="requested", requested_by=str(body["by"]))
        elif action == "activate":
            if self.active:
                self._change(self.active, state="retired")
            self._change(identifier, state="active", approved_by=str(body["by"]), active_from=str(body["now"]))
            self.active = identifier

    def _change(self, identifier: str, **changes: str) -> None:
        self.uploaded[identifier] = replace(self.uploaded[identifier], **changes)  # type: ignore[arg-type]

    def find(self, identifier: str) -> Uploaded:
        """One uploaded book. Raises Problem 404."""
        found = self.uploaded.get(self.active if identifier == "active" else identifier)
        if found is None:
            raise Problem(404, "unknown-rulebook", "Upload the rule book first with POST /v1/rulebooks.")
        return found

    def in_force(self, limits: RuleBook | None) -> RuleBook:
        """The active book, the standing switches it lacks, and the approved limits."""
        book = self.loaded[self.active]
        lacking = self._standing.only(set(STANDING) - set(book.ids()))
        return book.joined([lacking, *([limits] if limits is not None else [])])
