"""What a kind of identity provider has to offer, and what goes to and fro: nothing here knows a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from service.auth.login.onetime import Use

Action = Literal["login", "logout"]


@dataclass(frozen=True, slots=True)
class Transaction:
    """One login (or logout), from the redirect to the provider until its answer is judged.

    Attributes:
        id: 128 random bits, for ``state`` or ``RelayState``. No secret: it proves nothing without the cookie.
        provider: Which provider was asked.
        return_to: Where the browser goes afterwards, checked; None answers the token as JSON.
        private: What the kind of provider must remember.
        action: An answer to the one is never taken for an answer to the other.
        started_at: Seconds since 1970.
    """

    id: str
    provider: str
    return_to: str | None
    private: Mapping[str, str] = field(default_factory=dict)
    action: Action = "login"
    started_at: float = 0.0

    def with_private(self, **values: str) -> Transaction:
        """The same login, remembering more."""
        return replace(self, private={**self.private, **values})


@dataclass(frozen=True, slots=True)
class Grant:
    """What a finished login hands to the front end.

    Attributes:
        access_token: A bearer token that the gate of this API accepts; the maker of a grant has asked it.
        expires_at: When it ends, in seconds since 1970.
        id_token: The provider's, for the logout's ``id_token_hint``; None where there is none.
        uses: What it uses up, as soon as the sign-in stands and not before.
    """

    access_token: str
    expires_at: int
    id_token: str | None = None
    uses: tuple[Use, ...] = ()


class AskAnewError(Exception):
    """The provider has to ask again who the person is: what it vouches for is too old.

    Args:
        private: What the transaction that begins now must remember.
    """

    def __init__(self, private: Mapping[str, str]) -> None:
        super().__init__("ask anew")
        self.private = dict(private)


class SignIn(Protocol):
    """How one kind of provider signs people in and out.

    Attributes:
        name: The provider's name in the settings.
        kind: Its kind.
        state_field: Name of the field of its answer that holds the transaction's id.
        cross_site_post: Whether its answer may come as a form posted from its own site, to which browsers send a
            cookie only if that says so.
        unsolicited: Whether it may send people who began no sign-in here, as from a portal.
        landing: Where these go, unless its answer names a page that is allowed.
        answer_lasts: Whether its answer can be judged again, because judging uses nothing up at the provider: a signed
            assertion can, an authorization code cannot.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state_field(self) -> str: ...
    @property
    def cross_site_post(self) -> bool: ...
    @property
    def unsolicited(self) -> bool: ...
    @property
    def landing(self) -> str | None: ...
    @property
    def answer_lasts(self) -> bool: ...

    async def start(self, transaction: Transaction) -> tuple[str, Transaction]:
        """Where to send the browser, and the transaction with what must be remembered.

        Raises:
            ApiError: The provider cannot be asked now.
        """

    async def finish(self, transaction: Transaction, answer: Mapping[str, str]) -> Grant:
        """Judge the provider's answer: the fields of its query or form, each of which came once.

        Raises:
            ApiError: It is refused, or the provider cannot be asked now.
            AskAnewError: The sign-in has to begin again.
        """

    async def sign_out(self, transaction: Transaction, hint: str | None) -> tuple[str | None, Transaction]:
        """Where to send the browser to end the provider's session; None where the provider knows no such thing.

        Args:
            transaction: ``return_to`` is where the browser goes afterwards.
            hint: The ID token (or name of the session) that the front end was given at sign-in.
        """

    async def signed_out(self, transaction: Transaction, answer: Mapping[str, str], query: str) -> None:
        """Judge the provider's answer to a sign-out; raises ``ApiError`` when it is no success.

        Args:
            transaction: What was begun.
            answer: The fields of its query.
            query: The same as it came: what a signature may be over.
        """

    async def asked_to_sign_out(self, query: str) -> str | None:
        """End the sessions that the provider asks us to end.

        Args:
            query: As it came.

        Returns:
            Where to send the browser with our answer; None when this is no such request.

        Raises:
            ApiError: The request is refused.
        """

    async def describe(self) -> bytes | None:
        """Our metadata, for the provider's administrator; None where the kind has none."""
