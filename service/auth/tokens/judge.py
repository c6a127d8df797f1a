"""From the text of a bearer token to claims that may be believed.

Structure first, signature second, claims last; one registry row per cause. ``VerifiedClaims`` can be made here only,
so a function that takes it cannot be handed claims that no strategy has checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from service.auth import errors
from service.auth.providers.presets import Provider
from service.auth.tokens.claims import audiences, check_subject, check_times, scopes_of
from service.auth.tokens.unverified import UnverifiedToken as UnverifiedToken
from service.errors import ApiError

if TYPE_CHECKING:
    from jose.backends.base import Key

MAX_LIFETIME = 3600  # seconds between iat and exp
_SEAL = object()


class KeySource(Protocol):
    """Where the keys of a provider's tokens are: ``IssuerKeys``, or our own."""

    @property
    def provider(self) -> Provider: ...

    async def find(self, kid: str | None, algorithm: str, issuer: str) -> Key:
        """The key that a header names, for tokens of an issuer; ``ApiError`` AUTH_005, SYS_003 or SYS_013 if none."""

    def holds(self, key: Key, kid: str | None, algorithm: str, issuer: str) -> bool:
        """Whether ``find`` would still give that key."""


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """Claims whose signature, issuer, audience, kind and times were checked.

    Attributes:
        provider: Who vouches for them.
        issuer: ``iss``; for a provider of many organisations, that of the one.
        subject: The user, unique within the issuer.
        expires_at: ``exp`` in seconds since 1970.
        scopes: What the token permits; empty when the claim has another form than the provider's.
        claims: All of them.
        text: The same as they were written.
        holds: Whether the key that signed them is still one.
    """

    provider: Provider
    issuer: str
    subject: str
    expires_at: int
    scopes: frozenset[str]
    claims: Mapping[str, Any]
    text: bytes
    holds: Callable[[], bool]
    seal: object

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("VerifiedClaims are made by a validation strategy")


class Strategy(Protocol):
    """One way to validate a token; a project adds its own to the list in ``auth/feature.py``."""

    async def verify(self, token: UnverifiedToken) -> VerifiedClaims | None:
        """Judge a token.

        Returns:
            Its claims, or None when the token is not of this strategy's issuers.

        Raises:
            ApiError: The token is of this strategy's issuers and is refused.
        """


