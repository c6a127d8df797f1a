"""Notes of a tenant."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import text

from service import errors
from service.database.idempotency import Idempotent
from service.database.session import TenantSession
from service.errors import ApiError, raises
from service.http.gate import Router

router = Router(prefix="/api/v1/notes", tags=["notes"])


class NewNote(BaseModel):
    """What a caller writes."""

    body: str = Field(max_length=1000)
    slug: str | None = None


class Note(BaseModel):
    """What is kept."""

    id: UUID
    body: str


@router.get("")
async def list_notes(session: TenantSession) -> list[Note]:
    """All notes of the caller's tenant."""
    rows = await session.execute(text("select id, body from app.note order by body"))
    return [Note(id=row.id, body=row.body) for row in rows]


@router.post("", status_code=201, dependencies=[Idempotent])
@raises(errors.CONFLICT)
async def add_note(note: NewNote, session: TenantSession) -> Note:
    """Keep a note; a slug is unique within the tenant."""
    row = (
        await session.execute(
            text("insert into app.note (body, slug) values (:body, :slug) returning id, body"), note.model_dump()
        )
    ).one()
    return Note(id=row.id, body=row.body)


@router.get("/{note_id}")
@raises(errors.NOT_FOUND)
async def read_note(note_id: UUID, session: TenantSession) -> Note:
    """One note."""
    row = (await session.execute(text("select id, body from app.note where id = :id"), {"id": note_id})).one_or_none()
    if row is None:
        raise ApiError(errors.NOT_FOUND)
    return Note(id=row.id, body=row.body)
