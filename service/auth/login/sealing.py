"""Sealing: what only this service can read or make, in a cookie or a row, under a key that may rotate.

AES-256-GCM with a key derived from a secret of Secrets Manager. After a rotation, what was sealed under the secret
before it still opens, and a replica that has not heard of the new one reads the store again when it meets it.
"""

from __future__ import annotations

import hashlib
import os
import secrets as random
import time
from collections.abc import AsyncIterator, Callable

from service.auth.settings import SESSION_KEY_CHARACTERS
from service.aws.secrets import Secrets
from service.errors import SECRETS_DOWN, ApiError
from service.log import get_logger
from service.settings import Secret
from service.strict import base64url, unbase64url

_MARK = 4  # bytes that say which key: of its hash, so that they tell nothing about it
_NONCE = 12
REREAD_AFTER = 10.0  # seconds; a flood of forged cookies must not become a flood of reads

log = get_logger(__name__)


class SealBroken(Exception):  # noqa: N818  says what it is
    """Not sealed by us, for another purpose, or under a key that is gone."""


class _Key:
    def __init__(self, secret: str) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        raw = HKDF(SHA256(), 32, salt=None, info=b"signalbox sealing 1").derive(secret.encode())
        self.mark = hashlib.sha256(b"mark" + raw).digest()[:_MARK]
        self.cipher = AESGCM(raw)


class Sealer:
    """Seals and opens bytes.

    Args:
        secrets: Where the secret is.
        secret: Which; None (development only, the settings see to that) makes one that ends with the process.
        clock: Monotonic seconds.
    """

    def __init__(self, secrets: Secrets, secret: Secret | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._secrets = secrets
        self._named = secret
        self._own = random.token_urlsafe(48)
        self._clock = clock
        self._reread_at = float("-inf")
        self._keys: dict[str, _Key] = {}

    async def seal(self, content: bytes, purpose: bytes) -> bytes:
        """Encrypt and authenticate.

        Args:
            content: What to hide.
            purpose: Must be given again to open it: what was sealed as one thing never passes for another.

        Raises:
            ApiError: SYS_004 while the secret cannot be read, or is shorter than 32 characters.
        """
        key = self._key(await self._secret())
        nonce = os.urandom(_NONCE)
        return key.mark + nonce + key.cipher.encrypt(nonce, content, purpose)

    async def open(self, sealed: bytes, purpose: bytes) -> bytes:
        """Undo ``seal``.

        Raises:
            SealBroken: It is not ours, or not for this purpose.
            ApiError: SYS_004 while the secret cannot be read, or is shorter than 32 characters.
        """
        mark, nonce, rest = sealed[:_MARK], sealed[_MARK : _MARK + _NONCE], sealed[_MARK + _NONCE :]
        key = await self._find(mark)
        if key is None or len(nonce) < _NONCE:
            raise SealBroken
        from cryptography.exceptions import InvalidTag

        try:
            return key.cipher.decrypt(nonce, rest, purpose)
        except InvalidTag:
            raise SealBroken from None

    async def seal_text(self, content: bytes, purpose: bytes) -> str:
        """Like ``seal``, as text that fits into a cookie."""
        return base64url(await self.seal(content, purpose))

    async def open_text(self, text: str, purpose: bytes) -> bytes:
        """Undo ``seal_text``; raises like ``open``."""
        try:
            return await self.open(unbase64url(text), purpose)
        except ValueError:
            raise SealBroken from None

    async def _find(self, mark: bytes) -> _Key | None:
        async for secret in self._candidates():
            if len(secret) >= SESSION_KEY_CHARACTERS and (key := self._key(secret)).mark == mark:
                return key
        return None

    async def _candidates(self) -> AsyncIterator[str]:
        yield await self._secret()
        if self._named is None:
            return
        yield await self._secrets.text(self._named, previous=True)
        # Another replica may have sealed under a secret that is newer than what we hold.
        if self._clock() - self._reread_at >= REREAD_AFTER:
            self._reread_at = self._clock()
            for previous in (False, True):
                yield await self._secrets.text(self._named, refresh=True, previous=previous)

    async def _secret(self) -> str:
        if self._named is None:
            return self._own
        secret = await self._secrets.text(self._named)
        if len(secret) < SESSION_KEY_CHARACTERS:
            log.error(
                "session_key_too_short",
                reason=f"{len(secret)} characters, at least {SESSION_KEY_CHARACTERS} are needed",
            )
            raise ApiError(SECRETS_DOWN, "session_key_too_short")
        return secret

    def _key(self, secret: str) -> _Key:
        if secret not in self._keys:
            if len(self._keys) >= 4:
                self._keys.clear()
            self._keys[secret] = _Key(secret)
        return self._keys[secret]
