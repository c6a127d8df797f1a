"""The application, put together on one page: ``create_app(settings, features, names, title)``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.aws.tenant import TenantClients
from service.database.engine import Connector, create_engine
from service.database.probe import DatabaseProbe
from service.database.session import sessions
from service.feature import Core, Feature, Started, all_errors, checked, together
from service.http import answers, openapi, settled, swagger, table
from service.http.admission import Admission, Shares
from service.http.credentials import Strategies
from service.http.gate import refuse_ungated, vital_paths
from service.http.request import RequestMiddleware
from service.log import declare_fields, get_logger
from service.log_lines import quiet_loop
from service.naming import Names
from service.readiness import Check, Readiness
from service.running import Running
from service.settings import Settings, SettingsError

log = get_logger(__name__)


class _Application(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        """FastAPI's, from the first of ours on: what stands before it answers failures that ours has answered, hands
        them to a telemetry that is off, and bounds bodies that ours has bounded; each request would pay for it."""
        stack: Any = super().build_middleware_stack()
        while not isinstance(stack, RequestMiddleware):
            stack = stack.app
        return stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As FastAPI's, which asks a telemetry that is off."""
        if self.middleware_stack is None or scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)


def create_app(settings: Settings, features: Sequence[Feature], *, names: Names, title: str) -> FastAPI:
    """Put the service together; nothing is connected to before it starts.

    Args:
        settings: What ``service.settings.load`` returned.
        features: What the product is made of.
        names: What is named after the product.
        title: The product's name for people.

    Raises:
        RuntimeError: Two features get into one another's way.
    """
    features = checked(features)
    declare_fields(frozenset().union(*(f.log_fields for f in features)), strict=settings.development)
    aws = Aws(settings)
    secrets, tenant_clients = Secrets(aws), TenantClients(aws, settings)
    iam = aws if settings.database_iam_auth else None
    connector = Connector(settings, secrets, settings.database_secret, iam=iam)
    engine = create_engine(settings, connector, names)
    probe = DatabaseProbe(connector, engine, [f.migrations for f in features if f.migrations])
    core = Core(settings=settings, names=names, aws=aws, secrets=secrets, engine=engine)
    shares = Shares(running=settings.tenant_share, waiting=settings.tenant_limit - settings.tenant_share)
    admission = Admission(
        limit=settings.request_limit,
        most=settings.tenant_limit,
        vital=vital_paths(router for feature in features for router in feature.routers),
        credentials={"authorization", *(scheme.header for feature in features for scheme in feature.schemes)},
    )
    core_checks = {
        "database": Check(probe.database, decisive=True),
        "connections": Check(probe.connections, decisive=True),
        "migrations": Check(probe.migrations, decisive=True),
        "secrets": Check(secrets.state),  # a request that needs one tells; most need none
    }

    def state(started: Sequence[tuple[Feature, Started]] = ()) -> Running:
        brought = together(started, core_checks)
        return Running(
            settings=settings,
            sessions=sessions(engine),
            tenant_aws=tenant_clients,
            strategies=Strategies(brought.strategies),
            admission=admission,
            shares=shares,
            readiness=Readiness(brought.checks),
            parts={type(part): part for part in brought.parts},
            engine=engine,
            ages=brought.ages,
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        refuse_ungated(app)
        await probe.prepare()
        quiet_loop(asyncio.get_running_loop())
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            stack.push_async_callback(probe.close)
            try:
                started = [(f, await stack.enter_async_context(f.start(core))) for f in features if f.start]
            except SettingsError as refused:  # what the environment names cannot be used
                print(refused, file=sys.stderr)  # noqa: T201  for the person who starts it; the log has no texts
                raise
            app.state.running = state(started)
            await stack.enter_async_context(app.state.running.readiness.running())
            log.info("started", version=__version__, environment=settings.environment)
            yield
        log.info("stopped")

    app = _Application(
        title=title,
        version=__version__,
        servers=[{"url": settings.public_url, "description": f"This service ({settings.environment})"}],
        lifespan=lifespan,
        routes=[route for feature in features for router in feature.routers for route in router.routes],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # Off: it would hand the messages of exceptions, which may quote a row, to whatever exporter is configured.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.running = state()
    answers.install(app)
    settled.order(app)
    openapi.install(app, all_errors(features), [s for f in features for s in f.schemes], public=settings.docs_open)
    if settings.docs_open:
        swagger.install(app)
    table.install(app)
    app.add_middleware(
        RequestMiddleware,
        allowed_origins=settings.allowed_origins,
        allowed_headers=(*settings.allowed_headers, *(s.header for f in features for s in f.schemes)),
        local_origins=settings.development,
        max_body_bytes=settings.max_body_bytes,
    )
    return app
