"""python3-saml and xmlsec, handed only what was screened, and believed only where the rules agree.

Everything here computes and none of it waits: it runs in the threads of ``service.auth.saml.workers``.
"""

from __future__ import annotations

import base64
import threading
import time
import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

import xmlsec
from lxml import etree
from lxml.etree import _Element as Element

with warnings.catch_warnings():
    # Invalid escapes and utcnow() of a library without a release since 2023; newer Pythons warn of both.
    warnings.simplefilter("ignore")
    from onelogin.saml2.constants import OneLogin_Saml2_Constants as Constants
    from onelogin.saml2.response import OneLogin_Saml2_Response
    from onelogin.saml2.settings import OneLogin_Saml2_Settings
    from onelogin.saml2.utils import OneLogin_Saml2_Utils
    from onelogin.saml2.xml_utils import OneLogin_Saml2_XML

from service.auth.errors import SAML_UNREADABLE, SAML_UNVERIFIED
from service.auth.saml.grammar import DS, RESPONSE, SAML
from service.auth.saml.party import Party, SpKey
from service.auth.saml.rules import Expected, SignedIn, check_assertion, check_envelope, moment
from service.auth.saml.screen import screen
from service.errors import ApiError
from service.log import get_logger

_T = xmlsec.constants
_REFERENCE = (_T.TransformEnveloped, _T.TransformExclC14N, _T.TransformSha256, _T.TransformSha384, _T.TransformSha512)
_SIGNATURE = (
    _T.TransformExclC14N,
    _T.TransformInclC14N,  # python-xmlsec adds it to every context of its own accord; the screen refuses it
    *(getattr(_T, f"Transform{kind}Sha{bits}") for kind in ("Rsa", "Ecdsa") for bits in (256, 384, 512)),
)

log = get_logger(__name__)


class _RestrictedContext(xmlsec.SignatureContext):
    """Executes no transform but those of the allow-list: the second lock, should something pass the screen."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for transform in _REFERENCE:
            self.enable_reference_transform(transform)
        for transform in _SIGNATURE:
            self.enable_signature_transform(transform)


# python3-saml looks the name up when it verifies, so this holds for every signature of the process.
xmlsec.SignatureContext = _RestrictedContext  # type: ignore[misc]

# libxml2 fills its table of schema types at the first schema it reads, without a lock: two first responses at once, one
# in each thread, would both be refused (XMLSchemaParseError, seen in 1 of 40 starts). So the first is read here.
OneLogin_Saml2_XML.validate_xml(etree.Element("first"), "saml-schema-protocol-2.0.xsd")


class _Clock(threading.local):
    """What python3-saml takes for the time. It allows no difference of clocks where our rules, which have judged every
    time before it is asked, allow a minute: so it is asked about a moment within the assertion's own times."""

    at: datetime | None = None


_clock = _Clock()


def _now() -> int:
    return int(time.time() if _clock.at is None else _clock.at.timestamp())


OneLogin_Saml2_Utils.now = staticmethod(_now)


def accept(raw: bytes, expected: Expected, party: Party) -> SignedIn:
    """Judge a response from its bytes to the identity it stands for.

    Screen, envelope, the response's signature, decryption, the assertion's signature, the assertion's rules, and at
    last the library's own opinion. An assertion is decrypted only when the response around it was signed by the
    provider, so that no other sender can use our key to learn what a ciphertext holds (Jager and Somorovsky 2011).

    Args:
        raw: The response.
        expected: What it must say.
        party: The provider's certificates and our keys.

    Raises:
        ApiError: With the row of whatever failed first.
    """
    screen(raw, RESPONSE)
    response = parse(raw)
    check_envelope(response, expected)
    if response.find(f"{{{DS}}}Signature") is not None:
        _verify(response, party.idp.certificates)
    opened, document = _open(raw, party)
    if document is not opened.document:
        screen(etree.tostring(document, encoding="utf-8"), RESPONSE)
    assertions = document.findall(f"{{{SAML}}}Assertion")
    if len(assertions) != 1:
        raise ApiError(SAML_UNVERIFIED, "decrypted")
    _verify(assertions[0], party.idp.certificates)
    signed_in = check_assertion(assertions[0], expected)
    try:
        _clock.at = moment(assertions[0], expected.now)
        opened.is_valid(request_data(expected.acs), expected.request_id, raise_exceptions=True)
    except Exception as failure:  # it raises its own, lxml's, xmlsec's and built-in ones
        log.warning("saml_library_refused", reason=type(failure).__name__, code=getattr(failure, "code", None))
        raise ApiError(SAML_UNVERIFIED, "library") from None
    finally:
        _clock.at = None
    return signed_in


