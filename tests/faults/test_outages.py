"""The ledger fails under a running service: every answer is no or 503, and afterwards the floor is what is recorded."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from lexorder.engine.ledger import audit
from lexorder.engine.ledger.database import Database
from tests.faults.forking import Forge
from tests.faults.served import Served, body_of, until

SOURCE = Path(__file__).with_name("faulty_disk.c")
ORDERS = 12


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """A forge whose services see a disk that fails when told to (see `faulty_disk.c`)."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here to build the library that fails")
    library = tmp_path_factory.mktemp("library") / "faulty_disk.so"
    command = ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True, timeout=120)
    made = Forge(LD_PRELOAD=str(library))
    yield made
    made.close()


@contextmanager
def disk_that_is(word: str, service: Served) -> Iterator[None]:
    """The disk fails in one of the ways of `faulty_disk.c`."""
    switch = Path(service.environment["FAULTY_DISK"])
    switch.write_text(word)
    yield
    switch.unlink()


@contextmanager
def files_may_not_grow(service: Served) -> Iterator[None]:
    """RLIMIT_FSIZE: the kernel refuses every write behind the first 512 bytes of a file."""
    assert service.process is not None
    earlier = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (512, earlier[1]))
    yield
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, earlier)


@contextmanager
def file_moved_away(service: Served) -> Iterator[None]:
    """Another name for the database: whoever looks for it finds nothing."""
    here, there = service.data / "ledger.sqlite", service.folder / "elsewhere"
    here.rename(there)
    yield
    here.unlink(missing_ok=True)  # what was made in its place
    there.rename(here)


FAULTS: dict[str, Callable[[Served], object]] = {
    "disk full": lambda service: disk_that_is("full", service),
    "sync fails": lambda service: disk_that_is("sync", service),
    "disk unreadable": lambda service: disk_that_is("gone", service),
    "files may not grow": files_may_not_grow,
    "file moved away": file_moved_away,
}


def fallen(service: Served, name: str) -> list[dict[str, object]]:
    """Orders, several at once, while nothing can be recorded: none is approved, each is answered."""
    with ThreadPoolExecutor(4) as callers:
        wanted = [f"{name}-{n}" for n in range(ORDERS)]
        answers = list(callers.map(lambda i: service.check(id=i, account="A1", trader="T"), wanted))
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "ledger-unavailable"
    assert service.call("GET", "/healthz").status_code == 200
    assert service.call("GET", "/readyz").status_code == 503
    return [answer.json() for answer in answers]


def approvals(service: Served) -> dict[str, str]:
    """What must be working, by the ledger, since the latest snapshot."""
    found: dict[str, str] = {}
    for record in service.records():
        if record.kind == "snapshot":
            found = {}
        elif record.kind == "decision" and body_of(record)["reserved"]:
            found[record.ref] = body_of(record)["order"]["quantity"]
    return found


def risen(service: Served, before: str, after: str) -> None:
    """The store is back: the outage is recorded, the floor is the ledger's, orders are decided, a restart agrees."""
    until(service.ready)
    outages = until(lambda: service.records(kind="outage"))
    assert sum(sum(body_of(record)["refused"].values()) for record in outages) > 0
    assert {body_of(record)["code"] for record in outages} <= KNOWN
    answer = service.check(id=after, account="A2", trader="T")
    assert (answer.status_code, answer.json().get("outcome")) == (200, "approve"), answer.text
    assert {before, after} <= set(approvals(service))
    assert service.working() == approvals(service)
    service.kill()
    service.start()
    assert service.working() == approvals(service)
    database = Database(service.url, read_only=True)
    findings = audit.audit(database, 0, [], None).findings
    database.close()
    assert not findings


KNOWN = {"ledger-unavailable", "ledger-unknown", "ledger-full", "ledger-locked", "ledger-broken"}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_passes_while_the_disk_fails(tmp_path, faulty, fault):
    environment = {"FAULTY_DISK": str(tmp_path / "switch")}
    with Served(tmp_path, faulty, environment) as service:
        service.furnish(4)
        assert service.check(id="before", account="A0", trader="T").json()["outcome"] == "approve"
        with FAULTS[fault](service):  # type: ignore[attr-defined]
            fallen(service, "during")
        risen(service, "before", "after")


def test_a_halt_in_an_outage_holds_when_the_store_is_back(tmp_path, faulty):
    environment = {"FAULTY_DISK": str(tmp_path / "switch")}
    with Served(tmp_path, faulty, environment) as service:
        service.furnish(1)
        with disk_that_is("sync", service):
            fallen(service, "during")
            told = service.call("POST", "/v1/kill", {})
            assert (told.status_code, told.json()["recorded"]) == (200, None), told.text
        until(service.ready)
        assert service.check(id="after", trader="T").json()["outcome"] == "reject"
        until(lambda: service.records(kind="trading-state"))


def test_nothing_passes_while_the_database_server_is_gone(tmp_path, forge, server):
    with Served(tmp_path, forge, database=server.url()) as service:
        service.furnish(4)
        assert service.check(id="before", account="A0", trader="T").json()["outcome"] == "approve"
        server.stop("immediate")
        fallen(service, "during")
        server.start()
        risen(service, "before", "after")
