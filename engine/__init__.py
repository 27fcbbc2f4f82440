"""The decision engine: rules in, a snapshot in, an exact verdict out.

Everything here is exact (integers and rationals), reads no clock and imports
neither `lexorder.optimizers` nor `lexorder.api`.
"""

# A bare `import engine` from the checkout would load a second copy of every module, and
# classes of the two copies are never equal: `except` and `isinstance` would miss silently.
if __name__ != "lexorder.engine":
    raise ImportError(
        f"`{__name__}` is only importable as `lexorder.engine`: run `make setup`, then write `import lexorder.engine`"
    )
