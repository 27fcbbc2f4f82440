"""What an author probably meant, when an expression does not parse.

In: the text and Lark's complaint. Out: a code, a message in plain words, and the place to point at. Guaranteed:
never raises; always says what was expected or what to write instead. Why apart from `parse.py`: these are words,
to be read and improved by people who write rules, and change without touching the grammar.
Before: `literals.py`. After: `parse.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from lark import UnexpectedInput, UnexpectedToken

from lexorder.engine.codes import nearest_name
from lexorder.engine.currencies import CURRENCIES, MAJOR
from lexorder.engine.errors import shown
from lexorder.engine.literals import decimal_text

KEYWORDS = frozenset({"and", "or", "not", "in", "if", "then", "else", "where", "true", "false"})
"""Words with a meaning of their own; no name may be one of them."""

VALUE_WANTED = "a value such as a name, a number or `(`"
OPERATOR_WANTED = "an operator such as `+`, `<=`, `==`, `and`, or the end"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A worded complaint; `offset` and `length` are in characters of the expression."""

    code: str
    message: str
    offset: int
    length: int = 1


def explain(text: str, error: UnexpectedInput) -> Mistake:
    """The most helpful complaint about the place where parsing stopped."""
    offset = _offset(text, error)
    found = (
        _known_spelling(text, offset)
        or _unclosed_text(text, offset)
        or _chained(text, offset)
        or _foreign_word(text, offset)
        or _missing_branch(text, offset, error)
        or _unclosed(text, offset)
        or _broken_number(text, offset)
    )
    return found or _generic(text, offset)


def _offset(text: str, error: UnexpectedInput) -> int:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return len(text)
    return getattr(error, "pos_in_stream", None) or 0


def _instead(word: str, meant: str) -> str:
    return f"{shown(word)} is not an operator here: write `{meant}`"


_SPELLINGS: tuple[tuple[str, str, str], ...] = (
    (r"&&?", "wrong-operator", _instead("&&", "and")),
    (r"\|\|?", "wrong-operator", _instead("||", "or")),
    (r"!(?!=)", "wrong-operator", _instead("!", "not")),
    (r"===", "wrong-operator", _instead("===", "==")),
    (r"=>", "wrong-operator", _instead("=>", ">=")),
    (r"=<", "wrong-operator", _instead("=<", "<=")),
    (r"=(?!=)", "wrong-operator", "`=` is not a comparison: write `==` to ask whether two values are equal"),
    (r":=", "wrong-operator", "values are not assigned here: give the name under `let`"),
    ("≤", "wrong-operator", _instead("≤", "<=")),
    ("≥", "wrong-operator", _instead("≥", ">=")),
    ("≠", "wrong-operator", _instead("≠", "!=")),
    ("[×·]", "wrong-operator", _instead("×", "*")),
    ("÷", "wrong-operator", _instead("÷", "/")),
    ("[−–—]", "wrong-operator", "this is a typographic dash: write the minus sign `-`"),
    (r"\*\*|\^", "wrong-operator", "there are no powers: multiply the value by itself"),
    (
        r"\?",
        "wrong-operator",
        "`?` does not choose between values: write `if … then … else …`",
    ),
    ("[“”„«»]", "bad-text", 'this is a typographic quotation mark: write `"`'),
    ("'", "bad-text", 'a text stands in double quotes: write `"…"`'),
    (r"[$€£¥]", "bad-number", "a currency sign is not understood: write the code after the amount, `25_000 USD`"),
    (r"\[", "syntax", "a set is written in braces: `{buy, sell}`"),
    (r"\]", "syntax", "a set is written in braces: `{buy, sell}`"),
    (r";", "syntax", "`;` has no meaning here: join conditions with `and`, or write another rule"),
    (r"#", "syntax", "`#` has no meaning inside an expression: put comments on lines of their own"),
    (r"%", "wrong-operator", "there is no remainder operator: `%` stands only after a number, `5%`"),
)
"""A pattern at the place of the error → code and advice."""


def _known_spelling(text: str, offset: int) -> Mistake | None:
    if text[max(offset - 1, 0) : offset + 1] == "<>":
        return Mistake("wrong-operator", _instead("<>", "!="), offset - 1, 2)
    if text[max(offset - 2, 0) : offset + 1] == "===":
        return Mistake("wrong-operator", _instead("===", "=="), offset - 2, 3)
    for pattern, code, message in _SPELLINGS:
        match = re.match(pattern, text[offset:])
        if match:
            return Mistake(code, message, offset, len(match[0]))
    doubled = re.match(r"\*|/", text[offset:])
    if doubled and text[offset - 1 : offset] == "*":
        return Mistake("wrong-operator", "there are no powers: multiply the value by itself", offset - 1, 2)
    return None


