"""The short way and FastAPI's own give the same answers, take the same steps, and find the same routes."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import anyio
import httpx
import pytest
from fastapi import (
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    Security,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from starlette.routing import Mount, Route

from service import errors
from service.errors import ApiError
from service.http import answers, table
from service.http.direct import direct
from service.http.gate import Router

Trace = list[str]
BARE: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}


class Answer(BaseModel):
    name: str = Field(alias="Name")
    note: str | None = None
    steps: int = 0


# --- what a handler may take -----------------------------------------------------------------------------------------


def plain(trace: Trace) -> Callable[..., Any]:
    async def dependency() -> str:
        trace.append("plain")
        return "plain"

    return dependency


def of_the_request(trace: Trace) -> Callable[..., Any]:
    async def dependency(request: Request) -> str:
        trace.append(f"request {request.method} {request.url.path}")
        return request.headers.get("x-name", "none")

    return dependency


def nested(trace: Trace) -> Callable[..., Any]:
    first, second = plain(trace), of_the_request(trace)

    async def dependency(
        one: str = Depends(first),
        two: str = Depends(second),
        again: str = Depends(first),
        anew: str = Depends(first, use_cache=False),
    ) -> str:
        trace.append("nested")
        return one + two + again + anew

    return dependency


def generator(trace: Trace) -> Callable[..., Any]:
    async def dependency(request: Request) -> AsyncIterator[str]:
        trace.append("enter")
        try:
            yield "generated"
            trace.append("went well")
        except Exception as failure:
            trace.append(f"failed {type(failure).__name__}")
            raise
        finally:
            trace.append("leave")

    return dependency


def failing_at_the_end(trace: Trace) -> Callable[..., Any]:
    async def dependency() -> AsyncIterator[str]:
        yield "generated"
        trace.append("fails")
        raise ApiError(errors.CONFLICT)

    return dependency


def with_parameter(trace: Trace) -> Callable[..., Any]:
    async def dependency(limit: int = 3) -> str:
        trace.append(f"limit {limit}")
        return str(limit)

    return dependency


def in_a_thread(trace: Trace) -> Callable[..., Any]:
    def dependency() -> str:
        trace.append("thread")
        return "thread"

    return dependency


def in_a_thread_generator(trace: Trace) -> Callable[..., Any]:
    def dependency() -> Iterator[str]:
        trace.append("thread enter")
        yield "thread"
        trace.append("thread leave")

    return dependency


def refusing(trace: Trace) -> Callable[..., Any]:
    async def dependency() -> str:
        trace.append("refuses")
        raise ApiError(errors.PERMISSION_DENIED, "permission")

    return dependency


def scoped(trace: Trace) -> Callable[..., Any]:
    async def dependency(scopes: SecurityScopes) -> str:
        trace.append(f"scopes {scopes.scope_str}")
        return scopes.scope_str

    return dependency


def an_object(trace: Trace) -> Callable[..., Any]:
    class Dependency:
        async def __call__(self) -> str:
            trace.append("object")
            return "object"

    return Dependency()


def setting_a_header(trace: Trace) -> Callable[..., Any]:
    async def dependency(response: Response) -> str:
        response.headers["X-Set"] = "yes"
        response.status_code = 202
        return "header"

    return dependency


DEPENDENCIES: dict[str, Callable[[Trace], Any]] = {
    "plain": lambda trace: Depends(plain(trace)),
    "request": lambda trace: Depends(of_the_request(trace)),
    "nested": lambda trace: Depends(nested(trace)),
    "generator of the function": lambda trace: Depends(generator(trace), scope="function"),
    "generator of the request": lambda trace: Depends(generator(trace)),
    "fails at its end": lambda trace: Depends(failing_at_the_end(trace), scope="function"),
    "parameter": lambda trace: Depends(with_parameter(trace)),
    "thread": lambda trace: Depends(in_a_thread(trace)),
    "thread generator": lambda trace: Depends(in_a_thread_generator(trace)),
    "refuses": lambda trace: Depends(refusing(trace)),
    "scopes": lambda trace: Security(scoped(trace), scopes=["read"]),
    "object": lambda trace: Depends(an_object(trace)),
    "sets a header": lambda trace: Depends(setting_a_header(trace)),
}
SHORT = {"plain", "request", "nested", "generator of the function", "fails at its end", "refuses"}
PARAMETERS: dict[str, Any] = {
    "none": None,
    "path": Annotated[int, Path()],
    "query": Annotated[int | None, Query()],
    "header": Annotated[str, Header(alias="X-Name")],
    "cookie": Annotated[str | None, Cookie()],
    "body": Annotated[dict[str, int], Body()],
    "form": Annotated[str, Form()],
    "request": Request,
    "response": Response,
    "background": BackgroundTasks,
}


class BrokenError(Exception):
    pass


def outcome(kind: str, seen: dict[str, Any]) -> Any:
    match kind:
        case "model":
            return Answer(Name="Älice", steps=len(seen))
        case "object":
            return {"Name": "alice", "note": None, "more": "left out"}
        case "does not fit":
            return {"note": 3}
        case "nothing":
            return None
        case "response":
            return PlainTextResponse("own", status_code=203, headers={"X-Own": "yes"})
        case "http error":
            raise HTTPException(404)
        case "our error":
            raise ApiError(errors.CONFLICT, "reason")
        case "invalid":
            raise RequestValidationError([])
    raise BrokenError


OUTCOMES = ("model", "object", "does not fit", "nothing", "response", "http error", "our error", "invalid", "breaks")
OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "201": {"status_code": 201},
    "204": {"status_code": 204, "response_model": None},
    "without none": {"response_model_exclude_none": True},
    "only some": {"response_model_include": {"name"}},
    "by name": {"response_model_by_alias": False},
    "no model": {"response_model": None},
    "of a class": {"response_class": PlainTextResponse, "response_model": None},
}


def made(trace: Trace, named: list[str], parameter: str, result: str, option: str, *, override: bool) -> FastAPI:
    """An application with one route of that kind."""

    async def handler(**seen: Any) -> Any:
        shown = {
            name: type(value).__name__ if not isinstance(value, str | int) else value for name, value in seen.items()
        }
        trace.append(f"handler {shown}")
        return outcome(result, seen)

    depends = {f"d{number}": DEPENDENCIES[name](trace) for number, name in enumerate(named)}
    taken: dict[str, Any] = {name: Annotated[str, wanted] for name, wanted in depends.items()}
    if PARAMETERS[parameter] is not None:
        taken["given"] = PARAMETERS[parameter]
    handler.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in taken.items()],
        return_annotation=Answer,
    )
    router = Router(public=True)
    router.get("/before/{other}")(handler_before)
    path = "/at/{given}" if parameter == "path" else "/at/7"
    router.api_route(path, methods=["POST"], **OPTIONS[option])(handler)
    app = FastAPI(routes=router.routes, redirect_slashes=False, **BARE)
    answers.install(app)
    if override:
        for wanted in depends.values():
            app.dependency_overrides[wanted.dependency] = plain(trace)
    return app


async def handler_before() -> Answer:
    return Answer(Name="before")


def asked(app: FastAPI, trace: Trace, path: str) -> tuple[Any, ...]:
    """What a client sees of a request, and which steps it caused."""

    async def ask() -> tuple[Any, ...]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api", cookies={"given": "c"}) as client:
            try:
                found = await client.post(path, headers={"X-Name": "n"}, data={"given": "f"})
            except Warning:  # pytest makes them errors, and both ways would fail alike
                raise
            except Exception as failure:
                return type(failure), str(failure).partition("\n")[0], tuple(trace)
            return found.status_code, sorted(found.headers.multi_items()), found.content, tuple(trace)

    return anyio.run(ask)


@pytest.mark.parametrize("name", sorted(DEPENDENCIES))
def test_both_ways_answer_alike_for_each_dependency_and_outcome(name: str) -> None:
    for result in OUTCOMES:
        for option in ("usual", "201", "by name"):
            compare([name, name], "none", result, option, override=False)


@settings(max_examples=150, deadline=None)
@given(
    # Weighed towards what the short way takes: the rest is FastAPI beside itself.
    named=st.lists(st.sampled_from(sorted(SHORT)), max_size=3)
    | st.lists(st.sampled_from(sorted(DEPENDENCIES)), max_size=3),
    parameter=st.sampled_from(["none"] * 20 + sorted(PARAMETERS)),
    result=st.sampled_from(OUTCOMES),
    option=st.sampled_from(["usual"] * 6 + sorted(OPTIONS)),
    override=st.sampled_from((False, False, False, True)),
)
def test_both_ways_answer_alike(named: list[str], parameter: str, result: str, option: str, override: bool) -> None:
    """Every kind of parameter, dependency, override, result and error, in every combination."""
    compare(named, parameter, result, option, override=override)


def compare(named: list[str], parameter: str, result: str, option: str, *, override: bool) -> None:
    found = []
    for short in (False, True):
        trace: Trace = []
        app = made(trace, named, parameter, result, option, override=override)
        if short:
            table.install(app)
        found.append(asked(app, trace, "/at/7"))
    assert found[1] == found[0]


@pytest.mark.parametrize("name", sorted(DEPENDENCIES))
def test_the_short_way_is_taken_where_it_can_be(name: str) -> None:
    """Or the comparison above would compare FastAPI with itself."""
    _, route = made([], [name], "none", "model", "usual", override=False).router.routes
    assert isinstance(route, APIRoute)
    assert (direct(route) is not None) == (name in SHORT)


# --- routes ----------------------------------------------------------------------------------------------------------

SEGMENTS = ("a", "a", "{x}", "{x}", "{y:int}", "c-{x}", "{x:path}", "7")
paths = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=2).map(lambda parts: "/" + "/".join(parts))
asked_for = st.lists(st.sampled_from(("a", "a", "a", "c-1", "7", "", "a\n", "..", "{x}")), min_size=1, max_size=2).map(
    lambda parts: "/" + "/".join(parts)
)


@settings(max_examples=200, deadline=None)
@given(
    routes=st.lists(st.tuples(paths, st.sampled_from(("GET", "POST", "mount", "nested", "plain"))), max_size=8),
    path=asked_for,
    method=st.sampled_from(("GET", "POST")),
    root=st.sampled_from(("", "", "/a")),
)
def test_the_table_finds_what_fastapi_finds(routes: list[tuple[str, str]], path: str, method: str, root: str) -> None:
    found = []
    for short in (False, True):
        app = FastAPI(redirect_slashes=False, **BARE)
        for number, (template, kind) in enumerate(routes):
            if template.count("{x") > 1 or template.count("{y") > 1:
                continue
            router = Router(public=True)

            async def handler(request: Request, number: int = number) -> dict[str, Any]:
                return {"route": number, "parts": request.path_params}

            handler.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
                [inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)]
            )
            match kind:
                case "mount":
                    app.router.routes.append(Mount(f"/{number}", routes=[]))
                case "plain":
                    app.router.routes.append(Route(template, PlainTextResponse(str(number))))
                case "nested":
                    router.get(template)(handler)
                    outer = Router(public=True)
                    outer.include_router(router)
                    app.router.routes.extend(outer.routes)
                case _:
                    router.api_route(template, methods=[kind])(handler)
                    app.router.routes.extend(router.routes)
        answers.install(app)
        if short:
            table.install(app)
        found.append(anyio.run(_raw, app, method, path, root))
    assert found[1] == found[0]


async def _raw(app: FastAPI, method: str, path: str, root: str) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    head = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "root_path": root}
    await app({**head, "headers": [], "query_string": b"", "server": ("api", 80), "scheme": "http"}, receive, send)
    return sent


def test_a_nested_router_keeps_what_it_adds() -> None:
    """A dependency of the outer router counts for a route that the table could have served past it."""
    inner, outer = Router(public=True), Router(public=True, prefix="/outer", dependencies=[Depends(refusing([]))])

    @inner.get("/x")
    async def handler() -> Answer:
        return Answer(Name="x")

    outer.include_router(inner)
    app = FastAPI(routes=[*inner.routes, *outer.routes], **BARE)
    answers.install(app)
    table.install(app)

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return [(await client.get(path)).status_code for path in ("/x", "/outer/x")]

    assert anyio.run(ask) == [200, 403]
