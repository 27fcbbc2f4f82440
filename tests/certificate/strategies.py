"""Random functions and intervals for property tests, and `given` without a deadline.

A deadline in milliseconds would make the tests fail on a busy machine and say nothing about the code.
"""

from __future__ import annotations

import hypothesis
from hypothesis import settings
from hypothesis import strategies as st

from lexorder.engine.certificate import Function

SMALL = st.integers(-12, 12)
BIG = st.integers(-(10**30), 10**30)


@st.composite
def functions(draw, numbers=SMALL, breaks=SMALL):
    points = sorted(draw(st.sets(breaks, max_size=4)))
    poly = st.tuples(numbers, numbers, numbers.map(abs))
    count = len(points) + 1
    return Function(tuple(points), tuple(draw(st.lists(poly, min_size=count, max_size=count))))


@st.composite
def intervals(draw):
    low = draw(SMALL)
    return low, low + draw(st.integers(0, 12))


def given(*strategies):
    """Like Hypothesis' own, without a deadline."""
    return lambda test: settings(deadline=None)(hypothesis.given(*strategies)(test))
