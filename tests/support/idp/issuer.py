"""An identity provider reduced to what a resource server sees of it: a key set over HTTP, and tokens signed with it."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from service.auth.providers.presets import Provider, configured
from service.auth.settings import AuthSettings
from service.settings import load
from tests.support.api.environments import AUTH, DEVELOPMENT
from tests.support.local_http import LocalHttp

CLIENT_ID = "test-client"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


class SigningKey:
    """A key pair of the issuer, RS256 or ES256."""

    def __init__(
        self, kid: str, *, bits: int = 2048, curve: bool = False, private: rsa.RSAPrivateKey | None = None
    ) -> None:
        self.kid = kid
        self.private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = (
            ec.generate_private_key(ec.SECP256R1()) if curve else private or next(_in_turn(bits))
        )
        self.alg = "ES256" if curve else "RS256"

    def jwk(self, **changes: Any) -> dict[str, Any]:
        if isinstance(self.private, rsa.RSAPrivateKey):
            numbers = self.private.public_key().public_numbers()
            found = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        else:
            point = self.private.public_key().public_numbers()
            found = {"kty": "EC", "crv": "P-256", "x": b64(point.x.to_bytes(32)), "y": b64(point.y.to_bytes(32))}
        return {**found, "kid": self.kid, "use": "sig", "alg": self.alg, **changes}

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


def _made(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def _in_turn(bits: int) -> Iterator[rsa.RSAPrivateKey]:
    """Keys that differ from their neighbours: eight, made once, because one of 2048 bits takes a tenth of a second."""

    def made() -> Iterator[rsa.RSAPrivateKey]:
        keys: list[rsa.RSAPrivateKey] = []
        for turn in count():
            if turn < 8:
                keys.append(_made(bits))
            yield keys[turn % 8]

    return made()


@cache
def first_key() -> SigningKey:
    """Of every issuer, and nobody else's."""
    return SigningKey("k1", private=_made(2048))


class Issuer(LocalHttp):
    """A provider on this machine. Looks like Cognito: access tokens carry ``client_id`` and ``token_use``."""

    def __init__(self, port: int = 0) -> None:
        self.key = first_key()
        self.keys: list[dict[str, Any]] = [self.key.jwk()]
        self.fetches = 0
        self.answer: Callable[[], tuple[int, bytes]] | None = None
        self.delay = 0.0
        self.headers: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.fetches += 1
                time.sleep(outer.delay)
                status, body = outer.answer() if outer.answer else (200, json.dumps({"keys": outer.keys}).encode())
                if self.path.endswith("openid-configuration") and outer.answer is None:
                    ends = {"authorization_endpoint": f"{outer.url}/authorize", "token_endpoint": f"{outer.url}/token"}
                    body = json.dumps({"issuer": outer.url, "jwks_uri": f"{outer.url}/keys", **ends}).encode()
                self.send_response(status)
                if status in (301, 302, 307):
                    self.send_header("Location", body.decode())
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(ConnectionError):  # whoever is told too much hangs up
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler, port)

    @contextmanager
    def holding(self) -> Iterator[threading.Event]:
        """Answer nobody while the block runs; what it gives is set when somebody has asked."""
        asked, released = threading.Event(), threading.Event()

        def hold() -> tuple[int, bytes]:
            asked.set()
            released.wait(60)
            return 200, json.dumps({"keys": self.keys}).encode()

        self.answer = hold
        try:
            yield asked
        finally:
            released.set()
            self.answer = None

    def environment(self) -> dict[str, str]:
        """Settings that make this issuer the provider ``test``."""
        return {
            "IDP__TEST__KIND": "cognito",
            "IDP__TEST__ISSUER": self.url,
            "IDP__TEST__CLIENT_ID": CLIENT_ID,
        }

    def claims(self, tenant: str | None = "acme", subject: str = "alice", **changes: Any) -> dict[str, Any]:
        """Claims of a good access token, with changes; ``...`` removes a claim."""
        now = int(time.time())
        found: dict[str, Any] = {
            "iss": self.url,
            "sub": subject,
            "client_id": CLIENT_ID,
            "token_use": "access",
            "iat": now,
            "exp": now + 3600,
            "tenant_id": tenant if tenant is not None else ...,
            **changes,
        }
        return {name: value for name, value in found.items() if value is not ...}

    def token(
        self,
        tenant: str | None = "acme",
        subject: str = "alice",
        *,
        header: Mapping[str, Any] | None = None,
        key: SigningKey | None = None,
        **changes: Any,
    ) -> str:
        """A signed token; ``header`` and ``changes`` replace members, ``...`` removes them."""
        key = key or self.key
        head = {"alg": key.alg, "kid": key.kid, "typ": "JWT", **(header or {})}
        head = {name: value for name, value in head.items() if value is not ...}
        return sign(key, json.dumps(head).encode(), json.dumps(self.claims(tenant, subject, **changes)).encode())


def provider_of(issuer: Issuer, **variables: str) -> Provider:
    """The provider that settings make of an issuer; ``variables`` change them."""
    (provider,) = configured(load({**DEVELOPMENT, **issuer.environment(), **variables}, AUTH).of(AuthSettings))
    return provider


def sign(key: SigningKey, header: bytes, payload: bytes) -> str:
    """Sign raw bytes, whatever they are."""
    signing_input = f"{b64(header)}.{b64(payload)}"
    return f"{signing_input}.{b64(key.sign(signing_input.encode()))}"
