"""Handlers that go wrong, on the table of the notes example: what a bug, an attack or an outage does to a request."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Annotated

from fastapi import Depends, Form
from sqlalchemy import text
from starlette.requests import Request

from examples.notes.routes import NewNote, Note, add_note
from service import errors
from service.database.idempotency import IdempotencyRequired
from service.database.session import TenantSession
from service.errors import ApiError
from service.feature import Feature
from service.http.gate import Router


async def not_locked(session: TenantSession) -> None:
    """Callers may lose what they were allowed to do."""
    if (await session.execute(text("select 1 from app.note where body = 'locked'"))).first():
        raise ApiError(errors.PERMISSION_DENIED)


router = Router(prefix="/api/v1/notes", tags=["faults"])


@router.post("/then-fail", status_code=201)
async def write_then_fail(note: NewNote, session: TenantSession) -> Note:
    await add_note(note, session)
    raise RuntimeError("a bug after the write")


@router.post("/broken-sql")
async def broken_sql(session: TenantSession) -> None:
    await session.execute(text("insert into app.note (body) values ('half done')"))
    await session.execute(text("select 1 / 0"))


@router.post("/stolen/{tenant}")
async def write_for_another(tenant: str, session: TenantSession) -> None:
    await session.execute(text("insert into app.note (tenant_id, body) values (:t, 'planted')"), {"t": tenant})


@router.post("/sleep/{seconds}")
async def sleep(seconds: float, session: TenantSession) -> None:
    await session.execute(text("select pg_sleep(:seconds)"), {"seconds": seconds})


@router.post("/own-timeout")
async def time_out(session: TenantSession) -> None:
    await session.execute(text("select 1"))
    raise TimeoutError("of another service that the handler asked")


@router.post("/thread/{seconds}")
async def sleep_in_a_thread(seconds: float) -> None:
    """What cannot be cancelled: a call that blocks."""
    await asyncio.shield(asyncio.to_thread(time.sleep, seconds))


@router.post("/inside")
async def inside() -> dict[str, int]:
    """What only the process itself can tell."""
    return {"tasks": len(asyncio.all_tasks()), "frozen": gc.get_freeze_count()}


@router.post("/read")
async def read(request: Request) -> int:
    return len(await request.body())


@router.post("/once", status_code=201, dependencies=[IdempotencyRequired])
async def write_slowly(note: NewNote, session: TenantSession, seconds: float = 0.0, size: int = 0) -> dict[str, str]:
    await add_note(note, session)
    await session.execute(text("select pg_sleep(:seconds)"), {"seconds": seconds})
    return {"padding": "x" * size}


@router.post("/once/form", dependencies=[IdempotencyRequired])
async def write_form(body: Annotated[str, Form()], session: TenantSession) -> Note:
    return await add_note(NewNote(body=body), session)


@router.post("/once/allowed", dependencies=[IdempotencyRequired])
async def write_as_allowed(note: NewNote, session: TenantSession, _: Annotated[None, Depends(not_locked)]) -> Note:
    return await add_note(note, session)


FAULTS = Feature(name="faults", routers=(router,))
