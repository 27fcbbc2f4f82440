"""Old records in an archive, on both databases: less in the ledger, nothing less to prove."""

import json
import subprocess
import sys
from contextlib import closing

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from lexorder.api.cli import app
from lexorder.api.service import retain
from lexorder.api.service.export import Range, range_of
from lexorder.api.service.replay import Replay
from lexorder.api.service.restoring import LASTING
from lexorder.api.service.retain import MOVED, Plan, archived, carry_out, plan
from lexorder.api.service.routes_persons import KIND as PERSON
from lexorder.engine.errors import UsageError
from lexorder.engine.ledger import audit, tail, verify_ledger
from lexorder.engine.ledger.archive import CUT
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.heads import HeadLog, signing_key
from lexorder.engine.ledger.ledger import Ledger
from tests.service.house import House, state_of

AT = "2026-11-{:02d}T09:30:00.000000Z"
NOW = "2026-12-01T00:00:00.000000Z"
KINDS = ("decision", "events", "decision", "override", "decision", "limit")
DAYS = 20
COUNT = DAYS * len(KINDS)
SECRET = b"WHO-BOUGHT-IT"


@pytest.fixture
def few_checked(monkeypatch):
    """A start that checks ten records, so that a small ledger will do."""
    monkeypatch.setattr(retain, "CHECKED", 10)
    monkeypatch.setattr(tail, "CHECKED", 10)


@pytest.fixture
def address(url, few_checked):
    """On each database, a ledger of 20 days, six records each, a snapshot at the end of the 15th."""
    return built(url)


@pytest.fixture
def file(tmp_path, few_checked):
    """The same on SQLite alone, for what does not depend on the database."""
    return built(f"sqlite:///{tmp_path / 'ledger.db'}")


def built(url):
    writer = Ledger.open(url)
    for day in range(1, DAYS + 1):
        for number, kind in enumerate(KINDS):
            last = day == 15 and number == 5
            ref = "snapshot" if last else f"{kind}-{day}-{number}"
            body = json.dumps({"who": f"{SECRET.decode()}-{day}-{number}", "day": day}).encode()
            writer.append("snapshot" if last else kind, ref, f"A{number}", body, AT.format(day))
    writer.wait(COUNT - 1, 60)
    writer.close()
    return url


@pytest.fixture
def key(tmp_path):
    return signing_key(tmp_path / "key.pem")


@pytest.fixture
def heads(tmp_path, address, key):
    """Heads signed before anything was cut."""
    return signed(address, tmp_path, key)


def signed(address, tmp_path, key):
    reader = Ledger.open(address, read_only=True)
    HeadLog(tmp_path / "heads", 0, key).write(reader, NOW)
    reader.close()
    return tmp_path / "heads"


def retained(address, before, folder, key):
    """What `retain --apply` does: the plan and how many records were emptied."""
    writer = Ledger.open(address)
    try:
        what = plan(writer, range_of(None, before))
        return what, carry_out(writer, what, folder, key, NOW)
    finally:
        writer.close()


def findings(address, heads, *archives):
    listed, public = audit.trusted_heads(heads, 0)
    with closing(Database(address, read_only=True)) as database:
        return audit.audit(database, 0, listed, public, archives).findings


def records(address):
    reader = Ledger.open(address, read_only=True)
    try:
        return list(reader.read())
    finally:
        reader.close()


def test_the_content_of_old_records_leaves_the_ledger_and_their_hashes_stay(address, tmp_path, key):
    before = records(address)
    what, count = retained(address, "2026-11-06", tmp_path / "archive", key)
    after = records(address)
    assert (what.start, what.stop) == (0, 30)
    assert count == sum(1 for r in before[:30] if r.kind not in LASTING) == 20
    for old, new in zip(before[:30], after[:30], strict=True):
        assert (new.seq, new.at, new.prev, new.hash) == (old.seq, old.at, old.prev, old.hash)
        if old.kind in LASTING:
            assert new == old
        else:
            assert (new.kind, new.ref, new.account, new.body) == (CUT, "", "", b"")
    assert after[30:COUNT] == before[30:]
    assert [r.kind for r in after[COUNT:]] == ["retention"]


def test_the_archive_holds_every_record_of_the_prefix(file, tmp_path, key):
    before = records(file)
    retained(file, "2026-11-06", tmp_path / "archive", key)
    lines = [json.loads(line) for line in (tmp_path / "archive" / "records-0-0-30.jsonl").read_text().splitlines()]
    assert [line["hash"] for line in lines] == [r.hash.hex() for r in before[:30]]
    assert [line["body"].encode() for line in lines] == [r.body for r in before[:30]]


