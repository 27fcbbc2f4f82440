"""Advice is worth following: where it points, and that what it says to write is read as it was meant.

A message is judged by what an author does with it: the marked characters are replaced by what stands in backticks, and
the result must parse, and mean what the author wrote. Misspelt names are made from the vocabulary's own.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine import syntax
from lexorder.engine.codes import CODES
from lexorder.engine.errors import Problem, RuleFileError
from lexorder.engine.parse import parse
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.source import Scalar, Sequence, nodes

SEVEN_DAYS = 7 * 86_400


def problem(text: str) -> Problem:
    with pytest.raises(RuleFileError) as caught:
        parse(text)
    (found,) = caught.value.problems
    assert found.code in CODES
    return found


def advised(found: Problem) -> str:
    """What the message says to write: its last text in backticks that is no example with `…`."""
    parts: list[str] = re.findall(r"`([^`]+)`", found.message)
    return [part for part in parts if "…" not in part][-1]


# ---- operators of other languages --------------------------------------------------------------------------------

OPERATORS = {
    "&&": "and", "||": "or", "===": "==", "=>": ">=", "=<": "<=", "<>": "!=", "≤": "<=", "≥": ">=", "≠": "!=",
    "×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "—": "-", "AND": "and", "Or": "or", "IN": "in",
    "is": "==", "equals": "==", "times": "*", "&": "and", "|": "or", "=": "==",
}  # fmt: skip
FRAMES = {
    "alone": "{}",
    "in brackets": "({})",
    "after a text that is not ASCII": '"Ünïcödé ∀" == name or {}',
    "behind a choice": "if c then d else {}",
    "in a sum": "sum({} where z)",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize(("wrong", "right"), OPERATORS.items())
def test_an_operator_of_another_language_is_marked_and_its_advice_parses(wrong, right, frame):
    text = frame.format(f"a {wrong} b")
    at = text.index(f"a {wrong} b") + 2
    found = problem(text)
    assert (found.code, found.column) == ("wrong-operator", at + 1), found.message
    assert f"`{right}`" in found.message
    assert isinstance(parse(text[:at] + right + text[at + len(wrong) :]), syntax.Syntax)


@pytest.mark.parametrize("before", ["", "a and ", "(", "not a or "])
def test_an_exclamation_mark_stands_for_not(before):
    text = f"{before}!b" + (")" if before == "(" else "")
    found = problem(text)
    assert (found.code, found.column, advised(found)) == ("wrong-operator", len(before) + 1, "not")
    parse(text.replace("!", "not "))


# ---- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1e5", "2.5e-3", "1E2", "12e0", "1e-9", "0.25e+2", "1_000e3", "9e18", "9.3e18"])
@pytest.mark.parametrize("before", ["", "a + ", "min(x, "])
def test_an_exponent_is_written_out_exactly(text, before):
    """Beside Python's decimal reader."""
    found = problem(before + text + (")" if "(" in before else ""))
    assert (found.code, found.column) == ("bad-number", len(before) + 1)
    number = parse(advised(found))
    assert isinstance(number, syntax.Number)
    assert number.value == Fraction(Decimal(text.replace("_", "")))


@pytest.mark.parametrize("text", ["1,000", "25,000", "999,999", "1,234,567", "12,345,678,901"])
@pytest.mark.parametrize("before", ["", "a <= ", "min("])
def test_commas_between_thousands_are_no_separators(text, before):
    found = problem(before + text + (", b)" if "(" in before else ""))
    assert (found.code, found.column) == ("bad-number", len(before) + 1)
    number = parse(re.findall(r"write `([^`]+)`", found.message)[0])
    assert isinstance(number, syntax.Number)
    assert number.value == int(text.replace(",", ""))


@pytest.mark.parametrize("text", ["min(1, 200)", "min(25, 0)", "{1, 2}", "min(1000,200)", "max(12,34)", '"25,000"'])
def test_separate_values_are_not_taken_for_thousands(text):
    assert parse(text).text == text


MEANT: dict[str, Fraction] = {
    "15 mins": Fraction(900),
    "15 minutes": Fraction(900),
    "1 minute": Fraction(60),
    "2 m": Fraction(120),
    "30 secs": Fraction(30),
    "1 second": Fraction(1),
    "2 hours": Fraction(7200),
    "1 HR": Fraction(3600),
    "3 d": Fraction(3 * 86_400),
    "250 msec": Fraction(1, 4),
    "1.5 milliseconds": Fraction(15, 10_000),
    "2 weeks": Fraction(2 * SEVEN_DAYS),
    "0.5 week": Fraction(SEVEN_DAYS, 2),
    "1 w": Fraction(SEVEN_DAYS),
    "50 bps": Fraction(1, 200),
    "1 bp": Fraction(1, 10_000),
    "0.5 bps": Fraction(1, 20_000),
    "5 percent": Fraction(1, 20),
    "5 pct": Fraction(1, 20),
    "25k": Fraction(25_000),
    "2.5 K": Fraction(2_500),
    "3 million": Fraction(3 * 10**6),
    "3 mm": Fraction(3 * 10**6),
    "1.25 mio": Fraction(1_250_000),
    "2 bn": Fraction(2 * 10**9),
    "0.1 billion": Fraction(10**8),
    "4 thousand": Fraction(4_000),
    "100 shares": Fraction(100),
    "7 sh": Fraction(7),
}
"""What an author means, in seconds or as a plain number, by simple arithmetic."""


@pytest.mark.parametrize(("text", "meant"), MEANT.items())
def test_a_unit_of_everyday_speech_is_translated_without_changing_the_amount(text, meant):
    found = problem(f"a <= {text}")
    assert found.column == len("a <= ") + re.search(r"[A-Za-z]", text).start() + 1  # type: ignore[union-attr]
    tree = parse(re.findall(r"`([^`]+)`", found.message)[0])
    said = tree.seconds if isinstance(tree, syntax.Duration) else tree.value  # type: ignore[attr-defined]
    assert said == meant


