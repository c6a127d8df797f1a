"""OpenID Connect as a relying party: authorization code flow with PKCE, and RP-initiated logout in its dialects.

What is checked of a provider's answer, in this order: that this browser asked this provider (``login``), the issuer
parameter (RFC 9207), the code exchange, the ID token (OpenID Connect Core 1.0, section 3.1.3.7), and that the gate of
this API admits the token that the front end will get. Nothing the provider says switches a check off.
"""

from __future__ import annotations

import base64
import hashlib
import secrets as random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from service.auth import errors
from service.auth.login.sign_in import Grant, Transaction
from service.auth.oidc.id_token import check_id_token
from service.auth.providers.client import Http
from service.auth.providers.discovery import Discovery
from service.auth.providers.fetch import FetchError, Reply, exchange
from service.auth.providers.presets import Provider
from service.auth.settings import AudienceParameter
from service.auth.tokens.judge import KeySource
from service.auth.tokens.principal import tenant_of
from service.auth.tokens.unverified import MAX_TOKEN_BYTES
from service.aws.secrets import Secrets
from service.errors import ApiError
from service.log import get_logger
from service.principal import Principal
from service.strict import base64url

# What may be logged of an error that a provider names: its text comes through the browser, so only known words are.
_KNOWN_ERRORS = frozenset(
    {
        "access_denied",
        "account_selection_required",
        "consent_required",
        "interaction_required",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
    }
)
_MAX_CODE = 2048

log = get_logger(__name__)


