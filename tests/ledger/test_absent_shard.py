"""A shard under which nothing was recorded: nothing is said of it, least of all that it is sound.

SQLite keeps the shards of a service in files of their own, PostgreSQL in one database: a mistyped `--shard` met no file
there and an empty answer here. Both are refused by one code, and neither leaves a file, a table or a head behind.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from lexorder.api import cli
from lexorder.api.service.heads_task import KEY_FILE
from lexorder.engine.errors import LexorderError
from lexorder.engine.ledger import verify_ledger
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.heads import HeadLog, signing_key
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.reader import require_shard
from tests.ledger.conftest import Opened
from tests.ledger.entries import AT, Told, append, fill

SHARDS = (0, 2, 63)
ABSENT = 7
COMMANDS: dict[str, list[str]] = {
    "verify": ["verify"],
    "verify with heads": ["verify", "--heads", "{heads}"],
    "prove": ["prove", "R0"],
    "consistency": ["consistency", "0", "0"],
    "heads": ["heads", "--sign"],
    "export": ["export", "{out}/x.jsonl"],
    "retain": ["retain", "--before", "5", "--archive", "{out}/archive"],
    "retain and apply": ["retain", "--before", "5", "--archive", "{out}/archive", "--apply"],
}


@pytest.fixture
def shared(url: str, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One database with records of shards 0, 2 and 63, heads of shard 0, and the key that signs them."""
    monkeypatch.setenv("LEXORDER_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "out").mkdir()
    for shard in SHARDS:
        ledger = opened(url, shard)
        fill(ledger, 3 + shard)
        if not shard:
            HeadLog(tmp_path / "data" / "heads", 0, signing_key(tmp_path / "data" / KEY_FILE)).write(ledger, AT)
        ledger.close()
    return url


def run(*words: str) -> Any:
    return CliRunner().invoke(cli.app, ["ledger", *words])


def files(folder: Path) -> list[str]:
    """What lies there, but for what SQLite keeps beside a file that is open, and the locks of its writers."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(name for name in found if not name.endswith(("-wal", "-shm", ".lock")))


def test_every_command_refuses_it_by_its_code_and_names_those_there_are(shared, tmp_path):
    before = files(tmp_path)
    for name, words in COMMANDS.items():
        given = [word.format(heads=tmp_path / "data" / "heads", out=tmp_path / "out") for word in words]
        done = run(*given, "--ledger", shared, "--shard", str(ABSENT))
        assert isinstance(done.exception, LexorderError), name
        assert done.exception.code == "ledger-no-shard", name
        assert done.exception.message == "nothing was ever recorded under shard 7; there are 0, 2, 63", name
        assert "SOUND" not in done.output, name
        assert files(tmp_path) == before, name


def test_a_replay_of_it_does_not_find_every_decision_the_same(shared, tmp_path):
    done = CliRunner().invoke(cli.app, ["replay", "--database", shared, "--shard", str(ABSENT)])
    assert isinstance(done.exception, LexorderError), done.output
    assert done.exception.code == "ledger-no-shard"


def test_those_that_are_there_are_verified_each_by_itself(shared):
    for shard in SHARDS:
        done = run("verify", "--ledger", shared, "--shard", str(shard))
        assert done.exit_code == 0, done.output
        assert done.output.startswith(f"SOUND {3 + shard} records, ")
        assert ("covered by signed heads" in done.output) is (shard == 0)


def test_records_that_a_head_counts_and_are_gone_are_a_finding_and_no_missing_shard(shared, tmp_path):
    """Who deletes a whole shard does not make it one that never was: its heads tell."""
    heads = tmp_path / "data" / "heads"
    (heads / f"heads-{ABSENT}.jsonl").write_text(
        (heads / "heads-0.jsonl").read_text().replace('"shard":0', '"shard":7')
    )
    done = run("verify", "--ledger", shared, "--shard", str(ABSENT))
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith("NOT SOUND")


def test_one_record_is_enough(shared, opened):
    ledger = opened(shared, ABSENT)
    append(ledger, Told(), "R0")
    ledger.wait(0, 60)
    ledger.close()
    assert run("verify", "--ledger", shared, "--shard", str(ABSENT)).output.startswith("SOUND 1 records")
    assert json.loads(run("prove", "R0", "--ledger", shared, "--shard", str(ABSENT)).output)["size"] == 1


def test_a_ledger_in_which_nothing_was_ever_recorded_has_no_shard(ledger, url):
    with pytest.raises(LedgerError) as refused:
        require_shard(ledger.database, 0)
    assert (refused.value.code, refused.value.message) == (
        "ledger-no-shard",
        "nothing was ever recorded under shard 0; nor under any other",
    )
    reader = Ledger.open(url, 0, read_only=True)
    assert reader.committed == 0, "whoever waits for the first record may look"
    reader.close()


def test_shards_beyond_those_of_a_service_are_named_too(url, opened):
    """A database may hold more than the service would ask for: each is found by one look."""
    for shard in (1, 1000, 2**31 - 1):
        writer = opened(url, shard)
        fill(writer, 2)
        writer.close()
    reader = opened(url, 1000, read_only=True)
    with pytest.raises(LedgerError, match="there are 1, 1000, 2147483647"):
        require_shard(reader.database, 0)


# ---- the verifier that stands alone --------------------------------------------------------------------------------


def alone(*words: object) -> tuple[int, str]:
    """The stand-alone verifier, by itself: its exit code and what it prints."""
    program = [sys.executable, "-I", str(verify_ledger.__file__), *map(str, words)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout


def test_the_stand_alone_verifier_does_not_call_nothing_sound(tmp_path, opened):
    path = tmp_path / "ledger.db"
    fill(writer := opened(f"sqlite:///{path}", 2), 5)
    writer.close()
    assert alone(path, "--shard", 2)[0] == 0
    assert alone(path, "--shard", 1) == (2, "NOT CHECKED it holds no record of shard 1\n")
    assert alone(path) == (2, "NOT CHECKED it holds no record of shard 0\n")


def test_an_export_without_a_line_is_no_proof_of_anything(tmp_path):
    (tmp_path / "none.jsonl").write_text("")
    code, said = alone(tmp_path / "none.jsonl")
    assert code == 2
    assert said.startswith("NOT CHECKED")


def test_a_damaged_number_of_a_shard_is_no_shard(tmp_path, opened):
    """SQLite keeps anything in any column."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    fill(writer := opened(url, 0), 2)
    with writer.database.connect() as connection:
        rest = "seq, kind, at, ref, account, body, prev, hash"
        connection.execute(text(f"INSERT INTO records SELECT 'x', {rest} FROM records"))
        connection.commit()
    writer.close()
    reader = opened(url, 0, read_only=True)
    with pytest.raises(LedgerError, match=r"there are 0$"):
        require_shard(reader.database, 5)
