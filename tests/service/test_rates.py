"""The token bucket against a plain simulation that counts whole tokens in fractions."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service.rates import SECOND, Rates
from tests.service.border import Clock


class Nanoseconds(Clock):
    def __call__(self) -> int:
        return int(self.now)


def rates(clock: Nanoseconds, callers_max: int = 100) -> Rates:
    return Rates(callers_max=callers_max, since=clock)


def test_a_burst_of_one_second_is_allowed_and_not_one_call_more():
    clock = Nanoseconds(0)
    made = rates(clock)
    assert [made.wait("a", SECOND // 10) for _ in range(10)] == [0] * 10
    assert made.wait("a", SECOND // 10) == SECOND // 10


def test_waiting_exactly_as_told_is_enough_and_a_nanosecond_less_is_not():
    clock = Nanoseconds(0)
    made = rates(clock)
    while not (wait := made.wait("a", SECOND // 4)):
        pass
    clock.now += wait - 1
    assert made.wait("a", SECOND // 4) == 1
    clock.now += 1
    assert made.wait("a", SECOND // 4) == 0


def test_callers_do_not_share_a_bucket():
    clock = Nanoseconds(0)
    made = rates(clock)
    assert made.wait("a", SECOND) == 0
    assert made.wait("a", SECOND) > 0
    assert made.wait("b", SECOND) == 0


@settings(deadline=None)
@given(st.integers(1, 1000), st.lists(st.integers(0, SECOND // 50), max_size=60))
def test_it_lets_through_what_a_bucket_of_tokens_does(per_second: int, pauses: list[int]):
    clock = Nanoseconds(5)
    made = rates(clock)
    spacing = SECOND // per_second
    # The same bucket in other words: it holds `capacity` tokens' worth of time and one call takes `spacing` of it.
    level, last = Fraction(SECOND), clock()
    for pause in pauses:
        clock.now += pause
        level = min(Fraction(SECOND), level + clock() - last)
        last = clock()
        allowed = level >= spacing
        assert (made.wait("a", spacing) == 0) == allowed
        level -= spacing if allowed else 0


def test_memory_is_bounded_and_full_buckets_go_first():
    clock = Nanoseconds(0)
    made = rates(clock, callers_max=10)
    for n in range(9):
        assert made.wait(f"old{n}", 1) == 0
    clock.now += 10  # those buckets are full again
    assert made.wait("busy", SECOND) == 0
    for n in range(1000):
        made.wait(f"new{n}", SECOND)
        assert len(made._full_at) <= 10
    assert made.wait("new999", SECOND) > 0, "the last caller was not forgotten"


def test_a_busy_caller_is_remembered_when_quiet_ones_are_forgotten():
    clock = Nanoseconds(0)
    made = rates(clock, callers_max=3)
    made.wait("busy", SECOND)
    for n in range(50):
        made.wait(f"quiet{n}", 1)
        clock.now += 1
    assert made.wait("busy", SECOND) > 0
