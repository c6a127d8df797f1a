"""The head of an answer is what uvicorn would have written, byte for byte, and what it refuses is refused."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.http.cycle import Cycle

NAMES = (b"content-type", b"x-a", b"vary", b"content-length", b"Content-Length", b"connection", b"transfer-encoding")
VALUES = (b"", b"a", b'b; c="d"', b"\xe9", b"close", b"keep-alive", b"chunked", b"3", b"7", b"+3", b" 3")
BAD = (b"a\r\nset-cookie: x", b"a\rb", b"a\nb", b"\0", b"a: b", b"", b"X Y", b"\r\n", b"x\r\ny")
fields = st.lists(
    st.tuples(st.sampled_from(NAMES) | st.sampled_from(BAD), st.sampled_from(VALUES) | st.sampled_from(BAD)), max_size=4
)


class _Transport:
    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.written += b"<closed>"


class _Flow:
    write_paused = False


def answered(kind: type[RequestResponseCycle], headers: Any, method: str, status: int, keep_alive: bool) -> list[Any]:
    """What is written, and what is raised, for an answer of three bytes."""
    transport = _Transport()
    log = logging.getLogger(__name__)
    cycle = kind(
        scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
        transport=transport,  # type: ignore[arg-type]
        flow=_Flow(),  # type: ignore[arg-type]
        logger=log,
        access_logger=log,
        access_log=False,
        default_headers=[(b"date", b"Thu, 26 Nov 2026 18:14:08 GMT")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    found: list[Any] = []
    for message in (
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": b"abc"},
    ):
        try:
            cycle.send(message).send(None)  # type: ignore[arg-type]
        except StopIteration:
            continue
        except Exception as failure:
            found.append((type(failure), str(failure)))
    return [transport.written, cycle.response_started, cycle.response_complete, *found]


@given(fields, st.sampled_from(("GET", "HEAD")), st.sampled_from((200, 204, 404)), st.booleans())
@example([(b"content-length", b"3"), (b"x-a", b"a\r\nset-cookie: x")], "GET", 200, True)
@example([(b"content-length", b"3"), (b"content-length", b"7")], "GET", 200, True)
def test_heads_are_uvicorns(headers: list[tuple[bytes, bytes]], method: str, status: int, keep_alive: bool) -> None:
    expected = answered(RequestResponseCycle, headers, method, status, keep_alive)
    assert answered(Cycle, headers, method, status, keep_alive) == expected


def test_an_ordinary_head_is_not_left_to_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise AssertionError("uvicorn was asked")

    monkeypatch.setattr(RequestResponseCycle, "send", fail)
    headers = [(b"content-length", b"3"), (b"content-type", b"application/json"), (b"vary", b"Origin")]
    written, started, *_ = answered(Cycle, headers, "GET", 200, True)
    assert started
    assert written.endswith(b"\r\nvary: Origin\r\n\r\n")