@pytest.mark.parametrize(
    ("word", "code"), [("usd", "USD"), ("EURO", ""), ("Usd", "USD"), ("UDS", "USD"), ("gbp", "GBP")]
)
def test_a_currency_is_suggested_by_its_code(word, code):
    found = problem(f"5 {word}")
    if code:
        assert (found.code, advised(found)) == ("unknown-currency", code)
    else:
        assert found.code == "unknown-duration", "no currency has four letters"


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ("order.", "syntax", 6),
        ("a.b. <= 5", "syntax", 4),
        ("(order.)", "syntax", 7),
        ("5.", "bad-number", 2),
        ("a <= .5", "bad-number", 6),
        ("a5 <= 5.", "bad-number", 8),
    ],
)
def test_a_point_at_the_end_of_a_name_is_not_taken_for_that_of_a_number(text, code, column):
    found = problem(text)
    assert (found.code, found.column) == (code, column), found.message
    assert ("number" in found.message) is (code == "bad-number")


# ---- brackets and texts ------------------------------------------------------------------------------------------

PIECES = ('"(', '"}', '"', "(", ")", "{", "}", "a", " + ", ", ", "sum")


def opened(text: str) -> list[int]:
    """Brackets still open at the end, by a scan that knows texts in quotes."""
    found: list[int] = []
    quoted = False
    for at, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif not quoted and char in "({":
            found.append(at)
        elif not quoted and char in ")}" and found:
            found.pop()
    return found


@pytest.mark.parametrize("seed", range(100))
def test_what_is_said_to_be_open_is_open_and_innermost(seed):
    random_ = Random(f"brackets {seed}")
    for _ in range(20):
        text = "".join(random_.choice(PIECES) for _ in range(random_.randint(1, 9)))
        try:
            parse(text)
        except RuleFileError as error:
            (found,) = error.problems
            if found.code == "unclosed" and "opens here" in found.message:
                assert found.column - 1 == opened(text)[-1], text
            if found.code == "unclosed" and "closes nothing" in found.message:
                assert text[found.column - 1] in ")}"
                assert not opened(text[: found.column - 1]), text
            if found.code == "unclosed" and "text that starts here" in found.message:
                assert text[found.column - 1] == '"'
                assert text[found.column - 1 :].count('"') == 1, text


# ---- names -------------------------------------------------------------------------------------------------------


def edited(name: str, random_: Random) -> str:
    """A slip of the hand: a letter left out, doubled, exchanged with its neighbour, or another one."""
    at = random_.randrange(1, len(name) - 1)
    kind = random_.randrange(4)
    if kind == 0:
        return name[:at] + name[at + 1 :]
    if kind == 1:
        return name[:at] + name[at] + name[at:]
    if kind == 2:
        return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    return name[:at] + ("x" if name[at] != "x" else "y") + name[at + 1 :]


def distance(one: str, other: str) -> int:
    """The least number of letters to put in, take out or change (Wagner and Fischer 1974)."""
    row = list(range(len(other) + 1))
    for n, left in enumerate(one, 1):
        last, row[0] = row[0], n
        for m, right in enumerate(other, 1):
            last, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, last + (left != right))
    return row[-1]


def test_a_slip_in_a_name_is_answered_by_a_name_as_near(words):
    """The name meant, or one at most as many letters away as a slip makes: never silence, never a far one."""
    random_ = Random("slips")
    names = sorted(words.names)
    tried = exact = 0
    for name in names:
        slip = edited(name, random_)
        if slip in words.names or slip.count(".") != 1 or "." in (slip[0], slip[-1]):
            continue
        found = words.nearest(slip)
        assert found in words.names
        assert distance(found, slip) <= 3, (slip, found)
        tried, exact = tried + 1, exact + (found == name)
    assert tried > 100
    assert exact > 0.9 * tried


@pytest.mark.parametrize("style", ["plain", "'", '"', "|", ">"])
@pytest.mark.parametrize(
    ("text", "marked", "nearest"),
    [
        ("order.quantiy <= 5", "order.quantiy", "order.quantity"),
        ("order.side == bui", "bui", "buy"),
        ("order.quantity <= 5 and order.simbol == instrument.symbol", "order.simbol", "order.symbol"),
        ("order.quantity <= 5 or ordr.price > 3 USD", "ordr.price", "order.price"),
        ("summ(order.quantity) <= 5", "summ", "sum"),
    ],
)
def test_a_misspelt_name_is_marked_in_the_file_however_the_text_is_written(text, marked, nearest, style, words):
    head = "- rule: r\n  title: Ünïcödé ∀\n  for_each: order\n  require: "
    body = {"plain": text, "'": f"'{text}'", '"': f'"{text}"'}.get(style, f"{style}\n    {text}")
    file = f"{head}{body}\n"
    with pytest.raises(RuleFileError) as caught:
        RuleBook.of(file, words)
    (found,) = caught.value.problems
    assert found.nearest == nearest
    assert file.splitlines()[found.line - 1][found.column - 1 :].startswith(marked)


def test_a_text_folded_over_lines_is_marked_on_the_line_of_the_mistake():
    root = nodes('- >\n  a <= 5\n  and b &&\n  c\n- "x\n  || y"\n', "f")
    assert isinstance(root, Sequence)
    places = []
    for item in root.items:
        assert isinstance(item, Scalar)
        with pytest.raises(RuleFileError) as caught:
            parse(item)
        places.append((caught.value.problems[0].line, caught.value.problems[0].column))
    assert places == [(3, 9), (6, 3)]
