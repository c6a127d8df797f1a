"""A provider that is set up right, of each kind; a row of the table changes one thing about it."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import trustme

from tests.support.api.server import free_port
from tests.support.idp.issuer import SigningKey, first_key, sign
from tests.support.idp.op import ScriptedProvider
from tests.support.local_http import LocalHttp
from tests.support.saml.metadata import MetadataHost, document
from tests.support.saml.mint import ISSUER as ENTITY
from tests.support.saml.provider import key_pair

TID = "72f988bf-86f1-41af-91ab-2d7cd011db47"
API_ID = "11112222-bbbb-3333-cccc-4444dddd5555"
# What a person has set, without the prefix IDP__P__.
RIGHT: Mapping[str, Mapping[str, str]] = {
    "cognito": {"ISSUER": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE", "CLIENT_ID": "web"},
    "okta": {"ISSUER": "https://example.okta.com/oauth2/default", "AUDIENCE": "api://default", "CLIENT_ID": "web"},
    "auth0": {
        "ISSUER": "https://example.eu.auth0.com/",
        "AUDIENCE": "https://api.example.com",
        "CLIENT_ID": "web",
        "TENANT_CLAIM": "https://api.example.com/tenant_id",
    },
    "entra": {
        "ISSUER": f"https://login.microsoftonline.com/{TID}/v2.0",
        "AUDIENCE": API_ID,
        "CLIENT_ID": "web",
        "TENANTS": f"{TID}=acme",
    },
    "keycloak": {
        "ISSUER": "https://sso.example.com/realms/clinic",
        "AUDIENCE": "signalbox-api",
        "CLIENT_ID": "web",
        "TENANTS": "acme",
    },
    "google": {"ISSUER": "https://accounts.google.com", "CLIENT_ID": "web", "TENANTS": "acme.example=acme"},
    "oidc": {
        "ISSUER": "https://idp.example.com",
        "AUDIENCE": "https://api.example.com",
        "CLIENT_ID": "web",
        "TENANTS": "acme",
    },
    "saml": {"ISSUER": ENTITY, "TENANTS": "acme"},
}
# What the token has beside `iss`, `sub`, `iat`, `exp`.
CLAIMS: Mapping[str, Mapping[str, Any]] = {
    "cognito": {"token_use": "access", "client_id": "web", "tenant_id": "acme"},
    "okta": {"aud": "api://default", "cid": "web", "uid": "00u1", "scp": ["openid"], "tenant_id": "acme"},
    "auth0": {
        "aud": ["https://api.example.com", "https://example.eu.auth0.com/userinfo"],
        "azp": "web",
        "https://api.example.com/tenant_id": "acme",
    },
    "entra": {"aud": API_ID, "azp": "web", "ver": "2.0", "tid": TID, "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474"},
    "keycloak": {"aud": ["signalbox-api"], "azp": "web", "typ": "Bearer", "tenant_id": "acme"},
    "google": {"aud": "web", "azp": "web", "hd": "acme.example"},
    "oidc": {"aud": "https://api.example.com", "client_id": "web", "tenant_id": "acme"},
}


@dataclass
class World:
    """One provider and what a person has set about it.

    Attributes:
        kind: Of provider.
        provider: Answers for it, whatever its issuer is called.
        metadata: The same for SAML.
        folder: For files.
        settings: Without the prefix.
        environment: Further variables.
        token: On standard input; None checks the provider.
    """

    kind: str
    provider: ScriptedProvider
    metadata: MetadataHost
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    def __post_init__(self) -> None:
        self.provider.reset()
        self.provider.metadata["issuer"] = RIGHT[self.kind]["ISSUER"]
        self.metadata.body, self.metadata.status = document(), 200
        self.settings = {"KIND": self.kind, **RIGHT[self.kind]}
        if self.kind == "saml":
            pair = key_pair("sp")
            pairs = [{"private_key": pair.private_key, "certificate": pair.certificate}]
            self.settings |= {"METADATA_URL": self.metadata.metadata_url, "SP_SECRET": json.dumps(pairs)}
            self.environment["TOKEN_SIGNING_KEY_ID"] = "alias/x"
        else:
            self.settings["DISCOVERY_URL"] = f"{self.provider.url}/.well-known/openid-configuration"
            self.settings["JWKS_URL"] = f"{self.provider.url}/keys"

    def variables(self) -> dict[str, str]:
        return {f"IDP__P__{name}": value for name, value in self.settings.items()} | self.environment

    def sends(self, header: Mapping[str, Any] | None = None, key: SigningKey | None = None, **claims: Any) -> None:
        """Its token, with changes; ``...`` removes a claim."""
        key, now = key or first_key(), int(time.time())
        head = {"alg": key.alg, "kid": key.kid, "typ": "JWT", **(header or {})}
        found = {"iss": self.settings["ISSUER"], "sub": "alice", "iat": now, "exp": now + 3600}
        found |= {**CLAIMS[self.kind], **claims}
        kept = {name: value for name, value in found.items() if value is not ...}
        self.token = sign(key, json.dumps(head).encode(), json.dumps(kept).encode())

    @contextmanager
    def answering(self, host: str, certificate: str, *, trusted: bool, ended: bool = False) -> Iterator[None]:
        """Discovery is at an https address whose certificate is for a name."""
        authority = trustme.CA()
        past = datetime.now(UTC) - timedelta(days=2)
        begins, ends = (past - timedelta(days=9), past) if ended else (None, None)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(certificate, not_before=begins, not_after=ends).configure_cert(context)
        if trusted:
            file = self.folder / "ca.pem"
            authority.cert_pem.write_to_path(str(file))
            self.environment["SSL_CERT_FILE"] = str(file)
        with LocalHttp(_Silent) as server:
            server.serve_tls(context)
            self.settings["DISCOVERY_URL"] = server.url.replace("127.0.0.1", host) + "/discovery"
            yield

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Discovery is where a connection is taken and nothing is said."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.settings["DISCOVERY_URL"] = f"http://127.0.0.1:{listening.getsockname()[1]}/discovery"
            yield

    def nobody(self) -> str:
        return f"http://127.0.0.1:{free_port()}/nobody"


class _Silent(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


Change = Callable[[World], Any]


@dataclass(frozen=True)
class Row:
    """One misconfiguration.

    Attributes:
        kind: Of provider.
        wrong: What a person, or the provider, did.
        code: Of the error, or the reason, that names it.
        cause: Words of the cause, both sides among them.
        remedy: Words of what to do.
        change: Makes it so; a context manager holds it as long as the check runs.
    """

    kind: str
    wrong: str
    code: str
    cause: str
    remedy: str
    change: Change
