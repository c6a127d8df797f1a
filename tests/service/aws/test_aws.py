"""The service proves itself to AWS by certificate, for an hour, and by nothing else once it is told to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from infra.deploy.certificates import Issued, issue
from infra.product import STAGES
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.errors import ApiError
from service.settings import Secret, Settings, SettingsError, load
from tests.support.local_http import LocalHttp

ARN = "arn:aws:rolesanywhere:us-east-1:111122223333:"
ROLE = "arn:aws:iam::111122223333:role/service"


class Server(LocalHttp):
    """IAM Roles Anywhere as its documents describe it, and Secrets Manager.

    It checks the signature as AWS does ("Signing process" in the user guide of Roles Anywhere): a fake that took any
    request would prove nothing.
    """

    def __init__(self, authority: bytes, tls: ssl.SSLContext | None) -> None:
        self.authority = x509.load_pem_x509_certificate(authority)
        self.sessions, self.answers, self.asked = 0, 201, list[str]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = outer.session(self, body) if self.path == "/sessions" else outer.secret(self)
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)
        if tls is not None:
            self.serve_tls(tls)

    def session(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any]:
        self.sessions += 1
        if self.answers != 201:
            return self.answers, {"message": "Untrusted certificate"}
        certificate = x509.load_der_x509_certificate(base64.b64decode(request.headers["X-Amz-X509"]))
        certificate.verify_directly_issued_by(self.authority)
        algorithm, _, rest = request.headers["Authorization"].partition(" ")
        parts = dict(part.split("=", 1) for part in rest.split(", "))
        serial, *scope = parts["Credential"].split("/")
        assert algorithm == "AWS4-X509-ECDSA-SHA256"
        assert int(serial) == certificate.serial_number
        assert scope[1:] == ["us-east-1", "rolesanywhere", "aws4_request"]
        signed = parts["SignedHeaders"].split(";")
        headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in signed)
        canonical = "\n".join(["POST", "/sessions", "", headers, ";".join(signed), hashlib.sha256(body).hexdigest()])
        to_sign = "\n".join(
            [algorithm, request.headers["X-Amz-Date"], "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()]
        )
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        try:
            key.verify(bytes.fromhex(parts["Signature"]), to_sign.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return 403, {"message": "Signature does not match"}
        asked = json.loads(body)
        assert asked == {
            "durationSeconds": 3600,
            "profileArn": f"{ARN}profile/p",
            "roleArn": ROLE,
            "trustAnchorArn": f"{ARN}trust-anchor/a",
        }
        ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        given = {"accessKeyId": "ASIAFROMCERTIFICATE", "secretAccessKey": "s", "sessionToken": "t", "expiration": ends}
        return 201, {"credentialSet": [{"credentials": given}]}

    def secret(self, request: BaseHTTPRequestHandler) -> tuple[int, Any]:
        self.asked.append(request.headers["Authorization"].split("Credential=")[1].split("/")[0])
        return 200, {"ARN": "arn", "Name": "n", "SecretString": "the secret"}


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    folder = tmp_path_factory.mktemp("certs")
    return issue(STAGES["production"], folder / "public", folder / "private")


@pytest.fixture
def roles_anywhere(issued: Issued) -> Iterator[tuple[Server, str]]:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with Server(issued.authority.read_bytes(), tls) as server, authority.cert_pem.tempfile() as ca_file:
        yield server, ca_file


@pytest.fixture
def secrets_manager(issued: Issued) -> Iterator[Server]:
    with Server(issued.authority.read_bytes(), None) as server:
        yield server


@pytest.fixture(autouse=True)
def other_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What must not be used once a certificate is configured."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFROMENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")


def variables(issued: Issued, secrets_manager: Any = None, **changes: str) -> dict[str, str]:
    found = {
        "ENVIRONMENT": "development",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "DATABASE_URL": "postgresql://signalbox_app@db.example.com:5433/signalbox?sslmode=verify-full",
        "AWS_REGION": "us-east-1",
        "IDP__X__KIND": "cognito",
        "IDP__X__ISSUER": "https://idp.example.com",
        "IDP__X__CLIENT_ID": "x",
        "ROLES_ANYWHERE_TRUST_ANCHOR_ARN": f"{ARN}trust-anchor/a",
        "ROLES_ANYWHERE_PROFILE_ARN": f"{ARN}profile/p",
        "ROLES_ANYWHERE_ROLE_ARN": ROLE,
        "ROLES_ANYWHERE_CERTIFICATE_SECRET": issued.certificate.read_text(),
        "ROLES_ANYWHERE_PRIVATE_KEY_SECRET": issued.key.read_text(),
    }
    if secrets_manager is not None:
        found["AWS_ENDPOINT_URL"] = secrets_manager.url
    return {name: value for name, value in (found | changes).items() if value}


def settings(issued: Issued, secrets_manager: Any = None, **changes: str) -> Settings:
    return load(variables(issued, secrets_manager, **changes))


def test_the_certificate_gives_credentials_that_read_a_secret(
    issued: Issued, roles_anywhere: tuple[Server, str], secrets_manager: Server
) -> None:
    server, ca_file = roles_anywhere
    secrets = Secrets(Aws(settings(issued, secrets_manager), endpoint=server.address, verify=ca_file))
    assert asyncio.run(secrets.text(Secret("n"))) == "the secret"
    assert secrets_manager.asked == ["ASIAFROMCERTIFICATE"]
    assert server.sessions == 1


def test_a_key_that_lost_its_line_feeds_on_the_way_is_mended(
    issued: Issued, roles_anywhere: tuple[Server, str], secrets_manager: Server
) -> None:
    flat = issued.key.read_text().replace("\n", "\\n")
    found = settings(issued, secrets_manager, ROLES_ANYWHERE_PRIVATE_KEY_SECRET=flat)
    secrets = Secrets(Aws(found, endpoint=roles_anywhere[0].address, verify=roles_anywhere[1]))
    assert asyncio.run(secrets.text(Secret("n"))) == "the secret"


@pytest.mark.parametrize("status", [403, 500])
def test_a_certificate_that_is_refused_is_an_outage_and_no_other_credentials_are_tried(
    status: int, issued: Issued, roles_anywhere: tuple[Server, str], secrets_manager: Server
) -> None:
    server, ca_file = roles_anywhere
    server.answers = status
    secrets = Secrets(Aws(settings(issued, secrets_manager), endpoint=server.address, verify=ca_file))
    with pytest.raises(ApiError) as refused:
        asyncio.run(secrets.text(Secret("n")))
    assert refused.value.error.code == "SYS_004"
    assert secrets_manager.asked == []


def test_another_key_than_the_certificates_is_refused(
    issued: Issued, roles_anywhere: tuple[Server, str], secrets_manager: Server, tmp_path: Path
) -> None:
    other = issue(STAGES["production"], tmp_path / "public", tmp_path / "private")
    found = settings(issued, secrets_manager, ROLES_ANYWHERE_PRIVATE_KEY_SECRET=other.key.read_text())
    secrets = Secrets(Aws(found, endpoint=roles_anywhere[0].address, verify=roles_anywhere[1]))
    with pytest.raises(ApiError):
        asyncio.run(secrets.text(Secret("n")))
    assert secrets_manager.asked == []


def test_roles_anywhere_itself_must_prove_who_it_is(
    issued: Issued, roles_anywhere: tuple[Server, str], secrets_manager: Server
) -> None:
    secrets = Secrets(Aws(settings(issued, secrets_manager), endpoint=roles_anywhere[0].address))
    with pytest.raises(ApiError):
        asyncio.run(secrets.text(Secret("n")))
    assert roles_anywhere[0].sessions == 0


def test_without_a_certificate_the_usual_places_are_asked(issued: Issued, secrets_manager: Server) -> None:
    none = dict.fromkeys((name for name in variables(issued) if name.startswith("ROLES_ANYWHERE_")), "")
    secrets = Secrets(Aws(settings(issued, secrets_manager, **none)))
    assert asyncio.run(secrets.text(Secret("n"))) == "the secret"
    assert secrets_manager.asked == ["AKIAFROMENVIRONMENT"]


@pytest.mark.parametrize(
    "missing", ["TRUST_ANCHOR_ARN", "PROFILE_ARN", "ROLE_ARN", "CERTIFICATE_SECRET", "PRIVATE_KEY_SECRET"]
)
def test_part_of_a_proof_is_refused_at_the_start(missing: str, issued: Issued) -> None:
    with pytest.raises(SettingsError, match=f"ROLES_ANYWHERE_{missing} is required"):
        load(variables(issued, **{f"ROLES_ANYWHERE_{missing}": ""}))


def test_a_value_that_is_no_pem_is_refused_without_being_shown(issued: Issued) -> None:
    with pytest.raises(SettingsError) as refused:
        load(variables(issued, ROLES_ANYWHERE_PRIVATE_KEY_SECRET="hunter2"))
    assert "must be PEM" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "PRIVATE KEY-----\\n" not in repr(settings(issued))


def test_a_database_token_is_for_one_login_of_one_instance_and_a_quarter_of_an_hour(issued: Issued) -> None:
    none = dict.fromkeys((name for name in variables(issued) if name.startswith("ROLES_ANYWHERE_")), "")
    token = Aws(settings(issued, **none)).database_token("db.example.com", 5433, "signalbox_app")
    parts = urlsplit(f"https://{token}")
    query = parse_qs(parts.query)
    assert parts.netloc == "db.example.com:5433"
    assert (query["Action"], query["DBUser"], query["X-Amz-Expires"]) == (["connect"], ["signalbox_app"], ["900"])
    assert query["X-Amz-Credential"][0].startswith("AKIAFROMENVIRONMENT/")
