"""What a request costs does not grow with routes, issuers, tenants or remembered callers; it leaves nothing behind."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from types import FrameType
from typing import Any

import anyio
import structlog
from fastapi import FastAPI
from pydantic import BaseModel

from service.app import create_app
from service.auth.feature import AUTH
from service.feature import Feature, settings_of
from service.http.gate import Router
from service.naming import Names
from service.principal import CurrentPrincipal
from service.settings import load
from tests.support.api.environments import DEVELOPMENT, NO_DATABASE
from tests.support.idp.issuer import CLIENT_ID, Issuer, SigningKey

Trace = Callable[[FrameType, str, object], Any]
REQUESTS, ROUNDS = 400, 5


class Caller(BaseModel):
    """As users' handlers answer: a model."""

    tenant: str


async def handler(principal: CurrentPrincipal) -> Caller:
    return Caller(tenant=principal.tenant)


@dataclass(frozen=True)
class Size:
    """How much there is of everything."""

    routes: int
    issuers: int
    tenants: int


SMALL, LARGE = Size(routes=10, issuers=2, tenants=10), Size(routes=100, issuers=50, tenants=500)


class World:
    """An application of a size, with a token of each tenant, all of them remembered."""

    def __init__(self, app: FastAPI, size: Size, tokens: Sequence[str]) -> None:
        self.app = app
        self.paths = [f"/api/v1/flat/{number}/x" for number in range(size.routes)]
        self.tokens = [b"Bearer " + token.encode() for token in tokens]

    async def ask(self, path: str, token: bytes) -> int:
        """One request, past the server."""
        status = 0

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "state": {},
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "headers": [(b"host", b"127.0.0.1:8000"), (b"authorization", token)],
        }
        await self.app(scope, receive, send)
        return status

    async def round(self, offset: int = 0) -> float:
        """Processor seconds of requests at every route by callers of every tenant in turn."""
        asked = list(zip(islice(cycle(self.paths), offset, offset + REQUESTS), self._turns(offset), strict=False))
        begun = time.process_time()
        for path, token in asked:
            await self.ask(path, token)
        return time.process_time() - begun

    def _turns(self, offset: int) -> Sequence[bytes]:
        return list(islice(cycle(self.tokens), offset, offset + REQUESTS))

    async def operations(self) -> int:
        """Instructions of Python that one request takes: at the last route, by the caller of the last tenant."""
        counted = 0

        def count(frame: FrameType, event: str, argument: object) -> Trace:
            nonlocal counted
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
            counted += event == "opcode"
            return count

        fewest = sys.maxsize  # other tasks of the loop may have a turn in between
        before = sys.gettrace()
        for _ in range(5):
            counted = 0
            sys.settrace(count)
            try:
                status = await self.ask(self.paths[-1], self.tokens[-1])
            finally:
                sys.settrace(before)
            assert status == 200
            fewest = min(fewest, counted)
        return fewest


@asynccontextmanager
async def world(issuer: Issuer, size: Size) -> AsyncIterator[World]:
    router = Router(prefix="/api/v1/flat")
    for number in range(size.routes):
        router.get(f"/{number}/{{name}}", operation_id=f"flat_{number}")(handler)
    features = (AUTH, Feature(name="flat", routers=(router,)))
    providers = {
        f"IDP__P{number}__{name}": value
        for number in range(size.issuers)
        for name, value in (
            ("KIND", "oidc"),
            ("ISSUER", f"{issuer.url}/{number}"),
            ("JWKS_URL", f"{issuer.url}/keys"),
            ("AUDIENCE", "api"),
        )
    }
    environment = {**DEVELOPMENT, **providers, "DATABASE_URL": NO_DATABASE, "DATABASE_SECRET_ID": ""}
    settings = load(environment, settings_of(features))
    app = create_app(settings, features, names=Names("flat"), title="Flat")
    tokens = [
        issuer.token(
            f"tenant-{number}",
            f"user-{number}",
            key=issuer.key,
            iss=f"{issuer.url}/{number % size.issuers}",
            aud="api",
            client_id=CLIENT_ID,
        )
        for number in range(size.tenants)
    ]
    async with app.router.lifespan_context(app):
        made = World(app, size, tokens)
        for token in made.tokens:  # the first of each issuer waits for its keys, for as long as a request may
            for _ in range(60):
                if (status := await made.ask(made.paths[0], token)) != 503:
                    break
                await anyio.sleep(0.5)
            assert status == 200
        yield made


def test_a_request_costs_the_same_among_many_routes_issuers_tenants_and_callers(issuer: Issuer) -> None:
    async def compare() -> tuple[int, int, float]:
        async with world(issuer, SMALL) as small, world(issuer, LARGE) as large:
            fewer, more = await small.operations(), await large.operations()
            gc.collect()
            gc.disable()  # else a round pays for the objects of the other
            try:
                rounds = [(await small.round(n), await large.round(n * REQUESTS)) for n in range(ROUNDS)]
            finally:
                gc.enable()
            return fewer, more, min(b for _, b in rounds) / min(a for a, _ in rounds)

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    issuer.key = SigningKey("flat", curve=True)
    issuer.keys = [issuer.key.jwk()]
    try:
        fewer, more, ratio = anyio.run(compare)
    finally:
        structlog.configure(**before)
    assert more < 1.05 * fewer, "a request takes more instructions where there is more of everything"
    assert ratio < 1.5


def test_a_request_leaves_no_circle_of_objects_behind(issuer: Issuer) -> None:
    """What is in none is let go at once; looking for circles was a twentieth of a request."""

    async def left() -> int:
        async with world(issuer, SMALL) as small:
            gc.collect()
            gc.disable()
            try:
                for token in small.tokens:
                    assert await small.ask(small.paths[0], token) == 200
                return gc.collect()
            finally:
                gc.enable()

    assert anyio.run(left) == 0
