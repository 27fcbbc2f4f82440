"""`lexorder ledger` and `lexorder replay` on the records of a small service: what they print, and what outsiders check.

The proofs are checked by the stand-alone verifier's own functions, exports are read by other readers than ours.
"""

from __future__ import annotations

import base64
import csv
import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from lexorder.engine.ledger import verify_ledger
from tests.api.commands import command, mistaken
from tests.service.house import RULES, House

QUANTITIES = (1, 101, 1001)
OUTCOMES = ("approve", "needs_override", "reject")
TIGHTER = RULES + "- rule: tiny\n  title: Nothing at all\n  require: order.quantity <= 0\n"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a service that decided three orders and stopped."""
    folder = tmp_path_factory.mktemp("closed")
    house = House(folder).furnished()
    for number, quantity in enumerate(QUANTITIES):
        assert house.check(id=f"O{number}", quantity=quantity)["outcome"] == OUTCOMES[number]
    house.close()
    return folder


@pytest.fixture(autouse=True)
def beside(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of an operator."""
    monkeypatch.setenv("LEXORDER_DATA_DIR", str(closed / "data"))
    monkeypatch.setenv("LEXORDER_RULES", str(closed / "rules"))
    for name in ("DATABASE", "SHARD", "HEADS_DIR", "PSEUDONYM_KEY"):
        monkeypatch.delenv(f"LEXORDER_{name}", raising=False)


def rows(closed: Path) -> list[dict[str, Any]]:
    """The records, read by SQLite itself."""
    with sqlite3.connect(f"file:{closed / 'data' / 'ledger.sqlite'}?mode=ro", uri=True) as database:
        database.row_factory = sqlite3.Row
        found = database.execute("select * from records where shard = 0 order by seq").fetchall()
    database.close()
    return [dict(row) for row in found]


# ---- verify and heads --------------------------------------------------------------------------------


def test_a_sound_ledger_is_said_to_be_sound_with_its_heads(closed: Path):
    ended = command("ledger", "verify")
    count = len(rows(closed))
    assert (ended.code, ended.out) == (0, f"SOUND {count} records, {count} of them covered by signed heads\n")


def test_a_ledger_that_was_changed_is_not_and_the_record_is_named(closed: Path, tmp_path: Path):
    copy = tmp_path / "copy.sqlite"
    with sqlite3.connect(closed / "data" / "ledger.sqlite") as source, sqlite3.connect(copy) as target:
        source.backup(target)
        for (name,) in target.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            target.execute(f"drop trigger {name}")
        target.execute("update records set account = 'Z' where seq = 2")
        target.commit()
    source.close()
    target.close()
    ended = command("ledger", "verify", "--ledger", f"sqlite:///{copy}")
    assert ended.code == 1
    assert "NOT SOUND" in ended.out
    assert re.search(r"\b2\b", ended.out)


def test_heads_are_listed_with_their_signatures_and_one_can_be_added(closed: Path):
    before = command("ledger", "heads").out.splitlines()
    assert before
    assert all(re.fullmatch(r"\S+Z +\d+  [0-9a-f]{64}  signed", line) for line in before)
    after = command("ledger", "heads", "--sign").out.splitlines()
    assert after == before, "the last one holds every record already"


def test_heads_by_another_key_are_not_signed(closed: Path, tmp_path: Path):
    other = tmp_path / "other"
    house = House(other)
    house.close()
    key = next((other / "data" / "heads").glob("*.pem"))
    ended = command("ledger", "heads", "--key", key)
    assert ended.code == 1
    assert "NOT SIGNED BY THIS KEY" in ended.out
    assert command("ledger", "verify", "--key", key).code == 1


def test_heads_can_be_written_to_a_folder_that_is_not_there_yet(closed: Path, tmp_path: Path):
    folder = tmp_path / "new" / "heads"
    (line,) = command("ledger", "heads", "--sign", "--heads", folder).out.splitlines()
    assert line.split()[1] == str(len(rows(closed)))
    assert command("ledger", "verify", "--heads", folder).code == 0


