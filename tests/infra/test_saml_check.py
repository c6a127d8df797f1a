"""What a person who configures a SAML provider is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra.cli.main import main
from tests.support.api.environments import DEVELOPMENT
from tests.support.saml.metadata import document
from tests.support.saml.mint import ISSUER
from tests.support.saml.provider import KeyPair, key_pair


def sp_secret(*pairs: KeyPair) -> str:
    return json.dumps([{"private_key": p.private_key, "certificate": p.certificate} for p in pairs])


def check(folder: Path, changes: dict[str, str] | None = None, metadata: bytes | None = None) -> Result:
    (folder / "metadata.xml").write_bytes(document() if metadata is None else metadata)
    found = {
        "KIND": "saml",
        "ISSUER": ISSUER,
        "METADATA_FILE": str(folder / "metadata.xml"),
        "SP_SECRET": sp_secret(key_pair("sp")),
        "TENANTS": "acme",
        **(changes or {}),
    }
    environment = {f"IDP__CLINIC__{name}": value for name, value in found.items()}
    arguments = ["auth", "check", "clinic"]
    return CliRunner().invoke(main, arguments, env={**DEVELOPMENT, **environment, "TOKEN_SIGNING_KEY_ID": "alias/x"})


def test_everything_a_sign_in_needs_is_named(tmp_path: Path) -> None:
    result = check(tmp_path)
    assert result.exit_code == 0, result.output
    for told in ("https://idp.example.org/sso", "the first ends", "/api/v1/auth/clinic/callback", "acme"):
        assert told in result.stdout
    assert "!!" not in result.stdout
    assert "PRIVATE" not in result.output


def test_a_certificate_that_ends_soon_is_marked(tmp_path: Path) -> None:
    soon = {"SP_SECRET": sp_secret(key_pair("sp-soon", days=20))}
    result = check(tmp_path, soon, document(key_pair("soon", days=20)))
    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("!!")] == ["certificate", "keys"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ISSUER": "urn:other"}, "metadata: .*entity_id.*urn:other.*it has .*idp.example.org"),
        ({"METADATA_CERTIFICATE": key_pair("federation").one_line}, "metadata: .*signature"),
        ({"SP_SECRET": "[]"}, "keys: .*sp_secret_form"),
        ({"SP_SECRET": sp_secret(KeyPair(key_pair("sp").private_key, key_pair("idp").certificate))}, "keys: .*differ"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    result = check(tmp_path, changes)
    assert result.exit_code == 1
    assert re.search(told, result.output), result.output
    assert "Traceback" not in result.output
