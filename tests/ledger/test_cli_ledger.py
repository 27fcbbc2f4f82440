"""`lexorder ledger`: what it prints, its exit codes, on both databases."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from lexorder.api import cli
from lexorder.api.service.heads_task import KEY_FILE
from lexorder.engine.errors import LexorderError
from lexorder.engine.ledger.heads import HeadLog, signing_key
from lexorder.engine.ledger.tree import consistent
from lexorder.engine.ledger.verify_ledger import check_file, check_proof, heads_of, signature_check
from tests.ledger.entries import AT, fill
from tests.ledger.test_ledger import harm


@pytest.fixture
def place(tmp_path, monkeypatch, url, opened):
    """A data directory with a ledger of 400 records, the first 300 of them signed."""
    monkeypatch.setenv("LEXORDER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LEXORDER_DATABASE", url)
    ledger = opened(url)
    log = HeadLog(tmp_path / "heads", 0, signing_key(tmp_path / KEY_FILE))
    fill(ledger, 300)
    log.write(ledger, AT)
    fill(ledger, 100)
    ledger.close()
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(cli.app, ["ledger", *arguments])


def test_a_sound_ledger_is_verified(place):
    done = run("verify")
    assert done.exit_code == 0, done.output
    assert done.output == "SOUND 400 records, 300 of them covered by signed heads\n"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE records SET ref = 'x' WHERE seq = 20", "record 20: its content is not what its hash says"),
        ("DELETE FROM records WHERE seq = 20", "record 20: missing or moved, record 21 is in its place"),
        ("DELETE FROM records WHERE seq >= 280", "record 280: missing; a signed head counts 300 records"),
        ("UPDATE records SET seq = 470 WHERE seq = 399", "record 399: missing or moved, record 470 is in its place"),
        ("DELETE FROM tree_nodes", "record 255: the stored node 0 of level 8 is missing or another"),
    ],
)
def test_a_changed_ledger_is_not(place, url, damage, words):
    harm(url, damage)
    done = run("verify")
    assert done.exit_code == 1
    assert words in done.output.splitlines()
    assert done.output.splitlines()[-1].startswith("NOT SOUND")


def test_without_heads_it_says_what_that_means(place, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    done = run("verify", "--heads", str(tmp_path / "elsewhere"))
    assert done.exit_code == 0
    assert "without signed heads" in done.output


def test_heads_that_are_named_must_be_there(place, tmp_path):
    done = run("verify", "--heads", str(tmp_path / "nowhere"))
    assert done.exit_code != 0
    assert "no-heads" in str(done.exception)


def test_heads_by_another_key_are_not_believed(place, tmp_path):
    other = tmp_path / "other"
    HeadLog(other, 0, signing_key(tmp_path / "other.pem"))
    done = run("verify", "--key", str(other / "heads.pub.pem"))
    assert done.exit_code == 1
    assert "its signature is not by the key given" in done.output
    assert run("heads", "--key", str(other / "heads.pub.pem")).exit_code == 1


def test_a_proof_of_a_signed_record(place):
    done = run("prove", "R20")
    assert done.exit_code == 0, done.output
    proof = json.loads(done.output)
    assert (proof["record"]["ref"], proof["size"], proof["head"]["size"]) == ("R20", 300, 300)
    signed = signature_check(place / "heads" / "heads.pub.pem")
    assert check_proof(done.output, signed).findings == ()


def test_a_proof_of_a_record_that_no_head_covers_yet(place):
    proof = json.loads(run("prove", "R350").output)
    assert (proof["size"], proof["head"]) == (400, None)
    assert run("heads", "--sign").exit_code == 0
    proof = json.loads(run("prove", "R350").output)
    assert (proof["size"], proof["head"]["size"]) == (400, 400)


def test_a_proof_of_one_kind_of_record(place):
    assert json.loads(run("prove", "R30", "--kind", "event").output)["record"]["kind"] == "event"
    done = run("prove", "R30", "--kind", "override")
    assert isinstance(done.exception, LexorderError)
    assert done.exception.code == "ledger-no-record"


def test_consistency_between_two_sizes(place):
    document = json.loads(run("consistency", "100", "400").output)
    old, new = (bytes.fromhex(document[name]) for name in ("old_root", "new_root"))
    assert consistent(100, 400, old, new, [bytes.fromhex(node) for node in document["path"]])
    done = run("consistency", "100", "401")
    assert isinstance(done.exception, LexorderError)
    assert done.exception.code == "ledger-no-record"


def test_heads_are_listed_and_signed(place):
    first = run("heads").output.splitlines()
    assert len(first) == 1
    assert first[0].startswith(AT)
    assert first[0].endswith("signed")
    assert len(run("heads", "--sign").output.splitlines()) == 2
    assert len(run("heads", "--sign").output.splitlines()) == 2


def test_an_export_can_be_verified_elsewhere(place, tmp_path):
    target = tmp_path / "export.jsonl"
    assert run("export", str(target)).output == "400 records\n"
    heads = heads_of(place / "heads" / "heads-0.jsonl")
    signed = signature_check(place / "heads" / "heads.pub.pem")
    assert check_file(target, 0, heads, signed) == ((), 400, 300)


def test_where_there_is_no_ledger_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("LEXORDER_DATA_DIR", str(tmp_path / "none"))
    for command in (["verify"], ["prove", "x"], ["consistency", "0", "0"], ["heads", "--sign"]):
        done = run(*command)
        assert isinstance(done.exception, LexorderError), command
        assert done.exception.code in {"ledger-unavailable", "ledger-key"}
    assert not (tmp_path / "none").exists()
