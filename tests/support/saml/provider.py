"""A SAML identity provider that nobody here wrote (npm ``samlp``), and a browser for it."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.api.server import free_port
from tests.support.idp.peers import node


@dataclass(frozen=True)
class KeyPair:
    """PEM of a private key and of a certificate that it signed itself."""

    private_key: str
    certificate: str

    @property
    def one_line(self) -> str:
        """The certificate's base64, as it fits into a variable."""
        return "".join(self.certificate.splitlines()[1:-1])


@cache
def key_pair(name: str, days: int = 3650, *, curve: bool = False) -> KeyPair:
    """A key pair of this name; made once, because a 2048 bit key takes a tenth of a second."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = (
        ec.generate_private_key(ec.SECP256R1())
        if curve
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name}.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return KeyPair(private, certificate.public_bytes(Encoding.PEM).decode())


@dataclass(frozen=True)
class User:
    """Somebody with an account at the provider."""

    id: str
    password: str = "a-password"
    attributes: Mapping[str, Any] = field(default_factory=dict)


class SamlIdp:
    """The provider as a process of its own.

    Args:
        folder: Takes its keys.
        issuer: Its entity id.
        sps: Service providers it knows: entity id to their addresses ``acs`` and ``sls``.
        users: Accounts by login name.
        keys: Prefix of the names of its key pairs.
    """

    script = "saml-idp.js"

    def __init__(
        self,
        folder: Path,
        *,
        issuer: str,
        sps: Mapping[str, Mapping[str, str]],
        users: Mapping[str, User],
        keys: str = "idp",
    ) -> None:
        self.issuer = issuer
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.metadata_url = f"{self.url}/metadata"
        self.keys = {"idp": key_pair(keys), "next": key_pair(f"{keys}-next"), "sp": key_pair("sp")}
        for name, pair in self.keys.items():
            (folder / f"{name}.pem").write_text(pair.private_key)
            (folder / f"{name}.crt").write_text(pair.certificate)
        people = {n: {"id": u.id, "password": u.password, "attributes": u.attributes} for n, u in users.items()}
        self._config = {"issuer": issuer, "folder": str(folder), "sps": sps, "users": people, "port": self.port}

    def __enter__(self) -> Self:
        self._running = node(self.script, json.dumps(self._config))
        self._running.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.__exit__(None, None, None)

    def set(self, **changes: Any) -> None:
        """Change how it signs: ``key``, ``published``, ``signResponse``, ``signAssertion``, ``encrypted``, ..."""
        httpx.post(f"{self.url}/__test/set", json=changes).raise_for_status()

    def portal(self, user: str) -> bytes:
        """A response that nobody asked for."""
        return base64.b64decode(posted(httpx.get(f"{self.url}/portal/{user}").text)["SAMLResponse"])

    def sign_in(self, url: str, user: str, password: str = "a-password") -> Posted:
        """Go through its login page with a browser of its own.

        Args:
            url: Where the service sent the browser.
        """
        with httpx.Client(timeout=10, follow_redirects=True) as browser:
            return self.continue_in(browser, url, user, password)

    def continue_in(self, browser: httpx.Client, url: str, user: str, password: str = "a-password") -> Posted:
        """As ``sign_in``, with a given browser, which may be signed in already."""
        page = browser.get(url)
        if 'name="username"' in page.text:
            page = browser.post(url, data={"username": user, "password": password})
        assert page.status_code == 200, page.text
        fields = posted(page.text)
        action = re.search(r'action="([^"]+)"', page.text)
        assert action is not None, page.text
        return Posted(html.unescape(action[1]), fields)


class SamlifyIdp(SamlIdp):
    """Another one (npm ``samlify``), which is told of a service by that service's metadata alone."""

    script = "samlify-idp.js"

    def learn(self, metadata: str) -> None:
        httpx.post(f"{self.url}/__test/sp", content=metadata).raise_for_status()


@dataclass(frozen=True)
class Posted:
    """The form that the provider has the browser post."""

    action: str
    fields: Mapping[str, str]

    @property
    def response(self) -> bytes:
        """The response in it."""
        return base64.b64decode(self.fields["SAMLResponse"])


def posted(page: str) -> dict[str, str]:
    """The fields of a form."""
    return {
        html.unescape(name): html.unescape(value)
        for name, value in re.findall(r'<input type="hidden"\s+name="([^"]+)"\s+value="([^"]*)"', page)
    }
