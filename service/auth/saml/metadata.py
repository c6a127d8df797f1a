"""Metadata both ways: reading a provider's, writing ours."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree
from lxml.etree import _Element as Element

from service.auth.errors import SAML_UNREADABLE
from service.auth.providers.rsa import unfit
from service.auth.saml.grammar import DS, MD, METADATA, SAMLP
from service.auth.saml.library import is_signed_by, parse, settings
from service.auth.saml.party import Idp, Party, SpKey
from service.auth.saml.reading import instant, text
from service.auth.saml.rules import SKEW
from service.auth.saml.screen import screen
from service.errors import ApiError
from service.log import get_logger
from service.strict import LOOPBACK

_MIN_CURVE_BITS = 256  # of the algorithms we verify with, the shortest
_MAX_CERTIFICATES = (
    5  # a message is judged with each in turn, so each is a factor of what a stranger can make us compute
)
_REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"

log = get_logger(__name__)


# What a person who configures the provider is told beside the reason code.
_REMEDIES: Mapping[str, str] = {
    "xml": "it is no XML: the address may be a sign-in page or need a login; take the provider's metadata address",
    "doctype": "it has a DOCTYPE, as web pages have: take the provider's metadata address, not a page about it",
    "root": "its root is neither EntityDescriptor nor EntitiesDescriptor: take the provider's SAML 2.0 metadata",
    "bytes": "it is larger than we read: take the metadata of this one provider, not of a whole federation",
    "elements": "it has more elements than we read: take the metadata of this one provider",
    "signature": "METADATA_CERTIFICATE did not sign it, or signed a part: compare it with the federation's certificate",
    "role": "it has no SAML 2.0 role of an identity provider: take the metadata of the provider, not of a service",
    "no_redirect_sign_in": "it has no SingleSignOnService for HTTP-Redirect: switch that binding on at the provider",
    "no_usable_certificate": "no signing certificate of it is fit: RSA of 2048 to 8192 bits, made well, or EC of 256",
}


class MetadataError(Exception):
    """Metadata cannot be used; the text is a reason code for the log.

    Args:
        reason: The code.
        told: What is wrong with it and what to do, both sides shown, for the person who configures the provider; it
            may quote the metadata and is never logged.
    """

    def __init__(self, reason: str, told: str | None = None) -> None:
        super().__init__(reason)
        self.told = told or _REMEDIES.get(reason, "see docs/AUTH_CONFIGURATION.md, section SAML")


def _quoted(value: str | None) -> str:
    """What a document says, fit to be shown on a terminal."""
    shown = "".join(character if character.isprintable() else "?" for character in (value or "")[:200])
    return f'"{shown}"' if shown else "nothing"


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
        held = [entity.get("entityID") for entity in root.iter(f"{{{MD}}}EntityDescriptor")]
        some = ", ".join(map(_quoted, held[:3])) + (f" and {len(held) - 3} more" if len(held) > 3 else "")
        said = f"it has {some}" if not entities else "it has that one more than once"
        raise MetadataError("entity_id", f"ISSUER is {_quoted(entity_id)}, compared to the letter, and {said}")
    valid_until = min(filter(None, (_valid_until(element) for element in (root, entities[0]))), default=None)
    if valid_until is not None and valid_until + SKEW <= now:
        raise MetadataError(
            "valid_until",
            f"its validUntil is {valid_until:%Y-%m-%dT%H:%M:%SZ}, and now is {now:%Y-%m-%dT%H:%M:%SZ}: fetch it anew "
            "from the provider, or name its address with METADATA_URL so that it stays fresh",
        )
    # A provider that also speaks SAML 1.1 has a role for it; nobody needs that one.
    roles = [
        role
        for role in entities[0].findall(f"{{{MD}}}IDPSSODescriptor")
        if SAMLP in role.get("protocolSupportEnumeration", "").split()
    ]
    if len(roles) != 1:
        raise MetadataError("role")
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
            raise MetadataError(
                "address",
                f"the {attribute} of its {service} is {_quoted(value)}, and browsers are sent to https addresses only: "
                "give the provider an https address, and fetch its metadata anew",
            )
        return value
    return None


def _optional(role: Element, service: str, attribute: str) -> str | None:
    try:
        return _location(role, service, attribute)
    except MetadataError:
        log.warning("saml_logout_address_ignored", reason="address")
        return None
