"""Typed terms to integer source code for one order of one account.

In: terms of a rule and what is bound around them. Out: source of conditions and numbers that reads lists `A` (account),
`L` (line: the ordered instrument in this account), `T` (trader) and the order's own facts. Guaranteed: where the source
yields a value it is that of `evaluate.value`; whatever depends on the account or the line only is worked out when
facts change (`slots.py`), not when an order comes. Refused (NotFastError): what the generated check has no place for.
Before: `integers.py`, `slots.py`. After: `fastpath.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from math import lcm
from typing import Any

from lexorder.engine import integers
from lexorder.engine.integers import NotFastError, Num
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Rule
from lexorder.engine.slots import Table, names_read
from lexorder.engine.snapshot import CONSTITUENT
from lexorder.engine.terms import (
    FILL_NAMES,
    Absolute,
    Aggregate,
    And,
    Binary,
    Compare,
    Extreme,
    Field,
    If,
    In,
    Key,
    Literal,
    Negate,
    Not,
    Or,
    SetOf,
    Term,
    depends_on_fills,
)
from lexorder.engine.units import BOOL, COUNT, Kind

LINE_KINDS = ("instrument", "market", "position")
OWN_PLACE = {"account": "A", "order": "O", "trader": "T", "strategy": "S", **dict.fromkeys(LINE_KINDS, "L")}
STILL_COLLECTIONS = ("fill", "signal", "pair", "quote")
"""Collections that no order changes; events do, and refresh what reads them."""
HEAD = 3
"""The first places of a line: the holding, and the lowest and highest that working orders can bring it to."""
NUMERIC = (Kind.NUMBER, Kind.DURATION)
QUOTIENT = 10**4
"""How much finer than its dividend a quotient inside a sum may be; a finer one is left to the general path."""


@dataclass(frozen=True, slots=True)
class Env:
    """What is bound around a term: entities from the account inwards, code of the holding and of the order's fill."""

    kinds: tuple[str, ...]
    holding: str = ""
    filled: str = ""

    def within(self, kind: str) -> Env:
        """The same with a member of a collection bound innermost."""
        return replace(self, kinds=(*self.kinds, kind))


