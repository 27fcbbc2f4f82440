"""Solvers that propose: risk models, portfolios, whole-share lots, waves and proofs.

Nothing here decides. Every proposal is accepted or refused by `lexorder.engine`.
"""

# See `engine/__init__.py`: a second copy of the modules must never come to life.
if __name__ != "lexorder.optimizers":
    raise ImportError(
        f"`{__name__}` is only importable as `lexorder.optimizers`: "
        "run `make setup`, then write `import lexorder.optimizers`"
    )
