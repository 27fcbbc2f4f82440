"""What a fund is made of: the issuers it leads to, with their weights.

In: the section `constituents` of a document, rows `{fund, issuer or symbol, weight}`, and the instruments. Out:
`Constituents`: for each fund the weight of every issuer, funds within funds followed to the end, and the rest that is
not disclosed. Guaranteed: exact; a weight is a share of the fund's value, never below zero, so that what a fund owes
makes no room for another; what the weights leave undisclosed may be anyone's; after events the weights are those of the
instruments as they are then (`Constituents.after`). Refused by SnapshotError: unknown keys, a fund that is none, an
issuer that cannot be told, weights that do not fit, a row given twice, funds in a circle. Where an event makes one of
these of a fund, it is taken, and what is in the fund is not known from then on: rules that ask are undecided.
Before: `literals.py`. After: `snapshot.py`, which reads `constituent.weight` here, and whoever takes events over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from lexorder.engine import literals
from lexorder.engine.errors import SnapshotError, shown
from lexorder.engine.quantity import exact, fits_scale
from lexorder.engine.rule import Facts
from lexorder.engine.units import RATIO

SECTION = "constituents"
KEYS = ("fund", "issuer", "symbol", "weight")
FUND = "fund"
"""The kind of instrument that is looked through."""
WEIGHT_MAX = Fraction(10)
SCALE = 8
"""Decimals of a weight as given; what a fund within a fund makes of them is exact whatever it takes."""
STEPS_MAX = 20
"""A fund in a fund in a fund ... beyond this is refused."""

TOLD = frozenset({"instrument.issuer", "instrument.kind", "instrument.underlying"})
"""Facts of an instrument that say whose it is."""

Instruments = Mapping[str, Facts]
Row = tuple[str, str, Fraction]
"""(`issuer` or `symbol`, name, weight)."""
Rows = Mapping[str, Mapping[tuple[str, str], Fraction]]
"""Weights as given, by fund and by (`issuer` or `symbol`, name)."""
Flat = tuple[dict[str, dict[str, Fraction]], dict[str, Fraction]]
"""Weights by fund and issuer, and by fund the sum of what is told."""


@dataclass(frozen=True, slots=True)
class Constituents:
    """Weights of issuers by fund, and by fund the share of it that nobody has told.

    `rows` are the weights as given, `names` the instruments whose facts decide what they come to.
    """

    weights: Mapping[str, Mapping[str, Fraction]] = field(default_factory=dict)
    rest: Mapping[str, Fraction] = field(default_factory=dict)
    rows: Rows = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def weight(self, fund: str, issuer: str) -> Fraction:
        """The share of a known fund that is, or may be, of an issuer: its weight and all that is not disclosed."""
        return self.weights[fund].get(issuer, Fraction(0)) + self.rest[fund]

    def after(self, symbol: str, changed: Collection[str], instruments: Instruments) -> Constituents:
        """The same once these facts of an instrument are others; itself where that makes no difference."""
        if symbol not in self.names or TOLD.isdisjoint(changed):
            return self
        done: Flat = ({}, {})
        for fund in self.rows:
            with suppress(SnapshotError):
                _flatten(fund, self.rows, instruments, done, ())
        return _resolved(self.rows, instruments, done)

    def to_json(self) -> dict[str, object]:
        """Plain data, exact."""
        return {fund: {issuer: exact(w) for issuer, w in found.items()} for fund, found in self.weights.items()}


def constituents(document: Mapping[str, Any], instruments: Instruments) -> Constituents:
    """The constituents of a document's funds. Raises SnapshotError."""
    rows = document.get(SECTION, [])
    if not isinstance(rows, list | tuple):
        raise SnapshotError("wrong-shape", SECTION, "must be a list")
    by_fund: dict[str, dict[tuple[str, str], Fraction]] = {}
    for n, row in enumerate(rows):
        where = f"{SECTION}[{n}]"
        fund, (kind, name, weight) = _row(row, where, instruments)
        held = by_fund.setdefault(fund, {})
        if (kind, name) in held:
            raise SnapshotError("duplicate-thing", where, f"repeats {shown(name)} of {shown(fund)}")
        held[kind, name] = weight
    done: Flat = ({}, {})
    for fund in by_fund:
        _flatten(fund, by_fund, instruments, done, ())
    return _resolved(by_fund, instruments, done)


def _resolved(rows: Rows, instruments: Instruments, done: Flat) -> Constituents:
    """The funds of which it is known what they come to."""
    flat, told = done
    known = [fund for fund in rows if fund in flat]
    named = {name for held in rows.values() for kind, name in held if kind == "symbol"}
    below = {name for symbol in named for name in _chain(symbol, instruments)}
    rest = {fund: max(Fraction(0), 1 - told[fund]) for fund in known}
    return Constituents({fund: flat[fund] for fund in known}, rest, rows, frozenset({*rows, *below}))


