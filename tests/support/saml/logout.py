"""Logout messages as a provider sends them in an address, and as it reads ours."""

from __future__ import annotations

import base64
import functools
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree

from tests.support.saml.mint import ISSUER, NS, SLS, at
from tests.support.saml.provider import KeyPair, key_pair

SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA1 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"


_loaded = functools.cache(load_pem_private_key)


def message(kind: str = "LogoutRequest", *, body: str | None = None, **changes: str | None) -> bytes:
    """The XML; ``changes`` replace attributes of the root, ``...`` as None removes them."""
    parts = {
        "LogoutRequest": "<saml:NameID>al-1</saml:NameID><samlp:SessionIndex>_s1</samlp:SessionIndex>",
        "LogoutResponse": f'<samlp:Status><samlp:StatusCode Value="{SUCCESS}"/></samlp:Status>',
    }
    attributes: dict[str, str | None] = {
        "ID": "_logout",
        "Version": "2.0",
        "IssueInstant": at(),
        "Destination": SLS,
        "InResponseTo": "_asked" if kind == "LogoutResponse" else None,
        **changes,
    }
    written = " ".join(f'{name}="{value}"' for name, value in attributes.items() if value is not None)
    names = f'xmlns:samlp="{NS["samlp"]}" xmlns:saml="{NS["saml"]}"'
    inner = parts[kind] if body is None else body
    return f"<samlp:{kind} {names} {written}><saml:Issuer>{ISSUER}</saml:Issuer>{inner}</samlp:{kind}>".encode()


def deflated(raw: bytes) -> bytes:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeezer.compress(raw) + squeezer.flush()


def query(
    raw: bytes, kind: str = "SAMLRequest", *, key: KeyPair | None = None, algorithm: str = SHA256, relay: str = "r"
) -> str:
    """Signed as SAML bindings 3.4.4.1 says."""
    return signed_query(deflated(raw), kind, key=key, algorithm=algorithm, relay=relay)


def signed_query(
    content: bytes,
    kind: str,
    *,
    key: KeyPair | None = None,
    algorithm: str = SHA256,
    relay: str = "r",
    spelled: Callable[[str], str] = str,
) -> str:
    private = _loaded((key or key_pair("idp")).private_key.encode(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    fields = {kind: base64.b64encode(content).decode(), "RelayState": relay, "SigAlg": algorithm}
    text = spelled("&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items()))
    digest = hashes.SHA1() if algorithm == SHA1 else hashes.SHA256()  # noqa: S303  what must be refused
    signature = private.sign(text.encode(), padding.PKCS1v15(), digest)
    return f"{text}&Signature={quote(base64.b64encode(signature).decode(), safe='')}"


def sent(url: str, kind: str) -> tuple[Any, dict[str, list[str]]]:
    """What the provider reads in an address of ours."""
    fields = parse_qs(urlsplit(url).query)
    return etree.fromstring(zlib.decompress(base64.b64decode(fields[kind][0]), -15)), fields
