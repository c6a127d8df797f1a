"""The one middleware: request id, log context, security headers, CORS, access line, and the last line of defence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors
from service.http import shape
from service.http.fields import Field, Fields, Known
from service.http.head import Head, read
from service.log import get_logger, log_context
from service.log_lines import Plain

log = get_logger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_HEAD_BYTES: Final = 32_768  # target and header fields, as at Railway's edge
HUNG_UP: Final = 499  # in the log, as nginx has it: the client left before it was answered
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
_HEAD, _ANSWER = "signalbox.head", "signalbox.answer"  # in a scope: what was read of it, what goes out for it
EXPOSED: Final = ("X-Request-ID", "Retry-After", "WWW-Authenticate", "Idempotent-Replayed")
LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"

# OWASP REST Security Cheat Sheet, "Security Headers": for an API that answers data, never pages.
SECURITY_HEADERS: Sequence[Field] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_SECURITY_NAMES = frozenset(name for name, _ in SECURITY_HEADERS)
_CORS_NAMES = frozenset(
    {b"access-control-allow-credentials", b"access-control-allow-origin", b"access-control-expose-headers"}
)
_OURS, _SECURE = _SECURITY_NAMES | _CORS_NAMES, Known.of(SECURITY_HEADERS)


class _Cors(CORSMiddleware):
    """Starlette's CORS, refusing a preflight in our own error shape, for the cause that applies."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        asked = request_headers.get("access-control-request-headers", "").lower().split(",")
        if not self.is_allowed_origin(request_headers["origin"]):
            return shape.response(errors.ORIGIN_REFUSED, {"Vary": "Origin"})
        if request_headers["access-control-request-method"] not in self.allow_methods:
            row = errors.CORS_METHOD_REFUSED
        elif any(name.strip() not in self.allow_headers for name in asked if name.strip()):
            row = errors.CORS_HEADER_REFUSED
        else:
            # What else Starlette may have refused is the browser's to judge by the headers of the answer.
            headers = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
            return Response(headers=headers)
        return shape.response(row, {name: answer.headers[name] for name in answer.headers if name in _CORS_ANSWER})


class _Answer:
    """What goes out, and what the access line says of it: the one wrapper of ``send``.

    Args:
        scope: Of the request; its method is given back to it.
        method: As it came.
        send: Of the server.
        added: Headers that every answer to this request has.
    """

    __slots__ = ("_added", "_method", "_scope", "_send", "begun", "context", "status")

    def __init__(self, scope: Scope, method: str, send: Send, added: Known) -> None:
        self._scope, self._method, self._send, self._added = scope, method, send, added
        self.status, self.begun, self.context = 500, False, log_context.get()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._scope["method"] = self._method
            # The gate adds tenant and user to the context of the request; the access line reads them from here.
            self.status, self.begun, self.context = message["status"], True, log_context.get()
            own: Sequence[Field] = message.get("headers", ())
            request_id = (b"x-request-id", self.context["request_id"].encode())
            if _OURS.isdisjoint([name for name, _ in own]):
                message["headers"] = Fields(own, self._added, request_id)
            else:
                message["headers"] = [*_merged(own, self._added.fields), request_id]
        await self._send(message)


def _merged(own: Iterable[Field], added: Iterable[Field]) -> Iterable[Field]:
    """Of an answer that has some of ours: what a handler says of it stands, but who may read it is not its to say."""
    named, ours = {name for name, _ in own}, {name for name, _ in added}
    yield from (field for field in own if field[0] not in _CORS_NAMES or field[0] not in ours)
    yield from (field for field in added if field[0] not in named or field[0] not in _SECURITY_NAMES)


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
            expose_headers=EXPOSED,
            max_age=600,
        )
        self._added = _added(self._cors, allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks WebSocket, and the gate guards HTTP alone
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        head = scope[_HEAD] = read(scope)
        context = head.context
        token = log_context.set(context)
        method = scope["method"]
        if method == "HEAD":  # a GET whose body the server leaves out (RFC 9110, section 9.3.2): it is told below
            scope["method"] = "GET"
        # Starlette decides of a preflight, and of an origin that is not in the list.
        added = self._added.get(head.origin) if method != "OPTIONS" else None
        answer = scope[_ANSWER] = _Answer(scope, method, send, _SECURE if added is None else added)
        try:
            await (self._cors if added is None else self._guarded)(scope, receive, answer.send)
        finally:
            del scope[_ANSWER]  # it knows the scope: a circle, of which each request would leave one behind
            log_context.set(answer.context)
            Plain.info(
                "request",
                method=method if method in METHODS else "OTHER",
                route=getattr(scope.get("route"), "path_format", None),  # the template: a path may name a patient
                status=answer.status,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
            )
            log_context.reset(token)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whatever fails beneath, the client gets a row of the registry and the log gets the cause."""
        head: Head = scope[_HEAD]
        answer: _Answer = scope[_ANSWER]
        try:
            if (refused := scope.get(REFUSED)) is not None:
                await shape.response(refused, {"Connection": "close"})(scope, receive, send)
            elif head.size > MAX_HEAD_BYTES:
                await shape.response(errors.HEADERS_TOO_LARGE, {"Connection": "close"})(scope, receive, send)
            elif head.length > self._max_body_bytes:
                await shape.response(errors.TOO_LARGE, {"Connection": "close"})(scope, receive, send)
            else:
                await self.app(scope, _bounded(scope, receive, self._max_body_bytes), send)
        except ClientDisconnect:
            answer.status = HUNG_UP
            log.info("client_disconnected")
        except asyncio.CancelledError:  # the process stops, and has waited long enough
            if answer.begun:
                raise
            log.warning("refused", code=errors.STOPPING.code)
            await shape.response(errors.STOPPING, {"Connection": "close"})(scope, receive, send)
        except Exception as failure:
            log.error("unhandled_exception", exc_info=failure)
            if not answer.begun:
                await shape.response(errors.INTERNAL)(scope, receive, send)
            else:
                raise  # half an answer is out: the server must cut the connection, or the client takes it for whole


def _added(cors: CORSMiddleware, allowed_origins: Sequence[str]) -> Mapping[bytes | None, Known]:
    """What answers get beside their own headers, by origin: what Starlette would find out for each request anew."""
    vary = (b"vary", b"Origin")
    simple = [(name.lower().encode(), value.encode()) for name, value in cors.simple_headers.items()]
    found: dict[bytes | None, Known] = {None: Known.of((*SECURITY_HEADERS, vary))}
    for origin in allowed_origins:
        allowed = (b"access-control-allow-origin", origin.encode())
        found[origin.encode()] = Known.of((*SECURITY_HEADERS, *simple, allowed, vary))
    return found


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
