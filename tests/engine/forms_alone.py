"""Each vectorised form by itself: what it alone clears, and what the reference meaning says of the same orders.

`alone` gives, for each of the two forms, which orders it clears before the other is asked; a fault in one is then not
hidden by the other. `compiled` asks the first alone, also for rules the other has no place for. `plainly` is the
reference: a plain pass of every rule, each fill state looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from lexorder.engine import vector_book
from lexorder.engine.compile import Plan
from lexorder.engine.desk import Desk
from lexorder.engine.judge import derivations, judge
from lexorder.engine.vector import VectorBook
from lexorder.engine.vector_cells import RunningCells
from lexorder.engine.vector_code import Code
from lexorder.engine.vector_columns import Flags
from lexorder.engine.vector_first import First
from lexorder.engine.vector_frame import Frame
from lexorder.engine.verdict import Status
from tests.engine import vector_cases as cases
from tests.engine.vector_reading import frames_of, plain_desk, typed
from tests.worlds import VOCABULARY, world

PLAIN = (Status.PASS, Status.NOT_APPLICABLE)


@contextmanager
def overheard(vector: VectorBook) -> Iterator[list[set[int]]]:
    """What each form clears, by the places of the orders, while this lasts."""
    heard: list[set[int]] = [set(), set()]
    clear, codes = vector_book._clear, vector.book.current().codes

    def told(code: Code, frame: Frame, step: int) -> Flags:
        found = clear(code, frame, step)
        which = next(n for n, one in enumerate(codes) if one is code)
        heard[which].update(frame.places[found].tolist())
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vector_book, "_clear", told)
        yield heard


def alone(vector: VectorBook, orders: Sequence[Mapping[str, Any]]) -> list[list[bool]]:
    """For each form which orders it clears."""
    numbered = [{**o, "id": f"O{n}"} for n, o in enumerate(orders)]
    with overheard(vector) as heard:
        vector.cleared(cases.columns(numbered))
    return [[n in found for n in range(len(orders))] for found in heard]


def compiled(live: Desk, vector: VectorBook, orders: Sequence[Mapping[str, Any]]) -> tuple[list[bool], First]:
    """Which orders of one account the compiled form clears, whether or not the other has a place for the rules."""
    numbered = typed([{**o, "id": f"O{n}"} for n, o in enumerate(orders)])
    frame, copy = frames_of(vector, numbered)[0], vector.book.copies[0]
    first = First(Plan(live.rules_of(str(numbered[0]["order.account"])), VOCABULARY), vector.book.terms)
    cells, found = RunningCells(first, copy.pairs), set[int]()
    kinds = [(str(facts["order.side"]), str(facts["order.ord_type"])) for facts in numbered]
    for kind in dict.fromkeys(kinds):
        step = first.cleared(*kind)
        cells.refresh(vector_book.NONE)
        part = frame.cut(np.array([n for n, place in enumerate(frame.places) if kinds[place] == kind], dtype=np.int64))
        part.cells = cells
        found.update(part.places[vector_book._clear(first.code, part, step)].tolist())
    return [n in found for n in range(len(orders))], first


def plainly(live: Desk, orders: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether every rule of its account passes plainly, by the reference meaning, for each order alone."""
    found = []
    for facts in typed([{**o, "id": f"O{n}"} for n, o in enumerate(orders)]):
        account = str(facts["order.account"])
        rules = live.rules_of(account)
        seen = live.live.projection(account, (facts,))
        findings = [f for r in rules if r.require is not None for f in judge(r, seen, derivations(rules))]
        found.append(all(f.status in PLAIN for f in findings))
    return found


def desk_of(rules: str, **sections: Any) -> tuple[Desk, VectorBook]:
    """A desk that judges by the reference meaning, and its vectorised form."""
    live = plain_desk(cases.book(rules), world(**sections))
    return live, VectorBook(live, small=0)


def each_form(rules: str, orders: Sequence[Mapping[str, Any]], **sections: Any) -> list[list[bool]]:
    """What each form clears under some rules, all of which both have a place for."""
    _, vector = desk_of(rules, **sections)
    found = alone(vector, orders)
    assert not vector.tally().unfit
    return found


def sound(live: Desk, vector: VectorBook, orders: Sequence[Mapping[str, Any]]) -> int:
    """Neither form clears an order that does not pass plainly; how many clearances there were."""
    wanted = plainly(live, orders)
    both = alone(vector, orders)
    for which, found in enumerate(both):
        wrong = [o for o, got, want in zip(orders, found, wanted, strict=True) if got and not want]
        assert not wrong, (("compiled", "expert")[which], wrong[0])
    return sum(map(sum, both))
