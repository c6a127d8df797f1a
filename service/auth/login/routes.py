"""Authentication routes. They know no kind of provider: what differs between kinds is behind ``sign_in.SignIn``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from service import errors as core_errors
from service.auth import errors
from service.auth.advice import remedy
from service.auth.issued.signing import TokenSigner
from service.auth.login.models import (
    Caller,
    KeySet,
    LoginCode,
    ProviderName,
    ReturnTo,
    SignedOut,
    SignInOption,
    SignInOptions,
    SignOut,
    Token,
)
from service.auth.login.sign_in import AskAnewError, SignIn, Transaction
from service.auth.login.transaction import Logins
from service.errors import ApiError
from service.http import shape
from service.http.described import PLAIN
from service.http.gate import Router
from service.http.request import LOCAL_ORIGIN
from service.http.shape import openapi_responses
from service.log import get_logger
from service.principal import CurrentPrincipal
from service.running import part, running

log = get_logger(__name__)
router = Router(prefix="/api/v1/auth", tags=["auth"])
public = Router(public=True, prefix="/api/v1/auth", tags=["auth"])
well_known = Router(public=True, tags=["auth"])

_MAX_FIELDS = 20
_METADATA = "application/samlmetadata+xml"
_FORM = "application/x-www-form-urlencoded"
_FREE = {"maxLength": 2**20, "pattern": PLAIN}
_XML = {"type": "string", "maxLength": 2**20, "pattern": PLAIN}
_OUTAGES = (
    errors.PROVIDER_DOWN,
    errors.PROVIDER_WRONG,
    core_errors.SECRETS_DOWN,
    core_errors.DATABASE_DOWN,
    core_errors.OUTCOME_UNKNOWN,
    errors.KEYS_DOWN,
    errors.KEYS_UNUSABLE,
    core_errors.NOT_READY,
)
_FIELDS = {"type": "object", "maxProperties": _MAX_FIELDS, "additionalProperties": {"type": "string", **_FREE}}
_FORM_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {_FORM: {"schema": _FIELDS}}}}
_SAML_FORM = (errors.SAML_UNREADABLE, errors.SAML_OVERSIZED, errors.SAML_CONSTRUCT)
_LOGIN_ERRORS = openapi_responses([core_errors.NOT_FOUND, errors.LOGIN_TARGET, *_OUTAGES])
_ON: dict[int | str, dict[str, Any]] = {303: {"description": "On to `return_to`."}}
_CALLBACK_ERRORS = _ON | openapi_responses([core_errors.NOT_FOUND, *errors.SIGN_IN_ERRORS, *_OUTAGES])
_FORM_ERRORS = _CALLBACK_ERRORS | openapi_responses([core_errors.UNSUPPORTED_MEDIA])


@dataclass(frozen=True, slots=True)
class SignIns:
    """What these routes work with.

    Attributes:
        logins: Logins under way.
        by_name: How to sign in, by provider name, in the order of the settings.
        signer: Signs the tokens we issue; None where we issue none.
    """

    logins: Logins
    by_name: Mapping[str, SignIn]
    signer: TokenSigner | None

    def at(self, provider: str) -> SignIn:
        """The provider that an address names.

        Raises:
            ApiError: REQ_001, there is no such provider.
        """
        found = self.by_name.get(provider)
        if found is None:
            raise ApiError(core_errors.NOT_FOUND)
        return found


Offered = Annotated[SignIns, Depends(part(SignIns))]


@router.get("/validate")
async def validate_token(principal: CurrentPrincipal) -> Caller:
    """Who am I: answers for the token that was sent."""
    return Caller(
        subject=principal.subject,
        tenant=principal.tenant,
        issuer=principal.issuer,
        provider=principal.provider,
        expires_at=principal.expires_at and datetime.fromtimestamp(principal.expires_at, UTC),
        scopes=sorted(principal.scopes),
    )


@public.get("/providers")
async def list_providers(request: Request, offered: Offered) -> SignInOptions:
    """Where a person can sign in."""
    base = running(request.app).settings.public_url
    return [
        SignInOption(name=name, kind=sign_in.kind, login_url=f"{base}/api/v1/auth/{name}/login")
        for name, sign_in in offered.by_name.items()
    ]


@public.get("/{provider}/login", status_code=303, response_class=RedirectResponse, responses=_LOGIN_ERRORS)
async def begin_sign_in(
    request: Request, offered: Offered, provider: ProviderName, return_to: ReturnTo = None
) -> Response:
    """Send the browser to the provider. Afterwards it comes back to `return_to` with a one-time `login_code`."""
    sign_in = offered.at(provider)
    begun = offered.logins.begin(sign_in.name, return_to)
    if offered.logins.names.is_other(request.headers.get("host")):
        address = f"{running(request.app).settings.public_url}/api/v1/auth/{sign_in.name}/login"
        return RedirectResponse(f"{address}?{urlencode({'return_to': return_to})}" if return_to else address, 303)
    return await _send(request, offered.logins, sign_in, begun)


async def _send(request: Request, logins: Logins, sign_in: SignIn, transaction: Transaction) -> Response:
    destination, transaction = await sign_in.start(transaction)
    response = RedirectResponse(destination, 303)
    await logins.remember(request, response, transaction, cross_site=sign_in.cross_site_post)
    return response


@public.get("/{provider}/callback", response_model=Token, responses=_CALLBACK_ERRORS)
async def finish_sign_in(request: Request, offered: Offered, provider: ProviderName) -> Response:
    """Where the provider sends the browser back to: a token as JSON, or on to `return_to`."""
    return await _conclude(request, offered, provider, _once_each(request.query_params.multi_items()))


@public.post("/{provider}/callback", response_model=Token, responses=_FORM_ERRORS, openapi_extra=_FORM_BODY)
async def finish_sign_in_by_form(request: Request, offered: Offered, provider: ProviderName) -> Response:
    """The same for a provider that answers with a form (`form_post`, SAML)."""
    return await _conclude(request, offered, provider, await _form(request))


async def _from_ours(request: Request) -> None:
    """A page of anybody's can post a form here, cookies included, and CORS, which hides answers, would not stop it."""
    origin, settings = request.headers.get("origin"), running(request.app).settings
    if origin is None or origin == settings.public_url or origin in settings.allowed_origins:
        return
    if not (settings.development and re.fullmatch(LOCAL_ORIGIN, origin)):
        raise ApiError(core_errors.ORIGIN_REFUSED)


