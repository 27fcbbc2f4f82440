"""Figures, charts, tables and the report of a rebalance: compared with other arithmetic and another HTML reader."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from lexorder.api import rebalance_view as view
from lexorder.api.charts import LEFT, RIGHT, WIDTH, Bar, before_after, usage
from lexorder.api.figures import DASH, figure, number, percent
from lexorder.api.rebalance_written import report_of
from lexorder.api.report import name_bars, sector_bars
from lexorder.optimizers.outcome import Headroom, Infeasible, Rebalanced
from tests.api.outcomes import infeasible, order, rebalanced, room, weight

AMOUNTS = st.integers(-(10**15), 10**15)
HALVES = st.builds(lambda n, k: Fraction(2 * n + 1, 2 * 10**k), st.integers(-(10**6), 10**6), st.integers(0, 4))


# ---- figures -----------------------------------------------------------------------------------------


@given(
    value=st.one_of(st.builds(Fraction, AMOUNTS, st.sampled_from([1, 2, 4, 8, 10, 125, 10**6])), HALVES),
    places=st.integers(0, 6),
)
def test_a_number_is_rounded_half_to_even_as_decimal_does(value: Fraction, places: int):
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    expected = f"{exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,f}"
    assert number(value, places) == (expected.removeprefix("-") if not re.search("[1-9]", expected) else expected)


@given(value=st.builds(Fraction, AMOUNTS, st.just(10**6)), places=st.integers(0, 3))
def test_a_percentage_is_a_hundred_times_the_ratio(value: Fraction, places: int):
    assert percent(value, places) == number(value * 100, places) + "%"


@pytest.mark.parametrize(
    ("value", "places", "said"),
    [
        (Fraction(0), 0, "0"),
        (Fraction(-1, 3), 0, "0"),
        (Fraction(1, 2), 0, "0"),
        (Fraction(3, 2), 0, "2"),
        (Fraction(999_999, 1000), 0, "1,000"),
        (Fraction(-1_234_567), 2, "-1,234,567.00"),
        (Fraction(1, 1000), 2, "0.00"),
        (2**63, 0, "9,223,372,036,854,775,808"),
        (None, 2, DASH),
    ],
)
def test_numbers_at_the_edges(value: Fraction | int | None, places: int, said: str):
    assert number(value, places) == said


@pytest.mark.parametrize(
    ("value", "ratio", "said"),
    [
        (Fraction(1, 20), True, "5.00%"),
        (Fraction(1, 20), False, "0.05"),
        (Fraction(1000), False, "1,000"),
        (None, True, DASH),
        (None, False, DASH),
        (True, True, "True"),
        ("HALTED", False, "HALTED"),
    ],
)
def test_a_figure_is_worded_by_what_its_limit_is(value: object, ratio: bool, said: str):
    assert figure(value, ratio=ratio) == said  # type: ignore[arg-type]


# ---- charts ------------------------------------------------------------------------------------------

RATIOS = st.fractions(Fraction(0), Fraction(3), max_denominator=1000)
LABELS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
BARS = st.lists(st.builds(Bar, LABELS, RATIOS, RATIOS, st.one_of(st.none(), RATIOS)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(bars=BARS)
def test_a_chart_is_xml_that_draws_every_bar_to_one_scale(bars: list[Bar]):
    root = Xml.fromstring(before_after("x", "Weights", bars))
    assert root.attrib["role"] == "img"
    words = [e.text or "" for e in root.iter("text") if e.attrib["class"] == "name"]
    assert words == [bar.label for bar in bars]
    hollow = [e for e in root.iter("circle") if e.attrib["class"] in ("before", "over")]
    full = [e for e in root.iter("circle") if e.attrib["class"] == "after"]
    assert [e.attrib["class"] == "over" for e in hollow] == [b.limit is not None and b.before > b.limit for b in bars]
    ticks = [e for e in root.iter("line") if e.attrib["class"] == "limit"]
    assert len(ticks) == sum(bar.limit is not None for bar in bars)
    most = max(max(b.before, b.after, b.limit or Fraction(0)) for b in bars)
    for bar, a, b in zip(bars, hollow, full, strict=True):
        for share, circle in ((bar.before, a), (bar.after, b)):
            x = float(circle.attrib["cx"])
            assert LEFT <= x <= WIDTH - RIGHT
            assert abs((x - LEFT) * float(most) * 1.05 / (WIDTH - LEFT - RIGHT) - float(share)) < 1e-3 * max(
                1, float(most)
            )


def test_a_chart_without_bars_is_nothing_and_one_of_zeros_is_drawn():
    assert before_after("x", "T", []) == ""
    assert Xml.fromstring(before_after("x", "T", [Bar("A", Fraction(0), Fraction(0))])) is not None


@pytest.mark.parametrize(
    ("share", "kind", "wide"),
    [
        (Fraction(0), "ok", "0.0"),
        (Fraction(949, 1000), "ok", "91.1"),
        (Fraction(19, 20), "near", "91.2"),
        (Fraction(1), "near", "96.0"),
        (Fraction(1001, 1000), "bad", "96.0"),
        (Fraction(50), "bad", "96.0"),
    ],
)
def test_a_small_bar_is_marked_from_where_it_is_close(share: Fraction, kind: str, wide: str):
    rail, bar = list(Xml.fromstring(usage(share)))
    assert (rail.attrib["class"], bar.attrib["class"], bar.attrib["width"]) == ("rail", kind, wide)


# ---- what is notable ---------------------------------------------------------------------------------


def used(**parts: object) -> tuple[Fraction, bool, str]:
    """Share, whether it gets a line, what became of it."""
    made: Headroom = room(**parts)  # type: ignore[arg-type]
    return view.used(made), view.notable(made), view.state(made)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, (Fraction(4, 5), False, "kept")),
        ({"after": Fraction(9, 40)}, (Fraction(9, 10), True, "kept")),
        ({"after": Fraction(899, 4000)}, (Fraction(899, 1000), False, "kept")),
        ({"status_before": "breach"}, (Fraction(4, 5), True, "cured")),
        ({"status_before": "breach", "status_after": "passive"}, (Fraction(4, 5), True, "still broken, no worse")),
        ({"status_after": "breach"}, (Fraction(4, 5), True, "broken")),
        ({"status_before": "", "status_after": "not_applicable"}, (Fraction(4, 5), False, "kept")),
        ({"limit": None}, (Fraction(0), False, "kept")),
        ({"limit": Fraction(0)}, (Fraction(0), False, "kept")),
        ({"before": None, "after": None}, (Fraction(0), False, "kept")),
        # A floor of 25%: 50% held uses half of it, 26% nearly all.
        ({"before": None, "after": Fraction(1, 2), "margin": Fraction(1)}, (Fraction(1, 2), False, "kept")),
        ({"before": None, "after": Fraction(13, 50), "margin": Fraction(1)}, (Fraction(25, 26), True, "kept")),
    ],
)
def test_how_much_of_a_limit_is_used_and_what_is_worth_a_line(parts: dict[str, object], expected: object):
    assert used(**parts) == expected


def test_sectors_add_up_and_each_bar_has_the_tightest_limit_of_its_name():
    weights = (
        weight("ACME", "1/10", "1/5", "Left"),
        weight("BETA", "1/4", "1/8", "Left"),
        weight("COCO", "0", "1/3", ""),
    )
    head = (
        room("issuer-weight", "ACME"),
        room("other-weight", "ACME", limit=Fraction(1, 6)),
        room("sector-weight", "Left", limit=Fraction(1, 2)),
        room("shares", "BETA", limit=Fraction(1, 100)),
    )
    made = rebalanced(weights=weights, headroom=head)
    bars = {bar.label: bar for bar in sector_bars(made)}
    assert (bars["Left"].before, bars["Left"].after) == (Fraction(7, 20), Fraction(13, 40))
    assert bars["Left"].limit == Fraction(1, 2)
    assert (bars["no sector"].after, bars["no sector"].limit) == (Fraction(1, 3), None)
    names = {bar.label: bar.limit for bar in name_bars(made)}
    assert names == {"ACME": Fraction(1, 6), "BETA": None, "COCO": None}
    heights = [max(bar.before, bar.after) for bar in name_bars(made)]
    assert heights == sorted(heights, reverse=True)


# ---- tables and words --------------------------------------------------------------------------------


def printed(thing: object) -> str:
    """What stands in the terminal."""
    console = Console(width=140, record=True, color_system=None)
    with console.capture() as capture:
        console.print(thing)
    return capture.get()


def test_tables_hold_every_order_weight_rule_and_clash():
    orders = (order(), order(id="R2-BETA", symbol="BETA", side="sell_short", wave=2, quantity=12_345))
    made = rebalanced(orders=orders)
    text = printed(view.orders_table(made))
    assert "R1-ACME" in text
    assert re.search(r"2\s+R2-BETA\s+sell short\s+12,345\s+10\.05\s+70", text)
    assert re.search(r"ACME\s+Left\s+10\.00%\s+20\.00%\s+10\.00%\s+3\.00%", printed(view.weights_table(made)))
    assert "cap" in printed(view.binding_table(made))
    assert "3 more have more room" in printed(view.headroom_table(made))
    conflict = printed(view.conflict_table(infeasible().clashes))
    assert re.search(r"cap\s+ACME\s+5\.00%\s+6\.00%", conflict)
    assert "these 2 rules together" in view.words_of(infeasible())


def test_where_no_limit_is_near_the_tables_say_so():
    """An empty table would look like one that was forgotten."""
    near = replace(room(), after=Fraction(1, 4), margin=Fraction(0))
    for headroom, none in (((room(), near), False), ((room(),), True), ((), True)):
        made = rebalanced(headroom=headroom)
        assert ("none is near its limit" in printed(view.headroom_table(made))) is none
        page = report_of(made, "VALID")
        assert ("None: nothing was or is broken, and no rule uses 90% of its limit." in page) is none


def test_a_summary_claims_what_was_certified_and_no_more():
    text = view.summary(rebalanced(left_out=()))
    assert "1 orders in 1 wave," in text
    assert "cash 65.00% → 58.00%" in text
    assert "certified within 0.500 bp of NAV of the optimum of the stated objective (convex path)" in text
    assert "1,234 comparisons" in text
    without = view.summary(rebalanced(gap_bp=None))
    assert "no certified distance" in without
    assert "zebra (for COCO: no price)" in without
    assert view.gap_words(rebalanced(gap_bp=Fraction(1, 1000))) == "0.001 bp or less"
    assert view.gap_words(rebalanced(gap_bp=Fraction(11, 10_000))) == "0.001 bp"
    assert view.gap_words(rebalanced(gap_bp=None)) == DASH


class Reader(HTMLParser):
    """Elements that stay open, texts, and whatever a browser would fetch or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        if tag not in {"meta", "br", "line", "circle", "rect", "img", "link"}:
            self.open.append(tag)
        self.fetched += [tag] if tag in {"script", "link", "img", "iframe", "object"} else []
        self.fetched += [
            name for name, value in attrs if name in {"src", "href", "onclick", "onload", "style"} and value
        ]

    def handle_endtag(self, tag: str) -> None:
        """It ends."""
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        """A text."""
        self.texts.append(data)


HOSTILE = '"><script>alert(1)</script><img src=x onerror=y>&amp;'


@pytest.mark.parametrize("kind", ["orders", "conflict"])
def test_a_report_is_well_formed_and_hostile_words_stay_words(kind: str):
    made: Rebalanced | Infeasible = infeasible(HOSTILE)
    if kind == "orders":
        made = rebalanced(
            account=HOSTILE,
            weights=(weight(HOSTILE), weight("B", sector=HOSTILE)),
            orders=(order(symbol=HOSTILE),),
            headroom=(room(HOSTILE, HOSTILE, title=HOSTILE, status_after="breach"),),
        )
    page = report_of(made, HOSTILE)
    reader = Reader(page)
    assert reader.open == []
    assert reader.fetched == []
    assert any(HOSTILE in text for text in reader.texts)
    assert page == report_of(made, HOSTILE), "the same bytes again"
