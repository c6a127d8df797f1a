"""The rows of the registry that this domain answers; see ``service.errors``."""

from __future__ import annotations

from service.errors import Error, outage


def _token(code: str, detail: str, action: str) -> Error:
    return Error(code, 401, "Invalid token", detail, action, oauth="invalid_token")


def _tenant(code: str, detail: str, action: str) -> Error:
    return Error(code, 403, "Tenant refused", detail, action, oauth="insufficient_scope")


def _sign_in(code: str, detail: str, action: str) -> Error:
    return Error(code, 401, "Sign-in refused", detail, action)


_SIGN_IN = "Sign in again for a fresh token."
_PROVIDER = "Compare the provider's settings with docs/AUTH_CONFIGURATION.md."

TOKEN_EXPIRED = _token("AUTH_001", "Token expired", _SIGN_IN)
TOKEN_MALFORMED = _token(
    "AUTH_002",
    "Token is not a well-formed JWT",
    "Send a signed JWT as issued; opaque and encrypted tokens are their provider's own: ask `signalbox auth check`.",
)
TOKEN_HEADER = _token("AUTH_003", "Token header is not acceptable", "Use an asymmetric algorithm the provider allows.")
TOKEN_ISSUER = _token("AUTH_004", "Issuer is not known here", _PROVIDER)
TOKEN_KEY = _token("AUTH_005", "Signing key is not known", _SIGN_IN)
TOKEN_SIGNATURE = _token("AUTH_006", "Signature does not verify", _SIGN_IN)
TOKEN_AUDIENCE = _token("AUTH_007", "Token is not meant for this API", _PROVIDER)
TOKEN_KIND = _token(
    "AUTH_008",
    "This kind of token is not accepted",
    "Send the kind that the provider's preset accepts: mostly the access token.",
)
TOKEN_CLAIM = _token("AUTH_009", "A required claim is missing or malformed", _PROVIDER)
TOKEN_EARLY = _token("AUTH_010", "Token is not valid yet", "Check the clocks of service and provider.")
TOKEN_LIFETIME = _token("AUTH_011", "Token lives longer than 60 minutes", "Shorten the provider's token lifetime.")
TOKEN_BOUND = _token("AUTH_012", "Sender-constrained tokens are not supported", "Ask the provider for bearer tokens.")
TENANT_MISSING = _tenant("AUTH_030", "Token carries no tenant", "Have the provider add the tenant claim.")
TENANT_MALFORMED = _tenant("AUTH_031", "Tenant claim is malformed", "Check what the provider writes into the claim.")
TENANT_AMBIGUOUS = _tenant("AUTH_032", "Token names more than one tenant", "Have the provider send one tenant claim.")
TENANT_FORBIDDEN = _tenant("AUTH_033", "Issuer may not speak for this tenant", "See IDP__<NAME>__TENANTS.")


def _login(code: str, status: int, detail: str, action: str) -> Error:
    return Error(code, status, "Sign-in failed", detail, action)


