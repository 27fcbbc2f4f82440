"""The life of rule books through the running service, against a model that says which book must decide.

Whatever is uploaded, tested, asked for, agreed to, refused or taken up again, by whom and in which order: the model
foretells the answer to each step, which book is active, what every book is called, and what an order is told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service import rule_books
from lexorder.api.service.rule_books import STANDING, RuleBooks, changes
from tests.service.house import House
from tests.worlds import VOCABULARY, order

ANN, BOB, CID, DAN = "risk_officer/ann", "risk_officer/bob", "approver/cid", "admin/dan"
ASKERS = (ANN, BOB, DAN)
DECIDERS = (ANN, BOB, CID, "approver/ANN", "risk_officer/Dan ")
NEITHER = ("analyst/eve", "observer/oto", "senior_trader/tess", "portfolio_manager/pam")
FORBIDDEN = [(who, step) for who in NEITHER for step in ("activate", "approve", "reject")]
FORBIDDEN += [(DAN, "approve"), (DAN, "reject"), (CID, "activate")]


def text_of(most: int, title: str = "t", *, right: bool = True) -> str:
    """A book of one rule that admits so many shares; its example is right or wrong."""
    given = most if right else most + 1
    return (
        f"- rule: size\n  title: {title}\n  require: order.quantity <= {most}\n"
        f"  tests:\n    - name: at the limit\n      given: {{order: {{quantity: {given}}}}}\n      expect: pass\n"
    )


MOST = (10, 20, 30)
WRONG = len(MOST)
"""The number of the book whose example fails."""


def person(who: str) -> str:
    """Whoever holds a key, however it is written."""
    return who.partition("/")[2].strip().casefold()


STEPS = ("upload", "request", "activate", "reject")


@dataclass
class Book:
    """What must be so of a book; nothing is known of one that was not uploaded."""

    state: str = ""
    asked_by: str = ""
    reason: str = ""
    uploader: str = ""


class BookLife:
    """The service beside the model, with books of its own that nobody has uploaded yet."""

    def __init__(self, house: House, seed: int) -> None:
        self.house, self.dice = house, random.Random(seed)
        title = f"t{seed}"
        self.texts = [*(text_of(most, title) for most in MOST), text_of(40, title, right=False)]
        lint = "/v1/rulebooks/lint"
        self.ids = [self.house.post(lint, {"files": {"a.yaml": text}}, by=BOB)["id"] for text in self.texts]
        self.books = [Book() for _ in self.texts]
        self.active: str = self.house.get("/v1/rulebooks")["active"]
        self.steps: list[tuple[str, str, str]] = []
        self.old = len(self.house.get("/v1/rulebooks/history")["items"])

    def sent(self, who: str, number: int, step: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        answer = self.house.call("POST", f"/v1/rulebooks/{self.ids[number]}/{step}", body, who)
        return answer.status_code, answer.json()

    def took(self, action: str, number: int, who: str) -> None:
        self.steps.append((action, self.ids[number], who.partition("/")[2].strip()))

    def one_of(self, *states: str) -> int:
        """A book, most often one in these states."""
        fitting = [n for n, book in enumerate(self.books) if book.state in states and n != WRONG]
        return self.dice.choice(fitting * 4 + list(range(len(self.books))))

    def step(self) -> None:
        """One random step; afterwards everything must be as the model says."""
        ask, decide = [self.ask] * 4, [*[self.approve] * 4, *[self.reject] * 2]
        self.dice.choice(
            [*[self.upload] * 3, self.look_at_it, *ask, *decide, self.try_without_the_role, self.rebuild]
        )()
        self.the_active_book_decides_and_no_other()
        self.every_book_is_called_what_became_of_it()
        self.the_history_has_every_step_once_and_nothing_else()

    # ---- steps -----------------------------------------------------------------------------------------

    def upload(self) -> None:
        who, number = self.dice.choice(ASKERS), self.dice.randrange(len(self.books))
        comment = self.dice.choice(["", "# once more\n"])
        body = {"name": "n", "files": {"a.yaml": comment + self.texts[number]}}
        told, book = self.house.post("/v1/rulebooks", body, by=who), self.books[number]
        assert (told["id"], told["rules"]) == (self.ids[number], 1)
        assert told["status"] == ("known" if book.state else "uploaded")
        if not book.state:
            self.books[number] = Book("uploaded", uploader=who.partition("/")[2])
            self.took("upload", number, who)
        assert told["uploaded"]["person"] == self.books[number].uploader

    def look_at_it(self) -> None:
        """Linted and tested as often as anybody likes, it stays what it is."""
        number = self.dice.randrange(len(self.books))
        status, told = self.sent(BOB, number, "test")
        if not self.books[number].state:
            assert (status, told["code"]) == (404, "unknown-rulebook")
            return
        right = number != WRONG
        assert (told["ok"], told["passed"], told["failed"]) == (right, int(right), int(not right))
        linted = {"ok": True, "findings": [], "count": 0, "rules": 1, "id": self.ids[number]}
        assert self.sent(BOB, number, "lint") == (200, linted)

    def ask(self) -> None:
        who, number = self.dice.choice(ASKERS), self.one_of("uploaded", "rejected", "retired")
        reason = self.dice.choice(["", "tighter"])
        status, told = self.sent(who, number, "activate", {"reason": reason} if reason else None)
        book = self.books[number]
        if not book.state:
            assert (status, told["code"]) == (404, "unknown-rulebook")
        elif book.state in ("requested", "active"):
            assert (status, told["code"], told["state"]) == (409, "wrong-state", book.state)
        elif number == WRONG:
            assert (status, told["code"]) == (409, "tests-fail")
        else:
            assert (status, told["state"], told["tests_passed"], told["decided"]) == (202, "requested", 1, None)
            self.books[number] = Book("requested", person(who), reason, book.uploader)
            self.took("request", number, who)

    def approve(self) -> None:
        who, number = self.dice.choice(DECIDERS), self.one_of("requested")
        status, told = self.sent(who, number, "approve")
        book = self.books[number]
        if book.state != "requested":
            assert (status, told["code"]) == ((409, "wrong-state") if book.state else (404, "unknown-rulebook"))
        elif book.asked_by == person(who):
            assert (status, told["code"]) == (409, "second-person-required")
        else:
            assert (status, told["state"], person(f"/{told['decided']['person']}")) == (200, "active", person(who))
            for other in self.books:
                other.state = "retired" if other.state == "active" else other.state
            book.state, self.active = "active", self.ids[number]
            self.took("activate", number, who)

    def reject(self) -> None:
        who, number, reason = self.dice.choice(DECIDERS), self.one_of("requested"), self.dice.choice(["", "not now"])
        status, told = self.sent(who, number, "reject", {"reason": reason})
        book = self.books[number]
        if book.state != "requested":
            assert (status, told["code"]) == ((409, "wrong-state") if book.state else (404, "unknown-rulebook"))
        else:
            assert (status, told["state"], told["reason"]) == (200, "rejected", reason)
            book.state, book.reason = "rejected", reason
            self.took("reject", number, who)

    def try_without_the_role(self) -> None:
        who, step = self.dice.choice(FORBIDDEN)
        status, told = self.sent(who, self.one_of("requested"), step)
        assert (status, told["code"]) == (403, "not-permitted")

    def rebuild(self) -> None:
        """Start again from the ledger."""
        self.house.run(self.house.service.rebuild())

    # ---- what must be so -------------------------------------------------------------------------------

    def the_active_book_decides_and_no_other(self) -> None:
        floor = self.house.service.floor
        assert floor.books.active == self.active
        assert [b.id for b in floor.books.uploaded.values() if b.state == "active"] == [self.active]
        if self.active not in self.ids:
            return
        most = MOST[self.ids.index(self.active)]
        for quantity, outcome in ((most, "approve"), (most + 1, "reject")):
            decided = self.house.post("/v1/orders/check?reserve=false", order(quantity=quantity))
            assert (decided["outcome"], decided["rulebook_hash"]) == (outcome, floor.standing.book.hash)
        assert set(floor.standing.book.ids()) == {"size", *STANDING}

    def every_book_is_called_what_became_of_it(self) -> None:
        known = self.house.service.floor.books.uploaded
        for key, book in zip(self.ids, self.books, strict=True):
            assert (known[key].state if key in known else "") == book.state
            if book.state:
                assert known[key].reason == book.reason

    def the_history_has_every_step_once_and_nothing_else(self) -> None:
        steps = self.house.service.floor.books.history[self.old :]
        assert [(s["action"], s["id"], s["person"]) for s in steps] == self.steps


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), clock="feed").furnished()
    yield house
    house.close()


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_done_the_book_decides_that_two_persons_agreed_on(served: House, seed: int):
    life = BookLife(served, seed)
    for _ in range(90):
        life.step()
    done = [action for action, _, _ in life.steps]
    assert min(done.count(action) for action in STEPS) > 1, "the model was tried"
    before = served.get("/v1/rulebooks"), served.get("/v1/rulebooks/history")
    served.reopen()
    assert (served.get("/v1/rulebooks"), served.get("/v1/rulebooks/history")) == before


# ---- at the same time ----------------------------------------------------------------------------------


def uploaded(house: House, text: str, by: str = ANN) -> str:
    return str(house.post("/v1/rulebooks", {"files": {"a.yaml": text}}, by=by)["id"])


def at_once(house: House, *calls: tuple[str, str, str, Any]) -> list[tuple[int, str]]:
    """Status and code (or state) of calls made at the same time: by, method, path, body."""
    for by, *_ in calls:
        house.key(*by.split("/"))

    async def all_of_them() -> list[Any]:
        return list(await asyncio.gather(*(house.calling(m, path, body, by) for by, m, path, body in calls)))

    answers = [(a.status_code, a.json()) for a in house.run(all_of_them())]
    return [(status, told.get("code") or told.get("status") or told["state"]) for status, told in answers]


def step_of(by: str, key: str, step: str) -> tuple[str, str, str, Any]:
    return by, "POST", f"/v1/rulebooks/{key}/{step}", None


def test_of_two_who_agree_at_once_one_is_told_that_it_is_done(house: House):
    key = uploaded(house, text_of(50))
    house.post(f"/v1/rulebooks/{key}/activate", by=ANN, status=202)
    found = at_once(house, *(step_of(by, key, "approve") for by in (BOB, CID, "approver/gil")))
    assert sorted(found) == [(200, "active"), (409, "wrong-state"), (409, "wrong-state")]
    actions = [s["action"] for s in house.get("/v1/rulebooks/history")["items"]]
    assert actions.count("activate") == 2, "the first book of the house, and this one"


def test_of_two_who_ask_at_once_one_has_asked(house: House):
    key = uploaded(house, text_of(51))
    found = at_once(house, step_of(ANN, key, "activate"), step_of(BOB, key, "activate"))
    assert sorted(found) == [(202, "requested"), (409, "wrong-state")]
    asker = house.get(f"/v1/rulebooks/{key}")["requested"]["person"]
    other = {"ann": BOB, "bob": ANN}[asker]
    assert house.refused("POST", f"/v1/rulebooks/{key}/approve", by=f"approver/{asker}") == (
        409,
        "second-person-required",
    )
    assert house.post(f"/v1/rulebooks/{key}/approve", by=other)["state"] == "active"


def test_of_yes_and_no_at_once_one_counts(house: House):
    key, old = uploaded(house, text_of(52)), house.get("/v1/rulebooks")["active"]
    house.post(f"/v1/rulebooks/{key}/activate", by=ANN, status=202)
    yes, no = at_once(house, step_of(BOB, key, "approve"), step_of(CID, key, "reject"))
    assert sorted([yes[0], no[0]]) == [200, 409]
    assert house.get("/v1/rulebooks")["active"] == (key if yes[0] == 200 else old)


def test_two_books_agreed_to_at_once_leave_one_active_and_one_retired(house: House):
    keys = [uploaded(house, text_of(most)) for most in (53, 54)]
    for key in keys:
        house.post(f"/v1/rulebooks/{key}/activate", by=ANN, status=202)
    assert {status for status, _ in at_once(house, *(step_of(BOB, key, "approve") for key in keys))} == {200}
    states = {b["id"]: b["state"] for b in house.get("/v1/rulebooks")["items"]}
    active = house.get("/v1/rulebooks")["active"]
    assert active in keys
    assert sorted(states[key] for key in keys) == ["active", "retired"]
    most = (53, 54)[keys.index(active)]
    assert [house.check(id=f"o{q}", quantity=q)["outcome"] for q in (most, most + 1)] == ["approve", "reject"]


def test_the_same_texts_sent_at_once_are_one_book(house: House):
    body = {"files": {"a.yaml": text_of(55)}}
    found = at_once(house, *((by, "POST", "/v1/rulebooks", body) for by in (ANN, BOB, DAN, ANN)))
    assert sorted(found) == [(200, "known")] * 3 + [(200, "uploaded")]
    assert len(house.get("/v1/rulebooks")["items"]) == 2


def test_the_last_place_on_the_shelf_is_taken_once(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rule_books, "UPLOADED_MAX", 2)
    calls = [(ANN, "POST", "/v1/rulebooks", {"files": {"a.yaml": text_of(60 + n)}}) for n in range(4)]
    assert sorted(at_once(house, *calls)) == [(200, "uploaded")] + [(409, "too-many-rulebooks")] * 3
    assert len(house.get("/v1/rulebooks")["items"]) == 2


def test_a_book_that_is_there_is_known_however_full_the_shelf_is(house: House, monkeypatch: pytest.MonkeyPatch):
    key = uploaded(house, text_of(56))
    monkeypatch.setattr(rule_books, "UPLOADED_MAX", 1)
    again = house.post("/v1/rulebooks", {"files": {"a.yaml": text_of(56)}}, by=BOB)
    assert (again["status"], again["id"]) == ("known", key)


# ---- what a request may say ----------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["activate", "reject"])
@pytest.mark.parametrize(
    ("body", "status"),
    [({"reason": "x" * 500}, 409), ({"reason": "x" * 501}, 422), ({"why": "x"}, 422), ({"reason": 5}, 422), ([], 422)],
)
def test_a_reason_is_a_text_of_a_length(shared: House, step: str, body: Any, status: int):
    assert shared.refused("POST", f"/v1/rulebooks/active/{step}", body, ANN)[0] == status


GOOD = ["a.yaml", "a.yml", "b/c/a.yaml", "A_1-b.yaml", "a.b.yaml", "x" * 115 + ".yaml"]
BAD = [".yaml", "a..yaml", "a/.yaml", "a/../b.yaml", "a//b.yaml", "a.yaml/", "a b.yaml", "ä.yaml", "a.YAML", "yaml",
       "a\\b.yaml", "a.yaml\n", "x" * 116 + ".yaml", "/a.yaml", ""]  # fmt: skip


@pytest.mark.parametrize(("name", "fits"), [(name, True) for name in GOOD] + [(name, False) for name in BAD])
def test_a_file_has_a_plain_relative_name(shared: House, name: str, *, fits: bool):
    answer = shared.call("POST", "/v1/rulebooks/lint", {"files": {name: text_of(57)}}, ANN)
    assert (answer.status_code == 200) == fits, answer.text


# ---- what changes --------------------------------------------------------------------------------------

VARIANTS = {
    name: [f"- rule: {name}\n  title: t\n  require: order.quantity <= {most}\n" for most in (5, 6)] for name in "abcd"
}
SHELF = RuleBooks(VOCABULARY)
CHOICES = st.dictionaries(st.sampled_from(sorted(VARIANTS)), st.integers(0, 1), min_size=1)


@settings(max_examples=60, deadline=None)
@given(old=CHOICES, new=CHOICES, split=st.booleans())
def test_what_changes_is_the_difference_of_two_sets_of_rules(old: dict[str, int], new: dict[str, int], *, split: bool):
    """However the rules are laid out in files."""

    def loaded(chosen: dict[str, int]) -> Any:
        parts = [VARIANTS[name][which] for name, which in chosen.items()]
        files = {f"{n}.yaml": part for n, part in enumerate(reversed(parts))} if split else {"a.yaml": "".join(parts)}
        return SHELF.load(files)

    found = changes(loaded(old), loaded(new))
    assert found == {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
    }


@pytest.mark.parametrize("own", list(product((False, True), repeat=2)), ids=str)
def test_each_switch_a_book_lacks_stands_beside_it_and_none_twice(own: tuple[bool, ...]):
    mine = [name for name, there in zip(STANDING, own, strict=True) if there]
    books = RuleBooks(VOCABULARY)
    text = "".join(f"- rule: {name}\n  title: ours\n  require: order.quantity > 0\n" for name in ("size", *mine))
    told = {"id": "x", "by": "k", "now": "2026-06-15T12:00:00-04:00", "name": "n", "files": {"a.yaml": text}}
    books.apply("upload", told)
    books.apply("activate", told)
    found = books.in_force(None)
    assert sorted(found.ids()) == sorted(("size", *STANDING))
    ours = {v.id for v in found.versions for _, r in v.items if r.title == "ours"}
    assert ours == {"size", *mine}
    assert books.in_force(None) is found, "joined once"