def parse(raw: bytes) -> Element:
    """The tree of a screened document, without comments, entities or anything fetched.

    Raises:
        ApiError: AUTH_070 when libxml2 reads it differently than the screen did.
    """
    try:
        return OneLogin_Saml2_XML.to_etree(raw)
    except (etree.XMLSyntaxError, ValueError):
        raise ApiError(SAML_UNREADABLE, "xml") from None


def is_signed_by(element: Element, certificates: Sequence[str]) -> bool:
    """Whether an element carries a good signature over itself by one of the certificates.

    Args:
        element: With one enveloped signature; its document was screened.
        certificates: PEM. Keys that the document brings along are not looked at.
    """
    signature = element.find(f"{{{DS}}}Signature")
    reference = None if signature is None else signature.find(f"{{{DS}}}SignedInfo/{{{DS}}}Reference")
    identity = element.get("ID")
    # Without this, the signature could be a good one over another element.
    if reference is None or not identity or reference.get("URI") != f"#{identity}":
        return False
    root = element.getroottree().getroot()
    xmlsec.tree.add_ids(root, ["ID"])
    return any(
        OneLogin_Saml2_Utils.validate_node_sign(signature, root, cert=certificate, raise_exceptions=False)
        for certificate in certificates
    )


def settings(party: Party, key: SpKey, *, published: bool = False) -> OneLogin_Saml2_Settings:
    """What python3-saml is told about the two parties.

    Args:
        party: Both.
        key: The one of our keys to sign or decrypt with.
        published: For our metadata, which offers encryption; a response may be encrypted, and need not be.
    """
    others = [other for other in party.sp_keys if other is not key]
    return OneLogin_Saml2_Settings(
        {
            "strict": True,
            "debug": False,  # it prints messages to stdout
            "sp": {
                "entityId": party.sp_entity_id,
                "assertionConsumerService": {"url": party.acs, "binding": Constants.BINDING_HTTP_POST},
                "singleLogoutService": {"url": party.sls, "binding": Constants.BINDING_HTTP_REDIRECT},
                "NameIDFormat": Constants.NAMEID_PERSISTENT if party.persistent else Constants.NAMEID_UNSPECIFIED,
                "x509cert": key.certificate,
                "privateKey": key.private_key,
                **({"x509certNew": others[0].certificate} if others else {}),
            },
            "idp": {
                "entityId": party.idp_entity_id,
                # The library's templates put them into XML as they are.
                "singleSignOnService": {"url": _escaped(party.idp.sso_url)},
                "singleLogoutService": {
                    "url": _escaped(party.idp.slo_url or ""),
                    "responseUrl": _escaped(party.idp.slo_response_url or ""),
                },
                "x509certMulti": {"signing": list(party.idp.certificates)},
            },
            "security": {
                "authnRequestsSigned": True,
                "logoutRequestSigned": True,
                "logoutResponseSigned": True,
                "wantAssertionsSigned": True,
                "wantAssertionsEncrypted": published,
                "wantAttributeStatement": False,
                "wantNameId": True,
                "rejectDeprecatedAlgorithm": True,
                "requestedAuthnContext": False,
                "allowSingleLabelDomains": True,
                "signatureAlgorithm": Constants.RSA_SHA256,
                "digestAlgorithm": Constants.SHA256,
            },
        }
    )


def _verify(element: Element, certificates: Sequence[str]) -> None:
    if not is_signed_by(element, certificates):
        raise ApiError(SAML_UNVERIFIED, "signature")


def _open(raw: bytes, party: Party) -> tuple[OneLogin_Saml2_Response, Element]:
    """Decrypt, where the assertion is encrypted; the constructor does it, with the one key that its settings hold."""
    encoded = base64.b64encode(raw).decode("ascii")
    reason = "no_key"
    for key in party.sp_keys:
        try:
            opened = OneLogin_Saml2_Response(settings(party, key), encoded)
            return opened, opened.get_xml_document()
        except Exception as failure:  # as in accept
            reason = type(failure).__name__
    raise ApiError(SAML_UNVERIFIED, reason)


def _escaped(address: str) -> str:
    return quoteattr(address)[1:-1]


def request_data(url: str) -> dict[str, Any]:
    """What the library compares addresses with: from our settings, never from the request's Host.

    Args:
        url: Where the message was sent, as the settings have it.
    """
    parts = urlsplit(url)
    return {
        "https": "on" if parts.scheme == "https" else "off",
        "http_host": parts.netloc,
        "script_name": parts.path,
        "get_data": {},
        "post_data": {},
    }
