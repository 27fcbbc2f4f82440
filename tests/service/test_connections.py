"""Connections, against a server that really listens: counts, slow and silent clients, large bodies, TLS."""

from __future__ import annotations

import datetime
import json
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_stream

from lexorder.api.service.connections import LimitedProtocol, limited, server_options
from lexorder.api.service.guard import Guard
from lexorder.api.service.settings import Settings
from tests.service.border import Border, Message
from tests.service.issuing import ec_key

PATIENCE_S = 30
"""How long a test waits for what must come; only a broken server takes so long."""


async def app(scope: Message, receive: Any, send: Any) -> None:
    """Answers with how much it was sent; `/v1/stream` greets."""
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": scope["principal"].id})
        await receive()
        await receive()
        return
    body = b"%d" % len(scope.get("body", b""))
    size = 20_000_000 if scope["path"] == "/large" else 0
    headers = [(b"content-length", b"%d" % (len(body) + size))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": bool(size)})
    for start in range(0, size, 1 << 20):
        piece = min(1 << 20, size - start)
        await send({"type": "http.response.body", "body": bytes(piece), "more_body": start + piece < size})


class Served:
    """A server on a port of this machine; `protocol` holds its counts."""

    def __init__(self, port: int, protocol: type[LimitedProtocol]) -> None:
        self.port = port
        self.protocol = protocol

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        if data:
            connection.sendall(data)
        return connection

    def connections(self) -> int:
        return sum(self.protocol.counts.values())


@contextmanager
def serving(served: Any, settings: Settings | None = None, **limits: Any) -> Iterator[Served]:
    options = server_options(settings or Settings())
    protocol = options["http"]
    for name, value in limits.items():
        setattr(protocol, name, value)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(served, lifespan="off", **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield Served(listening.getsockname()[1], protocol)
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listening.close()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def request(method: str = "GET", path: str = "/healthz", *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: x", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one answer with a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += (piece := connection.recv(65536))
        assert piece, data
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    pieces = [body]
    while (read := sum(map(len, pieces))) < length:
        pieces.append(connection.recv(1 << 20))
        assert pieces[-1], f"the server ended after {read} of {length} bytes"
    return int(head[9:12]), b"".join(pieces)


def refusal(connection: socket.socket) -> tuple[int, str]:
    """Status and code of a refusal, after which the server closes."""
    status, body = answer(connection)
    document = json.loads(body)
    assert document["status"] == status
    assert connection.recv(1) == b"", "the connection must end"
    return status, document["code"]


def test_a_client_has_so_many_connections_and_gets_them_back(guarded: Border):
    with serving(Guard(app, guarded.access), Settings(connections_per_client=3)) as served:
        opened = [served.connect() for _ in range(3)]
        wait_until(lambda: served.connections() == 3)
        with closing(served.connect()) as fourth:
            assert refusal(fourth) == (429, "too-many-connections")
        wait_until(lambda: served.connections() == 3)
        opened.pop().close()
        wait_until(lambda: served.connections() == 2)
        with closing(served.connect(request())) as again:
            assert answer(again) == (200, b"0")
        for connection in opened:
            connection.close()
        wait_until(lambda: served.protocol.counts == {})


def test_two_servers_count_for_themselves():
    first, second = limited(1), limited(2)
    first.counts["192.0.2.1"] = 1
    assert second.counts == {}
    assert (first.per_client, second.per_client) == (1, 2)


def test_many_requests_on_one_connection_are_no_slow_head(guarded: Border):
    with serving(Guard(app, guarded.access), head_s=0.2) as served, closing(served.connect()) as connection:
        for pause in (0.0, 0.3, 0.0, 0.3):  # resting between requests is allowed
            connection.sendall(request())
            assert answer(connection) == (200, b"0")
            time.sleep(pause)


def test_several_requests_at_once_are_answered_in_turn(guarded: Border):
    with serving(Guard(app, guarded.access)) as served, closing(served.connect(request() * 3)) as connection:
        data = b""
        while data.count(b"HTTP/1.1 200") < 3:
            data += (piece := connection.recv(65536))
            assert piece, data


@pytest.mark.parametrize("before", [b"", request()])
def test_a_head_that_does_not_end_is_refused(guarded: Border, before: bytes):
    """Also the second one of a connection."""
    with serving(Guard(app, guarded.access), head_s=0.2) as served, closing(served.connect(before)) as connection:
        if before:
            assert answer(connection)[0] == 200
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        assert refusal(connection) == (408, "head-too-slow")
        wait_until(lambda: served.connections() == 0)


def test_a_head_that_trickles_is_refused_however_lively(guarded: Border):
    with serving(Guard(app, guarded.access), head_s=0.3) as served, closing(served.connect()) as connection:
        data = b""
        connection.settimeout(0.02)
        for letter in b"GET /healthz HTTP/1.1\r\nhost: " + b"x" * 100_000:
            connection.sendall(bytes([letter]))
            try:
                data = connection.recv(65536)
                break
            except TimeoutError:
                continue
        assert b"head-too-slow" in data


def test_a_client_that_says_nothing_is_let_go(guarded: Border):
    with serving(Guard(app, guarded.access), head_s=0.2) as served, closing(served.connect()) as connection:
        assert connection.recv(1) == b""
        wait_until(lambda: served.connections() == 0)


def test_a_head_has_its_bytes_and_not_more(guarded: Border):
    def padded(size: int) -> bytes:
        """A request whose head is so many bytes long, without the last of them."""
        head = request("GET", "/healthz", "x-pad: ")[:-4]
        return head + b"x" * (size - len(head))

    with serving(Guard(app, guarded.access), head_bytes=4096) as served:
        with closing(served.connect(padded(4096))) as connection:
            time.sleep(0.05)
            connection.sendall(b"\r\n\r\n")
            assert answer(connection) == (200, b"0")
        with closing(served.connect(padded(4097))) as connection:
            assert refusal(connection) == (431, "head-too-large")


@pytest.mark.parametrize(
    "sent",
    [
        b"MARKER\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # a client that speaks TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nMARKER",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nMARKER",
        b"GET / HTTP/1.1\r\nbad header: MARKER\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n folded: MARKER\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_as_a_problem(guarded: Border, sent: bytes):
    """Two lengths, or a length and chunks, are how one request is hidden in another."""
    with serving(Guard(app, guarded.access)) as served, closing(served.connect(sent)) as connection:
        status, body = answer(connection)
        assert (status, json.loads(body)["code"]) == (400, "http-malformed")
        assert b"MARKER" not in body
        assert connection.recv(1) == b""


def test_a_client_that_does_not_read_is_let_go(guarded: Border):
    key = guarded.key()
    with serving(Guard(app, guarded.access), stalled_s=0.5) as served, closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE_S)
        connection.connect(("127.0.0.1", served.port))
        connection.sendall(request("GET", "/large", f"authorization: {key}"))
        assert connection.recv(1) == b"H"
        wait_until(lambda: served.connections() == 0)


def test_a_client_that_reads_slowly_is_waited_for(guarded: Border):
    """Far longer than the pause it may make, but never so long without reading."""
    asked = request("GET", "/large", f"authorization: {guarded.key()}")
    with serving(Guard(app, guarded.access), stalled_s=2.0) as served, closing(served.connect(asked)) as reader:
        read, started = 0, time.monotonic()
        while read < 20_000_000:
            read += len(piece := reader.recv(1_000_000))
            assert piece, f"the server ended after {read} bytes"
            time.sleep(0.12)
        assert time.monotonic() - started > 2.0


def test_a_slow_body_ends_in_408_and_with_the_connection(guarded: Border):
    guard = Guard(app, guarded.access)
    guard.bodies._pause_s = 0.2
    with serving(guard) as served:
        head = request("POST", "/v1/orders/check", f"authorization: {guarded.key()}", "content-length: 100")
        with closing(served.connect(head + b"half")) as connection:
            assert refusal(connection) == (408, "body-too-slow")
        wait_until(lambda: guard.bodies.held == 0)


def test_a_body_in_one_packet_and_in_many_is_whole(guarded: Border):
    with serving(Guard(app, guarded.access)) as served:
        head = request("POST", "/v1/orders/check", f"authorization: {guarded.key()}", "content-length: 300000")
        with closing(served.connect(head + b"x" * 300_000)) as connection:
            assert answer(connection) == (200, b"300000")
            connection.sendall(head)
            for _ in range(3):
                time.sleep(0.02)
                connection.sendall(b"x" * 100_000)
            assert answer(connection) == (200, b"300000")


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_a_hundred_megabytes_add_less_than_ten(guarded: Border, chunked: bool, known: bool):
    """With and without a key, with the length told and not."""
    size = 100_000_000
    headers = ["transfer-encoding: chunked" if chunked else f"content-length: {size}"]
    headers += [f"authorization: {guarded.key()}"] if known else []
    piece = b"x" * 1_000_000
    framed = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
    with serving(Guard(app, guarded.access)) as served, closing(served.connect()) as connection:
        tracemalloc.start()
        try:
            connection.sendall(request("POST", "/v1/orders/check", *headers))
            sent = 0
            try:
                while sent < size:
                    connection.sendall(framed)
                    sent += len(piece)
            except OSError:
                pass  # the server has closed, as it should
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 10_000_000
        assert sent < size, "nobody reads a body that is too large"


def test_nothing_tells_what_runs_here_and_forwarded_addresses_are_not_believed(guarded: Border):
    seen: list[Any] = []

    async def remembering(scope: Message, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])
        await app(scope, receive, send)

    with serving(Guard(remembering, guarded.access)) as served:
        with closing(served.connect(request("GET", "/healthz", "x-forwarded-for: 192.0.2.77"))) as connection:
            head = connection.recv(65536)
        assert b"server:" not in head.lower()
        assert seen == ["127.0.0.1"]


def test_a_stream_is_counted_by_its_key_and_not_as_a_connection(guarded: Border):
    key, record = guarded.record()
    with serving(Guard(app, guarded.access), Settings(connections_per_client=1)) as served:
        address = f"ws://127.0.0.1:{served.port}/v1/stream"
        with open_stream(address, additional_headers={"authorization": key}) as stream:
            assert stream.recv(PATIENCE_S) == f"key:{record.id}"
            wait_until(lambda: served.connections() == 0)
            with closing(served.connect(request())) as connection:
                assert answer(connection) == (200, b"0")
        with pytest.raises(InvalidStatus) as caught:
            open_stream(address).close()
        assert caught.value.response.status_code == 401
        assert json.loads(caught.value.response.body or b"")["code"] == "no-credentials"
        wait_until(lambda: served.connections() == 0)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine, signed by itself."""
    key = ec_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "tls.pem", folder / "tls.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def test_with_a_certificate_it_speaks_tls_and_insists_on_it(guarded: Border, tmp_path: Path):
    public, private = certificate(tmp_path)
    settings = Settings(tls_certificate=str(public), tls_key=str(private))
    trusting = ssl.create_default_context(cafile=str(public))
    with serving(Guard(app, guarded.access), settings) as served:
        with closing(trusting.wrap_socket(served.connect(), server_hostname="localhost")) as connection:
            assert connection.version() in {"TLSv1.2", "TLSv1.3"}
            connection.sendall(request())
            assert b"strict-transport-security" in connection.recv(65536)
        with closing(served.connect(request())) as plain:
            assert not plain.recv(65536).startswith(b"HTTP/1.1 200")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with closing(old.wrap_socket(served.connect())) as connection:
            assert connection.version() == "TLSv1.2"


def test_without_a_certificate_there_is_no_tls_and_the_rest_is_set():
    options = server_options(Settings())
    assert "ssl_certfile" not in options
    assert options["proxy_headers"] is False
    assert options["log_config"] is None
    assert options["ws_per_message_deflate"] is False
    uvicorn.Config(app, **options)  # which refuses options it does not know