@public.post(
    "/token",
    responses=openapi_responses(
        [
            errors.LOGIN_CODE,
            core_errors.ORIGIN_REFUSED,
            core_errors.SECRETS_DOWN,
            core_errors.DATABASE_DOWN,
            core_errors.OUTCOME_UNKNOWN,
        ]
    ),
    dependencies=[Depends(_from_ours)],
)
async def redeem_login_code(request: Request, offered: Offered, code: LoginCode, response: Response) -> Token:
    """Exchange a `login_code` for the token: once, within a minute, from the browser that signed in."""
    logins = offered.logins
    grant, ended = await logins.redeem(request, code.login_code)
    for cookie in ended:
        response.headers.append("Set-Cookie", cookie)
    return Token.model_validate(logins.token_body(grant))


@public.post(
    "/{provider}/logout",
    response_model=SignedOut,
    responses=openapi_responses(
        [core_errors.NOT_FOUND, errors.LOGIN_TARGET, core_errors.ORIGIN_REFUSED, errors.SAML_LOGOUT, *_OUTAGES]
    ),
    dependencies=[Depends(_from_ours)],
)
async def sign_out(
    request: Request, offered: Offered, provider: ProviderName, options: SignOut | None = None
) -> Response:
    """Forget every sign-in that is under way here, and say where the browser ends the provider's session."""
    sign_in, logins = offered.at(provider), offered.logins
    options = options or SignOut()
    transaction = logins.begin(sign_in.name, options.return_to, "logout")
    try:
        destination, transaction = await sign_in.sign_out(transaction, options.id_token_hint)
        response = JSONResponse({"logout_url": destination})
    except ApiError as failure:  # our half ends, whether or not the provider can be reached
        log.warning("refused", code=failure.error.code, reason=failure.reason)
        destination, response = None, shape.response(failure.error, failure.headers)
    logins.forget_all(request, response)
    if destination is not None:
        await logins.remember(request, response, transaction, cross_site=sign_in.cross_site_post)
    return response


@public.get(
    "/{provider}/logout",
    responses=_ON
    | openapi_responses(
        [
            core_errors.NOT_FOUND,
            errors.LOGOUT_UNKNOWN,
            errors.SAML_LOGOUT,
            errors.SAML_NO_LOGOUT,
            *_SAML_FORM,
            *_OUTAGES,
        ]
    ),
)
async def finish_sign_out(request: Request, offered: Offered, provider: ProviderName) -> Response:
    """Where the provider sends the browser back to after a sign-out."""
    sign_in, logins = offered.at(provider), offered.logins
    query = request.scope["query_string"].decode("latin-1")  # as it came: request.url is built with the Host header
    if (destination := await sign_in.asked_to_sign_out(query)) is not None:
        response: Response = RedirectResponse(destination, 303)
        logins.forget_all(request, response)
        return response
    answer = _once_each(request.query_params.multi_items())
    try:
        transaction = await logins.take(request, sign_in.name, answer.get(sign_in.state_field), "logout")
    except ApiError as failure:
        known = failure.error in (errors.LOGIN_UNKNOWN, errors.LOGIN_MIXED)
        raise ApiError(errors.LOGOUT_UNKNOWN, failure.reason) if known else failure from None
    try:
        await sign_in.signed_out(transaction, answer, query)
    except ApiError as failure:
        raise _ended(failure, logins, transaction) from None
    response = RedirectResponse(transaction.return_to, 303) if transaction.return_to else JSONResponse({"status": "ok"})
    logins.forget(response, transaction.id)
    return response


