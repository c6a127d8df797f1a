"""What the text of a variable must look like. A refusal says the rule and never repeats the text: it may be secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from service.settings.secret import Secret
from service.strict import LOOPBACK
from service.tenancy import TenantId


class FormatError(ValueError):
    """What is wrong with a value, in words that never repeat it: the one kind of error whose text is told on."""


def _url(value: str) -> str:
    parts = urlsplit(value)
    local = parts.scheme == "http" and (parts.hostname or "") in LOOPBACK
    _ = parts.port  # of what is no number, this alone takes notice
    if not parts.hostname or "@" in parts.netloc or parts.fragment or not (parts.scheme == "https" or local):
        raise FormatError("must be an https address (http only on this machine), without credentials or fragment")
    return value


def _origin(value: str) -> str:
    parts = urlsplit(_url(value))
    if value != f"{parts.scheme}://{parts.netloc}" or value != value.lower() or "*" in value:
        raise FormatError("must be an exact origin: scheme://host[:port] in lower case, no path, no wildcard")
    return value


def _split(value: object) -> object:
    return tuple(part for part in (p.strip() for p in value.split(",")) if part) if isinstance(value, str) else value


def _database_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    options = parse_qs(parts.query)
    _ = parts.port
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or len(parts.path) < 2:
        raise FormatError("must be postgresql://user@host:port/database?sslmode=...")
    if options.get("sslmode", [""])[-1] not in ("verify-full", "disable") or set(options) - {"sslmode"}:
        raise FormatError("takes one option, sslmode=verify-full (or disable, in development)")
    return value


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


def _proxy(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "socks5" or not parts.hostname or not parts.port or parts.path or parts.query or "@" in value:
        raise FormatError("must be socks5://host:port")
    return value


def _ca_file(value: object) -> object:
    return Path(__file__).parents[1] / "database" / "rds-ca.pem" if value == "rds" else value


def _pem(value: SecretStr) -> SecretStr:
    # What came through a dotenv file or a form may have lost its line feeds.
    text = value.get_secret_value().replace("\\n", "\n")
    if not text.lstrip().startswith("-----BEGIN ") or "-----END " not in text:
        raise FormatError("must be PEM")
    return SecretStr(text)


def LongEnough(characters: int) -> AfterValidator:  # noqa: N802  used as a type is
    """For a secret that is given by value: the characters it must have at least."""

    def check(secret: Secret | None) -> Secret | None:
        if secret is not None and secret.value is not None and len(secret.value) < characters:
            raise FormatError(f"must have {characters} characters or more")
        return secret

    return AfterValidator(check)


Url = Annotated[str, AfterValidator(_url)]
Origin = Annotated[str, AfterValidator(_origin)]
Listed = BeforeValidator(_split)
Pem = Annotated[SecretStr, AfterValidator(_pem)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Tenants = Annotated[tuple[str, ...], Listed, AfterValidator(_tenants)]
ClaimPath = Annotated[str, AfterValidator(_claim_path)]
EntityId = Annotated[str, AfterValidator(_entity_id)]
Proxy = Annotated[str, AfterValidator(_proxy)]
CaFile = Annotated[Path, BeforeValidator(_ca_file)]