_AGAIN = "Begin the sign-in again."
LOGIN_UNKNOWN = _login("AUTH_040", 400, "This browser began no such sign-in, or it is over", _AGAIN)
LOGIN_TARGET = _login(
    "AUTH_041",
    400,
    "return_to is not allowed",
    "Use an address below one of ALLOWED_ORIGINS; in development any page of this machine will do.",
)
LOGIN_ANSWER = _login("AUTH_042", 400, "The provider's answer is incomplete or malformed", _AGAIN)
LOGIN_MIXED = _login("AUTH_043", 400, "The answer is from another provider than was asked", _AGAIN)
LOGIN_REFUSED = _login(
    "AUTH_044", 401, "The provider did not sign the user in", "See the log for the provider's reason."
)
LOGIN_CODE = _login("AUTH_045", 400, "The login_code is unknown, used, expired or another browser's", _AGAIN)
LOGIN_IDENTITY = _login("AUTH_046", 401, "The provider's statement of identity is not acceptable", _PROVIDER)
LOGIN_GRANT = _login("AUTH_047", 400, "The provider does not accept its authorization code", _AGAIN)
LOGIN_USERINFO = _login("AUTH_048", 401, "The provider's userinfo is about another user", _PROVIDER)
LOGOUT_UNKNOWN = Error(
    "AUTH_049", 400, "Sign-out failed", "This browser began no such sign-out", "Begin the sign-out again."
)

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
    "AUTH_084",
    "The assertion lives too long or is too old",
    "See the log for both sides; then change it at the provider, or see IDP__<NAME>__ASSERTION_MINUTES and "
    "IDP__<NAME>__ISSUED_MINUTES.",
)
SAML_CONFIRMATION = _sign_in("AUTH_085", "The assertion has no single bearer confirmation", _IDP)
SAML_SUBJECT = _sign_in("AUTH_086", "The assertion names no persistent subject", _IDP)
SAML_AUTHN = _sign_in("AUTH_087", "The assertion does not say when and how the user signed in", _IDP)
SAML_REPLAYED = _sign_in("AUTH_088", "The assertion was used before", _AGAIN)
SAML_LOGOUT = Error("AUTH_089", 400, "Sign-out refused", "The SAML logout message was not accepted", _IDP)
SAML_NO_LOGOUT = Error("AUTH_090", 400, "Sign-out refused", "The provider offers no single logout", _IDP)
SESSION_ENDED = _token("AUTH_091", "The session was ended", _SIGN_IN)

KEYS_DOWN = outage("SYS_003", "The issuer's signing keys cannot be fetched", "Retry after the given time.")
KEYS_UNUSABLE = outage(
    "SYS_013", "The issuer's keys (SAML: its metadata) were fetched, and none can be used", "See the log for why."
)
PROVIDER_DOWN = outage("SYS_006", "The identity provider cannot be reached", "Retry after the given time.")
PROVIDER_WRONG = outage(
    "SYS_007", "The identity provider and our settings do not fit each other", "See the log for the reason."
)
SIGNING_DOWN = outage("SYS_009", "Tokens cannot be signed now", "Retry after the given time.")

# What the tenant of any caller can be refused for.
_TENANT_ERRORS = (
    TENANT_MISSING,
    TENANT_MALFORMED,
    TENANT_AMBIGUOUS,
    TENANT_FORBIDDEN,
)
# What a bearer token can be answered at the gate.
TOKEN_ERRORS = (
    *_TENANT_ERRORS,
    TOKEN_EXPIRED,
    TOKEN_MALFORMED,
    TOKEN_HEADER,
    TOKEN_ISSUER,
    TOKEN_KEY,
    TOKEN_SIGNATURE,
    TOKEN_AUDIENCE,
    TOKEN_KIND,
    TOKEN_CLAIM,
    TOKEN_EARLY,
    TOKEN_LIFETIME,
    TOKEN_BOUND,
    SESSION_ENDED,
    KEYS_DOWN,
    KEYS_UNUSABLE,
)
# What a provider's answer can be answered.
SIGN_IN_ERRORS = (
    *_TENANT_ERRORS,
    LOGIN_UNKNOWN,
    LOGIN_TARGET,
    LOGIN_ANSWER,
    LOGIN_MIXED,
    LOGIN_REFUSED,
    LOGIN_IDENTITY,
    LOGIN_GRANT,
    LOGIN_USERINFO,
    SAML_UNREADABLE,
    SAML_OVERSIZED,
    SAML_CONSTRUCT,
    SAML_UNVERIFIED,
    SAML_STATUS,
    SAML_ASSERTIONS,
    SAML_UNSIGNED,
    SAML_ISSUER,
    SAML_DESTINATION,
    SAML_RECIPIENT,
    SAML_AUDIENCE,
    SAML_UNSOLICITED,
    SAML_EXPIRED,
    SAML_EARLY,
    SAML_LIFETIME,
    SAML_CONFIRMATION,
    SAML_SUBJECT,
    SAML_AUTHN,
    SAML_REPLAYED,
    SIGNING_DOWN,
)
AUTH_ERRORS = tuple(row for row in list(globals().values()) if isinstance(row, Error))