def _unclosed_text(text: str, offset: int) -> Mistake | None:
    if not text[offset:].startswith('"') or re.match(r'"(\\.|[^"\\])*"', text[offset:]):
        return None
    message = 'the text that starts here is not closed: add `"` at its end'
    return Mistake("unclosed", message, offset)


_COMPARISONS = re.compile(r"==|!=|<=|>=|<|>")


def _chained(text: str, offset: int) -> Mistake | None:
    match = _COMPARISONS.match(text[offset:])
    if not match or not _after_value(text, offset):
        return None
    message = f"a second comparison {shown(match[0])} in a row: compare twice and join with `and`, `a < b and b < c`"
    return Mistake("chained-comparison", message, offset, len(match[0]))


def _missing_branch(text: str, offset: int, error: UnexpectedInput) -> Mistake | None:
    expected = set(getattr(error, "accepts", None) or getattr(error, "expected", None) or ())
    word = _word(text, offset)
    for keyword, advice in (
        ("_THEN", "an `if` needs `then`: write `if … then … else …`"),
        ("_ELSE", "an `if` needs both branches: write `if … then … else …`"),
    ):
        # Only when the keyword is the way on: an operator would also be accepted, but a bare value or
        # the end of the text shows that the author thought this part finished.
        if keyword in expected and (offset >= len(text) or word or text[offset] in "),}"):
            return Mistake("syntax", advice, offset, max(len(word), 1))
    return None


def _unclosed(text: str, offset: int) -> Mistake | None:
    opened = _open_brackets(text[:offset])
    if offset >= len(text) and opened and _after_value(text, offset):
        at = opened[-1]
        return Mistake("unclosed", f"the {shown(text[at])} that opens here is not closed", at)
    if text[offset : offset + 1] in {")", "}"} and not opened:
        return Mistake("unclosed", f"this {shown(text[offset])} closes nothing: remove it", offset)
    return None


def _open_brackets(text: str) -> list[int]:
    opened: list[int] = []
    blanked = re.sub(r'"(\\.|[^"\\])*"', lambda m: " " * len(m[0]), text)
    for at, char in enumerate(blanked):
        if char in "({":
            opened.append(at)
        elif char in ")}" and opened:
            opened.pop()
    return opened


_FOREIGN = {
    "is": "`is` is not an operator: write `==`",
    "equals": "`equals` is not an operator: write `==`",
    "between": "`between` is not an operator: write `x >= a and x <= b`",
    "contains": "`contains` is not an operator: write `x in set`, with the set on the right",
    "has": "`has` is not an operator: write `x in set`, with the set on the right",
    "like": "`like` is not an operator: compare with `==`, or use `in` with a set",
    "xor": "`xor` is not an operator: write `(a and not b) or (b and not a)`",
    "unless": "`unless` is not an operator: write `not`",
    "of": "`of` is not an operator: write `5% * account.nav` for 5% of it",
    "times": "`times` is not an operator: write `*`",
    "mod": "there is no remainder operator",
    "for": "there are no loops: write `sum(… where …)`, `any(…)` or `all(…)`",
    "from": "the collection is found by itself: write `sum(x where …)`",
    "over": "the collection is found by itself: write `sum(x where …)`",
    "elif": "write `else if …`",
    "elseif": "write `else if …`",
    "when": "inside an expression the condition of an `if` ends with `then`, and a filter is `where`",
}


def _foreign_word(text: str, offset: int) -> Mistake | None:
    """Words of other languages, and keywords in capitals."""
    word = _word(text, offset)
    lower = word.lower()
    if not word or not _after_value(text, offset):
        return None
    if lower in KEYWORDS and word != lower:
        message = f"{shown(word)} is written in lower case: `{lower}`"
        return Mistake("wrong-operator", message, offset, len(word))
    if lower in _FOREIGN:
        return Mistake("wrong-operator", _FOREIGN[lower], offset, len(word))
    return None


def _broken_number(text: str, offset: int) -> Mistake | None:
    before = re.search(r"[0-9][0-9_]*(\.[0-9_]+)?$", text[:offset])
    rest = text[offset:]
    if before and re.match(r"[eE][-+]?[0-9]|[eE][-+]?$", rest):
        start = before.start()
        whole = re.match(r"[0-9._]+[eE][-+]?[0-9]*", text[start:])
        assert whole is not None
        message = f"{shown(whole[0])} uses an exponent: write the digits out, `{_written_out(whole[0])}`"
        return Mistake("bad-number", message, start, len(whole[0]))
    if rest.startswith(".") and (name := re.search(r"[A-Za-z_][A-Za-z0-9_.]*$", text[:offset])):
        message = f"{shown(name[0] + '.')} stops at the point: a name goes on after it, such as `order.quantity`"
        return Mistake("syntax", message, offset)
    if rest.startswith("."):
        advice = "write `0.5` with a digit on both sides of the point"
        return Mistake("bad-number", f"a number cannot start or end with a point: {advice}", offset)
    if before and re.match(r"[A-Za-z_]", rest):
        start, word = before.start(), _word(text, offset)
        message = f"{shown(text[start : offset + len(word)])} mixes digits and letters: a name starts with a letter"
        return Mistake("bad-number", message, start, offset - start + len(word))
    return None


