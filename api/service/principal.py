"""Who calls, as the rest of the service sees them, and the rule that needs two of them.

In: built by `keys.py` and `oidc.py`. Out: frozen `Principal` and `Author`. Guaranteed: a person is compared by a folded
name, so that neither a second key nor a token of the same person counts as a second person. Refused by `Problem`:
403 `not-an-approver`, 409 `second-person-required`. Before: `roles.py`, `problems.py`. After: `access.py`, the routes.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role, Scope


@dataclass(frozen=True, slots=True)
class Author:
    """Who did something, as it is written into a record: the credential's id and the person behind it."""

    id: str
    person: str

    def same_person(self, other: Author) -> bool:
        """Whether the two are one human: the same credential, or the same person whatever the spelling.

        An author without a person could be anyone, also the other: the answer is yes.
        """
        mine, theirs = folded(self.person), folded(other.person)
        return self.id == other.id or mine == theirs or not mine or not theirs


@dataclass(frozen=True, slots=True)
class Principal:
    """Who was let in.

    `id` is `key:<id>` or `oidc:<sub>`; `accounts` None means all; `expires` is epoch seconds, None for never; `person`
    is the owner of the key or the subject of the token; `credential` is the key's id, for a token that of the key
    which signed it.
    """

    id: str
    role: Role
    accounts: frozenset[str] | None
    scopes: frozenset[Scope]
    expires: float | None
    person: str
    kind: Literal["key", "token"]
    credential: str

    @property
    def author(self) -> Author:
        """What is written into records."""
        return Author(self.id, self.person)


def second_person(requested: Author, by: Principal) -> None:
    """Nothing when `by` may approve what `requested` asked for.

    Raises:
        Problem: 403 `not-an-approver` when the role or key may approve nothing; 409 `second-person-required` when both
            are one person.
    """
    if Scope.APPROVE not in by.scopes:
        raise Problem(403, "not-an-approver", "Only an approver or a risk officer decides requests.")
    if requested.same_person(by.author):
        raise Problem(409, "second-person-required", "A request is decided by another person than who made it.")


def folded(person: str) -> str:
    """A person's name without differences that mean nothing: case, width, surrounding blanks."""
    return unicodedata.normalize("NFKC", person).strip().casefold()
