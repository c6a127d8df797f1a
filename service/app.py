"""The application, put together on one page: ``create_app(settings)``."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import pkgutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service import __version__, errors
from service.auth.assembly import assemble
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.database.engine import Connector, create_engine
from service.database.probe import DatabaseProbe
from service.database.session import sessions
from service.errors import ApiError
from service.http import openapi, swagger
from service.http.gate import Router, allowed_methods, refuse_ungated
from service.http.request import RequestMiddleware
from service.log import get_logger, quiet_loop
from service.settings import Settings

log = get_logger(__name__)

_BY_STATUS = {
    400: errors.BAD_REQUEST,
    401: errors.CREDENTIALS_MISSING,
    404: errors.NOT_FOUND,
    405: errors.METHOD_NOT_ALLOWED,
    413: errors.TOO_LARGE,
    415: errors.UNSUPPORTED_MEDIA,
    422: errors.INVALID_REQUEST,
    431: errors.HEADERS_TOO_LARGE,
    503: errors.NOT_READY,
}


def create_app(settings: Settings, *, features: Sequence[str] = ("service",)) -> FastAPI:
    """Put the service together; nothing is connected to before it starts.

    Args:
        settings: What ``service.settings.load`` returned.
        features: Packages whose sub-packages are features: each with a ``routes`` module that holds a ``router``.
    """
    aws = Aws(settings)
    secrets = Secrets(aws)
    connector = Connector(settings, secrets, settings.database_secret, iam=aws if settings.database_iam_auth else None)
    engine = create_engine(settings, connector)
    probe = DatabaseProbe(connector)
    auth = assemble(settings, secrets, engine, aws)

    async def readiness() -> dict[str, str]:
        database, migrations = await probe.check()
        checks = {"database": database, "migrations": migrations} | auth.readiness()
        return checks | {"secrets": "ok" if secrets.failure is None else "unavailable"}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        refuse_ungated(app)
        await probe.prepare()
        quiet_loop(asyncio.get_running_loop())
        try:
            async with auth.running():
                log.info("started", version=__version__, environment=settings.environment)
                yield
        finally:
            await probe.close()
            await engine.dispose()
            log.info("stopped")

    routers = list(_routers(features))
    app = FastAPI(
        title="Signalbox",
        version=__version__,
        lifespan=lifespan,
        routes=[route for router in routers for route in router.routes],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # Off: it would hand the messages of exceptions, which may quote a row, to whatever exporter is configured.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.auth = auth
    app.state.authenticate = auth.authenticate
    app.state.readiness = readiness
    app.state.sessions = sessions(engine)
    app.add_middleware(
        RequestMiddleware,
        allowed_origins=settings.allowed_origins,
        local_origins=settings.development,
        max_body_bytes=settings.max_body_bytes,
    )
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    openapi.install(app, public=settings.docs_open)
    if settings.docs_open:
        swagger.install(app)
    return app


def _routers(features: Sequence[str]) -> Iterator[Router]:
    """The router of every feature, in the order of their names: adding a folder is all it takes."""
    for package in features:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if module.ispkg and importlib.util.find_spec(f"{module.name}.routes"):
                router: Router = importlib.import_module(f"{module.name}.routes").router
                yield router


async def _on_api_error(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, ApiError)
    level = log.warning if failure.error.status < 500 else log.error
    level("refused", code=failure.error.code, reason=failure.reason)
    return errors.response(failure.error, failure.headers)


async def _on_invalid(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, RequestValidationError)
    syntax = any(error.get("type") == "json_invalid" for error in failure.errors())
    return errors.response(errors.BAD_REQUEST if syntax else errors.INVALID_REQUEST)


async def _on_http_error(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)
    row = _BY_STATUS.get(failure.status_code, errors.BAD_REQUEST if failure.status_code < 500 else errors.INTERNAL)
    if row is not errors.METHOD_NOT_ALLOWED:
        return errors.response(row)
    return errors.response(row, {"Allow": allowed_methods(request.app, request.scope)})
