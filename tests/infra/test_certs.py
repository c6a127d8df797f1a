"""The certificate that opens AWS: made, renewed in time, and of use to nobody who is not its owner."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store

from infra.cli import main as cli
from infra.cli import stages
from infra.deploy.certificates import CertificateError, issue
from infra.product import STAGES
from service.product import NAME

PRODUCTION = STAGES["production"]


def test_the_first_run_makes_an_authority_and_a_client_that_it_vouches_for(tmp_path: Path) -> None:
    issued = issue(PRODUCTION, tmp_path / "public", tmp_path / "private")
    authority = x509.load_pem_x509_certificate(issued.authority.read_bytes())
    client = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    verifier = PolicyBuilder().store(Store([authority])).build_client_verifier
    assert verifier().verify(client, []).chain == [client, authority]
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not client.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert client.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    names = [name.value for name in client.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    assert names == [f"{NAME}-service-production"]
    assert client.not_valid_after_utc - datetime.now(UTC) < timedelta(days=91)
    key = serialization.load_pem_private_key(issued.key.read_bytes(), None)
    assert key.public_key() == client.public_key()


def test_keys_are_readable_by_their_owner_alone_and_not_in_the_checkout(tmp_path: Path) -> None:
    issued = issue(PRODUCTION, tmp_path / "public", tmp_path / "private")
    for path in (tmp_path / "private" / "production").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert [path.name for path in (tmp_path / "public").iterdir()] == ["production.pem"]
    assert b"PRIVATE" not in issued.authority.read_bytes()


def test_it_is_renewed_when_it_ends_within_a_month_and_not_before(tmp_path: Path) -> None:
    folders = tmp_path / "public", tmp_path / "private"
    start = datetime(2030, 1, 1, tzinfo=UTC)
    first = issue(PRODUCTION, *folders, now=start)
    authority = first.authority.read_bytes()
    assert first.renewed
    assert not issue(PRODUCTION, *folders, now=start + timedelta(days=59)).renewed
    later = issue(PRODUCTION, *folders, now=start + timedelta(days=61))
    assert later.renewed
    assert later.expires == start + timedelta(days=151)
    assert issue(PRODUCTION, *folders, renew=True, now=start + timedelta(days=62)).renewed
    assert later.authority.read_bytes() == authority


@pytest.mark.parametrize("lost", ["public/production.pem", "private/production/authority.key"])
def test_half_an_authority_is_never_replaced_silently(lost: str, tmp_path: Path) -> None:
    issue(PRODUCTION, tmp_path / "public", tmp_path / "private")
    (tmp_path / lost).unlink()
    with pytest.raises(CertificateError, match=r"is missing: bring it here"):
        issue(PRODUCTION, tmp_path / "public", tmp_path / "private")


def test_the_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    issue(PRODUCTION, tmp_path / "public", tmp_path / "private")
    issue(PRODUCTION, tmp_path / "other", tmp_path / "others")
    (tmp_path / "private/production/authority.key").write_bytes(
        (tmp_path / "others/production/authority.key").read_bytes()
    )
    with pytest.raises(CertificateError, match="is not the key of"):
        issue(PRODUCTION, tmp_path / "public", tmp_path / "private", renew=True)


def test_the_command_says_what_to_seal_and_shows_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    monkeypatch.setattr(stages, "FOLDER", tmp_path / ".signalbox")
    done = CliRunner().invoke(cli.main, ["certs", "production"])
    assert done.exit_code == 0, done.output
    assert "ROLES_ANYWHERE_PRIVATE_KEY_SECRET" in done.output
    assert "PRIVATE KEY-----" not in done.output
    refused = CliRunner().invoke(cli.main, ["certs", "development"])
    assert refused.exit_code == 1
    assert "uses an IAM user" in refused.output


def test_an_authority_is_followed_by_another_while_both_are_trusted(tmp_path: Path) -> None:
    production, places = STAGES["production"], (tmp_path / "public", tmp_path / "private")
    first = issue(production, *places)
    old = x509.load_pem_x509_certificate(first.authority.read_bytes())
    with pytest.raises(CertificateError, match="one authority only"):
        issue(production, *places, authority="drop")
    both = issue(production, *places, authority="new")
    new, kept = x509.load_pem_x509_certificates(both.authority.read_bytes())
    assert kept == old != new
    x509.load_pem_x509_certificate(both.certificate.read_bytes()).verify_directly_issued_by(new)
    with pytest.raises(CertificateError, match="has two already"):
        issue(production, *places, authority="new")
    pair = both.certificate.read_bytes()
    both.certificate.unlink()
    with pytest.raises(CertificateError, match="the service would be refused"):
        issue(production, *places, authority="drop")
    both.certificate.write_bytes(pair)
    last = issue(production, *places, authority="drop")
    assert x509.load_pem_x509_certificates(last.authority.read_bytes()) == [new]
    assert not last.renewed
