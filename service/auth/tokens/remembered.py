"""From the text of a bearer token to the principal; at once for one that was just found good, as most are.

Remembered is the principal, by the token's digest, until the token ends or its key leaves the set; the settings cannot
change under it, because they are those of the process. The claims are held as the text that was signed, and read when
they are asked for: parsed, they would take several times its size.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from service.auth import errors
from service.auth.tokens.claims import LEEWAY
from service.auth.tokens.judge import Authenticator
from service.auth.tokens.principal import principal_of
from service.auth.tokens.unverified import MAX_TOKEN_BYTES
from service.errors import ApiError
from service.principal import Principal
from service.strict import json_object

_LONGEST: Final = 4096  # characters of a token that is remembered: with it, the table's memory is bounded
_READ: Final = 1024  # claims that are held parsed, because they were asked for


class RememberedTokens:
    """Judges bearer tokens, and remembers who came with them.

    Args:
        authenticator: Judges a token that is not remembered.
        remembered: How many are; about 2 kB each. 0 judges every token anew.
        now: Seconds since 1970.
    """

    def __init__(self, authenticator: Authenticator, *, remembered: int, now: Callable[[], float] = time.time) -> None:
        self._authenticator = authenticator
        self._most = remembered
        self._now = now
        # In the order of the last use. A dict would look for its first entry past all that were taken from its front.
        self._admitted: OrderedDict[bytes, tuple[Principal, int, Callable[[], bool]]] = OrderedDict()

    def known(self, token: bytes) -> Principal | None:
        """The principal of a bearer token that is remembered.

        Args:
            token: As it was sent.
        """
        return self._held(_digest(token)) if len(token) <= _LONGEST else None

    def _held(self, digest: bytes) -> Principal | None:
        found = self._admitted.get(digest)
        if found is None:
            return None
        principal, ends_at, holds = found
        if ends_at > self._now() and holds():
            self._admitted.move_to_end(digest)
            return principal
        del self._admitted[digest]
        return None

    async def admit(self, text: str) -> Principal:
        """The principal of a bearer token.

        Raises:
            ApiError: 401, 403, or 503 while the issuer's keys cannot be had.
        """
        if len(text) > MAX_TOKEN_BYTES:
            raise ApiError(errors.TOKEN_MALFORMED)
        digest = _digest(text.encode("utf-8", "surrogatepass"))
        if (known := self._held(digest)) is not None:
            return known
        verified = await self._authenticator.verify(text)
        if not self._most or len(text) > _LONGEST:
            return principal_of(verified)
        principal = principal_of(verified, _Claims(verified.text))
        self._make_room()
        self._admitted[digest] = principal, verified.expires_at + LEEWAY, verified.holds
        return principal

    def _make_room(self) -> None:
        """Forget what has ended among those that were not used for longest, and one of them where the table is full."""
        now = self._now()
        while self._admitted:
            digest, (_, ends_at, _) = next(iter(self._admitted.items()))
            if ends_at > now and len(self._admitted) < self._most:
                return
            del self._admitted[digest]


def _digest(token: bytes) -> bytes:
    """What a token is kept under: the table is no store of tokens, and comparing digests tells nothing about them."""
    return hashlib.sha256(token).digest()


class _Claims(Mapping[str, Any]):
    """Claims of a token that was found good, as their text."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    def __getitem__(self, name: str) -> Any:
        return _read(self._text)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_read(self._text))

    def __len__(self) -> int:
        return len(_read(self._text))


@lru_cache(maxsize=_READ)
def _read(text: bytes) -> Mapping[str, Any]:
    return MappingProxyType(json_object(text))
