"""What `decide.py` needs from others, as protocols, so that evaluators can be swapped and faulted in tests.

Out: `Exact` (the compiled evaluator, or the reference), `Second` (the expert), and their answers. Guaranteed by an
implementation: verdicts are counted, one for each rule and subject; anything but a plain pass is listed. Before:
`verdict.py`. After: `compile.py`, `expert/`, `decide.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lexorder.engine.decision import Fired, Largest
from lexorder.engine.events import Event
from lexorder.engine.rule import Facts
from lexorder.engine.verdict import Derived, Finding, Status

Key = tuple[str, str, Status]


@dataclass(frozen=True, slots=True)
class ExactAnswer:
    """`keys` lists what is neither pass nor not-applicable; `count` is the number of verdicts (rules x subjects).

    `findings` materialises the evidence of the exceptional ones, on demand, in rule order.
    """

    keys: frozenset[Key]
    count: int
    findings: Callable[[], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class ExpertAnswer:
    """The same from the expert, with what it derived and which rules fired, in order."""

    keys: frozenset[Key]
    count: int
    derived: tuple[Derived, ...] = ()
    fired: tuple[Fired, ...] = ()


class Exact(Protocol):
    """The exact evaluator of a live desk."""

    def check(self, account: str, orders: tuple[Facts, ...]) -> ExactAnswer:
        """Judge the orders together."""
        ...

    def largest(self, account: str, order: Facts, cap: int) -> tuple[Largest, Mapping[str, int]]:
        """The largest compliant quantity up to `cap`, and each exceptional rule's own."""
        ...

    def apply(self, event: Event) -> None:
        """Take an event over."""
        ...


class Second(Protocol):
    """The independent second evaluator of a live desk."""

    def check(self, account: str, orders: tuple[Facts, ...], exact: ExactAnswer) -> ExpertAnswer:
        """Judge the orders together; `exact` supplies verdicts this evaluator cannot compute itself."""
        ...

    def apply(self, event: Event) -> None:
        """Take an event over."""
        ...
