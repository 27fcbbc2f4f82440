"""Findings: what one rule says about one subject.

In: made by `evaluate.py`, `compile.py` and the expert. Out: values `decide.py` weighs and reports. Guaranteed:
numbers are Fractions in the units of the comparison. Before: `rule.py`. After: `decide.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from lexorder.engine.terms import Value


class Status(StrEnum):
    """The verdict of one rule on one subject; PASSIVE is an old breach that gets no worse."""

    PASS = "pass"
    PASSIVE = "passive"
    NOT_APPLICABLE = "not_applicable"
    BREACH = "breach"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with its evidence.

    For comparisons, `observed` and `limit` are both sides in the worst reachable state; where the limit is a ratio
    of some base (`5% * account.nav`) both are given as ratios of it. `margin` is the room left, negative in a
    breach, in the unit of the comparison. `why` says in words what is missing when undecided.
    """

    rule: str
    subject: str
    status: Status
    observed: Value | None = None
    limit: Value | None = None
    margin: Fraction | None = None
    why: str = ""
    inputs: Mapping[str, Value] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, Status]:
        """What two evaluators must agree on."""
        return (self.rule, self.subject, self.status)


@dataclass(frozen=True, slots=True)
class Derived:
    """A fact a `derive` rule has set: vocabulary name, subject it belongs to, value, and the rule."""

    name: str
    subject: str
    value: Value
    rule: str
