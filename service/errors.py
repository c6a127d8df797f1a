"""The error registry: one row per code.

The exception a module raises, the JSON a client gets, the OpenAPI schema and docs/ERROR_CODES.md all come from
``ERRORS``. A row's texts are fixed: nothing a caller sent, and nothing a library said, ever reaches a client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

_RAISES = "errors_raised"


@dataclass(frozen=True, slots=True)
class Error:
    """One row of the registry.

    Attributes:
        code: Stable identifier; clients may branch on it. Never reused for another cause.
        status: HTTP status.
        message: What kind of failure this is.
        detail: What exactly was wrong, in general words.
        oauth: ``error`` attribute of ``WWW-Authenticate`` (RFC 6750, section 3.1); None leaves it out, as that
            section asks for when a request carries no credentials at all.
        action: What the reader of docs/ERROR_CODES.md should do.
        repeatable: Whether a 503 says when to try again: not where the request may have been applied already.
    """

    code: str
    status: int
    message: str
    detail: str
    action: str
    oauth: str | None = None
    repeatable: bool = True


def outage(code: str, detail: str, action: str) -> Error:
    """A row for a dependency that is down: 503, which the caller may repeat."""
    return Error(code, 503, "Service unavailable", detail, action)


CREDENTIALS_MISSING = Error(
    "AUTH_020",
    401,
    "Authentication required",
    "No credentials were sent",
    "Send Authorization: Bearer <token>.",
)
CREDENTIALS_SCHEME = Error(
    "AUTH_021",
    401,
    "Authentication required",
    "The credentials are of a kind that is not known",
    "Send Authorization: Bearer <token>, or what securitySchemes in /openapi.json lists.",
    oauth="invalid_token",
)
CREDENTIALS_TWICE = Error(
    "AUTH_022",
    400,
    "Invalid request",
    "More than one header with credentials",
    "Send exactly one.",
    oauth="invalid_request",
)
PERMISSION_DENIED = Error(
    "AUTH_034",
    403,
    "Permission denied",
    "The caller may not do this",
    "Ask an administrator for the role that the route needs.",
    oauth="insufficient_scope",
)
NOT_FOUND = Error("REQ_001", 404, "Not found", "There is nothing here", "Check the address.")
METHOD_NOT_ALLOWED = Error(
    "REQ_002",
    405,
    "Method not allowed",
    "This address does not take this method",
    "Use one of the methods in the Allow header.",
)
INVALID_REQUEST = Error("REQ_003", 422, "Invalid request", "The request does not fit the schema", "See /openapi.json.")
TOO_LARGE = Error("REQ_004", 413, "Content too large", "The request body is over the limit", "Send less at once.")
BAD_REQUEST = Error("REQ_005", 400, "Bad request", "The request could not be read", "Check its syntax.")
UNSUPPORTED_MEDIA = Error(
    "REQ_006",
    415,
    "Unsupported media type",
    "Content-Type is not accepted",
    "Send a type that /openapi.json lists for this route.",
)
ORIGIN_REFUSED = Error("REQ_007", 400, "Origin refused", "This origin may not call the API", "See ALLOWED_ORIGINS.")
CORS_HEADER_REFUSED = Error(
    "REQ_014",
    400,
    "Preflight refused",
    "A page may not send one of these header fields",
    "See Access-Control-Allow-Headers of the answer, and ALLOWED_HEADERS.",
)
CORS_METHOD_REFUSED = Error(
    "REQ_015",
    400,
    "Preflight refused",
    "A page may not use this method",
    "See Access-Control-Allow-Methods of the answer.",
)
CONFLICT = Error("REQ_008", 409, "Conflict", "The change collides with what is stored", "Read again, then retry.")
HEADERS_TOO_LARGE = Error("REQ_009", 431, "Header fields too large", "The headers are over the limit", "Send less.")
TIMED_OUT = Error("REQ_013", 408, "Request timeout", "The request did not arrive in time", "Send it without a pause.")
TOO_MANY_AT_ONCE = Error(
    "REQ_016",
    400,
    "Bad request",
    "Too many requests on one connection wait for the one before them",
    "Wait for answers, or use more connections.",
)
KEY_MALFORMED = Error(
    "REQ_010",
    400,
    "Bad request",
    "The Idempotency-Key is missing where it is required, or it is no string of 1 to 255 printable characters",
    'Send one header such as Idempotency-Key: "8e03978e-40d5-43e8-bc93-6894a57f9324", a new key for each request.',
)
KEY_OF_ANOTHER_REQUEST = Error(
    "REQ_011",
    422,
    "Invalid request",
    "The Idempotency-Key was used for another request: its method, address, query or body was not this one",
    "Repeat a request letter for letter, or send a new key.",
)
KEY_UNDER_WAY = Error(
    "REQ_012",
    409,
    "Conflict",
    "The first request with this Idempotency-Key is still under way",
    "Repeat it with the same key in a few seconds: it is then answered as the first was.",
)

INTERNAL = Error(
    "SYS_001", 500, "Internal error", "Something failed on our side", "Report the X-Request-ID of the answer."
)
DATABASE_DOWN = outage("SYS_002", "The database cannot be reached", "Retry after the given time.")
OUTCOME_UNKNOWN = Error(
    "SYS_010",
    503,
    "Outcome unknown",
    "The change may have been stored: the database did not answer its commit",
    "Do not repeat it blindly: read what is stored first. Sent with an Idempotency-Key, repeat it with the same key.",
    repeatable=False,
)
SECRETS_DOWN = outage("SYS_004", "The secrets store cannot be reached", "Retry after the given time.")
STARTING = outage("SYS_014", "This replica is starting", "Retry after the given time.")
TENANT_AWS_DOWN = outage(
    "SYS_015", "What belongs to the tenant in AWS cannot be reached", "Retry after the given time."
)
NOT_READY = outage("SYS_005", "A dependency is not ready", "See the checks beside the error.")
OVERLOADED = outage("SYS_011", "This replica, or the caller's share of it, is busy", "Retry after the given time.")
STOPPING = Error(
    "SYS_012",
    503,
    "Service unavailable",
    "This replica stops, and ended the request unfinished",
    "Repeat what only reads. Of a change, read first whether it was stored.",
    repeatable=False,
)

ERRORS: Mapping[str, Error] = {row.code: row for row in list(globals().values()) if isinstance(row, Error)}


class ApiError(Exception):
    """A failure with a row in the registry.

    Args:
        error: The row.
        reason: A short code for the log where the row alone is too coarse; never holds input.
        headers: Response headers beyond those the status asks for.

    Attributes:
        remedy: For the log: what to do, where more is known than who raises it knows; a fixed text.
    """

    remedy: str | None = None

    def __init__(self, error: Error, reason: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.code)
        self.error = error
        self.reason = reason
        self.headers = dict(headers or {})


Call = TypeVar("Call", bound=Callable[..., Any])


def raises(*rows: Error) -> Callable[[Call], Call]:
    """Say which rows a dependency or a handler can answer, beside what its own dependencies say; OpenAPI reads it.

    Args:
        rows: Of the registry.
    """

    def mark(call: Call) -> Call:
        call.__dict__[_RAISES] = rows
        return call

    return mark


def raised_by(call: object) -> tuple[Error, ...]:
    """What ``raises`` said of a dependency or a handler; nothing where it said nothing."""
    rows: tuple[Error, ...] = getattr(call, _RAISES, ())
    return rows
