"""From verified claims to the principal: one caller, one tenant, no fallback."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.auth import errors
from service.auth.providers.presets import ClaimPath, Provider
from service.auth.tokens.judge import VerifiedClaims
from service.errors import ApiError
from service.principal import Principal
from service.tenancy import TenantId

_NULL = object()  # stands for a claim that is null: no tenant fits it


def principal_of(verified: VerifiedClaims, claims: Mapping[str, Any] | None = None) -> Principal:
    """Read the tenant out of verified claims.

    Args:
        verified: What a strategy returned.
        claims: The same claims in the form in which they are held; None for a view of the verified ones.

    Raises:
        ApiError: 403 when no tenant is named, its form is wrong, two claims disagree, or the issuer may not speak
            for it.
    """
    provider = verified.provider
    tenant = tenant_of(verified.claims, provider)
    return Principal(
        tenant,
        verified.subject,
        verified.issuer,
        provider.name,
        verified.expires_at,
        verified.scopes,
        MappingProxyType(verified.claims) if claims is None else claims,
    )


def tenant_of(claims: Mapping[str, Any], provider: Provider) -> TenantId:
    """The tenant that a provider's claims name, if this provider may speak for it.

    Args:
        claims: Of a verified token, or of the provider's userinfo.
        provider: Whose claims.

    Raises:
        ApiError: AUTH_030 to AUTH_033.
    """
    named = [value for path in provider.tenant_paths if (value := _at(claims, path)) is not None]
    if not named:
        raise ApiError(errors.TENANT_MISSING)
    if any(value != named[0] for value in named):
        raise ApiError(errors.TENANT_AMBIGUOUS)
    if provider.tenant_map:
        tenant = provider.tenant_map.get(named[0]) if isinstance(named[0], str) else None
        if tenant is None:
            raise ApiError(errors.TENANT_FORBIDDEN, "not_mapped")
        return tenant
    try:
        tenant = TenantId.parse(named[0])
    except ValueError:
        raise ApiError(errors.TENANT_MALFORMED) from None
    if provider.tenants and tenant not in provider.tenants:
        raise ApiError(errors.TENANT_FORBIDDEN)
    return tenant


def _at(claims: Mapping[str, Any], path: ClaimPath) -> object:
    """The value at a path; None where it leads nowhere. A claim that is null is there, and malformed."""
    value: object = claims
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return _NULL if value is None else value
