"""Interval analysis: what is said to fit does, on the extremes of the declared bounds."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lexorder.engine.bounds import INT64_MAX, fits_int64, resource_bounds
from lexorder.engine.typecheck import term_of
from tests.agreement.compare import VOCABULARY


def bound(text: str, for_each: str = "order"):
    return fits_int64(term_of(text, VOCABULARY, for_each), VOCABULARY)


@pytest.mark.parametrize(
    ("text", "magnitude", "scale"),
    [
        ("order.quantity <= 5000", 10_000_000, 1),
        ("order.price <= instrument.ask", 201 * 10**8, 10_000),
        ("order.price <= instrument.ask * 110%", 221 * 10**9, 100_000),
        ("order.quantity <= 10% * instrument.adv", 10**11, 10),
        ("abs(order.price - instrument.mark) <= 5 * instrument.mark", 10**11, 10_000),
    ],
)
def test_magnitudes_are_those_worked_out_by_hand(text, magnitude, scale):
    found = bound(text)
    assert found.fits, found.reason
    assert (found.magnitude, found.scale) == (magnitude, scale)


def test_the_difference_of_the_sides_is_covered():
    found = bound("account.nav - account.start_of_day_nav <= 2% * account.nav", "account")
    assert found.fits
    assert found.magnitude is not None
    assert found.magnitude >= 10**16 * 50


@pytest.mark.parametrize(
    ("text", "for_each", "words"),
    [
        ("order.notional <= 500_000", "order", "an intermediate can reach 4.0e49"),
        ("order.quantity / instrument.adv <= 10%", "order", "not declared positive"),
        ("1 + order.quantity / instrument.adv <= 2", "order", "divides"),
        ("session.open - clock.now <= 5 min", "order", "times are not kept as integers"),
    ],
)
def test_what_does_not_fit_says_why(text, for_each, words):
    found = bound(text, for_each)
    assert not found.fits
    assert words in found.reason


def test_a_positive_divisor_is_multiplied_out():
    found = bound("account.cash / account.nav >= 2%", "account")
    assert found.fits, found.reason


def test_a_sum_has_no_static_bound_but_a_guard():
    found = bound("sum(abs(position.after.quantity)) <= 5_000", "account")
    assert not found.fits
    assert found.magnitude == 200_000_000
    assert "unlimited integers" in found.guard
    assert "nothing limits how many" in found.reason


def test_a_sum_whose_members_overflow_has_no_guard():
    found = bound("sum(abs(position.after.value)) <= 5% * account.nav", "issuer")
    assert (found.fits, found.guard) == (False, "")
    assert found.magnitude is not None
    assert found.magnitude > INT64_MAX


def test_counts_are_guarded():
    assert "2^63" in bound("count(position where position.before.quantity != 0) <= 5", "account").guard


def test_conditions_without_numbers_always_fit():
    found = bound("order.symbol not in lists.restricted")
    assert (found.fits, found.magnitude, found.scale) == (True, 0, 1)


def test_every_comparison_of_a_condition_counts():
    assert not bound("order.quantity <= 5000 and order.notional <= 500_000").fits
    assert bound("order.quantity <= 5000 or not (order.price > instrument.ask)").fits


def test_branches_and_extremes_take_the_widest():
    found = bound(
        "order.price <= (if trader.role == junior_trader then 5 * instrument.ask else min(instrument.ask, 7))"
    )
    assert found.fits
    assert found.magnitude == 10**11 + 10**8


def test_the_largest_admitted_magnitude_is_symmetric():
    assert INT64_MAX == 2**63 - 1


def test_every_resource_has_a_limit_and_a_reason():
    found = resource_bounds()
    assert len({r.what for r in found}) == len(found)
    assert all(r.limit > 0 and r.reason for r in found)


def test_fractions_never_leave_the_analysis():
    magnitude = bound("order.quantity * 1.5 <= 7").magnitude
    assert isinstance(magnitude, int)
    assert Fraction(magnitude) == magnitude
