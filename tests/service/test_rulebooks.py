"""Rule books: uploaded, linted, tested, activated by two persons."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lexorder.api.service import rule_books
from lexorder.api.service.background import WAITING_MAX, Background
from lexorder.api.service.book_process import BookProcess, Job, found_in, process_for
from lexorder.api.service.book_tests import results_of
from lexorder.api.service.problems import Problem
from lexorder.api.service.rule_books import RuleBooks, changes, open_rules, read_folder
from lexorder.engine.desk import shipped_rules
from lexorder.engine.errors import RuleFileError
from lexorder.engine.examples import run
from tests.service.house import RULES, Outage, state_of
from tests.worlds import VOCABULARY

ANN, BOB = "risk_officer/ann", "risk_officer/bob"

EXTRA = """
- rule: tiny-orders
  title: At most 5 shares an order
  require: order.quantity <= 5
  tests:
    - name: exactly at the limit
      given: {order: {quantity: 5}}
      expect: pass
    - name: one share more
      given: {order: {quantity: 6}}
      expect: {fail: hard, max_order: 5}
"""
WRONG = EXTRA.replace("quantity: 6}", "quantity: 4}")
WATCHED = """
- rule: watched
  title: Somebody looks
  severity: warn
  audience: compliance
  require: order.symbol not in lists.watch
  tests:
    - name: a watched name
      given: {order: {symbol: ACME}, lists: {watch: [ACME]}}
      expect: pass
