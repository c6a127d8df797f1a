"""A row of the error registry as a client gets it: one shape, its headers, its place in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from service.errors import Error

RETRY_AFTER_SECONDS: Final = 5
CODE: Final = "signalbox.code"  # in a scope: of the row that its request was answered with
_REALM: Final = 'Bearer realm="api"'
_LINE: Final = r"^[\x20-\x7e]+$"  # a header field repeats it


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=40, description="Stable: what a program may branch on.")
    message: str = Field(pattern=_LINE, max_length=200, description="The kind of failure.")
    detail: str = Field(pattern=_LINE, max_length=400, description="What exactly was wrong.")


class ErrorResponse(BaseModel):
    """The one shape every error has."""

    error: ErrorBody


# The schema of an error, which service.http.openapi puts into the document.
SHAPE: Mapping[str, str] = {"$ref": f"#/components/schemas/{ErrorResponse.__name__}"}


def body(error: Error) -> dict[str, dict[str, str]]:
    """The JSON object that stands for a row."""
    return {"error": {"code": error.code, "message": error.message, "detail": error.detail}}


class _Answer(JSONResponse):
    """A row, sent; the scope then names it."""

    def __init__(self, error: Error, headers: Mapping[str, str]) -> None:
        super().__init__(body(error), error.status, headers=headers)
        self._code = error.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[CODE] = self._code
        await super().__call__(scope, receive, send)


def response(error: Error, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response that stands for a row.

    401 and 403 carry ``WWW-Authenticate`` (RFC 6750, section 3); 503 carries ``Retry-After`` (RFC 9110, 10.2.3),
    but not where the outcome is unknown.

    Args:
        error: The row.
        headers: More headers; they win over those set here.
    """
    extra: dict[str, str] = {}
    if error.status == 401 or error.oauth:
        parts = [_REALM]
        if error.oauth:
            parts += [f'error="{error.oauth}"', f'error_description="{error.detail}"']
        extra["WWW-Authenticate"] = ", ".join(parts)
    if error.status == 503 and error.repeatable:
        extra["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return _Answer(error, extra | dict(headers or {}))


def openapi_responses(errors: Iterable[Error]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI ``responses`` for the rows a route can answer, an example each.

    Args:
        errors: The rows, in the order in which they are to be listed.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        entry = found.setdefault(
            error.status,
            # No "model": FastAPI would build one for each status of each route at every start, and make this of it.
            {"description": "", "content": {"application/json": {"schema": {**SHAPE}, "examples": {}}}},
        )
        examples = entry["content"]["application/json"]["examples"]
        examples[error.code] = {"summary": error.detail, "value": body(error)}
        entry["description"] = "; ".join(f"{code}: {row['summary']}" for code, row in examples.items())
    return found
