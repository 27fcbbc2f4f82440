"""Exports, read back by programs that know nothing of lexorder's writer."""

import csv
import hashlib
import json
import struct
from datetime import UTC, datetime
from importlib.resources import files

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from typer.testing import CliRunner

from lexorder.api.cli import app
from lexorder.api.service import export as module
from lexorder.api.service.anonymise import Anonymiser
from lexorder.api.service.export import ANONYMISED, COLUMNS, Format, Range, created, export, range_of
from lexorder.api.service.personal import new_key
from lexorder.engine.desk import shipped_vocabulary
from lexorder.engine.errors import UsageError
from lexorder.engine.ledger import verify_ledger
from lexorder.engine.ledger.ledger import Ledger
from tests.service.house import House
from tests.service.ledgers import BODIES, SECRETS, filled
from tests.worlds import order, world

DAYS = len(BODIES)


@pytest.fixture
def ledger(tmp_path):
    reader = filled(tmp_path)
    yield reader
    reader.close()


def rows_of(path, form):
    """Column → text, by the standard library's and Arrow's own readers."""
    if form is Format.JSONL:
        return [json.loads(line) for line in path.read_text("ascii").splitlines()]
    if form is Format.CSV:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    return pq.read_table(path).to_pylist()


def at_of(row):
    at = row["at"]
    return at if isinstance(at, str) else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def hash_of(row):
    """The hash of a record, from the encoding `docs/ledger.md` describes."""
    fields = [row["kind"], at_of(row), row["ref"], row["account"], row["body"]]
    data = [field.encode() for field in fields]
    lengths = struct.pack(">QIIIII", int(row["seq"]), *map(len, data))
    return hashlib.sha256(b"lexorder-record-1\0" + lengths + bytes.fromhex(row["prev"]) + b"".join(data)).hexdigest()


@pytest.mark.parametrize("form", list(Format))
def test_every_format_holds_every_record_exactly(ledger, tmp_path, form):
    assert export(ledger, tmp_path / "out", form, Range()) == DAYS
    rows = rows_of(tmp_path / "out", form)
    for row, record in zip(rows, ledger.read(), strict=True):
        assert int(row["seq"]) == record.seq
        assert (row["kind"], at_of(row), row["ref"], row["account"]) == (
            record.kind,
            record.at,
            record.ref,
            record.account,
        )
        assert row["body"].encode() == record.body
        assert (row["prev"], row["hash"]) == (record.prev.hex(), record.hash.hex())


@pytest.mark.parametrize("form", list(Format))
def test_the_chain_can_be_recomputed_from_every_format(ledger, tmp_path, form):
    export(ledger, tmp_path / "out", form, Range(2, 7))
    rows = rows_of(tmp_path / "out", form)
    assert [int(row["seq"]) for row in rows] == [2, 3, 4, 5, 6]
    for before, row in zip([None, *rows], rows, strict=False):
        assert hash_of(row) == row["hash"]
        assert before is None or row["prev"] == before["hash"]


def test_lines_are_what_the_verifier_reads(ledger, tmp_path):
    export(ledger, tmp_path / "out.jsonl", Format.JSONL, Range())
    assert verify_ledger.check_file(tmp_path / "out.jsonl", 0, [], None).findings == ()


def test_columns_are_those_documented(ledger, tmp_path):
    export(ledger, tmp_path / "a.csv", Format.CSV, Range())
    assert tuple(rows_of(tmp_path / "a.csv", Format.CSV)[0]) == COLUMNS
    export(ledger, tmp_path / "a.parquet", Format.PARQUET, Range())
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert tuple(schema.names) == COLUMNS
    assert str(schema.field("at").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("seq").type) == "int64"


def test_bodies_with_everything_a_csv_uses_come_back(tmp_path):
    body = b'{"a":"x,y\\"z",\r\n"b":"=1+1\\u0000",\n"c":"\xc3\xa9;\\t"}'
    writer = Ledger.open(f"sqlite:///{tmp_path / 'l'}")
    writer.append("decision", 'r,"e\r\nf', "=A1", body, "2026-11-21T09:30:00.123456Z")
    writer.wait(0, 60)
    for form in Format:
        export(writer, tmp_path / f"out.{form}", form, Range())
        (row,) = rows_of(tmp_path / f"out.{form}", form)
        assert (row["body"].encode(), row["ref"], row["account"]) == (body, 'r,"e\r\nf', "=A1")
        assert at_of(row) == "2026-11-21T09:30:00.123456Z"
    writer.close()


