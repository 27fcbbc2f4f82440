"""Orders as columns: read in bulk where they are written plainly, told apart where they are not.

In: for each `order.*` name a sequence of texts (or truth values), as JSON brings them, or orders as typed facts. Out:
`Asked`: a column of each name and a mask of the orders that may be judged in bulk. Guaranteed: where the mask holds
`facts.load_order` would accept the order and find the same facts; whatever is written otherwise (`1_000`, `5%`, a sign,
too many decimals, out of bounds, an unknown word, an identifier that is not canonical) is left to it, with its errors.
Refused: nothing. Why bytes and not one `Fraction` each: that alone would cost more than the whole budget of an order.
Before: `vector_columns.py`. After: `vector.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import repeat
from types import NoneType
from typing import Any

import numpy as np

from lexorder.engine import vector_columns as vc
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.symbols import is_canonical
from lexorder.engine.units import Kind
from lexorder.engine.vector_columns import Column, Flags, Ints
from lexorder.engine.vector_tables import ENTITY_LEVEL, NUMERIC, Tables, integer_of

DIGITS_MAX = 18
"""Characters of a number read in bulk; longer ones are left to the border."""
REMEMBERED_MAX = 100_000
"""Texts of one name's amounts whose integers are remembered."""
_IDENTIFIERS = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._/:#@^=+-]{0,63}\n)*")
_PRICED = ("limit", "stop_limit")
_STRANGE, _ABSENT = -1, -2
"""The codes of a word that is not known, and of none."""


@dataclass(slots=True)
class Asked:
    """Orders as columns. `plain` says which may be judged in bulk; `texts` has the keys and words as they came."""

    size: int
    plain: Flags
    columns: dict[str, Column] = field(default_factory=dict)
    texts: dict[str, Sequence[Any]] = field(default_factory=dict)

    def column(self, name: str, tables: Tables) -> Column:
        """One of the columns; those of keys are made when a formula reads them."""
        if name not in self.columns:
            default = tables.vocabulary.names[name].default
            level = ENTITY_LEVEL["instrument" if name == "order.symbol" else name.split(".")[1]]
            texts = self.texts.get(name, [None] * self.size)
            if default is not None:
                texts = [default if t is None else t for t in texts]
            data = looked_up(tables.key_words(level), texts, _STRANGE)
            strange = data == _STRANGE
            self.columns[name] = vc.Words(data, strange if strange.any() else None)
        return self.columns[name]

    def doubt(self, where: Flags) -> None:
        """These are not to be judged in bulk."""
        self.plain &= ~where


def asked_of(given: Mapping[str, Sequence[Any]], tables: Tables) -> Asked:
    """Orders from columns of texts by short name (`id`, `quantity`, …); None or an absent column: not given."""
    size = len(given["id"])
    asked = Asked(size, np.ones(size, dtype=np.bool_))
    vocabulary = tables.vocabulary
    for short, values in given.items():
        declared = vocabulary.name(f"order.{short}")
        if declared is None or declared.means is not None or declared.supplied_by == "engine" or len(values) != size:
            asked.plain[:] = False  # the border says what is wrong
            return asked
        _read(declared, values, asked, tables)
    _complete(asked, vocabulary, tables)
    return asked


def _read(declared: Name, values: Sequence[Any], asked: Asked, tables: Tables) -> None:
    kind = declared.unit.kind
    if kind is Kind.TEXT:
        _keep(declared.name, values, asked)
        return
    absent = _absent(values)
    if kind is Kind.NUMBER:
        asked.columns[declared.name] = _numbers(declared, values, absent, asked, tables)
    elif kind is Kind.ENUM:
        asked.columns[declared.name] = _words(declared, values, asked, tables)
    elif kind is Kind.BOOL:
        asked.columns[declared.name] = _truths(declared, values, asked)
    else:
        asked.doubt(~absent)


def _keep(name: str, values: Sequence[Any], asked: Asked) -> None:
    """Texts as they are; anything else than a text is doubtful."""
    asked.texts[name] = values
    if not written(values) and not set(map(type, values)) <= {str, NoneType}:
        asked.doubt(np.array([v is not None and not isinstance(v, str) for v in values], dtype=np.bool_))


def written(values: Sequence[Any]) -> bool:
    """Whether all are texts; joining them asks each, at the speed of C."""
    try:
        "".join(values)
    except TypeError:
        return False
    return True


