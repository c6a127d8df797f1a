"""Keeps a server busy over a fixed number of connections, and counts: whole answers, and how long each took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, cast

import uvloop

_PATIENCE: Final = 20.0  # seconds for the last answers


@dataclass
class Counted:
    """What came back.

    Attributes:
        times: Seconds that each answer took.
        wrong: The first answer that was none, to be told.
    """

    times: list[float] = field(default_factory=list)
    wrong: bytes = b""


class _Connection(asyncio.Protocol):
    """One request after the other: the next is sent when the last is answered."""

    def __init__(self, requests: Iterator[bytes], until: float, found: Counted) -> None:
        self._requests, self._until, self._found = requests, until, found
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        request = next(self._requests, None) if self._sent < self._until else None
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._found.wrong = self._buffer
            self._transport.close()
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._buffer = b""
        self._found.times.append(time.perf_counter() - self._sent)
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def keep_busy(port: int, requests: Iterator[bytes], seconds: float, connections: int) -> Counted:
    """Send requests until the time is up or there are no more of them.

    Args:
        port: On 127.0.0.1.
        requests: What to send.
        seconds: How long.
        connections: How many at once.

    Raises:
        RuntimeError: An answer was not 200, or there was none.
    """
    found = Counted()

    async def run() -> None:
        loop, until = asyncio.get_running_loop(), time.perf_counter() + seconds
        pairs = [
            await loop.create_connection(lambda: _Connection(requests, until, found), "127.0.0.1", port)
            for _ in range(connections)
        ]
        async with asyncio.timeout(seconds + _PATIENCE):
            await asyncio.gather(*(connection.done for _, connection in pairs))

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except OSError as failure:
        raise RuntimeError(f"no answer on port {port}") from failure
    if found.wrong or not found.times:
        raise RuntimeError(f"not answered with 200: {found.wrong[:300]!r}")
    return found
