"""Secrets Manager reduced to the one call that the service makes, spoken to by the real AWS SDK."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

from tests.support.local_http import LocalHttp


class SecretsManager(LocalHttp):
    """Holds secrets with the versions that Secrets Manager labels."""

    def __init__(self) -> None:
        self.versions: dict[str, list[str]] = {}
        self.reads = 0
        self.down = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.reads += 1
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.down:
                    self.send_error(503)
                    return
                assert self.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
                held = outer.versions.get(asked["SecretId"], [])
                index = 1 if asked.get("VersionStage") == "AWSPREVIOUS" else 0
                found = {"SecretString": held[index]} if index < len(held) else {"__type": "ResourceNotFoundException"}
                body = json.dumps({"Name": asked["SecretId"], **found}).encode()
                self.send_response(200 if index < len(held) else 400)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    def rotate(self, name: str, value: str) -> None:
        """Make a value the current one, and the current one the previous."""
        self.versions[name] = [value, *self.versions.get(name, [])[:1]]

    def settings(self) -> dict[str, str]:
        return {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": "us-east-1"}
