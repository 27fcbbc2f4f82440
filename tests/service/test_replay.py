"""Recorded decisions computed again: equal byte for byte, and a planted difference found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner

from lexorder.api.cli import app
from lexorder.api.service.floor import Floor
from lexorder.api.service.replay import Replay
from lexorder.api.service.running_clock import RunningClock
from lexorder.api.service.settings import feed_ages
from lexorder.engine.errors import UsageError
from lexorder.engine.rulebook import RuleBook
from tests.service.house import RULES, House
from tests.service.stepping import begin, days, take, tell
from tests.worlds import VOCABULARY


class Altered:
    """A ledger with one record's body changed on the way out."""

    def __init__(self, ledger, seq, change):
        self.ledger, self.seq, self.change = ledger, seq, change

    def find(self, ref, kind):
        return self.ledger.find(ref, kind)

    def read(self, *place, **equal):
        for record in self.ledger.read(*place, **equal):
            yield replace(record, body=self.change(record.body)) if record.seq == self.seq else record


def replayed(house, start=0, stop=None, book=None, ledger=None):
    floor = Floor(VOCABULARY, RunningClock("feed"), feed_ages(house.settings.feed_ages), house.settings.tick_s)
    return list(Replay(floor, ledger or house.service.ledger, book).run(start, stop))


def here(house):
    return house.service.ledger.size


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=days())
def test_every_decision_of_a_day_comes_out_the_same(shared, steps):
    start = here(shared)
    begin(shared)
    answered = take(shared, steps)
    found = replayed(shared, start)
    assert all(compared.same for compared in found), [c for c in found if not c.same]
    told = []
    for name, status, document in answered:
        if name == "check" and status == 200:
            told.append((document["orders"], document["outcome"]))
        elif name == "batch" and status == 200:
            rows = {tuple(d["orders"]): d["outcome"] for d in document["decisions"]}  # of a basket: one an account
            told += [(list(orders), outcome) for orders, outcome in rows.items()]
    assert sorted(told) == sorted((list(c.orders), c.now["outcome"]) for c in found)


class Steps:
    """A clock that goes on by so much whenever it is looked at: every look is another tick."""

    def __init__(self, seconds):
        self.seconds, self.at = seconds, 0.0

    def __call__(self):
        self.at += self.seconds
        return self.at


@pytest.fixture(scope="module")
def ticking(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("house"), tick_s=0.5).furnished()
    made.service.clock.monotonic = Steps(0.7)
    yield made
    made.close()


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=days())
def test_nor_does_time_that_moves_on_with_every_step_change_a_hash(ticking, steps):
    start = here(ticking)
    begin(ticking)
    take(ticking, steps)
    assert [c for c in replayed(ticking, start) if not c.same] == []


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_a_time_that_nothing_was_recorded_with_is_kept_before_it_moves_again(ticking, moves):
    begin(ticking)
    start = here(ticking) - 1
    for _ in range(moves):
        ticking.service.floor.advance()  # for something that was refused
    ticking.check(id=f"after-{moves}", quantity=1)
    assert [r.kind for r in ticking.service.ledger.read(start)] == ["snapshot", *["time"] * moves, "decision"]
    (found,) = replayed(ticking, start)
    assert found.same
    floor, again = ticking.service.floor, Floor(VOCABULARY, RunningClock("feed"), {}, 1.0)
    for record in ticking.service.ledger.read(0):
        again.apply(record.kind, json.loads(record.body))
    assert again.standing.hash == floor.standing.hash
    assert again.standing.time == floor.standing.time


def test_without_them_the_hash_would_differ(ticking):
    """The control: the record of the time is what the replay needs."""
    begin(ticking)
    start = here(ticking) - 1
    ticking.service.floor.advance()
    ticking.check(id="control", quantity=1)
    (kept,) = [r.seq for r in ticking.service.ledger.read(start) if r.kind == "time"]
    planted = Altered(ticking.service.ledger, kept, lambda _body: b"{}")
    (found,) = replayed(ticking, start, ledger=planted)
    assert not found.same
    assert found.then["outcome"] == found.now["outcome"]


def test_a_changed_figure_is_found_and_nothing_else(house):
    for n, quantity in enumerate((1, 100, 101)):
        house.check(id=f"o{n}", quantity=quantity)
    seqs = [record.seq for record in house.service.ledger.read(kind="decision")]
    planted = Altered(house.service.ledger, seqs[1], lambda body: body.replace(b'"approve"', b'"reject"'))
    found = replayed(house, ledger=planted)
    assert [(c.seq, c.same) for c in found] == [(seqs[0], True), (seqs[1], False), (seqs[2], True)]
    assert (found[1].then["outcome"], found[1].now["outcome"]) == ("reject", "approve")


