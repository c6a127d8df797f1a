"""Metadata both ways: reading a provider's, writing ours."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree
from lxml.etree import _Element as Element

from service.auth.errors import SAML_UNREADABLE
from service.auth.saml.grammar import DS, MD, METADATA, SAMLP
from service.auth.saml.library import is_signed_by, parse, settings
from service.auth.saml.party import Idp, Party, SpKey
from service.auth.saml.reading import instant, text
from service.auth.saml.screen import screen
from service.errors import ApiError
from service.log import get_logger
from service.settings.formats import LOOPBACK

_MIN_RSA_BITS = 2048  # NIST SP 800-131A: 112 bits of strength
_MAX_CERTIFICATES = 10
_REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"

log = get_logger(__name__)


class MetadataError(Exception):
    """Metadata cannot be used; the text is a reason code."""


def read_idp(raw: bytes, entity_id: str, signer: str | None, now: datetime) -> Idp:
    """What a provider's metadata says.

    Args:
        raw: The document.
        entity_id: Which of its entities; compared to the letter.
        signer: Certificate (PEM) that the document must be signed with; None where its origin is trust enough.
        now: The time.

    Raises:
        MetadataError: It is not what it must be.
    """
    try:
        screen(raw, METADATA)
        root = parse(raw)
    except ApiError as failure:
        raise MetadataError(failure.reason or "unreadable") from None
    # Of the document as a whole, whose root holds all the rest: a signature further in would cover a part.
    if signer is not None and not is_signed_by(root, [signer]):
        raise MetadataError("signature")
    entities = [entity for entity in root.iter(f"{{{MD}}}EntityDescriptor") if entity.get("entityID") == entity_id]
    if len(entities) != 1:
        raise MetadataError("entity_id")
    valid_until = min(filter(None, (_valid_until(element) for element in (root, entities[0]))), default=None)
    if valid_until is not None and valid_until <= now:
        raise MetadataError("valid_until")
    roles = entities[0].findall(f"{{{MD}}}IDPSSODescriptor")
    if len(roles) != 1 or SAMLP not in roles[0].get("protocolSupportEnumeration", "").split():
        raise MetadataError("role")
    sso_url = _location(roles[0], "SingleSignOnService", "Location")
    if sso_url is None:
        raise MetadataError("no_redirect_sign_in")
    slo_url = _location(roles[0], "SingleLogoutService", "Location")
    certificates, expires_at = _certificates(roles[0])
    return Idp(
        sso_url=sso_url,
        slo_url=slo_url,
        slo_response_url=_location(roles[0], "SingleLogoutService", "ResponseLocation") or slo_url,
        certificates=certificates,
        expires_at=expires_at,
        valid_until=valid_until,
    )


def write_sp(party: Party) -> bytes:
    """Our metadata: for every key of ours, that it signs and that it may be encrypted to.

    Args:
        party: Both sides.
    """
    document: str | bytes = settings(party, party.sp_keys[0], published=True).get_sp_metadata()
    root = parse(document.encode() if isinstance(document, str) else document)
    root.attrib.pop("validUntil", None)  # it changes with the keys, not with the calendar
    root.attrib.pop("cacheDuration", None)
    written: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def sp_key(private_key: str, certificate: str) -> SpKey:
    """One of our key pairs, checked.

    Args:
        private_key: PEM, RSA.
        certificate: PEM.

    Raises:
        MetadataError: They do not fit together, or are too weak.
    """
    try:
        loaded = x509.load_pem_x509_certificate(certificate.encode())
        key = load_pem_private_key(private_key.encode(), None)
    except (ValueError, TypeError):
        raise MetadataError("sp_key_unreadable") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _MIN_RSA_BITS:
        raise MetadataError("sp_key_unfit")
    if key.public_key() != loaded.public_key():
        raise MetadataError("sp_key_and_certificate_differ")
    return SpKey(private_key, certificate, loaded.not_valid_after_utc)


def certificate_pem(given: str) -> str:
    """A certificate from its PEM, or from the base64 in it, which fits on one line.

    Raises:
        ValueError: It is neither.
    """
    if "-----BEGIN" in given:
        return x509.load_pem_x509_certificate(given.encode()).public_bytes(Encoding.PEM).decode()
    return _pem(given)


def _pem(body: str) -> str:
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def _certificates(role: Element) -> tuple[tuple[str, ...], datetime]:
    """Those that are fit to verify with; one that is not loses itself and no other.

    A certificate that has ended still counts: in SAML the metadata is what says whether a key is trusted, and refusing
    would turn a forgotten renewal into an outage. That it ends is reported long before.
    """
    found: dict[str, datetime] = {}
    keys = [key for key in role.findall(f"{{{MD}}}KeyDescriptor") if key.get("use", "signing") == "signing"]
    for body in [text(body) for key in keys for body in key.iter(f"{{{DS}}}X509Certificate")][:_MAX_CERTIFICATES]:
        try:
            pem = _pem(body)
            loaded = x509.load_pem_x509_certificate(pem.encode())
            key = loaded.public_key()
        except Exception:  # unknown curves and algorithms have exceptions of their own
            log.warning("saml_certificate_unusable", reason="unreadable")
            continue
        strong = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS
        if not strong and not isinstance(key, ec.EllipticCurvePublicKey):
            log.warning("saml_certificate_unusable", reason="weak")
            continue
        found[pem] = loaded.not_valid_after_utc
    if not found:
        raise MetadataError("no_usable_certificate")
    return tuple(found), min(found.values())


def _valid_until(element: Element) -> datetime | None:
    if element.get("validUntil") is None:
        return None
    try:
        return instant(element, "validUntil", SAML_UNREADABLE)
    except ApiError:
        raise MetadataError("valid_until") from None


def _location(role: Element, service: str, attribute: str) -> str | None:
    """Where browsers are sent with the HTTP-Redirect binding: https, or this machine."""
    for entry in role.findall(f"{{{MD}}}{service}"):
        value: str | None = entry.get(attribute)
        if entry.get("Binding") != _REDIRECT or value is None:
            continue
        parts = urlsplit(value)
        local = parts.scheme == "http" and parts.hostname in LOOPBACK
        if not parts.hostname or parts.username or not value.isprintable() or not (parts.scheme == "https" or local):
            raise MetadataError("address")
        return value
    return None
