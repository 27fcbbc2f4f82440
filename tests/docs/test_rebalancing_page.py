"""What `docs/rebalancing.md` says of models is what the code has, and its Python runs."""

from __future__ import annotations

import re

import pytest

from lexorder.optimizers.models import GOALS, MEASURES, MODELS
from tests.docs.consoles import ROOT, run_example

PAGE = (ROOT / "docs" / "rebalancing.md").read_text(encoding="utf-8")
ROWS = {m[1]: m[0] for m in re.finditer(r"^\| `(\w+)`.*\|$", PAGE, re.M) if m[1] != "model"}
CODES = re.compile(r'(?:UsageError|SnapshotError|Problem)\(\s*(?:422, )?"([a-z-]+)"')


def test_the_table_has_every_model_with_its_library_and_settings():
    assert list(ROWS) == list(MODELS)
    for name, kind in MODELS.items():
        assert kind.library in ROWS[name]
        takes = ROWS[name].rsplit("|", 2)[1]
        assert set(re.findall(r"`([a-z_]+)`", takes)) == kind.takes


@pytest.mark.parametrize("word", [*MEASURES, *GOALS])
def test_measures_and_goals_are_all_named(word):
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize(
    "file", ["optimizers/models.py", "optimizers/targets.py", "api/target_file.py", "api/model_options.py"]
)
def test_every_code_of_a_refusal_is_on_the_page(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    found = set(CODES.findall(text)) | set(re.findall(r'_known\("([a-z-]+)"', text))
    assert found
    for code in found - {"listed-twice"}:  # of any table
        assert f"`{code}`" in PAGE, code


def test_the_python_example_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    run_example(code)
