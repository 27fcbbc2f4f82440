"""Units of measure for rule expressions.

In: type names as the vocabulary spells them. Out: `Unit` values that add, multiply and compare.
Guaranteed: two quantities may be added or compared only when their units are equal, so money plus
shares cannot slip through; a bare number takes the unit of its neighbour. Refused: nothing here raises
for a user's mistake; operations return None where units do not fit and the typechecker words the error.
Why dimensions and not a list of types: price * shares = money must follow by itself, for new names too.
Before: nothing. After: `terms.py`, `vocabulary.py`, `typecheck.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What sort of value a term has; only NUMBER carries dimensions."""

    NUMBER = "number"
    BOOL = "bool"
    DURATION = "duration"
    TIMESTAMP = "timestamp"
    DATE = "date"
    TIME = "time"
    TEXT = "text"
    ENUM = "enum"
    SET = "set"


@dataclass(frozen=True, slots=True)
class Unit:
    """The type and unit of a term.

    For NUMBER: exponents of account money, instrument (local) money and shares; `bare` marks a plain
    literal such as `25_000`, which takes the unit of whatever it is added to or compared with.
    For ENUM: the admissible values, in declared order. `whole` marks numbers known to be integers.
    """

    kind: Kind
    account_money: int = 0
    local_money: int = 0
    shares: int = 0
    bare: bool = False
    whole: bool = False
    values: tuple[str, ...] = ()

    @property
    def dimensions(self) -> tuple[int, int, int]:
        """Exponents of (account money, local money, shares)."""
        return (self.account_money, self.local_money, self.shares)

    @property
    def is_ratio(self) -> bool:
        """Whether a percentage is a value of this unit: a number of nothing that may have decimals."""
        return self.kind is Kind.NUMBER and self.dimensions == (0, 0, 0) and not self.whole

    def times(self, other: Unit, sign: int = 1) -> Unit:
        """Unit of a product (sign 1) or a quotient (sign -1) of two NUMBER units."""
        return Unit(
            Kind.NUMBER,
            self.account_money + sign * other.account_money,
            self.local_money + sign * other.local_money,
            self.shares + sign * other.shares,
            bare=self.bare and other.bare,
            whole=self.whole and other.whole and sign == 1,
        )

    def joined(self, other: Unit) -> Unit | None:
        """Common unit of two values that are added, compared or alternatives; None when they differ.

        A bare number adopts the other side's dimensions; enumerations join when their values are the same.
        """
        if self.kind is not other.kind:
            return None
        if self.kind is Kind.ENUM:
            return self if self.values == other.values else None
        if self.kind is not Kind.NUMBER:
            return self
        if self.bare or other.bare:
            known = other if self.bare else self
            return Unit(Kind.NUMBER, *known.dimensions, self.bare and other.bare, self.whole and other.whole)
        if self.dimensions != other.dimensions:
            return None
        return Unit(Kind.NUMBER, *self.dimensions, whole=self.whole and other.whole)

    def describe(self) -> str:
        """The unit in the words rule authors use: `money`, `shares`, `price`, `ratio`, `a number`."""
        if self.kind is Kind.ENUM:
            return "one of " + ", ".join(self.values)
        if self.kind is not Kind.NUMBER:
            return self.kind.value
        if self.bare:
            return "a number"
        return _WORDS.get(self.dimensions) or (
            f"account money^{self.account_money} local money^{self.local_money} shares^{self.shares}"
        )


_WORDS = {
    (0, 0, 0): "ratio",
    (1, 0, 0): "money",
    (0, 1, 0): "local money",
    (0, 0, 1): "shares",
    (0, 1, -1): "price",
    (1, 0, -1): "account money per share",
    (1, -1, 0): "exchange rate",
}

BOOL = Unit(Kind.BOOL)
DURATION = Unit(Kind.DURATION)
TIMESTAMP = Unit(Kind.TIMESTAMP)
DATE = Unit(Kind.DATE)
TIME = Unit(Kind.TIME)
TEXT = Unit(Kind.TEXT)
SET = Unit(Kind.SET)
RATIO = Unit(Kind.NUMBER)
COUNT = Unit(Kind.NUMBER, whole=True)
SHARES = Unit(Kind.NUMBER, shares=1)
MONEY = Unit(Kind.NUMBER, account_money=1)
LOCAL_MONEY = Unit(Kind.NUMBER, local_money=1)
PRICE = Unit(Kind.NUMBER, local_money=1, shares=-1)
FX = Unit(Kind.NUMBER, account_money=1, local_money=-1)
BARE = Unit(Kind.NUMBER, bare=True)

UNITS: dict[str, Unit] = {
    "bool": BOOL,
    "count": COUNT,
    "shares": SHARES,
    "money": MONEY,
    "local_money": LOCAL_MONEY,
    "price": PRICE,
    "account_price": Unit(Kind.NUMBER, account_money=1, shares=-1),
    "fx_rate": FX,
    "ratio": RATIO,
    "duration": DURATION,
    "timestamp": TIMESTAMP,
    "date": DATE,
    "time": TIME,
    "text": TEXT,
    "set": SET,
}
"""The type names `vocabulary.yaml` may use (besides `enum`, which lists its values)."""
