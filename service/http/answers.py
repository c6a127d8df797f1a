"""One error shape, whatever raised: exceptions of ours, of the framework, of a parser."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service import errors
from service.errors import ApiError
from service.http import shape
from service.http.gate import allowed_methods
from service.log import get_logger

log = get_logger(__name__)

_BY_STATUS = {
    400: errors.BAD_REQUEST,
    401: errors.CREDENTIALS_MISSING,
    404: errors.NOT_FOUND,
    405: errors.METHOD_NOT_ALLOWED,
    408: errors.TIMED_OUT,
    413: errors.TOO_LARGE,
    415: errors.UNSUPPORTED_MEDIA,
    422: errors.INVALID_REQUEST,
    431: errors.HEADERS_TOO_LARGE,
    503: errors.NOT_READY,
}


def install(app: FastAPI) -> None:
    """Have every exception answered with a row of the registry.

    Args:
        app: The application.
    """
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)


async def _on_api_error(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, ApiError)
    level = log.warning if failure.error.status < 500 else log.error
    told = {} if failure.remedy is None else {"remedy": failure.remedy}
    level("refused", code=failure.error.code, reason=failure.reason, **told)
    return shape.response(failure.error, failure.headers)


async def _on_invalid(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, RequestValidationError)
    syntax = any(error.get("type") == "json_invalid" for error in failure.errors())
    return shape.response(errors.BAD_REQUEST if syntax else errors.INVALID_REQUEST)


async def _on_http_error(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)
    row = _BY_STATUS.get(failure.status_code, errors.BAD_REQUEST if failure.status_code < 500 else errors.INTERNAL)
    if row is not errors.METHOD_NOT_ALLOWED:
        return shape.response(row)
    return shape.response(row, {"Allow": allowed_methods(request.app, request.scope)})
