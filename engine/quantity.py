"""Exact numbers on the way out, rounding always named.

In: Fractions. Out: text. Guaranteed: `exact` never rounds (a value that is no finite decimal is written `p/q`);
`rounded` rounds half to even, for people to read: no decision reads what it returns. Refused: nothing. Why not
Decimal: its context rounds silently. Before: `literals.py` (the way in). After: `decision.py`, `messages.py`.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction


def fits_scale(value: Fraction, scale: int) -> bool:
    """Whether `value` has at most `scale` decimals, so that it is an integer of 10^-scale units."""
    return (value * 10**scale).denominator == 1


def exact(value: Fraction) -> str:
    """`value` as decimal text without rounding, or `p/q` when it has no finite decimal form."""
    denominator, places = value.denominator, 0
    for prime in (2, 5):
        power = 0
        while denominator % prime == 0:
            denominator //= prime
            power += 1
        places = max(places, power)
    if denominator != 1:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{text}" if value < 0 else text


def rounded(value: Fraction, places: int) -> Decimal:
    """`value` rounded half to even to `places` decimals, for display only: no decision reads it."""
    units = round(value * 10**places)
    return Decimal(units).scaleb(-places, Context(prec=len(str(abs(units))) + places + 2, rounding=ROUND_HALF_EVEN))


def display(value: Fraction, spec: str) -> str:
    """`value` under a format spec of the forms `,` `.2f` `,.2f` `.2%` ``; without decimals named, as short as exact.

    Non-terminating values under an empty spec show six decimals.
    """
    thousands, percent = "," if "," in spec else "", spec.endswith("%")
    digits = re.search(r"\.(\d{1,2})", spec)
    scaled = value * 100 if percent else value
    places = int(digits.group(1)) if digits else _places(scaled)
    return format(rounded(scaled, places), f"{thousands}.{places}f") + ("%" if percent else "")


def _places(value: Fraction) -> int:
    for places in range(7):
        if fits_scale(value, places):
            return places
    return 6
