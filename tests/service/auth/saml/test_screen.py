"""What the screen refuses on its own, before any library is asked: element by element, and for the reason given."""

from __future__ import annotations

import pytest
from lxml import etree

from service.auth.saml.grammar import CLOSED_ATTRIBUTES, EC, LOGOUT, MAX_PREFIXES, METADATA, RESPONSE, Form
from service.auth.saml.screen import OverLimitError, screen
from service.errors import ApiError
from tests.support.saml.mint import NS, Element, good, response
from tests.support.saml.provider import key_pair


def reason(raw: bytes, form: Form = RESPONSE) -> str:
    try:
        screen(raw, form)
    except ApiError as failure:
        return failure.reason or ""
    return "passed"


def test_genuine_responses_pass() -> None:
    for raw in (
        etree.tostring(good()),
        response(),
        response(sign_response=True),
        response(encrypt_to=key_pair("sp"), sign_response=True),
    ):
        assert reason(raw) == "passed"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("#default xs", "passed"),
        (" ".join(f"p{n}" for n in range(MAX_PREFIXES)), "passed"),
        (" ".join(f"p{n}" for n in range(MAX_PREFIXES + 1)), "prefixes"),
        ("xs xs", "prefixes"),
        ("xs 1", "prefixes"),
        ("xs #defaults", "prefixes"),
    ],
)
def test_a_list_of_prefixes_is_short_each_is_one_and_stands_once(listed: str, expected: str) -> None:
    root = etree.fromstring(response())
    method = root.find(".//{*}CanonicalizationMethod")
    assert method is not None
    etree.SubElement(method, f"{{{EC}}}InclusiveNamespaces", nsmap={"ec": EC}).set("PrefixList", listed)
    assert reason(etree.tostring(root)) == expected


def test_what_is_over_a_limit_is_said_with_both_sides() -> None:
    root = etree.fromstring(response())
    method = root.find(".//{*}CanonicalizationMethod")
    assert method is not None
    etree.SubElement(method, f"{{{EC}}}InclusiveNamespaces", nsmap={"ec": EC}).set("PrefixList", "xs xs")
    with pytest.raises(OverLimitError) as refused:
        screen(etree.tostring(root), RESPONSE)
    assert refused.value.both == f"prefixes: 2, at most {MAX_PREFIXES}, each once"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("", "passed"),
        (' encoding="UTF-8"', "passed"),
        (' encoding="utf-8"', "passed"),
        (' encoding="UTF-7"', "encoding"),
    ],
)
def test_a_document_is_utf_8_whether_it_says_so_or_not(declared: str, expected: str) -> None:
    assert reason(f'<?xml version="1.0"{declared}?>'.encode() + response()) == expected


def element(path: str) -> Element:
    prefix, name = path.split(":")
    return etree.Element(f"{{{NS[prefix]}}}{name}", nsmap=NS)


@pytest.mark.parametrize(
    ("child", "parent", "expected"),
    [
        ("saml:Assertion", "//saml:Assertion", "place"),
        ("saml:Assertion", "//samlp:Status", "place"),
        ("saml:Assertion", "//ds:KeyInfo", "place"),
        ("samlp:Response", "/samlp:Response", "place"),
        ("saml:EncryptedAssertion", "//saml:Assertion", "place"),
        ("ds:Signature", "//saml:Subject", "place"),
        ("ds:Signature", "//samlp:Status", "place"),
        ("ds:SignedInfo", "//saml:Assertion", "place"),
        ("ds:Object", "//saml:Assertion/ds:Signature", "element"),
        ("ds:Manifest", "//saml:Assertion/ds:Signature", "element"),
        ("ds:SPKIData", "//saml:Assertion/ds:Signature/ds:KeyInfo", "element"),
        ("xenc:EncryptedData", "//saml:AttributeValue[1]", "place"),
        ("xenc:CipherReference", "//saml:Assertion", "element"),
        ("saml:Subject", "//saml:AttributeStatement", "place"),
        ("saml:Conditions", "//saml:Subject", "place"),
        ("saml:SubjectConfirmationData", "//saml:Subject", "place"),
        ("saml:Audience", "//saml:Conditions", "place"),
        ("saml:Attribute", "//saml:Assertion", "place"),
        ("saml:Advice", "//saml:Assertion", "element"),
        ("saml:EncryptedID", "//saml:Subject", "element"),
        ("saml:NameID", "//saml:Subject", "duplicate"),
        ("saml:Issuer", "//saml:Assertion", "duplicate"),
        ("saml:SubjectConfirmation", "//saml:Subject", "duplicate"),
        ("saml:AuthnStatement", "//saml:Assertion", "duplicate"),
        ("ds:Reference", "//saml:Assertion/ds:Signature/ds:SignedInfo", "duplicate"),
        ("ds:KeyInfo", "//saml:Assertion/ds:Signature", "duplicate"),
        ("samlp:Status", "/samlp:Response", "duplicate"),
    ],
)
def test_an_element_in_a_place_of_its_own_choosing_is_refused(child: str, parent: str, expected: str) -> None:
    root = etree.fromstring(response(sign_response=True))
    (root.xpath(parent, namespaces=NS)[0]).append(element(child))
    assert reason(etree.tostring(root)) == expected


