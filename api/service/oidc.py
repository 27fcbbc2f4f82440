"""Bearer tokens of an OpenID Connect provider.

In: the text of a signed token (JWT, RFC 7519). Out: a `Principal`. Guaranteed: the signature is checked with a key of
the provider and the algorithm of that key (RS256, ES256 or EdDSA), then issuer, audience, expiry, issue and start
times with `leeway_s` of tolerance; a token without a role of ours has none, one without an accounts claim sees no
account. Refused by `Problem` 401: `bad-token` (malformed, wrong signature or algorithm, a key id nobody knows),
`token-expired`, `token-not-yet-valid`, `token-wrong-issuer`, `token-wrong-audience`, `token-incomplete`,
`token-too-long-lived`; 403 `token-without-role`; 503 `issuer-keys-unreadable`. Why the reasons are told: they are
only reached with a valid signature. Before: `key_sets.py`, `principal.py`. After: `access.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from lexorder.api.service.key_sets import KeySet, PublicKey
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Matrix, Role, Scope

CHALLENGE: Final = ((b"www-authenticate", b'Bearer error="invalid_token"'),)

TYPES: Final = frozenset({"JWT", "AT+JWT"})
"""What `typ` may say when it is there: logout and other tokens of the same provider open nothing."""

SUBJECT_MAX = 255

REASONS: Mapping[type[jwt.PyJWTError], tuple[str, str]] = {
    jwt.ExpiredSignatureError: ("token-expired", "The token has expired."),
    jwt.ImmatureSignatureError: ("token-not-yet-valid", "The token is not valid yet."),
    jwt.InvalidIssuerError: ("token-wrong-issuer", "The token is of another issuer."),
    jwt.InvalidAudienceError: ("token-wrong-audience", "The token is for another audience."),
    jwt.MissingRequiredClaimError: ("token-incomplete", "The token must have exp, iat, iss, aud and sub."),
}
"""Told only when the signature was right: PyJWT verifies it before any claim."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """What is agreed with the provider.

    `role_claim` holds one role, or a list in which exactly one means something here; `roles` maps the provider's words
    to ours (ours are understood without). `accounts_claim` is a list of accounts, `["*"]` for all. `scopes_claim`, if
    named, narrows the role and must be there. `person_claim` says who the human is (for the second person).
    """

    issuer: str
    audience: str
    role_claim: str = "lexorder_role"
    accounts_claim: str = "lexorder_accounts"
    scopes_claim: str = ""
    person_claim: str = "sub"
    roles: Mapping[str, Role] = field(default_factory=dict)
    leeway_s: int = 30
    lifetime_max_s: int = 86_400


class Tokens:
    """Verifies the tokens of one issuer."""

    def __init__(self, issuer: Issuer, keys: KeySet, matrix: Matrix) -> None:
        self.issuer = issuer
        self.keys = keys
        self._matrix = matrix

    def principal(self, text: str) -> Principal:
        """Who the token names. Raises Problem, see above."""
        if not self.keys.trusted:
            raise Problem(503, "issuer-keys-unreadable", "The identity provider's keys cannot be read at the moment.")
        kid, key = self._key(text)
        claims = self._claims(text, key)
        lifetime = claims["exp"] - claims["iat"]
        if not 0 < lifetime <= self.issuer.lifetime_max_s:
            raise _refused("token-too-long-lived", f"A token may live {self.issuer.lifetime_max_s} seconds.")
        return self._principal(claims, kid)

    def current(self, principal: Principal) -> bool:
        """Whether the key that signed the principal's token is still one of the provider's."""
        return self.keys.trusted and self.keys.get(principal.credential) is not None

    def on_change(self, told: Callable[[], None]) -> None:
        """Call `told` when the provider's keys are others than before."""
        self.keys.on_change(told)

    def _key(self, text: str) -> tuple[str, PublicKey]:
        try:
            header = jwt.get_unverified_header(text)
        except (jwt.PyJWTError, ValueError):
            raise _bad() from None
        kid = header.get("kid")
        key = self.keys.get(kid) if isinstance(kid, str) else None
        if key is None or "crit" in header or str(header.get("typ", "JWT")).upper() not in TYPES:
            raise _bad()
        return str(kid), key

    def _claims(self, text: str, key: PublicKey) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                text,
                key.key,
                algorithms=[key.algorithm],
                audience=self.issuer.audience,
                issuer=self.issuer.issuer,
                leeway=self.issuer.leeway_s,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except tuple(REASONS) as error:
            raise _refused(*next(reason for kind, reason in REASONS.items() if isinstance(error, kind))) from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise _bad() from None
        if not all(isinstance(claims[name], int) and not isinstance(claims[name], bool) for name in ("exp", "iat")):
            raise _bad()
        return claims

    def _principal(self, claims: Mapping[str, Any], kid: str) -> Principal:
        subject, person = claims["sub"], claims.get(self.issuer.person_claim)
        if not _named(subject) or not _named(person):
            raise _refused("token-incomplete", "The token must name its subject.")
        role = self._role(claims.get(self.issuer.role_claim))
        scopes = self._scopes(claims, self._matrix.scopes_of(role))
        accounts = _accounts(claims.get(self.issuer.accounts_claim))
        expires = float(claims["exp"] + self.issuer.leeway_s)
        return Principal(f"oidc:{subject}", role, accounts, scopes, expires, str(person), "token", kid)

    def _role(self, claim: Any) -> Role:
        words = claim if isinstance(claim, list) else [claim]
        known = {role.value: role for role in Role} | dict(self.issuer.roles)
        found = {known[word] for word in words if isinstance(word, str) and word in known}
        if len(found) != 1:
            raise Problem(403, "token-without-role", "The token must carry exactly one role that is known here.")
        return found.pop()

    def _scopes(self, claims: Mapping[str, Any], of_role: frozenset[Scope]) -> frozenset[Scope]:
        if not self.issuer.scopes_claim:
            return of_role
        claim = claims.get(self.issuer.scopes_claim)
        words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
        return frozenset(scope for scope in of_role if f"lexorder:{scope}" in words)


def _named(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text) <= SUBJECT_MAX and text.isprintable()


def _accounts(claim: Any) -> frozenset[str] | None:
    """The accounts of the claim; without one, or with one of another shape, none at all."""
    if not isinstance(claim, list) or not all(isinstance(account, str) for account in claim):
        return frozenset()
    return None if claim == ["*"] else frozenset(claim)


def _bad() -> Problem:
    return _refused("bad-token", "This is no valid token of the identity provider.")


def _refused(code: str, detail: str) -> Problem:
    return Problem(401, code, detail, headers=CHALLENGE)
