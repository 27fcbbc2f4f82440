"""A rule for compliance alone takes part in rebalances: nobody else finds its name, its figures, or a hash to try.

Three books: one whose secret rule is no row (it watches names), one where it caps what is bought so that an old breach
remains, and one where that makes the rebalance impossible. Each is solved once, for real, and read by every role, at
every place, also after a restart.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lexorder.api.rebalance_shown import ZEROS
from lexorder.api.service import rebalance_worker
from lexorder.api.service.hub import Reader
from lexorder.api.service.rebalance_record import others_of
from lexorder.api.service.rebalance_worker import Task, Worker
from lexorder.api.service.roles import Role, shipped_matrix
from lexorder.api.service.stream import message_of
from lexorder.api.service.views import IN_FULL
from lexorder.engine import verify
from lexorder.engine.errors import SolverError
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from tests.service.house import RULES, House
from tests.worlds import VOCABULARY, world

WATCHED = """
- rule: zebra-watch
  title: Zebra names are reported
  severity: warn
  audience: compliance
  require: order.symbol not in lists.watch
"""
CAPPED = """
- rule: zebra-cap
  title: Zebra cap
  audience: compliance
  phases: [pre_trade, rebalance]
  for_each: issuer
  require: sum(position.after.value) <= 2% * account.nav
"""
INVESTED = (
    CAPPED
    + """
- rule: invested
  title: At least half is invested
  phases: [rebalance]
  for_each: account
  require: sum(position.after.value) >= 50% * account.nav
