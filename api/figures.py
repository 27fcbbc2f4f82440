"""Exact numbers as people read them: rounded, for tables and reports only.

In: Fractions. Out: text. Guaranteed: rounding is half to even and happens here, after every decision. Refused:
nothing. Before: `optimizers/outcome.py`. After: `rebalance_view.py`, `charts.py`, `report.py`.
"""

from __future__ import annotations

from fractions import Fraction

from lexorder.engine.terms import Value

DASH = "–"


def percent(value: Value | int | None, places: int = 2) -> str:
    """A ratio as a percentage; a dash where there is none."""
    return DASH if value is None else number(_fraction(value) * 100, places) + "%"


def number(value: Value | int | None, places: int = 0) -> str:
    """A number with thousands separated; a dash where there is none."""
    if value is None:
        return DASH
    scaled = round(_fraction(value) * 10**places)
    sign, digits = "-" if scaled < 0 else "", f"{abs(scaled):0{places + 1}d}"
    whole = digits[:-places] if places else digits
    grouped = f"{int(whole):,}"
    return f"{sign}{grouped}.{digits[-places:]}" if places else f"{sign}{grouped}"


def figure(value: Value | None, *, ratio: bool) -> str:
    """A rule's observed value or limit: a percentage where its limit is a ratio, else a plain number."""
    if isinstance(value, bool) or not isinstance(value, Fraction | None):
        return str(value)
    return percent(value) if ratio else number(value, 0 if value is None or value.denominator == 1 else 2)


def _fraction(value: Value | int) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(str(value))
