"""The verifier as an auditor uses it: one file, copied anywhere, on a database, an export and a proof."""

from __future__ import annotations

import ast
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from lexorder.engine.ledger import audit, verify_ledger
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.heads import PUBLIC_KEY, HeadLog, read_heads, signing_key
from lexorder.engine.ledger.lines import line_of
from lexorder.engine.ledger.verify_ledger import (
    UnreadableError,
    check_file,
    check_proof,
    heads_of,
    main,
    signature_check,
)
from tests.ledger.entries import AT, fill
from tests.ledger.test_ledger import harm

SOURCE = Path(verify_ledger.__file__)
LINES_MAX = 350


@pytest.fixture
def place(tmp_path, opened):
    """A folder with a ledger of 600 records, two signed heads, an export and the verifier alone."""
    ledger = opened(f"sqlite:///{tmp_path / 'ledger.db'}")
    log = HeadLog(tmp_path / "heads", 0, signing_key(tmp_path / "key.pem"))
    for _ in range(2):
        fill(ledger, 300)
        log.write(ledger, AT)
    (tmp_path / "export.jsonl").write_text("".join(line_of(record) + "\n" for record in ledger.read()))
    record = ledger.find("R77", "decision")
    assert record is not None
    (tmp_path / "proof.json").write_text(audit.proof(ledger, record, read_heads(log.path)) + "\n")
    ledger.close()
    shutil.copy(SOURCE, tmp_path / "check_it.py")
    return tmp_path


