"""What there is to gain: an ASGI callable, a Starlette route, FastAPI routes, and a plain SQLAlchemy session.

No token, no log line, no header: what a request costs before anything is done for it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.bench.servers.serve import serve

_BODY = b'{"subject":"alice","tenant":"acme"}'
_HEAD = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


class Caller(BaseModel):
    subject: str
    tenant: str


async def of_starlette(_: Request) -> JSONResponse:
    return JSONResponse({"subject": "alice", "tenant": "acme"})


starlette = Starlette(routes=[Route("/starlette", of_starlette)])
fastapi = FastAPI()
engine = create_async_engine(os.environ["BENCH_DATABASE"], pool_size=20, max_overflow=12)
sessions = async_sessionmaker(engine, expire_on_commit=False)


@fastapi.get("/dict")
async def of_dict():  # type: ignore[no-untyped-def]  # as most are written: no return type
    return {"subject": "alice", "tenant": "acme"}


@fastapi.get("/model")
async def of_model() -> Caller:
    return Caller(subject="alice", tenant="acme")


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions.begin() as made:
        yield made


@fastapi.get("/session")
async def of_session(found: Annotated[AsyncSession, Depends(session)]) -> list[str]:
    """As many rows as the service finds: of a table without policies, whose tenant the statement itself names."""
    rows = await found.execute(text("select body from app.plain_note where tenant_id = 'acme' order by body"))
    return [row.body for row in rows]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan" or scope["path"] in ("/dict", "/model", "/session"):
        await fastapi(scope, receive, send)
    elif scope["path"] == "/starlette":
        await starlette(scope, receive, send)
    else:
        await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
        await send({"type": "http.response.body", "body": _BODY})


if __name__ == "__main__":
    serve(app)
