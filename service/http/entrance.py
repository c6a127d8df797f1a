"""The way in, closed until the process may serve: health is told from the first moment on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import STARTING
from service.http.request import REFUSED

CLOSED: Final = "closed"  # in the scope of what is asked before


class Entrance:
    """Refuses every other request until it is opened.

    Args:
        app: The application, which answers the refusal in its own shape.
        vital: Paths that are served all the same (``service.http.gate.vital_paths``).
    """

    def __init__(self, app: ASGIApp, vital: Iterable[str]) -> None:
        self._app, self._vital = app, frozenset(vital)
        self.open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of ASGI's."""
        if not self.open and scope["type"] == "http":
            scope[CLOSED] = True
            if scope["path"] not in self._vital:
                scope.setdefault(REFUSED, STARTING)
        await self._app(scope, receive, send)
