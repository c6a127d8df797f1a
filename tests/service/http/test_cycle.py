"""An answer is what uvicorn would have written, byte for byte, and what it refuses is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.http.cycle import Cycle
from service.http.fields import Fields, Known
from service.http.request import SECURITY_HEADERS

NAMES = (b"content-type", b"x-a", b"vary", b"content-length", b"Content-Length", b"connection", b"transfer-encoding")
VALUES = (b"", b"a", b'b; c="d"', b"\xe9", b"close", b"keep-alive", b"chunked", b"3", b"7", b"+3", b" 3")
BAD = (b"a\r\nset-cookie: x", b"a\rb", b"a\nb", b"\0", b"a: b", b"", b"X Y", b"\r\n", b"x\r\ny")
fields = st.lists(
    st.tuples(st.sampled_from(NAMES) | st.sampled_from(BAD), st.sampled_from(VALUES) | st.sampled_from(BAD)), max_size=4
)


class _Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.written.append(b"<closed>")


class _Flow:
    write_paused = False

    async def drain(self) -> None:
        self.write_paused = False


def answered(
    kind: type[RequestResponseCycle],
    headers: Any,
    method: str = "GET",
    status: int = 200,
    keep_alive: bool = True,
    pieces: Sequence[bytes] = (b"abc",),
    paused: bool = False,
) -> tuple[list[bytes], list[Any]]:
    """What is written, and what becomes of it, for an answer in pieces, whose client may stop reading for a moment."""
    transport, flow = _Transport(), _Flow()
    log = logging.getLogger(__name__)
    cycle = kind(
        scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
        transport=transport,  # type: ignore[arg-type]
        flow=flow,  # type: ignore[arg-type]
        logger=log,
        access_logger=log,
        access_log=False,
        default_headers=[(b"date", b"Thu, 26 Nov 2026 18:14:08 GMT")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    if isinstance(cycle, Cycle):
        cycle.lines = b"date: Thu, 26 Nov 2026 18:14:08 GMT\r\n"
    found: list[Any] = []
    messages: list[dict[str, Any]] = [{"type": "http.response.start", "status": status, "headers": headers}]
    messages += [{"type": "http.response.body", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False
    for message in messages:
        try:
            cycle.send(message).send(None)  # type: ignore[arg-type]
        except StopIteration:
            flow.write_paused = paused
            continue
        except Exception as failure:
            found.append((type(failure), str(failure)))
    return transport.written, [cycle.response_started, cycle.response_complete, *found]


@given(
    fields,
    st.sampled_from(("GET", "HEAD")),
    st.sampled_from((200, 204, 404)),
    st.booleans(),
    st.sampled_from(((b"abc",), (b"a", b"bc"), (b"abc", b""), (b"", b"abc"), (b"ab",), (b"abc", b"d"))),
    st.booleans(),
)
@example([(b"content-length", b"3"), (b"x-a", b"a\r\nset-cookie: x")], "GET", 200, True, (b"abc",), False)
@example([(b"content-length", b"3"), (b"content-length", b"7")], "GET", 200, True, (b"abc",), False)
@example([(b"content-length", b"3")], "GET", 200, True, (b"a", b"bc"), False)
@example([(b"content-length", b"3")], "GET", 200, False, (b"abc",), True)
def test_answers_are_uvicorns(
    headers: list[tuple[bytes, bytes]],
    method: str,
    status: int,
    keep_alive: bool,
    pieces: Sequence[bytes],
    paused: bool,
) -> None:
    expected, became = answered(RequestResponseCycle, headers, method, status, keep_alive, pieces, paused)
    written, ours = answered(Cycle, headers, method, status, keep_alive, pieces, paused)
    assert (b"".join(written), ours) == (b"".join(expected), became)
    known = Fields(headers, Known.of(SECURITY_HEADERS), (b"x-request-id", b"2f6b"))
    expected, became = answered(RequestResponseCycle, [*known], method, status, keep_alive, pieces, paused)
    written, ours = answered(Cycle, known, method, status, keep_alive, pieces, paused)
    assert (b"".join(written), ours) == (b"".join(expected), became)


def test_an_ordinary_answer_is_one_write_and_not_left_to_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise AssertionError("uvicorn was asked")

    monkeypatch.setattr(RequestResponseCycle, "send", fail)
    headers = [(b"content-length", b"3"), (b"content-type", b"application/json"), (b"vary", b"Origin")]
    written, became = answered(Cycle, headers)
    assert became == [True, True]
    assert [one.endswith(b"\r\nvary: Origin\r\n\r\nabc") for one in written] == [True]
