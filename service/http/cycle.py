"""Writes the head of an answer in one piece: uvicorn looks at each header by itself, and an answer of ours has a dozen.

What is out of the ordinary (no length, a connection or coding of its own, a name or value that is not allowed) stays
uvicorn's, which knows what to do about it or refuses it. Without this module answers are the same.
"""

from __future__ import annotations

import re
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

    async def send(self, message: ASGISendEvent) -> None:
        """As uvicorn's."""
        ready = not (self.response_started or self.disconnected or self.flow.write_paused)
        if message["type"] == "http.response.start" and ready:
            headers = [*self.default_headers, *message.get("headers", ())]
            lengths = [value for name, value in headers if name == _LENGTH]
            fields = b"".join([b"%b: %b\r\n" % (name, value) for name, value in headers])
            plain = len(lengths) == 1 and lengths[0].isdigit() and _UVICORNS.isdisjoint([name for name, _ in headers])
            # A line break within a value would make one line more than there are headers.
            if plain and fields.count(b"\n") == len(headers) and _FIELDS.fullmatch(fields):
                self.response_started, self.waiting_for_100_continue = True, False
                self.expected_content_length, self.chunked_encoding = int(lengths[0]), False
                end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
                self.transport.write(b"".join((STATUS_LINE[message["status"]], fields, end)))
                return
        await super().send(message)
