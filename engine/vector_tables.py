"""The facts of instruments, accounts and traders as columns, kept up to date fact by fact.

In: live facts (any object whose `snapshot` has the tables, changed in place), the vocabulary; then what has changed.
Out: a column for each fact that a formula reads. Guaranteed: a number is the integer of its declared scale, a text its
code, and missing where `snapshot.read` would find nothing, something too old or too finely written; a term that no
formula here can work out is worked out by `evaluate.value` for each thing it depends on, once, until one of its names
changes. Refused: `NotVectorError` for facts that are neither numbers, texts nor truth values, and for terms that depend
on two things. Why by fact: a price tick changes one place of a few columns, whatever the number of accounts.
Before: `vector_code.py`. After: `vector_terms.py`, `vector_pairs.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from lexorder.engine import vector_columns as vc
from lexorder.engine.evaluate import Point, value
from lexorder.engine.judge import Derivations
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.slots import names_read, touches
from lexorder.engine.snapshot import MissingFactError, Projection, Snapshot, Subject, exchange_rate
from lexorder.engine.terms import Term
from lexorder.engine.units import Kind
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_columns import Column

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
UNKNOWN = "\x00"
"""Stands among the strategies for all that are not known: no identifier is spelt so."""
NUMERIC = (Kind.NUMBER, Kind.DURATION)
RATE = "instrument.fx"
ENTITY_LEVEL = {
    "instrument": Level.INSTRUMENT,
    "market": Level.INSTRUMENT,
    "account": Level.ACCOUNT,
    "trader": Level.TRADER,
    "strategy": Level.STRATEGY,
}
KEY_LEVEL = {"order.symbol": Level.INSTRUMENT, "position.symbol": Level.INSTRUMENT, "order.account": Level.ACCOUNT}


class Source(Protocol):
    """Live facts: `live.Live` or the expert's own copy, `expert.live.Live`."""

    snapshot: Snapshot


@dataclass(slots=True)
class Held:
    """One column: what works an element out, the names it reads, and which elements are to be worked out again."""

    work: Callable[[str], Any]
    kind: str
    names: frozenset[str]
    raw: list[Any] = field(default_factory=list)
    dirty: set[int] | None = None
    column: Column | None = None
    last: tuple[list[Any], Column] | None = None
    aged: tuple[Column, vc.Flags, Column] | None = None


@dataclass(slots=True)
class Table:
    """The things of one level, by number. `version` changes with any fact."""

    facts: Mapping[str, Facts]
    unknown: bool = False
    keys: list[str] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)
    columns: dict[tuple[Any, ...], Held] = field(default_factory=dict)
    version: int = 0

    def grow(self) -> None:
        """Number the things that have come since; an unknown strategy reads as one without facts."""
        for key in (UNKNOWN, *self.facts) if self.unknown else self.facts:
            if key not in self.index:
                self.index[key] = len(self.keys)
                self.keys.append(key)
                self.version += 1

    def touch(self, keys: Iterable[str] | None, changed: frozenset[str]) -> None:
        """Some names of some things have changed (None: of any)."""
        numbers = None if keys is None else {self.index[key] for key in keys if key in self.index}
        for held in self.columns.values():
            if touches(held.names, changed):
                held.column = None
                held.dirty = None if numbers is None or held.dirty is None else held.dirty | numbers
        self.version += 1

    def column(self, held: Held) -> Column:
        """The up-to-date column."""
        if held.column is None or len(held.raw) != len(self.keys):
            if held.dirty is None:
                held.raw = [held.work(key) for key in self.keys]
            else:
                for number in held.dirty:
                    if number < len(held.raw):
                        held.raw[number] = held.work(self.keys[number])
                held.raw += [held.work(key) for key in self.keys[len(held.raw) :]]
            held.dirty = set()
            held.column = self._same(held)
        return held.column

    @staticmethod
    def _same(held: Held) -> Column:
        """A new column, or the one there was where nothing is different."""
        if held.last is None or held.last[0] != held.raw:
            held.last = (list(held.raw), made(held.kind, held.raw))
        return held.last[1]


