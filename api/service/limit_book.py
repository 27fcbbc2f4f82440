"""Limits that risk staff set through the service: dated figures, in versions, each approved by a second person.

In: a limit as plain data: a kind from `limit_kinds.py`, or a requirement in the rule language that uses `limit`, and
its dated values. Out: one rule for each approved limit, in the same language as every rule file, so that a limit is
decided, explained and replayed like any rule. Guaranteed: a limit that does not lint is never kept; no version decides
before a second person approves it; a retired limit decides no more; at most one request about a limit is open at a
time. Refused: RuleFileError with the findings; `Problem` 404 `unknown-limit`, 409 `wrong-state` and `request-open`.
Before: `limit_kinds.py`, `rule_books.py`. After: `floor.py`, `routes_limits.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lexorder.api.service.authors import author_of, told
from lexorder.api.service.limit_kinds import rule_id, rule_of
from lexorder.api.service.principal import Author
from lexorder.api.service.problems import Problem
from lexorder.engine.names import Vocabulary
from lexorder.engine.rulebook import RuleBook

ALIVE = ("approved", "retiring")
"""States in which a version decides."""

OPEN = ("proposed", "retiring")
"""States in which somebody waits for an approver."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One version of a limit. `state`: proposed, approved, retiring, retired, replaced, rejected.

    `by` proposed it, `decided` is who approved or rejected it, `retired_by` who asked to retire it.
    """

    id: str
    version: int
    body: Mapping[str, Any]
    by: Author
    at: str
    state: str = "proposed"
    decided: Author | None = None
    decided_at: str = ""
    retired_by: Author | None = None
    reason: str = ""

    @property
    def requested(self) -> Author:
        """Who waits for an approver, or did last."""
        return self.retired_by if self.state == "retiring" and self.retired_by is not None else self.by

    def shown(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "id": self.id,
            "version": self.version,
            "rule": rule_id(self.id),
            "state": self.state,
            "limit": dict(self.body),
            "proposed": {**(told(self.by) or {}), "at": self.at},
            "decided": {**(told(self.decided) or {}), "at": self.decided_at} if self.decided else None,
            "retired_by": told(self.retired_by),
            "reason": self.reason,
        }


class Limits:
    """All versions of all limits."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.versions: dict[str, list[Limit]] = {}
        self.history: dict[str, list[dict[str, Any]]] = {}
        self._known: tuple[str, RuleBook] | None = None

    # ---- books -----------------------------------------------------------------------------------

    def lint(self, identifier: str, body: Mapping[str, Any]) -> RuleBook:
        """The limit as a book of one rule. Raises RuleFileError, Problem 422."""
        text = json.dumps([rule_of(identifier, body)], ensure_ascii=False)
        return RuleBook.of(text, self.vocabulary, "limit")

    def book_of(self, limits: Iterable[Limit]) -> RuleBook | None:
        """The rules of these versions, or None when there is none."""
        rules = [rule_of(v.id, v.body) for v in limits]
        if not rules:
            return None
        text = json.dumps(rules, ensure_ascii=False)
        known = self._known
        if known is None or known[0] != text:
            known = self._known = (text, RuleBook.of(text, self.vocabulary, "limits"))
        return known[1]

    def in_force(self) -> RuleBook | None:
        """The rules of all approved limits, or None when there is none."""
        return self.book_of(self.alive())

    # ---- questions -------------------------------------------------------------------------------

    def alive(self) -> tuple[Limit, ...]:
        """The versions that decide."""
        return tuple(v for versions in self.versions.values() for v in versions if v.state in ALIVE)

    def after(self, decided: Limit) -> tuple[Limit, ...]:
        """The versions that would decide once the open request about `decided` is approved."""
        others = [v for v in self.alive() if v.id != decided.id]
        return (*others, *([decided] if decided.state == "proposed" else []))

    def find(self, identifier: str, version: int | None = None) -> Limit:
        """A version of a limit, by default the one that decides, else the latest. Raises Problem 404."""
        versions = self.versions.get(identifier)
        if not versions:
            raise Problem(404, "unknown-limit", "GET /v1/limits lists the limits.")
        if version is None:
            return next((v for v in versions if v.state in ALIVE), versions[-1])
        found = next((v for v in versions if v.version == version), None)
        if found is None:
            raise Problem(404, "unknown-limit", f"The limit has {len(versions)} versions.")
        return found

    def pending(self, identifier: str) -> Limit:
        """The version an approver is asked about. Raises Problem 404, 409 `wrong-state`."""
        self.find(identifier)
        found = self._open(identifier)
        if found is None:
            raise Problem(409, "wrong-state", "Nobody waits for an approver of this limit.")
        return found

    def unasked(self, identifier: str) -> None:
        """Nothing when no request about the limit is open. Raises Problem 409 `request-open`."""
        if self._open(identifier) is not None:
            raise Problem(409, "request-open", "A request about this limit waits for an approver: let it be decided.")

    def _open(self, identifier: str) -> Limit | None:
        return next((v for v in self.versions.get(identifier, ()) if v.state in OPEN), None)

    # ---- steps -----------------------------------------------------------------------------------

    def apply(self, action: str, body: Mapping[str, Any]) -> None:
        """Take over a recorded step: propose, approve, reject, retire-request, retire."""
        identifier, by, now = str(body["id"]), author_of(body), str(body["now"])
        versions = self.versions.setdefault(identifier, [])
        if action == "propose":
            about = len(versions) + 1
            versions.append(Limit(identifier, about, body["limit"], by, now, reason=body.get("reason", "")))
        else:
            about = self._decide(action, versions, by, body)
        told_by = {"version": about, **(told(by) or {}), "reason": body.get("reason", "")}
        self.history.setdefault(identifier, []).append({"at": now, "action": action, **told_by})

    def _decide(self, action: str, versions: list[Limit], by: Author, body: Mapping[str, Any]) -> int:
        """Take the step over; the version it is about."""
        now, reason = str(body["now"]), str(body.get("reason", ""))
        if action == "retire-request":
            place = _place(versions, ("approved",))
            versions[place] = replace(versions[place], state="retiring", retired_by=by, reason=reason)
            return versions[place].version
        place = _place(versions, OPEN)
        asked = versions[place]
        if action == "approve":
            versions[:] = [replace(v, state="replaced") if v.state in ALIVE else v for v in versions]
            state = "approved"
        elif action == "retire":
            state = "retired"
        else:
            state = "approved" if asked.state == "retiring" else "rejected"
        versions[place] = replace(asked, state=state, decided=by, decided_at=now, reason=reason)
        return asked.version


def _place(versions: list[Limit], states: tuple[str, ...]) -> int:
    return max(n for n, v in enumerate(versions) if v.state in states)
