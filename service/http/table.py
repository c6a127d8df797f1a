"""Finds the route of a request by the beginning of its path: what that costs does not grow with the routes.

The table gives what FastAPI, asking one route after the other, would have given: the first that fits. It is asked once,
before FastAPI's own stack: a route that ``service.http.direct`` can serve is served at once, and what fails is answered
by that stack; every other request goes through it, and there the table is the first route, which knows the answer
already. What it does not find, FastAPI looks for. Without this module requests only cost more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.direct import BEGUN, direct
from service.http.gate import DIRECT, Finder

_FOUND: Final = "signalbox.found"  # what the table has found
_FAILED: Final = "signalbox.failed"  # what a route has raised that was served at once


class RouteTable(Finder):
    """Routes by their beginnings.

    Args:
        routes: In the order in which they are asked.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes: dict[int, tuple[APIRoute, ASGIApp | None, Collection[str] | None]] = {}
        self._beginning: dict[str, list[int]] = {}
        self._others: list[tuple[int, BaseRoute]] = []  # nested routers, mounts: they have an order too
        whole: dict[str, list[int]] = {}
        for number, route in enumerate(routes):
            if not isinstance(route, APIRoute):
                self._others.append((number, route))
                continue
            fixed, variable, _ = route.path.partition("{")
            methods = route.methods if not variable and type(route).matches is APIRoute.matches else None
            self._routes[number] = route, direct(route), methods
            if variable:
                self._beginning.setdefault(fixed[: fixed.rindex("/") + 1], []).append(number)
            else:
                whole.setdefault(fixed, []).append(number)
        self._deepest = max((beginning.count("/") for beginning in self._beginning), default=0)
        self._whole = {path: sorted([*numbers, *self._variable(path)]) for path, numbers in whole.items()}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """What was found before, or has failed since."""
        if _FAILED in scope:
            return Match.FULL, {}
        found: Scope | None = scope.pop(_FOUND, None)
        return (Match.NONE, {}) if found is None else (Match.FULL, found)

    def find(self, scope: Scope) -> Scope | None:
        """The first route that fits, as what it adds to the scope; None where FastAPI has to look for it."""
        path: str = scope["path"]
        # Below a root path another part counts; and a pattern's end fits before a trailing line feed, too.
        if scope["type"] != "http" or scope.get("root_path") or "\n" in path:
            return None
        candidates = self._whole.get(path)
        for number in self._variable(path) if candidates is None else candidates:
            for before, other in self._others:
                if before < number and other.matches(scope)[0] is not Match.NONE:
                    return None
            route, served, methods = self._routes[number]
            if methods:  # what the route would find out by a pattern
                found: Scope = {"endpoint": route.endpoint, "path_params": {}, "route": route}
                match = Match.FULL if scope["method"] in methods else Match.PARTIAL
            else:
                match, found = route.matches(scope)
            if match is Match.FULL:
                if served is not None and not scope["app"].dependency_overrides:
                    found[DIRECT] = served
                return found
        return None

    def _variable(self, path: str) -> Sequence[int]:
        """Routes with a variable part whose beginning is that of a path."""
        found: list[int] = []
        end = -1
        for _ in range(self._deepest):
            end = path.find("/", end + 1)
            if end < 0:
                break
            found += self._beginning.get(path[: end + 1], ())
        return found if len(found) < 2 else sorted(found)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the route that was found handle the request, gate and all; or have what it raised be answered."""
        if (failed := scope.pop(_FAILED, None)) is not None:
            raise failed
        route: APIRoute = scope["route"]
        await route.handle(scope, receive, send)


class Front:
    """Asks the table before FastAPI's stack is entered.

    Args:
        app: That stack.
        table: Stands first among the application's routes.
    """

    def __init__(self, app: ASGIApp, *, table: RouteTable) -> None:
        self.app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._table.find(scope) if scope["type"] == "http" else None
        if found is None or DIRECT not in found:
            scope[_FOUND] = found
            await self.app(scope, receive, send)
            return
        scope.update(found)
        try:
            await scope["route"].handle(scope, receive, send)
        except Exception as failure:
            if BEGUN in scope:
                raise
            scope[_FAILED] = failure
            await self.app(scope, receive, send)


def install(app: FastAPI) -> None:
    """Put a table before the routes that an application has; the middleware that is added later stands before it.

    Args:
        app: The application, complete but for its middleware.
    """
    table = RouteTable(app.router.routes)
    app.router.routes.insert(0, table)
    app.add_middleware(Front, table=table)