def made(kind: str, raw: list[Any]) -> Column:
    """A column of numbers (`n`), truth values (`t`) or word codes (`w`); None is missing."""
    if kind == "n":
        return vc.from_integers(raw)
    missing = np.array([v is None for v in raw], dtype=np.bool_)
    mask = missing if missing.any() else None
    if kind == "t":
        return vc.Truths(np.array([bool(v) for v in raw], dtype=np.bool_), mask)
    return vc.Words(np.array([0 if v is None else v for v in raw], dtype=np.int64), mask)


def integer_of(found: object, scale: int) -> int | None:
    """A number as an integer of `1/scale` units; None when it is finer or no number."""
    if not isinstance(found, Fraction) or scale % found.denominator:
        return None
    return found.numerator * (scale // found.denominator)


class Tables:
    """The columns of all things of one copy of the facts. `amounts` has, by name, those of orders read before."""

    def __init__(self, live: Source, vocabulary: Vocabulary, derived: Derivations) -> None:
        self.live = live
        self.vocabulary = vocabulary
        self.derived = derived
        self.words: dict[str, int] = {}
        self.amounts: dict[str, dict[str, int]] = {}
        self._key_words: dict[Level, dict[str, int]] = {}
        self.began_with = self.currencies
        self.single_version = 0
        self._single: dict[tuple[Any, ...], Held] = {}
        self._was_old: dict[str, vc.Flags] = {}
        snapshot = live.snapshot
        self.tables = {
            Level.INSTRUMENT: Table(snapshot.instruments),
            Level.ACCOUNT: Table(snapshot.accounts),
            Level.TRADER: Table(snapshot.traders),
            Level.STRATEGY: Table(snapshot.strategies, unknown=True),
        }
        self.grow()

    def grow(self) -> None:
        """Number things that have come since."""
        for table in self.tables.values():
            table.grow()

    @property
    def currencies(self) -> frozenset[object]:
        """The moneys in which accounts count now."""
        return frozenset(facts.get("account.currency") for facts in self.live.snapshot.accounts.values())

    @property
    def one_currency(self) -> bool:
        """Whether all accounts count in the same money: a rate then depends on the instrument alone."""
        return len(self.currencies) <= 1

    def word(self, text: str) -> int:
        """The code of a text."""
        return self.words.setdefault(text, len(self.words))

    def key_words(self, level: Level) -> Mapping[str, int]:
        """The codes of the keys of a level."""
        known, index = self._key_words.get(level), self.tables[level].index
        if known is None or len(known) != len(index):
            known = self._key_words[level] = {key: self.word(key) for key in index}
        return known

    # ---- what has changed ----------------------------------------------------------------------------

    def touch(self, level: Level, key: str, changed: frozenset[str]) -> None:
        """Facts of one thing have changed."""
        self.tables[level].grow()
        self.tables[level].touch([key], changed)

    def touch_single(self, changed: frozenset[str]) -> None:
        """Facts there is one of have changed: of the clock, the session, the firm, the lists, the rates."""
        self.single_version += 1
        for held in self._single.values():
            if touches(held.names, changed):
                held.column = None
        for table in self.tables.values():
            table.touch(None, changed)

    # ---- reading -------------------------------------------------------------------------------------

    def stamp(self, level: Level) -> object:
        """Changes whenever a fact of this level has; all may read facts there is one of."""
        table = self.tables.get(level)
        return (self.single_version, table.version, len(table.keys)) if table else self.single_version

    def read(self, level: Level, what: tuple[Any, ...]) -> Column:
        """The column of a fact (`fact`, name), a key, a rate, or a term worked out (`worked`, term, kinds, part)."""
        if level is Level.ONCE:
            if what not in self._single:
                self._single[what] = self._held(level, what)
            return self._alone(self._single[what])
        table = self.tables[level]
        if what not in table.columns:
            table.columns[what] = self._held(level, what)
        held = table.columns[what]
        column = table.column(held)
        return self._aged(table, what, held, column) if what[0] == "fact" else column

    @staticmethod
    def _alone(held: Held) -> Column:
        """The one value of a fact there is one of; the column there was where it is no other."""
        if held.column is None:
            raw = [held.work("")]
            if held.last is None or held.last[0] != raw:
                held.last = (raw, _one(made(held.kind, raw)))
            held.column = held.last[1]
        return held.column

    def _held(self, level: Level, what: tuple[Any, ...]) -> Held:
        match what:
            case ("fact", name):
                declared = self.vocabulary.names[name]
                if level is Level.ONCE and declared.max_age is not None:
                    raise NotVectorError(f"{name} ages")
                return self._of_fact(declared, lambda key: facts_of(self, level, key))
            case ("key",):
                return Held(self.word, "w", frozenset())
            case ("rate",):
                return Held(self._rate, "n", frozenset({RATE, "instrument.currency", "account.currency", "fx.*"}))
            case ("worked", term, kinds, part):
                return self._worked(level, term, kinds, part)
        raise NotVectorError(f"nothing is known of {what[0]}")

    def _of_fact(self, declared: Name, facts: Callable[[str], Facts]) -> Held:
        name, default, kind = declared.name, declared.default, declared.unit.kind
        names = frozenset({name, declared.as_of} if declared.as_of else {name})
        scale = int(10**declared.scale)

        def given(key: str) -> Any:
            found = facts(key).get(name)
            return default if found is None else found

        if kind in NUMERIC:
            return Held(lambda key: integer_of(given(key), scale), "n", names)
        if kind is Kind.BOOL:
            return Held(given, "t", names)
        if kind in (Kind.TEXT, Kind.ENUM):
            return Held(lambda key: self._code(given(key)), "w", names)
        raise NotVectorError(f"{name} is neither number, text nor truth value")

    def _code(self, text: Any) -> int | None:
        return None if text is None else self.word(str(text))

    def _rate(self, symbol: str) -> int | None:
        """The exchange rate of an instrument's money, where all accounts count in one."""
        snapshot = self.live.snapshot
        facts = snapshot.instruments.get(symbol, {})
        given = facts.get(RATE)
        account = next(iter(snapshot.accounts), "")
        if given is None:
            given = exchange_rate(self.projection(account), str(facts.get("instrument.currency", "")))
        return integer_of(given, int(10 ** self.vocabulary.names[RATE].scale))

    # ---- age -----------------------------------------------------------------------------------------

    def _aged(self, table: Table, what: tuple[Any, ...], held: Held, column: Column) -> Column:
        """The same with facts that are older than their age limit missing."""
        declared = self.vocabulary.names[what[1]]
        if declared.max_age is None or not declared.as_of:
            return column
        old = self._old(table, declared)
        if not old.any():
            return column
        if held.aged is None or held.aged[0] is not column or not np.array_equal(held.aged[1], old):
            held.aged = (column, old, vc.lacking(column, old))
        return held.aged[2]

    def _old(self, table: Table, declared: Name) -> vc.Flags:
        """Which facts are older than their age limit."""
        what = ("time", declared.as_of)
        if what not in table.columns:
            table.columns[what] = Held(
                lambda key: _moment(table.facts.get(key, {}).get(declared.as_of)), "w", frozenset({declared.as_of})
            )
        times = table.column(table.columns[what])
        age = (self.live.snapshot.time - EPOCH) // MICROSECOND - times.data
        old: vc.Flags = age > int((declared.max_age or 0) * 10**6)
        return old if times.missing is None else old & ~times.missing

    def turned(self) -> set[str]:
        """The instruments of which a fact has become too old, or fresh again, since the last call."""
        table, found = self.tables[Level.INSTRUMENT], set[str]()
        for what in [w for w in table.columns if w[0] == "fact"]:
            declared = self.vocabulary.names[what[1]]
            if declared.max_age is not None and declared.as_of:
                old = self._old(table, declared)
                before = self._was_old.get(what[1])
                if before is None or len(before) != len(old):
                    found.update(table.keys)
                else:
                    found.update(table.keys[n] for n in np.nonzero(old != before)[0])
                self._was_old[what[1]] = old
        return found

    # ---- terms worked out one by one -----------------------------------------------------------------

    def level_of(self, term: Term) -> Level:
        """What a term that is worked out one by one depends on. Raises NotVectorError for two things."""
        found: set[Level] = set()
        for name in names_read(term, self.vocabulary, self.derived):
            entity = name.split(".", 1)[0]
            level = KEY_LEVEL.get(name) or ENTITY_LEVEL.get(entity)
            if name == "account.currency" or entity == "fx":
                level = None if self.one_currency else Level.ACCOUNT
            elif level is None and not self.vocabulary.entities[entity].single:
                raise NotVectorError(f"{name} is worked out neither for an account nor for an instrument")
            if level is not None:
                found.add(level)
        if len(found) > 1:
            raise NotVectorError("it is worked out for an account and an instrument together")
        return found.pop() if found else Level.ONCE

    def _worked(self, level: Level, term: Term, kinds: tuple[str, ...], part: str) -> Held:
        """A term by the reference meaning; `part` is `whole`, or numerator or denominator of a number."""
        names = names_read(term, self.vocabulary, self.derived)

        def work(key: str) -> Any:
            try:
                found: Any = value(term, self.point(level, key, kinds))
            except (MissingFactError, StopIteration):
                return None
            if isinstance(found, Fraction):
                return found.numerator if part == "numerator" else found.denominator
            return self.word(found) if isinstance(found, str) else found

        if part != "whole":
            return Held(work, "n", names)
        if term.unit.kind is Kind.BOOL:
            return Held(work, "t", names)
        if term.unit.kind in (Kind.TEXT, Kind.ENUM):
            return Held(work, "w", names)
        raise NotVectorError(f"a {term.unit.describe()} is neither text nor truth value")

    def projection(self, account: str) -> Projection:
        """The facts seen from an account without orders."""
        return Projection(self.live.snapshot, self.vocabulary, account, (), (), {})

    def point(self, level: Level, key: str, kinds: tuple[str, ...], owner: str = "") -> Point:
        """A place to read a term for one thing, with the entities of `kinds` bound; of account `owner`, or of any."""
        snapshot = self.live.snapshot
        account = key if level is Level.ACCOUNT else owner or next(iter(snapshot.accounts), "")
        symbol = key if level is Level.INSTRUMENT else ""
        seen = self.projection(account)
        outer = Subject("account", account, snapshot.accounts.get(account, {}))
        inner = (self._subject(kind, seen, symbol, key) for kind in kinds if kind != "account")
        return Point(seen, (outer, *inner), {}, self.derived)

    def _subject(self, kind: str, seen: Projection, symbol: str, key: str) -> Subject:
        """The subject of a kind for one thing: itself, its group, or an order of which no more is known."""
        if kind in ("order", "position", "working_order"):
            return Subject(kind, symbol, {f"{kind}.symbol": symbol, f"{kind}.account": seen.account})
        if kind in ("trader", "strategy"):
            return Subject(kind, key, seen.snapshot.records(kind, key) or {})
        facts = seen.snapshot.instruments.get(symbol, {})
        groups = seen.vocabulary.entities[kind].groups
        return Subject(kind, str(facts.get(groups) or "")) if groups else Subject(kind, symbol, facts)


def facts_of(tables: Tables, level: Level, key: str) -> Facts:
    """The facts of one thing, as they are now."""
    return tables.live.snapshot.single if level is Level.ONCE else tables.tables[level].facts.get(key, {})


def _moment(taken: object) -> int | None:
    """A time in microseconds."""
    return (taken - EPOCH) // MICROSECOND if isinstance(taken, datetime) else None


def _one(column: Column) -> Column:
    """A column of one element as the value that stands for all."""
    if isinstance(column.data, np.ndarray):
        data = column.data[0].item()
        if isinstance(column, vc.Numbers):
            return vc.Numbers(data, column.factor, column.low, column.high, column.missing)
        return type(column)(data, column.missing)
    return column
