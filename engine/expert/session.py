"""One CLIPS environment, used raw: typed facts in, firings out, every error noticed.

In: constructs the engine has written itself (`emit.py`) or that passed the sandbox; facts as typed slots, never as
text. Out: how many rules fired, facts read back. Guaranteed: whatever CLIPS prints as an error becomes an ExpertError,
after loading, after every assert and after every run; the agenda is empty after a run; firings and time are bounded
and the environment is usable after either limit; all constructs load or none counts; no Python object is kept for a
fact, so memory stays flat. Refused (ExpertError): `expert-construct`, `expert-fact`, `expert-error`, `expert-limit`,
`expert-deadline`, `expert-thread`, `expert-closed`.
Why errors are collected by a router: CLIPS reports nothing else; a division by zero on a left-hand side only prints
a line and the rule silently does not match. Before: `clipslib.py`, `watchdog.py`. After: `book.py`, `sandbox.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from threading import get_ident
from typing import Any, NoReturn

from lexorder.engine.errors import SHOWN_MAX, ExpertError, shown
from lexorder.engine.expert.clipslib import address, ffi, halted, lib, pin, pin_integer, set_halt
from lexorder.engine.expert.watchdog import Watched, forget, watch

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
FIRINGS_MAX = 10_000
"""Rules fired in one run, unless a session is told otherwise."""
DEADLINE_MS = 250
"""Time for one assert or run, unless a session is told otherwise."""
CONSTRUCT_MAX = 100_000
"""Characters of one construct."""

_HEAD = re.compile(r"\((deftemplate|defrule|deffunction|defglobal|deffacts)\s+([A-Za-z?*][A-Za-z0-9_.*?-]*)[\s)]")
_COUNTERS = {
    "deftemplate": lib.GetNextDeftemplate,
    "defrule": lib.GetNextDefrule,
    "deffunction": lib.GetNextDeffunction,
    "defglobal": lib.GetNextDefglobal,
    "deffacts": lib.GetNextDeffacts,
}
_NULL = ffi.NULL
_CHANNELS = frozenset(("stderr", "stdwrn", "stdout"))

Atom = Any
"""A cffi `CLIPSValue *` holding a pinned symbol."""
Fact = Any
"""A cffi `Fact *`; valid until the fact is retracted."""


class _Ear:
    """The router: takes what CLIPS prints off the terminal and keeps it. clipspy calls these methods."""

    __slots__ = ("said",)

    def __init__(self) -> None:
        self.said: list[str] = []

    def query(self, channel: str) -> bool:
        return channel in _CHANNELS

    def write(self, channel: str, text: str) -> None:
        if channel != "stdout":
            self.said.append(text)

    def read(self, channel: str) -> int:  # noqa: ARG002  the binding's signature
        return -1

    def unread(self, channel: str, character: int) -> int:  # noqa: ARG002
        return character

    def exit(self, code: int) -> None:
        pass


class Builder:
    """Asserts facts of one template. Slots that are not put keep the template's default.

    `value` is the cell that `put` reads: on the decision path callers fill it with an integer themselves.
    """

    __slots__ = ("handle", "template", "value")

    def __init__(self, handle: Any, template: str) -> None:
        self.handle = handle
        self.template = template
        self.value = ffi.new("CLIPSValue *")


class Session:
    """One environment, owned by the thread that made it (or last adopted it).

    Args:
        firings_max: rules fired in one run before ExpertError `expert-limit`.
        deadline_ms: milliseconds one assert or run may last before ExpertError `expert-deadline`.
    """

    def __init__(self, firings_max: int = FIRINGS_MAX, deadline_ms: int = DEADLINE_MS) -> None:
        self.environment: Any = lib.CreateEnvironment()
        self.address = address(self.environment)
        self.firings_max = firings_max
        self.owner = get_ident()
        self.said: list[str] = []
        self.closed = False
        self.expected: dict[str, set[str]] = {kind: set() for kind in _COUNTERS}
        self._atoms: dict[str, Atom] = {}
        self._builders: list[Builder] = []
        self._templates: dict[str, Any] = {}
        self._newest = 0
        self._cell = ffi.new("CLIPSValue *")
        ear = _Ear()
        ear.said = self.said
        self._ear = ffi.new_handle(ear)
        self._kept = ear
        self._listen()
        here = self.address
        self.watched: Watched = watch(lambda halt: set_halt(here, halt), deadline_ms)

    def _listen(self) -> None:
        lib.AddRouter(
            self.environment,
            b"lexorder-errors",
            40,
            lib.query_function,
            lib.write_function,
            lib.read_function,
            lib.unread_function,
            lib.exit_function,
            self._ear,
        )

    # ---- life ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Give the environment back. Afterwards every use is refused (`expert-closed`)."""
        if not self.closed:
            self.closed = True
            self.owner = -1
            forget(self.watched)
            for builder in self._builders:
                lib.FBDispose(builder.handle)
            lib.DestroyEnvironment(self.environment)

    def __del__(self) -> None:
        if not getattr(self, "closed", True) and hasattr(self, "watched"):
            self.close()

    def adopt(self) -> None:
        """Make the calling thread the owner. The caller sees to it that the former owner is done with it."""
        if self.closed:
            raise ExpertError("expert-closed", "the expert session is closed")
        self.owner = get_ident()

    def check_thread(self) -> None:
        """Refuse (`expert-thread`) a thread that does not own the environment, and (`expert-closed`) a closed one."""
        if self.owner != get_ident():
            if self.closed:
                raise ExpertError("expert-closed", "the expert session is closed")
            raise ExpertError("expert-thread", "an expert session is used by the thread that made it only")

    # ---- constructs ----------------------------------------------------------------------------

    def load(self, constructs: Sequence[str]) -> None:
        """Load constructs, all or nothing: after an error the session is closed.

        Raises:
            ExpertError: `expert-construct` for a name used twice (CLIPS would replace the first silently), text that
                is no construct, a construct CLIPS refuses or warns about, or a count that does not come out.
        """
        self.check_thread()
        try:
            for text in constructs:
                self._load_one(text)
            self.check_constructs()
        except ExpertError:
            self.close()
            raise

    def _load_one(self, text: str) -> None:
        head = _HEAD.match(text)
        if head is None or len(text) > CONSTRUCT_MAX or not text.isascii():
            raise ExpertError("expert-construct", f"not a construct: {shown(text)}")
        kind, name = head.groups()
        if name in self.expected[kind]:
            raise ExpertError("expert-construct", f"the name {shown(name)} is used twice")
        answer = lib.Build(self.environment, text.encode("ascii"))
        if answer != lib.BE_NO_ERROR or self.said:
            raise ExpertError("expert-construct", f"CLIPS refuses {kind} {shown(name)}: {self._heard()}")
        self.expected[kind].add(name)

    def check_constructs(self) -> None:
        """Raise ExpertError `expert-construct` unless CLIPS holds exactly the constructs that were loaded."""
        for kind, names in self.expected.items():
            count, item = 0, _COUNTERS[kind](self.environment, _NULL)
            while item != _NULL:
                count += kind != "deftemplate" or not lib.ImpliedDeftemplate(item)
                item = _COUNTERS[kind](self.environment, item)
            if count != len(names) and kind != "defglobal":
                raise ExpertError("expert-construct", f"CLIPS holds {count} of {len(names)} {kind} constructs")

    def _heard(self) -> str:
        text = " ".join("".join(self.said).split())
        self.said.clear()
        return shown(text) if len(text) <= SHOWN_MAX else shown(text[:SHOWN_MAX])

    # ---- values and facts ----------------------------------------------------------------------

    def symbol(self, text: str) -> Atom:
        """A pinned symbol, made once. Any text will do: it is never read as CLIPS."""
        atom = self._atoms.get(text)
        if atom is None:
            self.check_thread()
            atom = self._atoms[text] = ffi.new("CLIPSValue *")
            atom.lexemeValue = lib.CreateSymbol(self.environment, _encoded(text))
            pin(self.address, atom.lexemeValue)
        return atom

    def loose_symbol(self, text: str) -> Atom:
        """A symbol for the next `put` only: text that comes and goes, such as order identifiers, must not pile up."""
        self.check_thread()
        self._cell.lexemeValue = lib.CreateSymbol(self.environment, _encoded(text))
        return self._cell

    def integer(self, number: int) -> Atom:
        """An integer for the next `put` only. Raises ExpertError `expert-fact` outside 64 bits: CLIPS would wrap."""
        if type(number) is not int or not INT64_MIN <= number <= INT64_MAX:
            raise ExpertError("expert-fact", "the number is not an integer of 64 bits")
        self.check_thread()
        self._cell.integerValue = lib.CreateInteger(self.environment, number)
        return self._cell

    def kept_integer(self, number: int) -> Atom:
        """A pinned integer, to be put again and again."""
        atom = ffi.new("CLIPSValue *")
        atom.integerValue = self.integer(number).integerValue
        pin_integer(self.address, atom.integerValue)
        return atom

    def builder(self, template: str) -> Builder:
        """A fact builder for a loaded template. Raises ExpertError `expert-fact` for any other."""
        self.check_thread()
        handle = lib.CreateFactBuilder(self.environment, template.encode("ascii"))
        if handle == _NULL:
            raise ExpertError("expert-fact", f"there is no template {shown(template)}")
        made = Builder(handle, template)
        self._builders.append(made)
        return made

    def put(self, builder: Builder, slot: bytes, value: Atom) -> None:
        """Set a slot of the fact being built. Raises ExpertError `expert-fact` for a wrong slot or type."""
        self.check_thread()
        if lib.FBPutSlot(builder.handle, slot, value) != lib.PSE_NO_ERROR:
            lib.FBAbort(builder.handle)
            raise ExpertError("expert-fact", f"template {shown(builder.template)} takes no such {slot.decode()}")

    def add(self, builder: Builder) -> Fact:
        """Assert the fact that was built. Raises ExpertError when CLIPS erred, ran over time or had it already."""
        self.check_thread()
        self.watched.start()
        fact = lib.FBAssert(builder.handle)
        late = self.watched.finish()
        if late or self.said:
            if fact != _NULL and lib.FactIndex(fact) > self._newest:
                lib.Retract(fact)  # whoever asked is told that it failed and will not take it back
            self.fail(late)
        if fact == _NULL or lib.FactIndex(fact) <= self._newest:
            # CLIPS answers a second equal fact with the first one: two would be counted as one.
            lib.FBAbort(builder.handle)
            raise ExpertError(
                "expert-fact", f"CLIPS does not take the {shown(builder.template)} fact, or has it already"
            )
        self._newest = lib.FactIndex(fact)
        return fact

    def drop(self, fact: Fact) -> None:
        """Retract a fact. Raises ExpertError `expert-fact` when it is not there."""
        self.check_thread()
        if not lib.FactExistp(fact) or lib.Retract(fact) != lib.RE_NO_ERROR or self.said:
            raise ExpertError("expert-fact", f"a fact could not be retracted: {self._heard()}")

    def reset(self) -> None:
        """Take all facts back and assert those of the deffacts. Raises ExpertError as `run` does."""
        self.check_thread()
        self.watched.start()
        lib.Reset(self.environment)
        self._newest = 0
        self._settle()

    def run(self) -> int:
        """Fire rules until none is left; how many fired.

        Raises:
            ExpertError: `expert-error` when CLIPS printed an error or stopped by itself, `expert-limit` when rules
                are left after `firings_max`, `expert-deadline` when time ran out. The agenda is emptied first, so
                that the session can be used again.
        """
        self.check_thread()
        self.watched.start()
        fired: int = lib.Run(self.environment, self.firings_max)
        self._settle()
        if lib.GetNextActivation(self.environment, _NULL) != _NULL:
            self._clear_agenda()
            if fired >= self.firings_max:
                raise ExpertError("expert-limit", f"more than {self.firings_max} rules wanted to fire")
            raise ExpertError("expert-error", "CLIPS stopped before all rules had fired")
        return fired

    def _settle(self) -> None:
        """After an assert or a run: raise what went wrong in it."""
        late = self.watched.finish()
        if late or self.said:
            self.fail(late)

    def fail(self, late: bool) -> NoReturn:
        """Bring the environment back and raise: `expert-deadline` when `late`, else the error CLIPS printed."""
        heard = self._heard()
        self.recover()
        if late:
            raise ExpertError("expert-deadline", "CLIPS took too long")
        raise ExpertError("expert-error", f"CLIPS erred: {heard}")

    def recover(self) -> None:
        """Bring the environment back after an error or a halt: no halt flag, nothing on the agenda, nothing unread."""
        self._clear_agenda()
        if halted(self.address):
            set_halt(self.address, False)
        self.said.clear()

    def _clear_agenda(self) -> None:
        lib.DeleteAllActivations(lib.GetCurrentModule(self.environment))

    # ---- reading back --------------------------------------------------------------------------

    def template(self, name: str) -> Any:
        """The template's pointer, looked up once."""
        found = self._templates.get(name)
        if found is None:
            found = lib.FindDeftemplate(self.environment, name.encode("ascii"))
            if found == _NULL:
                raise ExpertError("expert-fact", f"there is no template {shown(name)}")
            self._templates[name] = found
        return found

    def facts(self, template: str) -> Iterator[Fact]:
        """The facts of a template, oldest first. The one just yielded may be retracted."""
        self.check_thread()
        handle = self.template(template)
        fact = lib.GetNextFactInTemplate(handle, _NULL)
        while fact != _NULL:
            following = lib.GetNextFactInTemplate(handle, fact)
            yield fact
            fact = following

    def read(self, fact: Fact, slot: bytes) -> str | int:
        """A slot's symbol as text or its integer. Raises ExpertError `expert-fact` for anything else."""
        cell = self._cell
        if lib.GetFactSlot(fact, slot, cell) != lib.GSE_NO_ERROR:
            raise ExpertError("expert-fact", f"the fact has no slot {slot.decode()}")
        kind = cell.header.type
        if kind == _SYMBOL:
            return str(ffi.string(cell.lexemeValue.contents).decode("utf-8"))
        if kind == _INTEGER:
            return int(cell.integerValue.contents)
        raise ExpertError("expert-fact", f"slot {slot.decode()} holds neither a symbol nor an integer")


_INTEGER, _SYMBOL = 1, 2
"""CLIPS's type codes."""


def _encoded(text: str) -> bytes:
    if not text or "\0" in text:
        raise ExpertError("expert-fact", "a symbol is neither empty nor holds a zero byte")
    return text.encode("utf-8")
