"""The variables of this domain: who may sign in where, and what is signed and sealed on the way.

None begins with the feature's name: the stacks, Railway and operators know them as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.auth.formats import ClaimPath, EntityId, Tenants
from service.settings import ByValue, Group, Listed, LongEnough, Secret, Settings, Url

PROVIDER_LIMIT: Final = 50
SESSION_KEY_CHARACTERS: Final = 32  # at least, by value or in the store: a shorter one could be guessed from one cookie

OpenIdKind = Literal["cognito", "okta", "auth0", "entra", "keycloak", "google", "oidc"]
AudienceParameter = Literal["audience", "resource"]
Algorithm = Literal["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]

_KIND = Field(description="Which preset describes the provider.", examples=["cognito"])
_ISSUER = Field(
    description="Its `iss` (SAML: its entity id), compared to the letter.",
    examples=["https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE"],
)


class _Provider(BaseModel):
    """What every identity provider has, whatever its protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: str = _KIND
    issuer: str = _ISSUER
    tenant_claim: ClaimPath | None = Field(
        default=None,
        description="The one claim (SAML: attribute) that holds the tenant, or the JSON list of names that leads to it "
        "(default: the preset's; for most tenant_id or organization_id, which must agree).",
        examples=["tenant_id"],
        min_length=1,
    )
    tenants: Tenants = Field(
        default=(),
        description="The tenants it may speak for, separated by commas; or pairs of a claim's value and its tenant, "
        "as in example.com=acme; or * for all (which is what leaving it out means, where that is allowed).",
        examples=["acme,globex"],
    )


class OpenIdSettings(_Provider):
    """One OpenID provider: the group ``IDP__<NAME>__...``; ``<NAME>`` in lower case is its name."""

    model_config = ConfigDict(title="OpenID providers")

    kind: Annotated[OpenIdKind, _KIND]
    issuer: Annotated[Url, _ISSUER]
    client_id: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="Client ids whose tokens are accepted, separated by commas; the first is the one we sign in with.",
        examples=["1h57kf5cpq17m0"],
    )
    client_secret: Annotated[
        Secret | None, ByValue("That secret itself; outside production only.", "a-client-secret")
    ] = Field(
        default=None,
        description="Secrets Manager entry with the client's secret; a public client has none.",
        examples=["signalbox/production/idp-okta"],
    )
    scopes: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="Scopes to ask for at sign-in, separated by commas (default: the preset's).",
        examples=["openid,email"],
    )
    userinfo: bool = Field(
        default=False,
        description="Ask its userinfo endpoint at sign-in, and refuse when subject or tenant differ from the token's.",
        examples=["false"],
    )
    id_token_algorithm: Algorithm | None = Field(
        default=None,
        description="The one algorithm of the ID tokens of our client there, as it is registered "
        "(id_token_signed_response_alg; default: what the provider's discovery lists).",
        examples=["ES256"],
    )
    audience: str | None = Field(
        default=None,
        description="Our identifier in `aud`.",
        examples=["https://api.example.com"],
        min_length=1,
    )
    audience_parameter: AudienceParameter | None = Field(
        default=None,
        description="Parameter with AUDIENCE in it by which a sign-in asks for a JWT, where the provider makes opaque "
        "tokens otherwise: resource (RFC 8707) or audience (default: none; for auth0 audience).",
        examples=["resource"],
    )
    jwks_url: Url | None = Field(
        default=None,
        description="Where its keys are, only where that differs from what the issuer implies.",
        examples=["https://idp.example.com/keys"],
    )
    discovery_url: Url | None = Field(
        default=None,
        description="Its OpenID configuration, only where that differs from what the issuer implies.",
        examples=["https://idp.example.com/.well-known/openid-configuration"],
    )


