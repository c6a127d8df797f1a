"""Documents within the grammar that make a library work: elements, declarations, prefixes, attributes, by number."""

from __future__ import annotations

from service.auth.saml.grammar import EC
from service.auth.saml.rules import Expected
from tests.support.saml.mint import NS, expected, utc_now


def document(
    elements: int = 0,
    namespaces: int = 0,
    prefixes: int = 0,
    attributes: int = 0,
    repeated: int = 0,
    text: int = 0,
    transforms: int = 1,
    within: str = "assertion",
    rules: Expected | None = None,
) -> bytes:
    """A response whose signature names a list of prefixes, around many elements, below many declarations."""
    rules = rules or expected()
    declared = "".join(f' xmlns:n{i}="urn:n:{i}"' for i in range(namespaces))
    again = "".join(f' xmlns:r{i}="urn:r:{i}"' for i in range(repeated))
    named = "".join(f' a{i}="{i}"' for i in range(attributes))
    listed = " ".join(f"n{i}" for i in range(prefixes))
    transform = (
        f'<ds:Transform Algorithm="{EC}"><ec:InclusiveNamespaces xmlns:ec="{EC}" PrefixList="{listed}"/>'
        "</ds:Transform>"
    )
    enveloped = f'<ds:Transform Algorithm="{NS["ds"]}enveloped-signature"/>'
    signature = (
        f'<ds:Signature xmlns:ds="{NS["ds"]}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{EC}"/>'
        '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>'
        f'<ds:Reference URI="#_{within}"><ds:Transforms>{enveloped}{transform * transforms}</ds:Transforms>'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>AAAA</ds:DigestValue>'
        "</ds:Reference></ds:SignedInfo><ds:SignatureValue>AAAA</ds:SignatureValue></ds:Signature>"
    )
    filling = f"<x{again}{named}>{'t' * text}</x>" * elements
    outer, inner = (signature, "") if within == "response" else ("", signature)
    return (
        f'<samlp:Response xmlns:samlp="{NS["samlp"]}" xmlns:saml="{NS["saml"]}"{declared} ID="_response" Version="2.0" '
        f'IssueInstant="{utc_now():%Y-%m-%dT%H:%M:%SZ}" Destination="{rules.acs}" '
        f'InResponseTo="{rules.request_id}">'
        f"<saml:Issuer>{rules.issuer}</saml:Issuer>{outer}"
        '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
        '<saml:Assertion ID="_assertion" Version="2.0" IssueInstant="2026-01-01T00:00:00Z">'
        f"<saml:Issuer>{rules.issuer}</saml:Issuer>{inner}{filling}</saml:Assertion></samlp:Response>"
    ).encode()
