"""Writes an answer in one piece: uvicorn looks at each header by itself, and writes the head before it has the body.

What is out of the ordinary (no length, a connection or coding of its own, a name or value that is not allowed) stays
uvicorn's, which knows what to do about it or refuses it. Without this module answers are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_LENGTH: Final = b"content-length"
_UVICORNS: Final = frozenset({b"connection", b"transfer-encoding"})
# Names in lower case, and the values that a field may have (RFC 9110, section 5.5).
_FIELDS: Final = re.compile(rb"(?:[a-z0-9!#$%&'*+.^_`|~-]++: [\t\x20-\x7e\x80-\xff]*+\r\n)++")


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

    def _begin(self, status: int, own: Iterable[tuple[bytes, bytes]]) -> bool:
        """Put a head together; False where it is for uvicorn to do."""
        headers = [*self.default_headers, *own]
        lengths = [value for name, value in headers if name == _LENGTH]
        fields = b"".join([b"%b: %b\r\n" % (name, value) for name, value in headers])
        plain = len(lengths) == 1 and lengths[0].isdigit() and _UVICORNS.isdisjoint([name for name, _ in headers])
        # A line break within a value would make one line more than there are headers.
        if not (plain and fields.count(b"\n") == len(headers) and _FIELDS.fullmatch(fields)):
            return False
        self.response_started, self.waiting_for_100_continue = True, False
        self.expected_content_length, self.chunked_encoding = int(lengths[0]), False
        self._head = b"".join(
            (STATUS_LINE[status], fields, b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        )
        return True
