"""Messages that rules give: `{issuer} would be {observed:.2%} of NAV`.

In: a template. Out: its parts, or the filled text. Guaranteed: numbers are rounded half up, exactly, for display
only; a name without a value is shown as `?`, since a message must never stop a decision. Refused (RuleFileError,
`bad-message`): unclosed braces, unknown formats; unknown names are refused by `rulefile.py`, which knows them.
Why not Python's format: it reaches attributes, accepts hundreds of formats and goes through floats.
Before: `source.py`, `literals.py`. After: `rulefile.py`, `decide.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from lexorder.engine.codes import refuse
from lexorder.engine.errors import shown
from lexorder.engine.source import Scalar
from lexorder.engine.terms import Value

BUILT_IN = ("observed", "limit", "margin", "max_order")
"""Names any message may use: both sides of the comparison, the room left, the largest order that would pass."""

_FORMAT = re.compile(r",?(\.([0-9])[f%])?\Z")
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


@dataclass(frozen=True, slots=True)
class Slot:
    """`{name:format}` in a template; `offset` is where it starts."""

    name: str
    format: str
    offset: int
    length: int


def slots(template: Scalar) -> tuple[Slot, ...]:
    """The places to fill, in order.

    Raises:
        RuleFileError: `bad-message` for a brace without its pair, an empty name or an unknown format.
    """
    found = []
    for match in _PART.finditer(template.text):
        if match[0] in {"{{", "}}"}:
            continue
        if match[1] is None:
            refuse(
                "bad-message",
                f"this {shown(match[0])} has no pair: write `{{name}}`, or double it to show a brace",
                template.at(match.start()),
            )
        found.append(_slot(match, template))
    return tuple(found)


def _slot(match: re.Match[str], template: Scalar) -> Slot:
    name, _, form = match[1].partition(":")
    span = template.at(match.start(), len(match[0]))
    if not _NAME.match(name):
        refuse("bad-message", f"{shown(match[0])} names nothing: write `{{name}}` or `{{name:format}}`", span)
    if not _FORMAT.match(form):
        refuse(
            "bad-message",
            f"{shown(form)} is not a format: use `,` for thousands, `.2f` for decimals, `.2%` for a percentage, "
            "or both as in `,.2f`",
            span,
        )
    return Slot(name, form, match.start(), len(match[0]))


def fill(template: str, values: Mapping[str, Value | None]) -> str:
    """The text with every slot replaced; unknown ones become `?`. `template` was checked when loaded."""

    def filled(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        name, _, form = match[1].partition(":")
        return formatted(values.get(name), form)

    return _PART.sub(filled, template)


def formatted(value: Value | None, form: str = "") -> str:
    """One value as text. Numbers without a format keep up to six decimals, rounded half up."""
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    if not isinstance(value, Fraction):
        return str(value)
    match = _FORMAT.match(form)
    places = int(match[2]) if match and match[2] else None
    percent = form.endswith("%")
    return _number(value * 100 if percent else value, places, "," in form) + ("%" if percent else "")


def _number(value: Fraction, places: int | None, grouped: bool) -> str:
    """Rounded half up (away from zero), for reading; a decision never uses it."""
    wanted = 6 if places is None else places
    scaled = abs(value) * 10**wanted
    digits = str((scaled.numerator * 2 + scaled.denominator) // (2 * scaled.denominator)).rjust(wanted + 1, "0")
    whole, decimals = digits[: len(digits) - wanted], digits[len(digits) - wanted :]
    if places is None:
        decimals = decimals.rstrip("0")
    shown_whole = f"{int(whole):,}" if grouped else whole
    sign = "-" if value < 0 and int(digits) else ""
    return sign + shown_whole + (f".{decimals}" if decimals else "")
