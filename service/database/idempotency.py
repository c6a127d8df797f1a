"""The same request is applied once: across replicas, crashes and lost answers.

draft-ietf-httpapi-idempotency-key-header: a caller names a request by a key of its own, and repeats it with the same
key. The key is stored in the transaction of the handler's work and committed with it, beside the answer: either both
are there, or the request was never applied.

    @router.post("", status_code=201, dependencies=[Idempotent])          # callers may send a key
    @router.post("", status_code=201, dependencies=[IdempotencyRequired])  # they must

What a handler refuses by an exception is rolled back with its key, and may be repeated. What it does outside of its
session (a message, a file, another service) is not covered.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from fastapi import Depends
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from service import errors
from service.database.failures import sqlstate
from service.database.session import TenantSession
from service.errors import ApiError, raises
from service.http.openapi import parameter
from service.http.settled import Instead, before_end, runs_last
from service.log import get_logger
from service.principal import CurrentPrincipal, Principal

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
MOST_CHARACTERS: Final = 255
MOST_BYTES: Final = 262_144  # of an answer that is kept
_HEADERS: Final = ("content-type", "content-language", "content-location", "etag", "last-modified", "link", "location")
_LOCK_NOT_AVAILABLE = "55P03"

# A String of Structured Fields (RFC 9651, section 3.3.3), as the draft has it, or without quotes, as most send it.
_KEY = re.compile(r'"(?P<text>(?:[ !#-\[\]-~]|\\["\\])+)"|(?P<bare>[!#-+\--:<-\[\]-~]+)')

# A row of more than a day is as good as none. A second request with a key waits here for the first, up to lock_timeout.
_CLAIM = text("""
    insert into app.idempotency_key as known (caller, key, request) values (:caller, :key, :request)
    on conflict (tenant_id, caller, key) do update
    set request = excluded.request, status = null, headers = null, body = null, created_at = now()
    where known.created_at <= now() - interval '1 day'
    returning true
    """)
_CLEAR = text("select app.forget_idempotency_keys(100)")
_FIND = text("select request, status, headers, body from app.idempotency_key where caller = :caller and key = :key")
_KEEP = text("""
    update app.idempotency_key set status = :status, headers = cast(:headers as jsonb), body = :body
    where caller = :caller and key = :key
    """)
_PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS, "pattern": r"^[\x20-\x7e]+$"},
    "description": (
        "Names this request, so that it is applied once however often it is sent: a string in quotes, such as a new "
        f"UUID for each request. Repeated within a day by the same caller it is answered as before, with {REPLAYED}."
    ),
    "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
}
_ROWS = (errors.KEY_MALFORMED, errors.KEY_OF_ANOTHER_REQUEST, errors.KEY_UNDER_WAY, errors.CONFLICT)

log = get_logger(__name__)


@runs_last
@parameter(_PARAMETER)
@raises(*_ROWS)
async def idempotent(request: Request, session: TenantSession, principal: CurrentPrincipal) -> None:
    """Apply a request that has a key once; as a dependency: ``Idempotent``.

    Raises:
        Instead: It was applied already; with the answer of then.
        ApiError: REQ_010 for a key that is none, REQ_011 for the key of another request, REQ_012 while the first is
            under way; REQ_008 when it was applied with an answer too big to be kept.
    """
    if HEADER in request.headers:
        await _once(request, session, principal)


@runs_last
@parameter({**_PARAMETER, "required": True})
@raises(*_ROWS)
async def idempotency_required(request: Request, session: TenantSession, principal: CurrentPrincipal) -> None:
    """Like ``idempotent``, for a route that takes no request without a key; as a dependency: ``IdempotencyRequired``.

    Raises:
        Instead: As ``idempotent``.
        ApiError: As ``idempotent``; REQ_010 without a key.
    """
    await _once(request, session, principal)


Idempotent = Depends(idempotent)
IdempotencyRequired = Depends(idempotency_required)


async def _once(request: Request, session: AsyncSession, principal: Principal) -> None:
    named = {"caller": _digest((principal.issuer, principal.subject)), "key": _key(request)}
    address = (request.method, request.scope["raw_path"], request.scope["query_string"])
    digest = _digest((*address, request.headers.get("content-type", ""), await request.body()))
    try:
        mine = (await session.execute(_CLAIM, {**named, "request": digest})).scalar()
    except DBAPIError as failure:
        if sqlstate(failure) == _LOCK_NOT_AVAILABLE:
            raise ApiError(errors.KEY_UNDER_WAY) from failure
        raise
    if not mine:
        raise Instead(await _answer_of_then(session, named, digest))
    await session.execute(_CLEAR)

    async def keep(answer: Response) -> None:
        if not isinstance(getattr(answer, "body", None), bytes):
            raise RuntimeError("an idempotent route must answer with a whole body: a stream cannot be given again")
        headers = {name: value for name, value in answer.headers.items() if name in _HEADERS}
        body = bytes(answer.body) if len(answer.body) <= MOST_BYTES else None
        kept = {"status": answer.status_code, "headers": json.dumps(headers), "body": body}
        await session.execute(_KEEP, {**named, **kept})

    before_end(request, keep)


async def _answer_of_then(session: AsyncSession, named: dict[str, Any], digest: bytes) -> Response:
    found = (await session.execute(_FIND, named)).one_or_none()
    if found is None:  # it expired while we asked
        raise ApiError(errors.KEY_UNDER_WAY)
    if found.request != digest:
        raise ApiError(errors.KEY_OF_ANOTHER_REQUEST)
    if found.body is None:
        raise ApiError(errors.CONFLICT, "answer_not_kept")
    log.info("request_replayed")
    return Response(found.body, found.status, {**found.headers, REPLAYED: "true"})


def _key(request: Request) -> str:
    values = request.headers.getlist(HEADER)
    match = _KEY.fullmatch(values[0].strip(" ")) if len(values) == 1 else None
    if match is None:
        raise ApiError(errors.KEY_MALFORMED, "malformed" if values else "missing")
    key = match["bare"] or re.sub(r"\\(.)", r"\1", match["text"])
    if len(key) > MOST_CHARACTERS:
        raise ApiError(errors.KEY_MALFORMED, "too_long")
    return key


def _digest(parts: Iterable[str | bytes]) -> bytes:
    """Of every part with its length: no two lists of parts are the same bytes."""
    found = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        found.update(len(raw).to_bytes(8) + raw)
    return found.digest()
