"""What callers see of a replica that is told to stop: every request is answered, and the process is gone in time."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.api.environments import NO_DATABASE
from tests.support.api.server import Server
from tests.support.database.databases import Database
from tests.support.idp.issuer import Issuer

READY, LIVE = "/api/v1/health/ready", "/api/v1/health/live"
LIVE_REQUEST = f"GET {LIVE} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
MODULE = "tests.support.api.serve_hurried"


@contextmanager
def serving(issuer: Issuer, **more: str) -> Iterator[Server]:
    with Server({**issuer.environment(), "DATABASE_URL": NO_DATABASE, **more}, MODULE) as server:
        yield server


def told(server: Server) -> float:
    """Tell it to stop, and wait until it knows."""
    server.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while "stopping" not in [event["message"] for event in server.events()]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return time.monotonic()


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), 20) as client:
        yield client


def answer(client: socket.socket) -> tuple[int, dict[str, str], Any]:
    found = http.client.HTTPResponse(client)
    found.begin()
    return found.status, {name.lower(): value for name, value in found.getheaders()}, json.loads(found.read())


def test_a_lame_duck_takes_requests_until_a_second_signal_and_says_that_each_answer_is_the_last(
    module_issuer: Issuer,
) -> None:
    with serving(module_issuer, LAME_DUCK_SECONDS="15") as server, connected(server) as kept, connected(server) as idle:
        kept.sendall(LIVE_REQUEST)
        assert answer(kept)[0] == 200
        began = told(server)
        ready = server.client.get(READY)
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "SYS_005")
        assert ready.headers["Connection"] == "close"
        kept.sendall(LIVE_REQUEST)  # on a connection from before
        status, headers, _ = answer(kept)
        assert (status, headers["connection"]) == (200, "close")
        server.process.send_signal(signal.SIGINT)
        assert idle.recv(1) == b"", "closed now, and not before"
        assert server.process.wait(30) == 0
        assert time.monotonic() - began < 14


def test_who_was_let_in_a_moment_before_the_drain_is_served(module_issuer: Issuer) -> None:
    """As a balancer that does not look at readiness: it connects, and its request is on the way."""
    with serving(module_issuer, LAME_DUCK_SECONDS="15") as server, connected(server) as kept:
        kept.sendall(LIVE_REQUEST)
        assert answer(kept)[0] == 200
        told(server)
        with connected(server) as late, connected(server) as silent:
            server.process.send_signal(signal.SIGINT)
            assert kept.recv(1) == b"", "the drain has begun"
            late.sendall(LIVE_REQUEST)
            status, headers, _ = answer(late)
            assert (status, headers["connection"]) == (200, "close")
            assert silent.recv(1) == b"", "who says nothing is not waited for"
        assert server.process.wait(15) == 0


def test_what_is_on_its_way_when_the_drain_begins_is_served_and_what_does_not_come_is_not_waited_for(
    module_issuer: Issuer,
) -> None:
    head = f"POST /api/v1/notes/read HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {module_issuer.token()}\r\n"
    with serving(module_issuer) as server, connected(server) as slow, connected(server) as stalled:
        slow.sendall(LIVE_REQUEST[:20])
        stalled.sendall(f"{head}Content-Length: 9\r\n\r\nhalf".encode())
        server.client.get(LIVE)  # by then it has read that
        told(server)
        slow.sendall(LIVE_REQUEST[20:])
        status, headers, body = answer(slow)
        assert (status, headers["connection"], body) == (200, "close", {"status": "ok"})
        status, _, body = answer(stalled)
        assert (status, body["error"]["code"]) == (408, "REQ_013"), "it was not waited for until everything is cut"
        assert server.process.wait(30) == 0


def test_what_does_not_end_is_cut_and_told_so(module_database: Database, module_issuer: Issuer) -> None:
    """A query, which is cancelled; and a thread, which cannot be and would keep the process alive for a minute."""
    sent = {"sleep": "0b1e2d3c4f5a6b7c8d9e0f1a2b3c4d5e", "thread": "1b1e2d3c4f5a6b7c8d9e0f1a2b3c4d5e"}
    more = {"DATABASE_URL": module_database.url(), "TEST_DRAIN_SECONDS": "6"}
    with serving(module_issuer, **more) as server, ThreadPoolExecutor(2) as threads:

        def ask(kind: str) -> httpx.Response:
            headers = {"X-Request-ID": sent[kind]}
            return server.post(f"/api/v1/notes/{kind}/60", module_issuer.token(), headers=headers)

        answers = threads.map(ask, sent)
        time.sleep(1)
        began = told(server)
        for (_, request_id), cut in zip(sent.items(), answers, strict=True):
            assert (cut.status_code, cut.json()["error"]["code"]) == (503, "SYS_012")
            assert cut.headers["X-Request-ID"] == request_id
            assert "Retry-After" not in cut.headers, "it may have been applied"
        assert server.process.wait(30) == 0
        assert time.monotonic() - began < 20
        events = server.events()
        ended = [event["message"] for event in events].index("stopped")
        for request_id in sent.values():
            lines = [e for e in events[:ended] if e["message"] == "request" and e["request_id"] == request_id]
            assert [line["status"] for line in lines] == [503], "nothing is closed that a request may still use"
