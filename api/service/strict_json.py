"""JSON from strangers: decoded fast, refused when two readers could understand it differently.

In: the bytes of a body. Out: plain data (dict, list, str, int, bool, None). Guaranteed: no key twice in one object, no
number with a fraction or an exponent (amounts are strings), no integer beyond `DIGITS_MAX` digits, at most `DEPTH_MAX`
levels, valid UTF-8 without lone surrogates, NaN or NUL. Refused by `Problem` 400: `json-malformed`, `json-encoding`,
`json-duplicate-key`, `json-number`, `json-too-deep`. Why counting quotes finds duplicate keys: a text has two quotes
for each string, escaped ones left out; the decoded data has lost a string exactly when a key came twice. That costs a
scan and a walk (see `docs/security.md` for figures), where reading pair by pair costs several times the decoding.
Before: `problems.py`. After: `guard.py`, the hot routes.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

import msgspec

from lexorder.api.service.problems import Problem

DEPTH_MAX: Final = 32
"""Levels of arrays and objects; `[[]]` has two."""

DIGITS_MAX: Final = 40
"""Digits of an integer."""

_LIMIT: Final = 10**DIGITS_MAX
_FLAT: Final = frozenset({str, bool, type(None)})
"""Types of values that need no look: they hold nothing and have no digits."""


def loads(body: bytes) -> Any:
    """The data of a JSON text. Raises Problem 400."""
    data = _decoded(body)
    quotes = body.count(b'"')
    if b"\\" in body:
        quotes -= _escaped_quotes(body)
    if _strings(data, 0) * 2 != quotes:
        raise Problem(400, "json-duplicate-key", "An object has the same key twice.")
    return data


class _Number(Exception):  # noqa: N818
    """A number that is not an integer was read."""


def _no_float(_: str) -> NoReturn:
    raise _Number


_decoder: Final = msgspec.json.Decoder(float_hook=_no_float)


def _decoded(body: bytes) -> Any:
    try:
        return _decoder.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise Problem(400, "json-encoding", "The body is not UTF-8.") from None
    except (msgspec.ValidationError, _Number):
        raise _number() from None
    except msgspec.DecodeError:
        raise Problem(400, "json-malformed", "The body is not one JSON text.") from None


def _escaped_quotes(body: bytes) -> int:
    r"""How many quotes stand behind a backslash that means them: `\"`, but not the one in `\\"`.

    Also refuses an escaped NUL, which some databases cannot hold.
    """
    rest = body.replace(b"\\\\", b"")
    if b"\\u0000" in rest:
        raise Problem(400, "json-encoding", "A text holds a NUL character.")
    return rest.count(b'\\"')


def _strings(data: Any, depth: int) -> int:
    """How many strings the data was written with, keys included; refuses depth and digits on the way."""
    kind = data.__class__
    if kind is dict:
        values = data.values()
        found = len(data)
    elif kind is list:
        values = data
        found = 0
    else:
        return _scalar(data)
    if depth >= DEPTH_MAX:
        raise _too_deep()
    kinds = list(map(type, values))
    if _FLAT.issuperset(kinds):
        return found + kinds.count(str)
    for value in values:
        found += _strings(value, depth + 1)
    return found


def _scalar(value: Any) -> int:
    if value.__class__ is str:
        return 1
    if value.__class__ is int and not -_LIMIT < value < _LIMIT:
        raise _number()
    return 0


def _number() -> Problem:
    return Problem(
        400, "json-number", f"Write amounts as strings; a number is an integer of {DIGITS_MAX} digits at most."
    )


def _too_deep() -> Problem:
    return Problem(400, "json-too-deep", f"At most {DEPTH_MAX} levels of arrays and objects.")