def test_a_body_that_is_no_text_is_refused_and_leaves_no_file(tmp_path):
    writer = Ledger.open(f"sqlite:///{tmp_path / 'l'}")
    writer.append("decision", "r", "", b"\xff", "2026-11-21T09:30:00.123456Z")
    writer.wait(0, 60)
    for form in (Format.CSV, Format.PARQUET):
        with pytest.raises(UsageError) as refused:
            export(writer, tmp_path / "out", form, Range())
        assert refused.value.code == "not-text"
    writer.close()
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


@pytest.mark.parametrize("page", [1, 3, DAYS - 1, DAYS, DAYS + 1])
def test_pages_are_joined_without_seam(ledger, tmp_path, monkeypatch, page):
    monkeypatch.setattr(module, "PAGE", page)
    assert export(ledger, tmp_path / "out", Format.PARQUET, Range()) == DAYS
    assert [row["seq"] for row in rows_of(tmp_path / "out", Format.PARQUET)] == list(range(DAYS))


@pytest.mark.parametrize("form", list(Format))
def test_a_range_without_records_is_an_empty_file_of_the_format(ledger, tmp_path, form):
    assert export(ledger, tmp_path / "out", form, Range(5, 5)) == 0
    assert rows_of(tmp_path / "out", form) == []


@pytest.mark.parametrize("form", list(Format))
def test_one_kind_alone(ledger, tmp_path, form):
    assert export(ledger, tmp_path / "out", form, Range(), kind="decision") == 2
    assert {row["kind"] for row in rows_of(tmp_path / "out", form)} == {"decision"}


# --- ranges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, range(DAYS)),
        ("0", "0", range(0)),
        ("3", None, range(3, DAYS)),
        (None, "3", range(3)),
        ("2", "5", range(2, 5)),
        ("2026-11-03", None, range(2, DAYS)),
        (None, "2026-11-03", range(2)),
        ("2026-11-03", "2026-11-05", range(2, 4)),
        ("2026-11-03T09:30:00Z", "2026-11-04T09:30:00Z", range(2, 3)),
        ("2026-11-03T09:30:00.000001Z", None, range(3, DAYS)),
        ("2026-11-03T04:30:00-05:00", "2026-11-03T04:30:00.000001-05:00", range(2, 3)),
        ("1", "2026-11-03", range(1, 2)),
        ("999999", None, range(0)),
        ("2099-01-01", None, range(0)),
    ],
)
def test_ranges_by_number_day_and_time(ledger, tmp_path, first, last, expected):
    assert export(ledger, tmp_path / "out", Format.CSV, range_of(first, last)) == len(expected)
    assert [int(row["seq"]) for row in rows_of(tmp_path / "out", Format.CSV)] == list(expected)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("yesterday", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("2026-02-30", None),
        ("2026-11-03T09:30:00", None),  # whose time?
        (None, "2026-11-03 9:30"),
        ("١٢", None),
        ("5", "4"),
        ("2026-11-05", "2026-11-04"),
        ("9" * 30, None),
    ],
)
def test_a_range_that_is_none_is_refused(first, last):
    with pytest.raises(UsageError) as refused:
        range_of(first, last)
    assert refused.value.code == "bad-range"


def test_a_wall_clock_set_back_hides_nothing(tmp_path):
    writer = Ledger.open(f"sqlite:///{tmp_path / 'l'}")
    for day in (3, 1, 4):
        writer.append("decision", str(day), "", b"{}", f"2026-11-{day:02d}T09:30:00.000000Z")
    writer.wait(2, 60)
    export(writer, tmp_path / "out", Format.CSV, range_of("2026-11-03", None))
    assert [row["ref"] for row in rows_of(tmp_path / "out", Format.CSV)] == ["3", "4"]
    writer.close()


# --- files ----------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_never_replaced(ledger, tmp_path):
    (tmp_path / "out").write_text("kept")
    with pytest.raises(UsageError) as refused:
        export(ledger, tmp_path / "out", Format.CSV, Range())
    assert refused.value.code == "file-exists"
    assert (tmp_path / "out").read_text() == "kept"


