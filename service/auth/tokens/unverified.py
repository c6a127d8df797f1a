"""The structure of a token, taken apart without believing it and without work that a bad one could make expensive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from service.auth import errors
from service.errors import ApiError
from service.strict import json_object, unbase64url

MAX_TOKEN_BYTES = 16_384
# Keys from the token, keys by reference, and headers that change what is signed (RFC 8725, 3.10; RFC 7515, 4.1.11).
_REFUSED_HEADERS = frozenset({"crit", "b64", "zip", "cty", "enc", "jwk", "jku", "x5u", "x5c"})
_HEADERS_READ: Final = 256  # as many keys as issuers may have in use; each is shorter than a token


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token whose structure is sound and of which nothing is believed yet.

    Attributes:
        header: JOSE header.
        claims: Used before verification to choose the issuer, for nothing else.
        text: The claims as they were written.
        signing_input: What the signature covers.
        signature: The signature's bytes.
    """

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    text: bytes
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
            header = _read(head)
            if not _REFUSED_HEADERS.isdisjoint(header):
                raise ApiError(errors.TOKEN_HEADER)
            written = unbase64url(payload)
            claims = json_object(written)
            raw_signature = unbase64url(signature)
        except (ValueError, RecursionError):
            raise ApiError(errors.TOKEN_MALFORMED) from None
        return cls(header, claims, written, text[: len(head) + 1 + len(payload)].encode("ascii"), raw_signature)


@lru_cache(_HEADERS_READ)
def _read(head: str) -> Mapping[str, Any]:
    """A header by its text alone, which is the same in all tokens that a key has signed: read once."""
    return MappingProxyType(json_object(unbase64url(head)))
