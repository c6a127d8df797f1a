"""Routers whose routes are protected unless they say otherwise.

Every route of the application is made by a ``Router``. A protected route admits nobody without a verified token and a
tenant; the check runs on the route that was matched, before anything of the body is read. An application holding a
route of any other making does not start (``refuse_ungated``): forgetting the gate is not possible.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from service import errors
from service.auth.tokens.principal import Principal, current
from service.errors import ApiError, openapi_responses
from service.log import log_context
from service.tenancy import tenant_scope

Authenticate = Callable[[str], Awaitable[Principal]]
"""From the text of a bearer token to the principal; raises ``ApiError``."""

SECURITY_SCHEME = "bearer"
_PREFIX = "bearer "
# What the gate itself can answer; every protected route documents it. From AUTH_040 on they are the sign-in's.
GATE_ERRORS = (
    *(row for row in errors.ERRORS.values() if "AUTH_" <= row.code < "AUTH_040"),
    errors.SESSION_ENDED,
    errors.KEYS_DOWN,
)


class ProtectedRoute(APIRoute):
    """A route behind the gate."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options["responses"] = openapi_responses(GATE_ERRORS) | (options.get("responses") or {})
        options["openapi_extra"] = {"security": [{SECURITY_SCHEME: []}]} | (options.get("openapi_extra") or {})
        super().__init__(path, endpoint, **options)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit the caller, then serve for the caller's tenant."""
        authenticate: Authenticate = scope["app"].state.authenticate
        principal = await authenticate(_bearer_token(scope))
        log_context.set({**log_context.get(), "tenant_id": principal.tenant, "user_id": principal.subject})
        token = current.set(principal)
        try:
            with tenant_scope(principal.tenant):
                await super().handle(scope, receive, send)
        finally:
            current.reset(token)


class PublicRoute(APIRoute):
    """A route that anyone may call."""


class Router(APIRouter):
    """What a feature's ``routes.py`` makes its ``router`` with.

    Args:
        public: Whether anyone may call its routes.
        options: As for ``fastapi.APIRouter``; ``prefix`` is the whole one, such as ``/api/v1/notes``.
    """

    def __init__(self, *, public: bool = False, **options: Any) -> None:
        super().__init__(route_class=PublicRoute if public else ProtectedRoute, redirect_slashes=False, **options)


def _bearer_token(scope: Scope) -> str:
    """The one bearer token of a request (RFC 6750, section 2.1); a token in a query or a form is not looked at."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if not values:
        raise ApiError(errors.CREDENTIALS_MISSING)
    if len(values) > 1:
        raise ApiError(errors.CREDENTIALS_TWICE)
    text: str = values[0].decode("latin-1")
    if text[: len(_PREFIX)].lower() != _PREFIX:
        raise ApiError(errors.CREDENTIALS_SCHEME)
    return text[len(_PREFIX) :].strip(" ")


def allowed_methods(app: FastAPI, scope: Scope) -> str:
    """The ``Allow`` header of a path: the methods of every route it matches (RFC 9110, section 10.2.1).

    Args:
        app: The application.
        scope: Of the request; a route alone would name its own methods.
    """
    found: set[str] = set()
    for context in iter_route_contexts(app.routes):
        if context.matches(scope)[0] is not Match.NONE:
            found |= context.methods or set()
    return ", ".join(sorted(found))


def refuse_ungated(app: FastAPI) -> None:
    """Check that every route is a ``ProtectedRoute`` or a ``PublicRoute``.

    Raises:
        RuntimeError: One is not; the text names its path.
    """
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, ProtectedRoute | PublicRoute):
            raise RuntimeError(
                f"Route {context.path} was not made by service.http.gate.Router, so nothing guards it. "
                "Make its router with Router(...), or Router(public=True) when anyone may call it."
            )
