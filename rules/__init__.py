"""The rule library. Data only: this file is here so that the folder ships as a package.

Read it with `importlib.resources.files("lexorder.rules")`. Without this file that call fails in
an editable install, where setuptools serves a folder without `__init__.py` as a namespace.
"""

# See `engine/__init__.py`: a second copy of the modules must never come to life.
if __name__ != "lexorder.rules":
    raise ImportError(
        f"`{__name__}` is only importable as `lexorder.rules`: run `make setup`, then write `import lexorder.rules`"
    )
