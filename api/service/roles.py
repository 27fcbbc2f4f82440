"""Who may do what: the matrix role × endpoint × method as data.

In: `roles.yaml`. Out: a frozen `Matrix` that answers in one dictionary look-up. Guaranteed: deny by default (what is
not written is refused); every role and scope in the file exists, no endpoint is written twice. Refused by `UsageError`
(`bad-roles`): a file that breaks this; the service does not start. Why data: risk staff review one page, and a test
walks it whole against the routes that are really there. Before: nothing. After: `access.py`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lexorder.engine.codes import nearest_name
from lexorder.engine.errors import UsageError

Named = TypeVar("Named", bound=StrEnum)

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET"})
"""`WEBSOCKET` stands for opening a stream; HEAD is allowed where GET is."""


class Role(StrEnum):
    """What a person or a system is, one each."""

    ADMIN = "admin"
    RISK_OFFICER = "risk_officer"
    APPROVER = "approver"
    SENIOR_TRADER = "senior_trader"
    JUNIOR_TRADER = "junior_trader"
    PORTFOLIO_MANAGER = "portfolio_manager"
    ANALYST = "analyst"
    OBSERVER = "observer"


class Scope(StrEnum):
    """What a key is for; it narrows the role and never widens it.

    `read` see, `trade` decide orders and rebalance, `data` feed the desk, `rules` limits and rule books, `approve` be
    the second person, `halt` trading states, `keys` make and revoke keys.
    """

    READ = "read"
    TRADE = "trade"
    DATA = "data"
    RULES = "rules"
    APPROVE = "approve"
    HALT = "halt"
    KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Permission:
    """One line of the matrix: the roles that may, and the scope their key must have."""

    roles: frozenset[Role]
    scope: Scope


@dataclass(frozen=True, slots=True)
class Matrix:
    """The whole file. `open` needs no key; `rates` are requests a second for each key of a role."""

    open: frozenset[tuple[str, str]]
    lines: Mapping[tuple[str, str], Permission]
    rates: Mapping[Role, int]

    def allows(self, role: Role, scopes: frozenset[Scope], method: str, endpoint: str) -> bool:
        """Whether the file says so; False for whatever it does not say."""
        line = self.lines.get(("GET" if method == "HEAD" else method, endpoint))
        return line is not None and role in line.roles and line.scope in scopes

    def scopes_of(self, role: Role) -> frozenset[Scope]:
        """Every scope with which the role may do something: what a key has unless it was narrowed."""
        return frozenset(line.scope for line in self.lines.values() if role in line.roles)


def shipped_matrix() -> Matrix:
    """The matrix that comes with lexorder."""
    return matrix(files("lexorder.api.service").joinpath("roles.yaml").read_text(encoding="utf-8"))


def matrix(text: str) -> Matrix:
    """The matrix a file describes. Raises UsageError `bad-roles`."""
    try:
        document = YAML(typ="safe", pure=True).load(io.StringIO(text))
    except YAMLError as error:
        raise _bad(f"it is not YAML or says something twice: {type(error).__name__}") from None
    if not isinstance(document, Mapping) or set(document) != {"open", "rates", "matrix"}:
        raise _bad("it must have exactly `open`, `rates` and `matrix`")
    lines = {_place(place): _permission(place, line) for place, line in document["matrix"].items()}
    opened = frozenset(_place(place) for place in document["open"])
    if opened & set(lines):
        raise _bad("an open endpoint is also in the matrix")
    rates = {_known(Role, name): _rate(rate) for name, rate in document["rates"].items()}
    if set(rates) != set(Role):
        raise _bad("`rates` must name every role")
    return Matrix(opened, lines, rates)


def _place(text: Any) -> tuple[str, str]:
    method, _, path = str(text).partition(" ")
    if method not in METHODS or not path.startswith("/"):
        raise _bad(f"`{text}` is not a method and a path, such as `GET /v1/limits`")
    return method, path


def _permission(place: str, line: Any) -> Permission:
    if not isinstance(line, Mapping) or set(line) != {"scope", "roles"} or not isinstance(line["roles"], list):
        raise _bad(f"`{place}` must have exactly `scope` and a list of `roles`")
    roles = [_known(Role, role) for role in line["roles"]]
    if len(set(roles)) != len(roles) or not roles:
        raise _bad(f"`{place}` must name each of its roles once")
    return Permission(frozenset(roles), _known(Scope, line["scope"]))


def _known(kind: type[Named], name: Any) -> Named:
    try:
        return kind(name)
    except ValueError:
        raise _bad(f"there is no {kind.__name__.lower()} `{name}`{_hint(str(name), list(kind))}") from None


def _hint(name: str, known: Iterable[str]) -> str:
    near = nearest_name(name, [str(k) for k in known])
    return f"; did you mean `{near}`?" if near else ""


def _rate(rate: Any) -> int:
    if not isinstance(rate, int) or isinstance(rate, bool) or not 0 < rate <= 1_000_000:
        raise _bad("a rate must be a whole number of requests a second from 1 to 1,000,000")
    return rate


def _bad(message: str) -> UsageError:
    return UsageError("bad-roles", f"roles.yaml: {message}")
