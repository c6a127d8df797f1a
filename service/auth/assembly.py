"""The parts of this domain, put together once per process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from service import swagger
from service.auth import providers
from service.auth.discovery import Discovery
from service.auth.keys import IssuerKeys
from service.auth.login import Logins, OneTime, SignIn
from service.auth.oidc import OidcSignIn
from service.auth.principal import Principal, principal_of
from service.auth.sealing import Sealer
from service.auth.tokens import Authenticator, ExternalIssuers
from service.secrets import Secrets
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Auth:
    """What the application needs of this domain.

    Attributes:
        keys: Key set per issuer.
        authenticator: Judges bearer tokens.
        logins: Logins under way.
        sign_ins: How to sign in, by provider name, in the order of the settings.
        client: For requests to providers.
    """

    keys: tuple[IssuerKeys, ...]
    authenticator: Authenticator
    logins: Logins
    sign_ins: Mapping[str, SignIn]
    client: httpx.AsyncClient

    async def authenticate(self, token: str) -> Principal:
        """From the text of a bearer token to the principal.

        Raises:
            ApiError: 401, 403, or 503 while the issuer's keys cannot be had.
        """
        return principal_of(await self.authenticator.verify(token))

    def readiness(self) -> dict[str, str]:
        """A check per issuer: ``ok``, ``stale`` (the provider is down, its last keys still serve), ``unavailable``."""
        return {f"signing_keys_{entry.provider.name}": _state(entry) for entry in self.keys}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the key sets fresh for the duration of the block."""
        refreshers = [asyncio.create_task(entry.keep_fresh()) for entry in self.keys]
        try:
            yield
        finally:
            for task in refreshers:
                task.cancel()
            await asyncio.gather(*refreshers, return_exceptions=True)
            await self.client.aclose()


def assemble(settings: Settings, secrets: Secrets, engine: AsyncEngine) -> Auth:
    """Put the parts together; nothing is connected to yet.

    Args:
        settings: The providers.
        secrets: Where client secrets and the key of the cookies are.
        engine: For login codes.
    """
    # No redirects, no cookies: every address it asks is in the settings or in a document that was checked.
    client = httpx.AsyncClient(timeout=5.0, follow_redirects=False, limits=httpx.Limits(max_connections=20))
    keys = []
    discoveries: dict[str, Discovery] = {}
    for provider in providers.configured(settings):
        discoveries[provider.name] = Discovery(provider, client)
        keys.append(IssuerKeys(provider, client, discovery=discoveries[provider.name]))
    authenticator = Authenticator([ExternalIssuers(keys)])
    logins = Logins(
        Sealer(secrets, settings.session_secret_id),
        OneTime(engine),
        public_url=settings.public_url,
        targets=settings.allowed_origins,
        own_page=settings.public_url + swagger.PATH if settings.docs_open else None,
    )
    sign_ins: dict[str, SignIn] = {}
    auth = Auth(tuple(keys), authenticator, logins, sign_ins, client)
    for entry in keys:
        if entry.provider.client_id is not None:
            sign_ins[entry.provider.name] = OidcSignIn(
                entry.provider,
                client=client,
                discovery=discoveries[entry.provider.name],
                keys=entry,
                secrets=secrets,
                admit=auth.authenticate,
                public_url=settings.public_url,
            )
    return auth


def _state(keys: IssuerKeys) -> str:
    if not keys.ready:
        return "unavailable"
    return "ok" if keys.failure is None else "stale"
