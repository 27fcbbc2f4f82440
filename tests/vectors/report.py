"""What became of a case: pass, fail or not covered, and the line that says so.

In: a case and the adapters by rule. Out: `Outcome`. Guaranteed: without an adapter, or with a field the adapter did not
read, or with facts that no snapshot takes, a case is not covered, whatever the answer. A published figure was
rounded by its publisher, so an exact answer finer than a cent is compared after rounding half up to the decimals
published; anything else must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor

from lexorder.engine.errors import SnapshotError
from lexorder.engine.quantity import exact, fits_scale
from tests.vectors.case import Case, Fields, NotCoveredError, Said, text

Adapters = Mapping[str, Callable[[Case], object]]

PASS, FAIL, NOT_COVERED = "pass", "fail", "not-covered"
FINEST = 2
"""Decimals in which money is published; an exact figure with more must have been rounded by whoever published it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one case. `got` is the answer as text, or why there is none."""

    case: Case
    status: str
    got: str

    def line(self) -> str:
        """The line of the report."""
        cautioned = "  (cautioned)" if self.case.caution else ""
        return f"{self.case.id} {self.status}  expected {shown(self.case.expect)} got {self.got}{cautioned}"


def judged(case: Case, adapters: Adapters) -> Outcome:
    """Ask the adapter of the case's rule and compare its answer with what was published."""
    adapter = adapters.get(case.rule)
    if adapter is None:
        return Outcome(case, NOT_COVERED, f"no adapter for rule {case.rule}")
    try:
        got = adapter(case.question())
    except (NotCoveredError, SnapshotError) as why:
        return Outcome(case, NOT_COVERED, str(why))
    except Exception as error:  # an adapter that breaks must not hide the other cases
        return Outcome(case, FAIL, f"{type(error).__name__}: {error}")
    unread = case.unread()
    if unread:
        return Outcome(case, NOT_COVERED, f"not translated: {', '.join(unread)}")
    return Outcome(case, PASS if same(case.expect, got) else FAIL, shown(got))


def same(expect: object, got: object) -> bool:
    """Whether an answer is what was published. Text, truth values, lists and mappings must be equal part by part.

    An outcome that publishers word in several ways is the same in each of them (`Said`).
    """
    if isinstance(got, Said):
        return expect in got
    if isinstance(expect, Mapping):
        return isinstance(got, Mapping) and expect.keys() == got.keys() and all(same(expect[k], got[k]) for k in expect)
    if isinstance(expect, list | tuple):
        return (
            isinstance(got, list | tuple)
            and len(expect) == len(got)
            and all(same(one, other) for one, other in zip(expect, got, strict=True))
        )
    if isinstance(expect, bool) or not isinstance(expect, int | Decimal):
        return type(got) is type(expect) and got == expect if not isinstance(got, date) else str(got) == expect
    if isinstance(got, bool) or not isinstance(got, int | Decimal | Fraction):
        return False
    return _same_number(Decimal(expect), Fraction(got))


def _same_number(expect: Decimal, got: Fraction) -> bool:
    if Fraction(expect) == got or fits_scale(got, FINEST):
        return Fraction(expect) == got
    places = max(0, -int(expect.as_tuple().exponent))
    return Fraction(floor(got * 10**places + Fraction(1, 2)), 10**places) == Fraction(expect)


def shown(value: object) -> str:
    """A value for the report, exactly."""
    if isinstance(value, Fraction):
        return exact(value)
    if isinstance(value, Said):
        return value[0]
    if isinstance(value, Mapping | Fields):
        return "{" + ", ".join(f"{k}: {shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return text(value)


def totals(statuses: Iterable[tuple[str, bool]]) -> str:
    """The last line: how many of each, cautioned ones apart. Takes (status, cautioned) pairs."""
    counted: dict[tuple[str, bool], int] = {}
    for pair in statuses:
        counted[pair] = counted.get(pair, 0) + 1
    parts = [f"{counted.get((status, False), 0)} {status}" for status in (PASS, FAIL, NOT_COVERED)]
    cautioned = [
        f"{counted[status, True]} {status}" for status in (PASS, FAIL, NOT_COVERED) if (status, True) in counted
    ]
    return f"{sum(counted.values())} cases: {', '.join(parts)}; cautioned: {', '.join(cautioned) or 'none'}"
