"""Exact numbers on the way out (for figures rounded for reading see `message.py`).

In: Fractions. Out: text. Guaranteed: `exact` never rounds: a value that is no finite decimal is written `p/q`.
Refused: nothing. Why not Decimal: its context rounds silently. Before: `literals.py` (the way in). After:
`facts.py`, `decision.py`.
"""

from __future__ import annotations

from fractions import Fraction


def fits_scale(value: Fraction, scale: int) -> bool:
    """Whether `value` has at most `scale` decimals, so that it is an integer of 10^-scale units."""
    return bool((value * 10**scale).denominator == 1)


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
