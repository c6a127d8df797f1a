"""With DATABASE_IAM_AUTH the service has no password: it signs a token for each login, and RDS takes nothing else."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import trustme

from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.database.engine import Connector
from service.settings import Settings, SettingsError, load
from tests.support.database.databases import APP, Databases, migrate
from tests.support.idp.tls_front import write_authority

NAME = "localhost"


def environment(**changes: str) -> dict[str, str]:
    return {
        "ENVIRONMENT": "development",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "DATABASE_URL": f"postgresql://{APP}@{NAME}:5433/signalbox?sslmode=verify-full",
        "DATABASE_IAM_AUTH": "true",
        "AWS_REGION": "us-east-1",
        "IDP__X__KIND": "cognito",
        "IDP__X__ISSUER": "https://idp.example.com",
        "IDP__X__CLIENT_ID": "x",
        **changes,
    }


def settings(**changes: str) -> Settings:
    return load({name: value for name, value in environment(**changes).items() if value})


async def _password_sent_to(authority: trustme.CA, ca_file: str) -> list[str]:
    """What a server that asks for the password in clear, as RDS does under TLS, gets to see; two logins."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(NAME).configure_cert(context)
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"S")
        await writer.start_tls(context)
        await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)  # StartupMessage
        writer.write(b"R\x00\x00\x00\x08\x00\x00\x00\x03")  # AuthenticationCleartextPassword
        assert await reader.readexactly(1) == b"p"
        seen.append((await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)).rstrip(b"\0").decode())
        fields = b"SFATAL\0C28P01\0Mno\0\0"
        writer.write(b"E" + (len(fields) + 4).to_bytes(4) + fields)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        address = f"postgresql://{APP}@{NAME}:{port}/signalbox?sslmode=verify-full"
        found = settings(DATABASE_URL=address, DATABASE_CA_FILE=ca_file)
        aws = Aws(found)
        for _ in range(2):
            connector = Connector(found, Secrets(aws), None, iam=aws)  # one that was refused waits before it asks again
            with pytest.raises(asyncpg.InvalidPasswordError):
                await connector.connect()
        assert {urlsplit(f"https://{token}").port for token in seen} == {port}
    return seen


def test_each_login_sends_a_token_signed_for_this_instance_and_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    authority = trustme.CA()
    tokens = asyncio.run(_password_sent_to(authority, write_authority(authority, tmp_path)))
    assert len(tokens) == 2
    for token in tokens:
        query = parse_qs(urlsplit(f"https://{token}").query)
        assert (query["Action"], query["DBUser"]) == (["connect"], [APP])
        assert urlsplit(f"https://{token}").hostname == NAME


def test_migrations_need_a_login_of_their_own(databases: Databases) -> None:
    refused = migrate(databases.empty(), DATABASE_IAM_AUTH="true", AWS_REGION="us-east-1")
    assert refused.returncode == 1
    assert "DATABASE_MIGRATION_SECRET_ID is required" in refused.stderr


def test_rds_stands_for_the_authorities_that_come_with_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(DATABASE_CA_FILE="rds")
    assert found.database_ca_file is not None
    assert found.database_ca_file.name == "rds-ca.pem"
    dialled: dict[str, Any] = {}

    async def connect(**options: Any) -> None:
        dialled.update(options)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncpg, "connect", connect)
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(Connector(found, Secrets(Aws(found)), None).connect())
    context = dialled["ssl"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 51


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DATABASE_SECRET_ID": "app"}, "two ways to log in"),
        ({"AWS_REGION": ""}, "AWS_REGION is required"),
        ({"ENVIRONMENT": "staging", "PUBLIC_URL": "https://a.example",
          "DATABASE_URL": "postgresql://a@h/d?sslmode=disable"}, "verify-full with DATABASE_IAM_AUTH"),
    ],
)  # fmt: skip
def test_a_half_configured_login_is_refused_at_the_start(changes: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings(**changes)


def test_production_takes_tokens_instead_of_a_secret() -> None:
    found = settings(
        ENVIRONMENT="production",
        PUBLIC_URL="https://api.example.com",
        ALLOWED_ORIGINS="https://a.example",
        SESSION_SECRET_ID="signalbox/production/session-key",
    )
    assert found.database_iam_auth
    assert found.database_secret is None
