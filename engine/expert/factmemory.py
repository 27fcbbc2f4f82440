"""Writing a whole fact at once: CLIPS's own memory for the slots of one template, filled by one copy.

In: the environment, a template, packed pointers to CLIPS's integers and symbols. Out: facts to assert. Guaranteed: the
memory layout is looked at when a template is opened, with a fact that has no values, and must be the one this module
was written for; integers that are kept are retained, so that CLIPS does not collect them, and given back when dropped.
Refused by ExpertError `expert-library`: a library with another layout, or without the functions needed. Why memory and
not the fact builder: it looks a slot up by name each time, and a fact of seventy slots would cost more than a check.
Before: `clipslib.py`, `session.py`. After: `rows.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cffi import FFI

from lexorder.engine.errors import ExpertError
from lexorder.engine.expert.clipslib import address, library_file
from lexorder.engine.expert.session import INT64_MAX, INT64_MIN, Session

_DECLARED = """
void *CreateFact(void *template);
void *Assert(void *fact);
int Retract(void *fact);
uintptr_t CreateInteger(void *environment, long long value);
void *FindDeftemplate(void *environment, const char *name);
void RetainInteger(void *environment, uintptr_t integer);
void ReleaseInteger(void *environment, uintptr_t integer);
"""
_LENGTH, _FIRST = 16, 18
"""Where a fact of this CLIPS keeps the number of its slots and the first of them, in words of eight bytes."""
_WORD = 8

ffi = FFI()
ffi.cdef(_DECLARED)


def _opened() -> Any:
    library = ffi.dlopen(library_file)
    try:
        for name in ("CreateFact", "Assert", "Retract", "CreateInteger", "RetainInteger", "ReleaseInteger"):
            getattr(library, name)
    except AttributeError as error:
        raise ExpertError("expert-library", "this clipspy does not export the CLIPS functions needed") from error
    return library


lib: Any = _opened()
_create, _make, _copy, _cast = lib.CreateInteger, lib.CreateFact, ffi.memmove, ffi.cast


class Memory:
    """Facts of one template, written whole. One session, one thread."""

    def __init__(self, session: Session, template: str, slots: int) -> None:
        session.check_thread()
        self.session = session
        self.environment = ffi.cast("void *", session.address)
        self.template = lib.FindDeftemplate(self.environment, template.encode("ascii"))
        self.slots = slots
        self.bytes = slots * _WORD
        self.create = _create
        """`integer` without its check, for numbers known to be within bounds: (environment, number) → address."""
        self._constants: dict[int, int] = {}
        self._look()

    def _look(self) -> None:
        """See that a fact looks as this module takes it to look: its length, and the same nothing in every slot."""
        fact = ffi.NULL if self.template == ffi.NULL else lib.CreateFact(self.template)
        if fact == ffi.NULL:
            raise ExpertError("expert-library", "CLIPS makes no fact of the template")
        words = ffi.cast("uint64_t *", fact)
        nothing = {words[_FIRST + n] for n in range(self.slots)}
        if words[_LENGTH] != self.slots or len(nothing) != 1:
            raise ExpertError("expert-library", "the facts of this CLIPS have another layout")
        # There is no other way to give a fact back than to assert and retract it.
        for slot in range(self.slots):
            words[_FIRST + slot] = self.constant(0)
        asserted = lib.Assert(fact)
        if asserted == ffi.NULL or lib.Retract(asserted):
            raise ExpertError("expert-library", "CLIPS does not take a fact back")

    def make(self, packed: bytes) -> Any:
        """A fact with these pointers in its slots, to be asserted at once: nothing holds it yet."""
        fact = _make(self.template)
        _copy(_cast("char *", fact) + _FIRST * _WORD, packed, self.bytes)
        return fact

    def integer(self, number: int) -> int:
        """The address of an integer that nothing keeps: for the fact asserted next. ExpertError beyond 64 bits."""
        if not INT64_MIN <= number <= INT64_MAX:
            raise ExpertError("expert-fact", "the number is not an integer of 64 bits")
        found: int = _create(self.environment, number)
        return found

    def kept(self, number: int) -> int:
        """The address of an integer that stays until it is dropped."""
        found = self.integer(number)
        lib.RetainInteger(self.environment, found)
        return found

    def constant(self, number: int) -> int:
        """The address of an integer that stays until the memory is closed."""
        if number not in self._constants:
            self._constants[number] = self.kept(number)
        return self._constants[number]

    def close(self) -> None:
        """Give the constants back."""
        self.drop(self._constants.values())
        self._constants.clear()

    def drop(self, addresses: Iterable[int]) -> None:
        """Give kept integers back."""
        if not self.session.closed:
            for address in addresses:
                lib.ReleaseInteger(self.environment, address)

    def symbol(self, text: str) -> int:
        """The address of a symbol, which stays for the life of the session."""
        return address(self.session.symbol(text).lexemeValue)
