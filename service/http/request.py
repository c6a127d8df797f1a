"""The one middleware: request id, log context, security headers, CORS, access line, and the last line of defence."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors
from service.log import get_logger, log_context

log = get_logger(__name__)

# Hexadecimal with dashes: every usual generator fits, and a name or a number of a patient does not.
_REQUEST_ID = re.compile(r"[0-9A-Fa-f-]{16,64}\Z")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\Z")  # W3C Trace Context, 3.2
# What Railway's edge makes: 16 bytes in base64url. Anything else is the text of a caller.
_RAILWAY_ID = re.compile(rb"[A-Za-z0-9_-]{21}[AQgw]\Z")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_HEAD_BYTES: Final = 32_768  # target and header fields, as at Railway's edge
# In a scope: the row that the server's protocol has refused the request with.
REFUSED: Final = "refused"
# What front ends send beside their credentials: ids of this and of the usual tracers, and how often a change is meant.
_USUAL_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "X-Request-ID",
    *(
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
        "b3",
        "uber-trace-id",
        "newrelic",
        "elastic-apm-traceparent",
    ),
    *("X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "X-B3-Sampled", "X-B3-Flags"),
    *("X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "Request-Id", "Request-Context"),
    *("X-Datadog-Trace-Id", "X-Datadog-Parent-Id", "X-Datadog-Origin", "X-Datadog-Sampling-Priority", "X-Datadog-Tags"),
)
_CORS_ANSWER = frozenset(
    {"vary", "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"}
)
LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"

# OWASP REST Security Cheat Sheet, "Security Headers": for an API that answers data, never pages.
_SECURITY_HEADERS: Sequence[tuple[bytes, bytes]] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


class _Cors(CORSMiddleware):
    """Starlette's CORS, refusing a preflight in our own error shape, for the cause that applies."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        asked = request_headers.get("access-control-request-headers", "").lower().split(",")
        if not self.is_allowed_origin(request_headers["origin"]):
            return errors.response(errors.ORIGIN_REFUSED, {"Vary": "Origin"})
        if request_headers["access-control-request-method"] not in self.allow_methods:
            row = errors.CORS_METHOD_REFUSED
        elif any(name.strip() not in self.allow_headers for name in asked if name.strip()):
            row = errors.CORS_HEADER_REFUSED
        else:
            # What else Starlette may have refused is the browser's to judge by the headers of the answer.
            answer.status_code = 200
            return answer
        return errors.response(row, {name: answer.headers[name] for name in answer.headers if name in _CORS_ANSWER})


class RequestMiddleware:
    """Wraps the whole application.

    Args:
        app: What it wraps.
        allowed_origins: Exact origins that may call with credentials.
        allowed_headers: Header fields that they may send besides the usual ones.
        local_origins: Whether pages served from this machine may too, on any port (development).
        max_body_bytes: Largest request body, declared or counted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_origins: Sequence[str],
        allowed_headers: Iterable[str],
        local_origins: bool,
        max_body_bytes: int,
    ) -> None:
        self.app = app
        self._max_body_bytes = max_body_bytes
        self._cors = _Cors(
            self._guarded,
            allow_origins=allowed_origins,
            allow_origin_regex=LOCAL_ORIGIN if local_origins else None,
            allow_credentials=True,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=(*_USUAL_HEADERS, *allowed_headers),
            expose_headers=("X-Request-ID", "Retry-After", "WWW-Authenticate", "Idempotent-Replayed"),
            max_age=600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks WebSocket, and the gate guards HTTP alone
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        context = _context(scope)
        token = log_context.set(context)
        method = scope["method"]
        if (
            method == "HEAD"
        ):  # a GET whose body is left out (RFC 9110, section 9.3.2): by the server, which is told below
            scope["method"] = "GET"
        # The gate adds tenant and user to the context of the request; the access line reads them from there.
        final: dict[str, Any] = {"status": 500, "context": context}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["method"] = method
                final["status"] = message["status"]
                final["context"] = log_context.get()
                own = message.get("headers", ())
                named = {name for name, _ in own}
                missing = [header for header in _SECURITY_HEADERS if header[0] not in named]
                message["headers"] = [*own, *missing, (b"x-request-id", context["request_id"].encode())]
            await send(message)

        try:
            await self._cors(scope, receive, send_with_headers)
        finally:
            log_context.set(final["context"])
            log.info(
                "request",
                method=method if method in _METHODS else "OTHER",
                route=getattr(scope.get("route"), "path_format", None),  # the template: a path may name a patient
                status=final["status"],
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
            )
            log_context.reset(token)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whatever fails beneath, the client gets a row of the registry and the log gets the cause."""
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            if (refused := scope.get(REFUSED)) is not None:
                await errors.response(refused, {"Connection": "close"})(scope, receive, watch)
            elif _head_length(scope) > MAX_HEAD_BYTES:
                await errors.response(errors.HEADERS_TOO_LARGE, {"Connection": "close"})(scope, receive, watch)
            elif _declared_length(scope) > self._max_body_bytes:
                await errors.response(errors.TOO_LARGE, {"Connection": "close"})(scope, receive, watch)
            else:
                await self.app(scope, _bounded(scope, receive, self._max_body_bytes), watch)
        except ClientDisconnect:
            log.info("client_disconnected")
        except asyncio.CancelledError:  # the process stops, and has waited long enough
            if begun:
                raise
            log.warning("refused", code=errors.STOPPING.code)
            await errors.response(errors.STOPPING, {"Connection": "close"})(scope, receive, watch)
        except Exception as failure:
            log.error("unhandled_exception", exc_info=failure)
            if not begun:
                await errors.response(errors.INTERNAL)(scope, receive, send)
            else:
                raise  # half an answer is out: the server must cut the connection, or the client takes it for whole


def _head_length(scope: Scope) -> int:
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    return fields + len(scope["raw_path"]) + len(scope["query_string"])


def _declared_length(scope: Scope) -> int:
    text = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(text[:19]) if text.isdigit() else 0  # no body has more digits, and int() has a limit of its own


def _bounded(scope: Scope, receive: Receive, limit: int) -> Receive:
    """Starlette's own limit answers in plain text, and past the handlers that know our error shape."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        if (refused := scope.get(REFUSED)) is not None:
            raise HTTPException(refused.status)
        total += len(message.get("body", b""))
        if total > limit:
            raise HTTPException(413)  # the framework turns any other exception of a body into a 400
        return message

    return counted


def _context(scope: MutableMapping[str, Any]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.match(text := value.decode("latin-1")):
            found["request_id"] = text
        elif name == b"traceparent" and (match := _TRACEPARENT.match(value.decode("latin-1"))):
            found["trace_id"] = match[1]
        elif name == b"x-railway-request-id" and _RAILWAY_ID.match(value):
            found["railway_request_id"] = value.decode("latin-1")
    found.setdefault("request_id", scope.get("request_id") or secrets.token_hex(16))
    scope["request_id"] = found["request_id"]  # one that is cut is answered by another run of this, under the same id
    return found
