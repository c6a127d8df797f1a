"""The way in, closed until the process may serve: health is told from the first moment on."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import STARTING
from service.http.request import REFUSED

CLOSED: Final = "closed"  # in the scope of what is asked before
_HEALTH: Final = "/api/v1/health/"


class Entrance:
    """Refuses every other request until it is opened.

    Args:
        app: The application, which answers the refusal in its own shape.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of ASGI's."""
        if not self.open and scope["type"] == "http":
            scope[CLOSED] = True
            if not scope["path"].startswith(_HEALTH):
                scope.setdefault(REFUSED, STARTING)
        await self._app(scope, receive, send)