def test_the_ledger_is_sound_with_its_archive_and_only_with_it(address, tmp_path, key, heads):
    assert findings(address, heads) == ()
    retained(address, "2026-11-06", tmp_path / "archive", key)
    archive = tmp_path / "archive" / "records-0-0-30.jsonl"
    assert findings(address, heads, archive) == ()
    alone = findings(address, heads)
    assert any("its content is not what its hash says" in line for line in alone)


def test_roots_and_proofs_are_what_they_were(address, tmp_path, key):
    def proofs():
        reader = Ledger.open(address, read_only=True)
        try:
            return [
                [reader.root(n) for n in range(0, COUNT + 1, 5)],
                [reader.inclusion(n, COUNT) for n in range(0, COUNT, 7)],
                [reader.consistency(n, COUNT) for n in range(1, COUNT, 7)],
            ]
        finally:
            reader.close()

    before = proofs()
    retained(address, "2026-11-11", tmp_path / "archive", key)
    assert proofs() == before


def test_an_archive_is_verified_without_lexorder(file, tmp_path, key):
    retained(file, "2026-11-06", tmp_path / "archive", key)
    program = [sys.executable, "-I", "verify_ledger.py", "records-0-0-30.jsonl", "--key", "heads.pub.pem"]

    def verified(*more):
        return subprocess.run([*program, *more], cwd=tmp_path / "archive", capture_output=True, text=True, check=False)

    answer = verified("--heads", "heads-0-30.jsonl")
    assert (answer.returncode, answer.stdout) == (0, "SOUND 30 records, 30 of them covered by signed heads\n")
    text_ = (tmp_path / "archive" / "records-0-0-30.jsonl").read_text()
    (tmp_path / "archive" / "records-0-0-30.jsonl").write_text(text_.replace("WHO-BOUGHT-IT-3", "WHO-BOUGHT-IT-4"))
    assert verified("--heads", "heads-0-30.jsonl").returncode == 1


@pytest.mark.parametrize("damage", ["changed", "dropped", "other"])
def test_a_damaged_archive_is_noticed(file, tmp_path, key, damage):
    heads = signed(file, tmp_path, key)
    retained(file, "2026-11-06", tmp_path / "archive", key)
    archive = tmp_path / "archive" / "records-0-0-30.jsonl"
    lines = archive.read_text().splitlines(keepends=True)
    if damage == "changed":
        lines[7] = lines[7].replace("WHO-BOUGHT-IT", "WHO-BOUGHT-XX")
    elif damage == "dropped":
        del lines[7]
    else:
        lines[7] = lines[8]
    archive.write_text("".join(lines))
    assert any(line.startswith("record 7:") for line in findings(file, heads, archive))


def test_a_cut_that_no_archive_explains_is_noticed(address, tmp_path, key, heads):
    retained(address, "2026-11-06", tmp_path / "archive", key)
    database = Database(address)
    with database.begin() as connection:
        _unguard(connection)
        connection.execute(
            text("UPDATE records SET kind = 'cut', ref = '', account = '', body = :e WHERE seq = 40"), {"e": b""}
        )
    database.close()
    found = findings(address, heads, tmp_path / "archive" / "records-0-0-30.jsonl")
    assert found == ("record 40: its content is not what its hash says",)


def _unguard(connection):
    if connection.dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            connection.execute(text(f"DROP TRIGGER records_no_{verb}"))
    else:
        connection.execute(text("ALTER TABLE records DISABLE TRIGGER records_no_change"))


def test_archives_follow_each_other(address, tmp_path, key, heads):
    folder = tmp_path / "archive"
    first, _ = retained(address, "2026-11-03", folder, key)
    second, count = retained(address, "2026-11-09", folder, key)
    assert (first.start, first.stop, second.start, second.stop) == (0, 12, 12, 48)
    assert count == 24
    archives = [folder / "records-0-0-12.jsonl", folder / "records-0-12-48.jsonl"]
    assert findings(address, heads, *archives) == ()
    assert findings(address, heads, archives[0]) != ()
    assert findings(address, heads, archives[1]) != ()
    whole = tmp_path / "whole.jsonl"
    whole.write_text("".join(path.read_text() for path in archives))
    result = verify_ledger.check_file(whole, 0, [], None)
    assert (result.findings, result.size) == ((), 48)


def test_the_same_again_changes_nothing(address, tmp_path, key):
    retained(address, "2026-11-06", tmp_path / "archive", key)
    before = records(address)
    what, count = retained(address, "2026-11-06", tmp_path / "archive", key)
    assert (what.stop - what.start, count) == (0, 0)
    assert records(address) == before


def test_writing_goes_on_behind_a_cut(address, tmp_path, key):
    retained(address, "2026-11-06", tmp_path / "archive", key)
    writer = Ledger.open(address)
    record = writer.append("decision", "new", "A", b"{}", NOW)
    writer.wait(record.seq, 60)
    writer.close()
    assert record.seq == COUNT + 1
    assert records(address)[-1] == record


