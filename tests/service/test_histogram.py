"""Durations land in the buckets Prometheus would put them in."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as Reference

from lexorder.api.service.histogram import CHECK_BOUNDS, REBALANCE_BOUNDS, Histogram


def reference(bounds, durations):
    """The same by `prometheus_client`: bucket counts by upper limit, and the sum."""
    registry = CollectorRegistry()
    histogram = Reference("x", "x", buckets=bounds, registry=registry)
    for seconds in durations:
        histogram.observe(seconds)
    (family,) = registry.collect()
    buckets = [(s.labels["le"], s.value) for s in family.samples if s.name == "x_bucket"]
    (total,) = [s.value for s in family.samples if s.name == "x_sum"]
    return buckets, total


def filled(bounds, durations):
    histogram = Histogram(bounds)
    for seconds in durations:
        histogram.observe(seconds)
    return histogram


def beside(bound):
    """The bound itself and the floats next to it."""
    return [math.nextafter(bound, 0.0), bound, math.nextafter(bound, math.inf)]


@pytest.mark.parametrize("bounds", [CHECK_BOUNDS, REBALANCE_BOUNDS], ids=["check", "rebalance"])
def test_on_a_bound_and_beside_it_the_bucket_is_prometheus_own(bounds):
    durations = [seconds for bound in bounds for seconds in beside(bound)]
    ours = filled(bounds, durations)
    assert (ours.buckets(), ours.sum_seconds) == reference(bounds, durations)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=1e6) | st.sampled_from(CHECK_BOUNDS)))
def test_any_durations_give_prometheus_own_counts(durations):
    ours = filled(CHECK_BOUNDS, durations)
    assert (ours.buckets(), ours.sum_seconds) == reference(CHECK_BOUNDS, durations)
    assert ours.count == len(durations)


@pytest.mark.parametrize("seconds", [-1.0, -math.inf, math.nan, 0.0])
def test_what_is_no_duration_counts_as_nothing_and_spoils_no_sum(seconds):
    ours = filled(CHECK_BOUNDS, [seconds, 0.25])
    assert ours.sum_seconds == 0.25
    assert ours.buckets()[0] == ("0.0001", 1)
    assert ours.count == 2


@pytest.mark.parametrize("bounds", [CHECK_BOUNDS, REBALANCE_BOUNDS], ids=["check", "rebalance"])
def test_bounds_ascend(bounds):
    assert list(bounds) == sorted(set(bounds))


def test_the_goal_of_five_milliseconds_is_a_bound():
    assert 0.005 in CHECK_BOUNDS


def test_an_empty_one_has_all_buckets():
    assert Histogram((1.0, 2.0)).buckets() == [("1.0", 0), ("2.0", 0), ("+Inf", 0)]
