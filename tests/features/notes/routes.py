"""Notes of a tenant, written as a template user would write them."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import text

from service import errors
from service.database.session import TenantSession
from service.errors import ApiError, openapi_responses
from service.http.gate import Router

router = Router(prefix="/api/v1/notes", tags=["notes"])


class NewNote(BaseModel):
    body: str = Field(max_length=1000)
    slug: str | None = None


class Note(BaseModel):
    id: UUID
    body: str


@router.get("")
async def list_notes(session: TenantSession) -> list[Note]:
    rows = await session.execute(text("select id, body from app.note order by body"))
    return [Note(id=row.id, body=row.body) for row in rows]


@router.post("", status_code=201, responses=openapi_responses([errors.CONFLICT]))
async def add_note(note: NewNote, session: TenantSession) -> Note:
    row = (
        await session.execute(
            text("insert into app.note (body, slug) values (:body, :slug) returning id, body"), note.model_dump()
        )
    ).one()
    return Note(id=row.id, body=row.body)


@router.get("/{note_id}", responses=openapi_responses([errors.NOT_FOUND]))
async def read_note(note_id: UUID, session: TenantSession) -> Note:
    row = (await session.execute(text("select id, body from app.note where id = :id"), {"id": note_id})).one_or_none()
    if row is None:
        raise ApiError(errors.NOT_FOUND)
    return Note(id=row.id, body=row.body)


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