class SamlSettings(_Provider):
    """One SAML provider: the same group, of ``KIND=saml``."""

    model_config = ConfigDict(title="saml providers")

    kind: Annotated[Literal["saml"], _KIND]
    issuer: Annotated[EntityId, _ISSUER]
    metadata_url: Url | None = Field(
        default=None,
        description="SAML: where its metadata is; at a metadata query service with {entity_id} or {sha1} in it, which "
        "stand for ISSUER.",
        examples=["https://idp.example.com/metadata"],
    )
    metadata_file: Path | None = Field(
        default=None, description="SAML: file with its metadata, instead.", examples=["/app/idp-metadata.xml"]
    )
    metadata_certificate: str | None = Field(
        default=None,
        min_length=1,
        description="SAML: certificate that its metadata must be signed with: PEM, or the base64 in it on one line.",
        examples=["MIIC8DCCAdigAwIBAgIQ..."],
    )
    sp_secret: Annotated[
        Secret | None,
        ByValue("That list itself; outside production only.", '[{"private_key": "...", "certificate": "..."}]'),
    ] = Field(
        default=None,
        description="SAML: Secrets Manager entry with our key pairs, as a JSON list of objects with private_key and "
        "certificate (PEM). The first signs; all are published and decrypt.",
        examples=["signalbox/production/idp-clinic-sp"],
    )
    subject_attribute: str | None = Field(
        default=None,
        min_length=1,
        description="SAML: attribute that names the user for good (default: the persistent NameID).",
        examples=["urn:oid:1.3.6.1.4.1.5923.1.1.1.13"],
    )
    unsolicited: bool = Field(
        default=False,
        description="SAML: accept responses that answer no request of ours, as from a portal. Any user with an account "
        "there can then sign another person's browser in as themselves.",
        examples=["false"],
    )
    unsolicited_return_to: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="SAML: page below one of ALLOWED_ORIGINS that such a response leads to, with a login_code, unless "
        "its RelayState names another (default: the first of ALLOWED_ORIGINS, and /).",
        examples=["https://app.example.com/welcome"],
    )
    assertion_minutes: int = Field(
        default=80,
        ge=5,
        le=1440,
        description="SAML: how far away the end of an assertion may be, in minutes (LemonLDAP::NG: 1200).",
        examples=["80"],
    )
    issued_minutes: int = Field(
        default=5,
        ge=1,
        le=60,
        description="SAML: how long ago a message may have been issued (IssueInstant), in minutes; a response comes "
        "straight from the provider, unless the person is asked something in between.",
        examples=["5"],
    )
    sign_in_minutes: int = Field(
        default=720,
        ge=5,
        le=10080,
        description="SAML: how long ago a person may have signed in at the provider, in minutes; when it is longer, "
        "the provider is told to ask again.",
        examples=["720"],
    )


class AuthSettings(Group):
    """What this domain is set up with."""

    PREFIX: ClassVar = ""

    session_secret: Annotated[
        Secret | None,
        LongEnough(SESSION_KEY_CHARACTERS),
        ByValue(
            "That secret itself, 32 characters or more; outside production only.",
            "an-example-of-32-or-more-characters",
        ),
    ] = Field(
        default=None,
        description="Secrets Manager entry that login cookies are encrypted with.",
        examples=["signalbox/production/session-key"],
    )
    token_signing_key_id: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="KMS key (ECC_NIST_P256, sign and verify) that signs the tokens this service issues; after a "
        "comma, others whose public half is published with it: the key before it, or the one to come.",
        examples=["arn:aws:kms:us-east-1:111122223333:key/5678efgh-12ab-34cd-56ef-1234567890ab"],
    )
    tokens_remembered: int = Field(
        default=20_000,
        ge=0,
        le=1_000_000,
        description="How many callers' tokens are remembered, so that they are verified once and not at each request: "
        "about 2 kB of memory each. 0 verifies every token at every request.",
        examples=["20000"],
    )
    idp: dict[str, OpenIdSettings | SamlSettings] = Field(
        min_length=1,
        max_length=PROVIDER_LIMIT,
        description="Identity providers.",
        examples=[{"cognito": {"kind": "cognito", "issuer": "https://idp.example.com", "client_id": "example"}}],
    )

    def unsafe(self, settings: Settings) -> Iterator[str]:
        """See ``Group``."""
        from service.auth.refusals import unsafe  # which needs the types above

        return unsafe(self, settings)
