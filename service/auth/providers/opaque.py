"""Providers whose access tokens no one else can read, by their issuer: refused when they are set, not at each call.

Which tokens are signed JWTs is the provider's to decide, and a well-known one decides by what it is asked: the kind of
provider says that, and so a well-known issuer under another kind is refused, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from service.auth.settings import OpenIdSettings

_OKTA: Final = re.compile(r".+\.(?:okta|oktapreview|okta-emea|okta-gov)\.com\Z")
# Issuers of a kind. What else the kind needs to get tokens that can be read is below.
_KINDS: Final = tuple(
    (kind, re.compile(rf"(?:{hosts})\Z"))
    for kind, hosts in (
        ("okta", _OKTA.pattern.removesuffix(r"\Z")),
        ("auth0", r".+\.auth0\.com|.+\.auth0app\.com"),
        ("entra", r"login\.microsoftonline\.(?:com|us)|sts\.windows\.net|login\.partner\.microsoftonline\.cn"),
        ("google", r"accounts\.google\.com"),
        ("cognito", r"(?:issuer-)?cognito-idp\.[a-z0-9-]+\.amazonaws\.com"),
    )
)
_NEVER: Final = re.compile(
    r"(?:.+\.)?(?:github\.com|facebook\.com|linkedin\.com|slack\.com|twitch\.tv|discord\.com|yahoo\.com|"
    r"paypal\.com|appleid\.apple\.com|account\.apple\.com)\Z"
)


def opaque(name: str, provider: OpenIdSettings) -> Iterator[str]:
    """Why a provider's access tokens would be refused, each of them.

    Args:
        name: As in ``IDP__<NAME>__...``.
        provider: Its settings.

    Yields:
        One line per problem, which begins with the variable's name.
    """
    prefix = f"IDP__{name}__".upper()
    parts = urlsplit(provider.issuer)
    host = parts.hostname or ""
    kind = next((kind for kind, hosts in _KINDS if hosts.match(host)), provider.kind)
    if kind != provider.kind:
        yield f"{prefix}KIND must be {kind} for this issuer: tokens of {provider.kind} are judged by other rules"
    if kind == "okta" and _OKTA.match(host) and not parts.path.startswith("/oauth2/"):
        yield (
            f"{prefix}ISSUER must not be Okta's org authorization server, whose access tokens are opaque: name a "
            "custom one (example: https://example.okta.com/oauth2/default)"
        )
    if kind == "auth0" and not provider.audience:
        yield (
            f"{prefix}AUDIENCE is required for auth0, whose access tokens are opaque without one: make an API there "
            "and give its identifier (example: https://api.example.com)"
        )
    if _NEVER.match(host):
        yield (
            f"{prefix}ISSUER is of a provider whose access tokens are opaque: sign its people in through one that "
            "makes JWTs (Cognito, Auth0, Keycloak), and set that one's issuer"
        )
