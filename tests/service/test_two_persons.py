"""Whatever is done in whatever order: nothing decides that two persons did not agree on, and a restart changes nothing.

A model of a few lines foretells the answer to every step; the service must give it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from tests.service.house import RULES, House, state_of

PEOPLE = ("risk_officer/ann", "risk_officer/bob", "approver/ANN", "approver/cid")
IDS = ("a", "b")
BOOKS = tuple(f"- rule: r{n}\n  title: t\n  require: order.quantity <= {n + 2}_000\n" for n in range(2))


def person(who):
    return who.partition("/")[2].casefold()


@dataclass
class Model:
    """What must be so. `limits`: whether one decides; `asked`: who waits for an approver, and for what."""

    limits: dict[str, bool] = field(default_factory=dict)
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)
    active: str = ""
    wanted: dict[str, str] = field(default_factory=dict)

    def propose(self, who, key):
        if not who.startswith("risk_officer"):
            return 403
        if key in self.limits or key in self.asked:
            return 409
        self.limits[key], self.asked[key] = False, (person(who), "approve")
        return 202

    def update(self, who, key):
        if not who.startswith("risk_officer"):
            return 403
        if key not in self.limits:
            return 404
        if key in self.asked:
            return 409
        self.asked[key] = (person(who), "approve")
        return 202

    def retire(self, who, key):
        if not who.startswith("risk_officer"):
            return 403
        if key not in self.limits:
            return 404
        if key in self.asked or not self.limits[key]:
            return 409
        self.asked[key] = (person(who), "retire")
        return 202

    def decide(self, who, key, step):
        if key not in self.limits:
            return 404
        if key not in self.asked or (step == "approve" and self.asked[key][0] == person(who)):
            return 409
        _, what = self.asked.pop(key)
        if step == "approve":
            self.limits[key] = what == "approve"
        return 200

    def ask(self, who, book):
        if not who.startswith("risk_officer"):
            return 403
        if book in self.wanted or book == self.active:
            return 409
        self.wanted[book] = person(who)
        return 202

    def activate(self, who, book, step):
        if book not in self.wanted or (step == "approve" and self.wanted[book] == person(who)):
            return 409
        del self.wanted[book]
        if step == "approve":
            self.active = book
        return 200


LIMIT = {"kind": "position-weight", "values": {"2026-01-01": "9%"}}


def step(house, model, dice, books):
    """One random step, by a random person, on both."""
    key, book = dice.choice(IDS), dice.choice(sorted(model.wanted) if model.wanted and dice.random() < 0.7 else books)
    askers = {model.asked.get(key, ("", ""))[0], model.wanted.get(book, "")}
    # Half of the time somebody who asked for something is at it again, with whichever key.
    who = dice.choice([p for p in PEOPLE if person(p) in askers and dice.random() < 0.7] or PEOPLE)
    verdict = dice.choice(("approve", "approve", "reject"))
    told = [
        (lambda: model.propose(who, key), "POST", "/v1/limits", {"id": key, **LIMIT}),
        (lambda: model.update(who, key), "PUT", f"/v1/limits/{key}", LIMIT),
        (lambda: model.retire(who, key), "DELETE", f"/v1/limits/{key}", None),
        *[(lambda: model.decide(who, key, verdict), "POST", f"/v1/limits/{key}/{verdict}", None)] * 3,
        (lambda: model.ask(who, book), "POST", f"/v1/rulebooks/{book}/activate", None),
        *[(lambda: model.activate(who, book, verdict), "POST", f"/v1/rulebooks/{book}/{verdict}", None)] * 2,
    ]
    foretold, method, path, body = dice.choice(told)
    expected = foretold()
    answer = house.call(method, path, body, who)
    assert answer.status_code == expected, (who, method, path, answer.text)


def in_force(house):
    return {i.removeprefix("limit-") for i in house.service.floor.standing.book.ids() if i.startswith("limit-")}


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_steps_gives_what_two_persons_agreed_on(tmp_path, seed):
    dice = random.Random(seed)
    house = House(tmp_path).furnished()
    try:
        first = house.get("/v1/rulebooks/active")["id"]
        texts = [{"name": "n", "files": {"a.yaml": RULES + text}} for text in BOOKS]
        books = [first, *(house.post("/v1/rulebooks", each, by=PEOPLE[0])["id"] for each in texts)]
        model = Model(active=first)
        for number in range(40):
            step(house, model, dice, books)
            assert in_force(house) == {key for key, decides in model.limits.items() if decides}
            assert house.service.floor.books.active == model.active
            if number == 20:
                house.furnished()
                house.check(id="between", quantity=1)
        before = state_of(house.service.floor)
        house.reopen()
        assert state_of(house.service.floor) == before
        assert in_force(house) == {key for key, decides in model.limits.items() if decides}
        for _ in range(5):  # and it goes on as if nothing had been
            step(house, model, dice, books)
    finally:
        house.close()


@pytest.mark.parametrize("seed", range(3))
def test_every_decision_in_force_had_two_persons(tmp_path, seed):
    """Read from the records alone: whoever asked and whoever agreed are two."""
    dice = random.Random(100 + seed)
    house = House(tmp_path).furnished()
    try:
        model = Model(active=house.get("/v1/rulebooks/active")["id"])
        for _ in range(40):
            step(house, model, dice, [model.active])
        for versions in house.service.floor.limits.versions.values():
            for version in versions:
                if version.state in ("approved", "replaced", "retired", "retiring"):
                    assert version.decided is not None
                    asked = version.retired_by if version.state == "retired" else version.by
                    assert asked is not None
                    assert version.state == "retiring" or not asked.same_person(version.decided)
    finally:
        house.close()
