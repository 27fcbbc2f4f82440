"""Key sets: which keys are taken, how they are fetched, and what happens when they cannot be."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lexorder.api.service import key_sets
from lexorder.api.service.key_sets import ASKED_S, SIZE_MAX, TRUST_S, KeySet, read_key_set
from lexorder.engine.errors import UsageError
from tests.service.border import Clock
from tests.service.issuing import Provider, ec_key, ed_key, entry, key_set, provider, rsa_key


def algorithms(*entries: dict[str, Any]) -> dict[str, str]:
    return {kid: key.algorithm for kid, key in read_key_set(key_set(*entries)).items()}


def test_each_kind_of_key_is_for_its_algorithm():
    found = algorithms(entry(rsa_key(), "r"), entry(ec_key(), "e"), entry(ed_key(), "d"))
    assert found == {"r": "RS256", "e": "ES256", "d": "EdDSA"}


@pytest.mark.parametrize("more", [{"use": "sig"}, {"alg": "RS256"}, {"key_ops": ["verify"]}, {"x5t": "abc"}])
def test_what_a_key_may_say_of_itself(more: dict[str, Any]):
    assert algorithms(entry(rsa_key(), "r", **more)) == {"r": "RS256"}


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMy", "kid": "x", "alg": "HS256"},
        entry(rsa_key(), "x", use="enc"),
        entry(rsa_key(), "x", key_ops=["encrypt"]),
        entry(rsa_key(), "x", alg="RS512"),
        entry(rsa_key(), "x", alg="HS256"),
        entry(rsa_key(), "x", alg="none"),
        entry(ec_key(), "x", alg="RS256"),
        entry(rsa_key(1024), "x"),
        entry(ec_key(ec.SECP384R1), "x"),
        entry(ec_key(ec.SECP256K1), "x"),
        {**entry(ec_key(), "x"), "y": entry(ec_key(number=1), "x")["y"]},  # no point of the curve
        {**entry(rsa_key(), "x"), "n": "!"},
        {**entry(rsa_key(), "x"), "kid": 7},
        {**entry(rsa_key(), "x"), "kid": ""},
        {name: value for name, value in entry(rsa_key(), "x").items() if name != "kid"},
        {"kty": "RSA", "kid": "x"},
        {"kid": "x"},
    ],
)
def test_other_keys_are_left_out_and_the_rest_still_works(unusable: dict[str, Any]):
    assert algorithms(unusable, entry(ed_key(), "good")) == {"good": "EdDSA"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"keys": {}}',
        b'{"keys": 1}',
        b"<html>",
        b"\xff",
        b"[" * 100_000,
        key_set(*[entry(ed_key(), str(n)) for n in range(101)]),
        key_set(entry(ed_key(), "same"), entry(ed_key(1), "same")),
    ],
)
def test_what_is_no_key_set_is_refused_whole(text: bytes):
    with pytest.raises(UsageError) as caught:
        read_key_set(text)
    assert caught.value.code == "bad-key-set"


def test_entries_of_other_shapes_do_not_disturb():
    assert set(read_key_set(json.dumps({"keys": [1, None, "x", [], entry(ed_key(), "d")]}).encode())) == {"d"}


@pytest.mark.parametrize(
    "source", ["http://issuer.example/keys", "ftp://127.0.0.1/k", "http://127.0.0.1.evil.example/k"]
)
def test_an_address_must_be_https_unless_it_is_this_machine(source: str):
    with pytest.raises(UsageError):
        KeySet(source)
    for good in (
        "https://issuer.example/keys",
        "http://127.0.0.1:1/k",
        "http://localhost/k",
        "http://[::1]/k",
        "/etc/keys",
    ):
        KeySet(good)


@pytest.fixture
def served() -> Iterator[Provider]:
    with provider() as state:
        yield state


def test_a_file_is_read(tmp_path: Path):
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(entry(ed_key(), "d")))
    made = KeySet(str(path))
    made.refresh()
    assert made.get("d") is not None
    assert made.trusted
    path.write_bytes(b"x" * (SIZE_MAX + 1))
    with pytest.raises(UsageError):
        made.refresh()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        made.refresh()
    assert made.get("d") is not None, "a failed reading changes nothing"


def test_a_set_is_fetched_and_changes_are_told(served: Provider):
    served.body = key_set(entry(ed_key(), "d"))
    made = KeySet(served.url)
    told: list[int] = []
    made.on_change(lambda: told.append(1))
    assert made.get("d") is None
    made.refresh()
    assert made.get("d") is not None
    made.refresh()
    assert len(told) == 1, "the same keys are no change"
    served.body = key_set(entry(ed_key(1), "d"))
    made.refresh()
    assert len(told) == 2, "another key of the same id is"
    served.body = key_set()
    made.refresh()
    assert made.get("d") is None


def test_redirects_and_refusals_are_not_followed(served: Provider):
    made = KeySet(served.url)
    served.status, served.headers = 302, {"location": "https://elsewhere.example/keys"}
    with pytest.raises(UsageError):
        made.refresh()
    served.status, served.headers = 500, {}
    with pytest.raises(UsageError):
        made.refresh()
    assert not made.trusted


def test_a_huge_answer_is_cut(served: Provider):
    served.body = b" " * (SIZE_MAX * 4)
    with pytest.raises(UsageError) as caught:
        KeySet(served.url).refresh()
    assert "larger" in caught.value.message


def test_a_trickling_answer_is_given_up(served: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(key_sets, "FETCH_S", 0.3)
    served.body, served.pause_s = b" " * (1 << 20), 0.1
    started = time.monotonic()
    with pytest.raises((UsageError, httpx.HTTPError)):
        KeySet(served.url).refresh()
    assert time.monotonic() - started < 30


def test_trust_ends_when_fetching_fails_for_long(served: Provider):
    clock = Clock()
    made = KeySet(served.url, since=clock)
    seen = [made.trusted]  # before the first fetch there is nothing to trust
    for pause in (0, TRUST_S, 0.001):
        if not pause:
            made.refresh()
        clock.now += pause
        seen.append(made.trusted)
    made.refresh()
    assert [*seen, made.trusted] == [False, True, True, False, True]


def test_an_unknown_key_asks_for_a_fetch_but_not_too_often(served: Provider):
    clock = Clock()
    made = KeySet(served.url, since=clock)
    made.refresh()
    made.get("unknown")
    assert not made._wake.is_set()
    clock.now += ASKED_S
    made.get("unknown")
    assert made._wake.is_set()


def test_a_running_set_follows_a_rotation_by_itself(served: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(key_sets, "ASKED_S", 0.01)
    served.status = 503  # the provider starts after us
    made = KeySet(served.url)
    made.start()
    try:
        assert not made.trusted
        served.body = key_set(entry(ed_key(), "d"))
        served.status = 200
        for _ in range(3000):
            if made.get("d") is not None:
                break
            time.sleep(0.01)
        assert made.get("d") is not None
        served.body = key_set(entry(ed_key(1), "next"))
        for _ in range(3000):
            if made.get("next") is not None:
                break
            time.sleep(0.01)
        assert made.get("next") is not None
        assert made.get("d") is None
    finally:
        made.stop()


def test_a_stop_just_before_the_thread_listens_is_heard(tmp_path: Path):
    """Or it would sleep on for minutes."""
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(entry(ed_key(), "d")))
    made = KeySet(str(path))

    class Wake(threading.Event):
        def clear(self) -> None:
            made._ended = True
            self.set()
            super().clear()

    made._wake = Wake()
    thread = threading.Thread(target=made._watch, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def test_a_stop_while_fetching_is_heard(tmp_path: Path):
    made = KeySet(str(tmp_path / "none"))
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        assert go_on.wait(30)
        raise OSError

    made.refresh = slow  # type: ignore[method-assign]
    made.start()
    assert began.wait(30)
    stopping = threading.Thread(target=made.stop)
    stopping.start()
    go_on.set()
    stopping.join(30)
    assert not stopping.is_alive()