"""


def texts(*files, **more):
    return {"name": "next", "files": {f"file{n}.yaml": text for n, text in enumerate(files)}, **more}


def uploaded(house, *files, by=ANN, **more):
    return house.post("/v1/rulebooks", texts(*files, **more), by=by)["id"]


def activated(house, identifier):
    house.post(f"/v1/rulebooks/{identifier}/activate", by=ANN, status=202)
    return house.post(f"/v1/rulebooks/{identifier}/approve", by=BOB)


# ---- two persons ------------------------------------------------------------------------------


def test_a_book_decides_from_the_second_persons_approval_on(house):
    old = house.get("/v1/rulebooks/active")
    identifier = uploaded(house, RULES, EXTRA)
    assert house.check(id="o1", quantity=6)["outcome"] == "approve"
    asked = house.post(f"/v1/rulebooks/{identifier}/activate", {"reason": "tighter"}, by=ANN, status=202)
    assert (asked["state"], asked["requested"]["person"], asked["tests_passed"]) == ("requested", "ann", 4)
    assert house.check(id="o2", quantity=6)["outcome"] == "approve"
    answer = house.post(f"/v1/rulebooks/{identifier}/approve", by=BOB)
    assert (answer["state"], answer["decided"]["person"]) == ("active", "bob")
    decided = house.check(id="o3", quantity=6)
    assert (decided["outcome"], decided["violations"][0]["rule"]) == ("reject", "tiny-orders")
    new = house.get("/v1/rulebooks/active")
    assert decided["rulebook_hash"] == new["in_force"] != old["in_force"]
    assert house.get(f"/v1/rulebooks/{old['id']}")["state"] == "retired"


@pytest.mark.parametrize("by", [ANN, "risk_officer/Ann", "approver/ANN"])
def test_who_asked_does_not_approve_whatever_the_key(house, by):
    identifier = uploaded(house, RULES, EXTRA)
    house.post(f"/v1/rulebooks/{identifier}/activate", by=ANN, status=202)
    assert house.refused("POST", f"/v1/rulebooks/{identifier}/approve", by=by) == (409, "second-person-required")
    assert house.check(quantity=6)["outcome"] == "approve"


def test_who_uploaded_may_approve_what_another_asked_for(house):
    identifier = uploaded(house, RULES, EXTRA, by=BOB)
    assert activated(house, identifier)["state"] == "active"


@pytest.mark.parametrize("by", ["admin", "senior_trader", "analyst", "observer", "portfolio_manager"])
def test_only_approvers_approve_and_reject(shared, by):
    for step in ("approve", "reject"):
        assert shared.refused("POST", f"/v1/rulebooks/active/{step}", by=by) == (403, "not-permitted")


def test_a_rejected_book_does_not_decide_and_may_be_asked_for_again(house):
    identifier = uploaded(house, RULES, EXTRA)
    house.post(f"/v1/rulebooks/{identifier}/activate", by=ANN, status=202)
    answer = house.post(f"/v1/rulebooks/{identifier}/reject", {"reason": "not now"}, by=BOB)
    assert (answer["state"], answer["reason"]) == ("rejected", "not now")
    assert house.refused("POST", f"/v1/rulebooks/{identifier}/approve", by=BOB) == (409, "wrong-state")
    assert house.check(quantity=6)["outcome"] == "approve"
    assert activated(house, identifier)["state"] == "active"


def test_an_old_book_comes_back_the_same_way(house):
    old = house.get("/v1/rulebooks/active")["id"]
    activated(house, uploaded(house, RULES, EXTRA))
    assert activated(house, old)["id"] == old
    assert house.check(quantity=6)["outcome"] == "approve"


@pytest.mark.parametrize("step", ["approve", "reject"])
def test_nothing_is_approved_that_nobody_asked_for(shared, step):
    assert shared.refused("POST", f"/v1/rulebooks/active/{step}", by=BOB) == (409, "wrong-state")


def test_the_active_book_is_not_asked_for(shared):
    assert shared.refused("POST", "/v1/rulebooks/active/activate", by=ANN) == (409, "wrong-state")


# ---- tests and findings -----------------------------------------------------------------------


def test_a_book_whose_examples_fail_is_not_asked_for(house):
    identifier = uploaded(house, RULES, WRONG)
    found = house.post(f"/v1/rulebooks/{identifier}/test", by="analyst")
    assert (found["ok"], found["passed"], found["failed"]) == (False, 3, 1)
    (failure,) = found["failures"]
    assert (failure["rule"], failure["example"], failure["file"]) == ("tiny-orders", "one share more", "file1.yaml")
    assert "max_order" in failure["difference"] or "expected" in failure["difference"]
    answer = house.call("POST", f"/v1/rulebooks/{identifier}/activate", by=ANN)
    assert (answer.status_code, answer.json()["code"]) == (409, "tests-fail")
    assert answer.json()["failures"] == [{"rule": "tiny-orders", "example": "one share more"}]
    assert house.get(f"/v1/rulebooks/{identifier}")["state"] == "uploaded"


def test_the_results_are_those_of_the_command():
    library = RuleBooks(VOCABULARY).load({"a.yaml": RULES, "b.yaml": WRONG})
    mine = results_of(library)
    theirs = [result for rule in library.ids() for result in run(library, rule)]
    assert mine.passed == sum(not r.difference for r in theirs)
    assert [f.example for f in mine.failed] == [r.example.name for r in theirs if r.difference]
    assert mine.untested == ("issuer-weight", "large-order", "very-large-order")


def test_a_book_is_tested_once(house, monkeypatch):
    identifier = uploaded(house, EXTRA)
    asked, known = [], BookProcess.run

    def counted(self, job):
        asked.append(job.examples)
        return known(self, job)

    monkeypatch.setattr(BookProcess, "run", counted)
    first, again = (house.post(f"/v1/rulebooks/{identifier}/test") for _ in range(2))
    assert first == again
    assert asked == [True]


# ---- the process ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def process():
    """A process of its own."""
    made = BookProcess(VOCABULARY, longest_s=60)
    yield made
    made.close()


JOBS = [
    Job({"a": EXTRA}),
    Job({"a": RULES, "b": WRONG}, examples=True),
    Job({"a": RULES}, against={"b": RULES.replace("1_000", "999")}),
    Job({"a": WATCHED}, examples=True, against={"b": EXTRA}),
]


@pytest.mark.parametrize("job", JOBS)
def test_the_process_finds_what_is_found_here(process, job):
    assert process.run(job) == found_in(job, VOCABULARY)


def test_findings_come_back_whole(process):
    job = Job({"a": "- rule: x\n  title: t\n  require: ordr.quantity <= 3\n", "b": "- rule: y\n"})
    with pytest.raises(RuleFileError) as theirs:
        process.run(job)
    with pytest.raises(RuleFileError) as ours:
        found_in(job, VOCABULARY)
    assert theirs.value.problems == ours.value.problems


def test_a_process_that_dies_is_started_anew(process):
    process.run(JOBS[0])
    process.child.process.kill()
    process.child.process.join()
    assert process.run(JOBS[0]).rules == 1
    process.child._wire.close()  # as when it dies between two looks
    with pytest.raises(Problem) as lost:
        process.run(JOBS[0])
    assert (lost.value.status, lost.value.code) == (503, "rules-process-lost")
    assert process.run(JOBS[0]).rules == 1


def test_a_job_that_takes_too_long_is_given_up():
    hasty = BookProcess(VOCABULARY, longest_s=0.0)
    with pytest.raises(Problem) as late:
        hasty.run(JOBS[0])
    assert (late.value.status, late.value.code) == (503, "rules-timeout")
    hasty.close()


def test_one_process_serves_all_services_of_a_vocabulary():
    assert process_for(VOCABULARY) is process_for(VOCABULARY)


# ---- findings ---------------------------------------------------------------------------------


def test_lint_tells_file_line_column_code_and_the_nearest_name(shared):
    found = shared.post("/v1/rulebooks/lint", texts(RULES, "- rule: x\n  title: t\n  require: ordr.quantity <= 3\n"))
    assert (found["ok"], found["count"]) == (False, 1)
    (finding,) = found["findings"]
    place = (finding["file"], finding["line"], finding["column"])
    assert (place, finding["code"], finding["nearest"]) == (("file1.yaml", 3, 12), "unknown-name", "order.quantity")
    assert "`ordr.quantity`" in finding["message"]


def test_lint_of_good_rules_says_what_the_upload_would_be_called(house):
    found = house.post("/v1/rulebooks/lint", texts(EXTRA), by="analyst")
    assert (found["ok"], found["rules"], found["findings"]) == (True, 1, [])
    assert len(house.get("/v1/rulebooks")["items"]) == 1
    assert uploaded(house, EXTRA) == found["id"]
    assert house.post(f"/v1/rulebooks/{found['id']}/lint")["ok"] is True


def test_texts_that_are_no_rules_are_not_kept_and_not_repeated(shared):
    wrong = "- rule: x\n  title: hush_hush\n  require: hush_hush <= 1\n"
    answer = shared.call("POST", "/v1/rulebooks", texts(wrong), ANN)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-name")
    assert answer.json()["count"] == 1
    assert "hush" not in answer.text
    assert len(shared.get("/v1/rulebooks")["items"]) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (texts(), "no-files"),
        ({"name": "x"}, "invalid-request"),
        ({"files": {"../a.yaml": EXTRA}}, "invalid-request"),
        ({"files": {"/etc/a.yaml": EXTRA}}, "invalid-request"),
        ({"files": {"a.txt": EXTRA}}, "bad-file-name"),
        ({"files": {"a.yaml": EXTRA}, "base": "other"}, "invalid-request"),
        ({"files": {"a.yaml": 1}}, "invalid-request"),
        ({"files": {f"a{n}.yaml": "" for n in range(201)}}, "invalid-request"),
        (texts(EXTRA, EXTRA), "duplicate-rule"),
        (texts("- rule: &a x\n"), "yaml-anchor"),
    ],
)
def test_what_is_no_set_of_files_is_refused(shared, body, code):
    assert shared.refused("POST", "/v1/rulebooks", body, ANN) == (422, code)


@pytest.mark.parametrize("path", ["", "/lint", "/test", "/activate", "/approve", "/reject"])
def test_a_book_nobody_uploaded_is_unknown(shared, path):
    method = "POST" if path else "GET"
    assert shared.refused(method, f"/v1/rulebooks/nothing{path}", by=ANN) == (404, "unknown-rulebook")


def test_the_same_rules_are_the_same_book(house):
    first = house.post("/v1/rulebooks", texts(EXTRA), by=ANN)
    again = house.post("/v1/rulebooks", texts("# a comment\n" + EXTRA), by=BOB)
    assert (first["status"], again["status"], again["id"]) == ("uploaded", "known", first["id"])
    assert again["uploaded"]["person"] == "ann"
    assert len(house.get("/v1/rulebooks")["items"]) == 2


def test_the_shelf_has_an_end(house, monkeypatch):
    monkeypatch.setattr(rule_books, "UPLOADED_MAX", 1)
    assert house.refused("POST", "/v1/rulebooks", texts(EXTRA), ANN) == (409, "too-many-rulebooks")


# ---- what changes -----------------------------------------------------------------------------


def test_what_changes_is_told_by_rule(house):
    changed = RULES.replace("<= 1_000", "<= 999").replace("quantity: 1000", "quantity: 999")
    changed = changed.replace("quantity: 1001", "quantity: 1000").replace("max_order: 1000", "max_order: 999")
    gone = changed[: changed.index("- rule: very-large-order")]
    identifier = uploaded(house, gone, EXTRA)
    told = house.get(f"/v1/rulebooks/{identifier}")
    expected = {"added": ["tiny-orders"], "removed": ["very-large-order"], "changed": ["order-quantity"]}
    assert told["changes"] == expected
    assert told["texts"] == {"file0.yaml": gone, "file1.yaml": EXTRA}


def test_comments_and_layout_are_no_change():
    books = RuleBooks(VOCABULARY)
    old, new = books.load({"a": RULES}), books.load({"b": "# new\n" + RULES.replace("<= 1_000", "<=    1_000")})
    assert changes(old, new) == {"added": [], "removed": [], "changed": []}


def test_rules_for_compliance_are_shown_to_compliance_alone(house):
    identifier = uploaded(house, RULES, WATCHED)
    full, less = (house.get(f"/v1/rulebooks/{identifier}", by=by) for by in (ANN, "analyst"))
    assert full["changes"]["added"] == ["watched"]
    assert less["changes"]["added"] == []
    assert (full["texts"] is None, less["texts"]) == (False, None)
    tests, fewer = (house.post(f"/v1/rulebooks/{identifier}/test", by=by) for by in (ANN, "analyst"))
    assert [f["rule"] for f in tests["failures"]] == ["watched"]
    assert fewer["failures"] == []
    assert fewer["failed"] == 1
    plain = house.get(f"/v1/rulebooks/{uploaded(house, EXTRA)}", by="analyst")
    assert plain["texts"] == {"file0.yaml": EXTRA}


def test_rules_everyone_may_know_of():
    assert open_rules(RuleBooks(VOCABULARY).load({"a": WATCHED, "b": EXTRA})) == {"tiny-orders"}


# ---- with limits and switches -----------------------------------------------------------------


def test_approved_limits_stand_beside_every_book(house):
    house.post("/v1/limits", {"id": "w", "kind": "position-weight", "values": {"2026-01-01": "1%"}}, ANN, 202)
    house.post("/v1/limits/w/approve", by=BOB)
    activated(house, uploaded(house, RULES, EXTRA))
    found = house.check(quantity=11)
    assert {v["rule"] for v in found["violations"]} == {"tiny-orders", "limit-w"}


def test_a_book_that_clashes_with_a_limit_is_not_asked_for(house):
    house.post("/v1/limits", {"id": "w", "kind": "position-weight", "values": {"2026-01-01": "1%"}}, ANN, 202)
    house.post("/v1/limits/w/approve", by=BOB)
    identifier = uploaded(house, EXTRA.replace("tiny-orders", "limit-w"))
    assert house.refused("POST", f"/v1/rulebooks/{identifier}/activate", by=ANN) == (422, "duplicate-rule")
    assert house.check(quantity=1)["outcome"] == "approve"


def test_a_limit_that_clashes_with_a_rule_is_not_proposed(house):
    activated(house, uploaded(house, EXTRA.replace("tiny-orders", "limit-w")))
    told = {"id": "w", "kind": "position-weight", "values": {"2026-01-01": "1%"}}
    assert house.refused("POST", "/v1/limits", told, ANN) == (409, "rule-exists")


def test_a_book_and_a_limit_that_clash_are_not_both_approved(house):
    """Each is fine when it is asked for; the second approval must not break the floor."""
    identifier = uploaded(house, EXTRA.replace("tiny-orders", "limit-w"))
    house.post(f"/v1/rulebooks/{identifier}/activate", by=ANN, status=202)
    house.post("/v1/limits", {"id": "w", "kind": "position-weight", "values": {"2026-01-01": "1%"}}, ANN, 202)
    house.post(f"/v1/rulebooks/{identifier}/approve", by=BOB)
    assert house.refused("POST", "/v1/limits/w/approve", by=BOB) == (422, "duplicate-rule")
    assert house.get("/v1/limits/w")["state"] == "proposed"
    before = state_of(house.service.floor)
    house.reopen()
    assert state_of(house.service.floor) == before


def test_the_switches_stand_beside_a_book_without_them(house):
    activated(house, uploaded(house, EXTRA))
    assert set(house.service.floor.standing.book.ids()) == {"kill-switch", "reducing-only", "tiny-orders"}


def test_a_book_on_top_of_the_library(house):
    identifier = uploaded(house, EXTRA, base="library")
    told = house.get(f"/v1/rulebooks/{identifier}")
    library = read_folder(shipped_rules())
    assert set(told["files"]) == {"file0.yaml", *(f"library/{name}" for name in library)}
    assert told["rules"] == len(RuleBooks(VOCABULARY).load(library).ids()) + 1
    clash = EXTRA.replace("tiny-orders", "kill-switch")
    body = texts(clash, base="library")
    assert house.refused("POST", "/v1/rulebooks", body, ANN) == (422, "duplicate-rule")


# ---- lists, restarts, outages -----------------------------------------------------------------


def test_the_list_is_newest_first_and_the_history_oldest_first(house):
    old = house.get("/v1/rulebooks/active")["id"]
    identifier = uploaded(house, RULES, EXTRA)
    activated(house, identifier)
    told = house.get("/v1/rulebooks", by="observer")
    assert (told["active"], [b["id"] for b in told["items"]]) == (identifier, [identifier, old])
    steps = house.get("/v1/rulebooks/history", by="observer")["items"]
    assert [(s["action"], s["id"]) for s in steps[2:]] == [
        ("upload", identifier),
        ("request", identifier),
        ("activate", identifier),
    ]
    assert all("texts" not in b for b in told["items"])
    assert house.service.floor.standing.book.hash in house.call("GET", "/metrics").text


def test_books_survive_a_restart_and_a_snapshot(house):
    first, second = uploaded(house, RULES, EXTRA), uploaded(house, EXTRA)
    activated(house, first)
    house.furnished()
    house.post(f"/v1/rulebooks/{second}/activate", by=ANN, status=202)
    house.check(quantity=3)
    before = state_of(house.service.floor)
    house.reopen()
    assert state_of(house.service.floor) == before
    assert house.check(id="again", quantity=6)["outcome"] == "reject"
    assert house.post(f"/v1/rulebooks/{second}/approve", by=BOB)["state"] == "active"


def test_an_activation_that_is_not_recorded_did_not_happen(house):
    identifier = uploaded(house, RULES, EXTRA)
    house.post(f"/v1/rulebooks/{identifier}/activate", by=ANN, status=202)
    with Outage(house):
        assert house.refused("POST", f"/v1/rulebooks/{identifier}/approve", by=BOB) == (503, "ledger-unavailable")
    house.until(lambda: not house.service.journal.down)
    assert house.get(f"/v1/rulebooks/{identifier}")["state"] == "requested"
    assert house.check(quantity=6)["outcome"] == "approve"


def test_a_floor_rebuilt_between_the_two_looks_is_prepared_again(house, monkeypatch):
    identifier = uploaded(house, RULES, EXTRA)
    house.post(f"/v1/rulebooks/{identifier}/activate", by=ANN, status=202)
    joined, looks = RuleBooks.joined, []

    def slow(self, *arguments):
        looks.append(self)
        if len(looks) == 1:  # as an outage would, while the book is being joined in its thread
            done = asyncio.run_coroutine_threadsafe(house.service.rebuild(), house.runner.get_loop())
            done.result(20)
        return joined(self, *arguments)

    monkeypatch.setattr(RuleBooks, "joined", slow)
    assert house.post(f"/v1/rulebooks/{identifier}/approve", by=BOB)["state"] == "active"
    assert looks[0] is not looks[-1]
    assert house.check(quantity=6)["outcome"] == "reject"


def test_slow_work_is_done_one_at_a_time_and_a_crowd_is_sent_away():
    inside, most, lock = [0], [0], threading.Lock()

    def work():
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.01)
        with lock:
            inside[0] -= 1

    async def crowd():
        lane = Background()
        return await asyncio.gather(*(lane.run(work) for _ in range(WAITING_MAX + 4)), return_exceptions=True)

    found = asyncio.run(crowd())
    refused = [e for e in found if isinstance(e, Problem)]
    assert [e.code for e in refused] == ["busy"] * 3
    assert most[0] == 1
