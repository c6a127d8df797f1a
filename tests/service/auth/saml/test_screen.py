"""What the screen refuses on its own, before any library is asked: element by element, and for the reason given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree
from structlog.testing import capture_logs

from service.auth import errors
from service.auth.saml.grammar import (
    CLOSED_ATTRIBUTES,
    EC,
    LOGOUT,
    MAX_PREFIXES,
    METADATA,
    RESPONSE,
    SIGNED_METADATA,
    Form,
)
from service.auth.saml.screen import ATTRIBUTE, DECLARATION, ELEMENT, OverLimitError, screen
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


def over(raw: bytes, form: Form) -> str:
    """What a refusal says of the limit; empty when the document passes."""
    try:
        screen(raw, form)
    except OverLimitError as refused:
        right = refused.error is errors.SAML_OVERSIZED and refused.both.startswith(f"{refused.reason}: ")
        return refused.both if right else f"{refused.error.code} {refused.reason}"
    return ""


PLAIN = Form(frozenset({" a", "a"}), {}, max_bytes=1_000_000, max_elements=10_000, max_work=1 << 40)


def nested(depth: int) -> bytes:
    return b"<a>" * depth + b"</a>" * depth


def attributed(count: int) -> bytes:
    listed = " ".join(f'x{number}="1"' for number in range(count))
    return f"<a {listed}/>".encode()


def declared(count: int, what: str = "a", inner: str = "") -> str:
    listed = " ".join(f'xmlns:p{number}="u"' for number in range(count))
    return f"<{what} {listed}>{inner}</{what}>"


@pytest.mark.parametrize(
    ("fits", "beyond", "limits", "both"),
    [
        (b"<a>12</a>", b"<a>123</a>", {"max_bytes": 9}, "bytes: 10, at most 9"),
        (b"<a><b/><b/></a>", b"<a><b/><b/><b/></a>", {"max_elements": 3}, "elements: more, at most 3"),
        (nested(32), nested(33), {}, "depth: more, at most 32"),
        (attributed(32), attributed(33), {}, "attributes: 33, at most 32 of an element"),
        (declared(64).encode(), declared(65).encode(), {}, "namespaces: more, at most 4000, 64 in scope"),
        (
            declared(30, inner=declared(34, "b") * 2).encode(),
            declared(30, inner=declared(34, "b") + declared(35, "b")).encode(),
            {},
            "namespaces: more, at most 4000, 64 in scope",
        ),
        (
            f"<a>{declared(40, 'b') * 100}</a>".encode(),
            f"<a>{declared(40, 'b') * 100}<c xmlns:x='u'/></a>".encode(),
            {},
            "namespaces: more, at most 4000, 64 in scope",
        ),
    ],
)
def test_each_limit_holds_to_the_one(fits: bytes, beyond: bytes, limits: Mapping[str, Any], both: str) -> None:
    form = replace(PLAIN, **limits)
    assert over(fits, form) == ""
    with capture_logs() as logs:
        assert over(beyond, form) == both
    (entry,) = logs
    assert (entry["event"], entry["limit"], entry["both"]) == ("saml_over_a_limit", both.partition(":")[0], both)


LISTS = (
    f'<samlp:Response xmlns:samlp="{NS["samlp"]}" xmlns:saml="{NS["saml"]}" ID="_r">'
    '<samlp:Extensions><x:y xmlns:x="urn:x"/></samlp:Extensions>'
    f'<saml:Assertion ID="_a" Version="2.0"><ds:Signature xmlns:ds="{NS["ds"]}"><ds:SignedInfo>'
    f'<ds:CanonicalizationMethod Algorithm="{EC}"><ec:InclusiveNamespaces xmlns:ec="{EC}" PrefixList="xs xsi"/>'
    '</ds:CanonicalizationMethod><ds:Reference URI="#_a"><ds:Transforms>'
    f'<ds:Transform Algorithm="{EC}"><ec:InclusiveNamespaces xmlns:ec="{EC}" PrefixList="a b c"/></ds:Transform>'
    "</ds:Transforms></ds:Reference></ds:SignedInfo></ds:Signature><saml:Subject/></saml:Assertion></samlp:Response>"
).encode()


def cost(raw: bytes, *, prefixes: bool = True) -> int:
    """What docs/SAML_WORK.md says that a document costs, by another parser."""
    looked_up = declared = attributes = listed = 0
    found = list(etree.fromstring(raw).iter())
    for entry in found:
        parent = entry.getparent()
        declared += len(entry.nsmap) - (0 if parent is None else len(parent.nsmap))
        attributes += len(entry.attrib)
        looked_up += 1 + sum(1 for _ in entry.iterancestors()) + len(entry.nsmap)
        listed += len(entry.get("PrefixList", "").split())
    counted = len(found) * ELEMENT + attributes * ATTRIBUTE + declared * DECLARATION
    return len(raw) + counted + looked_up * (1 + listed * prefixes)


def test_the_work_of_a_document_is_what_is_written_down_and_the_prefixes_of_all_lists_add_up() -> None:
    limit = cost(LISTS)
    assert over(LISTS, replace(RESPONSE, max_work=limit)) == ""
    said = f"work: more, at most {limit - 1} units of work (docs/SAML_WORK.md)"
    assert over(LISTS, replace(RESPONSE, max_work=limit - 1)) == said


def test_a_list_that_is_not_there_has_no_prefixes() -> None:
    raw = LISTS.replace(b' PrefixList="xs xsi"', b"")
    assert over(raw, replace(RESPONSE, max_work=cost(raw))) == ""


def test_in_metadata_the_lists_of_its_own_signature_count_and_no_others() -> None:
    lists = LISTS[LISTS.index(b"<ds:Signature ") : LISTS.index(b"<saml:Subject/>")]
    head = '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">'
    own = f"{head}{lists.decode()}</md:EntityDescriptor>".encode()
    deeper = f"{head}<md:x>{lists.decode()}</md:x></md:EntityDescriptor>".encode()
    for form, raw, counted in (
        (SIGNED_METADATA, own, True),
        (SIGNED_METADATA, deeper, False),
        (METADATA, own, False),
        (METADATA, deeper, False),
    ):
        limit = cost(raw, prefixes=counted)
        assert over(raw, replace(form, max_work=limit)) == ""
        assert over(raw, replace(form, max_work=limit - 1)) != ""


def in_metadata(*inner: str) -> bytes:
    return (
        f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="{NS["ds"]}">'
        f"{''.join(inner)}</md:EntityDescriptor>"
    ).encode()


OBJECT = "<ds:Signature><ds:Object/></ds:Signature>"


@pytest.mark.parametrize(
    ("inner", "signed", "unsigned"),
    [
        (OBJECT, "element", "passed"),
        (f"<md:x>{OBJECT}</md:x>", "passed", "passed"),
        ("<ds:Signature/><ds:Signature/>", "duplicate", "passed"),
        ("<ds:Signature><ds:SignedInfo/><ds:SignedInfo/></ds:Signature>", "duplicate", "passed"),
        ('<ds:Signature x="1"/>', "attribute", "passed"),
        ('<ds:Signature Id="1"/>', "id", "passed"),
        ('<md:x ID="a"/><md:x ID="a"/>', "id", "passed"),
        ('<ds:Signature><ds:Reference URI="x"/></ds:Signature>', "place", "passed"),
        (
            '<ds:Signature><ds:SignedInfo><ds:SignatureMethod Algorithm="urn:any"/></ds:SignedInfo></ds:Signature>',
            "passed",
            "passed",
        ),
        ("<md:x/><?pi data?><!-- remark --><![CDATA[text]]>", "passed", "passed"),
    ],
)
def test_of_metadata_the_grammar_holds_for_the_signature_that_is_asked_for(
    inner: str, signed: str, unsigned: str
) -> None:
    assert reason(in_metadata(inner), SIGNED_METADATA) == signed
    assert reason(in_metadata(inner), METADATA) == unsigned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!-- x -->", "comment"),
        ("<![CDATA[x]]>", "cdata"),
        ("<?x y?>", "instruction"),
        ("&x;", "xml"),
        ("", "passed"),
    ],
)
def test_in_a_message_no_remark_may_stand(text: str, expected: str) -> None:
    root = etree.tostring(good()).replace(b"al-1", f"al{text}-1".encode())
    assert reason(root) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"<!DOCTYPE a><a/>", "doctype"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a/>', "doctype"),
        (b"<a>\x00</a>", "encoding"),
        (b"<a>\xff</a>", "encoding"),
        (b"<a></b>", "xml"),
        (b"<a/><a/>", "xml"),
    ],
)
def test_what_is_refused_before_an_element_is_seen(raw: bytes, expected: str) -> None:
    for form in (PLAIN, replace(PLAIN, remarks=True)):
        assert reason(raw, form) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x" * 256, "passed"), ("x" * 257, "id"), ("_-.9", "passed"), ("9", "id"), ("a b", "id"), ("a\n", "id")],
)
def test_an_id_is_a_name_of_bounded_length(name: str, expected: str) -> None:
    root = good()
    root.set("ID", name)
    assert reason(etree.tostring(root)) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("#_a", "passed"), ("#", "reference"), ("_a", "reference"), ("##_a", "reference"), ("#_a b", "reference")],
)
@pytest.mark.parametrize("name", ["Reference", "RetrievalMethod"])
def test_a_reference_names_an_element_of_the_document(name: str, uri: str, expected: str) -> None:
    raw = LISTS.replace(b'URI="#_a"', f'URI="{uri}"'.encode())
    if name == "RetrievalMethod":
        found = f'<ds:KeyInfo><ds:RetrievalMethod URI="{uri}"/></ds:KeyInfo></ds:Signature>'
        raw = LISTS.replace(b"</ds:Signature>", found.encode())
    assert reason(raw) == expected


def test_a_transform_of_a_kind_stands_once() -> None:
    method = f'<ds:Transform Algorithm="{EC}"/>'
    for algorithm, expected in ((EC, "transforms"), (f"{NS['ds']}enveloped-signature", "passed")):
        more = method.replace(EC, algorithm)
        assert reason(LISTS.replace(b"</ds:Transforms>", f"{more}</ds:Transforms>".encode())) == expected


def test_a_digest_within_oaep_may_be_any_and_its_mask_may_not() -> None:
    raw = response(encrypt_to=key_pair("sp"), sign_response=True)
    digest = f'<ds:DigestMethod xmlns:ds="{NS["ds"]}" Algorithm="{NS["ds"]}sha1"/>'
    mask = '<m:MGF xmlns:m="http://www.w3.org/2009/xmlenc11#" Algorithm="http://www.w3.org/2009/xmlenc11#%s"/>'
    for inner, expected in ((digest, "passed"), (mask % "mgf1sha1", "passed"), (mask % "other", "algorithm")):
        root = etree.fromstring(raw)
        root.xpath("//xenc:EncryptedKey/xenc:EncryptionMethod", namespaces=NS)[0].append(etree.fromstring(inner))
        for found in root.xpath("//xenc:EncryptedKey/xenc:EncryptionMethod/ds:DigestMethod", namespaces=NS)[:-1]:
            found.getparent().remove(found)
        assert reason(etree.tostring(root)) == expected
