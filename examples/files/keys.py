"""API keys: how a program presents itself that no identity provider knows. Each belongs to one tenant and ends.

A key is ``fk_`` and 256 random bits, shown once. The database keeps an HMAC of it, under a secret that it has not.
Whose a key is, is asked before any tenant is known, so that the tables are out of reach then: one function answers, to
callers who have the digest (migrations/f001_file.py).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets as randomness
from types import MappingProxyType
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import errors
from service.aws.secrets import Secrets
from service.database.tenantless import tenantless
from service.errors import ApiError
from service.http.credentials import Scheme
from service.principal import Principal
from service.settings import Secret
from service.tenancy import TenantId

from .errors import KEY_REFUSED

API_KEY: Final = Scheme(
    "files_key",
    "x-api-key",
    {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "Made by POST /api/v1/files/keys."},
    (KEY_REFUSED, errors.DATABASE_DOWN, errors.SECRETS_DOWN),
)
_FORM: Final = re.compile(r"fk_[A-Za-z0-9_-]{43}\Z")
_HOLDER: Final = text("select id, tenant_id, digest, roles, ends from app.file_key_holder(:digest)")


class Keys:
    """Makes keys and their digests.

    Args:
        secrets: Reads the secret.
        secret: The one that keys are digested with.
    """

    def __init__(self, secrets: Secrets, secret: Secret) -> None:
        self._secrets, self._secret = secrets, secret

    async def make(self) -> tuple[str, bytes]:
        """A new key, and its digest."""
        key = f"fk_{randomness.token_urlsafe(32)}"
        return key, _digest(await self._secrets.text(self._secret), key)

    async def digests(self, key: str) -> list[bytes]:
        """The digests that a key may be stored under: the secret may have been rotated since the key was made."""
        found = [await self._secrets.text(self._secret), await self._secrets.text(self._secret, previous=True)]
        return [_digest(secret, key) for secret in found if secret]


class ApiKeys:
    """The strategy for API keys.

    Args:
        keys: Their digests.
        engine: The pool of database connections.
    """

    scheme = API_KEY

    def __init__(self, keys: Keys, engine: AsyncEngine) -> None:
        self._keys, self._engine = keys, engine

    async def authenticate(self, credential: str) -> Principal | None:
        """See ``service.http.credentials.Strategy``."""
        if not _FORM.match(credential):
            raise ApiError(KEY_REFUSED, "form")
        for digest in await self._keys.digests(credential):
            async with tenantless(self._engine) as connection:
                # A search in an index takes longer the more of a digest is right. It tells nothing: who does not have
                # the secret cannot say which digest a key of theirs will have.
                found = (await connection.execute(_HOLDER, {"digest": digest})).one_or_none()
            if found is not None and hmac.compare_digest(bytes(found.digest), digest):
                return _principal(found.tenant_id, str(found.id), found.ends, found.roles)
        raise ApiError(KEY_REFUSED, "unknown")


def _principal(tenant: object, subject: str, ends: int, roles: list[str]) -> Principal:
    """A tenant that the database holds is checked like any other."""
    try:
        checked = TenantId.parse(tenant)
    except ValueError:
        raise ApiError(KEY_REFUSED, "tenant") from None
    claims = MappingProxyType({"roles": roles})
    return Principal(checked, subject, "urn:files:keys", API_KEY.name, ends, claims=claims)


def _digest(secret: str, key: str) -> bytes:
    return hmac.digest(secret.encode(), key.encode(), hashlib.sha256)
