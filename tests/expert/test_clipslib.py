"""Two ways into one loaded CLIPS: what the one does the other sees."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest

from lexorder.engine.errors import ExpertError
from lexorder.engine.expert import clipslib
from lexorder.engine.expert.clipslib import address, ffi, halted, lib, pin, pin_integer, remove_function, set_halt
from lexorder.engine.expert.session import Session


@pytest.fixture
def session() -> Iterator[Session]:
    opened = Session()
    opened.load(["(deftemplate t (slot n))", "(defrule r (t) => (bind ?x 1))"])
    yield opened
    opened.close()


def asserted(session: Session, number: int) -> None:
    builder = session.builder("t")
    session.put(builder, b"n", session.integer(number))
    session.add(builder)


def test_a_halt_that_is_set_is_seen_and_taken_back(session):
    set_halt(session.address, True)
    assert halted(session.address)
    session.recover()
    assert not halted(session.address)


def test_a_halt_that_is_withdrawn_stops_nothing(session):
    asserted(session, 1)
    set_halt(session.address, True)
    set_halt(session.address, False)
    assert not halted(session.address)
    assert session.run() == 1


def test_a_function_is_removed_of_one_environment_only(session):
    other = Session()
    assert remove_function(session.address, "bind")
    assert remove_function(other.address, "bind"), "it was there still"
    assert not remove_function(session.address, "bind")
    assert not remove_function(session.address, "nosuch")
    other.close()


def test_addresses_are_of_the_pointers(session):
    assert address(session.environment) == session.address == int(ffi.cast("uintptr_t", session.environment))
    assert address(ffi.NULL) == 0


def test_what_is_pinned_is_the_same_atom_later(session):
    symbol, integer = ffi.new("CLIPSValue *"), ffi.new("CLIPSValue *")
    symbol.lexemeValue = lib.CreateSymbol(session.environment, b"PINNED")
    integer.integerValue = lib.CreateInteger(session.environment, 987_654_321)
    pin(session.address, symbol.lexemeValue)
    pin_integer(session.address, integer.integerValue)
    for number in range(500):
        asserted(session, 10**9 + number)
        session.run()
        for fact in session.facts("t"):
            session.drop(fact)
    assert lib.CreateSymbol(session.environment, b"PINNED") == symbol.lexemeValue
    assert lib.CreateInteger(session.environment, 987_654_321) == integer.integerValue


def test_a_library_without_the_functions_is_refused(monkeypatch):
    class Bare:
        """A shared object that exports nothing."""

        def __init__(self, path: str) -> None:
            assert path == clipslib.library_file

    monkeypatch.setattr(ctypes, "CDLL", Bare)
    with pytest.raises(ExpertError, match="expert-library"):
        clipslib._functions()
