"""The service as the Containerfile starts it, without the container: settings, health check, how it stops."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from lexorder.api.service.metric_families import FAMILIES
from lexorder.api.service.settings import PREFIX
from tests.deploy.test_container import rests, stages, started
from tests.deploy.test_settings import given_by_containerfile
from tests.ports import free_port

WAIT_S = 180
"""Only a start that hangs takes as long, also on a busy machine with two cores."""


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def environment(tmp_path, port):
    """That of the container, with folders and a port of this test."""
    own = {
        "LEXORDER_DATA_DIR": str(tmp_path / "data"),
        "LEXORDER_HEADS_DIR": str(tmp_path / "heads"),
        "LEXORDER_HOST": "127.0.0.1",
        "LEXORDER_PORT": str(port),
        "LEXORDER_OPEN_METRICS": "true",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**inherited, **given_by_containerfile(), **own}


def healthy(port):
    """Whether the image's health check passes."""
    (check,) = rests("HEALTHCHECK", stages()[1])
    _, option, program = json.loads(check.partition("CMD ")[2])
    command = [sys.executable, option, program.replace(":8000", f":{port}")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def asked(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.status, answer.read().decode()


@pytest.mark.slow
def test_it_becomes_healthy_and_ready_shows_its_figures_and_stops_when_told(environment, port, tmp_path):
    program, *arguments = started()
    assert program == "lexorder"
    command = [sys.executable, "-c", "from lexorder.api.cli import main; main()", *arguments]
    with (tmp_path / "log").open("w") as log:
        service = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
    try:
        deadline = time.monotonic() + WAIT_S
        while not healthy(port):
            assert service.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.5)
        assert asked(port, "/readyz")[0] == 200
        status, page = asked(port, "/metrics")
        assert status == 200
        assert all(f"# TYPE {family.name}" in page for family in FAMILIES.values())
        service.send_signal(signal.SIGTERM)
        assert service.wait(WAIT_S) in (0, -signal.SIGTERM)
    finally:
        service.kill()
        service.wait()
    assert not healthy(port)
    verify = [sys.executable, "-c", "from lexorder.api.cli import main; main()", "ledger", "verify"]
    answer = subprocess.run(verify, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.startswith("SOUND")