def _row(row: Any, where: str, instruments: Instruments) -> tuple[str, Row]:
    if not isinstance(row, Mapping):
        raise SnapshotError("wrong-shape", where, f"must be an object with {', '.join(KEYS)}")
    for key in row:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise SnapshotError("unknown-name", where, f"{shown(str(key))} is not one of {', '.join(KEYS)}{hint}")
    fund = _text(row, "fund", where)
    if instruments.get(fund, {}).get("instrument.kind") != FUND:
        raise SnapshotError("unknown-thing", f"{where}.fund", f"{shown(fund)} is no instrument of kind `{FUND}`")
    named = [kind for kind in ("issuer", "symbol") if row.get(kind) is not None]
    if len(named) != 1:
        raise SnapshotError("missing-key", where, "needs an `issuer` or a `symbol`, one of the two")
    name = _text(row, named[0], where)
    if named[0] == "symbol" and name not in instruments:
        raise SnapshotError("unknown-thing", f"{where}.symbol", f"{shown(name)} is not among the instruments")
    return fund, (named[0], name, _weight(row, where))


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    written = row.get(key)
    if not isinstance(written, str) or not written:
        raise SnapshotError("missing-key", where, f"has no `{key}`")
    return written


def _weight(row: Mapping[str, Any], where: str) -> Fraction:
    written = row.get("weight")
    found = literals.told(written, RATIO) if isinstance(written, str) else None
    if not isinstance(found, Fraction):
        raise SnapshotError("bad-value", f"{where}.weight", "is not a share written as text, such as `0.05` or `5%`")
    if not 0 <= found <= WEIGHT_MAX:
        raise SnapshotError("out-of-bounds", f"{where}.weight", f"is outside 0 to {exact(WEIGHT_MAX)}")
    if not fits_scale(found, SCALE):
        raise SnapshotError("too-fine", f"{where}.weight", f"has more than {SCALE} decimals")
    return found


def _flatten(
    fund: str,
    rows: Rows,
    instruments: Instruments,
    done: Flat,
    within: tuple[str, ...],
) -> None:
    """Put a fund's issuers and the sum of what is told of it into `done`, those of the funds it holds first."""
    flat, told = done
    if fund in flat:
        return
    if fund in within or len(within) > STEPS_MAX:
        raise SnapshotError("circle", SECTION, f"has {shown(fund)} among what it holds, or too many funds in a row")
    found: dict[str, Fraction] = {}
    total = Fraction(0)
    for (kind, name), weight in rows.get(fund, {}).items():
        inner = name if kind == "issuer" else _looked_through(name, instruments)
        if kind == "symbol" and inner in instruments and instruments[inner].get("instrument.kind") == FUND:
            _flatten(inner, rows, instruments, done, (*within, fund))
            for issuer, part in flat[inner].items():
                found[issuer] = found.get(issuer, Fraction(0)) + weight * part
            total += weight * min(Fraction(1), told[inner])
        else:
            issuer = inner if kind == "issuer" else _issuer(inner, instruments)
            found[issuer] = found.get(issuer, Fraction(0)) + weight
            total += weight
    flat[fund], told[fund] = found, total


def _looked_through(symbol: str, instruments: Instruments) -> str:
    """What a derivative is about in the end, as far as it is here; anything else itself."""
    return [name for name in _chain(symbol, instruments) if name in instruments or name == symbol][-1]


def _chain(symbol: str, instruments: Instruments) -> list[str]:
    """A name, what it is about, what that is about ...; the last may be a name that is not here."""
    found = [symbol]
    for _ in range(STEPS_MAX):
        facts = instruments.get(found[-1], {})
        under = str(facts.get("instrument.underlying", found[-1]))
        if under == found[-1] or facts.get("instrument.kind") == FUND:
            break
        found.append(under)
        if under not in instruments:
            break
    return found


def _issuer(symbol: str, instruments: Instruments) -> str:
    issuer = instruments[symbol].get("instrument.issuer")
    if not isinstance(issuer, str) or not issuer:
        raise SnapshotError("missing-key", SECTION, f"has {shown(symbol)}, whose issuer is not known")
    return issuer


def reached(symbol: str, instruments: Instruments, table: Constituents) -> tuple[str, Collection[str]]:
    """What a holding leads to: the fund that is looked through (else empty), and the issuers told by name.

    No issuer at all means that it is not known: a fund without constituents, an instrument without an issuer.
    """
    base = _looked_through(symbol, instruments)
    facts = instruments.get(base, {})
    if facts.get("instrument.kind") == FUND:
        return base, table.weights.get(base, ())
    issuer = facts.get("instrument.issuer")
    return "", (issuer,) if isinstance(issuer, str) and issuer else ()


def leads(symbol: str, issuer: str, instruments: Instruments, table: Constituents) -> bool:
    """Whether a holding is, or may be, of an issuer in part: false only where it is known that it is not."""
    fund, issuers = reached(symbol, instruments, table)
    return not issuers or issuer in issuers or bool(fund and table.rest[fund])
