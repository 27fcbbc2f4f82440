"""One published case, and how its file is read.

In: JSON lines with `id`, `source`, `rule`, `given`, `orders`, `expect`, `provenance`, `note`, `caution`. Out: `Case`.
Guaranteed: a JSON float is the decimal it is written as, never a binary float; what an adapter reads of a case is
remembered, so that a field nobody translated is noticed. Refused: ValueError for a line that is not such an object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any


class NotCoveredError(Exception):
    """An adapter cannot translate a case; the case is then reported as not covered and never passes."""


class Said(tuple[str, ...]):
    """One outcome in all the words that publishers use for it; the first is shown."""

    def __new__(cls, *words: str) -> Said:
        """The same outcome in these words. Raises ValueError without any."""
        if not words:
            raise ValueError("an outcome needs a word")
        return super().__new__(cls, words)


class Fields(Mapping[str, Any]):
    """Named values of a case that remember which of them were read. Nested objects are `Fields` too, lists tuples."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._held = {str(name): _wrapped(value) for name, value in raw.items()}
        self._unread = set(self._held)

    def __getitem__(self, name: str) -> Any:
        if name not in self._held:
            raise NotCoveredError(f"the case gives no `{name}`")
        self._unread.discard(name)
        return self._held[name]

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default` when the case does not give it."""
        return self[name] if name in self._held else default

    def text(self, name: str) -> str:
        """A value as the plain decimal or word a snapshot takes."""
        return text(self[name])

    def number(self, name: str) -> Fraction:
        """A number, exactly as written. Raises NotCoveredError when it is none."""
        return number(self[name])

    def ignore(self, *names: str) -> None:
        """Say that these say nothing about the outcome (a comment, a symbol where there is only one)."""
        self._unread -= set(names)

    def only(self, name: str, *admitted: object) -> Any:
        """A value whose only admitted ones are these: any other is not covered."""
        if self[name] not in admitted:
            raise NotCoveredError(f"{name} {self[name]} is not translated")
        return self[name]

    def unread(self) -> Iterator[str]:
        """What was not read, in order, with the objects below; `a.b` is `b` inside `a`."""
        for name, value in sorted(self._held.items()):
            if name in self._unread:
                yield name
            else:
                yield from (f"{name}.{below}" for below in _below(value))


def _wrapped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Fields(value)
    return tuple(_wrapped(item) for item in value) if isinstance(value, list) else value


def _below(value: Any) -> Iterator[str]:
    if isinstance(value, Fields):
        yield from value.unread()
    elif isinstance(value, tuple):
        for item in value:
            yield from _below(item)


def number(value: object) -> Fraction:
    """A number of a case, exactly; decimals in text are admitted. Raises NotCoveredError."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise NotCoveredError(f"{value} is not a number")
    try:
        return Fraction(value)
    except ValueError:
        raise NotCoveredError(f"{value} is not a number") from None


def text(value: object) -> str:
    """A number as a plain decimal without exponent; anything else as it is written."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


@dataclass(frozen=True)
class Case:
    """A published case: `rule` names its kind, `expect` is what was published, `caution` is empty or a warning."""

    id: str
    rule: str
    given: Fields
    orders: tuple[Fields, ...]
    expect: Any
    caution: str = ""
    source: str = ""

    @property
    def order(self) -> Fields:
        """The order of a case that has exactly one. Raises NotCoveredError otherwise."""
        if len(self.orders) != 1:
            raise NotCoveredError(f"{len(self.orders)} orders where one is expected")
        return self.orders[0]

    def question(self) -> Case:
        """The case as an adapter sees it: without its name, source and published outcome."""
        return replace(self, id="", expect=None, caution="", source="")

    def unread(self) -> tuple[str, ...]:
        """The fields of `given` and of the orders that the adapter has not read."""
        orders = (f"orders.{name}" for order in self.orders for name in order.unread())
        return tuple(dict.fromkeys([*self.given.unread(), *orders]))


def read_case(line: str) -> Case:
    """A case from its line. Raises ValueError."""
    raw = json.loads(line, parse_float=Decimal)
    if not isinstance(raw, dict) or not {"id", "rule", "expect"} <= raw.keys():
        raise ValueError("a case is an object with id, rule, given, orders and expect")
    orders = tuple(Fields(order) for order in raw.get("orders") or ())
    given, caution = Fields(raw.get("given") or {}), str(raw.get("caution") or "")
    return Case(str(raw["id"]), str(raw["rule"]), given, orders, raw["expect"], caution, str(raw.get("source", "")))


def read_cases(path: Path | str) -> tuple[Case, ...]:
    """All cases of a file, in its order. Raises ValueError with the number of a line that is none."""
    found = []
    for place, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                found.append(read_case(line))
            except ValueError as error:
                raise ValueError(f"{path}:{place}: {error}") from None
    return tuple(found)
