"""SAML as a service provider: a ``sign_in.SignIn`` like every other kind."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import orjson

from service.auth.errors import (
    SAML_LOGOUT,
    SAML_OVERSIZED,
    SAML_REPLAYED,
    SAML_UNREADABLE,
    SAML_UNVERIFIED,
)
from service.auth.issued.ended import EndedSessions
from service.auth.issued.tokens import OwnIssuer, Session
from service.auth.login.onetime import OneTime, Use
from service.auth.login.sealing import SealBroken, Sealer
from service.auth.login.sign_in import AskAnewError, Grant, Transaction
from service.auth.saml import messages
from service.auth.saml.grammar import RESPONSE
from service.auth.saml.library import accept
from service.auth.saml.metadata import MetadataError, sp_key, write_sp
from service.auth.saml.party import Party, SpKey
from service.auth.saml.rules import SKEW, Expected, Limits, SignedIn, TooOldError
from service.auth.saml.source import EXPIRES_SOON, MetadataSource, warn_of_expiry
from service.auth.saml.workers import Workers
from service.auth.tokens.judge import MAX_LIFETIME
from service.aws.secrets import Secrets
from service.errors import SECRETS_DOWN, ApiError, Error
from service.log import get_logger
from service.principal import Principal
from service.settings import Secret
from service.strict import base64url
from service.tenancy import TenantId

_MAX_FIELD = RESPONSE.max_bytes * 4 // 3 + 8  # base64
_MAX_SP_KEYS = 2  # python3-saml publishes no third

T = TypeVar("T")
log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What the settings say of one provider.

    Attributes:
        name: Its name.
        entity_id: Of the provider.
        sp_secret: Where our key pairs are.
        tenants: What it may speak for, by what its attribute says.
        tenant_attribute: That attribute; None where the binding alone decides.
        subject_attribute: Attribute that names the user; None means the persistent NameID.
        unsolicited: Whether a response without a request is accepted.
        landing: Where a browser goes that brought one.
        limits: Of times.
    """

    name: str
    entity_id: str
    sp_secret: Secret
    tenants: Mapping[str, TenantId]
    tenant_attribute: str | None
    subject_attribute: str | None
    unsolicited: bool
    landing: str | None
    limits: Limits