def run(place: Path, *arguments: str, bare: bool = False) -> tuple[int, list[str]]:
    options = ["-I", "-W", "error", *(["-S"] if bare else [])]
    command = [sys.executable, *options, str(place / "check_it.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=place)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


HEADS = ("--heads", "heads/heads-0.jsonl", "--key", "heads/heads.pub.pem")


@pytest.mark.parametrize("name", ["ledger.db", "export.jsonl"])
def test_a_sound_ledger(place, name):
    assert run(place, name, *HEADS) == (0, ["SOUND 600 records, 600 of them covered by signed heads"])


@pytest.mark.parametrize("name", ["ledger.db", "export.jsonl"])
def test_the_chain_alone_needs_the_standard_library_only(place, name):
    code, lines = run(place, name, bare=True)
    assert code == 0
    assert lines == ["SOUND 600 records, by themselves: without signed heads a rewritten ledger looks the same"]
    code, lines = run(place, name, *HEADS, bare=True)
    assert (code, lines) == (2, ["NOT CHECKED signatures: `pip install cryptography` first"])


def test_a_changed_database(place):
    harm(f"sqlite:///{place / 'ledger.db'}", "UPDATE records SET body = 'x' WHERE seq = 44")
    code, lines = run(place, "ledger.db", *HEADS)
    assert code == 1
    assert lines[0] == "record 44: its content is not what its hash says"
    assert lines[-1].startswith("NOT SOUND")


def test_a_changed_node_of_the_tree(place):
    harm(f"sqlite:///{place / 'ledger.db'}", "UPDATE tree_nodes SET hash = zeroblob(32) WHERE position = 1",
         "INSERT INTO tree_nodes VALUES (0, 8, 7, zeroblob(32))")  # fmt: skip
    code, lines = run(place, "ledger.db", *HEADS)
    assert code == 1
    assert lines[:2] == [
        "record 511: the stored node 1 of level 8 is missing or another",
        "1 stored nodes belong to no record",
    ]


def test_a_shortened_ledger_and_a_shortened_list_of_heads(place):
    lines = (place / "export.jsonl").read_text().splitlines(keepends=True)
    (place / "export.jsonl").write_text("".join(lines[:450]))
    assert run(place, "export.jsonl", *HEADS)[1][0] == "record 450: missing; a signed head counts 600 records"
    heads = place / "heads" / "heads-0.jsonl"
    heads.write_text(heads.read_text().splitlines(keepends=True)[0])
    assert run(place, "export.jsonl", *HEADS) == (0, ["SOUND 450 records, 300 of them covered by signed heads"])


def test_an_empty_ledger_is_not_called_sound(place, opened):
    opened(f"sqlite:///{place / 'empty.db'}").close()
    (place / "empty.jsonl").write_text("")
    for name in ("empty.db", "empty.jsonl"):
        assert run(place, name) == (2, ["NOT CHECKED it holds no record of shard 0"])
        assert run(place, name, *HEADS)[0] == 1


def test_another_shard_has_heads_of_its_own(place, opened):
    other = opened(f"sqlite:///{place / 'ledger.db'}", 1)
    fill(other, 5)
    log = HeadLog(place / "heads", 1, signing_key(place / "key.pem"))
    log.write(other, AT)
    other.close()
    assert run(place, "ledger.db", *HEADS)[0] == 0
    mine = ("--shard", "1", "--heads", "heads/heads-1.jsonl", "--key", "heads/heads.pub.pem")
    assert run(place, "ledger.db", *mine) == (0, ["SOUND 5 records, 5 of them covered by signed heads"])
    code, lines = run(place, "ledger.db", "--shard", "1", *HEADS)
    assert code == 1
    assert lines[0] == "head 1: is of shard 0"


def test_a_proof_of_one_record(place):
    assert run(place, "proof.json", "--key", "heads/heads.pub.pem")[0] == 0
    code, lines = run(place, "proof.json")
    assert code == 1
    assert "signature" in lines[0]


def proof_with(text: str, **changes: object) -> str:
    return json.dumps({**json.loads(text), **changes}, separators=(",", ":"))


def test_a_changed_proof_is_refused(place):
    text, signed = (place / "proof.json").read_text(), signature_check(place / "heads" / PUBLIC_KEY)
    proof = json.loads(text)
    assert not check_proof(text, signed).findings
    record, head = proof["record"], proof["head"]
    path, zeros = proof["path"], "00" * 32
    changes: dict[str, list[object]] = {
        "record": [{**record, "body": "other"}, {**record, "seq": 78}, None, {}],
        "path": [path[1:], [*path, zeros], ["zz"], None, [], [zeros] * 5000],
        "size": [599, 601, "600", 0, -5, 10**400, 2**5000],
        "root": [zeros, "", None],
        "head": [{**head, "size": 599}, {**head, "root": zeros}, {**head, "signature": "00" * 64}, {}, [], 5],
    }
    for name, values in changes.items():
        for value in values:
            assert check_proof(proof_with(text, **{name: value}), signed).findings, (name, value)
    for broken in ("", "[]", "null", "{}", "[" * 100_000):
        assert check_proof(broken, signed).findings == ("the text is not a proof",)


def test_a_proof_against_another_signed_head_is_refused(place):
    text, signed = (place / "proof.json").read_text(), signature_check(place / "heads" / PUBLIC_KEY)
    older = heads_of(place / "heads" / "heads-0.jsonl")[0]
    assert json.loads(text)["head"]["size"] == 600
    found = check_proof(proof_with(text, head=older), signed).findings
    assert found == ("the signed head names another root",)


def test_a_proof_without_a_head_says_only_what_the_root_says(place):
    text = proof_with((place / "proof.json").read_text(), head=None)
    assert check_proof(text, None) == verify_ledger.Result((), 1, 0)


NOT_CHECKED = [
    (["nothing.db"], "No such file"),
    (["ledger.db", "--heads", "heads/heads-0.jsonl"], "--heads needs --key"),
    (["ledger.db", "--heads", "none", "--key", "heads/heads.pub.pem"], "signed heads: No such file"),
    (["ledger.db", "--heads", "ledger.db", "--key", "heads/heads.pub.pem"], "signed heads: a line is not one"),
    (["ledger.db", "--key", "ledger.db"], "public key: no PEM"),
    (["ledger.db", "--key", "none"], "public key: no PEM"),
]


@pytest.mark.parametrize(("arguments", "words"), NOT_CHECKED)
def test_what_cannot_be_checked_is_said(place, arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(place)
    assert main(arguments) == 2
    printed = capsys.readouterr().out
    assert printed.startswith("NOT CHECKED")
    assert words in printed


def test_files_that_are_no_ledger_are_not_sound(place):
    for content in (
        b"x",
        b"\0" * 100,
        b"SQLite format 3\0" + b"\xff" * 5000,
        b'{"format":"lexorder-proof-1"\xff',
        b"\n",
    ):
        (place / "other").write_bytes(content)
        assert check_file(place / "other", 0, [], None).findings
    with closing(sqlite3.connect(place / "bare.db")) as connection:
        connection.execute("CREATE TABLE other (x)")
    assert "damaged" in check_file(place / "bare.db", 0, [], None).findings[0]
    with pytest.raises(UnreadableError):
        check_file(place, 0, [], None)


def test_the_verifier_imports_nothing_of_the_writer():
    tree = ast.parse(SOURCE.read_text())
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    outside = {m for m in modules if m.partition(".")[0] not in sys.stdlib_module_names}
    assert {m.partition(".")[0] for m in outside} == {"cryptography"}
    assert len(SOURCE.read_text().splitlines()) <= LINES_MAX


def test_a_ledger_can_be_verified_while_it_is_written(url, opened):
    ledger = opened(url)
    fill(ledger, 300)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            fill(ledger, 100)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        database = Database(url, read_only=True)
        results = [audit.audit(database, 0, [], None) for _ in range(8)]
        while results[-1].size == 300:  # the writer has not had its turn yet
            results.append(audit.audit(database, 0, [], None))
        database.close()
    finally:
        stop.set()
        writer.join()
    assert {result.findings for result in results} == {()}
    sizes = [result.size for result in results]
    assert sizes == sorted(sizes)


def test_a_reader_does_not_keep_the_service_from_its_start(place, opened):
    entries = verify_ledger.entries_of_sqlite(place / "ledger.db", 0)
    first = next(entries)
    fill(opened(f"sqlite:///{place / 'ledger.db'}"), 1)  # would be refused, were the reader in a transaction
    assert len([first, *entries]) == 601
