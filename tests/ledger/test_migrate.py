"""The migrations make what the code expects, once, whoever starts first."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from urllib.parse import quote

import pytest
from sqlalchemy import LargeBinary, inspect, text

from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.migrate import HEAD, version_of
from lexorder.engine.ledger.tables import api_keys, metadata


@pytest.fixture
def database(url):
    made = Database(url)
    yield made
    made.close()


def test_the_newest_version_is_the_newest_file():
    folder = files("lexorder.engine.ledger.migrations.versions")
    versions = [m[1] for f in folder.iterdir() if (m := re.fullmatch(r"v(\d{4})_\w+\.py", f.name))]
    assert max(versions) == HEAD


def test_the_tables_are_those_the_code_knows(database):
    database.create()
    with database.connect() as connection:
        found = inspect(connection)
        assert set(found.get_table_names()) == {*metadata.tables, "ledger_version"}
        for table in metadata.tables.values():
            columns = {c["name"]: c for c in found.get_columns(table.name)}
            assert list(columns) == [c.name for c in table.columns]
            for column in table.columns:
                assert columns[column.name]["nullable"] == column.nullable, column
                assert isinstance(columns[column.name]["type"], type(column.type)), column
            assert found.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
            indexes = {i["name"]: i["column_names"] for i in found.get_indexes(table.name) if not i["unique"]}
            assert indexes == {i.name: [c.name for c in i.columns] for i in table.indexes}


def some_key():
    """A row with something in every column."""
    values = {c.name: b"x" if isinstance(c.type, LargeBinary) else "x" for c in api_keys.columns}
    return api_keys.insert().values(values)


def insert_and(database, then):
    with database.begin() as connection:
        connection.execute(some_key())
        then(connection)


def test_a_second_run_changes_nothing(database):
    database.create()
    with database.begin() as connection:
        connection.execute(some_key())
    database.create()
    with database.connect() as connection:
        assert version_of(connection) == HEAD
        assert connection.execute(text("SELECT count(*) FROM api_keys")).scalar() == 1


def test_processes_that_start_together(url):
    with ThreadPoolExecutor(4) as pool:
        ledgers = list(pool.map(lambda shard: Ledger.open(url, shard), range(4)))
    assert [ledger.size for ledger in ledgers] == [0] * 4
    for ledger in ledgers:
        ledger.close()


def test_half_a_migration_is_never_left_behind(database, monkeypatch):
    monkeypatch.setattr("alembic.op.execute", lambda _statement: 1 / 0)  # comes after the tables
    with pytest.raises(ZeroDivisionError):
        database.create()
    with database.connect() as connection:
        assert inspect(connection).get_table_names() == []
    monkeypatch.undo()
    database.create()
    with database.connect() as connection:
        assert version_of(connection) == HEAD


def test_a_transaction_that_fails_leaves_nothing(database):
    database.create()
    with pytest.raises(ZeroDivisionError):
        insert_and(database, lambda _: 1 / 0)
    with pytest.raises(LedgerError):
        insert_and(database, lambda connection: connection.execute(some_key()))
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM api_keys")).scalar() == 0


def test_the_file_is_its_owners_alone(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'ledger.db'}")
    database.create()
    assert stat.S_IMODE((tmp_path / "ledger.db").stat().st_mode) == 0o600
    database.close()


def test_names_with_odd_characters(tmp_path):
    folder = tmp_path / "Ω ?#%20 ledger"
    folder.mkdir()
    ledger = Ledger.open(f"sqlite:///{quote(str(folder / 'a%b.db'))}")
    ledger.close()
    assert (folder / "a%b.db").exists()


def test_an_error_names_no_table_and_no_value(database):
    database.create()
    with pytest.raises(LedgerError) as caught, database.connect() as connection:
        connection.execute(text("SELECT 'topsecret' FROM nowhere WHERE x = 'topsecret'"))
    assert "topsecret" not in str(caught.value)
