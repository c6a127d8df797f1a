"""Routers whose routes are protected unless they say otherwise.

Every route of the application is made by a ``Router``. A protected route admits no caller without a verified
credential and a tenant; the check runs on the matched route, before anything of the body is read. An application
holding a route of any other making does not start (``refuse_ungated``): forgetting the gate is not possible.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, Protocol

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.credentials import Strategies
from service.http.settled import settled
from service.log import bind
from service.principal import current
from service.tenancy import TenantId, tenant_scope

DIRECT: Final = "signalbox.direct"  # in a scope: what serves the route past FastAPI's own handler
CREDENTIAL: Final = "credential"  # in a scope, while the replica is busy: what a request's caller came with


class Finder(BaseRoute):
    """A route that finds others and serves nothing itself: what it finds is judged alone."""


class Learning(Protocol):
    """Is told whose a credential is, once it was verified (``service.http.admission``)."""

    def learn(self, credential: bytes, tenant: TenantId) -> None: ...


class Sharing(Protocol):
    """How much of the replica each tenant uses (``service.http.admission``)."""

    async def take(self, tenant: TenantId) -> None: ...
    def give_back(self, tenant: TenantId) -> None: ...


class Gated(Protocol):
    """What the gate needs of the application's state (``service.running``)."""

    @property
    def strategies(self) -> Strategies: ...
    @property
    def admission(self) -> Learning: ...
    @property
    def shares(self) -> Sharing: ...


class ProtectedRoute(APIRoute):
    """A route behind the gate."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit the caller, then serve for the caller's tenant: past FastAPI's own handler where the table says so."""
        served: ASGIApp = scope.pop(DIRECT, None) or super().handle
        running: Gated = scope["app"].state.running
        principal = await running.strategies.authenticate(scope["headers"])
        bind(tenant_id=principal.tenant, user_id=principal.user_id)
        if (credential := scope.get(CREDENTIAL)) is not None:
            running.admission.learn(credential, principal.tenant)
        await running.shares.take(principal.tenant)
        token = current.set(principal)
        try:
            with tenant_scope(principal.tenant):
                await served(scope, receive, send)
        finally:
            current.reset(token)
            running.shares.give_back(principal.tenant)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI calls, with what dependencies do about the answer (``service.http.settled``)."""
        return settled(self.dependant, super().get_route_handler())


class PublicRoute(APIRoute):
    """A route that anyone may call."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request: past FastAPI's own handler where the table says so."""
        await (scope.pop(DIRECT, None) or super().handle)(scope, receive, send)


class VitalRoute(PublicRoute):
    """A route by which the platform judges the replica: anyone may call it, however busy the replica is."""


class Router(APIRouter):
    """What a feature makes its routers with.

    Args:
        public: Whether anyone may call its routes.
        vital: Whether that holds however busy the replica is: only for what costs next to nothing.
        options: As for ``fastapi.APIRouter``; ``prefix`` is the whole one, such as ``/api/v1/notes``.
    """

    def __init__(self, *, public: bool = False, vital: bool = False, **options: Any) -> None:
        kind = VitalRoute if vital else PublicRoute if public else ProtectedRoute
        # An operation is called as its function is: clients that are generated name their methods after it.
        options.setdefault("generate_unique_id_function", lambda route: route.name)
        super().__init__(route_class=kind, redirect_slashes=False, **options)


def vital_paths(routers: Iterable[Router]) -> Iterator[str]:
    """Paths that are served however busy the replica is.

    Args:
        routers: Of all features.
    """
    for router in routers:
        yield from (route.path for route in router.routes if isinstance(route, VitalRoute))


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
    if "GET" in found:  # see service.http.request
        found.add("HEAD")
    return ", ".join(sorted(found))


def refuse_ungated(app: FastAPI) -> None:
    """Check that every route is a ``ProtectedRoute`` or a ``PublicRoute``, and none for HEAD, which no request finds.

    Raises:
        RuntimeError: One is not; the text names its path.
    """
    for context in iter_route_contexts(app.routes):
        if "HEAD" in (context.methods or ()):
            raise RuntimeError(f"Route {context.path} takes HEAD, which the GET of a path answers: take it out")
        if not isinstance(context.original_route, ProtectedRoute | PublicRoute | Finder):
            raise RuntimeError(
                f"Route {context.path} was not made by service.http.gate.Router, so nothing guards it. "
                "Make its router with Router(...), or Router(public=True) when anyone may call it."
            )
