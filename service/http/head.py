"""What the middleware needs of a request's head, read in one pass."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.types import Scope

# Hexadecimal with dashes: every usual generator fits, and a name or a number of a patient does not.
_REQUEST_ID: Final = re.compile(r"[0-9A-Fa-f-]{16,64}\Z")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\Z")  # W3C Trace Context, 3.2
# What Railway's edge makes: 16 bytes in base64url. Anything else is the text of a caller.
_RAILWAY_ID: Final = re.compile(rb"[A-Za-z0-9_-]{21}[AQgw]\Z")
TRACE: Final = "signalbox.trace"  # in a scope: the id of the trace, where one is made (service.telemetry)
_READ: Final = frozenset({b"origin", b"content-length", b"x-request-id", b"traceparent", b"x-railway-request-id"})
_ids = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311  an id is no secret, and no system call
os.register_at_fork(after_in_child=_ids.seed)  # anew, from the system: two processes of one would give the same ids


class Head(NamedTuple):
    """What was read.

    Attributes:
        context: What every line of the log says of the request.
        origin: The first header of that name.
        size: Bytes of target and fields.
        length: Declared size of the body, in bytes.
    """

    context: Mapping[str, str]
    origin: bytes | None
    size: int
    length: int


def new_id() -> str:
    """An id for a request that came without one."""
    return _ids.getrandbits(128).to_bytes(16).hex()


def read(scope: Scope) -> Head:
    """Read a request's head.

    Args:
        scope: Of the request; its id is kept in it.
    """
    found: dict[str, str] = {}
    origin: bytes | None = None
    declared: bytes | None = None
    size = len(scope["raw_path"]) + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name not in _READ:
            continue
        if name == b"origin":
            origin = value if origin is None else origin
        elif name == b"content-length":
            declared = value if declared is None else declared
        elif name == b"x-request-id":
            if _REQUEST_ID.match(text := value.decode("latin-1")):
                found["request_id"] = text
        elif name == b"traceparent":
            if match := _TRACEPARENT.match(value.decode("latin-1")):
                found["trace_id"] = match[1]
        elif _RAILWAY_ID.match(value):
            found["railway_request_id"] = value.decode("latin-1")
    if TRACE in scope:
        found["trace_id"] = scope[TRACE]
    if "request_id" not in found:
        found["request_id"] = scope.get("request_id") or new_id()
    scope["request_id"] = found["request_id"]  # one that is cut is answered by another run of this, under the same id
    # No body has more digits, and int() has a limit of its own.
    return Head(found, origin, size, int(declared[:19]) if declared and declared.isdigit() else 0)
