"""The CLIPS library that clipspy ships, reached in two ways.

In: nothing. Out: `lib` and `ffi` (clipspy's own cffi binding, fast, for the decision path) and four functions of the
same shared object that the binding does not list, by ctypes (slower, never on the decision path). Guaranteed: both
ways are the same loaded library. Refused by ExpertError `expert-library`: a clipspy without these functions.
Why raw: clipspy's wrappers never release a fact and cost 30 times what the calls cost. Before: nothing. After:
`watchdog.py`, `session.py`, `sandbox.py`.
"""

from __future__ import annotations

import ctypes
from typing import Any

import clips  # noqa: F401  defines the callbacks that the binding's routers call
from clips import _clips as binding

from lexorder.engine.errors import ExpertError

library_file: str = binding.__file__
"""The shared object with all of CLIPS in it."""
lib: Any = binding.lib
ffi: Any = binding.ffi


def _functions() -> ctypes.CDLL:
    library = ctypes.CDLL(binding.__file__)
    try:
        library.SetHaltExecution.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        library.SetHaltExecution.restype = None
        library.GetHaltExecution.argtypes = [ctypes.c_void_p]
        library.GetHaltExecution.restype = ctypes.c_bool
        library.RemoveUDF.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        library.RemoveUDF.restype = ctypes.c_bool
        library.RetainLexeme.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        library.RetainLexeme.restype = None
        library.RetainInteger.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        library.RetainInteger.restype = None
    except AttributeError as error:
        raise ExpertError("expert-library", "this clipspy does not export the CLIPS functions needed") from error
    return library


_LIBRARY = _functions()


def address(pointer: Any) -> int:
    """The address a cffi pointer holds, as ctypes takes it."""
    return int(ffi.cast("uintptr_t", pointer))


def set_halt(environment: int, halt: bool) -> None:
    """Ask the environment at this address to stop executing, or withdraw that. Safe from another thread."""
    _LIBRARY.SetHaltExecution(environment, halt)


def halted(environment: int) -> bool:
    """Whether the environment at this address has been told to stop, by a deadline or by an error of its own."""
    return bool(_LIBRARY.GetHaltExecution(environment))


def remove_function(environment: int, name: str) -> bool:
    """Take a function out of the environment's language. Whether there was one."""
    return bool(_LIBRARY.RemoveUDF(environment, name.encode("ascii")))


def pin(environment: int, lexeme: Any) -> None:
    """Keep a symbol from being collected while no fact uses it, for the life of the environment."""
    _LIBRARY.RetainLexeme(environment, address(lexeme))


def pin_integer(environment: int, integer: Any) -> None:
    """Keep an integer from being collected, likewise."""
    _LIBRARY.RetainInteger(environment, address(integer))
