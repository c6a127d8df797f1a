"""Notes of a tenant."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path
from pydantic import BaseModel, Field
from sqlalchemy import text

from service import errors
from service.database.idempotency import Idempotent
from service.database.session import TenantSession
from service.errors import ApiError, raises
from service.http.described import PLAIN
from service.http.gate import Router

router = Router(prefix="/api/v1/notes", tags=["notes"])


_MOST = 1000  # notes in one answer

Body = Annotated[str, Field(max_length=1000, pattern=PLAIN, examples=["Call back on Monday"])]
Slug = Annotated[str, Field(max_length=100, pattern=PLAIN, examples=["call-back"])]
NoteId = Annotated[UUID, Path(description="As in the list of notes.")]


class NewNote(BaseModel):
    """What a caller writes."""

    body: Body
    slug: Slug | None = None


class Note(BaseModel):
    """What is kept."""

    id: UUID
    body: Body


@router.get("")
async def list_notes(session: TenantSession) -> Annotated[list[Note], Field(max_length=_MOST)]:
    """The notes of the caller's tenant."""
    rows = await session.execute(text("select id, body from app.note order by body limit :most"), {"most": _MOST})
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
async def read_note(note_id: NoteId, session: TenantSession) -> Note:
    """One note."""
    row = (await session.execute(text("select id, body from app.note where id = :id"), {"id": note_id})).one_or_none()
    if row is None:
        raise ApiError(errors.NOT_FOUND)
    return Note(id=row.id, body=row.body)