def test_a_changed_fact_is_found_in_every_decision_after_it(house):
    house.check(id="before", quantity=1)
    tell(house, "positions", items=[{"account": "A", "symbol": "ACME", "quantity": "500"}])
    house.check(id="after", quantity=1)
    (told,) = house.service.ledger.read(kind="events")
    planted = Altered(house.service.ledger, told.seq, lambda body: body.replace(b'"500"', b'"499"'))
    assert [(c.orders, c.same) for c in replayed(house, ledger=planted)] == [(("before",), True), (("after",), False)]


def test_a_range_is_the_same_part_of_the_whole(house):
    for n in range(6):
        house.check(id=f"o{n}", quantity=99)
    whole = replayed(house)
    assert len(whole) == 6
    for low in range(6):
        part = replayed(house, whole[low].seq, whole[-1].seq)
        assert part == whole[low:-1]


def test_a_range_behind_a_later_snapshot_begins_there(house):
    house.check(id="o1", quantity=100)
    begin(house)
    house.check(id="o2", quantity=100)
    (last,) = replayed(house, here(house) - 1)
    assert (last.orders, last.same) == (("o2",), True)


def test_another_book_is_compared_by_what_it_can_change(house):
    for n, quantity in enumerate((99, 100, 101)):
        house.check(id=f"o{n}", quantity=quantity, symbol=("ACME", "BETA", "COCO")[n])
    same = RuleBook.of(RULES.replace("Above 100 shares somebody must agree", "Another title"), VOCABULARY)
    assert all(c.same for c in replayed(house, book=same))
    tighter = RuleBook.of(RULES.replace("quantity <= 100\n", "quantity <= 99\n"), VOCABULARY)
    assert [c.same for c in replayed(house, book=tighter)] == [True, False, True]


def test_another_book_judges_the_state_that_was(house):
    """What was approved counts as working although the other book would have refused it."""
    for n in range(6):
        house.check(id=f"o{n}", quantity=90)
    narrow = RuleBook.of(RULES.replace("50% * account.nav", "36% * account.nav"), VOCABULARY)
    found = replayed(house, book=narrow)
    assert [c.then["outcome"] for c in found] == ["approve"] * 5 + ["reject"]
    # 90 shares at 100 are 9% of net assets: the fifth order would make 45%, also because the fourth was let through.
    assert [c.now["outcome"] for c in found] == ["approve"] * 4 + ["reject", "reject"]


def test_a_silent_feed_is_silent_in_the_replay_too(tmp_path):
    house = House(tmp_path, RULES, feed_ages="positions=60", clock="feed", tick_s=0.0).furnished()
    assert house.check(id="o1", quantity=1)["outcome"] == "approve"
    tell(house, "lists", time="2026-06-15T12:02:00-04:00", items=[])
    assert house.check(id="o2", quantity=1)["outcome"] == "undecided"
    assert [(c.now["outcome"], c.same) for c in replayed(house)] == [("approve", True), ("undecided", True)]
    house.close()


@pytest.fixture
def stopped(tmp_path):
    """A data folder with three decisions, its service stopped."""
    house = House(tmp_path, RULES, feed_ages="positions=60", clock="feed", tick_s=0.0).furnished()
    house.check(id="o1", quantity=1)
    house.check(id="o2", quantity=101)
    tell(house, "lists", time="2026-06-15T12:02:00-04:00", items=[])
    house.check(id="o3", quantity=1)
    house.close()
    return house


def command(*arguments, **environment):
    return CliRunner().invoke(app, ["replay", *map(str, arguments)], env=environment)


def test_the_command_ends_with_0_when_nothing_differs(stopped):
    done = command("--data-dir", stopped.settings.data_dir, LEXORDER_FEED_AGES="positions=60")
    assert (done.exit_code, done.output) == (0, "3 decisions replayed, 0 differ from what was recorded\n")


def test_the_command_names_what_other_rules_decide_otherwise(stopped, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "house.yaml").write_text(RULES.replace("quantity <= 100\n", "quantity <= 101\n"), "utf-8")
    done = command("--data-dir", stopped.settings.data_dir, "--rules", other, "--to", 6, "--json")
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert (line["orders"], line["then"]["outcome"], line["now"]["outcome"]) == (["o2"], "needs_override", "approve")


def test_a_folder_without_a_ledger_is_refused(tmp_path):
    done = command("--data-dir", tmp_path)
    assert isinstance(done.exception, UsageError)
    assert done.exception.code == "no-ledger"