def test_a_file_that_appears_meanwhile_is_not_replaced_either(tmp_path):
    def meanwhile():
        with created(tmp_path / "out") as partial:
            partial.write_text("new")
            (tmp_path / "out").write_text("somebody else's")

    with pytest.raises(UsageError) as refused:
        meanwhile()
    assert refused.value.code == "file-exists"
    assert (tmp_path / "out").read_text() == "somebody else's"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_that_fails_leaves_nothing(tmp_path):
    def failing():
        with created(tmp_path / "out") as partial:
            partial.write_text("half")
            assert not (tmp_path / "out").exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_refused(ledger, tmp_path):
    with pytest.raises(UsageError) as refused:
        export(ledger, tmp_path / "none" / "out", Format.CSV, Range())
    assert refused.value.code == "file-unwritable"


# --- anonymised -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", list(Format))
def test_no_identifier_is_anywhere_in_the_bytes(ledger, tmp_path, form):
    anonymiser = Anonymiser(bytes(32), shipped_vocabulary())
    export(ledger, tmp_path / "plain", form, Range())
    export(ledger, tmp_path / "anonymous", form, Range(), anonymiser=anonymiser)
    anonymous = (tmp_path / "anonymous").read_bytes()
    readable = json.dumps(rows_of(tmp_path / "anonymous", form), default=str)
    for secret in SECRETS:
        assert secret.encode() not in anonymous
        assert secret not in readable
    plain = json.dumps(rows_of(tmp_path / "plain", form), default=str)
    assert all(secret in plain for secret in SECRETS)  # the test would see them


@pytest.mark.parametrize("form", list(Format))
def test_no_hash_of_the_original_is_anywhere_in_the_bytes(ledger, tmp_path, form):
    export(ledger, tmp_path / "out", form, Range(), anonymiser=Anonymiser(bytes(32), shipped_vocabulary()))
    rows = rows_of(tmp_path / "out", form)
    assert tuple(rows[0]) == ANONYMISED
    text = json.dumps(rows, default=str)
    for record in ledger.read():
        assert record.hash.hex() not in text


@pytest.mark.parametrize("form", list(Format))
def test_all_formats_hold_the_same_pseudonyms(ledger, tmp_path, form):
    anonymiser = Anonymiser(bytes(32), shipped_vocabulary())
    export(ledger, tmp_path / "out", form, Range(), anonymiser=anonymiser)
    for row, record in zip(rows_of(tmp_path / "out", form), map(anonymiser.record, ledger.read()), strict=True):
        assert (row["ref"], row["account"], row["body"].encode()) == (record.ref, record.account, record.body)


# --- the command ----------------------------------------------------------------------------------


def run(*arguments, env=None):
    return CliRunner().invoke(app, ["ledger", "export", *map(str, arguments)], env=env)