@public.get(
    "/{provider}/metadata",
    response_class=Response,
    responses={
        **openapi_responses(
            [
                core_errors.NOT_FOUND,
                errors.KEYS_DOWN,
                errors.KEYS_UNUSABLE,
                core_errors.SECRETS_DOWN,
                core_errors.NOT_READY,
            ]
        ),
        200: {
            "content": {_METADATA: {"schema": _XML}},
            "description": "Our metadata: entity id, addresses, certificates.",
        },
    },
)
async def read_provider_metadata(offered: Offered, provider: ProviderName) -> Response:
    """What a SAML provider's administrator needs of us."""
    document = await offered.at(provider).describe()
    if document is None:
        raise ApiError(core_errors.NOT_FOUND)
    return Response(document, media_type=_METADATA)


@well_known.get("/.well-known/jwks.json", responses=openapi_responses([core_errors.NOT_FOUND, errors.KEYS_DOWN]))
async def list_signing_keys(offered: Offered, response: Response) -> KeySet:
    """The keys that the tokens we issue verify with (RFC 7517)."""
    signer = offered.signer
    if signer is None:
        raise ApiError(core_errors.NOT_FOUND)
    if not signer.ready:
        await signer.look_again()
    keys = KeySet(keys=[dict(key) for key in signer.jwks()["keys"]])
    response.headers["Cache-Control"] = "public, max-age=300"
    return keys


async def _conclude(request: Request, offered: SignIns, provider: str, answer: Mapping[str, str]) -> Response:
    sign_in = offered.at(provider)
    try:
        return await _concluded(request, offered.logins, sign_in, answer)
    except ApiError as failure:
        if failure.error.status < 500:
            failure.remedy = remedy(failure, sign_in.kind)
        raise


async def _concluded(request: Request, logins: Logins, sign_in: SignIn, answer: Mapping[str, str]) -> Response:
    # What can be judged again is used up only with the sign-in that stands: an outage of ours must not cost it.
    open_ = logins.look if sign_in.answer_lasts else logins.take
    state, asked = answer.get(sign_in.state_field), True
    try:
        transaction = await open_(request, sign_in.name, state)
    except ApiError as failure:
        if failure.error is not errors.LOGIN_UNKNOWN or not sign_in.unsolicited:
            raise
        # It remembers no request: only an answer to none will do. The state may then name a page, as portals have it.
        asked, landing = False, state if logins.allows(state) else sign_in.landing
        transaction = logins.begin(sign_in.name, landing)
    try:
        grant = await sign_in.finish(transaction, answer)
        response = await logins.conclude(transaction, grant, looked_at=asked and sign_in.answer_lasts)
        log.info("signed_in", provider=sign_in.name)
        return response
    except AskAnewError as again:
        anew = logins.begin(sign_in.name, transaction.return_to).with_private(**again.private)
        response = await _send(request, logins, sign_in, anew)
        logins.forget(response, transaction.id)
        return response
    except ApiError as failure:
        if sign_in.answer_lasts and failure.error.status == 503:
            raise
        raise _ended(failure, logins, transaction) from None


def _ended(failure: ApiError, logins: Logins, transaction: Transaction) -> ApiError:
    """A transaction that failed is over: its cookie goes with the answer."""
    failure.headers["Set-Cookie"] = logins.ended(transaction.id)
    return failure


def _once_each(pairs: Iterable[tuple[str, Any]]) -> Mapping[str, str]:
    """The fields of an answer: a field that comes twice has two meanings (RFC 6749, section 3.1)."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found or not isinstance(value, str) or len(found) >= _MAX_FIELDS:
            raise ApiError(errors.LOGIN_ANSWER, "fields")
        found[name] = value
    return found


async def _form(request: Request) -> Mapping[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise ApiError(core_errors.UNSUPPORTED_MEDIA)
    async with request.form(max_files=0, max_fields=_MAX_FIELDS) as form:
        return _once_each(form.multi_items())
