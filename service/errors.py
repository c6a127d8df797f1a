"""The error registry: one row per code.

The exception a module raises, the JSON a client gets, the OpenAPI schema and docs/ERROR_CODES.md all come from
``ERRORS``. A row's texts are fixed: nothing a caller sent, and nothing a library said, ever reaches a client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse

RETRY_AFTER_SECONDS = 5
_REALM = 'Bearer realm="signalbox"'


@dataclass(frozen=True, slots=True)
class Error:
    """One row of the registry.

    Attributes:
        code: Stable identifier; clients may branch on it. Never reused for another cause.
        status: HTTP status.
        message: What kind of failure this is.
        detail: What exactly was wrong, in general words.
        oauth: ``error`` attribute of ``WWW-Authenticate`` (RFC 6750, section 3.1); None leaves it out, as that
            section asks for when a request carries no credentials at all.
        action: What the reader of docs/ERROR_CODES.md should do.
    """

    code: str
    status: int
    message: str
    detail: str
    action: str
    oauth: str | None = None


def _token(code: str, detail: str, action: str) -> Error:
    return Error(code, 401, "Invalid token", detail, action, oauth="invalid_token")


def _tenant(code: str, detail: str, action: str) -> Error:
    return Error(code, 403, "Tenant refused", detail, action, oauth="insufficient_scope")


def _down(code: str, detail: str, action: str) -> Error:
    return Error(code, 503, "Service unavailable", detail, action)


def _sign_in(code: str, detail: str, action: str) -> Error:
    return Error(code, 401, "Sign-in refused", detail, action)


_SIGN_IN = "Sign in again for a fresh token."
_PROVIDER = "Compare the provider's settings with docs/AUTH_CONFIGURATION.md."

TOKEN_EXPIRED = _token("AUTH_001", "Token expired", _SIGN_IN)
TOKEN_MALFORMED = _token("AUTH_002", "Token is not a well-formed JWT", "Send the access token exactly as issued.")
TOKEN_HEADER = _token("AUTH_003", "Token header is not acceptable", "Use an asymmetric algorithm the provider allows.")
TOKEN_ISSUER = _token("AUTH_004", "Issuer is not known here", _PROVIDER)
TOKEN_KEY = _token("AUTH_005", "Signing key is not known", _SIGN_IN)
TOKEN_SIGNATURE = _token("AUTH_006", "Signature does not verify", _SIGN_IN)
TOKEN_AUDIENCE = _token("AUTH_007", "Token is not meant for this API", _PROVIDER)
TOKEN_KIND = _token("AUTH_008", "This kind of token is not accepted", "Send the access token, not the ID token.")
TOKEN_CLAIM = _token("AUTH_009", "A required claim is missing or malformed", _PROVIDER)
TOKEN_EARLY = _token("AUTH_010", "Token is not valid yet", "Check the clocks of client and provider.")
TOKEN_LIFETIME = _token("AUTH_011", "Token lives longer than 60 minutes", "Shorten the provider's token lifetime.")
TOKEN_BOUND = _token("AUTH_012", "Sender-constrained tokens are not supported", "Ask the provider for bearer tokens.")
CREDENTIALS_MISSING = Error(
    "AUTH_020",
    401,
    "Authentication required",
    "No bearer token was sent",
    "Send Authorization: Bearer <token>.",
)
CREDENTIALS_SCHEME = Error(
    "AUTH_021",
    401,
    "Authentication required",
    "Authorization header is not a bearer token",
    "Send Authorization: Bearer <token>.",
    oauth="invalid_token",
)
CREDENTIALS_TWICE = Error(
    "AUTH_022",
    400,
    "Invalid request",
    "More than one Authorization header",
    "Send exactly one.",
    oauth="invalid_request",
)
TENANT_MISSING = _tenant("AUTH_030", "Token carries no tenant", "Have the provider add the tenant claim.")
TENANT_MALFORMED = _tenant("AUTH_031", "Tenant claim is malformed", "Check what the provider writes into the claim.")
TENANT_AMBIGUOUS = _tenant("AUTH_032", "Token names more than one tenant", "Have the provider send one tenant claim.")
TENANT_FORBIDDEN = _tenant("AUTH_033", "Issuer may not speak for this tenant", "See IDP__<NAME>__TENANTS.")


def _login(code: str, status: int, detail: str, action: str) -> Error:
    return Error(code, status, "Sign-in failed", detail, action)


_AGAIN = "Begin the sign-in again."
LOGIN_UNKNOWN = _login("AUTH_040", 400, "This browser began no such sign-in, or it is over", _AGAIN)
LOGIN_TARGET = _login("AUTH_041", 400, "return_to is not allowed", "Use an address below one of ALLOWED_ORIGINS.")
LOGIN_ANSWER = _login("AUTH_042", 400, "The provider's answer is incomplete or malformed", _AGAIN)
LOGIN_MIXED = _login("AUTH_043", 400, "The answer is from another provider than was asked", _AGAIN)
LOGIN_REFUSED = _login(
    "AUTH_044", 401, "The provider did not sign the user in", "See the log for the provider's reason."
)
LOGIN_CODE = _login("AUTH_045", 400, "Login code is unknown, used, expired or another browser's", _AGAIN)
LOGIN_IDENTITY = _login("AUTH_046", 401, "The provider's statement of identity is not acceptable", _PROVIDER)
LOGIN_GRANT = _login("AUTH_047", 400, "The provider does not accept its authorization code", _AGAIN)
LOGIN_USERINFO = _login("AUTH_048", 401, "The provider's userinfo is about somebody else", _PROVIDER)
LOGOUT_UNKNOWN = Error("AUTH_049", 400, "Sign-out", "This browser began no such sign-out", "Begin the sign-out again.")

# SAML sign-in. What the sender can see for itself (its own plaintext) and what the provider has signed has a code per
# rule. A signature that fails and a decryption that fails share AUTH_073: the difference would be an oracle.
_IDP = "Compare the provider's settings with docs/AUTH_CONFIGURATION.md, section SAML."
_ANOTHER = "The provider sends what no sign-in needs; see docs/AUTH_CONFIGURATION.md, section SAML."
SAML_UNREADABLE = Error("AUTH_070", 400, "Sign-in refused", "The SAML message is missing or cannot be read", _AGAIN)
SAML_OVERSIZED = Error("AUTH_071", 413, "Sign-in refused", "The SAML message is over the limits", _ANOTHER)
SAML_CONSTRUCT = Error("AUTH_072", 400, "Sign-in refused", "The SAML message holds what is never processed", _ANOTHER)
SAML_UNVERIFIED = _sign_in("AUTH_073", "The SAML message could not be verified", _IDP)
SAML_STATUS = _sign_in("AUTH_074", "The provider reports no successful sign-in", _AGAIN)
SAML_ASSERTIONS = _sign_in("AUTH_075", "The response must hold exactly one assertion", _IDP)
SAML_UNSIGNED = _sign_in("AUTH_076", "The assertion must be signed, and the response too when it is encrypted", _IDP)
SAML_ISSUER = _sign_in("AUTH_077", "The response is another provider's", _IDP)
SAML_DESTINATION = _sign_in("AUTH_078", "The response was sent to another address", _IDP)
SAML_RECIPIENT = _sign_in("AUTH_079", "The assertion is for another address", _IDP)
SAML_AUDIENCE = _sign_in("AUTH_080", "The assertion is for another audience", _IDP)
SAML_UNSOLICITED = _sign_in("AUTH_081", "The response answers no request, or not this browser's", _AGAIN)
SAML_EXPIRED = _sign_in("AUTH_082", "The assertion has ended or does not say when it ends", _AGAIN)
SAML_EARLY = _sign_in("AUTH_083", "The assertion is not valid yet", "Check the clocks of service and provider.")
SAML_LIFETIME = _sign_in(
    "AUTH_084", "The assertion lives too long or is too old", "Check its lifetime at the provider."
)
SAML_CONFIRMATION = _sign_in("AUTH_085", "The assertion has no single bearer confirmation", _IDP)
SAML_SUBJECT = _sign_in("AUTH_086", "The assertion names no persistent subject", _IDP)
SAML_AUTHN = _sign_in("AUTH_087", "The assertion does not say when and how the user signed in", _IDP)
SAML_REPLAYED = _sign_in("AUTH_088", "The assertion was used before", _AGAIN)
SAML_LOGOUT = Error("AUTH_089", 400, "Logout refused", "The SAML logout message was not accepted", _IDP)
SAML_NO_LOGOUT = Error("AUTH_090", 400, "Logout refused", "The provider offers no single logout", _IDP)
SESSION_ENDED = _token("AUTH_091", "The session was ended", _SIGN_IN)

NOT_FOUND = Error("REQ_001", 404, "Not found", "There is nothing here", "Check the address.")
METHOD_NOT_ALLOWED = Error("REQ_002", 405, "Method not allowed", "See the Allow header", "Use an allowed method.")
INVALID_REQUEST = Error("REQ_003", 422, "Invalid request", "The request does not fit the schema", "See /openapi.json.")
TOO_LARGE = Error("REQ_004", 413, "Content too large", "The request body is over the limit", "Send less at once.")
BAD_REQUEST = Error("REQ_005", 400, "Bad request", "The request could not be read", "Check its syntax.")
UNSUPPORTED_MEDIA = Error("REQ_006", 415, "Unsupported media type", "Content-Type is not accepted", "See the schema.")
ORIGIN_REFUSED = Error("REQ_007", 400, "Origin refused", "This origin may not call the API", "See ALLOWED_ORIGINS.")
CONFLICT = Error("REQ_008", 409, "Conflict", "The change collides with what is stored", "Read again, then retry.")
HEADERS_TOO_LARGE = Error("REQ_009", 431, "Header fields too large", "The headers are over the limit", "Send less.")

INTERNAL = Error(
    "SYS_001", 500, "Internal error", "Something failed on our side", "Report the X-Request-ID of the answer."
)
DATABASE_DOWN = _down("SYS_002", "The database cannot be reached", "Retry after the given time.")
KEYS_DOWN = _down("SYS_003", "The issuer's signing keys cannot be fetched", "Retry after the given time.")
SECRETS_DOWN = _down("SYS_004", "The secrets store cannot be reached", "Retry after the given time.")
NOT_READY = _down("SYS_005", "A dependency is not ready", "See the checks beside the error.")
PROVIDER_DOWN = _down("SYS_006", "The identity provider cannot be reached", "Retry after the given time.")
PROVIDER_WRONG = _down("SYS_007", "The identity provider and our settings do not fit", "See the log for the reason.")
SIGNING_DOWN = _down("SYS_009", "Tokens cannot be signed now", "Retry after the given time.")

ERRORS: Mapping[str, Error] = {row.code: row for row in list(globals().values()) if isinstance(row, Error)}


class ApiError(Exception):
    """A failure with a row in the registry.

    Args:
        error: The row.
        reason: A short code for the log where the row alone is too coarse; never holds input.
        headers: Response headers beyond those the status asks for.
    """

    def __init__(self, error: Error, reason: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.code)
        self.error = error
        self.reason = reason
        self.headers = dict(headers or {})


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str
    message: str
    detail: str


class ErrorResponse(BaseModel):
    """The one shape every error has."""

    error: ErrorBody


def body(error: Error) -> dict[str, dict[str, str]]:
    """The JSON object that stands for a row."""
    return {"error": {"code": error.code, "message": error.message, "detail": error.detail}}


def response(error: Error, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response that stands for a row.

    401 and 403 carry ``WWW-Authenticate`` (RFC 6750, section 3); 503 carries ``Retry-After`` (RFC 9110, 10.2.3).

    Args:
        error: The row.
        headers: More headers; they win over those set here.
    """
    extra: dict[str, str] = {}
    if error.status == 401 or error.oauth:
        parts = [_REALM]
        if error.oauth:
            parts += [f'error="{error.oauth}"', f'error_description="{error.detail}"']
        extra["WWW-Authenticate"] = ", ".join(parts)
    if error.status == 503:
        extra["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return JSONResponse(body(error), error.status, headers=extra | dict(headers or {}))


def openapi_responses(errors: Iterable[Error]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI ``responses`` for the rows a route can answer, an example each.

    Args:
        errors: The rows, in the order in which they are to be listed.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        entry = found.setdefault(
            error.status,
            {"model": ErrorResponse, "description": "", "content": {"application/json": {"examples": {}}}},
        )
        examples = entry["content"]["application/json"]["examples"]
        examples[error.code] = {"summary": error.detail, "value": body(error)}
        entry["description"] = "; ".join(f"{code}: {row['summary']}" for code, row in examples.items())
    return found
