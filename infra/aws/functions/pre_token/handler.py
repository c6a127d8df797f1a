"""Puts the user's tenant into the access and ID token, or refuses the token.

Cognito calls this before it issues any token, also when one is refreshed (pre token generation, event version V2:
https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html). It has no
permissions, keeps nothing, and writes no log line: attributes are personal data.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

# The same pattern as in service/tenancy.py, which cannot be imported: this file is deployed alone.
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class TenantError(Exception):
    """The user belongs to no tenant. Cognito shows the text to who signs in, so it repeats nothing."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer Cognito.

    A user of our own has the tenant in ``custom:tenant_id``, which is immutable and no app client may write. A
    federated user has that of the provider, by the name under which we registered it: what the provider says counts
    for nothing, and neither does ``clientMetadata``, which is whatever the caller sent. Every trigger source is
    treated alike; a source that brings no user attributes gets no token.

    Args:
        event: Cognito's event.
        context: The Lambda context, not used.

    Returns:
        The event with the claim ``tenant_id`` for both tokens.

    Raises:
        TenantError: There is no well-formed tenant, or more than one. Cognito then issues no token.
    """
    request = event.get("request")
    attributes = request.get("userAttributes") if isinstance(request, dict) else None
    if not isinstance(attributes, dict):
        raise TenantError("This account is not assigned to an organization.")
    found = _tenants(attributes)
    tenant = found.pop() if len(found) == 1 else None
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise TenantError("This account is not assigned to an organization.")
    claims = {"claimsToAddOrOverride": {"tenant_id": tenant}}
    event["response"] = {
        "claimsAndScopeOverrideDetails": {"idTokenGeneration": claims, "accessTokenGeneration": claims}
    }
    return event


def _tenants(attributes: dict[str, Any]) -> set[Any]:
    """Every tenant that somebody entitled to says this user has; None stands for a provider we do not know."""
    found: set[Any] = set()
    if "custom:tenant_id" in attributes:
        found.add(attributes["custom:tenant_id"] if isinstance(attributes["custom:tenant_id"], str) else None)
    if "identities" in attributes:
        found |= {_mapping().get(name) for name in _providers(attributes["identities"])}
    return found


def _providers(identities: Any) -> set[str]:
    """Names of the providers an account is linked to; an unreadable list names one that nobody is registered as."""
    try:
        parsed = json.loads(identities)
        names = {identity["providerName"] for identity in parsed}
        return names if names and all(isinstance(name, str) for name in names) else {""}
    except (TypeError, ValueError, KeyError):
        return {""}


def _mapping() -> dict[str, str]:
    """Provider name -> tenant, from the stage's configuration; not readable means that no provider is known."""
    try:
        found = json.loads(os.environ.get("TENANTS_BY_PROVIDER", "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
