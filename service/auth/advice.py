"""What to do about a token that was refused, where the code alone would mislead: one advice for a code, unless kinds of
providers differ, or the form of the token tells more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from service.auth.providers.causes import issuers_differ
from service.auth.providers.presets import Provider
from service.auth.tokens.unverified import UnverifiedToken
from service.errors import ApiError
from service.strict import json_object, unbase64url

# By kind ("" is any), code, reason ("" is any); the first that is there holds.
_ADVICE: Mapping[tuple[str, str, str], str] = {
    ("", "AUTH_001", ""): "It has ended: get a fresh one. Where a fresh one says so too, compare the clocks.",
    ("", "AUTH_003", "algorithm"): (
        "Its algorithm is not one that this kind of provider signs access tokens with: have the provider sign with "
        "an asymmetric one (RS256), and send the access token, not a refresh token."
    ),
    ("", "AUTH_005", ""): (
        "No key of the provider's set has that kid: the token is of another environment or another authorization "
        "server of the provider, or JWKS_URL names another set."
    ),
    ("", "AUTH_006", ""): (
        "The key of that kid did not sign it: it was changed on the way, or cut off, or JWKS_URL names the set of "
        "another provider."
    ),
    ("", "AUTH_007", "aud"): (
        "It is for another API: ask for ours at sign-in (audience, resource or scope, as the provider has it), or "
        "set AUDIENCE to what the provider writes."
    ),
    ("", "AUTH_007", ""): (
        "It was issued to another client: add that to CLIENT_ID, which takes several, where it is yours."
    ),
    ("", "AUTH_008", ""): "It is another kind of token: send access_token of the provider's answer, not id_token.",
    ("", "AUTH_009", ""): "The provider leaves a claim out, or writes it in a form of its own: have it add the claim.",
    ("", "AUTH_010", ""): "It is from the future: compare the clock of the provider with ours.",
    ("", "AUTH_011", ""): "Have the provider make access tokens that live for 60 minutes at most.",
    ("", "AUTH_012", ""): "It is bound to a key of the client (DPoP, mTLS): have the client ask for a bearer token.",
    ("", "AUTH_030", ""): (
        "Have the provider put the tenant into the access token, under the name that TENANT_CLAIM has."
    ),
    ("", "AUTH_033", ""): "Add the tenant (or the pair value=tenant) to TENANTS, where this provider may speak for it.",
    ("cognito", "AUTH_007", "aud"): (
        "Cognito writes aud only where the sign-in sent resource=: unset AUDIENCE, so that CLIENT_ID decides."
    ),
    ("cognito", "AUTH_007", ""): (
        "It was issued to another app client of the pool: compare CLIENT_ID with the stack's output "
        "UserPoolClientId."
    ),
    ("cognito", "AUTH_008", ""): "It is Cognito's ID token: send access_token, not id_token.",
    ("cognito", "AUTH_030", ""): (
        "The pre token generation function must be of event version V2_0 and add tenant_id to the access token, and "
        "the user must have custom:tenant_id."
    ),
    ("cognito", "AUTH_011", ""): "Shorten the access token validity of the app client to 60 minutes.",
    ("okta", "AUTH_007", "aud"): (
        "AUDIENCE must be the audience of the authorization server (Security, API; of default: api://default)."
    ),
    ("okta", "AUTH_009", "uid"): (
        "Only access tokens of a custom authorization server have uid: this is a service's (client credentials), or "
        "the org server's."
    ),
    ("okta", "AUTH_030", ""): (
        "Add the claim to the authorization server (Security, API, Claims), for the access token, always."
    ),
    ("auth0", "AUTH_007", "aud"): (
        "AUDIENCE must be the identifier of the API in Auth0 (Applications, APIs), and the sign-in must send it as "
        "audience."
    ),
    ("auth0", "AUTH_008", ""): "It is Auth0's ID token: send access_token; ours come with audience in the request.",
    ("auth0", "AUTH_011", ""): "Set the API's token expiration to 3600 s (Applications, APIs, Settings).",
    ("auth0", "AUTH_030", ""): (
        "Auth0 drops claims without a namespace in silence: write the claim under an address, such as "
        "https://api.example.com/tenant_id, in a post-login Action, and name that in TENANT_CLAIM."
    ),
    ("entra", "AUTH_007", "aud"): (
        "AUDIENCE must be the client id (a GUID) of the API's registration; in version 2 it is not api://..."
    ),
    ("entra", "AUTH_008", "header"): (
        "It is a token for Microsoft Graph, which nobody else can verify: name the API's own scope in SCOPES "
        "(api://.../access_as_user)."
    ),
    ("entra", "AUTH_008", "ver"): (
        "It is a version 1 token: set requestedAccessTokenVersion to 2 in the manifest of the API's registration."
    ),
    ("entra", "AUTH_011", ""): "Give the API's registration a token lifetime policy with AccessTokenLifetime 01:00:00.",
    ("entra", "AUTH_033", ""): (
        "Add the directory's id as a pair tid=tenant to TENANTS, where that organisation is a customer."
    ),
    ("keycloak", "AUTH_003", "algorithm"): (
        "Keycloak signs its refresh tokens with HS512, for itself: send access_token."
    ),
    ("keycloak", "AUTH_007", "aud"): (
        "Add an Audience mapper to a client scope of the client, with AUDIENCE in it: without one, aud is account."
    ),
    ("keycloak", "AUTH_008", ""): (
        "Its payload's typ says what it is: send access_token (Bearer), not the ID token or another."
    ),
    ("keycloak", "AUTH_030", ""): "Add a User Attribute mapper for the tenant to the client, for the access token.",
    ("google", "AUTH_007", ""): "It is the ID token of another client: sign in with the client of CLIENT_ID.",
    ("google", "AUTH_030", ""): (
        "It is a private account, which has no hd: only accounts of a Workspace domain belong to a tenant."
    ),
    ("google", "AUTH_033", ""): "Add the domain in hd as a pair domain=tenant to TENANTS, where it is a customer's.",
}
# What to send instead of a token that only its provider can read.
_OPAQUE: Mapping[str, str] = {
    "auth0": "Auth0 makes a JWT only for an API: set AUDIENCE to its identifier, and send it as audience at sign-in",
    "google": "Google's access tokens are opaque: send id_token",
    "cognito": "send Cognito's access_token; its refresh token, and a code, are for Cognito alone",
    "okta": "ask a custom authorization server for it (/oauth2/default), and send access_token",
    "entra": "name the API's scope in SCOPES, so that the token is for the API and not for Microsoft",
    "keycloak": "send access_token; where the client encrypts or shortens its tokens (lightweight), switch that off",
    "oidc": "have the provider make JWT access tokens (RFC 9068) for our AUDIENCE: many make opaque ones unless an "
    "audience or resource is asked for (AUDIENCE_PARAMETER)",
}


def remedy(failure: ApiError, kind: str) -> str:
    """What to do about a refusal: as the log says it of a sign-in, and ``auth check`` of a token.

    Args:
        failure: The refusal.
        kind: Of the provider; "" where it is not known.
    """
    return advice(failure, kind) or failure.error.action


def advice(failure: ApiError, kind: str) -> str | None:
    """The same; None where the code's own advice holds."""
    code, reason = failure.error.code, failure.reason or ""
    reason = reason.removesuffix("_form")  # an aud that is absent is as good as one that names others
    for key in ((kind, code, reason), (kind, code, ""), ("", code, reason), ("", code, "")):
        if key in _ADVICE:
            return _ADVICE[key]
    return None


