"""Which lists there are, so that a misspelt name does not quietly begin another one.

In: the rows of a batch of the `lists` feed, what is known now. Out: nothing. Guaranteed: a batch that passes changes
lists that the vocabulary declares, that were told before, or that a rule in force reads; any other is begun only by a
row that says `"new": true`, which even then is not all but the name of a declared one. Refused by `Problem` 422
`unknown-list`, with the nearest known name. Why at the border and not where a batch is taken over: which names are
known depends on rules and days, and a record that was taken once must be taken again. Before: `floor.py`. After:
`routes_state.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lexorder.api.service.floor import Floor
from lexorder.api.service.problems import Problem
from lexorder.engine.codes import nearest_name
from lexorder.engine.measuring import names_read

PREFIX = "lists."

WORDS = 'No rule in force reads a list of this name, and none was told so far. To begin one say `"new": true` beside it'


def known_lists(floor: Floor) -> frozenset[str]:
    """The names of all lists there are, without `lists.`: declared, told, or read by a rule of any day."""
    desk = floor.standing
    named = {name for name in floor.vocabulary.names if name.startswith(PREFIX)}
    for version in desk.book.versions:
        for _, rule in version.items:
            named.update(name for name in names_read(rule) if name.startswith(PREFIX))
    return frozenset(name.removeprefix(PREFIX) for name in named) | desk.tables.lists.keys()


def refuse_unknown(rows: Iterable[Mapping[str, Any]], floor: Floor) -> None:
    """Nothing when every list is known, or said to be new. Raises Problem 422 `unknown-list`."""
    known = known_lists(floor)
    for place, row in enumerate(rows):
        name = row.get("list")
        if isinstance(name, str) and name not in known and row.get("new") is not True:
            near = nearest_name(name, sorted(known))
            words = f"{WORDS}; the nearest that there is: `{near}`." if near else f"{WORDS}."
            raise Problem(422, "unknown-list", words, where=f"items[{place}].list", nearest=near)