"""
)
BOOKS = {"watched": (WATCHED, False), "capped": (INVESTED, False), "impossible": (INVESTED, True)}
"""Rules, and whether an old breach that cannot be cured makes it impossible."""

ASKED = {"account": "A", "trader": "T", "wait": True}
SECRET = re.compile("zebra", re.IGNORECASE)
READERS = sorted(shipped_matrix().lines["GET", "/v1/rebalances/{id}"].roles)
OTHERS = [role for role in READERS if role not in IN_FULL]
HEX = re.compile(r"\b[0-9a-f]{64}\b")


class Lasting(Worker):
    """One solver for all houses of this file: each takes seconds to start."""

    def close(self) -> None:
        """It goes on."""

    def end(self) -> None:
        """Now it ends."""
        super().close()


def house_of(folder: Path, rules: str, worker: Worker) -> House:
    """A house that uses this solver."""
    made = House(folder, RULES + rules)
    made.service.rebalancer = worker
    return made


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Lasting()
    yield made
    made.end()


class Solved:
    """A house with one rebalance, what compliance reads of it, and who of each role followed it live."""

    def __init__(self, folder: Path, book: str, worker: Worker) -> None:
        self.book = book
        rules, strict = BOOKS[book]
        self.house = house_of(folder, rules, worker)
        wish = {"id": "S1", "symbol": "BETA", "account": "A", "direction": "long", "expected_return": "3%"}
        day = {"start_of_day_nav": "100000", "peak_nav": "100000"}
        lists = {"restricted": [], "watch": [{"name": "COCO", "reason": "zebra deal"}]}
        self.house.post(
            "/v1/snapshot", world(account=day, lists=lists, signals=[{**wish, "confidence": "90%", "timeframe": "1d"}])
        )
        self.readers = {role: Reader(frozenset({"decisions"}), None, role) for role in Role}
        self.house.service.hub.readers |= set(self.readers.values())
        made = self.house.post("/v1/rebalances", {**ASKED, "strict": strict}, by="senior_trader/tess")
        self.told = made
        self.path = f"/v1/rebalances/{made['id']}"
        self.full = self.house.get(self.path, by="risk_officer")

    def places(self) -> list[str]:
        """Wherever something of it can be read."""
        return [self.path, "/v1/rebalances", *(f"{self.path}/{what}" for what in ("events", "certificate", "report"))]


@pytest.fixture(scope="module", params=sorted(BOOKS))
def solved(
    tmp_path_factory: pytest.TempPathFactory, worker: Worker, request: pytest.FixtureRequest
) -> Iterator[Solved]:
    made = Solved(tmp_path_factory.mktemp(request.param), request.param, worker)
    yield made
    made.house.close()


def hashes(text: str) -> set[str]:
    """What looks like a hash and is not blotted out."""
    return set(HEX.findall(text)) - {ZEROS}


def open_hashes(solved: Solved) -> set[str]:
    """Hashes that cover no list: of the rule book, and of the numbers in the certificate."""
    whole = json.loads(solved.house.call("GET", f"{solved.path}/certificate", by="risk_officer").text)
    return {solved.full["outcome"]["rulebook_hash"], whole["hashes"]["problem"]}


def test_the_books_do_what_they_are_here_for(solved):
    text = solved.house.call("GET", f"{solved.path}/certificate", by="risk_officer").text
    assert solved.full["status"] == ("infeasible" if solved.book == "impossible" else "done"), solved.full
    assert ("zebra-cap" in text) == (solved.book != "watched")
    assert solved.full["outcome"]["snapshot_hash"] in text


@pytest.mark.parametrize("role", OTHERS)
def test_no_place_names_it_to_others(solved, role):
    for path in solved.places():
        answer = solved.house.call("GET", path, by=f"{role.value}/other")
        assert not SECRET.search(answer.text), (path, answer.text[:300])
        assert hashes(answer.text) <= open_hashes(solved), path
        withheld = path.endswith(("certificate", "report")) and solved.book == "impossible"
        withheld |= path.endswith("certificate") and solved.book == "capped"
        if withheld:
            assert (answer.status_code, answer.json()["code"]) == (403, "for-compliance")
        else:
            assert answer.status_code == 200


@pytest.mark.parametrize("role", sorted(IN_FULL))
def test_compliance_reads_it_in_full(solved, role):
    full = solved.house.get(solved.path, by=f"{role.value}/someone")
    assert full == solved.full
    assert len(full["outcome"]["snapshot_hash"]) == 64
    if solved.book == "capped":
        assert {row["rule"] for row in full["outcome"]["headroom"]} >= {"zebra-cap"}
    if solved.book == "impossible":
        assert {row["rule"] for row in full["outcome"]["conflict"]} == {"zebra-cap", "invested"}


def test_who_asked_is_told_no_more_than_who_looks_later(solved):
    assert solved.told == solved.house.get(solved.path, by="senior_trader/tess")
    assert solved.told["status"] == solved.full["status"]
    assert solved.told["outcome"]["orders"] == solved.full["outcome"]["orders"], "orders are theirs"
    if solved.book == "impossible":
        assert (solved.told["outcome"]["conflict"], solved.told["outcome"]["referred"]) == ([], "Ask compliance.")


def test_what_others_read_is_the_same_whatever_stands_on_a_list_that_only_it_reads(tmp_path, worker):
    """The same rebalance twice, with another name watched: byte for byte the same but for its id and time."""
    told = []
    for name in ("COCO", "BETA"):
        house = house_of(tmp_path / name, WATCHED, worker)
        house.post("/v1/snapshot", world(lists={"restricted": [], "watch": [{"name": name, "reason": "zebra deal"}]}))
        made = house.post("/v1/rebalances", ASKED, by="senior_trader/tess")
        texts = [
            house.call("GET", f"/v1/rebalances/{made['id']}{place}", by="portfolio_manager/pat").text
            for place in ("", "/certificate", "/report")
        ]
        time = made["outcome"]["time"]
        told.append([text.replace(made["id"], "ID").replace(time, "TIME") for text in texts])
        house.close()
    assert told[0] == told[1]


@pytest.mark.parametrize("solved", ["watched"], indirect=True)
def test_the_certificate_for_others_is_the_same_but_for_one_hash_and_still_valid(solved, tmp_path):
    whole, shown = (
        solved.house.call("GET", f"{solved.path}/certificate", by=by).text for by in ("risk_officer", "analyst")
    )
    first, second = json.loads(whole), json.loads(shown)
    assert second["hashes"].pop("snapshot") == ZEROS
    assert first["hashes"].pop("snapshot") == solved.full["outcome"]["snapshot_hash"]
    assert first == second
    file = tmp_path / "certificate.json"
    file.write_text(shown, encoding="utf-8")
    command = [sys.executable, "-I", "-S", str(Path(verify.__file__).resolve()), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.strip() == solved.told["verdict"], "what the verifier says of it is what stands beside it"


@pytest.mark.parametrize("role", [*OTHERS, Role.RISK_OFFICER])
def test_the_stream_says_what_a_get_says(solved, role):
    (record,) = solved.house.run(solved.house.service.recorded(kind="rebalance"))
    message = json.loads(message_of(record, 0, Reader(frozenset({"decisions"}), None, role)))
    body, by = message["body"], f"{role.value}/other"
    shown = solved.house.get(solved.path, by=by)
    assert (body["outcome"], body["verdict"]) == (shown["outcome"], shown["verdict"])
    for what in ("certificate", "report"):
        answer = solved.house.call("GET", f"{solved.path}/{what}", by=by)
        assert body[what] == (answer.text if answer.status_code == 200 else "")
    if role is not Role.RISK_OFFICER:
        assert not SECRET.search(json.dumps(message))
        assert hashes(json.dumps(message)) <= open_hashes(solved)


def test_a_record_that_does_not_say_what_may_be_shown_shows_nothing(solved):
    (record,) = solved.house.run(solved.house.service.recorded(kind="rebalance"))
    body = json.loads(record.body)
    others: list[Any] = [None, [], "all", True]
    for old in others:
        found = others_of({**body, "shown": old})
        assert found == {"outcome": {}, "certificate": "", "report": "", "verdict": ""}
    bare = others_of({key: value for key, value in body.items() if key != "shown"})
    assert not any(bare.values())


def test_after_a_restart_everybody_reads_what_they_read_before(solved):
    asked = [(path, by) for path in solved.places() if path != "/v1/rebalances" for by in ("admin/x", "analyst/y")]
    asked = [(path, by) for path, by in asked if not path.endswith("events")]
    before = [solved.house.call("GET", path, by=by) for path, by in asked]
    solved.house.reopen()
    for (path, by), old in zip(asked, before, strict=True):
        new = solved.house.call("GET", path, by=by)
        assert new.status_code == old.status_code
        if path != solved.path:
            assert old.status_code != 200 or new.text == old.text
            continue
        assert {**new.json(), "progress": []} == {**old.json(), "progress": []}, "only the words on the way are gone"


def test_errors_that_name_it_are_worded_for_others(monkeypatch):
    """A rebalance that fails in the other process, with a message that names the rule."""

    book = RuleBook.of_files({"a.yaml": CAPPED}, VOCABULARY)
    task = Task(book, load_snapshot(world(), VOCABULARY), "A", "T")
    for message, shown in (("zebra-cap is broken", "Ask compliance."), ("no row", "no row")):

        def fails(*_arguments: Any, message: str = message) -> Any:
            raise SolverError("conflict", message)

        monkeypatch.setattr(rebalance_worker, "_solved", fails)
        result = rebalance_worker._done(task, lambda _words: None)
        assert (result.status, result.document) == ("undecided", {"code": "conflict", "message": message})
        assert result.shown.document == {"code": "conflict", "message": shown}


def test_live_followers_of_every_role_heard_what_they_may(solved):
    """Readers that were there before the rebalance began."""
    for role, reader in solved.readers.items():
        text = message_of(reader.waiting._queue[0], 0, reader).decode()
        assert json.loads(text)["kind"] == "rebalance"
        named = role in IN_FULL and solved.book != "watched"
        assert bool(SECRET.search(text)) == named, role
        assert (solved.full["outcome"]["snapshot_hash"] in text) == (role in IN_FULL), role
