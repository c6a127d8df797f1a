"""Small documents that are meant to cost much, or to make a library open files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from lxml import etree

from tests.support.saml.mint import NS, good

Element = Any
_XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"
_HEAD = b'<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r" Version="2.0">'


def fetch(url: str) -> bytes:
    """A document of a peer."""
    return httpx.get(url).content


def _stylesheet(levels: int) -> str:
    """Each template calls the next one ten times."""
    templates = "".join(
        f'<x:template name="t{level}">' + f'<x:call-template name="t{level + 1}"/>' * 10 + "</x:template>"
        for level in range(levels)
    )
    return (
        '<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform" version="1.0">'
        f'<x:template match="/"><x:call-template name="t0"/></x:template>{templates}'
        f'<x:template name="t{levels}"><y/></x:template></x:stylesheet>'
    )


def _signature(transform: str, extra: str = "") -> Element:
    return etree.fromstring(
        f'<ds:Signature xmlns:ds="{NS["ds"]}"><ds:SignedInfo>'
        '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>'
        '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>'
        f'<ds:Reference URI="#_assertion"><ds:Transforms>{transform}</ds:Transforms>'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>AAAA</ds:DigestValue>'
        f"</ds:Reference></ds:SignedInfo><ds:SignatureValue>AAAA</ds:SignatureValue>{extra}</ds:Signature>"
    )


def _with_signature(transform: str, extra: str = "") -> bytes:
    root = good()
    root.find("saml:Assertion", NS).insert(1, _signature(transform, extra))
    return bytes(etree.tostring(root))


def _with_encrypted_key(key_info: str, cipher: str) -> bytes:
    root = good()
    root.remove(root.find("saml:Assertion", NS))
    root.append(
        etree.fromstring(
            f'<saml:EncryptedAssertion xmlns:saml="{NS["saml"]}" xmlns:ds="{NS["ds"]}" xmlns:xenc="{NS["xenc"]}">'
            f'<xenc:EncryptedData Type="{NS["xenc"]}Element">'
            f'<xenc:EncryptionMethod Algorithm="{NS["xenc"]}aes256-cbc"/><ds:KeyInfo>{key_info}</ds:KeyInfo>'
            f"<xenc:CipherData>{cipher}</xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>"
        )
    )
    return bytes(etree.tostring(root))


def xslt() -> bytes:
    """Millions of template calls in five kilobytes."""
    return _with_signature(f'<ds:Transform Algorithm="{_XSLT}">{_stylesheet(7)}</ds:Transform>')


def xpath() -> bytes:
    path = "<ds:XPath>" + "count(//.)" * 1 + "</ds:XPath>"
    return _with_signature(
        f'<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">{path}</ds:Transform>'
    )


def many_transforms() -> bytes:
    return _with_signature('<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>' * 5_000)


def retrieval_of_a_file() -> bytes:
    extra = '<ds:KeyInfo><ds:RetrievalMethod URI="file:///etc/passwd"/></ds:KeyInfo>'
    return _with_signature("", extra)


def retrieval_with_transforms() -> bytes:
    method = (
        f'<ds:RetrievalMethod URI="#_response" Type="{NS["xenc"]}EncryptedKey"><ds:Transforms>'
        f'<ds:Transform Algorithm="{_XSLT}">{_stylesheet(7)}</ds:Transform></ds:Transforms></ds:RetrievalMethod>'
    )
    return _with_encrypted_key(method, "<xenc:CipherValue>AAAA</xenc:CipherValue>")


def cipher_reference() -> bytes:
    reference = (
        f'<xenc:CipherReference URI="#_response"><xenc:Transforms><ds:Transform Algorithm="{_XSLT}">{_stylesheet(7)}'
        "</ds:Transform></xenc:Transforms></xenc:CipherReference>"
    )
    return _with_encrypted_key("<ds:KeyName>k</ds:KeyName>", reference)


def cipher_reference_to_a_file() -> bytes:
    return _with_encrypted_key("<ds:KeyName>k</ds:KeyName>", '<xenc:CipherReference URI="file:///etc/passwd"/>')


def billion_laughs() -> bytes:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    return f"<!DOCTYPE r [{entities}]>".encode() + _HEAD + b"&a9;</samlp:Response>"


def quadratic_blowup() -> bytes:
    return b'<!DOCTYPE r [<!ENTITY a "' + b"x" * 50_000 + b'">]>' + _HEAD + b"&a;" * 10_000 + b"</samlp:Response>"


def external_entity() -> bytes:
    return b'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + _HEAD + b"&a;</samlp:Response>"


def external_dtd() -> bytes:
    return b'<!DOCTYPE r SYSTEM "http://127.0.0.1:9/evil.dtd">' + _HEAD + b"</samlp:Response>"


def utf16_doctype() -> bytes:
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>'
    return text.encode("utf-16")


def ten_megabytes() -> bytes:
    return _HEAD + b"x" * 10_000_000 + b"</samlp:Response>"


def ten_thousand_levels() -> bytes:
    return _HEAD + b"<a>" * 10_000 + b"</a>" * 10_000 + b"</samlp:Response>"


def fifty_thousand_siblings() -> bytes:
    return _HEAD + b"<a/>" * 50_000 + b"</samlp:Response>"


def many_attributes() -> bytes:
    return _HEAD + b"<a " + b" ".join(b"a%d=''" % n for n in range(20_000)) + b"/></samlp:Response>"


def many_namespaces() -> bytes:
    return _HEAD + b"<a " + b" ".join(b"xmlns:a%d='u'" % n for n in range(12_000)) + b"/></samlp:Response>"


def xinclude() -> bytes:
    include = b'<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
    return _HEAD + include + b"</samlp:Response>"


def not_xml() -> bytes:
    return b"\x00\xff" * 100_000


def just_below_the_limit() -> bytes:
    """The largest body that the API reads at all."""
    return b"+" * 700_000


ALL: list[Callable[[], bytes]] = [
    xslt, xpath, many_transforms, retrieval_of_a_file, retrieval_with_transforms, cipher_reference,
    cipher_reference_to_a_file, billion_laughs, quadratic_blowup, external_entity, external_dtd, utf16_doctype,
    ten_megabytes, ten_thousand_levels, fifty_thousand_siblings, many_attributes, many_namespaces, xinclude, not_xml,
]  # fmt: skip


def inner_xslt(root: Element) -> None:
    """The assertion in the envelope carries the transform."""
    transform = f'<ds:Transform Algorithm="{_XSLT}">{_stylesheet(7)}</ds:Transform>'
    root.find("saml:Assertion", NS).insert(1, _signature(transform))


def inner_depth(root: Element) -> None:
    """Nested as deep as a tree can be built here; the ciphertext holds 200 levels more than are accepted."""
    value = root.find(".//saml:AttributeValue", NS)
    for _ in range(230):
        value = etree.SubElement(value, "a")


def inner_siblings(root: Element) -> None:
    value = root.find(".//saml:AttributeValue", NS)
    for _ in range(6_000):
        etree.SubElement(value, "a")


def inner_comment(root: Element) -> None:
    root.find(".//saml:NameID", NS).append(etree.Comment("x"))


def inner_encrypted(root: Element) -> None:
    """A name that only our key can read, with a reference in it."""
    subject = root.find(".//saml:Subject", NS)
    subject.insert(
        0,
        etree.fromstring(
            f'<saml:EncryptedID xmlns:saml="{NS["saml"]}" xmlns:xenc="{NS["xenc"]}"><xenc:EncryptedData '
            f'Type="{NS["xenc"]}Element"><xenc:CipherData><xenc:CipherReference URI="file:///etc/passwd"/>'
            "</xenc:CipherData></xenc:EncryptedData></saml:EncryptedID>"
        ),
    )


def inner_assertion(root: Element) -> None:
    """An assertion within the assertion."""
    root.find("saml:Assertion", NS).append(good().find("saml:Assertion", NS))


INNER: list[Callable[[Element], None]] = [
    inner_xslt, inner_depth, inner_siblings, inner_comment, inner_encrypted, inner_assertion,
]  # fmt: skip