def looked_up(codes: Mapping[Any, int], values: Sequence[Any], other: int) -> Ints:
    """The code of each value, `other` for those that have none."""
    try:
        return np.fromiter(map(codes.get, values, repeat(other)), dtype=np.int64, count=len(values))
    except TypeError:  # something that cannot be a key at all
        return np.array([codes.get(v, other) if isinstance(v, str | None) else other for v in values], dtype=np.int64)


def _absent(values: Sequence[Any]) -> Flags:
    """Where nothing is given."""
    if written(values) or None not in values:
        return np.zeros(len(values), dtype=np.bool_)
    return np.array([v is None for v in values], dtype=np.bool_)


def _complete(asked: Asked, vocabulary: Vocabulary, tables: Tables) -> None:
    """The vocabulary's defaults for names that were not given at all; a limit order needs its price."""
    for declared in vocabulary.of_entity("order"):
        if declared.name not in asked.columns and declared.name not in asked.texts:
            asked.columns[declared.name] = default_of(declared, asked.size, tables)
    price, kind = asked.columns["order.price"], asked.columns["order.ord_type"]
    if price.missing is not None:
        priced = np.zeros(asked.size, dtype=np.bool_)
        for word in _PRICED:
            priced |= np.asarray(kind.data) == tables.word(word)
        asked.doubt(priced & price.missing)
    for name in ("order.quantity", "order.side"):
        missing = asked.columns[name].missing
        if missing is not None:
            asked.doubt(np.broadcast_to(missing, (asked.size,)))


def default_of(declared: Name, size: int, tables: Tables) -> Column:
    """A column of the vocabulary's default, or of nothing."""
    default, kind = declared.default, declared.unit.kind
    nothing = np.ones(size, dtype=np.bool_) if default is None else None
    if kind in NUMERIC:
        whole = integer_of(default, int(10**declared.scale)) if default is not None else 0
        constant = vc.constant(whole or 0)
        return vc.Numbers(constant.data, constant.factor, constant.low, constant.high, nothing)
    if kind is Kind.BOOL:
        return vc.Truths(bool(default), nothing)
    return vc.Words(0 if default is None else tables.word(str(default)), nothing)


# ---- numbers ---------------------------------------------------------------------------------------------


def _numbers(declared: Name, values: Sequence[Any], absent: Flags, asked: Asked, tables: Tables) -> Column:
    """Decimals as integers of the declared scale; what is not written plainly is doubtful."""
    known = tables.amounts.setdefault(declared.name, {})
    data = looked_up(known, values, _STRANGE)
    places = np.nonzero((data == _STRANGE) & ~absent)[0]
    if len(places):
        texts = [values[place] for place in places.tolist()]
        found, good = amounts(declared, texts)
        data[places] = found
        asked.plain[places[~good]] = False
        _remember(known, {text: n for text, n, ok in zip(texts, found.tolist(), good.tolist(), strict=True) if ok})
    default = declared.default
    if not absent.any():
        return vc.numbers(data)
    data[absent] = 0 if default is None else integer_of(default, 10**declared.scale) or 0
    return vc.numbers(data, 1, absent if default is None else None)


def _remember(known: dict[str, int], found: dict[str, int]) -> None:
    """Keep what was read, within a bound: hostile input cannot fill the memory."""
    if len(known) + len(found) > REMEMBERED_MAX:
        known.clear()
    known.update(found)


def amounts(declared: Name, texts: Sequence[Any]) -> tuple[Ints, Flags]:
    """Plain decimals as integers of the declared scale, 0 where a text is none within the declared bounds."""
    scale = declared.scale
    data, good = decimals(texts, scale)
    if declared.minimum is not None:
        good &= data >= -(-(declared.minimum * 10**scale) // 1)
    if declared.maximum is not None:
        good &= data <= (declared.maximum * 10**scale) // 1
    return np.where(good, data, 0), good


def decimals(values: Sequence[Any], scale: int) -> tuple[Ints, Flags]:
    """Plain decimals (`12`, `0.05`; no sign, at most `scale` decimals) as integers of 10^-scale, and which are such."""
    try:
        if "".join(values).isascii():
            return _parsed(values, scale)
    except TypeError:
        pass  # an integer, or something that is no number at all
    good = np.array([isinstance(v, str) and v.isascii() for v in values], dtype=np.bool_)
    data, read = _parsed([v if ok else "" for v, ok in zip(values, good.tolist(), strict=True)], scale)
    return data, read & good


def _parsed(texts: Sequence[str], scale: int) -> tuple[Ints, Flags]:
    """Digit by digit, all texts at once. Bytes that are neither digits nor one point make a text doubtful."""
    size = len(texts)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=size)
    good = (lengths > 0) & (lengths <= DIGITS_MAX)
    if not good.all():
        texts = [t if ok else "0" for t, ok in zip(texts, good.tolist(), strict=True)]
        lengths = np.where(good, lengths, 1)
    width = int(lengths.max()) if size else 0
    table = np.array(texts, dtype=f"S{width or 1}").view(np.uint8).reshape(size, width or 1)
    found = np.zeros(size, dtype=np.int64)
    places = np.zeros(size, dtype=np.int64)
    pointed = np.zeros(size, dtype=np.bool_)
    for place in range(width):
        byte = table[:, place]
        inside = place < lengths
        digit = inside & (byte >= ord("0")) & (byte <= ord("9"))
        point = inside & (byte == ord("."))
        good &= ~inside | digit | (point & ~pointed)
        found = np.where(digit, found * 10 + (byte.astype(np.int64) - ord("0")), found)
        places += digit & pointed
        pointed |= point
    first, second, last = table[:, 0], table[:, min(1, width - 1)], table[np.arange(size), lengths - 1]
    good &= (first != ord(".")) & (last != ord("."))
    good &= (first != ord("0")) | (lengths == 1) | (second == ord("."))
    good &= places <= scale
    power = np.array([10**n for n in range(scale + 1)], dtype=np.int64)
    shift = np.clip(scale - places, 0, scale)
    wide = found > vc.INT64 // power[shift]
    good &= ~wide
    return np.where(good, found, 0) * power[shift], good


