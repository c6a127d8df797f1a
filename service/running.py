"""What the application holds while it runs: its one typed state, and how a route asks for a part of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from starlette.applications import Starlette
from starlette.requests import Request

from service.aws.tenant import TenantClients
from service.http.admission import Admission, Shares
from service.http.credentials import Strategies
from service.readiness import Readiness
from service.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the application holds while it runs: its one typed state.

    Attributes:
        settings: The environment, checked.
        sessions: Makes sessions that see one tenant's rows.
        tenant_aws: Gives AWS as one tenant may use it.
        strategies: Tell who calls.
        admission: Judges what may be begun.
        shares: How much each tenant uses.
        readiness: Tells whether this replica can serve.
        parts: What features brought, by type.
        engine: The pool of database connections.
        ages: Seconds since each provider's keys were fetched; None before the first time.
    """

    settings: Settings
    sessions: async_sessionmaker[AsyncSession]
    tenant_aws: TenantClients
    strategies: Strategies
    admission: Admission
    shares: Shares
    readiness: Readiness
    parts: Mapping[type, object]
    engine: AsyncEngine
    ages: Mapping[str, Callable[[], float | None]]


def running(app: Starlette) -> Running:
    """The state of an application."""
    state: Running = app.state.running
    return state


def part_of(app: Starlette, kind: type[T]) -> T:
    """What a feature brought.

    Args:
        app: The application, started.
        kind: Type of the part.

    Raises:
        RuntimeError: No feature of the application brings it.
    """
    try:
        found = running(app).parts[kind]
    except KeyError:
        raise RuntimeError(f"no feature in service/product.py starts a part of type {kind.__qualname__}") from None
    assert isinstance(found, kind)
    return found


def part(kind: type[T]) -> Callable[[Request], Awaitable[T]]:
    """A dependency that gives what a feature brought; see ``part_of``."""

    async def found(request: Request) -> T:
        return part_of(request.app, kind)

    return found