# ---- proofs ------------------------------------------------------------------------------------------


def verified(text: str, tmp_path: Path, closed: Path) -> subprocess.CompletedProcess[str]:
    """What the stand-alone script says of a proof, in an interpreter without our packages."""
    file = tmp_path / "proof.json"
    file.write_text(text)
    script = str(Path(str(verify_ledger.__file__)).resolve())
    key = next((closed / "data" / "heads").glob("*.pem"))
    return subprocess.run(
        [sys.executable, "-I", script, str(file), "--key", str(key)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("number", range(len(QUANTITIES)))
def test_a_proof_names_its_record_and_its_head_and_convinces_a_stranger(closed: Path, number: int, tmp_path: Path):
    text = command("ledger", "prove", f"O{number}", "--kind", "decision").out
    document = json.loads(text)
    (row,) = [row for row in rows(closed) if row["ref"] == f"O{number}" and row["kind"] == "decision"]
    assert str(row["seq"]) in json.dumps(document)
    assert document["head"]["size"] == len(rows(closed))
    assert verified(text, tmp_path, closed).returncode == 0
    changed = text.replace(f"O{number}", "O9")
    assert changed != text
    assert verified(changed, tmp_path, closed).returncode != 0


def test_a_consistency_proof_is_given_for_every_pair_of_sizes(closed: Path):
    count = len(rows(closed))
    roots: dict[int, str] = {}
    for old in range(1, count + 1):
        for new in range(old, count + 1):
            document = json.loads(command("ledger", "consistency", old, new).out)
            assert (document["old"], document["new"]) == (old, new)
            assert roots.setdefault(old, document["old_root"]) == document["old_root"]
            assert roots.setdefault(new, document["new_root"]) == document["new_root"]
    assert len(set(roots.values())) == count


# ---- exports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "seqs"),
    [
        ([], None),
        (["--from", "2"], lambda n: n >= 2),
        (["--to", "2"], lambda n: n < 2),
        (["--from", "2", "--to", "4"], lambda n: 2 <= n < 4),
        (["--from", "3", "--to", "3"], lambda n: False),
        (["--from", "2030-01-01"], lambda n: False),
        (["--to", "2020-01-01"], lambda n: False),
        (["--from", "2020-01-01", "--to", "2120-01-01T00:00:00+01:00"], None),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_range_is_the_same_in_every_format(closed: Path, tmp_path: Path, words: list[str], seqs: Any):
    expected = [row for row in rows(closed) if seqs is None or seqs(row["seq"])]
    read = {}
    for form in ("jsonl", "csv", "parquet"):
        file = tmp_path / f"x.{form}"
        assert command("ledger", "export", file, "--format", form, *words).out == f"{len(expected)} records\n"
        if form == "jsonl":
            read[form] = [json.loads(line) for line in file.read_text().splitlines()]
        elif form == "csv":
            with file.open(newline="") as lines:
                read[form] = list(csv.DictReader(lines))
        else:
            read[form] = pq.read_table(file).to_pylist()
    for form, found in read.items():
        assert [int(row["seq"]) for row in found] == [row["seq"] for row in expected], form
        assert [(row["kind"], row["ref"], row["account"]) for row in found] == [
            (row["kind"], row["ref"], row["account"]) for row in expected
        ], form


def test_one_kind_alone(tmp_path: Path):
    command("ledger", "export", tmp_path / "d.jsonl", "--kind", "decision")
    assert [json.loads(line)["ref"] for line in (tmp_path / "d.jsonl").read_text().splitlines()] == ["O0", "O1", "O2"]


def test_pseudonyms_are_the_same_with_the_same_key_and_others_with_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    texts = []
    for number, key in enumerate((b"k" * 32, b"k" * 32, b"l" * 32)):
        monkeypatch.setenv("LEXORDER_PSEUDONYM_KEY", base64.b64encode(key).decode())
        file = tmp_path / f"{number}.jsonl"
        ended = command("ledger", "export", file, "--anonymised", "--kind", "decision")
        assert (ended.code, ended.err) == (0, "")
        texts.append(file.read_text())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    for text in texts:
        assert not re.search(r'"(O[012]|tess|T)"', text)
        assert len(set(re.findall(r"anon-[a-z2-7]{24}", text))) >= 4


@pytest.mark.parametrize(
    "key", ["short", "!" * 44, base64.b64encode(b"k" * 31).decode(), base64.b64encode(b"k" * 33).decode()]
)
def test_a_pseudonym_key_of_another_length_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
):
    monkeypatch.setenv("LEXORDER_PSEUDONYM_KEY", key)
    said = mistaken("ledger", "export", tmp_path / "x.jsonl", "--anonymised")
    assert said.startswith("bad-pseudonym-key: ")
    assert key not in said
    assert list(tmp_path.iterdir()) == []


def test_retention_says_what_it_would_do_and_does_nothing(closed: Path, tmp_path: Path):
    before = rows(closed)
    ended = command("ledger", "retain", "--before", "3", "--archive", tmp_path / "archive")
    assert ended.code == 0
    assert "nothing was changed: --apply does it" in ended.out
    assert "because a start checks the newest" in ended.out
    assert not (tmp_path / "archive").exists()
    done = command("ledger", "retain", "--before", "3", "--archive", tmp_path / "archive", "--apply")
    assert done.out.endswith("0 records emptied\n"), "no archive is named that was not written"
    assert rows(closed) == before


# ---- replay ------------------------------------------------------------------------------------------


def test_a_replay_finds_no_difference_and_under_other_rules_every_one(tmp_path: Path):
    assert command("replay").out == "3 decisions replayed, 0 differ from what was recorded\n"
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "r.yaml").write_text(TIGHTER)
    ended = command("replay", "--rules", rules, "--json")
    assert ended.code == 1
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["orders"] for row in found] == [["O0"], ["O1"], ["O2"]]
    assert [row["then"]["outcome"] for row in found] == list(OUTCOMES)
    assert {row["now"]["outcome"] for row in found} == {"reject"}
    assert ended.err == "3 decisions replayed, 3 decided otherwise under the other rules\n"
    plain = command("replay", "--rules", rules).out.splitlines()
    assert re.fullmatch(r"\d+  O0 for A: approve -> reject \(tiny\)", plain[0])
    for row in found:
        only = command("replay", "--rules", rules, "--from", row["seq"], "--to", row["seq"]).out.splitlines()
        assert only[-1] == "1 decisions replayed, 1 decided otherwise under the other rules"
    assert command("replay", "--to", 0).code == 0


