"""DataFrames to facts: exact decimals from what the cells print, absent cells absent, places named in errors."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import load_snapshot
from lexorder.engine.frames import rows_of, snapshot_from_frames, text_of
from tests.worlds import NOON, VOCABULARY, world


def test_a_float_means_the_decimal_it_prints_as() -> None:
    assert text_of(0.1) == "0.1"
    assert text_of(np.float64(1e-05)) == "0.00001"
    assert text_of(np.int64(7)) == "7"
    assert text_of(Decimal("1E+3")) == "1000"
    assert text_of(np.bool_(True)) is True


def test_the_same_snapshot_as_from_json() -> None:
    document = world()
    frames = {
        section: pd.DataFrame(rows)
        for section, rows in document.items()
        if isinstance(rows, list) and rows and isinstance(rows[0], dict)
    }
    made = snapshot_from_frames(VOCABULARY, NOON, frames, lists=document["lists"])
    assert made.hash == load_snapshot(document, VOCABULARY).hash


def test_float_prices_are_exact_decimals() -> None:
    frame = pd.DataFrame({"symbol": ["ACME", "BETA"], "mark": [100.1, np.nan]})
    made = snapshot_from_frames(VOCABULARY, NOON, {"instruments": frame})
    assert made.instruments["ACME"]["instrument.mark"] == Fraction(1001, 10)
    assert "instrument.mark" not in made.instruments["BETA"]


def test_a_named_index_is_a_column() -> None:
    frame = pd.DataFrame({"mark": ["1.5"]}, index=pd.Index(["ACME"], name="symbol"))
    assert rows_of(frame) == [{"symbol": "ACME", "mark": "1.5"}]


@pytest.mark.parametrize(
    ("frames", "place", "code"),
    [
        ({"instruments": pd.DataFrame({"symbol": ["ACME"], "mark": [1.00001]})}, "instruments[0].mark", "too-fine"),
        ({"instruments": pd.DataFrame({"symbol": ["ACME"], "mrak": [1.0]})}, "instruments[0]", "unknown-name"),
        ({"instrument": pd.DataFrame({"symbol": ["ACME"]})}, "frames", "unknown-section"),
        ({"instruments": pd.DataFrame({"symbol": ["acme corp"]})}, "instruments[0].symbol", "not-canonical"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(frames: dict[str, pd.DataFrame], place: str, code: str) -> None:
    with pytest.raises(SnapshotError) as caught:
        snapshot_from_frames(VOCABULARY, NOON, frames)
    assert (caught.value.where, caught.value.code) == (place, code)