class SamlSignIn:
    """Signs people in at one SAML provider.

    Args:
        binding: What the settings say.
        source: The provider's metadata.
        issuer: Makes the token.
        admit: The gate of this API: token -> principal.
        once: What may be used once.
        ended: What ended early.
        sealer: For the name of the session that the front end keeps.
        secrets: Where our keys are.
        workers: For everything that computes.
        public_url: Our own origin.
        now: The time.
    """

    kind = "saml"
    state_field = "RelayState"
    cross_site_post = True
    answer_lasts = True

    def __init__(
        self,
        binding: Binding,
        *,
        source: MetadataSource,
        issuer: OwnIssuer,
        admit: Callable[[str], Awaitable[Principal]],
        once: OneTime,
        ended: EndedSessions,
        sealer: Sealer,
        secrets: Secrets,
        workers: Workers,
        public_url: str,
        now: Callable[[], datetime] = messages.utc_now,
    ) -> None:
        self.name = binding.name
        self.unsolicited, self.landing = binding.unsolicited, binding.landing
        self.source = source
        self._binding = binding
        self._issuer, self._admit = issuer, admit
        self._once, self._ended = once, ended
        self._sealer, self._secrets, self._workers = sealer, secrets, workers
        self._base = f"{public_url}/api/v1/auth/{binding.name}"
        self._now = now
        self._own: tuple[str, tuple[SpKey, ...]] = ("", ())

    @property
    def state(self) -> str:
        """For readiness, as ``MetadataSource.state``: our own certificates count, too."""
        soon = self._now() + EXPIRES_SOON
        ours = any(key.expires_at <= soon for key in self._own[1])
        return "expiring" if ours and self.source.state == "ok" else self.source.state

    async def start(self, transaction: Transaction) -> tuple[str, Transaction]:
        """See ``sign_in.SignIn.start``."""
        party, anew = await self._party(), transaction.private.get("anew") is not None
        url, request_id = await self._workers.run(messages.sign_in_url, party, transaction.id, anew)
        return url, transaction.with_private(request_id=request_id)

    async def finish(self, transaction: Transaction, answer: Mapping[str, str]) -> Grant:
        """See ``sign_in.SignIn.finish``.

        Nothing is used up here: while KMS or the database is away, the browser can post the same response again.
        """
        raw = _decoded(answer.get("SAMLResponse", ""))
        request_id = transaction.private.get("request_id")
        try:
            signed_in = await self._with_current(
                lambda party: self._workers.run(accept, raw, self._expected(request_id, party), party), SAML_UNVERIFIED
            )
        except TooOldError as failure:
            if "anew" in transaction.private:  # it was asked to, and did not
                raise
            log.info("saml_sign_in_too_old", provider=self.name, reason=failure.reason)
            raise AskAnewError({"anew": "yes"}) from None
        session = self._session(signed_in.name_id, signed_in.session_index)
        ends_at = None if signed_in.ends_at is None else signed_in.ends_at.timestamp()
        token, expires_at = await self._issuer.issue(signed_in.subject, signed_in.tenant, session, ends_at)
        await self._admit(token)
        left: timedelta = signed_in.remember_until - self._now()
        once = Use(
            kind="saml-assertion",
            value=f"{self.name}\n{signed_in.assertion_id}",
            seconds=math.ceil(left.total_seconds()) + 1,
            again=SAML_REPLAYED,
        )
        return Grant(token, expires_at, await self._hint(signed_in), (once,))

    async def sign_out(self, transaction: Transaction, hint: str | None) -> tuple[str | None, Transaction]:
        """See ``sign_in.SignIn.sign_out``. Our own session ends first, whether or not the provider's can be."""
        if hint is None:
            return None, transaction
        try:
            name_id, name_format, index = orjson.loads(await self._sealer.open_text(hint, self._purpose))
        except (SealBroken, ValueError):
            raise ApiError(SAML_LOGOUT, "hint") from None
        await self._ended.end(self._session(name_id, index).sid, seconds=MAX_LIFETIME)
        party = await self._party()
        if party.idp.slo_url is None:
            return None, transaction
        url, request_id = await self._workers.run(
            messages.sign_out_url, party, name_id, name_format, index, transaction.id
        )
        return url, transaction.with_private(request_id=request_id)

    async def signed_out(self, transaction: Transaction, answer: Mapping[str, str], query: str) -> None:
        """See ``sign_in.SignIn.signed_out``."""
        message = await self._read_logout(query)
        if not isinstance(message, messages.LogoutResponse):
            raise ApiError(SAML_LOGOUT, "kind")
        if message.in_response_to != transaction.private.get("request_id"):
            raise ApiError(SAML_LOGOUT, "in_response_to")
        if not message.succeeded:
            raise ApiError(SAML_LOGOUT, "status")

    async def asked_to_sign_out(self, query: str) -> str | None:
        """See ``sign_in.SignIn.asked_to_sign_out``."""
        if "SAMLRequest=" not in query:
            return None
        request = await self._read_logout(query)
        if not isinstance(request, messages.LogoutRequest):
            raise ApiError(SAML_LOGOUT, "kind")
        fresh = math.ceil((self._binding.limits.age + 2 * SKEW).total_seconds()) + 1
        if not await self._once.first_use("saml-logout", f"{self.name}\n{request.message_id}", fresh):
            raise ApiError(SAML_LOGOUT, "used")
        ended = [self._session(request.name_id, index).sid for index in request.sessions]
        await self._ended.end(*(ended or [self._session(request.name_id, None).user]), seconds=MAX_LIFETIME)
        log.info("saml_sessions_ended", provider=self.name, sessions=len(ended) or "all")
        return await self._workers.run(messages.answer_url, await self._party(), request)

    async def describe(self) -> bytes:
        """Our metadata, for the provider.

        Raises:
            ApiError: SYS_003 or SYS_004 while a part of it is not known.
        """
        return await self._workers.run(write_sp, await self._party())

    @property
    def _purpose(self) -> bytes:
        return f"saml-session:{self.name}".encode()

    async def _read_logout(self, query: str) -> messages.LogoutRequest | messages.LogoutResponse:
        return await self._with_current(
            lambda party: self._workers.run(messages.read_logout, party, query, self._now(), self._binding.limits.age),
            SAML_LOGOUT,
        )

    async def _with_current(self, judge: Callable[[Party], Awaitable[T]], unverified: Error) -> T:
        """Judge a message by what is known of the provider; once more when its certificates have just changed."""
        party = await self._party()
        try:
            return await judge(party)
        except ApiError as failure:
            signature = failure.error is unverified and failure.reason == "signature"
            if not signature or not await self.source.changed(party.idp):
                raise
        return await judge(await self._party())  # the provider signs with a certificate that was new to us

    async def _party(self) -> Party:
        return Party(
            idp_entity_id=self._binding.entity_id,
            idp=await self.source.current(),
            sp_entity_id=f"{self._base}/metadata",
            acs=f"{self._base}/callback",
            sls=f"{self._base}/logout",
            sp_keys=await self._sp_keys(),
            persistent=self._binding.subject_attribute is None,
        )

    async def _sp_keys(self) -> tuple[SpKey, ...]:
        text = await self._secrets.text(self._binding.sp_secret)
        if text != self._own[0]:
            try:
                self._own = (text, await self._workers.run(read_sp_keys, text))
            except MetadataError as failure:
                log.error("saml_sp_secret_unusable", provider=self.name, reason=str(failure))
                if not self._own[1]:
                    raise ApiError(SECRETS_DOWN, str(failure)) from None
                return self._own[1]
            for key in self._own[1]:
                warn_of_expiry(self.name, "ours", key.expires_at, self._now())
        return self._own[1]

    def _expected(self, request_id: str | None, party: Party) -> Expected:
        return Expected(
            issuer=self._binding.entity_id,
            audience=party.sp_entity_id,
            acs=party.acs,
            request_id=request_id,
            unsolicited=self._binding.unsolicited,
            subject_attribute=self._binding.subject_attribute,
            tenants=self._binding.tenants,
            tenant_attribute=self._binding.tenant_attribute,
            now=self._now(),
            limits=self._binding.limits,
        )

    async def _hint(self, signed_in: SignedIn) -> str:
        named = [signed_in.name_id, signed_in.name_id_format, signed_in.session_index]
        return await self._sealer.seal_text(orjson.dumps(named), self._purpose)

    def _session(self, name_id: str, index: str | None) -> Session:
        """Digests: a NameID may be an e-mail address, and everyone who holds a token can read it."""
        user, session = (
            base64url(hashlib.sha256(json.dumps(parts).encode()).digest()[:18])
            for parts in ([self.name, name_id], [self.name, name_id, index or ""])
        )
        return Session(session, user)


def _decoded(field: str) -> bytes:
    """The response in a form field; its size is judged before anything is done with it."""
    if len(field) > _MAX_FIELD:
        raise ApiError(SAML_OVERSIZED, "bytes")
    try:
        raw = base64.b64decode("".join(field.split()), validate=True)
    except (ValueError, binascii.Error):
        raise ApiError(SAML_UNREADABLE, "base64") from None
    if not raw:
        raise ApiError(SAML_UNREADABLE, "missing")
    return raw


def read_sp_keys(text: str) -> tuple[SpKey, ...]:
    """Our key pairs out of their secret.

    Args:
        text: A JSON list of objects with ``private_key`` and ``certificate``, both PEM.

    Raises:
        MetadataError: It is something else, or a pair does not fit together.
    """
    try:
        entries = json.loads(text)
        if not isinstance(entries, list) or not 0 < len(entries) <= _MAX_SP_KEYS:
            raise MetadataError("sp_secret_form")
        return tuple(sp_key(str(entry["private_key"]), str(entry["certificate"])) for entry in entries)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MetadataError("sp_secret_form") from None
