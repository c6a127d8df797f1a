"""Where bytes arrive: whatever they are, and however slowly, the answer has our shape and the cost has a limit."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.api.environments import NO_DATABASE
from tests.support.api.server import Server
from tests.support.idp.issuer import Issuer

LIVE = b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def server(module_issuer: Issuer) -> Iterator[Server]:
    hurried = {
        "TEST_HEAD_SECONDS": "1",
        "TEST_BODY_IDLE_SECONDS": "1",
        "TEST_BODY_SECONDS": "2",
        "TEST_WRITE_SECONDS": "1",
        "TEST_LINGER_SECONDS": "0.5",
    }
    environment = {**module_issuer.environment(), "DATABASE_URL": NO_DATABASE, **hurried}
    with Server(environment, "tests.support.api.serve_hurried") as running:
        yield running


@pytest.fixture(scope="module")
def authorized(module_issuer: Issuer) -> bytes:
    return f"Host: x\r\nAuthorization: Bearer {module_issuer.token()}\r\n".encode()


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), 30) as client:
        yield client


def answer(client: socket.socket) -> http.client.HTTPResponse:
    found = http.client.HTTPResponse(client)
    found.begin()
    return found


def everything(client: socket.socket) -> bytes:
    """Until it is closed."""
    with client.makefile("rb") as reader:
        return reader.read()


def refused(client: socket.socket) -> tuple[int, str]:
    """Status and code of an answer that has our shape, and is the last one."""
    found = answer(client)
    error: dict[str, str] = json.loads(found.read())["error"]
    assert set(error) == {"code", "message", "detail"}
    assert found.getheader("Connection") == "close"
    assert found.getheader("X-Content-Type-Options") == "nosniff"
    assert len(found.getheader("X-Request-ID") or "") >= 16
    with suppress(ConnectionResetError):
        assert client.recv(1) == b"", "closed"
    return found.status, error["code"]


POST = b"POST /api/v1/notes/read HTTP/1.1\r\nHost: x\r\n"
BAD, LARGE = (400, "REQ_005"), (431, "REQ_009")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD, id="tls"),
        pytest.param(b"patient john doe\r\n\r\n", BAD, id="text"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", BAD, id="target-not-ascii"),
        pytest.param(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", BAD, id="connect"),
        pytest.param(b"GET / HTTP/3.7\r\nHost: x\r\n\r\n", BAD, id="version"),
        pytest.param(b"GET / HTTP/1.1\r\nHost x\r\n\r\n", BAD, id="field-without-colon"),
        pytest.param(POST + b"Content-Length: x\r\n\r\n", BAD, id="length"),
        pytest.param(POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", BAD, id="two-lengths"),
        pytest.param(
            POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD, id="length-and-chunks"
        ),
        pytest.param(b"\r\n" * 20_000, BAD, id="line-ends"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 400_000, LARGE, id="field-without-end"),
        pytest.param(b"GET /" + b"a" * 400_000, LARGE, id="target-without-end"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 101 + b"\r\n", LARGE, id="many-fields"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 33_000 + b"\r\n\r\n", LARGE, id="whole-and-too-large"),
    ],
)
def test_what_cannot_be_read_is_refused_in_our_shape(server: Server, sent: bytes, expected: tuple[int, str]) -> None:
    before = len(server.events())
    with connected(server) as client:
        client.sendall(sent)
        assert refused(client) == expected
    deadline = time.monotonic() + 10
    # The line of the good request by which the server was seen to serve may still be on its way.
    while not (lines := [e for e in server.events()[before:] if e["message"] == "request" and not e.get("route")]):
        assert time.monotonic() < deadline, "no line in the log"
        time.sleep(0.01)
    assert [line["status"] for line in lines] == [expected[0]]
    assert "john" not in "".join(server.lines)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"z\r\n", id="no-length"),
        pytest.param(b"1;" + b"a" * 400_000, id="extension-without-end"),
        pytest.param(b"0\r\nX: " + b"a" * 400_000, id="trailer-without-end"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_our_shape(server: Server, authorized: bytes, body: bytes) -> None:
    with connected(server) as client:
        client.sendall(
            b"POST /api/v1/notes/read HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + authorized + b"\r\n" + body
        )
        assert refused(client) == BAD


def test_a_client_who_leaves_in_the_middle_of_a_body_is_no_failure_of_ours(server: Server, authorized: bytes) -> None:
    named = "0b1e2d3c4f5a6b7c8d9e0f1a2b3c4d5e"
    with connected(server) as client:
        head = b"POST /api/v1/notes/read HTTP/1.1\r\n%bX-Request-ID: %b\r\nContent-Length: 9\r\n\r\nhalf"
        client.sendall(head % (authorized, named.encode()))
    deadline = time.monotonic() + 10
    lines: list[dict[str, Any]] = []
    while not lines and time.monotonic() < deadline:
        lines = [e for e in server.events() if e["message"] == "request" and e["request_id"] == named]
    assert [line["status"] for line in lines] == [499]


def test_a_trailer_is_no_header(server: Server, authorized: bytes) -> None:
    with connected(server) as client:
        trailer = authorized.removeprefix(b"Host: x\r\n")
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + trailer + b"\r\n")
        assert answer(client).status == 401


def test_an_upgrade_is_left_and_ends_the_connection(server: Server) -> None:
    with connected(server) as client:
        client.sendall(LIVE.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost") + b"\x00not http")
        found = answer(client)
        assert (found.status, found.getheader("Connection")) == (200, "close")


def test_requests_in_line_are_answered_up_to_a_number(server: Server, authorized: bytes) -> None:
    with connected(server) as client:
        client.sendall(b"POST /api/v1/notes/thread/0.3 HTTP/1.1\r\n" + authorized + b"\r\n" + LIVE * 3000)
        said = everything(client)
    assert said.count(b"HTTP/1.1 200 ") == 17
    assert said.count(b"HTTP/1.1 ") == 18
    assert b'"REQ_016"' in said.rpartition(b"HTTP/1.1 400 ")[2]


def drops(client: socket.socket) -> None:
    """A byte now and then, until there is an answer."""
    client.settimeout(0.3)
    for _ in range(90):
        with suppress(TimeoutError):
            if client.recv(1, socket.MSG_PEEK):
                break
        client.sendall(b"a")
    client.settimeout(30)


def left_unread(server: Server) -> bool:
    """Whether a client that does not read answers is left."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.settimeout(30)
        deadline = time.monotonic() + 20
        with suppress(ConnectionError):  # reset, or a broken pipe
            while time.monotonic() < deadline:
                client.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n")
                time.sleep(0.2)
            return False
        return True


