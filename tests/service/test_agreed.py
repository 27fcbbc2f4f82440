"""Two workers' chains end alike exactly when they took the same steps in the same order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.api.service import agreed
from lexorder.api.service.agreed import BEGINNING, RULES, WORLD, Agreed, Chain
from lexorder.api.service.shards import PART

Told = tuple[str, dict[str, Any]]

steps = st.lists(
    st.tuples(
        st.sampled_from(["rulebook", "limit", "events", "snapshot", "decision", "gap"]),
        st.fixed_dictionaries({"id": st.sampled_from("abc"), "values": st.lists(st.integers(0, 2), max_size=2)}),
    ),
    max_size=12,
)


def taken(told: list[Told], shard: int = 0) -> Agreed:
    """The chains of a worker that took these."""
    made = Agreed()
    for n, (kind, body) in enumerate(told):
        made.take(kind, {"now": f"{shard}:{n}", **body, PART: [shard, 2]})
    return made


def shared(told: list[Told], name: str) -> list[Told]:
    """The steps a chain is about, in plain words: those since the latest snapshot, or all about rules."""
    if name == RULES:
        return [step for step in told if step[0] in ("rulebook", "limit")]
    latest = max((n for n, (kind, _) in enumerate(told) if kind == "snapshot"), default=0)
    return [step for step in told[latest:] if step[0] in ("snapshot", "events")]


@given(one=steps, other=steps)
def test_chains_end_alike_when_the_steps_are_the_same(one: list[Told], other: list[Told]):
    for name in (RULES, WORLD):
        same = shared(one, name) == shared(other, name)
        assert (taken(one, 0).ends()[name] == taken(other, 1).ends()[name]) == same


@given(told=steps, data=st.data())
def test_every_earlier_end_is_remembered(told: list[Told], data: Any):
    n = data.draw(st.integers(0, len(shared(told, RULES))))
    first = [step for step in told if step[0] in ("rulebook", "limit")][:n]
    assert taken(told).chains[RULES].at(n) == taken(first).chains[RULES].digest


@given(keys=st.permutations(["id", "by", "action", "now"]))
def test_the_order_of_keys_means_nothing(keys: list[str]):
    one, other = Chain(), Chain()
    one.take("limit", {"action": "x", "by": "y", "id": "z"})
    other.take("limit", {key: {"action": "x", "by": "y", "id": "z", "now": "T"}[key] for key in keys})
    assert one.digest == other.digest


@pytest.mark.parametrize("count", [-1, 4, 99])
def test_an_end_that_never_was(count: int):
    chain = Chain()
    for n in range(3):
        chain.take("limit", {"id": n})
    assert chain.at(count) is None
    assert (chain.at(0), chain.at(3)) == (BEGINNING, chain.digest)


def test_what_is_long_past_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agreed, "KEPT", 3)
    chain, ends = Chain(), [BEGINNING]
    for n in range(5):
        chain.take("limit", {"id": n})
        ends.append(chain.digest)
    assert [chain.at(n) for n in range(6)] == [None, None, None, *ends[3:]]


def test_one_worker_alone_chains_no_events():
    made = Agreed()
    made.take("snapshot", {"document": {}})
    made.take("events", {"event_id": "e"})
    assert made.ends()[WORLD] == [0, BEGINNING]
    made.take("limit", {"id": "x"})
    assert made.ends()[RULES][0] == 1
