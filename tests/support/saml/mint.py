"""Responses of a provider that writes whatever a test wants, signed and encrypted as a real one would."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import xmlsec
from lxml import etree

from service.auth.saml import metadata
from service.auth.saml.party import Idp, Party
from service.auth.saml.rules import PERSISTENT, Expected
from service.tenancy import TenantId
from tests.support.saml.provider import KeyPair, key_pair

_C = xmlsec.constants
Element = Any
Change = Callable[[Element], None]

NS = {
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
    "xenc": "http://www.w3.org/2001/04/xmlenc#",
}
ISSUER = "https://idp.example.org/metadata"
SP = "https://api.example.com/api/v1/auth/clinic"
AUDIENCE, ACS, SLS, REQUEST = f"{SP}/metadata", f"{SP}/callback", f"{SP}/logout", "_request-1"


_sp_key = functools.cache(metadata.sp_key)  # reading a key checks its numbers, which takes longer than a test


def party(*certificates: KeyPair, sp: KeyPair | None = None, **changes: Any) -> Party:
    """Both sides, the provider signing with any of these."""
    pairs = certificates or (key_pair("idp"),)
    own = sp or key_pair("sp")
    far = datetime.now(UTC) + timedelta(days=999)
    idp = Idp(
        sso_url="https://idp.example.org/sso?a=1&b=2",
        slo_url="https://idp.example.org/slo",
        slo_response_url="https://idp.example.org/slo-done",
        certificates=tuple(pair.certificate for pair in pairs),
        expires_at=far,
        valid_until=None,
    )
    found: dict[str, Any] = {
        "idp_entity_id": ISSUER,
        "idp": idp,
        "sp_entity_id": AUDIENCE,
        "acs": ACS,
        "sls": SLS,
        "sp_keys": (_sp_key(own.private_key, own.certificate),),
        "persistent": True,
    }
    return Party(**{**found, **changes})


def expected(**changes: Any) -> Expected:
    """What a good response says."""
    found: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "acs": ACS,
        "request_id": REQUEST,
        "unsolicited": False,
        "subject_attribute": None,
        "tenants": {"acme": TenantId.parse("acme")},
        "tenant_attribute": None,
        "now": datetime.now(UTC),
    }
    return Expected(**{**found, **changes})


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def at(**offset: float) -> str:
    """An instant, so far from now."""
    return (datetime.now(UTC) + timedelta(**offset)).strftime("%Y-%m-%dT%H:%M:%SZ")


def good() -> Element:
    """An unsigned response that breaks no rule."""
    return etree.fromstring(
        f"""<samlp:Response xmlns:samlp="{NS["samlp"]}" xmlns:saml="{NS["saml"]}" ID="_response" Version="2.0"
        IssueInstant="{at()}" Destination="{ACS}" InResponseTo="{REQUEST}">"""
        f"<saml:Issuer>{ISSUER}</saml:Issuer>"
        '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
        f'<saml:Assertion ID="_assertion" Version="2.0" IssueInstant="{at()}">'
        f"<saml:Issuer>{ISSUER}</saml:Issuer>"
        f'<saml:Subject><saml:NameID Format="{PERSISTENT}">al-1</saml:NameID>'
        '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData '
        f'NotOnOrAfter="{at(minutes=5)}" Recipient="{ACS}" InResponseTo="{REQUEST}"/>'
        "</saml:SubjectConfirmation></saml:Subject>"
        f'<saml:Conditions NotBefore="{at(minutes=-1)}" NotOnOrAfter="{at(minutes=5)}">'
        f"<saml:AudienceRestriction><saml:Audience>{AUDIENCE}</saml:Audience></saml:AudienceRestriction>"
        f'</saml:Conditions><saml:AuthnStatement AuthnInstant="{at()}" SessionIndex="_session"><saml:AuthnContext>'
        "<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>"
        "</saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>"
        '<saml:Attribute Name="email"><saml:AttributeValue>alice@example.com</saml:AttributeValue></saml:Attribute>'
        '<saml:Attribute Name="tenant"><saml:AttributeValue>acme</saml:AttributeValue></saml:Attribute>'
        "</saml:AttributeStatement></saml:Assertion></samlp:Response>"
    )


def response(
    change: Change | None = None,
    *,
    key: KeyPair | None = None,
    sign_assertion: bool = True,
    sign_response: bool = False,
    method: Any = _C.TransformRsaSha256,
    digest: Any = _C.TransformSha256,
    encrypt_to: KeyPair | None = None,
    encrypted: str = "saml:Assertion",
    after: Change | None = None,
) -> bytes:
    """A response, changed before it is signed (``change``) or after (``after``)."""
    pair, root = key or key_pair("idp"), good()
    if change is not None:
        change(root)
    assertion = root.find("saml:Assertion", NS)
    if sign_assertion and assertion is not None:
        root.replace(
            assertion, etree.fromstring(signed(etree.tostring(assertion, with_tail=False), pair, method, digest))
        )
    if encrypt_to is not None:
        _encrypt(root, encrypted, encrypt_to)
    if sign_response:
        root = etree.fromstring(signed(etree.tostring(root), pair, method, digest))
    if after is not None:
        after(root)
    return bytes(etree.tostring(root))


def signed(xml: bytes, pair: KeyPair, method: Any = _C.TransformRsaSha256, digest: Any = _C.TransformSha256) -> bytes:
    """With an enveloped signature over its root."""
    root = etree.fromstring(xml)
    xmlsec.tree.add_ids(root, ["ID"])
    signature = xmlsec.template.create(root, _C.TransformExclC14N, method, ns="ds")
    issuer = root.find("saml:Issuer", NS)
    root.insert(0 if issuer is None else root.index(issuer) + 1, signature)
    reference = xmlsec.template.add_reference(signature, digest, uri=f"#{root.get('ID')}")
    xmlsec.template.add_transform(reference, _C.TransformEnveloped)
    xmlsec.template.add_transform(reference, _C.TransformExclC14N)
    xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(pair.private_key, _C.KeyDataFormatPem, None)
    context.key.load_cert_from_memory(pair.certificate, _C.KeyDataFormatPem)
    context.sign(signature)
    return bytes(etree.tostring(root))


def _encrypt(root: Element, path: str, pair: KeyPair) -> None:
    assertion = root.find(path, NS)
    wrapper = etree.SubElement(root, f"{{{NS['saml']}}}EncryptedAssertion")
    root.replace(assertion, wrapper)
    template = xmlsec.template.encrypted_data_create(root, _C.TransformAes256Cbc, type=_C.TypeEncElement, ns="xenc")
    xmlsec.template.encrypted_data_ensure_cipher_value(template)
    info = xmlsec.template.encrypted_data_ensure_key_info(template, ns="ds")
    wrapped = xmlsec.template.add_encrypted_key(info, _C.TransformRsaOaep)
    xmlsec.template.encrypted_data_ensure_cipher_value(wrapped)
    manager = xmlsec.KeysManager()
    manager.add_key(xmlsec.Key.from_memory(pair.certificate, _C.KeyDataFormatCertPem, None))
    context = xmlsec.EncryptionContext(manager)
    context.key = xmlsec.Key.generate(_C.KeyDataAes, 256, _C.KeyDataTypeSession)
    wrapper.append(assertion)
    context.encrypt_xml(template, assertion)
