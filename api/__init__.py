"""The two doors to lexorder: the HTTP service and the `lexorder` command."""

# See `engine/__init__.py`: a second copy of the modules must never come to life.
if __name__ != "lexorder.api":
    raise ImportError(
        f"`{__name__}` is only importable as `lexorder.api`: run `make setup`, then write `import lexorder.api`"
    )
