"""Measures: exact functions of the engine that rules use by name.

In: functions registered under a vocabulary name (`account.day_trades`). Out: `measured`, the value for one subject
of a projection. Guaranteed: a pure function of the projection, exact, no clock; a fact the snapshot gives under
that name wins over the measure. Refused: MissingFactError when a fact the measure needs is absent, so rules that
read it are undecided. Why not in the language: counting day trades needs an order of events, which a rule should
name and not spell out. Before: `snapshot.py`. After: `measures/`, `measuring.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from lexorder.engine.snapshot import Projection, Subject
from lexorder.engine.terms import Value

Measure = Callable[[Projection, Subject], Value]
"""Takes the projection (account, orders under test, working orders, snapshot) and the subject the name belongs to: the
account, an order, an instrument or market (key: symbol), a position. Raises MissingFactError."""

REGISTRY: dict[str, Measure] = {}
"""Measures by vocabulary name."""


def measure(name: str) -> Callable[[Measure], Measure]:
    """Register a function as the measure behind `name`. Raises ValueError when the name is taken."""

    def register(function: Measure) -> Measure:
        if name in REGISTRY:
            raise ValueError(f"{name} is measured twice")
        REGISTRY[name] = function
        return function

    return register
