"""What the text of a variable must look like. A refusal says the rule and never repeats the text: it may be secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo

from service.tenancy import TenantId

LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


def _url(value: str) -> str:
    parts = urlsplit(value)
    local = parts.scheme == "http" and (parts.hostname or "") in LOOPBACK
    if not parts.hostname or "@" in parts.netloc or parts.fragment or not (parts.scheme == "https" or local):
        raise ValueError("must be an https address (http only on this machine), without credentials or fragment")
    return value


def _origin(value: str) -> str:
    parts = urlsplit(_url(value))
    if value != f"{parts.scheme}://{parts.netloc}" or value != value.lower() or "*" in value:
        raise ValueError("must be an exact origin: scheme://host[:port] in lower case, no path, no wildcard")
    return value


def _split(value: object) -> object:
    return tuple(part for part in (p.strip() for p in value.split(",")) if part) if isinstance(value, str) else value


def _database_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    options = parse_qs(parts.query)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or len(parts.path) < 2:
        raise ValueError("must be postgresql://user@host:port/database?sslmode=...")
    if options.get("sslmode", [""])[-1] not in ("verify-full", "disable") or set(options) - {"sslmode"}:
        raise ValueError("takes one option, sslmode=verify-full (or disable, in development)")
    return value


def _tenants(value: tuple[str, ...]) -> tuple[str, ...]:
    """``*``, or tenants, or ``value=tenant`` pairs: never a mixture, in which nobody could tell what is allowed."""
    if value == ("*",):
        return value
    for item in value:
        TenantId.parse(item.rpartition("=")[2])
    mapped = [item.rpartition("=")[0] for item in value]
    if any("=" in item for item in value) and (not all(mapped) or len(set(mapped)) != len(mapped)):
        raise ValueError("takes tenants, or value=tenant pairs with each value once, or * alone")
    return value


def _claim_path(value: str) -> str:
    if not value.startswith("["):
        return value
    try:
        path = json.loads(value)
    except (ValueError, RecursionError):
        path = None
    if not isinstance(path, list) or not 0 < len(path) <= 8 or not all(isinstance(s, str) and s for s in path):
        raise ValueError('must be a claim name, or a JSON list of names that lead to it, such as ["realm","tenant"]')
    return value


def _issuer(value: str, info: ValidationInfo) -> str:
    """An address, or for SAML an entity id: a name that need not be one (``urn:...``, ``http://www.okta.com/...``)."""
    if info.data.get("kind") != "saml":
        return _url(value)
    if not 0 < len(value) <= 1024 or not value.isprintable() or " " in value:  # SAML metadata 2.2.1
        raise ValueError("must be the provider's entity id: 1 to 1024 characters, no blanks")
    return value


def _proxy(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "socks5" or not parts.hostname or not parts.port or parts.path or parts.query or "@" in value:
        raise ValueError("must be socks5://host:port")
    return value


def _ca_file(value: object) -> object:
    return Path(__file__).parents[1] / "database" / "rds-ca.pem" if value == "rds" else value


def _pem(value: SecretStr) -> SecretStr:
    # What came through a dotenv file or a form may have lost its line feeds.
    text = value.get_secret_value().replace("\\n", "\n")
    if not text.lstrip().startswith("-----BEGIN ") or "-----END " not in text:
        raise ValueError("must be PEM")
    return SecretStr(text)


Url = Annotated[str, AfterValidator(_url)]
Origin = Annotated[str, AfterValidator(_origin)]
Listed = BeforeValidator(_split)
Pem = Annotated[SecretStr, AfterValidator(_pem)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Tenants = Annotated[tuple[str, ...], Listed, AfterValidator(_tenants)]
ClaimPath = Annotated[str, AfterValidator(_claim_path)]
Issuer = Annotated[str, AfterValidator(_issuer)]
Proxy = Annotated[str, AfterValidator(_proxy)]
CaFile = Annotated[Path, BeforeValidator(_ca_file)]
