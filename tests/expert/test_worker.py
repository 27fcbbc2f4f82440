"""Trials of expert files: told what is wrong with them, and confined whatever they do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lexorder.engine.desk import shipped_rules
from lexorder.engine.errors import ExpertError, RuleFileError
from lexorder.engine.expert import worker
from lexorder.engine.expert.sandbox import ExpertRule, expert_file, failures, load
from lexorder.engine.facts import fact
from tests.expert.test_sandbox import GOOD, RULE, SIDECAR
from tests.worlds import VOCABULARY


def sidecar(*given: str, expect: str = "pass") -> str:
    """The sample's sidecar with these tests."""
    head = SIDECAR.split("tests:", maxsplit=1)[0]
    return head + "tests:\n" + "".join(f"  - {{given: {{{g}}}, expect: {expect}}}\n" for g in given)


def answer(sidecar_text: str = SIDECAR, clp: str = GOOD) -> dict[str, Any]:
    return worker.answer({"sidecar": sidecar_text, "clp": clp}, VOCABULARY)


class TestAnswer:
    """The worker's answer, asked for in this process."""

    def test_it_is_what_the_file_itself_says(self):
        file = expert_file(SIDECAR, GOOD, VOCABULARY)
        tests = [({n: fact(VOCABULARY.names[n], t, n) for n, t in given.items()}, e) for given, e in file.tests]
        assert failures(ExpertRule(file, VOCABULARY), tests) == []
        assert answer() == {"hash": file.hash, "problems": [], "failures": []}

    def test_every_test_is_run(self):
        text = sidecar("order.quantity: 100, order.side: buy", "order.quantity: 150, order.side: buy", expect="breach")
        assert answer(text)["failures"] == ["test 1: expected breach, found pass"]

    @pytest.mark.parametrize(
        ("given", "code", "nearest"),
        [
            ("order.quantty: 5", "expert-sidecar", "order.quantity"),
            ("quantity: 5", "expert-sidecar", ""),
            ("order.quantity: many", "expert-sidecar", ""),
            ("order.quantity: 1.5.5", "expert-sidecar", ""),
            ("order.quantity: -1", "expert-sidecar", ""),
            ("order.quantity: 0.00000000001", "expert-sidecar", ""),
            ("order.side: by", "expert-sidecar", ""),
        ],
    )
    def test_a_fact_of_a_test_that_does_not_fit_is_told_with_its_place(self, given, code, nearest):
        (problem,) = answer(sidecar(given))["problems"]
        assert problem.startswith(":8:")
        assert f" {code}: " in problem
        assert (f"did you mean `{nearest}`" in problem) == bool(nearest)

    @pytest.mark.parametrize(
        "text",
        [
            SIDECAR.replace("severity: hard", "severity: dreadful"),
            SIDECAR.replace("rule: odd-lots", ""),
            SIDECAR.replace("tests:", "trials:"),
            SIDECAR.replace("expect: pass", "expect: maybe"),
            SIDECAR.split("tests:", maxsplit=1)[0],
            "",
            "- a list",
        ],
    )
    def test_a_sidecar_that_does_not_fit_is_told(self, text):
        found = answer(text)
        assert found["problems"]
        assert (found["hash"], found["failures"]) == ("", [])

    def test_what_clips_alone_refuses_is_told(self):
        found = answer(clp="(defrule r (order (quantity ?q) (quantity ?p)) => (assert (violation)))")
        assert len(found["problems"]) == 1
        assert "expert-construct" in found["problems"][0]

    def test_hostile_text_is_not_echoed_whole(self):
        text = RULE.format("(" + "system" * 200 + ")")
        (problem,) = answer(clp=text)["problems"]
        assert len(problem) < 300


class TestTrial:
    """The process itself."""

    VOCABULARY = shipped_rules() / "vocabulary.yaml"

    def test_a_trial_says_what_the_answer_says(self):
        text = sidecar("order.quantity: 150, order.side: buy", "order.quantty: 5")
        found, expected = worker.trial(text, GOOD, self.VOCABULARY), answer(text)
        assert (found.hash, list(found.problems), list(found.failures)) == tuple(expected.values())
        assert not found.accepted

    def test_a_broken_answer_is_an_error(self, monkeypatch):
        class Done:
            stdout = '{"hash": '

        monkeypatch.setattr(subprocess, "run", lambda *_, **__: Done())
        with pytest.raises(ExpertError, match="expert-worker") as caught:
            worker.trial(SIDECAR, GOOD, self.VOCABULARY)
        assert "JSONDecodeError" in caught.value.message

    def test_what_a_confined_process_cannot_have(self, tmp_path):
        """One process tries everything; whatever it was given it names. It would name a file it may compute."""
        attempts = {
            "a file": "open('x', 'w').write('x')",
            "another's file": "open('/etc/hostname').read()",
            "memory": "bytearray(3 << 30)",
            "a connection": "__import__('socket').socket()",
            "a process": "__import__('subprocess').run(['true'])",
            "its limits back": "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))",
            "arithmetic": "1 + 1",
        }
        code = (
            "import resource, socket, subprocess\nfrom lexorder.engine.expert import worker\nworker._confine()\n"
            f"for name, text in {attempts!r}.items():\n"
            "    try:\n        eval(text)\n    except (OSError, MemoryError, ValueError):\n        continue\n"
            "    print(name)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60
        )
        assert done.stdout.split("\n") == ["arithmetic", ""], done.stderr
        assert list(tmp_path.iterdir()) == []


class TestAccepted:
    @pytest.mark.parametrize(
        ("problems", "failing", "accepted"),
        [((), (), True), (("p",), (), False), ((), ("f",), False), (("p",), ("f",), False)],
    )
    def test_only_a_file_without_problems_and_failures(self, problems, failing, accepted):
        assert worker.Trial("h", problems, failing).accepted is accepted


class TestHash:
    def test_every_byte_of_both_texts_counts(self):
        """Also one that goes from the end of one text to the beginning of the other."""
        seen = {expert_file(SIDECAR, GOOD, VOCABULARY).hash}
        for one, two in ((SIDECAR + " ", GOOD), (SIDECAR, " " + GOOD), (SIDECAR + "\n", GOOD), (SIDECAR, "\n" + GOOD)):
            seen.add(expert_file(one, two, VOCABULARY).hash)
        assert len(seen) == 5

    def test_constructs_say_the_same_as_the_text(self):
        file = expert_file(SIDECAR, GOOD, VOCABULARY)
        again = expert_file(SIDECAR, "\n".join(file.constructs), VOCABULARY)
        assert again.constructs == file.constructs
        assert again.reads == file.reads == {("order", "quantity"), ("order", "side")}


def test_a_sidecar_names_a_file_beside_it(tmp_path: Path):
    (tmp_path / "odd.yaml").write_text(SIDECAR)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "odd.yaml", VOCABULARY)
    (tmp_path / "odd.yaml").write_text(SIDECAR.replace("expert: odd.clp", "expert: [odd.clp]"))
    with pytest.raises(RuleFileError):
        load(tmp_path / "odd.yaml", VOCABULARY)


def test_what_is_no_request_ends_the_process_with_no_answer(tmp_path: Path):
    text = json.dumps({"sidecar": SIDECAR})
    command = [sys.executable, "-m", worker.__name__]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == ""
    assert done.returncode != 0
