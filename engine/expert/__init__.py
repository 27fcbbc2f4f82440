"""The CLIPS side of the engine: typed rules become constructs, facts become verdicts."""

# See `engine/__init__.py`: a second copy of the modules must never come to life.
if __name__ != "lexorder.engine.expert":
    raise ImportError(
        f"`{__name__}` is only importable as `lexorder.engine.expert`: "
        "run `make setup`, then write `import lexorder.engine.expert`"
    )
