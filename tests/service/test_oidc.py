"""Bearer tokens: right ones of every algorithm, and each way in which one can be wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from lexorder.api.service.access import Access
from lexorder.api.service.key_sets import TRUST_S, KeySet
from lexorder.api.service.oidc import Issuer, Tokens
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role, Scope, shipped_matrix
from tests.service.border import Border, Clock
from tests.service.issuing import (
    AUDIENCE,
    ISSUER,
    claims,
    ec_key,
    ed_key,
    entry,
    key_set,
    raw_token,
    rsa_key,
    token,
)

KEYS = {"r": (rsa_key(), "RS256"), "e": (ec_key(), "ES256"), "d": (ed_key(), "EdDSA")}
MATRIX = shipped_matrix()


def verifier(folder: Path, clock: Callable[[], float] = time.monotonic, **changed: Any) -> Tokens:
    path = folder / "keys.json"
    path.write_bytes(key_set(*[entry(key, kid) for kid, (key, _) in KEYS.items()]))
    keys = KeySet(str(path), since=clock)
    keys.refresh()
    return Tokens(Issuer(**{"issuer": ISSUER, "audience": AUDIENCE, **changed}), keys, MATRIX)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return verifier(tmp_path)


def signed(kid: str = "e", headers: dict[str, Any] | None = None, **changed: Any) -> str:
    key, algorithm = KEYS[kid]
    return token(key, algorithm, kid, claims(**changed), **(headers or {}))


def code(tokens: Tokens, text: str) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        tokens.principal(text)
    assert text not in caught.value.to_bytes("").decode()
    return caught.value.status, caught.value.code


BAD = (401, "bad-token")


@pytest.mark.parametrize("kid", list(KEYS))
def test_a_right_token_names_its_principal(tokens: Tokens, kid: str):
    text = signed(kid)
    expires = jwt.decode(text, options={"verify_signature": False})["exp"]
    assert tokens.principal(text) == Principal(
        id="oidc:alice",
        role=Role.SENIOR_TRADER,
        accounts=frozenset({"A1"}),
        scopes=MATRIX.scopes_of(Role.SENIOR_TRADER),
        expires=float(expires + 30),
        person="alice",
        kind="token",
        credential=kid,
    )


# --- signatures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_an_unsigned_token_opens_nothing(tokens: Tokens, algorithm: str):
    for kid in KEYS:
        assert code(tokens, raw_token({"alg": algorithm, "kid": kid, "typ": "JWT"}, claims())) == BAD
        assert code(tokens, raw_token({"alg": algorithm, "kid": kid}, claims(), b"signature")) == BAD


@pytest.mark.parametrize("digest", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_a_public_key_is_no_shared_secret(tokens: Tokens, digest: str, encoding: serialization.Encoding):
    """The classic confusion: the public key, which anyone has, used as the secret of an HMAC."""
    secrets = []
    for kid, (key, _) in KEYS.items():
        public = key.public_key()
        secrets.append((kid, public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)))
        secrets.append((kid, json.dumps(entry(key, kid)).encode()))
    for kid, secret in secrets:
        unsigned = raw_token({"alg": digest, "kid": kid}, claims()).rpartition(".")[0]
        mac = hmac.new(secret, unsigned.encode(), getattr(hashlib, f"sha{digest[2:]}")).digest()
        forged = unsigned + "." + raw_token({}, b"", mac).rpartition(".")[2]
        assert code(tokens, forged) == BAD


@pytest.mark.parametrize("kid", list(KEYS))
def test_another_key_of_the_same_kind_signs_nothing(tokens: Tokens, kid: str):
    other = {"r": rsa_key(2048, 1), "e": ec_key(number=1), "d": ed_key(1)}[kid]
    assert code(tokens, token(other, KEYS[kid][1], kid, claims())) == BAD


@pytest.mark.parametrize("kid", list(KEYS))
def test_a_signature_under_another_key_id_is_refused(tokens: Tokens, kid: str):
    key, algorithm = KEYS[kid]
    for other in KEYS:
        if other != kid:
            assert code(tokens, token(key, algorithm, other, claims())) == BAD


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS512"])
def test_the_right_key_with_another_algorithm_is_refused(tokens: Tokens, algorithm: str):
    assert code(tokens, token(rsa_key(), algorithm, "r", claims())) == BAD


@pytest.mark.parametrize("kid", ["unknown", "", "E", "e ", "../keys", 7, ["e"], None, {"kid": "e"}])
def test_a_key_id_nobody_knows_is_refused(tokens: Tokens, kid: Any):
    unsigned = signed()
    head = {"alg": "ES256"} if kid is None else {"alg": "ES256", "kid": kid}
    forged = ".".join([raw_token(head, b"").split(".")[0], *unsigned.split(".")[1:]])
    assert code(tokens, forged) == BAD


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_character_anywhere_is_noticed(tokens: Tokens, part: int):
    pieces = signed("d").split(".")
    for position in range(0, len(pieces[part]) - 2, 7):
        text = pieces[part]
        other = "A" if text[position] != "A" else "B"
        changed = [*pieces]
        changed[part] = text[:position] + other + text[position + 1 :]
        assert code(tokens, ".".join(changed))[0] == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": "x"},
        {"crit": ["b64"], "b64": False},
    ],
)
def test_headers_that_change_the_meaning_are_refused(tokens: Tokens, headers: dict[str, Any]):
    key, algorithm = KEYS["e"]
    pieces = raw_token({"alg": algorithm, "kid": "e", **headers}, claims()).split(".")
    unsigned = f"{pieces[0]}.{pieces[1]}"
    signature = jwt.get_algorithm_by_name(algorithm).sign(unsigned.encode(), key)
    assert code(tokens, unsigned + "." + raw_token({}, b"", signature).rpartition(".")[2]) == BAD


@pytest.mark.parametrize(
    "headers", [{"typ": "at+jwt"}, {"typ": "jwt"}, {"jku": "https://evil.example", "jwk": {"kty": "oct"}}]
)
def test_headers_that_change_nothing_are_passed_over(tokens: Tokens, headers: dict[str, Any]):
    assert tokens.principal(signed(headers=headers)).person == "alice"


@pytest.mark.parametrize(
    "text", ["", "a", "a.b", "a.b.c", "a.b.c.d", "é", "." * 9, "eyJhbGciOiJub25lIn0.e30.", "x" * 9000]
)
def test_what_is_no_token_is_refused(tokens: Tokens, text: str):
    with pytest.raises(Problem) as caught:
        tokens.principal(text)
    assert caught.value.code == "bad-token"


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b"{", b"\xff", b"7"])
def test_a_signed_text_that_holds_no_claims_is_refused(tokens: Tokens, content: bytes):
    key, algorithm = KEYS["d"]
    unsigned = ".".join(raw_token({"alg": algorithm, "kid": "d"}, content).split(".")[:2])
    signature = jwt.get_algorithm_by_name(algorithm).sign(unsigned.encode(), key)
    assert code(tokens, unsigned + "." + raw_token({}, b"", signature).rpartition(".")[2]) == BAD


# --- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"aud": "other"}, "token-wrong-audience"),
        ({"aud": []}, "token-incomplete"),
        ({"aud": ["other", "LEXORDER"]}, "token-wrong-audience"),
        ({"iss": "https://issuer.example/"}, "token-wrong-issuer"),
        ({"iss": "https://evil.example"}, "token-wrong-issuer"),
        ({"aud": None}, "token-incomplete"),
        ({"iss": None}, "token-incomplete"),
        ({"sub": None}, "token-incomplete"),
        ({"exp": None}, "token-incomplete"),
        ({"iat": None}, "token-incomplete"),
        ({"sub": ""}, "token-incomplete"),
        ({"sub": "a\nb"}, "token-incomplete"),
        ({"sub": "x" * 256}, "token-incomplete"),
        ({"exp": "tomorrow"}, "bad-token"),
        ({"iat": "yesterday"}, "bad-token"),
        ({"nbf": "now"}, "bad-token"),
        ({"sub": 7}, "bad-token"),
        ({"exp": 10**30}, "token-too-long-lived"),
    ],
)
def test_a_wrong_claim_has_its_code(tokens: Tokens, changed: dict[str, Any], expected: str):
    assert code(tokens, signed(**changed)) == (401, expected)


def test_an_audience_may_stand_among_others(tokens: Tokens):
    assert tokens.principal(signed(aud=["other", AUDIENCE])).person == "alice"


@pytest.mark.parametrize(
    ("claim", "seconds", "expected"),
    [
        ("exp", -60, "token-expired"),
        ("exp", -10, None),  # within the leeway
        ("nbf", 60, "token-not-yet-valid"),
        ("nbf", 10, None),
        ("iat", 60, "token-not-yet-valid"),
        ("iat", 10, None),
    ],
)
def test_times_are_checked_with_half_a_minute_of_tolerance(
    tokens: Tokens, claim: str, seconds: int, expected: str | None
):
    now = int(time.time())
    changed: dict[str, Any] = {"iat": now - 300, "exp": now + 300} | {claim: now + seconds}
    if expected is None:
        assert tokens.principal(signed(**changed)).person == "alice"
    else:
        assert code(tokens, signed(**changed)) == (401, expected)


def test_a_token_may_not_live_longer_than_a_day(tokens: Tokens):
    now = int(time.time())
    assert tokens.principal(signed(iat=now, exp=now + 86_400)).person == "alice"
    assert code(tokens, signed(iat=now, exp=now + 86_401)) == (401, "token-too-long-lived")
    assert code(tokens, signed(iat=now, exp=now)) == (401, "token-too-long-lived")


# --- roles, accounts, scopes, persons --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "role",
    [None, "", "Admin", "root", 7, True, {"admin": 1}, [], ["root"], ["admin", "observer"], ["observer", "analyst"]],
)
def test_a_token_without_exactly_one_role_of_ours_is_refused(tokens: Tokens, role: Any):
    assert code(tokens, signed(lexorder_role=role)) == (403, "token-without-role")


def test_a_role_may_stand_in_a_list_of_other_words(tokens: Tokens):
    assert tokens.principal(signed(lexorder_role=["staff", "analyst", 7, "analyst"])).role is Role.ANALYST


def test_the_providers_words_can_be_mapped(tmp_path: Path):
    made = verifier(tmp_path, role_claim="groups", roles={"desk-eu": Role.JUNIOR_TRADER})
    assert made.principal(signed(groups=["everyone", "desk-eu"])).role is Role.JUNIOR_TRADER
    assert code(made, signed(lexorder_role="admin")) == (403, "token-without-role")


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        (["A1", "A2"], {"A1", "A2"}),
        (["*"], None),
        ([], set()),
        (None, set()),
        ("A1", set()),
        ("*", set()),
        (["A1", 7], set()),
        (["*", "A1"], {"*", "A1"}),
        (True, set()),
    ],
)
def test_accounts_are_those_of_the_claim_and_otherwise_none(tokens: Tokens, accounts: Any, expected: set[str] | None):
    seen = tokens.principal(signed(lexorder_accounts=accounts)).accounts
    assert seen == (None if expected is None else frozenset(expected))


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("openid lexorder:read lexorder:trade", {Scope.READ, Scope.TRADE}),
        (["lexorder:read"], {Scope.READ}),
        ("lexorder:keys lexorder:approve", set()),
        ("read trade", set()),
        (None, set()),
        (7, set()),
    ],
)
def test_scopes_narrow_the_role_when_the_settings_name_their_claim(tmp_path: Path, scope: Any, expected: set[Scope]):
    made = verifier(tmp_path, scopes_claim="scope")
    assert made.principal(signed(scope=scope)).scopes == expected


def test_the_person_may_be_another_claim(tmp_path: Path):
    made = verifier(tmp_path, person_claim="email")
    assert made.principal(signed(email="alice@desk.example")).author.person == "alice@desk.example"
    assert code(made, signed()) == (401, "token-incomplete")


# --- in the running service ------------------------------------------------------------------------------------------


def access_with(guarded: Border, tokens: Tokens) -> Access:
    access = Access(guarded.store, tokens)
    access.refresh()
    tokens.on_change(access.forget)
    return access


def test_access_takes_tokens_beside_keys_and_remembers_them(guarded: Border, tokens: Tokens):
    access = access_with(guarded, tokens)
    text = f"Bearer {signed()}".encode()
    first = access.principal(text)
    assert first.id == "oidc:alice"
    assert access.principal(text) is first
    assert access.current(first)
    key = guarded.key().encode()
    access.refresh()
    assert access.principal(key).kind == "key"


def test_a_started_access_fetches_keys_and_forgets_when_they_change(guarded: Border, tmp_path: Path):
    tokens = verifier(tmp_path)
    access = Access(guarded.store, tokens)
    access.start()
    try:
        text = f"Bearer {signed('e')}".encode()
        old = access.principal(text)
        (tmp_path / "keys.json").write_bytes(key_set(entry(ed_key(), "d")))
        tokens.keys.refresh()
        assert not access.current(old)
        with pytest.raises(Problem):
            access.principal(text)
    finally:
        access.stop()


def test_without_an_issuer_every_token_is_refused(guarded: Border):
    with pytest.raises(Problem) as caught:
        guarded.access.principal(f"Bearer {signed()}".encode())
    assert caught.value.code == "bad-credentials"


def test_withdrawing_a_key_ends_the_tokens_it_signed(guarded: Border, tokens: Tokens, tmp_path: Path):
    access = access_with(guarded, tokens)
    text, other = f"Bearer {signed('e')}".encode(), f"Bearer {signed('d')}".encode()
    old, kept = access.principal(text), access.principal(other)
    (tmp_path / "keys.json").write_bytes(key_set(entry(ed_key(), "d")))
    tokens.keys.refresh()
    with pytest.raises(Problem) as caught:
        access.principal(text)
    assert caught.value.code == "bad-token"
    assert not access.current(old)
    assert access.current(kept)
    assert access.principal(other) == kept


def test_when_the_issuers_keys_are_too_old_tokens_end_and_keys_do_not(guarded: Border, tmp_path: Path):
    clock = Clock()
    tokens = verifier(tmp_path, clock)
    access = access_with(guarded, tokens)
    text = f"Bearer {signed()}".encode()
    old = access.principal(text)
    clock.now += TRUST_S + 1
    with pytest.raises(Problem) as caught:
        access.principal(text)
    assert (caught.value.status, caught.value.code) == (503, "issuer-keys-unreadable")
    assert not access.current(old)
    key = guarded.key().encode()
    access.refresh()
    assert access.principal(key).kind == "key"


def test_a_token_in_memory_ends_with_its_expiry(guarded: Border, tokens: Tokens):
    clock = Clock(time.time())
    access = Access(guarded.store, tokens, now=clock)
    access.refresh()
    held = access.principal(f"Bearer {signed()}".encode())
    assert access.current(held)
    clock.now += 600 + 31
    assert not access.current(held)
