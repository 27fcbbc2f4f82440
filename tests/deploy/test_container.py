"""The Containerfile, read without an engine: what it copies is there, it runs as nobody, what it starts exists."""

import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import version as installed

import pytest

from tests.deploy.files import DEPLOY, ROOT, document, documents

TEXT = (DEPLOY / "Containerfile").read_text()


def instructions():
    """`(word, rest)` of each instruction; comments are dropped and lines that go on are joined."""
    lines = [line for line in TEXT.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


def stages():
    """The instructions of each stage, the FROM first."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def rests(word, stage):
    return [rest for known, rest in stage if known == word]


KNOWN = {"FROM", "WORKDIR", "RUN", "COPY", "LABEL", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL",
         "ENTRYPOINT", "CMD"}  # fmt: skip


def test_every_instruction_is_one():
    assert {word for word, _ in instructions()} <= KNOWN


def test_both_stages_start_from_the_python_the_lock_is_for():
    bases = [stage[0][1].split()[0] for stage in stages()]
    assert bases == ["docker.io/library/python:3.11-slim"] * 2


def test_what_is_copied_is_in_the_checkout_and_passes_the_ignore_file():
    passed = {line[1:] for line in (DEPLOY / "Containerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = set()
    for rest in rests("COPY", stages()[0]):
        *sources, _ = shlex.split(rest)
        copied |= {source.rstrip("/") for source in sources}
    assert copied == passed
    assert all((ROOT / source).exists() for source in copied)


def test_every_package_of_the_wheel_is_copied():
    import tomllib

    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"].values()
    copied = {source.rstrip("/") for rest in rests("COPY", stages()[0]) for source in shlex.split(rest)[:-1]}
    assert {folder.split("/")[0] for folder in folders} <= copied


def test_only_the_environment_leaves_the_first_stage():
    (copied,) = rests("COPY", stages()[1])
    assert copied == "--from=build /opt/lexorder /opt/lexorder"


def test_it_installs_the_tested_versions_and_only_wheels():
    install = next(rest for rest in rests("RUN", stages()[0]) if "pip install" in rest)
    assert "--constraint requirements.lock" in install
    assert "--only-binary=:all:" in install
    assert "[traces]" in install


def test_the_shell_takes_what_is_run():
    for rest in rests("RUN", stages()[0]) + rests("RUN", stages()[1]):
        answer = subprocess.run(["sh", "-n", "-c", rest], capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr


def test_it_runs_as_nobody_in_particular():
    last = stages()[1]
    (user,) = rests("USER", last)
    assert user == "10001:10001"
    words = [word for word, _ in last]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "RUN" not in words[words.index("USER") :]


def test_kubernetes_runs_it_as_the_same_number():
    for file in ("lexorder.yaml", "stateless.yaml"):
        for found in documents(DEPLOY / "kubernetes" / file):
            if found["kind"] in ("StatefulSet", "Deployment"):
                context = found["spec"]["template"]["spec"]["securityContext"]
                assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (10001, 10001, 10001)


def test_the_folders_of_the_service_are_volumes_and_its_own():
    last = stages()[1]
    (volumes,) = rests("VOLUME", last)
    made = next(rest for rest in rests("RUN", last) if "install --directory" in rest)
    for folder in json.loads(volumes):
        assert folder in made
    assert "--owner=10001" in made
    assert "--mode=0700" in made


def started():
    last = stages()[1]
    (entry,), (command,) = rests("ENTRYPOINT", last), rests("CMD", last)
    return json.loads(entry) + json.loads(command)


def test_what_it_starts_is_a_command():
    program, *arguments = started()
    assert program == "lexorder"
    answer = subprocess.run(
        [sys.executable, "-c", "from lexorder.api.cli import main; main()", *arguments, "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr


def test_the_health_check_is_python_and_fails_when_nothing_answers():
    (check,) = rests("HEALTHCHECK", stages()[1])
    program = json.loads(check.partition("CMD ")[2])
    assert program[:2] == ["python", "-c"]
    elsewhere = program[2].replace(":8000", ":9")
    assert elsewhere != program[2]
    answer = subprocess.run([sys.executable, "-c", elsewhere], capture_output=True, check=False)
    assert answer.returncode != 0


def test_the_version_is_the_packages_everywhere():
    texts = {path: path.read_text() for path in (DEPLOY / "Containerfile", DEPLOY / "compose.yaml")}
    texts |= {path: path.read_text() for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    for path, text in texts.items():
        tags = re.findall(r"lexorder:(\d[\w.]*)", text)
        assert tags, path
        assert set(tags) == {installed("lexorder")}, path


def test_no_image_is_whatever_is_newest():
    images = [service["image"] for service in document(DEPLOY / "compose.yaml")["services"].values()]
    images += [stage[0][1].split()[0] for stage in stages()]
    for image in images:
        _, _, tag = image.rpartition(":")
        assert re.match(r"v?\d", tag), image
        assert tag != "latest"


@pytest.mark.parametrize("planted", ["USER root", "FROM x:latest", "ADD http://example.com/x /x"])
def test_the_reader_sees_what_is_planted(planted, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "TEXT", TEXT + f"\n{planted} \\\n  # comment\n")
    assert instructions()[-1][0] == planted.split()[0]
