"""The certificate by which the service proves itself to AWS, and the authority that signs it.

The authority's certificate is public and goes into the template (``infra/authorities/<stage>.pem``). Its key stays with
whoever runs this command, in a folder that git ignores; it signs for minutes a year, so keep it offline. Both keys are
P-256: Roles Anywhere takes them, and they are short enough for a variable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.shell.failure import Failure
from infra.shell.files import write_private
from infra.stage.certificate import FILES
from infra.stage.names import LABEL, StageNames
from infra.stage.record import Stage

AUTHORITY_YEARS: Final = 10
CLIENT_DAYS: Final = 90
RENEW_DAYS: Final = 30  # before the end; a renewal takes a deployment, not a change in AWS
_BACKDATED: Final = timedelta(minutes=5)  # clocks differ


class CertificateError(Failure):
    """The certificates cannot be made or used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What the command has made or found.

    Attributes:
        authority: The public certificate, for the template.
        certificate: The client certificate.
        key: Its private key.
        expires: When the client certificate ends.
        renewed: Whether it is new.
    """

    authority: Path
    certificate: Path
    key: Path
    expires: datetime
    renewed: bool


def issue(
    stage: Stage,
    authorities: Path,
    private: Path,
    *,
    renew: bool = False,
    authority: Literal["new", "drop"] | None = None,
    now: datetime | None = None,
) -> Issued:
    """Make the authority where there is none, and a client certificate where there is none or it ends soon.

    An authority is changed in two steps, each followed by a deployment: both are trusted while the service gets a
    certificate of the new one, then the old one is dropped.

    Args:
        stage: Whose.
        authorities: Folder of the public certificates, in the checkout.
        private: Folder of the keys, ignored by git.
        renew: Make a new client certificate in any case.
        authority: ``new`` puts another one before the one there is and signs with it; ``drop`` leaves the first alone.
        now: The time; None takes the clock's.

    Raises:
        CertificateError: The stage's service proves itself otherwise, or the authority's key is not here.
    """
    if stage.access != "roles-anywhere":
        raise CertificateError(
            f"Stage {stage.name} uses an IAM user; set access to roles-anywhere in infra/product.py."
        )
    now = now or datetime.now(UTC)
    folder = private / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    public, authority_key = authorities / f"{stage.name}.pem", folder / "authority.key"
    if not public.exists() and not authority_key.exists():
        _make_authority(stage.name, public, authority_key, now)
    if not (public.exists() and authority_key.exists()):
        missing, other = (authority_key, public) if public.exists() else (public, authority_key)
        raise CertificateError(
            f"{missing} is missing: bring it here from where the authority was made. Or remove the other half, "
            f"{other}, to begin with a new authority, which has to be deployed."
        )
    certificate, key = (folder / file for file in FILES.values())
    if authority == "new":
        _succeed(stage.name, public, authority_key, now)
        renew = True
    elif authority == "drop":
        _drop(public, certificate)
    found = x509.load_pem_x509_certificate(certificate.read_bytes()) if certificate.exists() and key.exists() else None
    fresh = renew or found is None or found.not_valid_after_utc - now < timedelta(days=RENEW_DAYS)
    if fresh:
        found = _sign_client(stage.name, public, authority_key, certificate, key, now)
    assert found is not None
    return Issued(public, certificate, key, found.not_valid_after_utc, fresh)


def _succeed(stage_name: str, public: Path, authority_key: Path, now: datetime) -> None:
    old = public.read_bytes()
    if len(x509.load_pem_x509_certificates(old)) > 1:
        raise CertificateError(f"{public} has two already: deploy, then --drop-authority; AWS trusts no third.")
    authority_key.replace(authority_key.with_suffix(".key.old"))
    _make_authority(stage_name, public, authority_key, now)
    public.write_bytes(public.read_bytes() + old)


def _drop(public: Path, certificate: Path) -> None:
    first, *others = x509.load_pem_x509_certificates(public.read_bytes())
    if not others:
        raise CertificateError(f"{public} has one authority only: begin with --new-authority, and deploy.")
    try:
        x509.load_pem_x509_certificate(certificate.read_bytes()).verify_directly_issued_by(first)
    except (OSError, ValueError, TypeError, InvalidSignature):
        raise CertificateError(
            f"{certificate} is not of the new authority, or not here: the service would be refused. Where the new "
            "authority was made, deploy first."
        ) from None
    public.write_bytes(first.public_bytes(serialization.Encoding.PEM))


def _make_authority(stage_name: str, public: Path, key_file: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(StageNames(stage_name).authority)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=365 * AUTHORITY_YEARS))
        # Roles Anywhere takes an authority only with these three
        # (https://docs.aws.amazon.com/rolesanywhere/latest/userguide/trust-model.html).
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    write_private(key_file, _pem(key))
    public.parent.mkdir(parents=True, exist_ok=True)
    public.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _sign_client(
    stage_name: str, public: Path, authority_key: Path, certificate: Path, key_file: Path, now: datetime
) -> x509.Certificate:
    authority = x509.load_pem_x509_certificate(public.read_bytes())
    signer = serialization.load_pem_private_key(authority_key.read_bytes(), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey) or signer.public_key() != authority.public_key():
        raise CertificateError(f"{authority_key} is not the key of {public}: bring the right one here.")
    key = ec.generate_private_key(ec.SECP256R1())
    signed = (
        x509.CertificateBuilder()
        .subject_name(_name(StageNames(stage_name).certificate))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(min(now + timedelta(days=CLIENT_DAYS), authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        # Not asked for by AWS, but by every verifier that follows RFC 5280 and CA/Browser rules.
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(StageNames(stage_name).certificate)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    # The key first: a certificate without its key would pass for usable.
    write_private(key_file, _pem(key))
    write_private(certificate, signed.public_bytes(serialization.Encoding.PEM))
    return signed


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, LABEL),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