@dataclass(slots=True)
class Lowering:
    """Writes the code for one set of rules and one kind of order (`known` order facts, such as its side).

    `total` is asked for the code of a sum over positions that no fill changes.
    """

    vocabulary: Vocabulary
    derived: Mapping[str, Sequence[Rule]]
    known: Mapping[str, str]
    account: Table
    line: Table
    trader: Table
    strategy: Table
    total: Callable[[Aggregate, Env], Num]
    order_numbers: dict[str, str] = field(default_factory=dict)
    order_texts: dict[str, str] = field(default_factory=dict)
    rates: bool = False
    """Whether quotients are taken to be decimals, to be checked when they are worked out: inside sums over names."""

    # ---- what a term depends on --------------------------------------------------------------------

    def young(self, rule: Rule) -> None:
        """Raise NotFastError where a fact that is no instrument's may grow old: no event says when it does."""
        read = [names_read(t, self.vocabulary, self.derived) for t in (rule.when, rule.require) if t is not None]
        for name in sorted(frozenset().union(*read) & self.vocabulary.names.keys()):
            declared = self.vocabulary.names[name]
            if declared.max_age is not None and declared.entity not in ("instrument", "market"):
                raise NotFastError(f"{name} ages")

    def place(self, term: Field, env: Env) -> str:
        """Where a name is read: A, L, T or O, as `snapshot.find` would find it."""
        entity = term.name.split(".", 1)[0]
        if entity == CONSTITUENT:
            raise NotFastError("a weight differs by name and subject")
        for kind in reversed(env.kinds):
            if term.via and kind != term.via:
                continue
            if kind == entity or {kind, entity} == {"instrument", "market"}:
                return OWN_PLACE[kind]
            if self._linked(kind, entity):
                if entity == "strategy" and kind != "order":
                    raise NotFastError(f"the strategy of a {kind}")
                return _known_place(entity)
        if self.vocabulary.entities[entity].single:
            return "A"
        raise NotFastError(f"{term.name} is not found from here")

    def _linked(self, kind: str, entity: str) -> bool:
        links = self.vocabulary.entities[kind].links
        return entity in links or (entity == "market" and "instrument" in links)

    def places(self, term: Term, env: Env) -> frozenset[str]:
        """Everything a term depends on; X stands for fills and for sums that orders change."""
        if isinstance(term, Field):
            return self._field_places(term, env)
        if isinstance(term, Key):
            own = {"account": "A", **dict.fromkeys(("order", "trader", "strategy"), "O")}
            return frozenset(own.get(term.entity, "L"))
        if isinstance(term, Aggregate):
            return self._aggregate_places(term, env)
        return frozenset().union(*(self.places(child, env) for child in term.children()))

    def _field_places(self, term: Field, env: Env) -> frozenset[str]:
        if term.name in FILL_NAMES:
            return frozenset("X")
        place = self.place(term, env)
        if term.name in self.derived:
            return self._derived_places(term.name, place)
        if place == "O" and term.name in ("order.symbol", "order.account"):
            return frozenset("L")
        return frozenset(place)

    def _derived_places(self, name: str, place: str) -> frozenset[str]:
        """Derived facts of the line or the account, from facts of these only."""
        found = {place}
        for rule in self.derived[name]:
            env = Env(("account", rule.for_each))
            for term in (rule.when, *(v for _, v in rule.derive)):
                found |= self.places(term, env) if term is not None else set()
        if not found <= {"A", "L"}:
            raise NotFastError(f"{name} is derived from orders or people")
        return frozenset(found)

    def _aggregate_places(self, term: Aggregate, env: Env) -> frozenset[str]:
        read = {n.name.split(".")[0] for n in term.walk() if isinstance(n, Field)} - {term.collection, "account"}
        if term.collection not in STILL_COLLECTIONS or not all(self.vocabulary.entities[e].single for e in read):
            return frozenset("X")
        scope = scope_of(term, env, self.vocabulary)
        if scope not in ("all", "line"):
            raise NotFastError(f"a sum over each {term.collection} of a group")
        return frozenset("A" if scope == "all" else "L")

    def _is_common(self, term: Field, collection: str) -> bool:
        """Whether a name inside a sum is the member's own, the account's, or of one of the single things."""
        entity = term.name.split(".", 1)[0]
        return entity in (collection, "account") or self.vocabulary.entities[entity].single

    def _still(self, term: Term, env: Env) -> str:
        """A or L when the term depends on the account or on the line only, else empty."""
        places = self.places(term, env)
        return "A" if places <= {"A"} else "L" if places <= {"A", "L"} else ""

    def _slot(self, term: Term, env: Env, scale: int | None, where: str) -> str:
        table = {"A": self.account, "T": self.trader, "S": self.strategy, "L": self.line}[where]
        names = names_read(term, self.vocabulary, self.derived)
        kinds = ("account",) if where == "A" and not _of_subject(term) else env.kinds
        if where == "L" and isinstance(term, Field):  # the same place from wherever it is read
            entity = term.name.split(".", 1)[0]
            term, kinds = replace(term, via=""), ("account", entity if entity in LINE_KINDS else kinds[-1])
        own = {"T": ("account", "trader"), "S": ("account", "strategy")}
        if where in own and isinstance(term, Field):  # read where the trader or strategy itself is the subject
            term = replace(term, via="")
        slot = table.take(term, own.get(where, kinds), scale, names)
        return f"{table.letter}[{slot.index}]"

    # ---- conditions --------------------------------------------------------------------------------

    def condition(self, term: Term, env: Env) -> str:
        """Source of a condition; the words True and False where it is certain."""
        if isinstance(term, Literal):
            return str(bool(term.value))
        where = self._still(term, env)
        if where:
            return self._slot(term, env, None, where)
        match term:
            case And(items=items):
                return _joined("and", [self.condition(x, env) for x in items])
            case Or(items=items):
                return _joined("or", [self.condition(x, env) for x in items])
            case Not(operand=x):
                return _opposite(self.condition(x, env))
            case If(condition=condition, yes=yes, no=no):
                return _chosen(self.condition(condition, env), self.condition(yes, env), self.condition(no, env))
        return self._plain_condition(term, env)

    def _plain_condition(self, term: Term, env: Env) -> str:
        match term:
            case Compare():
                return self._comparison(term, env)
            case In():
                return self._membership(term, env)
            case Aggregate(collection="order"):
                return self._quantified(term, env)
            case Aggregate(kind="any" | "all", collection="position" | "working_order"):
                return self._counted(term, env)
            case Field():
                return self._text(term, env)
        raise NotFastError(type(term).__name__)

    def _comparison(self, term: Compare, env: Env) -> str:
        if term.left.unit.kind in NUMERIC:
            return integers.compared(term.op, self.number(term.left, env), self.number(term.right, env))
        left, right = self.text(term.left, env), self.text(term.right, env)
        if _is_word(left) and _is_word(right):
            return str((left == right) == (term.op == "=="))
        return f"({left} {term.op} {right})"

    def _membership(self, term: In, env: Env) -> str:
        if term.item.unit.kind in NUMERIC:
            raise NotFastError("a number is looked for in a set")
        item = self.text(term.item, env)
        if not isinstance(term.container, SetOf):
            return f"({item} in {self.text(term.container, env)})"
        words = [self.text(x, env) for x in term.container.items]
        if _is_word(item) and all(map(_is_word, words)):
            return str(item in words)
        return f"({item} in ({', '.join(words)},))"

    def _quantified(self, term: Aggregate, env: Env) -> str:
        """`any` and `all` over the one order under test."""
        if term.body is None or term.kind not in ("any", "all"):
            raise NotFastError("a count is not a condition")
        inner = env.within("order")
        counts = "True" if term.where is None else self.condition(term.where, inner)
        body = self.condition(term.body, inner)
        return _joined("and", [counts, body]) if term.kind == "any" else _joined("or", [_opposite(counts), body])

    def _counted(self, term: Aggregate, env: Env) -> str:
        """`any` and `all` over holdings or working orders that no fill changes: whether some are counted, or none."""
        body = term.body or Literal(BOOL, True)
        wanted = body if term.kind == "any" else Not(BOOL, body)
        where = wanted if term.where is None else And(BOOL, (term.where, wanted))
        if depends_on_fills(where):
            raise NotFastError("a condition on what fills")
        found = self.total(Aggregate(COUNT, "count", term.collection, None, where, term.owner), env)
        return integers.compared(">" if term.kind == "any" else "==", found, Num("0"))

    # ---- texts and other values that are only compared ---------------------------------------------

    def text(self, term: Term, env: Env) -> str:
        """Source of a text, enumeration value, set, date, time or condition."""
        if isinstance(term, Literal):
            if not isinstance(term.value, str | bool):
                raise NotFastError("a constant that is neither text nor number")
            return repr(term.value)
        where = self._still(term, env)
        if where:
            return self._slot(term, env, None, where)
        if isinstance(term, Key):
            return self._order_text(f"order.{'id' if term.entity == 'order' else term.entity}")
        if isinstance(term, Field):
            return self._text(term, env)
        if isinstance(term, If):
            parts = (self.text(t, env) for t in (term.yes, term.no))
            return _chosen(self.condition(term.condition, env), *parts)
        return self.condition(term, env)

    def _text(self, term: Field, env: Env) -> str:
        place = self.place(term, env)
        if term.name in FILL_NAMES or term.unit.kind in NUMERIC:
            raise NotFastError("a number where a text is read")
        if place in ("T", "S"):
            return self._slot(term, env, None, place)
        return self._order_text(term.name)

    def _order_text(self, name: str) -> str:
        if name in self.known:
            return repr(self.known[name])
        return self.order_texts.setdefault(name, f"t{len(self.order_texts)}")

    # ---- numbers -----------------------------------------------------------------------------------

    def number(self, term: Term, env: Env) -> Num:
        """Source of a number."""
        if isinstance(term, Literal) and isinstance(term.value, Fraction):
            return integers.constant(term.value)
        if isinstance(term, Field):
            return self._amount(term, env)
        where = self._still(term, env)
        if where == "A" or (where and _is_involved(term)):
            return self._still_number(term, env, where)
        match term:
            case Negate(operand=x):
                return integers.negated(self.number(x, env))
            case Absolute(operand=x):
                return integers.absolute(self.number(x, env))
            case Binary():
                return self._arithmetic(term, env)
            case Extreme(which=which, items=items):
                return integers.extreme(which, [self.number(x, env) for x in items])
            case If(condition=condition, yes=yes, no=no):
                return self._choice(self.condition(condition, env), yes, no, env)
            case Aggregate():
                return self._sum(term, env)
        raise NotFastError(type(term).__name__)

    def _sum(self, term: Aggregate, env: Env) -> Num:
        if term.collection == "order":
            return self._over_order(term, env)
        if term.collection in ("position", "working_order"):
            return self.total(term, env)
        raise NotFastError(f"a sum over each {term.collection}")

    def _choice(self, condition: str, yes: Term, no: Term, env: Env) -> Num:
        """Only the branch that counts is written where the condition is certain."""
        if condition in ("True", "False"):
            return self.number(yes if condition == "True" else no, env)
        return integers.choice(condition, self.number(yes, env), self.number(no, env))

    def _arithmetic(self, term: Binary, env: Env) -> Num:
        if term.unit.kind not in NUMERIC or term.left.unit.kind not in NUMERIC:
            raise NotFastError("arithmetic of times")
        left, right = self.number(term.left, env), self.number(term.right, env)
        if term.op == "-":
            return integers.added(left, integers.negated(right))
        return {"+": integers.added, "*": integers.multiplied, "/": integers.divided}[term.op](left, right)

    def _amount(self, term: Field, env: Env) -> Num:
        place = self.place(term, env)
        if term.name in FILL_NAMES:
            code = {"position.after.quantity": env.holding, "order.filled": env.filled}.get(term.name, "")
            if not code:
                raise NotFastError(f"{term.name} stands by itself")
            return Num(code, self.scale_of(term.name))
        if term.name in self.derived:
            return self._still_number(term, env, self._still(term, env))
        self._field_places(term, env)
        scale = self.scale_of(term.name)
        if place == "O":
            return Num(self.order_numbers.setdefault(term.name, f"n{len(self.order_numbers)}"), scale)
        return Num(self._slot(term, env, scale, place), scale)

    def settled(self, term: Term, env: Env, scale: int) -> Num:
        """A number of the account, worked out when facts change, at a multiple of `scale` where that is possible."""
        return self._still_number(term, env, "A", scale)

    def _still_number(self, term: Term, env: Env, where: str, wanted: int = 1) -> Num:
        """A number worked out when facts change: as an integer where its scale is certain, else as a quotient."""
        if not where:
            raise NotFastError("a derived number that orders change")
        scale = lcm(self.static_scale(term, rates=self.rates), wanted)
        code = self._slot(term, env, scale, where)
        if scale:
            return Num(code, scale)
        letter, index = code[0], int(code[2:-1])
        return Num(code, 1, f"{letter}[{index + 1}]")

    def static_scale(self, term: Term, *, rates: bool = False) -> int:
        """The scale that certainly holds the term's values, or 0.

        Exchange rates can be quotients of two rates; with `rates` they are taken to be decimals, to be checked.
        """
        match term:
            case Literal(value=Fraction() as number):
                return number.denominator
            case Field(name=name) if name not in self.derived and term.unit.kind in NUMERIC:
                quotient = name == "instrument.fx" or name.startswith("fx.")
                return 0 if quotient and not rates else self.scale_of(name)
            case Binary(op="*", left=left, right=right):
                return self.static_scale(left, rates=rates) * self.static_scale(right, rates=rates)
            case Binary(op="+" | "-") | Negate() | Absolute() | Extreme():
                return reduce(_common_scale, (self.static_scale(c, rates=rates) for c in term.children()))
            case If(yes=yes, no=no):
                return _common_scale(self.static_scale(yes, rates=rates), self.static_scale(no, rates=rates))
            case Binary(op="/", left=left) if rates:
                return self.static_scale(left, rates=rates) * QUOTIENT
            case Aggregate(kind="count"):
                return 1
        return 0

    def scale_of(self, name: str) -> int:
        """The declared scale of a name as a power of ten."""
        return int(10 ** self.vocabulary.names[name].scale)

    def _over_order(self, term: Aggregate, env: Env) -> Num:
        """`sum` and `count` over the one order under test."""
        inner = env.within("order")
        counts = "True" if term.where is None else self.condition(term.where, inner)
        body = Num("1") if term.kind == "count" or term.body is None else self.number(term.body, inner)
        if term.kind in ("any", "all"):
            raise NotFastError("a condition is not a number")
        return integers.choice(counts, body, Num("0", body.scale, body.den))


