"""Parameters of an address: only those that are there, each once.

In: the query of a request. Out: nothing, or a refusal. Guaranteed: a parameter that is misspelt changes no answer by
being overlooked; a raw route takes the same queries whichever way it is answered. Refused by `Problem`: 422
`unknown-parameter`, which names those the address takes; 422 `repeated-parameter`; 422 `bad-parameter`. Why not left to
the framework: it overlooks what it does not know and takes the last of two, so that `?acount=A` lists every account.
Before: `problems.py`. After: `app.py`, `orders.py`, `batch.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.dependencies.models import Dependant
from starlette.requests import HTTPConnection

from lexorder.api.service.problems import Problem

EVERYWHERE = "shard"
"""With several workers every address takes the number of the one that shall answer."""

RESERVE = {b"": True, b"reserve=true": True, b"reserve=false": False}
"""The queries an order check takes, and whether an approval counts as working then."""


async def only_known(connection: HTTPConnection) -> None:
    """A FastAPI dependency of every route. Raises Problem."""
    query = connection.query_params
    if not query:
        return
    route = connection.scope.get("route")
    taken = {*_names(route.dependant), EVERYWHERE} if route is not None else {EVERYWHERE}
    asked = [name for name, _ in query.multi_items()]
    if not taken.issuperset(asked):
        raise unknown(sorted(taken - {EVERYWHERE}))
    if len(set(asked)) < len(asked):
        raise Problem(422, "repeated-parameter", "Each parameter stands once in an address.")


def _names(dependant: Dependant) -> Iterator[str]:
    """The parameters of a route and of what it depends on, as they are written."""
    for field in dependant.query_params:
        yield field.alias
    for each in dependant.dependencies:
        yield from _names(each)


def reserves(scope: Mapping[str, Any]) -> bool:
    """Whether an approval shall count as working: `reserve`, true where nothing is said. Raises Problem."""
    found = RESERVE.get(scope.get("query_string", b""))
    if found is None:
        raise Problem(
            422, "bad-parameter", "This address takes `reserve`, which is `true` or `false`, and nothing else."
        )
    return found


def none(scope: Mapping[str, Any]) -> None:
    """Nothing for an address without a query. Raises Problem."""
    if scope.get("query_string"):
        raise unknown([])


def unknown(taken: list[str]) -> Problem:
    """The refusal of a parameter that is not there; what was sent is not repeated."""
    known = ", ".join(taken) if taken else "none"
    return Problem(422, "unknown-parameter", f"This address has no such parameter; it takes: {known}.")
