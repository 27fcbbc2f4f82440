"""Target weights from a file: exact as they are written, or refused by file, row and column."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from lexorder.api.target_file import target_weights
from lexorder.engine.errors import LexorderError

SYMBOLS = ("ACME", "BETA", "COCO")


def read(folder: Path, text: str, name: str = "targets.csv") -> dict[str, Fraction]:
    (folder / name).write_text(text, encoding="utf-8")
    return target_weights(folder / name, SYMBOLS)


def test_weights_are_the_numbers_that_are_written(tmp_path):
    found = read(tmp_path, "symbol,weight\nACME,0.123456789012345678\nBETA,5%\nCOCO,-0.5%\n")
    assert found == {"ACME": Fraction("0.123456789012345678"), "BETA": Fraction(1, 20), "COCO": Fraction(-1, 200)}


def test_a_json_list_is_read_alike(tmp_path):
    rows = [{"symbol": "ACME", "weight": "0.1"}, {"symbol": "BETA", "weight": "0.2"}]
    assert read(tmp_path, json.dumps(rows), "t.json") == {"ACME": Fraction(1, 10), "BETA": Fraction(1, 5)}


@pytest.mark.parametrize(("cash", "fine"), [("0.7", True), ("70%", True), ("0.6999999999", False), ("0.71", False)])
def test_where_cash_is_given_everything_is_exactly_one(tmp_path, cash, fine):
    text = f"symbol,weight\nACME,0.1\nCASH,{cash}\nBETA,0.2\n"
    if fine:
        assert set(read(tmp_path, text)) == {"ACME", "BETA"}
        return
    with pytest.raises(LexorderError, match="sum to") as refused:
        read(tmp_path, text)
    assert refused.value.code == "bad-targets"


BAD = [
    ("symbol,weight\nACME,five\n", "bad-targets", "row 2, column `weight`"),
    ("symbol,weight\nACME,0.1\nBETA,1e-2\n", "bad-targets", "row 3, column `weight`"),
    ("symbol,weight\nACME,\n", "bad-targets", "row 2"),
    ("symbol,weight\nACME,nan\n", "bad-targets", "row 2"),
    ("symbol,weight\nACME,0.0_5\n", "bad-targets", "row 2"),
    ("symbol,weight\nACME,\uff11%\n", "bad-targets", "row 2"),
    ("symbol,weight\nACME,1.000001\n", "bad-targets", "from -1 to 1"),
    ("symbol,weight\nACME,5\n", "bad-targets", "such as 0.05 or 5%"),
    ("symbol,weight\nACME,0.1\nACME,0.2\n", "listed-twice", "row 3, column `symbol`"),
    ("symbol,weight\nCASH,0.1\nCASH,0.2\n", "listed-twice", "row 3"),
    ("symbol,weight\nACNE,0.1\n", "no-price", "did you mean `ACME`"),
    ("symbol,weight\nQQQQ,0.1\n", "no-price", "row 2"),
    ("symbol,weight\n,0.1\n", "no-price", "row 2"),
    ("symbol,wieght\nACME,0.1\n", "missing-column", "`weight`"),
    ("symbol,weight,note\nACME,0.1,x\n", "unknown-column", "`note`"),
    ("symbol,weight\n", "empty-table", "at least one row"),
    ("", "empty-table", "at least one row"),
]


@pytest.mark.parametrize(("text", "code", "words"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, text, code, words):
    with pytest.raises(LexorderError) as refused:
        read(tmp_path, text)
    assert refused.value.code == code
    assert words in refused.value.message
    assert "targets.csv" in refused.value.message


def test_hostile_names_are_not_repeated(tmp_path):
    with pytest.raises(LexorderError) as refused:
        read(tmp_path, f"symbol,weight\n\x1b[31m{'Q' * 4000},0.1\n")
    assert "\x1b" not in refused.value.message
    assert len(refused.value.message) < 400
