"""An identity provider for tests: its keys, its key set, its tokens, and a server for the set."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://issuer.example"
AUDIENCE = "lexorder"


@cache
def rsa_key(bits: int = 2048, number: int = 0) -> Any:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1, number: int = 0) -> Any:
    return ec.generate_private_key(curve())


@cache
def ed_key(number: int = 0) -> Any:
    return ed25519.Ed25519PrivateKey.generate()


def _number(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def entry(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    """The public half of a key as one entry of a key set."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        fields = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        names = {"secp256r1": "P-256", "secp384r1": "P-384", "secp256k1": "secp256k1"}
        size = (public.curve.key_size + 7) // 8
        x, y = (base64.urlsafe_b64encode(v.to_bytes(size, "big")).rstrip(b"=").decode() for v in (point.x, point.y))
        fields = {"kty": "EC", "crv": names[public.curve.name], "x": x, "y": y}
    else:
        raw = base64.urlsafe_b64encode(public.public_bytes_raw()).rstrip(b"=").decode()
        fields = {"kty": "OKP", "crv": "Ed25519", "x": raw}
    return {**fields, "kid": kid, **more}


def key_set(*entries: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a good token; a value of None leaves the claim out."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": now,
        "exp": now + 600,
        "lexorder_role": "senior_trader",
        "lexorder_accounts": ["A1"],
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def token(key: Any, algorithm: str, kid: str | None, content: Mapping[str, Any], **headers: Any) -> str:
    more = {**({} if kid is None else {"kid": kid}), **headers}
    return jwt.encode(dict(content), key, algorithm=algorithm, headers=more)


def raw_token(header: Mapping[str, Any], content: Any, signature: bytes = b"") -> str:
    """A token put together by hand, whatever a library would say to it."""
    parts = [
        json.dumps(header).encode(),
        content if isinstance(content, bytes) else json.dumps(content).encode(),
        signature,
    ]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


class Provider:
    """What the server of a key set says; tests change it while it runs."""

    def __init__(self) -> None:
        self.body = key_set()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.pause_s = 0.0
        self.asked = 0
        self.url = ""


@contextmanager
def provider() -> Iterator[Provider]:
    """A key set on a port of this machine."""
    state = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked += 1
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for start in range(0, len(state.body), 1 << 16):
                    self.wfile.write(state.body[start : start + (1 << 16)])
                    if state.pause_s:
                        time.sleep(state.pause_s)
            except OSError:
                pass  # the reader had enough

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/keys"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
