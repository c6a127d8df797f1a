"""Tokens that we issue for people whose provider has none for us: judged by the same gate as everybody's.

Every provider has an issuer of its own below our origin, so that (issuer, subject) names one user and one provider's
user can never be another's. The key set is that of ``/.well-known/jwks.json``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from service.auth import errors
from service.auth.issued.ended import EndedSessions
from service.auth.issued.signing import ALGORITHM, TYPE, TokenSigner
from service.auth.providers.presets import Preset, Provider
from service.auth.tokens.judge import MAX_LIFETIME, ExternalIssuers, UnverifiedToken, VerifiedClaims
from service.errors import ApiError
from service.tenancy import TenantId

if TYPE_CHECKING:
    from jose.backends.base import Key

_PRESET = Preset(
    algorithms=frozenset({ALGORITHM}),
    types=frozenset({TYPE}),
    required={"token_use": "access"},
    longest_subject=256,  # a persistent NameID's, SAML core 8.3.7
    tenant_paths=(("tenant_id",),),
)


@dataclass(frozen=True, slots=True)
class Session:
    """The provider's session that a token was issued in, as the token names it.

    Attributes:
        sid: The session.
        user: The person, in all their sessions at this provider.
    """

    sid: str
    user: str


class OwnIssuer:
    """One provider's users; a ``tokens.KeySource``.

    Args:
        name: Name of the provider.
        kind: Its kind.
        tenants: Which tenants it is bound to.
        signer: Signs and knows the keys.
        public_url: Our own origin: the audience, and the beginning of the issuer.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        tenants: frozenset[TenantId],
        *,
        signer: TokenSigner,
        public_url: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.provider = Provider(
            name=name,
            kind=kind,
            preset=_PRESET,
            issuer=f"{public_url}/api/v1/auth/{name}",
            client_ids=frozenset({name}),
            audience=public_url,
            tenant_paths=_PRESET.tenant_paths,
            tenants=tenants,
        )
        self._signer = signer
        self._now = now

    async def find(self, kid: str | None, algorithm: str, issuer: str) -> Key:
        """See ``tokens.KeySource.find``."""
        return self._signer.find(kid, algorithm)

    def holds(self, key: Key, kid: str | None, algorithm: str, issuer: str) -> bool:
        """See ``tokens.KeySource.holds``."""
        return self._signer.holds(kid)

    async def issue(self, subject: str, tenant: TenantId, session: Session, ends_at: float | None) -> tuple[str, int]:
        """A token for a user that the provider vouches for.

        Args:
            subject: The user, unique within the provider.
            tenant: One that the provider is bound to.
            session: The provider's session.
            ends_at: When the provider wants the session to end, in seconds since 1970.

        Returns:
            The token, and when it ends: after 60 minutes, or with the session.

        Raises:
            ApiError: SYS_009 when KMS does not sign.
        """
        now = int(self._now())
        expires_at = now + MAX_LIFETIME if ends_at is None else min(now + MAX_LIFETIME, int(ends_at))
        claims: Mapping[str, object] = {
            "iss": self.provider.issuer,
            "aud": self.provider.audience,
            "sub": subject,
            "client_id": self.provider.name,
            "token_use": "access",
            "tenant_id": tenant,
            "sid": session.sid,
            "uid": session.user,
            "iat": now,
            "exp": expires_at,
        }
        return await self._signer.sign(claims), expires_at


class IssuedTokens:
    """The strategy for them: what ``ExternalIssuers`` checks, and that the session was not ended.

    Args:
        issuers: One per provider.
        ended: What was ended.
    """

    def __init__(self, issuers: Sequence[OwnIssuer], ended: EndedSessions) -> None:
        self._gate = ExternalIssuers(issuers)
        self._ended = ended

    async def verify(self, token: UnverifiedToken) -> VerifiedClaims | None:
        """See ``tokens.Strategy.verify``."""
        verified = await self._gate.verify(token)
        if verified is None:
            return None
        claims = verified.claims
        names, begun_at = [str(claims.get("sid")), str(claims.get("uid"))], float(claims["iat"])

        def lasts() -> bool:
            return not any(self._ended.is_ended(name, begun_at) for name in names)

        if not lasts():
            raise ApiError(errors.SESSION_ENDED)
        return replace(verified, holds=lambda: verified.holds() and lasts())
