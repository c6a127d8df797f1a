"""From the text of a bearer token to claims that may be believed.

Structure first, signature second, claims last; one registry row per cause. ``VerifiedClaims`` can be made here only,
so a function that takes it cannot be handed claims nobody checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service import errors
from service.auth.keys import IssuerKeys
from service.auth.providers import Provider
from service.auth.strict import json_object, unbase64url
from service.errors import ApiError

MAX_TOKEN_BYTES = 16_384
MAX_LIFETIME = 3600  # seconds between iat and exp
LEEWAY = 30  # seconds of clock difference between us and the issuer
_MAX_TIME = 1 << 40  # a later "exp" is in milliseconds or nonsense
_MAX_SUBJECT = 255  # OpenID Connect Core 1.0, section 2
# Keys from the token, keys by reference, and headers that change what is signed (RFC 8725, 3.10; RFC 7515, 4.1.11).
_REFUSED_HEADERS = frozenset({"crit", "b64", "zip", "cty", "enc", "jwk", "jku", "x5u", "x5c"})
_SEAL = object()


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token whose structure is sound and of which nothing is believed yet.

    Attributes:
        header: JOSE header.
        claims: Used before verification to choose the issuer, for nothing else.
        signing_input: What the signature covers.
        signature: The signature's bytes.
    """

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes

    @classmethod
    def parse(cls, text: str) -> UnverifiedToken:
        """Take a compact JWS apart (RFC 7515, section 7.1); no key is looked up and no signature computed.

        Raises:
            ApiError: AUTH_002 for the form, AUTH_003 for the header.
        """
        if len(text) > MAX_TOKEN_BYTES or text.count(".") != 2:
            raise ApiError(errors.TOKEN_MALFORMED)
        head, _, rest = text.partition(".")
        payload, _, signature = rest.partition(".")
        try:
            header = json_object(unbase64url(head))
            if not _REFUSED_HEADERS.isdisjoint(header):
                raise ApiError(errors.TOKEN_HEADER)
            claims = json_object(unbase64url(payload))
            raw_signature = unbase64url(signature)
        except (ValueError, RecursionError):
            raise ApiError(errors.TOKEN_MALFORMED) from None
        return cls(header, claims, text[: len(head) + 1 + len(payload)].encode("ascii"), raw_signature)


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """Claims whose signature, issuer, audience, kind and times were checked.

    Attributes:
        provider: Who vouches for them.
        subject: ``sub``.
        expires_at: ``exp`` in seconds since 1970.
        claims: All of them.
    """

    provider: Provider
    subject: str
    expires_at: int
    claims: Mapping[str, Any]
    seal: object

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("VerifiedClaims are made by a validation strategy")


class Strategy(Protocol):
    """One way to validate a token; a project adds its own to the list in ``create_app``."""

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
    """

    def __init__(self, keys: Sequence[IssuerKeys], now: Callable[[], float] = time.time) -> None:
        self._keys = {entry.provider.issuer: entry for entry in keys}
        self._now = now

    async def verify(self, token: UnverifiedToken) -> VerifiedClaims | None:
        """See ``Strategy.verify``."""
        issuer = token.claims.get("iss")
        keys = self._keys.get(issuer) if isinstance(issuer, str) else None
        if keys is None:
            return None
        provider = keys.provider
        algorithm, kid, kind = token.header.get("alg"), token.header.get("kid"), token.header.get("typ", "")
        if not isinstance(algorithm, str) or algorithm not in provider.preset.algorithms:
            raise ApiError(errors.TOKEN_HEADER, "algorithm")
        if not (kid is None or (isinstance(kid, str) and 0 < len(kid) <= 256)):
            raise ApiError(errors.TOKEN_HEADER, "kid")
        if not isinstance(kind, str) or kind.lower() not in provider.preset.types:
            raise ApiError(errors.TOKEN_KIND, "typ")
        key = await keys.find(kid, algorithm)
        try:
            genuine = key.verify(token.signing_input, token.signature) is True
        except Exception:  # a signature of the wrong length makes some backends raise instead of answer
            genuine = False
        if not genuine:
            raise ApiError(errors.TOKEN_SIGNATURE)
        return self._judge(token.claims, provider)

    def _judge(self, claims: Mapping[str, Any], provider: Provider) -> VerifiedClaims:
        for name, expected in provider.preset.required.items():
            if claims.get(name) != expected:
                raise ApiError(errors.TOKEN_KIND, name)
        if "cnf" in claims:  # bound to a key we do not check: as a plain bearer token it would be stolen goods
            raise ApiError(errors.TOKEN_BOUND)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
            raise ApiError(errors.TOKEN_CLAIM, "sub")
        _check_audience(claims, provider)
        return VerifiedClaims(provider, subject, _check_times(claims, self._now()), claims, _SEAL)


def _check_audience(claims: Mapping[str, Any], provider: Provider) -> None:
    """Settings guarantee that at least one of the two rules applies."""
    if provider.audience is not None:
        audience = claims.get("aud")
        if isinstance(audience, str):
            audience = [audience]
        if not isinstance(audience, list) or not all(isinstance(item, str) for item in audience):
            raise ApiError(errors.TOKEN_AUDIENCE, "aud_form")
        if provider.audience not in audience:
            raise ApiError(errors.TOKEN_AUDIENCE, "aud")
    if provider.client_ids:
        client = claims.get(provider.preset.client_id_claim)
        if not isinstance(client, str) or client not in provider.client_ids:
            raise ApiError(errors.TOKEN_AUDIENCE, provider.preset.client_id_claim)


def _check_times(claims: Mapping[str, Any], now: float) -> int:
    """RFC 7519, section 4.1, with ``exp`` and ``iat`` required and the life bounded."""
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if issued >= expires:
        raise ApiError(errors.TOKEN_CLAIM, "iat")
    if expires - issued > MAX_LIFETIME:
        raise ApiError(errors.TOKEN_LIFETIME)
    if expires + LEEWAY <= now:
        raise ApiError(errors.TOKEN_EXPIRED)
    if issued > now + LEEWAY or ("nbf" in claims and _time(claims, "nbf") > now + LEEWAY):
        raise ApiError(errors.TOKEN_EARLY)
    return int(expires)


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX_TIME:
        raise ApiError(errors.TOKEN_CLAIM, name)
    return float(value)


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
