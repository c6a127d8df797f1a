"""An OpenID Provider whose every word a test decides: for what a correct one never says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.idp.issuer import SigningKey, b64, first_key, sign
from tests.support.local_http import LocalHttp

CLIENT_ID = "client+1"  # a character that RFC 6749, section 2.3.1 has encoded
Answer = tuple[int, bytes | Mapping[str, Any]]


class ScriptedProvider(LocalHttp):
    """Discovery, key set, token and userinfo endpoint. The test plays the browser between them."""

    def __init__(self) -> None:
        self.key = first_key()
        self.keys: list[dict[str, Any]] = [self.key.jwk()]
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.signer: SigningKey | None = None
        self.access_claims: dict[str, Any] = {}
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.token_fields: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.nonce = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                form = dict(parse_qsl(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()))
                outer.requests.append((path, form, dict(self.headers)))
                status, body = outer.answers[path]() if path in outer.answers else outer.usual(path)
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                with suppress(ConnectionError):  # whoever is told too much hangs up
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    def reset(self) -> None:
        """A correct provider again, with the keys it has."""
        self.claims, self.header, self.access_claims, self.token_fields = {}, {}, {}, {}
        self.answers, self.metadata, self.requests = {}, {}, []
        self.signer = None
        self.keys = [self.key.jwk()]

    def settings(self, name: str = "OP", **changes: str) -> dict[str, str]:
        found = {"KIND": "oidc", "ISSUER": self.url, "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": "s3cret/+", **changes}
        return {f"IDP__{name}__{key}": value for key, value in found.items()}

    def usual(self, path: str) -> Answer:
        match path:
            case "/.well-known/openid-configuration":
                return 200, self._without_removed(
                    {
                        "issuer": self.url,
                        "authorization_endpoint": f"{self.url}/authorize",
                        "token_endpoint": f"{self.url}/token",
                        "userinfo_endpoint": f"{self.url}/userinfo",
                        "end_session_endpoint": f"{self.url}/end",
                        "jwks_uri": f"{self.url}/keys",
                        **self.metadata,
                    }
                )
            case "/keys":
                return 200, {"keys": self.keys}
            case "/token":
                return 200, self.tokens()
            case "/userinfo":
                return 200, {"sub": "alice", "tenant_id": "acme"}
        return 404, {}

    def tokens(self) -> dict[str, Any]:
        now = int(time.time())
        access = {"iss": self.url, "sub": "alice", "client_id": CLIENT_ID, "iat": now, "exp": now + 300}
        access_token = self._sign({**access, "tenant_id": "acme", **self.access_claims}, {}, self.key)
        identity = {"iss": self.url, "sub": "alice", "aud": CLIENT_ID, "iat": now, "exp": now + 300}
        claims = {**identity, "nonce": self.nonce, **self.claims}
        signer = self.signer or self.key
        found = {
            "access_token": access_token,
            "token_type": "Bearer",
            "id_token": self._sign(claims, self.header, signer),
            "expires_in": 300,
            **self.token_fields,
        }
        return self._without_removed(found)

    def _sign(self, claims: dict[str, Any], header: dict[str, Any], key: SigningKey) -> str:
        head = self._without_removed({"alg": key.alg, "kid": key.kid, **header})
        payload = json.dumps(self._without_removed(claims)).encode()
        if head["alg"] == "none":
            return f"{b64(json.dumps(head).encode())}.{b64(payload)}."
        return sign(key, json.dumps(head).encode(), payload)

    @staticmethod
    def _without_removed(members: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in members.items() if value is not ...}
