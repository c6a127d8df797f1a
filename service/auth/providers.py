"""Identity providers as data: what a kind of provider implies, and what the settings add to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.settings import Settings
from service.tenancy import TenantId

# Asymmetric only: with an HMAC in the list, a public key could be used as a shared secret (RFC 8725, section 3.1).
_RS256 = frozenset({"RS256"})
_ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})


@dataclass(frozen=True, slots=True)
class Preset:
    """What a kind of provider implies.

    Attributes:
        algorithms: Signature algorithms its access tokens may use.
        types: Accepted ``typ`` header values in lower case; ``""`` stands for none.
        required: Claims that tell an access token from the provider's other tokens, with the value they must have.
        client_id_claim: Claim that names the client the token was issued to.
        jwks_path: Path of the key set below the issuer; None means OpenID discovery tells.
    """

    algorithms: frozenset[str]
    types: frozenset[str]
    required: Mapping[str, str]
    client_id_claim: str
    jwks_path: str | None


PRESETS: Mapping[str, Preset] = {
    # docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
    "cognito": Preset(_RS256, frozenset({"", "jwt"}), {"token_use": "access"}, "client_id", "/.well-known/jwks.json"),
    # RFC 9068: JWT profile for access tokens; "JWT" or nothing is what most providers still send.
    "oidc": Preset(_ASYMMETRIC, frozenset({"", "jwt", "at+jwt", "application/at+jwt"}), {}, "client_id", None),
}


@dataclass(frozen=True, slots=True)
class Provider:
    """One configured identity provider.

    Attributes:
        name: As in ``IDP__<NAME>__...``, lower case.
        preset: What its kind implies.
        issuer: Its ``iss``, to the letter.
        client_ids: Clients whose tokens are accepted; empty when the audience alone decides.
        audience: Our identifier in ``aud``; None when the client id alone decides.
        jwks_url: Where its keys are; None when discovery tells.
        discovery_url: Its OpenID configuration.
        tenant_claims: Claims that may hold the tenant; those that are present must agree.
        tenants: Tenants it may speak for; empty means all.
    """

    name: str
    preset: Preset
    issuer: str
    client_ids: frozenset[str]
    audience: str | None
    jwks_url: str | None
    discovery_url: str
    tenant_claims: tuple[str, ...]
    tenants: frozenset[TenantId]


def configured(settings: Settings) -> tuple[Provider, ...]:
    """The providers the settings describe, in their order."""
    found = []
    for name, group in settings.idp.items():
        preset = PRESETS[group.kind]
        base = group.issuer.rstrip("/")
        found.append(
            Provider(
                name=name,
                preset=preset,
                issuer=group.issuer,
                client_ids=frozenset(group.client_id),
                audience=group.audience,
                jwks_url=group.jwks_url or (base + preset.jwks_path if preset.jwks_path else None),
                discovery_url=group.discovery_url or f"{base}/.well-known/openid-configuration",
                tenant_claims=((group.tenant_claim,) if group.tenant_claim else ("tenant_id", "organization_id")),
                tenants=frozenset(TenantId.parse(tenant) for tenant in group.tenants),
            )
        )
    return tuple(found)
