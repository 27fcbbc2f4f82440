"""Limits by their versions: random steps against a model of five lines, and every refusal with its code.

The model knows of each limit what decides and what is asked; `limit_book.py` keeps versions, history and rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service.limit_book import ALIVE, OPEN, Limits
from lexorder.api.service.limit_kinds import rule_id
from lexorder.api.service.problems import Problem
from lexorder.engine.errors import RuleFileError
from tests.worlds import VOCABULARY

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["cap", "size"]),
        st.sampled_from(["propose", "approve", "reject", "retire-request", "retire"]),
        st.sampled_from(["ada", "bob"]),
    ),
    max_size=14,
)


def body(figure: int) -> dict[str, Any]:
    """A limit on the shares of an order."""
    return {"for_each": "order", "require": "order.quantity <= limit", "values": {"2026-01-01": {"value": str(figure)}}}


@dataclass
class Modelled:
    """What must be true of one limit: the figure that decides, what is asked, how many versions there were."""

    decides: int | None = None
    asked: tuple[str, int | None] | None = None
    figures: list[int] = field(default_factory=list)

    def admits(self, action: str) -> bool:
        """Whether the routes let such a step through."""
        if action == "propose":
            return self.asked is None
        if action == "retire-request":
            return self.asked is None and self.decides is not None
        if self.asked is None:
            return False
        return action == "reject" or (action == "retire") == (self.asked[0] == "retire")

    def take(self, action: str, figure: int) -> None:
        """A step that is admitted."""
        if action == "propose":
            self.figures.append(figure)
            self.asked = ("new", figure)
        elif action == "retire-request":
            self.asked = ("retire", None)
        elif action == "reject":
            self.asked = None
        else:
            assert self.asked is not None
            self.decides, self.asked = self.asked[1], None


@settings(max_examples=120, deadline=None)
@given(steps=STEPS)
def test_random_steps_leave_what_the_model_says(steps: list[tuple[str, str, str]]):
    limits, model = Limits(VOCABULARY), {"cap": Modelled(), "size": Modelled()}
    taken: dict[str, list[str]] = {"cap": [], "size": []}
    for number, (name, action, by) in enumerate(steps):
        if not model[name].admits(action):
            continue
        told = {"id": name, "by": f"key:{by}", "person": by, "now": f"T{number}", "limit": body(number), "reason": "r"}
        limits.apply(action, told)
        model[name].take(action, number)
        taken[name].append(action)
    for name, known in model.items():
        alive = [v for v in limits.alive() if v.id == name]
        assert [dict(v.body) for v in alive] == ([] if known.decides is None else [body(known.decides)])
        versions = limits.versions.get(name, [])
        assert [v.body for v in versions] == [body(figure) for figure in known.figures]
        assert [v.version for v in versions] == list(range(1, len(versions) + 1))
        assert [row["action"] for row in limits.history.get(name, [])] == taken[name]
        waiting = [v for v in versions if v.state in OPEN]
        assert len(waiting) == (known.asked is not None)
        if known.asked is None:
            limits.unasked(name)
        else:
            assert limits.pending(name) is waiting[0]
            assert (waiting[0].state == "retiring") == (known.asked[0] == "retire")
            with pytest.raises(Problem) as refused:
                limits.unasked(name)
            assert refused.value.code == "request-open"
            after = {v.id: dict(v.body) for v in limits.after(waiting[0])}
            assert after.get(name) == (None if known.asked[1] is None else body(known.asked[1]))
    book = limits.in_force()
    expected = {rule_id(name) for name, known in model.items() if known.decides is not None}
    assert (set(book.ids()) if book else set()) == expected


def made(*actions: str) -> Limits:
    """A limit `cap` after these steps, the first of which proposes 100."""
    limits = Limits(VOCABULARY)
    for number, action in enumerate(actions):
        told = {"id": "cap", "by": "key:a", "person": "ada", "now": f"T{number}", "limit": body(100 + number)}
        limits.apply(action, told)
    return limits


@pytest.mark.parametrize(
    ("actions", "states"),
    [
        (["propose"], ["proposed"]),
        (["propose", "approve"], ["approved"]),
        (["propose", "reject"], ["rejected"]),
        (["propose", "approve", "propose"], ["approved", "proposed"]),
        (["propose", "approve", "propose", "approve"], ["replaced", "approved"]),
        (["propose", "approve", "propose", "reject"], ["approved", "rejected"]),
        (["propose", "approve", "retire-request"], ["retiring"]),
        (["propose", "approve", "retire-request", "reject"], ["approved"]),
        (["propose", "approve", "retire-request", "retire"], ["retired"]),
        (["propose", "approve", "retire-request", "retire", "propose", "approve"], ["retired", "approved"]),
        (["propose", "reject", "propose", "approve"], ["rejected", "approved"]),
    ],
)
def test_states_after_each_way_a_limit_can_go(actions: list[str], states: list[str]):
    versions = made(*actions).versions["cap"]
    assert [v.state for v in versions] == states
    assert sum(v.state in ALIVE for v in versions) <= 1


def test_what_is_found_is_what_decides_else_the_latest():
    assert made("propose", "approve", "propose").find("cap").version == 1
    assert made("propose", "approve", "propose").find("cap", 2).state == "proposed"
    assert made("propose", "reject", "propose", "reject").find("cap").version == 2


@pytest.mark.parametrize(
    ("limits", "identifier", "version", "words"),
    [
        (made(), "cap", None, "lists the limits"),
        (made("propose"), "cpa", None, "lists the limits"),
        (made("propose"), "cap", 2, "1 versions"),
        (made("propose"), "cap", 0, "1 versions"),
    ],
)
def test_what_is_not_there_is_unknown(limits: Limits, identifier: str, version: int | None, words: str):
    with pytest.raises(Problem) as refused:
        limits.find(identifier, version)
    assert (refused.value.status, refused.value.code) == (404, "unknown-limit")
    assert words in refused.value.detail


def test_nobody_waits_where_nothing_was_asked():
    with pytest.raises(Problem) as refused:
        made("propose", "approve").pending("cap")
    assert (refused.value.status, refused.value.code) == (409, "wrong-state")


def test_who_asked_is_who_asked_last():
    limits = Limits(VOCABULARY)
    for by, action in (("ada", "propose"), ("bob", "approve"), ("cid", "retire-request")):
        limits.apply(action, {"id": "cap", "by": f"key:{by}", "person": by, "now": "T", "limit": body(1)})
    (limit,) = limits.versions["cap"]
    assert limit.requested.person == "cid"
    shown = limit.shown()
    assert (shown["proposed"]["person"], shown["decided"]["person"], shown["retired_by"]["person"]) == (
        "ada",
        "bob",
        "cid",
    )
    limits.apply("reject", {"id": "cap", "by": "key:bob", "person": "bob", "now": "T"})
    assert limits.versions["cap"][0].requested.person == "ada"


def test_a_limit_that_does_not_lint_is_told_by_the_place_in_its_rule():
    limits = Limits(VOCABULARY)
    assert set(limits.lint("cap", body(5)).ids()) == {rule_id("cap")}
    with pytest.raises(RuleFileError) as refused:
        limits.lint("cap", {**body(5), "require": "order.quantitee <= limit"})
    (problem,) = refused.value.problems
    assert problem.code == "unknown-name"
    assert problem.nearest == "order.quantity"
    assert limits.versions == {}


def test_the_book_of_the_same_limits_is_made_once_and_of_others_anew():
    limits = made("propose", "approve")
    first = limits.in_force()
    assert limits.in_force() is first
    limits.apply("propose", {"id": "cap", "by": "key:a", "person": "ada", "now": "T", "limit": body(7)})
    assert limits.in_force() is first, "what is only proposed decides nothing"
    limits.apply("approve", {"id": "cap", "by": "key:b", "person": "bob", "now": "T"})
    second = limits.in_force()
    assert second is not None
    assert first is not None
    assert second.hash != first.hash