# ---- the folder, named ---------------------------------------------------------------------------------

READING = (
    ("ledger", "verify"),
    ("ledger", "heads"),
    ("ledger", "prove", "O0"),
    ("ledger", "consistency", "1", "3"),
    ("ledger", "retain", "--before", "1", "--archive", "archive"),
    ("replay",),
)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_the_folder_may_be_named_as_to_the_service(
    closed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
):
    by_environment = command(*words)
    monkeypatch.setenv("LEXORDER_DATA_DIR", str(tmp_path / "nothing"))
    named = command(*words, "--data-dir", str(closed / "data"))
    assert (named.code, named.out) == (by_environment.code, by_environment.out)
    assert command(*words).out != named.out, "there is nothing under the environment's folder"


def test_an_export_of_a_named_folder(closed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEXORDER_DATA_DIR", str(tmp_path / "nothing"))
    target = tmp_path / "records.jsonl"
    told = command("ledger", "export", str(target), "--data-dir", str(closed / "data"))
    assert told.code == 0
    assert len(target.read_text().splitlines()) == len(rows(closed))


def test_a_replay_of_nothing_is_a_mistake(closed: Path):
    assert "bad-range" in mistaken("replay", "--from", "5", "--to", "4")
    assert command("replay", "--from", "4", "--to", "4").code == 0