def scope_of(term: Aggregate, env: Env, vocabulary: Vocabulary) -> str:
    """Whose members are counted: `all` of the account, those of the `line`, or a group by its instrument field."""
    subject = env.kinds[1] if len(env.kinds) > 1 else "account"
    if term.owner == "account":
        return "all"
    if subject in LINE_KINDS:
        return "line"
    if subject in ("strategy", "pair", CONSTITUENT):
        raise NotFastError(f"members of a {subject}")
    return vocabulary.entities[subject].groups or "all"


def _known_place(entity: str) -> str:
    if entity not in OWN_PLACE or entity in ("order", "position"):
        raise NotFastError(f"a link to {entity}")
    return OWN_PLACE[entity]


def _of_subject(term: Term) -> bool:
    """Whether a term that reads the account only may still need the subject: for its key, or to follow a link."""
    return any(isinstance(n, Key | Aggregate) or (isinstance(n, Field) and bool(n.via)) for n in term.walk())


def _is_involved(term: Term) -> bool:
    """Whether a number of the line is better worked out beforehand: divisions, rates that are no decimals, sums."""
    return any(isinstance(n, Aggregate | If | Extreme) or (isinstance(n, Binary) and n.op == "/") for n in term.walk())


def _common_scale(one: int, other: int) -> int:
    return max(one, other) if one and other and max(one, other) % min(one, other) == 0 else one * other


def _is_word(code: str) -> bool:
    return code[:1] in ("'", '"') or code in ("True", "False")


def _opposite(code: str) -> str:
    return {"True": "False", "False": "True"}.get(code) or f"(not {code})"


def _joined(word: str, codes: Iterable[str]) -> str:
    """`and` / `or`: certain parts are left out or decide."""
    decisive, neutral = ("False", "True") if word == "and" else ("True", "False")
    left: list[Any] = [c for c in codes if c != neutral]
    if decisive in left:
        return decisive
    return f"({f' {word} '.join(left)})" if left else neutral


def _chosen(condition: str, yes: str, no: str) -> str:
    if condition in ("True", "False"):
        return yes if condition == "True" else no
    return f"({yes} if {condition} else {no})"
