"""The grammar that SAML documents must keep to: elements by their places, and algorithms, as tables.

What XML Signature and XML Encryption can say beyond it is refused unread: most of their features exist to make a
receiver work for a sender.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
EC = "http://www.w3.org/2001/10/xml-exc-c14n#"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"

_NAMESPACES = {"ds": DS, "xenc": XENC, "xenc11": XENC11, "ec": EC, "saml": SAML, "samlp": SAMLP, "md": MD}
_RSA = "http://www.w3.org/2001/04/xmldsig-more#"
_SHA2 = frozenset({f"{XENC}sha256", f"{_RSA}sha384", f"{XENC}sha512"})
_EXCLUSIVE_C14N = EC  # the algorithm has the name of the namespace of its parameters


def _names(text: str) -> frozenset[str]:
    """``ds:Signature samlp:Response`` as expat spells the names: namespace, space, local name."""
    pairs = (word.split(":") for word in text.split())
    return frozenset(f"{_NAMESPACES[prefix]} {local}" for prefix, local in pairs)


def _places(**table: str) -> Mapping[str, frozenset[str]]:
    return {next(iter(_names(child.replace("_", ":", 1)))): _names(parents) for child, parents in table.items()}


# Where each element may stand. SAML core 5.4 asks for one enveloped signature with one reference; Object and Manifest,
# which signature wrapping hides copies in, are not here, nor is anything that names a place to fetch from.
CRYPTO = _places(
    ds_SignedInfo="ds:Signature",
    ds_SignatureValue="ds:Signature",
    ds_CanonicalizationMethod="ds:SignedInfo",
    ds_SignatureMethod="ds:SignedInfo",
    ds_Reference="ds:SignedInfo",
    ds_Transforms="ds:Reference",
    ds_Transform="ds:Transforms",
    ec_InclusiveNamespaces="ds:Transform ds:CanonicalizationMethod",
    ds_DigestMethod="ds:Reference xenc:EncryptionMethod",
    ds_DigestValue="ds:Reference",
    ds_KeyInfo="ds:Signature xenc:EncryptedData xenc:EncryptedKey md:KeyDescriptor",
    ds_KeyName="ds:KeyInfo",
    ds_KeyValue="ds:KeyInfo",
    ds_RSAKeyValue="ds:KeyValue",
    ds_Modulus="ds:RSAKeyValue",
    ds_Exponent="ds:RSAKeyValue",
    ds_X509Data="ds:KeyInfo",
    ds_X509Certificate="ds:X509Data",
    ds_X509IssuerSerial="ds:X509Data",
    ds_X509IssuerName="ds:X509IssuerSerial",
    ds_X509SerialNumber="ds:X509IssuerSerial",
    ds_X509SubjectName="ds:X509Data",
    ds_X509SKI="ds:X509Data",
    ds_RetrievalMethod="ds:KeyInfo",
    xenc_EncryptionMethod="xenc:EncryptedData xenc:EncryptedKey",
    xenc_CipherData="xenc:EncryptedData xenc:EncryptedKey",
    xenc_CipherValue="xenc:CipherData",
    xenc_EncryptedKey="ds:KeyInfo saml:EncryptedAssertion",
    xenc_ReferenceList="xenc:EncryptedKey",
    xenc_DataReference="xenc:ReferenceList",
    xenc_KeySize="xenc:EncryptionMethod",
    xenc_OAEPparams="xenc:EncryptionMethod",
    xenc11_MGF="xenc:EncryptionMethod",
)

# One of each under the same parent: with two, it would be a choice which one is checked and which one is read.
SINGLE = _names(
    "ds:Signature ds:SignedInfo ds:SignatureValue ds:CanonicalizationMethod ds:SignatureMethod ds:Reference "
    "ds:Transforms ds:DigestMethod ds:DigestValue ds:KeyInfo ds:X509Data ds:X509Certificate ds:KeyName ds:KeyValue "
    "ec:InclusiveNamespaces xenc:EncryptionMethod xenc:CipherData xenc:CipherValue xenc:EncryptedData "
    "xenc:EncryptedKey "
    "saml:Assertion saml:EncryptedAssertion saml:Issuer saml:Subject saml:NameID saml:SubjectConfirmation "
    "saml:SubjectConfirmationData saml:Conditions saml:AudienceRestriction saml:AuthnStatement saml:AuthnContext "
    "saml:AttributeStatement samlp:Status samlp:StatusCode samlp:StatusMessage samlp:Extensions"
)

# Namespaces that the libraries act on. What they have is listed above and below; whatever else of them is refused.
CLOSED = frozenset({DS, XENC, XENC11, EC})
# What each of their elements may have; one that is not listed has none. A library may act on any other.
CLOSED_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    element: frozenset(attributes.split())
    for elements, attributes in {
        "ds:Signature ds:SignedInfo ds:SignatureValue ds:KeyInfo ds:X509Data": "Id",
        "ds:CanonicalizationMethod ds:SignatureMethod ds:DigestMethod ds:Transform": "Algorithm",
        "xenc:EncryptionMethod xenc11:MGF": "Algorithm",
        "ds:Reference": "Id URI Type",
        "ds:RetrievalMethod": "URI Type",
        "ec:InclusiveNamespaces": "PrefixList",
        "xenc:EncryptedData": "Id Type MimeType Encoding",
        "xenc:EncryptedKey": "Id Type MimeType Encoding Recipient",
        "xenc:DataReference": "URI",
    }.items()
    for element in _names(elements)
}
MAX_PREFIXES = 16  # of one PrefixList; genuine ones have one to four

ALGORITHMS: Mapping[str, frozenset[str]] = {
    f"{DS} CanonicalizationMethod": frozenset({_EXCLUSIVE_C14N}),
    f"{DS} Transform": frozenset({f"{DS}enveloped-signature", _EXCLUSIVE_C14N}),  # SAML core 5.4.4
    f"{DS} SignatureMethod": frozenset(
        f"{_RSA}{kind}-sha{bits}" for kind in ("rsa", "ecdsa") for bits in (256, 384, 512)
    ),
    f"{DS} DigestMethod": _SHA2,
    f"{XENC11} MGF": frozenset(f"{XENC11}mgf1sha{bits}" for bits in (1, 256, 384, 512)),
}
_DATA_CIPHERS = frozenset(
    {f"{XENC}aes{bits}-cbc" for bits in (128, 256)} | {f"{XENC11}aes{bits}-gcm" for bits in (128, 256)}
)
# RSA 1.5 is the padding whose errors decrypt (Bleichenbacher). SHA-1 inside OAEP is what the standard implies and no
# signature: finding collisions does not help there.
_KEY_TRANSPORT = frozenset({f"{XENC}rsa-oaep-mgf1p", f"{XENC11}rsa-oaep"})
ENCRYPTION: Mapping[str, frozenset[str]] = {
    f"{XENC} EncryptedData": _DATA_CIPHERS,
    f"{XENC} EncryptedKey": _KEY_TRANSPORT,
}
# Never accepted: names that only a key of ours can read, and the place for assertions within assertions.
REFUSED = _names("saml:EncryptedID saml:EncryptedAttribute saml:BaseID saml:Advice")


@dataclass(frozen=True, slots=True)
class Form:
    """What one kind of document may be.

    Attributes:
        roots: Its root elements.
        places: Where an element may stand, beside the rules of cryptography.
        max_bytes: Largest document.
        max_elements: Most elements in it.
        max_work: Most work that judging it may be, in the units of ``screen``. A message comes from a stranger,
            metadata from where the settings say.
        crypto: What the rules of cryptography hold for: all of it, the inside of its root's signature, or nothing,
            because no library acts on it. What nobody needs must not cost a provider.
        remarks: Whether comments, processing instructions and CDATA may stand in it. In a message they are refused:
            canonical XML leaves comments out, so one can be put into a signed text without breaking the signature.
    """

    roots: frozenset[str]
    places: Mapping[str, frozenset[str]]
    max_bytes: int
    max_elements: int
    max_work: int
    crypto: Literal["all", "signature", "nothing"] = "all"
    remarks: bool = False


RESPONSE = Form(
    roots=_names("samlp:Response"),
    places=_places(
        samlp_Response="",
        saml_Assertion="samlp:Response",
        saml_EncryptedAssertion="samlp:Response",
        ds_Signature="samlp:Response saml:Assertion",
        xenc_EncryptedData="saml:EncryptedAssertion",
        samlp_Status="samlp:Response",
        saml_Subject="saml:Assertion",
        saml_SubjectConfirmation="saml:Subject",
        saml_SubjectConfirmationData="saml:SubjectConfirmation",
        saml_Conditions="saml:Assertion",
        saml_AudienceRestriction="saml:Conditions",
        saml_Audience="saml:AudienceRestriction",
        saml_AuthnStatement="saml:Assertion",
        saml_AttributeStatement="saml:Assertion",
        saml_Attribute="saml:AttributeStatement",
    ),
    max_bytes=262_144,
    max_elements=3_500,
    max_work=800_000,
)
LOGOUT = Form(
    roots=_names("samlp:LogoutRequest samlp:LogoutResponse"),
    places=_places(saml_Assertion="", saml_EncryptedAssertion="", ds_Signature="", xenc_EncryptedData=""),
    max_bytes=16_384,
    max_elements=50,
    max_work=400_000,
)
METADATA = Form(
    roots=_names("md:EntityDescriptor md:EntitiesDescriptor"),
    places=_places(
        md_EntityDescriptor="md:EntitiesDescriptor",
        md_EntitiesDescriptor="md:EntitiesDescriptor",
    ),
    max_bytes=1_048_576,
    max_elements=20_000,
    max_work=6_000_000,
    crypto="nothing",
    remarks=True,
)
SIGNED_METADATA = replace(METADATA, crypto="signature")
