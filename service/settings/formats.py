"""What the text of a variable must look like. A refusal says the rule and never repeats the text: it may be secret."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from service.settings.secret import Secret
from service.strict import LOOPBACK

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DATABASE = re.compile(r"/[^/:?#@]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 9110, section 5.6.2
# An alias has 256 characters at most, and a tenant's name 64 of them.
_ALIAS_PREFIX = re.compile(r"alias/(?!aws/)[A-Za-z0-9/_-]{1,185}/")
_USUAL_PORT = {"https": 443, "http": 80}
_SHAPE = "must be an address: scheme://host[:port]..., with one host and a port from 1 to 65535"
_DATABASE_SHAPE = (
    "must be postgresql://user:password@host:port/database?sslmode=..., with one host; in user, password and database "
    "/ is written %2F, @ is %40, : is %3A, ? is %3F, # is %23, [ is %5B and % is %25"
)


class FormatError(ValueError):
    """What is wrong with a value, in words that never repeat it: the one kind of error whose text is told on."""


def _plain(value: str) -> str:
    """Nothing that one parser drops or escapes and another takes literally."""
    if not value.isascii() or not value.isprintable() or " " in value or "\\" in value or _BAD_ESCAPE.search(value):
        raise FormatError(
            "must be ASCII without blanks: an international name is written xn--..., all else percent-encoded"
        )
    return value


def _host(text: str | None) -> bool:
    """Whether a resolver takes it: a name, or an address written in the one usual way."""
    if not text:
        return False
    if ":" in text or text.rpartition(".")[2].isdigit():
        try:
            return str(ip_address(text)) == text
        except ValueError:
            return False
    return len(text) <= 253 and all(map(_LABEL.fullmatch, text.removesuffix(".").split(".")))


def _split_url(value: str) -> SplitResult:
    """Taken apart as those do who connect to it.

    Raises:
        FormatError: It cannot be.
    """
    try:
        parts = urlsplit(_plain(value))
        port = parts.port  # of what is no number up to 65535, this alone takes notice
    except FormatError:
        raise
    except ValueError:  # whose text quotes the value
        raise FormatError(_SHAPE) from None
    host = parts.netloc.rpartition("@")[2]
    if not _host(parts.hostname) or port == 0 or host.endswith(":"):
        raise FormatError(_SHAPE)
    return parts


def _url(value: str) -> str:
    parts = _split_url(value)
    local = parts.scheme == "http" and (parts.hostname or "") in LOOPBACK
    if "@" in parts.netloc or parts.fragment or not (parts.scheme == "https" or local):
        raise FormatError("must be an https address (http only on this machine), without credentials or fragment")
    return value


def _origin(value: str) -> str:
    """As a browser sends it: what differs by a letter would never match (RFC 6454, section 6.2)."""
    parts = urlsplit(_url(value))
    if value != f"{parts.scheme}://{parts.netloc}" or value != value.lower():
        raise FormatError("must be an exact origin: scheme://host[:port] in lower case, no path, no wildcard")
    if parts.port is not None and (
        parts.port == _USUAL_PORT[parts.scheme] or not parts.netloc.endswith(f":{parts.port}")
    ):
        raise FormatError("must be an origin as browsers send it: without the port that its scheme implies")
    return value


def _split(value: object) -> object:
    return tuple(part for part in (p.strip() for p in value.split(",")) if part) if isinstance(value, str) else value


def _database_url(value: SecretStr) -> SecretStr:
    try:
        parts = _split_url(value.get_secret_value())
    except FormatError:
        raise FormatError(_DATABASE_SHAPE) from None
    texts = (parts.username or "", parts.password or "", parts.path[1:])
    if (
        parts.scheme not in ("postgresql", "postgres")
        or "@" in "".join(texts)
        or not _DATABASE.fullmatch(parts.path)
        or parts.fragment
        or not all(map(_decodes, texts))
    ):
        raise FormatError(_DATABASE_SHAPE)
    options = parse_qs(parts.query, keep_blank_values=True)
    if set(options) != {"sslmode"} or options["sslmode"] not in (["verify-full"], ["disable"]):
        raise FormatError("takes one option, once: sslmode=verify-full (or disable, in development)")
    return value


def _decodes(text: str) -> bool:
    """Whether what stands percent-encoded is a text that PostgreSQL takes."""
    try:
        return unquote(text, errors="strict").isprintable()
    except UnicodeDecodeError:
        return False


def _proxy(value: str) -> str:
    parts = _split_url(value)
    if parts.scheme != "socks5" or not parts.port or parts.path or parts.query or parts.fragment or "@" in value:
        raise FormatError("must be socks5://host:port")
    return value


def _collector(value: str) -> str:
    parts = _split_url(value)
    host = parts.hostname or ""
    inside = parts.scheme == "http" and host.endswith(".railway.internal")  # a network that encrypts by itself
    if parts.query or parts.fragment or "@" in parts.netloc or not (inside or value == _url(value)):
        raise FormatError("takes no query, fragment or credentials")
    return value


def _pairs(value: SecretStr) -> SecretStr:
    if not all(re.fullmatch(r"[!-~]+=[ -~]+", pair) for pair in value.get_secret_value().split(",")):
        raise FormatError("must be name=value pairs, separated by commas")
    return value


def _listen(value: str) -> str:
    if not _host(value):
        raise FormatError("must be an address of this machine or a name for one, without brackets or port")
    return value


def _header(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise FormatError("must be names of header fields, separated by commas")
    return value


def _ca_file(value: object) -> object:
    return Path(__file__).parents[1] / "database" / "rds-ca.pem" if value == "rds" else value


def _pem(value: SecretStr) -> SecretStr:
    # What came through a dotenv file or a form may have lost its line feeds.
    text = value.get_secret_value().replace("\\n", "\n")
    if not text.lstrip().startswith("-----BEGIN ") or "-----END " not in text:
        raise FormatError("must be PEM")
    return SecretStr(text)


def _alias_prefix(value: str) -> str:
    if not _ALIAS_PREFIX.fullmatch(value):
        raise FormatError("must be alias/.../, 192 characters at most: letters, digits, /, _ and -, and not AWS's own")
    return value


def LongEnough(characters: int) -> AfterValidator:  # noqa: N802  used as a type is
    """For a secret that is given by value: the characters it must have at least."""

    def check(secret: Secret | None) -> Secret | None:
        if secret is not None and secret.value is not None and len(secret.value) < characters:
            raise FormatError(f"must have {characters} characters or more")
        return secret

    return AfterValidator(check)


Url = Annotated[str, AfterValidator(_url)]
Origin = Annotated[str, AfterValidator(_origin)]
Host = Annotated[str, AfterValidator(_listen)]
HeaderName = Annotated[str, AfterValidator(_header)]
Listed = BeforeValidator(_split)
Pem = Annotated[SecretStr, AfterValidator(_pem)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Proxy = Annotated[str, AfterValidator(_proxy)]
Collector = Annotated[str, AfterValidator(_collector)]
Pairs = Annotated[SecretStr, AfterValidator(_pairs)]
AliasPrefix = Annotated[str, AfterValidator(_alias_prefix)]
CaFile = Annotated[Path, BeforeValidator(_ca_file)]