class ExternalIssuers:
    """Bearer JWTs of the configured identity providers.

    Args:
        keys: The key sets, one per provider.
        now: Seconds since 1970.
        reached: Told the name of each rule before it is applied, so that a check can say which one refused.
    """

    def __init__(
        self,
        keys: Sequence[KeySource],
        now: Callable[[], float] = time.time,
        *,
        reached: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._keys = {entry.provider.issuer: entry for entry in keys}
        self._many = tuple(entry for entry in keys if "{tenantid}" in entry.provider.issuer)
        self._now = now
        self._reached = reached

    async def verify(self, token: UnverifiedToken) -> VerifiedClaims | None:
        """See ``Strategy.verify``."""
        reached = self._reached
        reached("issuer")
        keys = self.source(token.claims)
        if keys is None:
            return None
        provider, preset, claims = keys.provider, keys.provider.preset, token.claims
        reached("signature")
        holds = await check_signature(token, keys, preset.types)
        reached("kind")
        check_accepted(token, provider)
        reached("subject")
        subject = check_subject(claims, preset.subject_claim, preset.longest_subject)
        reached("audience")
        check_audience(claims, provider)
        reached("times")
        expires_at = check_times(claims, self._now(), MAX_LIFETIME, preset.backdated)
        scopes = scopes_of(claims.get(preset.scope_claim))
        return VerifiedClaims(provider, claims["iss"], subject, expires_at, scopes, claims, token.text, holds, _SEAL)

    def source(self, claims: Mapping[str, Any]) -> KeySource | None:
        """The keys of the issuer that claims name; None when it is not configured."""
        issuer = claims.get("iss")
        if not isinstance(issuer, str):
            return None
        keys = self._keys.get(issuer)
        if keys is not None and keys not in self._many:
            return keys
        return next((entry for entry in self._many if entry.provider.issuer_of(claims) == issuer), None)


async def check_signature(
    token: UnverifiedToken, keys: KeySource, types: frozenset[str], algorithms: frozenset[str] | None = None
) -> Callable[[], bool]:
    """Verify a signature with the one key that the header names (RFC 8725, sections 3.1 and 3.3).

    Args:
        token: Of this provider's issuer, as far as it says: the caller has compared ``iss``.
        keys: Of this provider.
        types: ``typ`` values that this kind of token may have.
        algorithms: What it may be signed with; None means whatever the provider's tokens may be.

    Returns:
        Tells whether the key is still in the set.

    Raises:
        ApiError: AUTH_003, AUTH_005, AUTH_006 or AUTH_008; SYS_003 or SYS_013 while no keys can be had.
    """
    allowed = keys.provider.preset.algorithms if algorithms is None else algorithms
    algorithm, kid, kind = token.header.get("alg"), token.header.get("kid"), token.header.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise ApiError(errors.TOKEN_HEADER, "algorithm")
    if not (kid is None or (isinstance(kid, str) and 0 < len(kid) <= 256)):
        raise ApiError(errors.TOKEN_HEADER, "kid")
    if not isinstance(kind, str) or kind.lower() not in types:
        raise ApiError(errors.TOKEN_KIND, "typ")
    if not keys.provider.preset.refused_headers.isdisjoint(token.header):
        raise ApiError(errors.TOKEN_KIND, "header")
    issuer = str(token.claims["iss"])
    key = await keys.find(kid, algorithm, issuer)
    try:
        genuine = key.verify(token.signing_input, token.signature) is True
    except Exception:  # a signature of the wrong length makes some backends raise instead of answer
        genuine = False
    if not genuine:
        raise ApiError(errors.TOKEN_SIGNATURE)
    return partial(keys.holds, key, kid, algorithm, issuer)


def check_accepted(token: UnverifiedToken, provider: Provider) -> None:
    """Whether this is the kind of token that is a bearer token here, and a plain one.

    Raises:
        ApiError: AUTH_008 or AUTH_012.
    """
    preset = provider.preset
    check_kind(token.claims, preset.required)
    if not preset.refused.isdisjoint(token.claims):
        raise ApiError(errors.TOKEN_KIND, "id_token")
    if "cnf" in token.claims:  # we refuse it: it is bound to a key that we do not check
        raise ApiError(errors.TOKEN_BOUND)


def check_kind(claims: Mapping[str, Any], required: Mapping[str, str]) -> None:
    """Tell one kind of a provider's tokens from the others (RFC 8725, section 3.12).

    Raises:
        ApiError: AUTH_008.
    """
    for name, expected in required.items():
        if claims.get(name) != expected:
            raise ApiError(errors.TOKEN_KIND, name)


def check_audience(claims: Mapping[str, Any], provider: Provider) -> None:
    """That the token is for us; the settings guarantee that at least one of the two rules applies.

    Raises:
        ApiError: AUTH_007.
    """
    if provider.audience is not None and provider.audience not in audiences(claims):
        raise ApiError(errors.TOKEN_AUDIENCE, "aud")
    if provider.client_ids:
        names = provider.client_id_claims
        for name in [name for name in names if name in claims] or names[:1]:
            client = claims.get(name)
            if not isinstance(client, str) or client not in provider.client_ids:
                raise ApiError(errors.TOKEN_AUDIENCE, name)


class Authenticator:
    """Asks each strategy in turn; a token that none of them knows is refused.

    Args:
        strategies: In the order in which they are asked.
    """

    def __init__(self, strategies: Sequence[Strategy]) -> None:
        self._strategies = tuple(strategies)

    async def verify(self, text: str) -> VerifiedClaims:
        """Judge the text of a bearer token.

        Raises:
            ApiError: 401 with the cause, or 503 while the issuer's keys cannot be had.
        """
        token = UnverifiedToken.parse(text)
        for strategy in self._strategies:
            claims = await strategy.verify(token)
            if claims is not None:
                return claims
        raise ApiError(errors.TOKEN_ISSUER)
