"""Canonical identifiers: the one spelling a symbol, account or order identifier may have.

In: text. Out: yes or no. Guaranteed: two canonical identifiers that look alike are equal: ASCII letters, digits and
`. - _ / : # @ ^ = +`, no blanks, at most 64 characters. Refused: everything else, by the caller's error: a
lower-case or full-width `GME` would otherwise slip past a restricted list. Symbols of instruments have no
lower-case letters. Before: nothing. After: `facts.py`.
"""

from __future__ import annotations

import re

_CANONICAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:#@^=+-]{0,63}")


def is_canonical(text: str) -> bool:
    """Whether `text` is a canonical identifier."""
    return _CANONICAL.fullmatch(text) is not None


def is_symbol(text: str) -> bool:
    """Whether `text` is a canonical instrument symbol: an identifier without lower-case letters."""
    return is_canonical(text) and text == text.upper()
