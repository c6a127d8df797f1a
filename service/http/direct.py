"""Handlers called without asking FastAPI at each request what it found out when the route was made.

Taken over are routes whose handler and dependencies are coroutine functions that take one another and the ``Request``,
and nothing of a path, query, header, cookie or body; a generator may stand among them where it ends before the answer,
as the tenant's session does. What they return is validated and serialized by FastAPI's own field. Every other route
stays with FastAPI, and so does each from the moment that a dependency is overridden. The answers are the same
(``tests/service/http/test_direct.py`` compares them): without this module they only cost more.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple

from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.settled import settles

# What a dependant may ask for that only FastAPI gives.
_BEYOND: Final = (
    "path_params",
    "query_params",
    "header_params",
    "cookie_params",
    "body_params",
    "http_connection_param_name",
    "websocket_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
    "own_oauth_scopes",
    "parent_oauth_scopes",
    "concurrency",
)
BEGUN: Final = "signalbox.begun"  # in a scope: what fails from here on may have sent half an answer
_WITHOUT_BODY: Final = frozenset({204, 205, 304})
_JSON: Final = (b"content-type", b"application/json")
_REQUEST: Final = -1  # stands for the request among the values

Arguments = tuple[tuple[str, int], ...]


class _Step(NamedTuple):
    """One dependency.

    Attributes:
        call: A coroutine function, or what makes a context of a generator.
        opens: Whether it is a context, which is left before the answer is sent.
        arguments: The name of each argument, and the number of the step that gives it.
    """

    call: Callable[..., Any]
    opens: bool
    arguments: Arguments


class _Beyond(Exception):  # noqa: N818  no error: FastAPI serves the route
    """The route needs what only FastAPI gives."""


def direct(route: APIRoute) -> ASGIApp | None:
    """The application of a route that needs no more than this; None for every other.

    Args:
        route: As FastAPI made it, not nested in another router: that could add dependencies to it.
    """
    field, status = route.response_field, route.status_code or 200
    endpoint: Any = route.dependant.call
    if (
        field is None
        or not isinstance(route.response_class, DefaultPlaceholder)
        or route.max_body_size is not None
        or status < 200
        or status in _WITHOUT_BODY
        or not _is_plain(endpoint, inspect.iscoroutinefunction)
        or settles(route.dependant)
    ):
        return None
    steps: list[_Step] = []
    try:
        arguments = _plan(route.dependant, steps, {})
    except _Beyond:
        return None
    opens = any(step.opens for step in steps)
    asks = any(at == _REQUEST for step in (*steps, _Step(endpoint, False, arguments)) for _, at in step.arguments)
    validate, serialize, form = field.validate, field.serialize_json, _form(route)

    async def call(request: Request | None, stack: AsyncExitStack | None) -> Any:
        values: list[Any] = []
        for function, is_context, needs in steps:
            given = {name: request if at == _REQUEST else values[at] for name, at in needs}
            if is_context:
                assert stack is not None
                values.append(await stack.enter_async_context(function(**given)))
            else:
                values.append(await function(**given))
        given = {name: request if at == _REQUEST else values[at] for name, at in arguments}
        found = await endpoint(**given)
        if isinstance(found, Response):
            return found
        value, wrong = validate(found, {}, loc=("response",))
        if wrong:
            raise ResponseValidationError(errors=wrong, body=found)
        return serialize(value, **form)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send) if asks else None
        if opens:
            async with AsyncExitStack() as stack:
                found = await call(request, stack)
        else:
            found = await call(request, None)
        scope[BEGUN] = True
        if isinstance(found, Response):
            await found(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(found)), _JSON]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": found})

    return app


def _plan(dependant: Dependant, steps: list[_Step], known: dict[tuple[object, str], int]) -> Arguments:
    """Put the steps of a dependant's dependencies in the order in which FastAPI takes them.

    Args:
        dependant: Whose.
        steps: Added to.
        known: The step of each dependency that is asked for again.

    Returns:
        The dependant's own arguments.

    Raises:
        _Beyond: FastAPI must take them.
    """
    if any(getattr(dependant, name) for name in _BEYOND):
        raise _Beyond
    arguments: list[tuple[str, int]] = []
    for needed in dependant.dependencies:
        needs = _plan(needed, steps, known)  # before it is looked up, as FastAPI does
        key = (needed.call, needed.scope or "")
        at = known.get(key) if needed.use_cache else None
        if at is None:
            steps.append(_step(needed, needs))
            at = len(steps) - 1
            known.setdefault(key, at)
        if needed.name is not None:
            arguments.append((needed.name, at))
    if dependant.request_param_name:
        arguments.append((dependant.request_param_name, _REQUEST))
    return tuple(arguments)


def _step(needed: Dependant, needs: Arguments) -> _Step:
    call: Any = needed.call
    if _is_plain(call, inspect.iscoroutinefunction):
        return _Step(call, False, needs)
    if needed.scope == "function" and _is_plain(call, inspect.isasyncgenfunction):
        return _Step(asynccontextmanager(call), True, needs)
    raise _Beyond


def _is_plain(call: Any, kind: Callable[[Any], bool]) -> bool:
    """Whether a callable is a function of that kind, and wraps none: FastAPI looks at what is wrapped."""
    return inspect.isfunction(call) and not hasattr(call, "__wrapped__") and kind(call)


def _form(route: APIRoute) -> dict[str, Any]:
    """How a route has its answers serialized, where it is not as usual."""
    usual: dict[str, Any] = {"include": None, "exclude": None, "by_alias": True}
    usual |= dict.fromkeys(("exclude_unset", "exclude_defaults", "exclude_none"), False)
    found = {name: getattr(route, f"response_model_{name}") for name in usual}
    return {name: value for name, value in found.items() if value != usual[name]}
