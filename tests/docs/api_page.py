"""Makes `docs/api.md`: `python -m tests.docs.api_page > docs/api.md` runs every example and prints the page.

What differs from run to run is written as `…`: hashes, keys, identifiers, times, the end of long lines.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.docs.api_examples import OVERVIEW, SECTIONS
from tests.docs.consoles import ROOT
from tests.ports import free_port

LONGEST = 300
PEOPLE = {"RISK": "risk_officer", "SECOND": "risk_officer", "TRADER": "senior_trader"}
CHANGING = (
    (re.compile(r"[0-9a-f]{32,}"), "…"),
    (re.compile(r"lx_[a-z0-9]+_[0-9a-f…]+"), "lx_…"),
    (re.compile(r"\b(?:r|ov|o)-[0-9a-f]{6,}\b"), "…"),
    (re.compile(r"key:[a-z0-9]{6,}"), "key:…"),
    (re.compile(r'"instance":"[^"]*"'), '"instance":"…"'),
    (re.compile(r'"warm":(?:true|false)'), '"warm":…'),
    (re.compile(r'"cause":"\w+","changes":\[[^]]*\]'), '"cause":"…","changes":[…]'),
    (re.compile(r'"monitor":\{[^}]*\}'), '"monitor":…'),
    (re.compile(r"(lexorder_(?:monitor|breach)\w+\{.*\}) [\d.e+-]+"), r"\1 …"),
    (re.compile(r'"seq":\d+'), '"seq":…'),
    (re.compile(r"\b0-\d+\b"), "0-…"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"), "…"),
    (re.compile(r"\bport\":\d+"), 'port":…'),
    (re.compile(r'"id":"[a-z0-9]{10}"'), '"id":"…"'),
    (re.compile(r'"(size|records|heads|took_ms|bytes|rules|passed|covered_by_signed_head)":\d+'), r'"\1":…'),
    (re.compile(r"(_total\{.*\}) [\d.e+]+"), r"\1 …"),
    (re.compile(r"-----BEGIN.*?-----END[^-]*-----(?:\\n)?"), "…"),
)


def steady(text: str) -> str:
    """The output with what changes written as `…`."""
    for pattern, instead in CHANGING:
        text = pattern.sub(instead, text)
    lines = [line if len(line) <= LONGEST else line[:LONGEST].rstrip("…") + "…" for line in text.strip().split("\n")]
    return "\n".join(lines)


@contextlib.contextmanager
def service() -> Iterator[dict[str, str]]:
    """A service with four people; the variables of the examples."""
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        data = Path(name) / "data"
        settings = {
            **os.environ,
            "LEXORDER_CLOCK": "feed",
            "LEXORDER_PII_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        command = [str(Path(sys.executable).parent / "lexorder"), "serve", "--port", str(port), "--data-dir", str(data)]
        with (Path(name) / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            _wait(address, process, Path(name) / "log")
            yield _people(address, (data / "admin.key").read_text().strip())
        finally:
            process.terminate()
            process.wait(60)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        time.sleep(0.3)
    raise RuntimeError(f"the service did not start: {log.read_text()[-500:]}")


def _people(address: str, admin: str) -> dict[str, str]:
    found = {"ADMIN": admin}
    for person, role in PEOPLE.items():
        body = {"role": role, "name": person.lower(), "owner": f"{person.lower()}@example.com"}
        answer = httpx.post(f"{address}/v1/keys", json=body, headers={"authorization": f"Bearer {admin}"}, timeout=60)
        answer.raise_for_status()
        found[person] = answer.json()["key"]
    headers = {name: f"Authorization: Bearer {key}" for name, key in found.items()}
    return {**os.environ, **headers, "URL": f"{address}/v1", "JSON": "Content-Type: application/json"}


def page() -> str:
    """The whole page."""
    parts = [OVERVIEW]
    with service() as variables:
        for title, lines in SECTIONS:
            parts.append(f"## {title}\n")
            parts += [_part(line, variables) for line in lines]
    return "\n".join(parts).rstrip() + "\n"


def _part(line: str, variables: dict[str, str]) -> str:
    if line.startswith("@"):
        return line[1:] + "\n"
    name, line = (line[1:].partition("=")[0], line[1:].partition("=")[2]) if line.startswith("=") else ("", line)
    done = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0 or os.environ.get("LOOSE"), f"{line}\n{done.stdout}{done.stderr}"
    if name:
        variables[name] = done.stdout.strip()
        return f"```sh\n$ {name}=$({line})\n```\n"
    return f"```sh\n$ {line}\n{steady(done.stdout)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(page())
