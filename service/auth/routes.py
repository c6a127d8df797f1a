"""Authentication routes."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel

from service.auth.principal import CurrentPrincipal
from service.routing import Router

router = Router(prefix="/api/v1/auth", tags=["auth"])


class Caller(BaseModel):
    """Who the token's bearer is."""

    subject: str
    tenant: str
    issuer: str
    provider: str
    expires_at: datetime


@router.get("/validate")
async def validate(principal: CurrentPrincipal) -> Caller:
    """Who am I: answers for the token that was sent."""
    return Caller(
        subject=principal.subject,
        tenant=principal.tenant,
        issuer=principal.issuer,
        provider=principal.provider,
        expires_at=datetime.fromtimestamp(principal.expires_at, UTC),
    )