def test_what_takes_too_long_is_refused_and_a_pause_of_ours_is_not_the_clients(
    server: Server, authorized: bytes
) -> None:
    """All at once, because each takes its time."""
    head = b"POST /api/v1/notes/%b HTTP/1.1\r\n" + authorized + b"Content-Length: 200000\r\n\r\n"
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        unread = threads.submit(left_unread, server)
        slow_head, no_body, drop_by_drop, ours = [stack.enter_context(connected(server)) for _ in range(4)]
        # Its handler does not read the body, so that we do not either, for longer than a body may pause.
        ours.sendall(head % b"thread/2.5" + b"a" * 200_000)
        ours.sendall(LIVE.replace(b"Host", b"Connection: close\r\nHost"))
        slow_head.sendall(head[:30])
        no_body.sendall(head % b"read" + b"a")
        drop_by_drop.sendall(head % b"read" + b"a")
        threads.submit(drops, drop_by_drop).result()
        assert [refused(client) for client in (slow_head, no_body, drop_by_drop)] == [(408, "REQ_013")] * 3
        assert everything(ours).count(b"HTTP/1.1 200 ") == 2
        assert unread.result()


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nX: ", POST + b"Content-Length: 300000000\r\n\r\n"])
def test_however_much_is_sent_the_answer_is_read_and_the_memory_is_not_needed(server: Server, head: bytes) -> None:
    before = peak(server)
    with connected(server) as client:
        client.sendall(head)
        client.settimeout(5)
        with suppress(OSError):
            for _ in range(20):
                client.sendall(b"a" * MEGABYTE)
        client.settimeout(30)
        assert refused(client) in (LARGE, (413, "REQ_004"))
    assert peak(server) - before < 10 * MEGABYTE


def peak(server: Server) -> int:
    """The most memory that the process has had, in bytes."""
    status: Any = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