# ---- words and truth values --------------------------------------------------------------------------------


def _words(declared: Name, values: Sequence[Any], asked: Asked, tables: Tables) -> Column:
    """Codes of enumeration words; unknown ones are doubtful."""
    default = None if declared.default is None else tables.word(str(declared.default))
    codes: dict[Any, int] = {None: _ABSENT, **{word: tables.word(word) for word in declared.unit.values}}
    data = looked_up(codes, values, _STRANGE)
    asked.doubt(data == _STRANGE)
    absent = data == _ABSENT
    if not absent.any():
        return vc.Words(data)
    if default is None:
        return vc.Words(data, absent)
    data[absent] = default
    return vc.Words(data)


def _truths(declared: Name, values: Sequence[Any], asked: Asked) -> Column:
    """Truth values; texts are left to the border."""
    found = np.array([int(v) if isinstance(v, bool) else -2 if v is None else -1 for v in values], dtype=np.int64)
    asked.doubt(found == -1)
    absent = found == -2
    if declared.default is None:
        return vc.Truths(found == 1, absent if absent.any() else None)
    return vc.Truths(np.where(absent, bool(declared.default), found == 1))


def canonical(identifiers: Sequence[Any]) -> Flags:
    """Which identifiers are canonical, all at once where they are."""
    try:
        joined = "\n".join([*identifiers, ""])
    except TypeError:
        joined = "\n"
    if joined.count("\n") == len(identifiers) and _IDENTIFIERS.fullmatch(joined):
        return np.ones(len(identifiers), dtype=np.bool_)
    return np.array([isinstance(i, str) and is_canonical(i) for i in identifiers], dtype=np.bool_)


# ---- orders as typed facts -----------------------------------------------------------------------------------


def asked_of_facts(orders: Sequence[Facts], tables: Tables) -> Asked:
    """Orders from typed facts, as `load_order` gives them; a name of another scale or kind makes an order doubtful."""
    asked = Asked(len(orders), np.ones(len(orders), dtype=np.bool_))
    for declared in tables.vocabulary.of_entity("order"):
        name, kind = declared.name, declared.unit.kind
        values = [order.get(name) for order in orders]
        if kind is Kind.TEXT:
            _keep(name, values, asked)
            continue
        absent = _absent(values)
        if kind in NUMERIC:
            asked.columns[name] = _of_fractions(declared, values, absent, asked)
        elif absent.all():
            asked.columns[name] = default_of(declared, asked.size, tables)
        elif kind is Kind.ENUM:
            asked.columns[name] = _words(declared, values, asked, tables)
        elif kind is Kind.BOOL:
            asked.columns[name] = _truths(declared, values, asked)
        else:
            asked.doubt(~absent)
    return asked


def _of_fractions(declared: Name, values: Sequence[Any], absent: Flags, asked: Asked) -> Column:
    scale = int(10**declared.scale)
    default = declared.default
    if absent.all() and default is None:
        return vc.all_missing(asked.size)
    whole = [integer_of(default if v is None else v, scale) if isinstance(v, Fraction | None) else None for v in values]
    asked.doubt(np.array([w is None for w in whole], dtype=np.bool_) & ~absent)
    return vc.from_integers(whole)