def _written_out(number: str) -> str:
    """`2.5e4` as `25_000`; an example where the exponent is missing or huge."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)[eE]([-+]?[0-9]{1,2})", number.replace("_", ""))
    return decimal_text(Fraction(match[1]) * Fraction(10) ** int(match[2])) if match else "100_000"


def _generic(text: str, offset: int) -> Mistake:
    after = _after_value(text, offset)
    wanted = OPERATOR_WANTED if after else VALUE_WANTED
    if offset >= len(text):
        last = _last_word(text)
        return Mistake("syntax", f"something is missing after {shown(last)}: {wanted}", len(text))
    found = _word(text, offset) or text[offset]
    if found == "if" and not after:
        message = "an `if` inside a larger expression stands in parentheses: `(if … then … else …)`"
        return Mistake("syntax", message, offset, 2)
    if after and re.match(r'[A-Za-z0-9_"({]', found):
        message = f"an operator is missing before {shown(found)}, such as `and`, `or`, `<=`, `*`"
    else:
        message = f"{shown(found)} is not expected here: {wanted}"
    return Mistake("syntax", message, offset, len(found))


def _word(text: str, offset: int) -> str:
    match = re.match(r"[A-Za-z_][A-Za-z0-9_.]*|[0-9][0-9_.]*%?", text[offset:])
    return match[0] if match else ""


def _last_word(text: str) -> str:
    match = re.search(r"([A-Za-z0-9_.]+|[^A-Za-z0-9_\s]+)\s*$", text)
    return match[1] if match else text[-1:]


def _after_value(text: str, offset: int) -> bool:
    """Whether what stands before `offset` is a complete value, so that an operator is due."""
    before = text[:offset].rstrip()
    last = re.search(r"[A-Za-z0-9_.]+$", before)
    if last:
        return last[0] not in KEYWORDS - {"true", "false"}
    return before.endswith((")", "}", '"', "%"))


_TIME_WORDS = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "dy"), "days"),
    **dict.fromkeys(("msec", "millis", "millisecond", "milliseconds"), "ms"),
}
_LARGE = {"k": 1_000, "thousand": 1_000, "mn": 10**6, "mm": 10**6, "mio": 10**6, "million": 10**6}
_NO_UNITS = {
    **dict.fromkeys(("share", "shares", "sh"), "a number takes the unit of its neighbour: write `{}` alone"),
    **dict.fromkeys(("pct", "percent"), "write `{}%`"),
    "e": "`{}e` uses an exponent: write the digits out, `100_000`",
}
_LARGE |= {"bn": 10**9, "billion": 10**9}


def explain_quantity(digits: str, amount: Fraction, unit: str) -> tuple[str, str]:
    """Code and words for a number followed by a word that is no known unit.

    `digits` is the number as written, `amount` its value.
    """
    lower = unit.lower()
    if lower in KEYWORDS:
        return "wrong-operator", f"{shown(unit)} is written in lower case: `{lower}`"
    if lower in _TIME_WORDS:
        return "unknown-duration", f"write `{digits} {_TIME_WORDS[lower]}`: {_DURATIONS}"
    if lower in {"week", "weeks", "w"}:
        return "unknown-duration", f"write weeks in days, `{decimal_text(amount * 7)} days`: {_DURATIONS}"
    if lower in {"month", "months", "year", "years", "quarter", "y"}:
        return "unknown-duration", f"{shown(unit)} has no fixed length: write it in days, `90 days`"
    if lower in {"bp", "bps"}:
        percent = decimal_text(amount / 100)
        return "bad-number", f"basis points are written as a percentage: `{percent}%`"
    if lower in _LARGE:
        return "bad-number", f"write the digits out: `{decimal_text(amount * _LARGE[lower])}`"
    if lower in _NO_UNITS:
        return "bad-number", _NO_UNITS[lower].format(digits)
    if re.fullmatch(r"[A-Za-z]{3}", unit):
        close = (
            unit.upper() if unit.upper() in CURRENCIES else nearest_name(unit, MAJOR) or nearest_name(unit, CURRENCIES)
        )
        hint = f": did you mean `{close}`?" if close else ": write a code such as `USD`"
        return "unknown-currency", f"{shown(unit)} is not an ISO 4217 currency code{hint}"
    return "unknown-duration", f"{shown(unit)} is not a unit that a number can have: {_DURATIONS}"


_DURATIONS = "durations are in `ms`, `s`, `min`, `h`, `day` or `days`, money in a code such as `USD`"