def test_the_database_refuses_changes_again(address, tmp_path, key):
    retained(address, "2026-11-06", tmp_path / "archive", key)
    database = Database(address)
    for statement in ("UPDATE records SET ref = 'x' WHERE seq = 50", "DELETE FROM records WHERE seq = 50"):
        with pytest.raises(LedgerError), database.begin() as connection:
            connection.execute(text(statement))
    database.close()


def test_the_content_is_gone_from_the_file_too(tmp_path, few_checked, key):
    address = f"sqlite:///{tmp_path / 'l.db'}"
    writer = Ledger.open(address)
    for number in range(400):
        kind = "snapshot" if number == 380 else "decision"
        ref = "snapshot" if number == 380 else f"R{number}"
        writer.append(kind, ref, "A", json.dumps({"who": f"{SECRET.decode()}-{number:04d}"}).encode() * 5, AT.format(3))
    writer.wait(399, 60)
    writer.close()
    assert b"WHO-BOUGHT-IT-0007" in b"".join(p.read_bytes() for p in tmp_path.glob("l.db*"))
    what, _ = retained(address, "300", tmp_path / "archive", key)
    assert what.stop == 300
    left = b"".join(p.read_bytes() for p in tmp_path.glob("l.db*"))
    assert not [n for n in range(300) if b"WHO-BOUGHT-IT-%04d" % n in left]
    assert b"WHO-BOUGHT-IT-0300" in left


# --- what may be archived -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "stop", "why"),
    [
        ("0", 0, ""),
        ("1", 1, ""),
        ("2026-11-01", 0, ""),
        ("2026-11-02", 6, ""),
        ("2026-11-02T09:30:00Z", 6, ""),
        ("2026-11-02T09:30:00.000001Z", 12, ""),
        ("89", 89, ""),
        ("90", 89, "a start needs everything since the latest snapshot"),
        ("2099-01-01", 89, "a start needs everything since the latest snapshot"),
    ],
)
def test_a_plan_ends_where_it_is_told_or_where_a_start_begins_to_read(file, before, stop, why):
    reader = Ledger.open(file, read_only=True)
    found = plan(reader, range_of(None, before))
    reader.close()
    assert found == Plan(0, stop, why)


def test_the_newest_records_stay_even_after_a_snapshot(file, monkeypatch):
    monkeypatch.setattr(retain, "CHECKED", 100)
    reader = Ledger.open(file, read_only=True)
    found = plan(reader, Range(stop=60))
    reader.close()
    assert (found.stop, "newest 100" in found.why) == (COUNT - 100, True)


def test_without_a_snapshot_nothing_is_archived(tmp_path, few_checked):
    writer = Ledger.open(f"sqlite:///{tmp_path / 'l'}")
    for number in range(50):
        writer.append("decision", f"R{number}", "A", b"{}", AT.format(1))
    writer.wait(49, 60)
    assert plan(writer, Range(stop=40)).stop == 0
    writer.close()


def test_a_ledger_shorter_than_what_a_start_checks_is_left_alone(tmp_path):
    writer = Ledger.open(f"sqlite:///{tmp_path / 'l'}")
    for _ in range(50):
        writer.append("snapshot", "snapshot", "", b"{}", AT.format(1))
    writer.wait(49, 60)
    assert plan(writer, Range(stop=40)) == Plan(0, 0, "a start checks the newest 1,000 records")
    writer.close()


def test_kinds_that_something_reads_from_all_times_stay():
    assert not {*LASTING, PERSON, retain.RETENTION, CUT} & set(MOVED)


def test_a_service_is_the_same_after_a_cut(tmp_path, few_checked, key):
    house = House(tmp_path).furnished()
    for number in range(8):
        house.check(id=f"O-{number}", quantity=1 + number)
    house.post(
        "/v1/trading-state", {"scope": "account", "id": "B", "state": "REDUCING", "reason": "why"}, by="risk_officer"
    )
    house.furnished()
    for number in range(8, 24):
        house.check(id=f"O-{number}", quantity=1)
    before = state_of(house.service.floor)
    house.close()
    what, count = retained(house.settings.url, "2099-01-01", tmp_path / "archive", key)
    assert count >= 9
    house.reopen()
    try:
        after = state_of(house.service.floor)
        assert {name: after[name] for name in after if name != "time"} == {
            name: before[name] for name in before if name != "time"
        }
        assert house.check(id="O-new", quantity=1)["outcome"] == "approve"
        ledger = house.service.ledger
        assert ledger is not None
        kept = [r.kind for r in ledger.read(0, what.stop)]
        assert "decision" not in kept
        assert "trading-state" in kept
        with pytest.raises(LedgerError, match="archive"):
            list(Replay(house.service._new_floor(), ledger).run(0))
    finally:
        house.close()


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_ledger_in_use_is_refused(address, tmp_path, key):
    running = Ledger.open(address)
    try:
        with pytest.raises(LedgerError) as refused:
            retained(address, "2026-11-06", tmp_path / "archive", key)
        assert refused.value.code == "ledger-locked"
    finally:
        running.close()
    assert not (tmp_path / "archive").exists()


