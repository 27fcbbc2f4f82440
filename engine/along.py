"""Generated integer code run over functions of the order's quantity instead of one quantity.

In: the quantity as `Along.quantity(cap, scale)`, put where the code has a number. Out: numbers that vary with it.
Guaranteed: at every quantity the value the code would have had. Refused (InexpressibleError): a choice that depends on
the quantity, an equality, a degree above two; the caller then works the function out from the term (`breakpoints.py`).
Why: the code that judges an order also says for which quantities it would pass, at the price of a few additions.
Before: `piecewise.py`. After: `breakpoints.py`, `compile.py`.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NoReturn

from lexorder.engine.piecewise import InexpressibleError, Piecewise, constant, greatest, identity, least


class Along:
    """A number that varies with the quantity."""

    __slots__ = ("over",)

    def __init__(self, over: Piecewise) -> None:
        self.over = over

    @classmethod
    def quantity(cls, cap: int, scale: int) -> Along:
        """The quantity itself, 0 to `cap` shares, in units of `1/scale`."""
        return cls(identity(0, cap).scaled(scale))

    def __add__(self, other: Any) -> Along:
        """The sum."""
        return Along(self.over + self.lifted(other))

    __radd__ = __add__

    def __mul__(self, other: Any) -> Along:
        """The product. Raises InexpressibleError for a degree above two."""
        if isinstance(other, Along):
            return Along(self.over * other.over)
        return Along(self.over.scaled(other))

    __rmul__ = __mul__

    def __neg__(self) -> Along:
        """Minus the number."""
        return Along(self.over.scaled(-1))

    def __abs__(self) -> Along:
        """The absolute value."""
        return Along(abs(self.over))

    def _refuse(self, *_others: object) -> NoReturn:
        raise InexpressibleError("not-a-number", "a choice depends on the quantity")

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = __bool__ = __hash__ = _refuse
    __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __floordiv__ = __index__ = __contains__ = _refuse

    def lifted(self, other: Any) -> Piecewise:
        """A number as a function on the same interval."""
        return lifted(other, self.over.low, self.over.high)


def lifted(number: Any, low: int, high: int) -> Piecewise:
    """What varies as it is, what does not as a constant. A fact that is not known raises MissingFactError."""
    return number.over if isinstance(number, Along) else constant(number + 0, low, high)


def most(*numbers: Any) -> Any:
    """`max` where numbers may vary."""
    return _extreme(numbers, most=True)


def fewest(*numbers: Any) -> Any:
    """`min` where numbers may vary."""
    return _extreme(numbers, most=False)


def _extreme(numbers: tuple[Any, ...], *, most: bool) -> Any:
    varying = next((n for n in numbers if isinstance(n, Along)), None)
    if varying is None:
        return max(numbers) if most else min(numbers)
    return Along(reduce(greatest if most else least, map(varying.lifted, numbers)))
