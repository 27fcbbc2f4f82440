"""What `lexorder rules show` says of the library is what the library says."""

from __future__ import annotations

import re

import pytest

from lexorder.engine.plain import plain_english
from tests.rules.library import TODAY, book, rule, words


@pytest.mark.parametrize("identifier", [r.id for r in book().on(TODAY)])
def test_every_rule_can_be_said_in_plain_english(identifier: str) -> None:
    lines = plain_english(rule(identifier), words())
    assert lines
    assert all(line.strip() for line in lines if line)


@pytest.mark.parametrize(
    ("identifier", "amount"),
    [
        ("pattern-day-trader-minimum-equity", "25,000 USD"),
        ("margin-minimum-equity-debit", "2,000 USD"),
        ("market-access-order-notional", "5,000,000 USD"),
        ("senior-trader-daily-limit", "100,000 USD"),
        ("junior-trader-position-limit", "10,000 USD"),
        ("market-access-order-quantity", "50,000"),
    ],
)
def test_amounts_are_shown_as_written(identifier: str, amount: str) -> None:
    text = " ".join(plain_english(rule(identifier), words()))
    assert re.search(rf"(?<![0-9,]){amount}", text), text