@pytest.fixture
def address(ledger, tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.mark.parametrize("form", list(Format))
def test_the_command_writes_a_range(address, tmp_path, form):
    answer = run(tmp_path / "out", "--ledger", address, "--from", "2", "--to", "4", "--format", form)
    assert (answer.exit_code, answer.stdout) == (0, "2 records\n")
    assert [int(row["seq"]) for row in rows_of(tmp_path / "out", form)] == [2, 3]


def test_the_command_writes_all_as_lines_by_default(address, tmp_path):
    assert run(tmp_path / "out", "--ledger", address).stdout == f"{DAYS} records\n"
    assert verify_ledger.check_file(tmp_path / "out", 0, [], None).findings == ()


def test_a_key_of_the_environment_joins_two_exports(address, tmp_path):
    key = {"LEXORDER_PSEUDONYM_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
    for name in ("one", "two"):
        answer = run(tmp_path / name, "--ledger", address, "--anonymised", env=key)
        assert (answer.exit_code, answer.stderr) == (0, "")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_without_a_key_two_exports_cannot_be_joined(address, tmp_path):
    for name in ("one", "two"):
        answer = run(tmp_path / name, "--ledger", address, "--anonymised", env={"LEXORDER_PSEUDONYM_KEY": ""})
        assert "LEXORDER_PSEUDONYM_KEY" in answer.stderr
    one, two = (rows_of(tmp_path / name, Format.JSONL) for name in ("one", "two"))
    assert one[2]["account"] != two[2]["account"]
    assert not [s for s in SECRETS if s.encode() in (tmp_path / "one").read_bytes()]


def test_rules_of_the_library_keep_their_names(address, tmp_path):
    run(tmp_path / "out", "--ledger", address, "--anonymised")
    body = json.loads(rows_of(tmp_path / "out", Format.JSONL)[2]["body"])
    known, own = body["decision"]["violations"]
    assert known["rule"].startswith("anon-") is ("max-position-weight" not in library())
    assert own["rule"].startswith("anon-")


def library():
    return {
        line.split(":", 1)[1].strip()
        for path in files("lexorder.rules").joinpath("").rglob("*.yaml")  # type: ignore[attr-defined]
        for line in path.read_text().splitlines()
        if line.startswith("- rule:")
    }


@pytest.mark.parametrize("key", ["short", "!!!!", "MDEy"])
def test_a_key_that_is_none_is_refused_and_not_shown(address, tmp_path, key):
    answer = run(tmp_path / "out", "--ledger", address, "--anonymised", env={"LEXORDER_PSEUDONYM_KEY": key})
    assert isinstance(answer.exception, UsageError)
    assert answer.exception.code == "bad-pseudonym-key"
    assert key not in answer.exception.message
    assert not (tmp_path / "out").exists()


def test_the_time_of_a_parquet_file_is_exact(ledger, tmp_path):
    export(ledger, tmp_path / "out", Format.PARQUET, Range(0, 1))
    (row,) = rows_of(tmp_path / "out", Format.PARQUET)
    assert row["at"] == datetime(2026, 11, 1, 9, 30, tzinfo=UTC)


# --- what a real service records ------------------------------------------------------------------


def test_nobody_is_in_the_anonymised_export_of_a_real_service(tmp_path):
    house = House(tmp_path, pii_key=new_key())
    document = world()
    account = {**document["accounts"][0], "id": "ACC-SECRET-17", "beneficial_owner": "OWNER-SECRET"}
    try:
        house.post("/v1/snapshot", {**document, "accounts": [account], "positions": [], "working_orders": []})
        for number, quantity in enumerate((10, 150, 2000)):
            facts = order(id=f"ORD-SECRET-{number}", account="ACC-SECRET-17", quantity=quantity)
            house.post("/v1/orders/check", facts, by="senior_trader/OWNER-SECRET")
        house.post(
            "/v1/orders/ORD-SECRET-1/override", {"reason": "SECRETWORD"}, by="senior_trader/OWNER-SECRET", status=202
        )
        halt = {"scope": "account", "id": "ACC-SECRET-17", "state": "REDUCING", "reason": "SECRETWORD"}
        house.post("/v1/trading-state", halt, by="risk_officer/OWNER-SECRET")
        person = {"name": "Jane Secretperson", "email": "jane@secret.example", "tax_id": "TAX-SECRET-99"}
        assert house.call("PUT", "/v1/accounts/ACC-SECRET-17/person", person, by="risk_officer").status_code == 200
        ledger = house.service.ledger
        assert ledger is not None
        kinds = {record.kind for record in ledger.read()}
        assert {"rulebook", "snapshot", "decision", "override", "trading-state", "person"} <= kinds
        keys = [record.id for record in house.service.access.keys.records()]
        plain, anonymous = tmp_path / "plain.csv", tmp_path / "anonymous.csv"
        export(ledger, plain, Format.CSV, Range())
        anonymiser = Anonymiser(bytes(32), shipped_vocabulary())
        export(ledger, anonymous, Format.CSV, Range(), anonymiser=anonymiser)
    finally:
        house.close()
    assert not [word for word in person.values() if word in plain.read_text()]  # sealed at rest
    secrets = ("ACC-SECRET-17", "ORD-SECRET", "OWNER-SECRET", "SECRETWORD")
    assert all(secret in plain.read_text() for secret in secrets)
    assert not [word for word in (*secrets, *keys, "order-quantity", "sealed:") if word in anonymous.read_text()]
    rows = [json.loads(row["body"]) for row in rows_of(anonymous, Format.CSV) if row["kind"] == "decision"]
    assert [row["order"]["quantity"] for row in rows] == ["10", "150", "2000"]
    assert [row["decision"]["outcome"] for row in rows] == ["approve", "needs_override", "reject"]
    assert len({row["order"]["account"] for row in rows}) == 1
