"""Writes an answer in one piece: uvicorn looks at each header by itself, and writes the head before it has the body.

What is out of the ordinary (no length, a connection or coding of its own, a name or value that is not allowed) stays
uvicorn's, which knows what to do about it or refuses it. Without this module answers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.http.fields import Field, Fields, lines

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGISendEvent

_LENGTH: Final = b"content-length"
_UVICORNS: Final = frozenset({_LENGTH, b"connection", b"transfer-encoding"})  # a second length, too


class Cycle(RequestResponseCycle):
    """One request and its answer.

    Attributes:
        ended: Called at the end; a callback of the task would cost a turn of the event loop.
        lines: What the server adds to every answer.
    """

    ended: Callable[[], None]
    lines: bytes
    _head = b""  # kept until there is some of the body, as ASGI has it: each write is a system call, and a packet

    async def run_asgi(self, app: ASGI3Application) -> None:
        """As uvicorn's, and tell the end."""
        try:
            await super().run_asgi(app)
        finally:
            self.ended()

    async def send(self, message: ASGISendEvent) -> None:
        """As uvicorn's."""
        ready = not (self.disconnected or self.flow.write_paused)
        if message["type"] == "http.response.start":
            if ready and not self.response_started and self._begin(message["status"], message.get("headers", ())):
                return
        elif self._head and message["type"] == "http.response.body":
            head, self._head = self._head, b""
            body = message.get("body", b"")
            whole = len(body) == self.expected_content_length and not message.get("more_body", False)
            if ready and whole and self.scope["method"] != "HEAD":
                self.transport.write(head + body)
                self.response_complete = True
                self.message_event.set()
                if not self.keep_alive:
                    self.transport.close()
                self.on_response()
                return
            if not self.disconnected:
                self.transport.write(head)
        await super().send(message)

    def _begin(self, status: int, headers: Iterable[Field]) -> bool:
        """Put a head together; False where it is for uvicorn to do."""
        own, ready = (headers.own, headers.lines) if isinstance(headers, Fields) else (tuple(headers), b"")
        length: bytes | None = None
        for name, value in own:
            if name == _LENGTH and length is None:
                length = value
            elif name in _UVICORNS:
                return False
        if length is None or not length.isdigit() or (own_lines := lines(own)) is None:
            return False
        self.response_started, self.waiting_for_100_continue = True, False
        self.expected_content_length, self.chunked_encoding = int(length), False
        ends = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        self._head = b"".join((STATUS_LINE[status], self.lines, own_lines, ready, ends))
        return True
