"""Every YAML file of deploy/ means the same to every program that may read it."""

import pytest

from tests.deploy.files import DEPLOY, YAML_FILES, documents, documents_1_1


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_yaml_1_1_and_1_2_read_the_same(path):
    # Kubernetes, compose and Prometheus read YAML as 1.1 or something between; `no` without quotes would differ.
    assert documents(path) == documents_1_1(path)
    assert all(documents(path))


def test_there_are_files():
    assert len(YAML_FILES) >= 8


@pytest.mark.parametrize(
    "path", sorted(p for p in DEPLOY.rglob("*") if p.is_file()), ids=lambda path: path.relative_to(DEPLOY).as_posix()
)
def test_no_file_holds_a_secret_or_a_tab(path):
    text = path.read_text(encoding="utf-8")
    assert "\t" not in text
    assert "BEGIN" not in text
    assert "lx_" not in text  # the beginning of an API key
