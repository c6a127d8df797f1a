"""Identity providers as data: what a kind of provider implies, and what the settings add to it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from service.auth.settings import AudienceParameter, AuthSettings, OpenIdSettings
from service.settings import Secret, SettingsError
from service.tenancy import TenantId

# Asymmetric only: with an HMAC in the list, a public key could be used as a shared secret (RFC 8725, section 3.1).
_RS256 = frozenset({"RS256"})
_ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})
_JWT = frozenset({"", "jwt"})
# RFC 9068, section 2.1; "JWT" or nothing is what most providers still send.
_ACCESS = _JWT | {"at+jwt", "application/at+jwt"}
GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ENTRA = "https://login.microsoftonline.com/{tenantid}/v2.0"

ClaimPath = tuple[str, ...]
LogoutStyle = Literal["rp_initiated", "cognito", "auth0", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a kind of provider implies.

    Attributes:
        accepted: Which of its tokens is a bearer token here.
        algorithms: Signature algorithms its tokens may use.
        types: Accepted ``typ`` header values in lower case; ``""`` stands for none.
        refused_headers: Header members that only its tokens for others have.
        required: Claims that tell the accepted token from the provider's other tokens, with the value they must have.
        refused: Claims that only its other tokens have.
        id_required: Like ``required``, for its ID token at sign-in.
        client_id_claims: Claims that may name the client the token was issued to; those after the first only where an
            audience is set, because they are in ID tokens too.
        subject_claim: Claim that names the user for good.
        longest_subject: In characters.
        scope_claim: Claim that holds the scopes: a text with blanks, or a list.
        tenant_paths: Claims that may hold the tenant; those that are present must agree.
        scopes: What to ask for at sign-in.
        jwks_path: Path of the key set below the issuer; None means OpenID discovery tells.
        audience_parameter: How a sign-in asks for a token of the audience; None where the provider needs no asking.
        logout: How its session is ended.
        backdated: By how many seconds it writes ``iat`` too early, for clocks that are behind.
    """

    accepted: Literal["access", "id"] = "access"
    algorithms: frozenset[str] = _RS256
    types: frozenset[str] = _ACCESS
    refused_headers: frozenset[str] = frozenset()
    required: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    id_required: Mapping[str, str] = field(default_factory=dict)
    client_id_claims: tuple[str, ...] = ("client_id",)
    subject_claim: str = "sub"
    longest_subject: int = 255  # OpenID Connect Core 1.0, section 2
    scope_claim: str = "scope"
    tenant_paths: tuple[ClaimPath, ...] = (("tenant_id",), ("organization_id",))
    scopes: tuple[str, ...] = ("openid",)
    jwks_path: str | None = None
    audience_parameter: AudienceParameter | None = None
    logout: LogoutStyle = "rp_initiated"
    backdated: int = 0


# `nonce` and `at_hash` are an ID token's alone (OpenID Connect Core 1.0, sections 2 and 3.1.3.6).
_ID_TOKEN_MARKS = frozenset({"nonce", "at_hash", "c_hash"})

