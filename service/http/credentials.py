"""How a caller presents itself: one credential a request, judged by the strategies of the features.

A strategy reads one header. A request with credentials in two headers, or the same header twice, is refused: which of
them counts would be a choice that a caller makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from service import errors
from service.errors import ApiError, Error
from service.principal import Principal

GATE_ERRORS: Final = (errors.CREDENTIALS_MISSING, errors.CREDENTIALS_SCHEME, errors.CREDENTIALS_TWICE)


@dataclass(frozen=True, slots=True)
class Scheme:
    """A kind of credential, as OpenAPI shows it.

    Attributes:
        name: Its key in OpenAPI's ``securitySchemes``.
        header: The one header that carries it, in lower case.
        openapi: Its Security Scheme Object.
        errors: What its strategies can answer.

    Raises:
        ValueError: The header is not in lower case.
    """

    name: str
    header: str
    openapi: Mapping[str, Any] = field(hash=False)
    errors: tuple[Error, ...] = ()

    def __post_init__(self) -> None:
        if self.header != self.header.lower():
            raise ValueError(f"the header of the scheme {self.name} is written in lower case, or no request has it")


class Strategy(Protocol):
    """One way to tell who calls.

    Attributes:
        scheme: What it reads; declared by its feature.
    """

    @property
    def scheme(self) -> Scheme: ...

    async def authenticate(self, credential: str) -> Principal | None:
        """Judge a credential.

        Args:
            credential: The header's whole value, decoded as Latin-1: hostile until checked.

        Returns:
            Who calls, or None when the credential is of a kind that this strategy does not know.

        Raises:
            ApiError: It is of this strategy's kind and is refused, or cannot be judged now.
        """


@runtime_checkable
class Recalling(Strategy, Protocol):
    """A strategy that knows some callers without waiting for anything; most requests are of such callers."""

    def recall(self, credential: bytes) -> Principal | None:
        """The principal that ``authenticate`` would return, if that is known; None otherwise, whatever the cause.

        Args:
            credential: The header's whole value.
        """


class Strategies:
    """All strategies, by the header that they read.

    Args:
        strategies: In the order in which those of one header are asked.
    """

    def __init__(self, strategies: Iterable[Strategy] = ()) -> None:
        self._by_header: dict[bytes, list[Strategy]] = {}
        for strategy in strategies:
            self._by_header.setdefault(strategy.scheme.header.encode("ascii"), []).append(strategy)
        self._headers = frozenset({b"authorization", *self._by_header})
        first = ((header, mine[0]) for header, mine in self._by_header.items())
        self._recall = {header: strategy.recall for header, strategy in first if isinstance(strategy, Recalling)}

    async def authenticate(self, headers: Sequence[tuple[bytes, bytes]]) -> Principal:
        """Who sent a request.

        Args:
            headers: Of the request, names in lower case.

        Raises:
            ApiError: AUTH_020 without a credential, AUTH_021 for a kind that no strategy knows, AUTH_022 for more
                than one, and what the strategies raise.
        """
        found: tuple[bytes, bytes] | None = None
        for header in headers:
            if header[0] in self._headers:
                if found is not None:
                    raise ApiError(errors.CREDENTIALS_TWICE)
                found = header
        if found is None:
            raise ApiError(errors.CREDENTIALS_MISSING)
        recall = self._recall.get(found[0])
        if recall is not None and (principal := recall(found[1])) is not None:
            return principal
        credential = found[1].decode("latin-1")
        for strategy in self._by_header.get(found[0], ()):
            if (principal := await strategy.authenticate(credential)) is not None:
                return principal
        raise ApiError(errors.CREDENTIALS_SCHEME)
