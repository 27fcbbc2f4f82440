"""Hypothesis strategies for well-typed terms of the rule language.

`terms`, `comparisons` and `conditions` give typed terms for one subject of a vocabulary. They write rule text
first and typecheck it, so every term is one that a rule could hold: units fit, names are reachable,
aggregates know their collection. Use `names` to narrow which vocabulary names may appear (say, only those a
generated snapshot supplies).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.parse import CHARACTERS_MAX
from lexorder.engine.terms import Term
from lexorder.engine.typecheck import term_of
from lexorder.engine.units import COUNT, LOCAL_MONEY, MONEY, PRICE, RATIO, SHARES, Kind, Unit

UNITS = (MONEY, SHARES, RATIO, PRICE, COUNT)
Draw = Callable[..., object]
Filter = Callable[[Name], bool]


def everything(name: Name) -> bool:
    """Admit every name."""
    return True


@st.composite
def written(
    draw: Draw,
    vocabulary: Vocabulary,
    for_each: str = "order",
    depth: int = 3,
    names: Filter = everything,
    *,
    kind: str = "condition",
) -> str:
    """The text of a well-typed `condition`, `comparison` or `number`."""
    writer = _Writer(draw, vocabulary, names)
    if kind == "number":
        unit = draw(st.sampled_from(UNITS))
        assert isinstance(unit, Unit)
        return writer.number(unit, depth, (for_each,))
    return writer.comparison(depth, (for_each,)) if kind == "comparison" else writer.condition(depth, (for_each,))


def conditions(
    vocabulary: Vocabulary, for_each: str = "order", depth: int = 3, names: Filter = everything
) -> st.SearchStrategy[Term]:
    """A condition on one subject."""
    return _typed(vocabulary, for_each, depth, names, "condition")


def terms(
    vocabulary: Vocabulary, for_each: str = "order", depth: int = 3, names: Filter = everything
) -> st.SearchStrategy[Term]:
    """A number of any unit."""
    return _typed(vocabulary, for_each, depth, names, "number")


def comparisons(
    vocabulary: Vocabulary, for_each: str = "order", depth: int = 3, names: Filter = everything
) -> st.SearchStrategy[Term]:
    """A comparison of two numbers, the form most requirements have."""
    return _typed(vocabulary, for_each, depth, names, "comparison")


def _typed(vocabulary: Vocabulary, for_each: str, depth: int, names: Filter, kind: str) -> st.SearchStrategy[Term]:
    texts = written(vocabulary, for_each, depth, names, kind=kind)
    # An expression as written is bounded; the rare draw beyond that is dropped, not cut.
    small = texts.filter(lambda text: len(text) <= CHARACTERS_MAX // 4)
    return small.map(lambda text: term_of(text, vocabulary, for_each))


@dataclass
class _Writer:
    """Writes expressions; `bound` are the entities names may start from, innermost first."""

    draw: Draw
    vocabulary: Vocabulary
    names: Filter

    def pick(self, *options: object) -> object:
        return self.draw(st.sampled_from(options))

    def known(self, fits: Callable[[Unit], bool], bound: tuple[str, ...]) -> list[str]:
        """Paths of names that fit and can be read here, some through a link."""
        found = []
        for name in self.vocabulary.names.values():
            if not fits(name.unit) or not self.names(name):
                continue
            if self.vocabulary.everywhere(name.entity) or any(
                name.entity in self.vocabulary.reachable(b) for b in bound
            ):
                found.append(name.name)
            if name.entity != bound[0] and name.entity in self.vocabulary.reachable(bound[0]):
                found.append(f"{bound[0]}.{name.name}")
        return found

    # ---- numbers -------------------------------------------------------------------------------

    def number(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        if depth <= 0:
            return self.leaf(unit, bound)
        makers = [self.leaf_at, self.sum_at, self.scaled, self.negated, self.absolute, self.extreme, self.choice]
        if len(bound) == 1:
            makers.append(self.total)
        return str(self.pick(*makers)(unit, depth - 1, bound))  # type: ignore[operator]

    def leaf(self, unit: Unit, bound: tuple[str, ...]) -> str:
        known = self.known(lambda u: u.kind is Kind.NUMBER and u.dimensions == unit.dimensions, bound)
        if known and self.draw(st.integers(0, 3)):
            return str(self.pick(*known))
        return self.literal(unit)

    def leaf_at(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        return self.leaf(unit, bound)

    def literal(self, unit: Unit) -> str:
        """A constant; money sometimes with its currency, a ratio sometimes in percent."""
        whole = self.draw(st.integers(0, 200_000))
        assert isinstance(whole, int)
        if unit == MONEY and self.draw(st.booleans()):
            return f"{whole:_} USD"
        if unit == RATIO and self.draw(st.booleans()):
            return f"{whole % 300}%"
        decimals = self.draw(st.sampled_from(["", ".5", ".25", ".0625"]))
        return f"{whole:_}{decimals}"

    def sum_at(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        op = self.pick("+", "-")
        return f"({self.number(unit, depth, bound)} {op} {self.number(unit, depth, bound)})"

    def scaled(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        """A multiple or a fraction; only a name has a unit of its own, a bare number would lose it in a product."""
        known = self.known(lambda u: u.kind is Kind.NUMBER and u.dimensions == unit.dimensions, bound)
        amount = str(self.pick(*known)) if known else self.leaf(unit, bound)
        if not known and unit.dimensions != (0, 0, 0):
            return amount
        if self.draw(st.booleans()):
            return f"({self.number(RATIO, depth, bound)}) * {amount}"
        return f"{amount} / {self.pick('2', '0.5', '25%')}"

    def wrapped(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        return f"({self.number(unit, depth, bound)})"

    def negated(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        return f"-{self.wrapped(unit, depth, bound)}"

    def absolute(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        return f"abs({self.number(unit, depth, bound)})"

    def extreme(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        items = [self.number(unit, depth, bound) for _ in range(int(self.pick(2, 3)))]  # type: ignore[call-overload]
        return f"{self.pick('min', 'max')}({', '.join(items)})"

    def choice(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        condition = self.condition(depth, bound)
        return f"(if {condition} then {self.number(unit, depth, bound)} else {self.number(unit, depth, bound)})"

    def total(self, unit: Unit, depth: int, bound: tuple[str, ...]) -> str:
        """An aggregate; the collection is named in its condition, so that it is never in doubt."""
        collection = str(self.pick("position", "order", "working_order"))
        if collection in bound:
            return self.leaf(unit, bound)
        where = self.member(collection)
        if unit == COUNT:
            return f"count({collection} where {where})"
        inner = _Writer(self.draw, self.vocabulary, _own(collection, self.names))
        return f"sum({inner.number(unit, depth, (collection,))} where {where})"

    def member(self, collection: str) -> str:
        return {
            "position": "position.before.quantity >= 0",
            "order": "order.side == buy",
            "working_order": "working_order.quantity > 100",
        }[collection]

    # ---- conditions ----------------------------------------------------------------------------

    def condition(self, depth: int, bound: tuple[str, ...]) -> str:
        makers = [self.comparison, self.word, self.flag]
        if depth > 0:
            makers += [self.both, self.inverted]
        return str(self.pick(*makers)(depth - 1, bound))  # type: ignore[operator]

    def comparison(self, depth: int, bound: tuple[str, ...]) -> str:
        unit = self.pick(*UNITS)
        op = self.pick("<=", "<", ">=", ">", "==", "!=")
        assert isinstance(unit, Unit)
        return f"{self.number(unit, depth, bound)} {op} {self.number(unit, depth, bound)}"

    def word(self, depth: int, bound: tuple[str, ...]) -> str:
        """A comparison with words of an enumeration or a text."""
        known = self.known(lambda u: u.kind is Kind.ENUM, bound)
        if not known:
            return 'account.currency in {"USD", "EUR"}'
        path = str(self.pick(*known))
        found = self.vocabulary.resolve(path)
        assert found is not None
        values = found.declared.unit.values
        if self.draw(st.booleans()):
            return f"{path} {self.pick('==', '!=')} {self.pick(*values)}"
        return f"{path} {self.pick('in', 'not in')} {{{', '.join(values[:2])}}}"

    def flag(self, depth: int, bound: tuple[str, ...]) -> str:
        known = self.known(lambda u: u.kind is Kind.BOOL, bound)
        return str(self.pick("true", "false", *known))

    def both(self, depth: int, bound: tuple[str, ...]) -> str:
        op = f" {self.pick('and', 'or')} "
        count = int(self.pick(2, 3))  # type: ignore[call-overload]
        return op.join(f"({self.condition(depth, bound)})" for _ in range(count))

    def inverted(self, depth: int, bound: tuple[str, ...]) -> str:
        return f"not ({self.condition(depth, bound)})"


def _own(collection: str, names: Filter) -> Filter:
    """Names inside an aggregate: of other collections none, lest it run over two."""
    others = {"position", "order", "working_order", "fill", "signal", "pair", "quote"} - {collection}
    return lambda name: name.entity not in others and name.unit != LOCAL_MONEY and names(name)