PRESETS: Mapping[str, Preset] = {
    # docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
    "cognito": Preset(
        types=_JWT,
        required={"token_use": "access"},
        id_required={"token_use": "id"},
        jwks_path="/.well-known/jwks.json",
        logout="cognito",
    ),
    # Custom authorization servers only: tokens of the org server are opaque to others. `sub` is the login name, which
    # can be given to another person; `uid` cannot.
    "okta": Preset(
        types=_ACCESS | {"application/okta-internal-at+jwt"},
        refused=_ID_TOKEN_MARKS,
        client_id_claims=("cid",),
        subject_claim="uid",
        scope_claim="scp",
    ),
    # `audience` in the authorization request is what makes the access token a JWT.
    "auth0": Preset(refused=_ID_TOKEN_MARKS, client_id_claims=("azp",), audience_parameter="audience", logout="auth0"),
    # v2.0 tokens; `sub` differs per application, so users are known by `oid`. A header with `nonce` is a token for
    # Microsoft Graph, which only Microsoft Graph can verify.
    "entra": Preset(
        types=_JWT,
        refused_headers=frozenset({"nonce"}),
        required={"ver": "2.0"},
        refused=_ID_TOKEN_MARKS,
        id_required={"ver": "2.0"},
        client_id_claims=("azp",),
        subject_claim="oid",
        scope_claim="scp",
        tenant_paths=(("tid",),),
        backdated=300,  # `iat` and `nbf` are five minutes before the token was made
    ),
    # Every token of a realm has the same issuer, header and keys: only the payload's `typ` tells them apart.
    "keycloak": Preset(
        algorithms=_ASYMMETRIC,
        types=_ACCESS,
        required={"typ": "Bearer"},
        id_required={"typ": "ID"},
        client_id_claims=("azp",),
    ),
    # Its access tokens are opaque. `hd` in the token decides, the parameter of that name in the request is a hint.
    "google": Preset(
        accepted="id",
        types=_JWT,
        client_id_claims=("aud",),
        tenant_paths=(("hd",),),
        scopes=("openid", "email"),
        logout="none",
    ),
    # `client_id` is RFC 9068's; many have written `azp`, which is older, and have stayed with it.
    "oidc": Preset(algorithms=_ASYMMETRIC, refused=_ID_TOKEN_MARKS, client_id_claims=("client_id", "azp")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One configured identity provider.

    Attributes:
        name: As in ``IDP__<NAME>__...``, lower case.
        kind: As in ``IDP__<NAME>__KIND``.
        preset: What its kind implies.
        issuer: Its ``iss``, to the letter; for all organisations of Entra ID with ``{tenantid}`` in it.
        client_ids: Clients whose tokens are accepted; empty when the audience alone decides.
        client_id: The client we sign people in with; None where no sign-in is possible.
        client_secret: Where its secret is; None for a public client.
        id_token_algorithm: What the client's ID tokens are signed with; None where discovery tells.
        audience: Our identifier in ``aud``; None when the client id alone decides.
        audience_parameter: How a sign-in asks for a token of that audience; None where it does not.
        scopes: What to ask for at sign-in.
        userinfo: Whether to compare the token with the userinfo endpoint at sign-in.
        jwks_url: Where its keys are; None when discovery tells.
        discovery_url: Its OpenID configuration.
        tenant_paths: Claims that may hold the tenant; those that are present must agree.
        tenants: Tenants it may speak for; empty means all.
        tenant_map: Tenant by value of the claim; empty means that the claim holds the tenant itself.
    """

    name: str
    kind: str
    preset: Preset
    issuer: str
    client_ids: frozenset[str] = frozenset()
    client_id: str | None = None
    client_secret: Secret | None = None
    id_token_algorithm: str | None = None
    audience: str | None = None
    audience_parameter: AudienceParameter | None = None
    scopes: tuple[str, ...] = ("openid",)
    userinfo: bool = False
    jwks_url: str | None = None
    discovery_url: str = ""
    tenant_paths: tuple[ClaimPath, ...] = (("tenant_id",), ("organization_id",))
    tenants: frozenset[TenantId] = frozenset()
    tenant_map: Mapping[str, TenantId] = field(default_factory=dict)

    @property
    def client_id_claims(self) -> tuple[str, ...]:
        """Claims that may name the client a token was issued to; those that are present must name one of ours."""
        return self.preset.client_id_claims if self.audience else self.preset.client_id_claims[:1]

    def issuer_of(self, claims: Mapping[str, Any]) -> str | None:
        """The ``iss`` that a token with these claims must have.

        Args:
            claims: Not verified yet: they choose among this provider's issuers only, and the map of tenants decides.

        Returns:
            None when they fit no issuer of this provider.
        """
        if "{tenantid}" not in self.issuer:
            return self.issuer
        tenant = claims.get("tid")
        if not isinstance(tenant, str) or not GUID.fullmatch(tenant):
            return None
        return self.issuer.replace("{tenantid}", tenant)

    def id_token_algorithms(self, document: Mapping[str, Any]) -> frozenset[str]:
        """What the ID tokens of our client may be signed with (OpenID Connect Core 1.0, section 3.1.3.7, 7).

        Args:
            document: The provider's discovery document.
        """
        if self.id_token_algorithm is not None:
            return frozenset({self.id_token_algorithm})
        listed = document.get("id_token_signing_alg_values_supported")
        if not isinstance(listed, list):
            return self.preset.algorithms
        return frozenset(name for name in listed if isinstance(name, str)) & self.preset.algorithms


def configured(auth: AuthSettings) -> tuple[Provider, ...]:
    """The providers the settings describe whose tokens are JWTs, in their order.

    Raises:
        SettingsError: An algorithm that its kind of provider does not sign with.
    """
    return tuple(_provider(name, group) for name, group in auth.idp.items() if isinstance(group, OpenIdSettings))


def _provider(name: str, group: OpenIdSettings) -> Provider:
    preset = PRESETS[group.kind]
    base = group.issuer.rstrip("/")
    pairs = [item.rpartition("=") for item in group.tenants if "=" in item]
    if group.id_token_algorithm is not None and group.id_token_algorithm not in preset.algorithms:
        variable, known = f"IDP__{name}__ID_TOKEN_ALGORITHM".upper(), ", ".join(sorted(preset.algorithms))
        raise SettingsError(f"{variable} is {group.id_token_algorithm}, and {group.kind} signs with {known}: unset it")
    if group.audience_parameter is not None and group.audience is None:
        asked = f"IDP__{name.upper()}__AUDIENCE_PARAMETER is {group.audience_parameter}"
        raise SettingsError(f"{asked}, and IDP__{name.upper()}__AUDIENCE is unset: set what a sign-in is to ask for")
    return Provider(
        name=name,
        kind=group.kind,
        preset=preset,
        # The document of all organisations names its issuer with this placeholder; a token has the GUID in its place.
        issuer=_ENTRA if group.kind == "entra" and _of_all_organisations(group.issuer) else group.issuer,
        client_ids=frozenset(group.client_id),
        client_id=group.client_id[0] if group.client_id else None,
        client_secret=group.client_secret,
        id_token_algorithm=group.id_token_algorithm,
        audience=group.audience,
        audience_parameter=group.audience_parameter or (preset.audience_parameter if group.audience else None),
        scopes=group.scopes or preset.scopes,
        userinfo=group.userinfo,
        jwks_url=group.jwks_url or (base + preset.jwks_path if preset.jwks_path else None),
        discovery_url=group.discovery_url or f"{base}/.well-known/openid-configuration",
        tenant_paths=(_path(group.tenant_claim),) if group.tenant_claim else preset.tenant_paths,
        tenants=frozenset(TenantId.parse(item) for item in group.tenants if item != "*" and "=" not in item),
        tenant_map={value: TenantId.parse(tenant) for value, _, tenant in pairs},
    )


def _of_all_organisations(issuer: str) -> bool:
    return urlsplit(issuer).path.split("/")[1:2] in (["organizations"], ["common"])


def _path(text: str) -> ClaimPath:
    """A claim's name, dots and all; or the names that lead to it, as a JSON list."""
    return tuple(json.loads(text)) if text.startswith("[") else (text,)
