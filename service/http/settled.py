"""What a dependency may do about the answer while its transaction is open: keep it, or give another instead.

A handler's answer is built before the transaction of its session ends. A dependency that was marked ``runs_last`` runs
after every other one, so that no answer is given instead before all that refuses callers has been asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response

from service.errors import Call

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_LAST = "runs_last"


class Instead(Exception):  # noqa: N818  says what to do
    """Raised by a dependency: this is the answer, and the handler does not run.

    Args:
        answer: What the caller gets.
    """

    def __init__(self, answer: Response) -> None:
        super().__init__("answered instead")
        self.answer = answer


def runs_last(call: Call) -> Call:
    """Mark a dependency that may raise ``Instead`` or calls ``before_end``; the body is read whole before it runs."""
    call.__dict__[_LAST] = True
    return call


def before_end(request: Request, settle: Callable[[Response], Awaitable[None]]) -> None:
    """Have the handler's answer looked at before the transaction ends.

    Args:
        request: The running one.
        settle: Called once, with an answer that is built and not sent; what it raises rolls the transaction back.
    """
    request.state.settle = [*getattr(request.state, "settle", ()), settle]


def settled(dependant: Dependant, handler: Handler) -> Handler:
    """The handler of a route, with what its dependencies do about the answer.

    Args:
        dependant: Of the route.
        handler: What FastAPI made of it.
    """
    reads_body = settles(dependant)

    async def handle(request: Request) -> Response:
        if reads_body:
            await request.body()  # a form is read as a stream, and could not be read again
        try:
            answer = await handler(request)
        except Instead as found:
            return found.answer
        for settle in getattr(request.state, "settle", ()):
            await settle(answer)
        return answer

    return handle


def order(app: FastAPI) -> None:
    """Put the marked dependencies of every route behind its others.

    Args:
        app: The application, all routes in place.
    """
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            _order(context.dependant)


def _order(dependant: Dependant) -> None:
    for inner in dependant.dependencies:
        _order(inner)
    dependant.dependencies.sort(key=settles)  # stable: all else keeps its place


def settles(dependant: Dependant) -> bool:
    """Whether a marked dependency stands below one."""
    return getattr(dependant.call, _LAST, False) or any(map(settles, dependant.dependencies))
