"""The usual recipe: three middleware classes, PyJWKClient in a dependency, an access line through structlog."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import jwt
import structlog
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware

from tests.bench.servers.serve import serve

structlog.configure(processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()])
log = structlog.get_logger()
keys = jwt.PyJWKClient(os.environ["BENCH_JWKS"])
Next = Callable[[Request], Awaitable[Response]]


class Caller(BaseModel):
    subject: str
    tenant: str


class RequestId(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Next) -> Response:
        request_id = request.headers.get("x-request-id") or uuid.uuid4().hex
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = await call_next(request)
        response.headers["X-Request-ID"] = request_id
        return response


class SecurityHeaders(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Next) -> Response:
        response = await call_next(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        return response


class AccessLog(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Next) -> Response:
        started = time.perf_counter()
        response = await call_next(request)
        took = round((time.perf_counter() - started) * 1000, 2)
        log.info("request", method=request.method, status=response.status_code, duration_ms=took)
        return response


def caller(found: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    try:
        key = keys.get_signing_key_from_jwt(found.credentials).key
        claims: dict[str, Any] = jwt.decode(
            found.credentials, key, ["RS256"], issuer=os.environ["BENCH_ISSUER"], options={"verify_aud": False}
        )
    except jwt.PyJWTError as failure:
        raise HTTPException(401) from failure
    return claims


async def caller_in_loop(found: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    """Without the thread that a plain function would be given: what a careful author writes."""
    return caller(found)


app = FastAPI()
app.add_middleware(
    CORSMiddleware,
    allow_origins=[os.environ["BENCH_ORIGIN"]],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)
app.add_middleware(SecurityHeaders)
app.add_middleware(AccessLog)
app.add_middleware(RequestId)


@app.get("/who")
async def who(claims: Annotated[dict[str, Any], Depends(caller_in_loop)]) -> Caller:
    return Caller(subject=claims["sub"], tenant=claims["tenant_id"])


if __name__ == "__main__":
    serve(app)
