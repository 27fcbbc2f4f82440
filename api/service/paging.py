"""Long lists in pages, each behind the last thing of the page before.

In: the things of a list, each with a key of its own that it is sorted by; a cursor, a limit. Out: a page, how many
there are in all, and the cursor of the next one. Guaranteed: whatever is there from the first page to the last is on
exactly one of them, whatever comes or goes in between. Refused by `Problem`: 422 `bad-cursor`. Why a key and not a
number of things to skip: a thing that is gone would move all others up, and one would never be seen. Before:
`problems.py`. After: `routes_*.py`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Query

from lexorder.api.service.background import give_way
from lexorder.api.service.problems import Problem

T = TypeVar("T")
Key = tuple[str, ...]

LISTED_MAX = 10_000
"""Things on one page, at most."""

LISTED = 1000
"""Things on a page where nothing is said."""

CURSOR_MAX = 2000
STEP = 2000
"""Things looked at before others have their turn."""

NUMBER = re.compile(r"[0-9]{20}")

Cursor = Annotated[str | None, Query(max_length=CURSOR_MAX, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=LISTED_MAX, description="how many on a page, at most")]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The things of one page in order, how many there are on all pages, and where the next begins."""

    things: list[T]
    count: int
    next: str | None


def page_of(keyed: Iterable[tuple[Key, T]], cursor: str | None, limit: int) -> Page[T]:
    """One page. Raises Problem 422 `bad-cursor`."""
    behind = None if cursor is None else read(cursor)
    counted = _Counted(keyed)
    rest = ((key, thing) for key, thing in counted if behind is None or key > behind)
    found = nsmallest(limit + 1, rest, key=_first)
    following = written(found[limit - 1][0]) if len(found) > limit else None
    return Page([thing for _, thing in found[:limit]], counted.count, following)


async def page_beside(keyed: Iterable[tuple[Key, T]], cursor: str | None, limit: int) -> Page[T]:
    """The same in a thread, of things that do not change meanwhile. Raises Problem 422 `bad-cursor`."""
    return await asyncio.to_thread(page_of, keyed, cursor, limit)


class _Counted(Generic[T]):
    """Things, counted while they are looked at."""

    def __init__(self, things: Iterable[T]) -> None:
        self.things = things
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        for thing in self.things:
            self.count += 1
            if not self.count % STEP:
                give_way()
            yield thing


def listed(page: Page[T], shown: Callable[[T], Mapping[str, Any]]) -> dict[str, Any]:
    """A page as it is answered; `shown` is asked for what is on it only."""
    return {"items": [shown(thing) for thing in page.things], "count": page.count, "next": page.next}


def _first(pair: tuple[Key, object]) -> Key:
    return pair[0]


def written(key: Key) -> str:
    """A key as the cursor of what comes behind it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode("ascii").rstrip("=")


def read(cursor: str) -> Key:
    """The key in a cursor. Raises Problem 422."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=Key)
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        raise _bad() from None


def _bad() -> Problem:
    return Problem(422, "bad-cursor", "`cursor` is what `next` of the page before said.")


def number_in(cursor: str) -> int:
    """The number in a cursor that holds nothing else. Raises Problem 422."""
    key = read(cursor)
    if len(key) != 1 or not NUMBER.fullmatch(key[0]):
        raise _bad()
    return int(key[0])


def number(value: int) -> str:
    """A number within a key, so that text sorts as the numbers do."""
    return f"{value:020d}"


def latest_first(value: int) -> str:
    """The same, the greatest first."""
    return number(10**19 - value)
