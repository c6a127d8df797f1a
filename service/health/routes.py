"""Health routes: liveness touches nothing, readiness answers in under 100 ms whatever hangs, status names the build."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse

from service import __version__, errors
from service.http.described import counted, told
from service.http.entrance import CLOSED
from service.http.gate import Router
from service.http.shape import RETRY_AFTER_SECONDS, ErrorBody, body, openapi_responses
from service.readiness import State
from service.running import running

router = Router(vital=True, prefix="/api/v1/health", tags=["health"])
_STARTED = time.monotonic()


class Live(BaseModel):
    """The process serves."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """What this replica depends on; which provider, and why not, is in the log."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok", "checks": {"database": "ok"}}]})

    status: Literal["ok"] = "ok"
    checks: dict[str, State]


class NotReady(BaseModel):
    """As ``Ready``, beside the error."""

    error: ErrorBody
    checks: dict[str, State]


class Status(BaseModel):
    """Which build runs where, and since when."""

    version: Annotated[str, told(64)]
    commit: Annotated[str, told(40)]
    environment: Annotated[str, told(64)]
    uptime_seconds: Annotated[int, counted(2**53)]


_NOT_READY = openapi_responses([errors.NOT_READY, errors.STARTING])
_NOT_READY[503]["model"] = NotReady
for _example in _NOT_READY[503]["content"]["application/json"]["examples"].values():
    _example["value"]["checks"] = {"database": "unavailable"}


@router.get("/live")
async def check_liveness() -> Live:
    """Answer while the process serves."""
    return Live()


@router.get("/ready", response_model=Ready, responses=_NOT_READY)
async def check_readiness(request: Request) -> Any:
    """Whether to send requests here."""
    report = running(request.app).readiness.report()
    refusal = errors.STARTING if CLOSED in request.scope else errors.NOT_READY
    if report.ready and refusal is errors.NOT_READY:
        return {"status": "ok", "checks": report.states}
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return JSONResponse({**body(refusal), "checks": dict(report.states)}, 503, headers=headers)


@router.get("/status")
async def read_status(request: Request) -> Status:
    """Which build this is."""
    return Status(
        version=__version__,
        # Railway names the commit it built from: docs.railway.com/reference/variables
        commit=os.environ.get("RAILWAY_GIT_COMMIT_SHA", "unknown")[:40],
        environment=running(request.app).settings.environment,
        uptime_seconds=int(time.monotonic() - _STARTED),
    )
