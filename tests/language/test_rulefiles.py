"""Every wrong rule file gives exactly its message; every good one loads, with the class it notes.

To add a case, write `bad/<name>.yaml` and the message it deserves in `bad/<name>.expected`; read it as a risk officer
would: does it say what to do?
"""

from __future__ import annotations

import difflib
from datetime import date
from pathlib import Path

import pytest

from lexorder.engine.codes import CODES
from lexorder.engine.errors import RuleFileError
from lexorder.engine.rulebook import RuleBook
from tests.language.conftest import RULEFILES

BAD = sorted((RULEFILES / "bad").glob("*.yaml"))
GOOD = sorted((RULEFILES / "good").glob("*.yaml"))
TODAY = date(2026, 6, 15)


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def findings(text: str, words, file: str) -> list[str]:
    with pytest.raises(RuleFileError) as caught:
        RuleBook.of(text, words, file)
    return [problem.render() for problem in caught.value.problems]


@pytest.mark.parametrize("path", BAD, ids=names(BAD))
def test_a_wrong_file_gives_its_message(path, words):
    got = findings(path.read_text("utf-8"), words, path.name)
    expected = path.with_suffix(".expected").read_text("utf-8").splitlines()
    difference = "\n".join(difflib.unified_diff(expected, got, "expected", "got", lineterm=""))
    assert got == expected, f"\n{difference}"


@pytest.mark.parametrize("path", BAD, ids=names(BAD))
def test_a_message_points_into_the_file_and_names_a_documented_code(path):
    rows = path.read_text("utf-8").split("\n")
    for line in path.with_suffix(".expected").read_text("utf-8").splitlines():
        file, row, column, code, message = (part.strip() for part in line.split(":", 4))
        assert file == path.name
        assert 1 <= int(row) <= len(rows)
        assert 1 <= int(column) <= len(rows[int(row) - 1]) + 1
        assert code in CODES
        assert message
        assert message[0] not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "messages begin in lower case, after the code"
        assert not message.endswith("."), "a message is no sentence with a full stop"
        for word in ("Fraction", "Literal", "Token", "None", "Traceback", "NUMBER", "dict", "str("):
            assert word not in message, "no type of Python's reaches an author"


def test_there_are_enough_wrong_files_and_each_has_its_message():
    assert len(BAD) >= 60
    assert {p.stem for p in (RULEFILES / "bad").glob("*.expected")} == {p.stem for p in BAD}


def test_nearly_every_code_has_a_wrong_file():
    text = "".join(p.read_text("utf-8") for p in (RULEFILES / "bad").glob("*.expected"))
    elsewhere = {  # these are about whole files, single expressions or the vocabulary: tested beside their modules
        *("file-unreadable", "no-rules", "file-too-large", "not-utf8", "too-deep", "expression-empty"),
        *("bad-type", "bad-bounds", "definition-cycle"),
    }
    assert {code for code in CODES if f": {code}: " not in text} == elsewhere


@pytest.mark.parametrize("path", GOOD, ids=names(GOOD))
def test_a_good_file_loads_with_the_class_it_notes(path, words):
    text = path.read_text("utf-8")
    noted = text.split("\n", 1)[0].removeprefix("# class: ")
    book = RuleBook.of(text, words, path.name)
    classes = {r.classified.term_class.value if r.classified else "-" for r in book.on(TODAY)}
    assert classes <= {noted}


@pytest.mark.parametrize("path", GOOD, ids=names(GOOD))
def test_blank_lines_and_comments_change_no_hash(path, words):
    text = path.read_text("utf-8")
    loud = text.replace("\n- rule:", "\n\n# another one\n\n- rule:") + "\n# the end\n"
    assert RuleBook.of(loud, words).hash == RuleBook.of(text, words).hash


def test_there_are_enough_good_files():
    assert len(GOOD) >= 40
    classes = {p.read_text("utf-8").split("\n", 1)[0] for p in GOOD}
    assert len(classes) == 5, "each class and rules without one"


def test_all_good_files_load_as_one_folder(words):
    book = RuleBook.load(RULEFILES / "good", words)
    assert len(book.ids()) >= len(GOOD)
    assert book.ids() == tuple(sorted(book.ids()))


def test_the_bad_folder_reports_every_file_at_once(words):
    with pytest.raises(RuleFileError) as caught:
        RuleBook.load(RULEFILES / "bad", words)
    found = {Path(problem.file).stem for problem in caught.value.problems}
    # What only shows between rules is looked at once every file by itself is right.
    assert found >= set(names(BAD)) - {"derive-circle", "derive-conflict", "reaction-conflict"}
