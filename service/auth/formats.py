"""What the text of this domain's variables must look like, besides ``service.settings.formats``."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import AfterValidator

from service.settings import FormatError, Listed
from service.tenancy import TenantId


def _tenants(value: tuple[str, ...]) -> tuple[str, ...]:
    """``*``, or tenants, or ``value=tenant`` pairs: never a mixture, in which nobody could tell what is allowed."""
    if value == ("*",):
        return value
    for item in value:
        try:
            TenantId.parse(item.rpartition("=")[2])
        except ValueError as failure:  # whose text does not repeat the value
            raise FormatError(str(failure)) from None
    mapped = [item.rpartition("=")[0] for item in value]
    if any("=" in item for item in value) and (not all(mapped) or len(set(mapped)) != len(mapped)):
        raise FormatError("takes tenants, or value=tenant pairs with each value once, or * alone")
    return value


def _claim_path(value: str) -> str:
    if not value.startswith("["):
        return value
    try:
        path = json.loads(value)
    except (ValueError, RecursionError):
        path = None
    if not isinstance(path, list) or not 0 < len(path) <= 8 or not all(isinstance(s, str) and s for s in path):
        raise FormatError('must be a claim name, or a JSON list of names that lead to it, such as ["realm","tenant"]')
    return value


def _entity_id(value: str) -> str:
    """A name that need not be an address: ``urn:...``, ``http://www.okta.com/...``."""
    if not 0 < len(value) <= 1024 or not value.isprintable() or " " in value:  # SAML metadata 2.2.1
        raise FormatError("must be the provider's entity id: 1 to 1024 characters, no blanks")
    return value


Tenants = Annotated[tuple[str, ...], Listed, AfterValidator(_tenants)]
ClaimPath = Annotated[str, AfterValidator(_claim_path)]
EntityId = Annotated[str, AfterValidator(_entity_id)]