@pytest.mark.parametrize(
    ("path", "name", "value", "expected"),
    [
        ("//saml:Assertion", "ID", "_response", "id"),
        ("//saml:Assertion/ds:Signature", "Id", "_assertion", "id"),
        ("//saml:NameID", "id", "_assertion", "id"),
        ("//saml:NameID", "{http://www.w3.org/XML/1998/namespace}id", "_assertion", "id"),
        ("//saml:Assertion", "ID", "with blank", "id"),
        ("//saml:Assertion", "ID", "", "id"),
        ("//ds:Reference", "URI", "", "reference"),
        ("//ds:Reference", "URI", "#xpointer(/)", "reference"),
        ("//ds:Reference", "URI", "file:///etc/passwd", "reference"),
        ("//ds:Transform", "Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116", "algorithm"),
        ("//ds:Transform", "Algorithm", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments", "algorithm"),
        ("//ds:CanonicalizationMethod", "Algorithm", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "algorithm"),
        ("//ds:SignatureMethod", "Algorithm", "http://www.w3.org/2000/09/xmldsig#rsa-sha1", "algorithm"),
        ("//ds:SignatureMethod", "Algorithm", "http://www.w3.org/2000/09/xmldsig#hmac-sha1", "algorithm"),
        ("//ds:SignatureMethod", "Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", "algorithm"),
        ("//ds:DigestMethod", "Algorithm", "http://www.w3.org/2000/09/xmldsig#sha1", "algorithm"),
    ],
)
def test_an_algorithm_or_a_name_that_is_not_in_the_tables_is_refused(
    path: str, name: str, value: str, expected: str
) -> None:
    root = etree.fromstring(response(sign_response=True))
    root.xpath(path, namespaces=NS)[-1].set(name, value)
    assert reason(etree.tostring(root)) == expected


@pytest.mark.parametrize(
    ("path", "name", "value", "expected"),
    [
        ("//xenc:EncryptedData", "Type", "http://www.w3.org/2001/04/xmlenc#Content", "type"),
        ("//xenc:EncryptedData/xenc:EncryptionMethod", "Algorithm", NS["xenc"] + "tripledes-cbc", "algorithm"),
        ("//xenc:EncryptedKey/xenc:EncryptionMethod", "Algorithm", NS["xenc"] + "rsa-1_5", "algorithm"),
        ("//xenc:EncryptedKey/xenc:EncryptionMethod", "Algorithm", NS["xenc"] + "kw-aes256", "algorithm"),
    ],
)
def test_an_encryption_that_is_not_in_the_tables_is_refused(path: str, name: str, value: str, expected: str) -> None:
    root = etree.fromstring(response(encrypt_to=key_pair("sp"), sign_response=True))
    root.xpath(path, namespaces=NS)[0].set(name, value)
    assert reason(etree.tostring(root)) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "xml"),
        (b"<a", "xml"),
        (b"<a/>", "root"),
        (b"<a:b/>", "xml"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><a/>', "encoding"),
        ("<a/>".encode("utf-16"), "encoding"),
        ("<a/>".encode("utf-16-le"), "encoding"),
        ("<a/>".encode("utf-32"), "encoding"),
        (b"\xff\xfe", "encoding"),
        (b"+ADw-a/+AD4-", "xml"),
        (b"<!DOCTYPE a><a/>", "doctype"),
    ],
)
def test_no_other_reading_of_the_same_bytes_is_possible(raw: bytes, expected: str) -> None:
    assert reason(raw) == expected


def test_each_kind_of_document_has_its_own_roots() -> None:
    for form in (LOGOUT, METADATA):
        assert reason(etree.tostring(good()), form) == "root"
    signed = (
        f'<samlp:LogoutRequest xmlns:samlp="{NS["samlp"]}"><s:Signature xmlns:s="{NS["ds"]}"/></samlp:LogoutRequest>'
    )
    assert reason(signed.encode(), LOGOUT) == "place"  # in an address, the signature is beside the message


CRYPTOGRAPHY = ("http://www.w3.org/2000/09/xmldsig#", "http://www.w3.org/2001/04/xmlenc#", EC)


def test_every_element_that_a_library_acts_on_has_its_own_list_of_attributes() -> None:
    raw = response(encrypt_to=key_pair("sp"), sign_response=True)
    found = [entry for entry in etree.fromstring(raw).iter() if entry.tag[1:].partition("}")[0] in CRYPTOGRAPHY]
    assert len(found) > 15
    for index in range(len(found)):
        for name in ("Algorithm", "URI", "Type", "PrefixList", "Target", "Recipient", "Anything", f"{{{NS['ds']}}}Id"):
            root = etree.fromstring(raw)
            entry = [one for one in root.iter() if one.tag[1:].partition("}")[0] in CRYPTOGRAPHY][index]
            known = CLOSED_ATTRIBUTES.get(entry.tag[1:].replace("}", " "), frozenset())
            if name not in known:
                entry.set(name, "#x")
                assert reason(etree.tostring(root)) == "attribute", (entry.tag, name)
