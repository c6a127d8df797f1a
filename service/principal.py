"""The caller of the running request: one principal, one tenant. The gate sets it before a protected handler runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import Depends

from service import errors
from service.errors import ApiError, Error, raises
from service.log import get_logger
from service.tenancy import TenantId

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    Attributes:
        tenant: Whose data the caller may see; checked by ``TenantId.parse`` and nothing else.
        subject: The user, unique within the issuer.
        issuer: Who vouches for both; (issuer, subject) names a user, an e-mail address never does.
        provider: Name of the provider in the settings, or of the strategy.
        expires_at: When the credential ends, in seconds since 1970; None for one that does not end by itself.
        scopes: What the credential permits.
        claims: What else the issuer says of the caller; verified, but in the issuer's form.

    Raises:
        TypeError: The tenant is a text that was never checked.
    """

    tenant: TenantId
    subject: str
    issuer: str
    provider: str
    expires_at: int | None
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.tenant, TenantId):
            raise TypeError("a principal's tenant is made by TenantId.parse")

    @property
    def user_id(self) -> str:
        """The caller as logs name them. An e-mail address says who a person is: a digest stands for it, the same in
        every line."""
        if "@" not in self.subject:
            return self.subject
        return "sha256:" + hashlib.sha256(f"{self.issuer}\n{self.subject}".encode()).hexdigest()[:32]

    def listed(self, claim: str) -> frozenset[str]:
        """The texts in a claim that is a list, such as ``roles`` or ``cognito:groups``.

        A claim of any other form lists nothing: ``"admin" in`` a text would be true of "no-admin" too.

        Args:
            claim: Its name.
        """
        value = self.claims.get(claim)
        return (
            frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list | tuple) else frozenset()
        )


current: ContextVar[Principal | None] = ContextVar("principal", default=None)


@raises(errors.CREDENTIALS_MISSING)
async def current_principal() -> Principal:
    """The caller of the running request; as a dependency: ``CurrentPrincipal``.

    Raises:
        ApiError: AUTH_020 on a public route, which has no caller.
    """
    principal = current.get()
    if principal is None:
        raise ApiError(errors.CREDENTIALS_MISSING)
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


def requires(allowed: Callable[[Principal], bool], row: Error = errors.PERMISSION_DENIED) -> Any:
    """A dependency that admits some callers only.

        Admin = Annotated[Principal, requires(lambda caller: "admin" in caller.listed("roles"))]

    Args:
        allowed: Decides by the principal; an exception of it is a mistake of ours and admits no caller.
        row: What the others are answered.
    """

    @raises(row)
    async def admitted(principal: CurrentPrincipal) -> Principal:
        if not allowed(principal):
            log.warning("permission_denied", audit=True, code=row.code)
            raise ApiError(row, "permission")
        return principal

    return Depends(admitted)
