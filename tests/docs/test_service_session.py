"""The service session of the README, run as written: only the port and the data folder are others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.docs.consoles import ROOT
from tests.ports import free_port

BLOCK = re.compile(r"^```shell-session\n(.*?)^```", re.M | re.S)
START = "lexorder serve --port 8000 --data-dir desk-data &"


def _steps() -> list[tuple[str, str]]:
    """Commands of the session with what they are said to print."""
    (block,) = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    parts = re.split(r"^\$ ", block, flags=re.M)[1:]
    return [(line, said.strip()) for line, _, said in (part.partition("\n") for part in parts)]


def _pattern(said: str) -> str:
    """What is said, `…` standing for anything on the line.

    A place in the ledger may be a later one: where the machine is slow the monitor has recorded something in between.
    """
    shape = ".*".join(re.escape(piece) for piece in said.split("…"))
    return re.sub(r'"seq":\d+', r'"seq":\\d+', shape)


@pytest.fixture
def served(tmp_path: Path):
    """The service of the first line, on a free port: its address and data folder."""
    port = free_port()
    data = tmp_path / "desk-data"
    command = [str(Path(sys.executable).parent / "lexorder"), "serve", "--port", str(port), "--data-dir", str(data)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.3)
        else:
            pytest.fail(f"the service did not start: {(tmp_path / 'log').read_text()[-400:]}")
        yield port, data
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_session_of_the_readme_is_true(served):
    port, data = served
    steps = _steps()
    assert steps[0] == (START, ""), "the session starts the service first"
    script = []
    for line, _ in steps[1:]:
        there = line.replace("desk-data", str(data)).replace(":8000", f":{port}")
        script += [f"{there}", "echo; echo '--- next'"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    whole = ["bash", "-c", "\n".join(script)]
    done = subprocess.run(whole, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    printed = [part.strip() for part in done.stdout.split("--- next")]
    assert len(printed) == len(steps), done.stderr
    for (line, said), got in zip(steps[1:], printed, strict=False):
        assert re.fullmatch(_pattern(said), got), f"{line}\nsays  {said}\nprints {got}"
