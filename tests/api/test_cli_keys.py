"""`lexorder keys` as a person uses it: what it prints, what it refuses, and that a running service follows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lexorder.api.cli import app
from lexorder.api.service.access import Access
from lexorder.api.service.keys import KeyStore
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role
from lexorder.engine.errors import UsageError
from lexorder.engine.ledger.database import Database

SHAPE = re.compile(r"lx_[a-z2-7]{10}_[0-9a-f]{64}\n")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The service's folder, and nothing of the machine's own settings."""
    for name in ("DATA_DIR", "DATABASE"):
        monkeypatch.delenv(f"LEXORDER_{name}", raising=False)
    monkeypatch.setenv("LEXORDER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "data"


def keys(*words: str) -> Any:
    return CliRunner().invoke(app, ["keys", *words], catch_exceptions=True)


def made(*words: str) -> str:
    result = keys("create", "--name", "OMS", *words)
    assert result.exit_code == 0, result.output
    assert SHAPE.fullmatch(result.stdout), "only the key goes to standard output"
    return str(result.stdout.strip())


def refused(*words: str) -> UsageError:
    result = keys(*words)
    assert result.exit_code != 0
    assert isinstance(result.exception, UsageError), result.output
    assert result.stdout == ""
    return result.exception


@pytest.fixture
def access(data: Path) -> Iterator[Access]:
    """A running service's view of the same table."""
    data.mkdir(exist_ok=True)
    database = Database(f"sqlite:///{data / 'ledger.sqlite'}")
    database.create()
    opened = Access(KeyStore(database))
    opened.refresh()
    yield opened
    database.close()


def test_a_key_made_here_opens_the_service(access: Access):
    key = made("--role", "senior_trader", "--owner", "Alice", "--accounts", "A1, A2", "--scopes", "read,trade")
    access.refresh()
    principal = access.principal(f"Bearer {key}".encode())
    assert (principal.role, principal.person) == (Role.SENIOR_TRADER, "Alice")
    assert principal.accounts == frozenset({"A1", "A2"})
    assert {scope.value for scope in principal.scopes} == {"read", "trade"}


def test_a_key_revoked_here_is_out(access: Access):
    key = made("--role", "observer")
    access.refresh()
    access.principal(f"Bearer {key}".encode())
    result = keys("revoke", key.split("_")[1])
    assert result.exit_code == 0
    assert "revoked" in result.stdout
    access.refresh()
    with pytest.raises(Problem) as caught:
        access.principal(f"Bearer {key}".encode())
    assert caught.value.code == "key-revoked"


def test_the_first_command_makes_the_folder_and_the_file_private(data: Path):
    made("--role", "admin")
    assert (data / "ledger.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("expires", "seconds"), [("12h", 43_200), ("1d", 86_400), ("90d", 7_776_000)])
def test_a_lifetime_is_counted_from_now(expires: str, seconds: int):
    made("--role", "admin", "--expires", expires)
    (record,) = json.loads(keys("list", "--json").stdout)
    created, ends = (record[name].replace("Z", "+00:00") for name in ("created", "expires"))
    assert (datetime.fromisoformat(ends) - datetime.fromisoformat(created)).total_seconds() == seconds


def test_a_key_expires_in_ninety_days_unless_somebody_says_never():
    made("--role", "admin")
    made("--role", "admin", "--expires", "never")
    records = json.loads(keys("list", "--json").stdout)
    assert [record["expires"] is None for record in records] == [False, True]
    assert "does not expire" in keys("list").stdout


def test_the_list_shows_everything_but_keys():
    key = made("--role", "analyst", "--owner", "Bob", "--accounts", "A7")
    made("--role", "admin")
    plain, as_json = keys("list"), keys("list", "--json")
    for output in (plain.output, as_json.output):
        assert "Bob" in output
        assert "A7" in output
        assert key.split("_")[2] not in output
    assert set(json.loads(as_json.stdout)[0]) == {
        "id",
        "name",
        "owner",
        "role",
        "accounts",
        "scopes",
        "created",
        "expires",
        "revoked",
    }


def test_an_empty_table_is_an_empty_list():
    assert json.loads(keys("list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["create", "--name", "x", "--role", "senior-trader"], "unknown-role", "`senior_trader`"),
        (["create", "--name", "x", "--role", "king"], "unknown-role", "observer"),
        (["create", "--name", "x", "--role", "admin", "--scopes", "read,wirte"], "unknown-scope", "`wirte`"),
        (["create", "--name", "x", "--role", "admin", "--accounts", "A1,,A2"], "bad-key-field", "empty"),
        (["create", "--name", "x", "--role", "admin", "--accounts", ","], "bad-key-field", "empty"),
        (["create", "--name", "x", "--role", "admin", "--scopes", " "], "bad-key-field", "empty"),
        (["create", "--name", "x", "--role", "admin", "--expires", "90"], "bad-duration", "90d"),
        (["create", "--name", "x", "--role", "admin", "--expires", "-1d"], "bad-duration", "90d"),
        (["create", "--name", "x", "--role", "admin", "--expires", "0d"], "bad-duration", "90d"),
        (["create", "--name", "x", "--role", "admin", "--expires", "99999d"], "bad-key-field", "ten years"),
        (["create", "--name", "", "--role", "admin"], "bad-key-field", "name"),
        (["create", "--name", "x", "--role", "observer", "--scopes", "trade"], "bad-key-field", "its scopes are read"),
        (["create", "--name", "x", "--role", "observer", "--scopes", "read,trade"], "bad-key-field", "never has trade"),
        (["revoke", "aaaaaaaaaa"], "unknown-key", "keys list"),
    ],
)
def test_a_mistake_has_its_code_and_makes_no_key(words: list[str], code: str, hint: str):
    error = refused(*words)
    assert error.code == code
    assert hint in error.message
    assert json.loads(keys("list", "--json").stdout) == []


def test_another_database_can_be_named(tmp_path: Path):
    address = f"sqlite:///{tmp_path / 'other.sqlite'}"
    made("--role", "admin", "--database", address)
    assert json.loads(keys("list", "--json").stdout) == []
    assert len(json.loads(keys("list", "--json", "--database", address).stdout)) == 1
