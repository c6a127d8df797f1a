"""Writes an answer in one piece: uvicorn looks at each header by itself, and writes the head before it has the body.

What is out of the ordinary (no length, a connection or coding of its own, a name or value that is not allowed) stays
uvicorn's, which knows what to do about it or refuses it. Without this module answers are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.http.fields import Field, Fields, lines

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_LENGTH: Final = b"content-length"
_UVICORNS: Final = frozenset({b"connection", b"transfer-encoding"})


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    _head = b""  # kept until there is some of the body, as ASGI has it: each write is a system call, and a packet

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
        own, ready = (headers.own, headers.lines) if isinstance(headers, Fields) else (headers, b"")
        fields = [*self.default_headers, *own]
        lengths = [value for name, value in fields if name == _LENGTH]
        plain = len(lengths) == 1 and lengths[0].isdigit() and _UVICORNS.isdisjoint([name for name, _ in fields])
        if not plain or (first := lines(fields)) is None:
            return False
        self.response_started, self.waiting_for_100_continue = True, False
        self.expected_content_length, self.chunked_encoding = int(lengths[0]), False
        self._head = b"".join(
            (STATUS_LINE[status], first, ready, b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        )
        return True
