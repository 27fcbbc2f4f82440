"""Only the fills of the trade date count against a day's volume; earlier ones are listed for other rules."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from lexorder.api.service.admissible import Known
from lexorder.api.service.feed_events import events_of
from lexorder.engine.desk import Desk, Make, fast, slow
from lexorder.engine.records import Records
from tests.rules.library import BREACH, PASS, book, forall, instrument, only, order, projected, status, words, world

TODAY, YESTERDAY = "2026-06-15T09:31:00-04:00", "2026-06-12T15:59:00-04:00"


def fill(quantity: int, time: str | None = None, side: str = "buy", name: str = "F", **more: str) -> dict[str, str]:
    """A fill of account A, of the trade date where no time is given."""
    dated = {} if time is None else {"time": time}
    plain = {"id": name, "account": "A", "symbol": "ACME", "side": side, "quantity": str(quantity), "price": "100"}
    return {**plain, **dated, **more}


@forall(
    today=st.integers(1, 60), before=st.integers(1, 1_000), over=st.integers(0, 1), way=st.sampled_from(["buy", "sell"])
)
def test_participation_counts_today_alone(today: int, before: int, over: int, way: str) -> None:
    fills = [fill(today, TODAY, way, "F-1"), fill(before, YESTERDAY, way, "F-2")]
    seen = world(fills=fills, instruments=[instrument(adv="1000")])
    expected = BREACH if over else PASS
    assert status("max-volume-participation", seen, order("buy", 100 - today + over)) is expected


@forall(today=st.integers(1, 200), before=st.integers(1, 1_000), over=st.integers(0, 1))
def test_repurchases_count_today_alone(today: int, before: int, over: int) -> None:
    fills = [fill(today, TODAY, name="F-1"), fill(before, YESTERDAY, name="F-2")]
    seen = world(fills=fills, instruments=[instrument(adv="1000")])
    bought = order("buy", 250 - today + over, buyback="true")
    assert status("buyback-volume", seen, bought) is (BREACH if over else PASS)


@pytest.mark.parametrize(
    ("given", "day"),
    [
        (fill(1), "2026-06-15"),
        (fill(1, YESTERDAY), "2026-06-12"),
        # The exchange's day, not that of Greenwich.
        (fill(1, "2026-06-15T03:59:59+00:00"), "2026-06-14"),
        (fill(1, "2026-06-15T04:00:00+00:00"), "2026-06-15"),
        (fill(1, TODAY, date="2026-06-11"), "2026-06-11"),
        (fill(1, date="2026-06-11"), "2026-06-11"),
    ],
)
def test_the_trade_date_of_a_fill(given: dict[str, str], day: str) -> None:
    (only,) = projected(world(fills=[given])).members("fill")
    assert str(only["fill.date"]) == day


@pytest.mark.parametrize("make", [fast, slow])
@pytest.mark.parametrize(("time", "expected"), [(TODAY, False), (None, False), (YESTERDAY, True)])
def test_both_evaluators_leave_earlier_days_out(make: Make, time: str | None, expected: bool) -> None:
    seen = world(account={"kind": "margin"}, fills=[fill(100, time)], instruments=[instrument(adv="1000")])
    found = Desk(book(), seen, words(), make).check(order("buy", 1))
    stopped = {report.rule for report in found.reports if report.status is BREACH}
    assert ("max-volume-participation" not in stopped) is expected
    assert found.outcome.value != "undecided"


@pytest.mark.parametrize("make", [fast, slow])
@pytest.mark.parametrize(("dated", "most"), [({}, 60), ({"time": YESTERDAY}, 100), ({"date": "2026-06-12"}, 100)])
def test_a_fill_that_a_feed_tells_is_dated_too(make: Make, dated: dict[str, str], most: int) -> None:
    document = world(account={"kind": "margin"}, instruments=[instrument(adv="1000")])
    desk = Desk(only("max-volume-participation"), document, words(), make)
    row = {"id": "F-1", "account": "A", "symbol": "ACME", "side": "buy", "quantity": "40", "price": "100", **dated}
    known = Known(words(), desk.snapshot, {}, Records("fill"))
    (told,) = events_of("fills", {"items": [row]}, known)
    desk.apply(told)
    assert desk.check(order("buy", most)).approved
    assert desk.check(order("buy", most + 1)).outcome == "reject"
