"""The evaluators agree, and a planted fault is noticed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lexorder.engine import books, fastpath, totals, worst
from lexorder.engine.freshness import Freshness
from lexorder.engine.slots import touches
from tests.agreement import compare
from tests.agreement.__main__ import main

QUICK = compare.Load(size=6, worlds=3, steps=3, heavy=0.15)
EVENTFUL = compare.Load(size=6, worlds=4, steps=9, heavy=0.0)


@pytest.fixture(autouse=True)
def remembered(monkeypatch):
    compare.quick_classes(monkeypatch.setattr)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_evaluators_agree(seed):
    tally = compare.run(seed, 1_500, QUICK)
    assert tally.differences == []
    assert tally.near * 2 >= tally.orders, "half of the orders are meant to be on a limit or one unit to a side"
    assert tally.exactly > 0
    assert len(tally.statuses) == 5, f"a status never occurred: {tally.statuses}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 25))
def test_evaluators_agree_on_many(seed):
    assert compare.run(seed, 10_000).differences == []


def test_the_command_stores_what_it_compared(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.agreement.__main__.SHARE", 50)
    out = tmp_path / "results.json"
    assert main(["--cases", "50", "--out", str(out), "--seed", "5"]) == 0
    assert '"differences": []' in out.read_text()


def noticed(load: compare.Load = QUICK) -> bool:
    """Whether a fault shows within some thousand verdicts."""
    return any(compare.run(seed, 2_500, load, stop=1).differences for seed in range(31, 39))


def altered_source(monkeypatch: pytest.MonkeyPatch, pattern: str, by: str) -> None:
    """Every generated check is changed as it is written."""
    plain = fastpath._Writer.source
    monkeypatch.setattr(fastpath._Writer, "source", lambda writer: re.sub(pattern, by, plain(writer)))


class TestPlantedFaults:
    """Each fault is one that a reviewer could overlook."""

    def test_less_or_equal_for_less(self, monkeypatch):
        altered_source(monkeypatch, r" < ", " <= ")
        assert noticed()

    def test_less_for_less_or_equal_in_closed_forms(self, monkeypatch):
        monkeypatch.setattr(worst, "broken", lambda _part, excess: excess >= 0)
        assert noticed()

    def test_a_limit_one_unit_too_wide(self, monkeypatch):
        altered_source(monkeypatch, r"<= 0\)", "<= 1)")
        assert noticed()

    def test_a_dropped_rule(self, monkeypatch):
        plain = fastpath._Writer.judged
        monkeypatch.setattr(
            fastpath._Writer, "judged", lambda writer, index, rule: plain(writer, index, rule) if index else []
        )
        assert noticed()

    def test_a_swallowed_error(self, monkeypatch):
        plain = fastpath._tried
        monkeypatch.setattr(fastpath, "_tried", lambda lines, _otherwise: plain(lines, "pass"))
        assert noticed()

    def test_a_wrapped_integer(self, monkeypatch):
        plain = totals.Cell.change

        def change(cell: totals.Cell, old: Any, new: Any) -> None:
            plain(cell, old, new)
            if isinstance(cell.seen[0], int):
                cell.seen[0] = (cell.seen[0] + 2**50) % 2**51 - 2**50

        monkeypatch.setattr(totals.Cell, "change", change)
        assert noticed()

    def test_working_orders_forgotten(self, monkeypatch):
        monkeypatch.setattr(books.Books, "moves", lambda _books, _seen: [])
        assert noticed()

    def test_a_flip_called_an_improvement(self, monkeypatch):
        monkeypatch.setattr(worst, "flips", lambda _at: False)
        assert noticed()

    def test_a_stale_price_unnoticed(self, monkeypatch):
        monkeypatch.setattr(Freshness, "turned", lambda _fresh, _live: [])
        assert noticed(EVENTFUL)

    def test_a_moved_sector_unnoticed(self, monkeypatch):
        monkeypatch.setattr(
            "lexorder.engine.books.touches",
            lambda names, changed: "instrument.sector" not in changed and touches(names, changed),
        )
        assert noticed(EVENTFUL)