class OidcSignIn:
    """Signs people in at one OpenID provider; a ``sign_in.SignIn``.

    Args:
        provider: With a ``client_id``.
        client: Follows no redirect.
        discovery: Of the provider.
        keys: Of the provider.
        secrets: Where the client's secret is.
        admit: The gate of this API: token -> principal.
        public_url: Our own origin.
        now: Seconds since 1970.
    """

    state_field = "state"
    cross_site_post = False
    unsolicited = False
    landing = None
    answer_lasts = False

    def __init__(
        self,
        provider: Provider,
        *,
        client: Http,
        discovery: Discovery,
        keys: KeySource,
        secrets: Secrets,
        admit: Callable[[str], Awaitable[Principal]],
        public_url: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        assert provider.client_id is not None
        self.name, self.kind = provider.name, provider.kind
        self._provider, self._client_id = provider, provider.client_id
        self._client, self._discovery, self._keys = client, discovery, keys
        self._secrets, self._admit, self._now = secrets, admit, now
        self._home = f"{public_url}/"
        self._redirect_uri = f"{public_url}/api/v1/auth/{provider.name}/callback"
        self._signed_out_uri = f"{public_url}/api/v1/auth/{provider.name}/logout"

    async def start(self, transaction: Transaction) -> tuple[str, Transaction]:
        """See ``sign_in.SignIn``: state, nonce and PKCE S256, always (RFC 9700, section 2.1)."""
        endpoint = await self._endpoint("authorization_endpoint")
        nonce, verifier = random.token_urlsafe(32), random.token_urlsafe(48)
        challenge = base64url(hashlib.sha256(verifier.encode()).digest())
        fields = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self._provider.scopes),
            "state": transaction.id,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **self._audience("audience"),
            **self._audience("resource"),
        }
        return _with_query(endpoint, fields), transaction.with_private(nonce=nonce, verifier=verifier)

    async def finish(self, transaction: Transaction, answer: Mapping[str, str]) -> Grant:
        """See ``sign_in.SignIn``."""
        document = await self._check_sender(answer)
        if "error" in answer:
            raise ApiError(errors.LOGIN_REFUSED, _known(answer["error"]))
        code = answer.get("code", "")
        if not 0 < len(code) <= _MAX_CODE or not code.isprintable():
            raise ApiError(errors.LOGIN_ANSWER, "code")
        tokens = await self._redeem(code, transaction.private["verifier"])
        access_token, id_token = _text(tokens, "access_token"), _text(tokens, "id_token")
        if str(tokens.get("token_type", "")).lower() != "bearer":
            raise ApiError(errors.PROVIDER_WRONG, "token_type")
        subject = await check_id_token(
            id_token,
            keys=self._keys,
            algorithms=self._provider.id_token_algorithms(document),
            client_id=self._client_id,
            nonce=transaction.private["nonce"],
            access_token=access_token,
            not_before=transaction.started_at,
            now=self._now(),
        )
        preset = self._provider.preset
        bearer = access_token if preset.accepted == "access" else id_token
        principal = await self._admit(bearer)
        if principal.provider != self.name:
            raise ApiError(errors.LOGIN_MIXED, "token_of_another_provider")
        if preset.subject_claim == "sub" and principal.subject != subject:
            raise ApiError(errors.LOGIN_IDENTITY, "subjects_differ")
        if self._provider.userinfo:
            await self._compare_userinfo(access_token, subject, principal)
        assert principal.expires_at is not None  # a bearer token always ends
        return Grant(bearer, principal.expires_at, id_token)

    async def sign_out(self, transaction: Transaction, hint: str | None) -> tuple[str | None, Transaction]:
        """See ``sign_in.SignIn``: the standard form, Cognito's, Auth0's, or none (Google)."""
        back = transaction.return_to or self._home
        match self._provider.preset.logout:
            case "rp_initiated":
                try:
                    endpoint = await self._discovery.optional("end_session_endpoint")
                except FetchError as failure:
                    raise ApiError(errors.PROVIDER_DOWN, str(failure)) from None
                if endpoint is None:
                    return None, transaction
                fields = {
                    "client_id": self._client_id,
                    "post_logout_redirect_uri": self._signed_out_uri,
                    "state": transaction.id,
                }
                if hint and len(hint) <= MAX_TOKEN_BYTES:
                    fields["id_token_hint"] = hint
                return _with_query(endpoint, fields), transaction
            case "cognito":
                # Its end_session_endpoint is not RP-initiated logout: the hosted domain's /logout is what ends it.
                page = urlsplit(await self._endpoint("authorization_endpoint"))
                fields = {"client_id": self._client_id, "logout_uri": back}
                return _with_query(f"{page.scheme}://{page.netloc}/logout", fields), transaction
            case "auth0":
                fields = {"client_id": self._client_id, "returnTo": back}
                return _with_query(f"{self._provider.issuer}v2/logout", fields), transaction
            case _:
                return None, transaction

    async def signed_out(self, transaction: Transaction, answer: Mapping[str, str], query: str) -> None:
        """See ``sign_in.SignIn``: that the browser came back with the state of its sign-out is all there is to know."""

    async def asked_to_sign_out(self, query: str) -> str | None:
        """See ``sign_in.SignIn``: no such thing is understood of an OpenID provider."""
        return None

    async def describe(self) -> bytes | None:
        """See ``sign_in.SignIn``: a client of OpenID Connect has none."""
        return None

    async def _check_sender(self, answer: Mapping[str, str]) -> Mapping[str, Any]:
        """RFC 9207, section 2.4: also of an error, and never absent where the discovery document, which this returns,
        says that the provider sends it."""
        try:
            document = await self._discovery.document()
        except FetchError as failure:
            raise ApiError(errors.PROVIDER_DOWN, str(failure)) from None
        expected = self._provider.issuer
        if "iss" in answer:
            if answer["iss"] != expected:
                raise ApiError(errors.LOGIN_MIXED, "iss")
        elif document.get("authorization_response_iss_parameter_supported") is True:
            raise ApiError(errors.LOGIN_MIXED, "iss_absent")
        return document

    def _audience(self, parameter: AudienceParameter) -> dict[str, str]:
        """How the token is asked to be for this API, where that is by a parameter of this name."""
        audience = self._provider.audience
        return {parameter: audience} if audience and self._provider.audience_parameter == parameter else {}

    async def _redeem(self, code: str, verifier: str) -> Mapping[str, Any]:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
            **self._audience("resource"),  # here too (RFC 8707, section 2.2)
        }
        reply = await self._ask_token_endpoint(fields, fresh_secret=False)
        if self._provider.client_secret and _error_of(reply) == "invalid_client":  # rotated since we read it
            reply = await self._ask_token_endpoint(fields, fresh_secret=True)
        if reply.status == 200 and reply.content is not None:
            return reply.content
        reason = f"status_{reply.status}_{_error_of(reply)}"
        if _error_of(reply) == "invalid_grant":
            raise ApiError(errors.LOGIN_GRANT, reason)
        if reply.status in (400, 401, 403):
            raise ApiError(errors.PROVIDER_WRONG, reason)
        raise ApiError(errors.PROVIDER_DOWN, reason)

    async def _ask_token_endpoint(self, fields: Mapping[str, str], *, fresh_secret: bool) -> Reply:
        endpoint = await self._endpoint("token_endpoint")
        headers: dict[str, str] = {}
        form = dict(fields)
        if self._provider.client_secret is None:
            form["client_id"] = self._client_id
        else:
            secret = await self._secrets.text(self._provider.client_secret, refresh=fresh_secret)
            methods = (await self._discovery.document()).get("token_endpoint_auth_methods_supported")
            # client_secret_basic is what a provider supports that names no method (Discovery 1.0, section 3).
            if isinstance(methods, list) and "client_secret_basic" not in methods:
                form |= {"client_id": self._client_id, "client_secret": secret}
            else:
                pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"  # RFC 6749, section 2.3.1
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        try:
            return await exchange(self._client, "POST", endpoint, headers=headers, data=form)
        except FetchError as failure:
            raise ApiError(errors.PROVIDER_DOWN, str(failure)) from None

    async def _compare_userinfo(self, access_token: str, subject: str, principal: Principal) -> None:
        """OpenID Connect Core 1.0, section 5.3.2: an answer about another subject must not be used."""
        endpoint = await self._endpoint("userinfo_endpoint")
        try:
            reply = await exchange(self._client, "GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
        except FetchError as failure:
            raise ApiError(errors.PROVIDER_DOWN, str(failure)) from None
        if reply.status >= 500:
            raise ApiError(errors.PROVIDER_DOWN, f"userinfo_{reply.status}")
        if reply.status != 200 or reply.content is None:
            raise ApiError(errors.PROVIDER_WRONG, f"userinfo_{reply.status}")
        if reply.content.get("sub") != subject:
            raise ApiError(errors.LOGIN_USERINFO, "sub")
        if tenant_of(reply.content, self._provider) != principal.tenant:
            raise ApiError(errors.LOGIN_USERINFO, "tenant")

    async def _endpoint(self, name: str) -> str:
        try:
            return await self._discovery.endpoint(name)
        except FetchError as failure:
            wrong = str(failure).startswith("discovery_")
            raise ApiError(errors.PROVIDER_WRONG if wrong else errors.PROVIDER_DOWN, str(failure)) from None


def _with_query(address: str, fields: Mapping[str, str]) -> str:
    return address + ("&" if urlsplit(address).query else "?") + urlencode(fields)


def _text(tokens: Mapping[str, Any], name: str) -> str:
    value = tokens.get(name)
    # RFC 6749, appendix A.12: visible ASCII. JSON can spell text that no encoding can carry.
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TOKEN_BYTES or not value.isascii():
        raise ApiError(errors.PROVIDER_WRONG, name)
    return value


def _error_of(reply: Reply) -> str:
    return _known((reply.content or {}).get("error"))


def _known(error: object) -> str:
    return error if isinstance(error, str) and error in _KNOWN_ERRORS else "other"
