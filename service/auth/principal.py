"""From verified claims to the principal: one caller, one tenant, no fallback."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from service import errors
from service.auth.tokens import VerifiedClaims
from service.errors import ApiError
from service.tenancy import TenantId


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    Attributes:
        tenant: Whose data the caller may see.
        subject: The user, unique within the issuer.
        issuer: Who vouches for both; (issuer, subject) names a user, an e-mail address never does.
        provider: Name of the provider in the settings.
        expires_at: When the token ends, in seconds since 1970.
    """

    tenant: TenantId
    subject: str
    issuer: str
    provider: str
    expires_at: int


def principal_of(verified: VerifiedClaims) -> Principal:
    """Read the tenant out of verified claims.

    Args:
        verified: What a strategy returned.

    Raises:
        ApiError: 403 when no tenant is named, its form is wrong, two claims disagree, or the issuer may not speak
            for it.
    """
    provider = verified.provider
    named = [verified.claims[name] for name in provider.tenant_claims if name in verified.claims]
    if not named:
        raise ApiError(errors.TENANT_MISSING)
    if any(value != named[0] for value in named):
        raise ApiError(errors.TENANT_AMBIGUOUS)
    try:
        tenant = TenantId.parse(named[0])
    except ValueError:
        raise ApiError(errors.TENANT_MALFORMED) from None
    if provider.tenants and tenant not in provider.tenants:
        raise ApiError(errors.TENANT_FORBIDDEN)
    return Principal(tenant, verified.subject, provider.issuer, provider.name, verified.expires_at)


# Set by the request middleware before a protected handler runs.
current: ContextVar[Principal | None] = ContextVar("signalbox_principal", default=None)


async def current_principal() -> Principal:
    """The caller of the running request; as a dependency: ``CurrentPrincipal``."""
    principal = current.get()
    if principal is None:  # a public route asked for it
        raise ApiError(errors.CREDENTIALS_MISSING)
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]
