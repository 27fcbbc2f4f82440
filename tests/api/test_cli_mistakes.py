"""Wrong words to every command: a message with its code and exit code 2, never a traceback, and nothing is done.

The ledger is that of a small service which decided three orders and stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.api.commands import command, mistaken
from tests.service.house import House

HUGE = "9" * 30
Words = Callable[[Path], list[str | Path]]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a service that has stopped: `data` and `rules`."""
    folder = tmp_path_factory.mktemp("closed")
    house = House(folder).furnished()
    for number, quantity in enumerate((1, 101, 1001)):
        house.check(id=f"O{number}", quantity=quantity)
    house.close()
    return folder


@pytest.fixture(autouse=True)
def there(closed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of an operator beside that service."""
    monkeypatch.setenv("LEXORDER_DATA_DIR", str(closed / "data"))
    for name in ("DATABASE", "SHARD", "HEADS_DIR", "RULES", "PSEUDONYM_KEY", "TLS_KEY"):
        monkeypatch.delenv(f"LEXORDER_{name}", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    before = files(closed)
    yield
    assert files(closed) == before, "a mistake leaves no file and changes none"


def worded(part: object) -> str | None:
    """The name of a case: its words."""
    return " ".join(part)[:60] if isinstance(part, list) else ""


def files(folder: Path) -> dict[str, bytes]:
    """Every file but what a database keeps beside its own while it is read."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): path.read_bytes() for path in found if not path.name.endswith(("-wal", "-shm"))}


LEDGER = [
    (["verify", "--shard", HUGE], "--shard"),
    (["verify", "--shard", "-1"], "--shard"),
    (["verify", "--shard", "64"], "--shard"),
    (["verify", "--shard", "1"], "ledger-unavailable"),
    (["verify", "--ledger", "sqlite:////nowhere/at/all"], "ledger-unavailable"),
    (["verify", "--ledger", "nonsense"], "ledger-url"),
    (["verify", "--ledger", "mysql://host/name"], "ledger-url"),
    (["verify", "--heads", "/nowhere"], "no-heads"),
    (["verify", "--key", "/nowhere"], "ledger-key"),
    (["verify", "--archive", "/nowhere"], "ledger-unavailable"),
    (["prove"], "ID"),
    (["prove", ""], "ledger-no-record"),
    (["prove", "O9"], "ledger-no-record"),
    (["prove", "O0", "--kind", "batch"], "ledger-no-record"),
    (["prove", "O0", "--shard", HUGE], "--shard"),
    (["prove", "O0", "--heads", "/nowhere"], "no-heads"),
    (["consistency", "2", "1"], "ledger-no-record"),
    (["consistency", "1", "1000000"], "ledger-no-record"),
    (["consistency", "1", HUGE], "ledger-no-record"),
    (["consistency", "one", "2"], "integer"),
    (["consistency", "-1", "2"], "-1"),
    (["consistency", "1"], "B"),
    (["heads", "--key", "/nowhere"], "ledger-key"),
    (["heads", "--heads", "/nowhere"], "no-heads"),
    (["heads", "--sign", "--shard", HUGE], "--shard"),
    (["export"], "target"),
    (["export", "/nowhere/at/all.jsonl"], "file-unwritable"),
    (["export", "/"], "file-"),
    (["export", "x.jsonl", "--from", HUGE], "bad-range"),
    (["export", "x.jsonl", "--from", "-1"], "bad-range"),
    (["export", "x.jsonl", "--from", "2026-13-01"], "bad-range"),
    (["export", "x.jsonl", "--to", "2026-06-15T12:00:00"], "offset"),
    (["export", "x.jsonl", "--from", "5", "--to", "2"], "--to lies before --from"),
    (["export", "x.jsonl", "--from", "2026-02-02", "--to", "2026-02-01"], "--to lies before --from"),
    (["export", "x.jsonl", "--from", "٣"], "bad-range"),
    (["export", "x.jsonl", "--format", "xml"], "jsonl"),
    (["export", "x.jsonl", "--shard", HUGE], "--shard"),
    (["retain", "--archive", "a"], "--before"),
    (["retain", "--before", "2"], "--archive"),
    (["retain", "--before", "yesterday", "--archive", "a"], "--before is `yesterday`"),
    (["retain", "--before", HUGE, "--archive", "a"], "--before is"),
    (["retain", "--before", "2", "--archive", "a", "--shard", HUGE], "--shard"),
    (["compress"], "No such command"),
]


@pytest.mark.parametrize(("words", "expected"), LEDGER, ids=worded)
def test_ledger(words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert expected in mistaken("ledger", *words)
    assert list(tmp_path.iterdir()) == []


REPLAY = [
    (["--shard", HUGE], "bad-setting"),
    (["--shard", "64"], "bad-setting"),
    (["--shard", "-1"], "--shard"),
    (["--shard", "7"], "ledger-unavailable"),
    (["--from", "-1"], "--from"),
    (["--from", "first"], "--from"),
    (["--to", "1.5"], "--to"),
    (["--data-dir", "/nowhere"], "no-ledger"),
    (["--database", "nonsense"], "ledger-url"),
    (["--rules", "/nowhere"], "file-unreadable"),
]


@pytest.mark.parametrize(("words", "expected"), REPLAY, ids=worded)
def test_replay(words: list[str], expected: str):
    assert expected in mistaken("replay", *words)


SERVE = [
    (["--port", "0"], "LEXORDER_PORT must be from 1 to 65,535"),
    (["--port", "65536"], "LEXORDER_PORT"),
    (["--port", "http"], "--port"),
    (["--port", "65530", "--workers", "6"], "no ports above it"),
    (["--workers", "0"], "--workers"),
    (["--workers", "65"], "--workers"),
    (["--clock", "moon"], "LEXORDER_CLOCK must be one of snapshot, wall, feed"),
    (["--clock", ""], "LEXORDER_CLOCK"),
    (["--ledger", "half"], "LEXORDER_LEDGER must be one of full, normal, off"),
    (["--tls-key", "key.pem"], "nothing would be encrypted"),
    (["--tls-certificate", "/nowhere"], "--tls-certificate names no file"),
    (["--database", "nonsense"], "ledger-url"),
    (["--data-dir", "/proc/nowhere"], "cannot be made"),
    (["--rate", "5"], "No such option"),
]


@pytest.mark.parametrize(("words", "expected"), SERVE, ids=worded)
def test_serve(words: list[str], expected: str):
    assert expected in mistaken("serve", *words)


def test_a_service_without_readable_rules_does_not_start_and_says_why(tmp_path: Path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "r.yaml").write_text("- rule: x\n  title: X\n  require: ordr.quantity <= 1\n")
    found = {}
    for name, folder in (("none", tmp_path / "none"), ("bad", bad)):
        found[name] = mistaken("serve", "--rules", folder, "--data-dir", tmp_path / f"data-{name}", "--port", "18999")
    assert "file-unreadable" in found["none"]
    assert "r.yaml:3:12: unknown-name" in found["bad"]
    assert "order" in found["bad"], "the nearest name"


def test_a_certificate_alone_with_an_unreadable_key_is_refused(tmp_path: Path):
    (tmp_path / "c.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    said = mistaken("serve", "--tls-certificate", tmp_path / "c.pem", "--tls-key", tmp_path / "k.pem")
    assert "--tls-key names no file" in said


RULES = [
    (["lint"], "paths"),
    (["show"], "identifier"),
    (["show", "none", "--rules", "/nowhere"], "file-unreadable"),
    (["schema", "--vocabulary", "/nowhere"], "/nowhere:1:1: file-unreadable"),
    (["schema", "--vocabulary", "/"], "/:1:1: file-unreadable"),
    (["test", "/nowhere"], "/nowhere:1:1: file-unreadable"),
    (["draw"], "No such command"),
]


@pytest.mark.parametrize(("words", "expected"), RULES, ids=worded)
def test_rules(words: list[str], expected: str):
    assert expected in mistaken("rules", *words)


KEYS = [
    (["list", "--database", "nonsense"], "ledger-url"),
    (["list", "--database", "sqlite:////proc/nowhere/x"], "ledger-unavailable"),
    (["list", "--data-dir", "/proc/nowhere"], "cannot be made"),
    (["create", "--name", "x", "--role", "admin", "--data-dir", "/proc/nowhere"], "cannot be made"),
    (["create", "--name", "x\n", "--role", "admin"], "bad-key-field"),
    (["create", "--name", "x" * 101, "--role", "admin"], "bad-key-field"),
    (["create", "--name", "x", "--role", "admin", "--expires", f"{HUGE}d"], "bad-duration"),
    (["revoke", ""], "unknown-key"),
    (["revoke"], "identifier"),
]


@pytest.mark.parametrize(("words", "expected"), KEYS, ids=worded)
def test_keys(words: list[str], expected: str):
    assert expected in mistaken("keys", *words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "Usage"),
        (["deicde"], "No such command"),
        (["--verison"], "No such option"),
        (["check"], "--snapshot"),
        (["check", "--snapshot", "/", "--order", "/"], "file-unreadable: / cannot be read: Is a directory"),
        (["check", "--snapshot", "/nowhere", "--order", "/nowhere", "--format", "xml"], "--format"),
        (["check", "--snapshot", "/nowhere", "--order", "/nowhere", "--rules", "/nowhere"], "/nowhere:1:1"),
        (["rebalance"], "--portfolio"),
        (["demo", "--fast"], "No such option"),
    ],
    ids=worded,
)
def test_others(words: list[str], expected: str):
    ended = command(*words)
    assert ended.code == 2
    assert expected in ended.said


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert command("--version").out == f"lexorder {version('lexorder')}\n"
