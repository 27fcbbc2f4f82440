"""What columns stand for, element by element, and the desks they are tried on.

`read` and `truths` turn a column into plain values with None where it is missing; `asked_on` puts orders into frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lexorder.engine.desk import Desk, slow
from lexorder.engine.facts import load_order
from lexorder.engine.rule import Facts
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.vector import VectorBook
from lexorder.engine.vector_columns import Column, Numbers
from lexorder.engine.vector_frame import Frame, admitted
from lexorder.engine.vector_orders import Asked, asked_of_facts
from tests.worlds import VOCABULARY


def plain_desk(rules: RuleBook, document: Mapping[str, Any]) -> Desk:
    """A desk whose own evaluators are the reference meaning: nothing here is compared with a fast path."""
    return Desk(rules, document, VOCABULARY, slow)


def spread(data: Any, size: int) -> list[Any]:
    """The elements of an array, or one value as often as it stands for."""
    found: list[Any] = np.broadcast_to(np.asarray(data, dtype=object), (size,)).tolist()
    return found


def read(column: Column, size: int) -> list[Any]:
    """The integers, truth values or word codes of a column; None where it is missing."""
    gone = spread(False if column.missing is None else column.missing, size)
    factor = column.factor if isinstance(column, Numbers) else None
    return [
        None if lost else value if factor is None else int(value) * factor
        for value, lost in zip(spread(column.data, size), gone, strict=True)
    ]


def typed(orders: Sequence[Mapping[str, Any]]) -> list[Facts]:
    """Orders as facts."""
    return [load_order(order, VOCABULARY) for order in orders]


def asked_on(vector: VectorBook, facts: Sequence[Facts]) -> tuple[Asked, list[Frame] | None]:
    """Orders as columns and in the frames of both forms."""
    book = vector.book.current()
    asked = asked_of_facts(facts, book.words)
    return asked, admitted(asked, book.copies)


def frames_of(vector: VectorBook, facts: Sequence[Facts]) -> list[Frame]:
    """The frames of orders of which at least one may be judged in bulk."""
    frames = asked_on(vector, facts)[1]
    assert frames is not None
    return frames