def advice_on_form(text: str, providers: Iterable[Provider]) -> str:
    """What a text is that is no signed JWT, and what to send in its place, of each configured kind of provider."""
    kinds = dict.fromkeys(provider.kind for provider in providers)
    instead = "; ".join(f"{kind}: {_OPAQUE[kind]}" for kind in kinds if kind in _OPAQUE)
    dots = text.count(".")
    if dots == 4 and _is_encrypted(text):
        return f"It is encrypted (JWE, five parts), and only the provider can open it. {instead}."
    if not text:
        return "There is nothing on standard input: pipe the token in, as in `signalbox auth check < token.txt`."
    if dots != 2:
        return f"It is no JWT but opaque: {dots + 1} parts between dots where a JWT has 3. {instead}."
    return "It has three parts, and one is no base64url or no JSON: it was cut off, or changed, or quoted on the way."


def advice_on_issuer(token: UnverifiedToken, providers: Iterable[Provider]) -> str | None:
    """Which configured provider an unknown issuer looks like, and how the two differ; None where it is like none."""
    found = token.claims.get("iss")
    if not isinstance(found, str):
        return "It names no issuer: it is no token of an OpenID provider."
    ranked = sorted(providers, key=lambda provider: -_likeness(provider, found))
    if not ranked or _likeness(ranked[0], found) == 0:
        return "It is of a provider that no IDP__<NAME>__ISSUER names: send a token of one that is, or configure it."
    best = ranked[0]
    return f"Of provider {best.name}: {issuers_differ(best.kind, best.name, best.issuer, found)}."


def _likeness(provider: Provider, found: str) -> int:
    try:
        ours, theirs = urlsplit(provider.issuer), urlsplit(found)
        same_path = len(ours.path) > 1 and ours.path.rstrip("/") == theirs.path.rstrip("/")
        same_host = bool(ours.hostname) and ours.hostname == theirs.hostname
    except ValueError:
        return 0
    alias = provider.kind == "entra" and theirs.hostname == "sts.windows.net"
    alias = alias or (provider.kind == "google" and found == "accounts.google.com")
    return 2 * same_host + same_path + 3 * alias


def _is_encrypted(text: str) -> bool:
    try:
        return "enc" in json_object(unbase64url(text.partition(".")[0]))
    except (ValueError, RecursionError):
        return False
