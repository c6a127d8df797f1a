"""Identity providers of organizations behind the hosted login. What they say about tenants is not even read."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import SecretValue
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from infra.stage.parts import Federated

_SAML_EMAIL = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"


def add_providers(
    scope: Construct, pool: cognito.IUserPool, providers: Sequence[Federated], *, secrets_prefix: str
) -> list[cognito.IUserPoolIdentityProvider]:
    """Register providers with a pool.

    The one attribute that is mapped is the address. A mapped attribute is written by whoever runs the provider, so
    ``custom:tenant_id`` is none: the pre token function takes the tenant from the provider's name.

    Args:
        scope: Where the constructs go.
        pool: The pool.
        providers: From the stage.
        secrets_prefix: What the names of client secrets begin with.

    Returns:
        The providers, in their order.
    """
    return [_add(scope, pool, provider, secrets_prefix) for provider in providers]


def _add(
    scope: Construct, pool: cognito.IUserPool, provider: Federated, secrets_prefix: str
) -> cognito.IUserPoolIdentityProvider:
    if provider.metadata_url is not None:
        return cognito.UserPoolIdentityProviderSaml(
            scope,
            f"Saml{provider.name}",
            user_pool=pool,
            name=provider.name,
            metadata=cognito.UserPoolIdentityProviderSamlMetadata.url(provider.metadata_url),
            # An answer that nobody asked for can be replayed into somebody else's browser.
            idp_initiated=False,
            idp_signout=True,
            request_signing_algorithm=cognito.SigningAlgorithm.RSA_SHA256,
            attribute_mapping=cognito.AttributeMapping(email=cognito.ProviderAttribute.other(_SAML_EMAIL)),
        )
    assert provider.issuer is not None
    assert provider.client_id is not None
    # A reference that CloudFormation resolves: the template holds the secret's name.
    secret = SecretValue.secrets_manager(f"{secrets_prefix}/idp-{provider.name}")
    return cognito.UserPoolIdentityProviderOidc(
        scope,
        f"Oidc{provider.name}",
        user_pool=pool,
        name=provider.name,
        issuer_url=provider.issuer,
        client_id=provider.client_id,
        client_secret=secret.unsafe_unwrap(),
        attribute_request_method=cognito.OidcAttributeRequestMethod.GET,
        scopes=["openid", "email"],
        attribute_mapping=cognito.AttributeMapping(email=cognito.ProviderAttribute.other("email")),
    )
