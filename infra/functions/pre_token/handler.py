"""Puts the user's tenant into the access and ID token, or refuses the token.

Cognito calls this before it issues any token, also when one is refreshed (pre token generation, event version V2:
https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html). It has no
permissions, keeps nothing, and writes no log line: attributes are personal data.
"""

from __future__ import annotations

import re
from typing import Any

# The same pattern as in service/tenancy.py, which cannot be imported: this file is deployed alone.
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class TenantError(Exception):
    """The user belongs to no tenant. Cognito shows the text to who signs in, so it repeats nothing."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer Cognito.

    Only ``custom:tenant_id`` counts: it is immutable and no app client may write it. ``clientMetadata`` is whatever
    the caller sent. Every trigger source is treated alike; a source that brings no user attributes gets no token.

    Args:
        event: Cognito's event.
        context: The Lambda context, not used.

    Returns:
        The event with the claim ``tenant_id`` for both tokens.

    Raises:
        TenantError: There is no well-formed tenant. Cognito then issues no token.
    """
    request = event.get("request")
    attributes = request.get("userAttributes") if isinstance(request, dict) else None
    tenant = attributes.get("custom:tenant_id") if isinstance(attributes, dict) else None
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise TenantError("This account is not assigned to an organization.")
    claims = {"claimsToAddOrOverride": {"tenant_id": tenant}}
    event["response"] = {
        "claimsAndScopeOverrideDetails": {"idTokenGeneration": claims, "accessTokenGeneration": claims}
    }
    return event
