"""Files of the caller's tenant, and the keys of its programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends, Path
from pydantic import Base64Bytes, BaseModel, Field
from sqlalchemy import text
from starlette.responses import Response

from service import errors
from service.aws.tenant import TenantAws
from service.database.session import TenantSession
from service.errors import ApiError, raises
from service.http.described import LINE, counted, told
from service.http.gate import Router
from service.log import bind
from service.principal import Principal, requires
from service.running import part

from .errors import KEYS_OFF, NO_ADMINISTRATOR, STORAGE_DOWN, TOO_LARGE
from .keys import Keys
from .settings import FilesSettings
from .storage import Storage

router = Router(prefix="/api/v1/files", tags=["files"])


@dataclass(frozen=True, slots=True)
class Files:
    """What the routes need while the application runs.

    Attributes:
        settings: Of this feature.
        storage: Contents.
        keys: Makes keys; None where they are switched off.
    """

    settings: FilesSettings
    storage: Storage
    keys: Keys | None


Running = Annotated[Files, Depends(part(Files))]
Administrator = Annotated[Principal, requires(lambda caller: "admin" in caller.listed("roles"), NO_ADMINISTRATOR)]


_MOST = 1000  # files in one answer

Name = Annotated[str, Field(max_length=200, pattern=LINE, examples=["letter.pdf"])]
FileId = Annotated[UUID, Path(description="As in the list of files.")]
KeyId = Annotated[UUID, Path(description="As told when the key was made.")]


class NewFile(BaseModel):
    """What a caller brings."""

    name: Name
    content: Annotated[Base64Bytes, Field(json_schema_extra={"maxLength": 2**20, "examples": ["aGVsbG8="]})]


class File(BaseModel):
    """What is known of a file."""

    id: UUID
    name: Name
    bytes: Annotated[int, counted(50_000_000)]


class NewKey(BaseModel):
    """What a key is for."""

    name: Name


class Key(BaseModel):
    """A key that was just made: it is told this once."""

    id: UUID
    key: Annotated[str, told(46, "^fk_[A-Za-z0-9_-]{43}$")]


@router.get("")
async def list_files(session: TenantSession) -> Annotated[list[File], Field(max_length=_MOST)]:
    """The files of the caller's tenant."""
    rows = await session.execute(
        text("select id, name, bytes from app.file order by name limit :most"), {"most": _MOST}
    )
    return [File(id=row.id, name=row.name, bytes=row.bytes) for row in rows]


@router.post("", status_code=201)
@raises(STORAGE_DOWN, TOO_LARGE)
async def add_file(new: NewFile, files: Running, aws: TenantAws, session: TenantSession) -> File:
    """Keep a file."""
    if len(new.content) > files.settings.max_bytes:
        raise ApiError(TOO_LARGE)
    made = File(id=uuid4(), name=new.name, bytes=len(new.content))
    bind(file_id=str(made.id))
    # The content first: one without a row is seen by no caller, a row without its content would be.
    await files.storage.put(aws, made.id, new.content)
    await session.execute(text("insert into app.file (id, name, bytes) values (:id, :name, :bytes)"), made.model_dump())
    return made


@router.get("/{file_id}", response_class=Response)
@raises(errors.NOT_FOUND, STORAGE_DOWN)
async def read_file(file_id: FileId, files: Running, aws: TenantAws, session: TenantSession) -> Response:
    """The content of a file."""
    bind(file_id=str(file_id))
    found = await session.execute(text("select 1 from app.file where id = :id"), {"id": file_id})
    if found.one_or_none() is None:
        raise ApiError(errors.NOT_FOUND)
    content = await files.storage.get(aws, file_id)
    # Never shown by a browser as what the sender may have made it: it is saved.
    return Response(content, media_type="application/octet-stream", headers={"Content-Disposition": "attachment"})


@router.post("/keys", status_code=201)
@raises(KEYS_OFF, errors.SECRETS_DOWN)
async def add_key(_: Administrator, new: NewKey, files: Running, session: TenantSession) -> Key:
    """Make a key for a program of the caller's tenant; it may do everything that needs no role."""
    if files.keys is None:
        raise ApiError(KEYS_OFF)
    key, digest = await files.keys.make()
    row = await session.execute(
        text(
            "insert into app.file_key (name, digest, roles, ends_at) "
            "values (:name, :digest, '{}', now() + make_interval(days => :days)) returning id"
        ),
        {"name": new.name, "digest": digest, "days": files.settings.key_days},
    )
    return Key(id=row.scalar_one(), key=key)


@router.delete("/keys/{key_id}", status_code=204)
@raises(errors.NOT_FOUND)
async def end_key(_: Administrator, key_id: KeyId, session: TenantSession) -> None:
    """End a key; the next request with it is refused."""
    ended = await session.execute(text("delete from app.file_key where id = :id returning id"), {"id": key_id})
    if ended.one_or_none() is None:
        raise ApiError(errors.NOT_FOUND)