def test_a_ledger_that_does_not_hold_what_its_hashes_say_is_not_archived(address, tmp_path, key):
    database = Database(address)
    with database.begin() as connection:
        _unguard(connection)
        connection.execute(text("UPDATE records SET ref = 'forged' WHERE seq = 4"))
    database.close()
    with pytest.raises(LedgerError) as refused:
        retained(address, "2026-11-06", tmp_path / "archive", key)
    assert refused.value.code == "ledger-broken"
    assert "record 4 " in refused.value.message
    assert not [r for r in records(address) if r.kind == CUT]


def test_an_archive_of_something_else_in_the_way_stops_the_cut(file, tmp_path, key):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "records-0-0-30.jsonl").write_text("{}\n" * 30)
    with pytest.raises(LedgerError) as refused:
        retained(file, "2026-11-06", tmp_path / "archive", key)
    assert refused.value.code == "ledger-broken"
    assert not [r for r in records(file) if r.kind == CUT]


def test_a_folder_that_cannot_be_written_stops_the_cut(file, tmp_path, key):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "records-0-0-30.jsonl").mkdir()
    with pytest.raises((UsageError, LedgerError, OSError)):
        retained(file, "2026-11-06", tmp_path / "archive", key)
    assert not [r for r in records(file) if r.kind == CUT]


@pytest.mark.parametrize("step", ["_compare", "_sign", "_sync", "_digest", "cut"])
def test_a_run_that_is_interrupted_is_finished_by_the_next(file, tmp_path, key, monkeypatch, step):
    heads = signed(file, tmp_path, key)

    class PowerCutError(Exception):
        pass

    def interrupted(*_, **__):
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(retain, step, interrupted)
        with pytest.raises(PowerCutError):
            retained(file, "2026-11-06", tmp_path / "archive", key)
    assert not [r for r in records(file) if r.kind == CUT]
    _, count = retained(file, "2026-11-06", tmp_path / "archive", key)
    assert count == 20
    assert findings(file, heads, tmp_path / "archive" / "records-0-0-30.jsonl") == ()
    assert [r.kind for r in records(file)].count("retention") == 1


def test_the_ledger_says_what_was_archived(file, tmp_path, key):
    retained(file, "2026-11-06", tmp_path / "archive", key)
    reader = Ledger.open(file, read_only=True)
    (record,) = reader.read(kind="retention")
    body = json.loads(record.body)
    assert archived(reader) == body["stop"] == 30
    assert body["file"] == "records-0-0-30.jsonl"
    assert body["root"] == reader.root(30).hex()
    reader.close()
    answer = subprocess.run(
        ["sha256sum", tmp_path / "archive" / body["file"]], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split()[0] == body["sha256"]


# --- the command ----------------------------------------------------------------------------------


def run(*arguments, data):
    return CliRunner().invoke(app, ["ledger", *map(str, arguments)], env={"LEXORDER_DATA_DIR": str(data)})


def test_the_command_changes_nothing_without_apply(file, tmp_path):
    before = records(file)
    answer = run("retain", "--before", "2026-11-06", "--archive", tmp_path / "a", "--ledger", file, data=tmp_path)
    assert (answer.exit_code, answer.stdout) == (
        0,
        "30 records, 0 up to 30, not included\nnothing was changed: --apply does it\n",
    )
    assert records(file) == before
    assert not (tmp_path / "a").exists()


def test_the_command_archives_and_verify_takes_the_archive(address, tmp_path):
    common = ("--ledger", address)
    assert run("heads", "--sign", *common, data=tmp_path).exit_code == 0
    answer = run("retain", "--before", "2026-11-06", "--archive", tmp_path / "a", "--apply", *common, data=tmp_path)
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines()[1].startswith("20 records emptied; the archive is ")
    archive = tmp_path / "a" / "records-0-0-30.jsonl"
    assert run("verify", *common, data=tmp_path).exit_code == 1
    answer = run("verify", *common, "--archive", archive, data=tmp_path)
    assert (answer.exit_code, answer.stdout.startswith("SOUND")) == (0, True), answer.output


def test_the_command_says_why_it_stops_early(file, tmp_path):
    answer = run("retain", "--before", "2099-01-01", "--archive", tmp_path / "a", "--ledger", file, data=tmp_path)
    assert "no more than that, because a start needs everything since the latest snapshot" in answer.stdout
