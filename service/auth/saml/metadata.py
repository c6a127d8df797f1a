"""Metadata both ways: reading a provider's, writing ours."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree
from lxml.etree import _Element as Element

from service.auth.providers.rsa import unfit
from service.auth.saml.document import MetadataError as MetadataError
from service.auth.saml.document import quoted, read_document, read_until
from service.auth.saml.grammar import DS, MD, SAMLP
from service.auth.saml.library import parse, settings
from service.auth.saml.party import Idp, Party, SpKey
from service.auth.saml.reading import text
from service.auth.saml.rules import SKEW
from service.log import get_logger
from service.strict import LOOPBACK

_MIN_CURVE_BITS = 256  # of the algorithms we verify with, the shortest
_MAX_CERTIFICATES = (
    5  # a message is judged with each in turn, so each is a factor of what a stranger can make us compute
)
_REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"

log = get_logger(__name__)


def read_idp(raw: bytes, entity_id: str, signer: str | None, now: datetime, around: Sequence[datetime] = ()) -> Idp:
    """What a provider's metadata says.

    Args:
        raw: The document.
        entity_id: Which of its entities; compared to the letter.
        signer: Certificate (PEM) that the document must be signed with; None where its origin is trust enough.
        now: The time.
        around: Until when the document is valid that it was taken out of.

    Raises:
        MetadataError: It is not what it must be.
    """
    root = read_document(raw, signer)
    entities = [entity for entity in root.iter(f"{{{MD}}}EntityDescriptor") if entity.get("entityID") == entity_id]
    if len(entities) != 1:
        held = [entity.get("entityID") for entity in root.iter(f"{{{MD}}}EntityDescriptor")]
        some = ", ".join(map(quoted, held[:3])) + (f" and {len(held) - 3} more" if len(held) > 3 else "")
        said = f"it has {some}" if not entities else "it has that one more than once"
        raise MetadataError("entity_id", f"ISSUER is {quoted(entity_id)}, compared to the letter, and {said}")
    # A provider that also speaks SAML 1.1 has a role for it; nobody needs that one.
    roles = [
        role
        for role in entities[0].findall(f"{{{MD}}}IDPSSODescriptor")
        if SAMLP in role.get("protocolSupportEnumeration", "").split()
    ]
    if len(roles) != 1:
        raise MetadataError("role")
    ends = [end for element in (root, entities[0], roles[0]) if (end := element.get("validUntil")) is not None]
    valid_until = min([*around, *map(read_until, ends)], default=None)
    if valid_until is not None and valid_until + SKEW <= now:
        raise MetadataError(
            "valid_until",
            f"its validUntil is {valid_until:%Y-%m-%dT%H:%M:%SZ}, and now is {now:%Y-%m-%dT%H:%M:%SZ}: fetch it anew "
            "from the provider, or name its address with METADATA_URL so that it stays fresh",
        )
    sso_url = _location(roles[0], "SingleSignOnService", "Location")
    if sso_url is None:
        raise MetadataError("no_redirect_sign_in")
    # What a sign-in does not need must not cost the sign-in: without a usable address there is no single logout.
    slo_url = _optional(roles[0], "SingleLogoutService", "Location")
    certificates, expires_at = _certificates(roles[0])
    return Idp(
        sso_url=sso_url,
        slo_url=slo_url,
        slo_response_url=_optional(roles[0], "SingleLogoutService", "ResponseLocation") or slo_url,
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
    if not isinstance(key, rsa.RSAPrivateKey) or _unfit(key.public_key()):
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
    # Several in one X509Data are a chain (XML Signature, 4.5.4): the first holds the key, the others only vouch for it.
    leaves = [data.find(f"{{{DS}}}X509Certificate") for key in keys for data in key.iter(f"{{{DS}}}X509Data")]
    for body in [text(leaf) for leaf in leaves if leaf is not None][:_MAX_CERTIFICATES]:
        try:
            pem = _pem(body)
            loaded = x509.load_pem_x509_certificate(pem.encode())
            key = loaded.public_key()
        except Exception:  # unknown curves and algorithms have exceptions of their own
            log.warning("saml_certificate_unusable", reason="unreadable")
            continue
        if why := _unfit(key):
            log.warning("saml_certificate_unusable", reason=why)
            continue
        found[pem] = loaded.not_valid_after_utc
    if not found:
        raise MetadataError("no_usable_certificate")
    return tuple(found), min(found.values())


def _unfit(key: object) -> str | None:
    """Why a public key must not be used; None where it may."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return unfit(numbers.n, numbers.e)
    strong = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= _MIN_CURVE_BITS
    return None if strong else "weak"


def _location(role: Element, service: str, attribute: str) -> str | None:
    """Where browsers are sent with the HTTP-Redirect binding: the first address that is https, or this machine."""
    unfit: str | None = None
    for entry in role.findall(f"{{{MD}}}{service}"):
        value: str | None = entry.get(attribute)
        if entry.get("Binding") != _REDIRECT or value is None:
            continue
        value = value.strip()
        if _fit(value):
            return value
        unfit = unfit if unfit is not None else value
    if unfit is None:
        return None
    raise MetadataError(
        "address",
        f"the {attribute} of its {service} is {quoted(unfit)}, and browsers are sent to https addresses only: "
        "give the provider an https address, and fetch its metadata anew",
    )


def _fit(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:  # brackets around what is no address
        return False
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    plain = bool(parts.hostname) and not parts.username and address.isprintable() and " " not in address
    return plain and (parts.scheme == "https" or local)


def _optional(role: Element, service: str, attribute: str) -> str | None:
    try:
        return _location(role, service, attribute)
    except MetadataError:
        log.warning("saml_logout_address_ignored", reason="address")
        return None
