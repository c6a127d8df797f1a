"""Metadata as providers really publish it: what nobody needs is ignored, what is needed and wrong is named."""

from __future__ import annotations

import codecs
from datetime import UTC, datetime

import pytest

from service.auth.saml.assembly import entity_address
from service.auth.saml.metadata import MetadataError, read_idp
from tests.support.saml.metadata import document, key_descriptor
from tests.support.saml.mint import ISSUER, signed
from tests.support.saml.provider import key_pair

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SSO = "https://idp.example.org/sso"


def read(raw: bytes) -> object:
    return read_idp(raw, ISSUER, None, NOW)


def chain() -> bytes:
    described, leaf = key_descriptor(key_pair("idp")), key_pair("idp").one_line
    head, _, tail = described.partition(leaf)
    opening, closing = head[head.rindex("<") :], tail[: tail.index(">") + 1]
    return document(keys=f"{head}{leaf}{closing}{opening}{key_pair('other').one_line}{tail}")


def test_of_a_chain_the_certificate_that_holds_the_key_counts_alone() -> None:
    found = read_idp(chain(), ISSUER, None, NOW)
    assert [certificate.strip() for certificate in found.certificates] == [key_pair("idp").certificate.strip()]


def test_of_two_roles_the_saml_2_one_is_read() -> None:
    old = (
        b'<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol">'
        b'<SingleSignOnService Binding="urn:mace:shibboleth:1.0:profiles:AuthnRequest" '
        b'Location="https://old.example/sso"/>'
        b"</IDPSSODescriptor></EntityDescriptor>"
    )
    assert read_idp(document().replace(b"</EntityDescriptor>", old), ISSUER, None, NOW).sso_url == SSO


def test_a_logout_address_that_cannot_be_used_costs_the_logout_alone() -> None:
    raw = document().replace(b"https://idp.example.org/slo", b"http://idp.example.org/slo")
    found = read_idp(raw, ISSUER, None, NOW)
    assert (found.sso_url, found.slo_url, found.slo_response_url) == (SSO, None, None)


def test_what_a_person_would_read_may_be_written_in_any_way() -> None:
    name = b"<Organization><OrganizationName xml:lang='en'><![CDATA[A & B <Clinic>]]></OrganizationName></Organization>"
    raw = document().replace(b"</EntityDescriptor>", name + b"</EntityDescriptor>")
    assert read_idp(raw, ISSUER, None, NOW).sso_url == SSO


@pytest.mark.parametrize(
    ("raw", "reason", "told"),
    [
        (document(more='validUntil="2024-02-20T16:52:48Z"'), "valid_until", ("2024-02-20T16:52:48Z", "METADATA_URL")),
        (
            document(sso="http://kc.corp:8080/sso"),
            "address",
            ("http://kc.corp:8080/sso", "SingleSignOnService", "https"),
        ),
        (document(entity_id="https://idp.example.org/metadata/"), "entity_id", (ISSUER, f"{ISSUER}/", "to the letter")),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "doctype", ("metadata address",)),
        (b"<html><body>Sign in</body></html>", "root", ("EntityDescriptor",)),
        (b"Sign in", "xml", ("metadata address",)),
        (document().replace(b"HTTP-Redirect", b"HTTP-POST"), "no_redirect_sign_in", ("HTTP-Redirect",)),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_what_to_do(raw: bytes, reason: str, told: tuple[str, ...]) -> None:
    with pytest.raises(MetadataError) as refused:
        read(raw)
    assert str(refused.value) == reason
    for text in told:
        assert text in refused.value.told


def test_nothing_of_a_document_reaches_a_terminal_as_it_is() -> None:
    with pytest.raises(MetadataError) as refused:
        read(document(entity_id="https://x&#x9b;31m" + "y" * 2_000))
    assert "\x9b" not in refused.value.told
    assert len(refused.value.told) < 500


def encoded(name: str, declared: str | None, *, mark: bytes = b"") -> bytes:
    organization = "<Organization><OrganizationName xml:lang='de'>Universit\u00e4t</OrganizationName></Organization>"
    text = document().decode().replace("</EntityDescriptor>", organization + "</EntityDescriptor>")
    head = "" if declared is None else f'<?xml version="1.0" encoding="{declared}"?>\n'
    return mark + (head + text).encode(name)


@pytest.mark.parametrize(
    "raw",
    [
        encoded("utf-8", "utf-8"),
        encoded("utf-8", None, mark=codecs.BOM_UTF8),
        encoded("utf-8", "UTF-8", mark=codecs.BOM_UTF8),
        encoded("iso-8859-1", "ISO-8859-1"),
        encoded("iso-8859-15", "iso-8859-15"),
        encoded("cp1252", "windows-1252"),
        encoded("utf-16", "UTF-16"),
        encoded("utf-16", None),
        encoded("utf-16-le", "utf-16"),
        encoded("utf-16-be", "utf-16"),
        encoded("utf-32", "utf-32"),
        encoded("utf-8", "utf-16"),
        encoded("gb18030", "GB18030"),
    ],
)
def test_it_may_be_written_in_any_encoding(raw: bytes) -> None:
    assert read_idp(raw, ISSUER, None, NOW).sso_url == SSO


def test_a_signature_covers_the_text_whatever_it_is_encoded_in() -> None:
    signer = key_pair("federation")
    raw = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + signed(encoded("utf-8", None), signer).decode().encode(
        "iso-8859-1"
    )
    assert read_idp(raw, ISSUER, signer.certificate, NOW).sso_url == SSO
    with pytest.raises(MetadataError, match="signature"):
        read_idp(raw.replace(b"Universit", b"University"), ISSUER, signer.certificate, NOW)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (encoded("iso-8859-1", "utf-8"), "utf-8"),
        (encoded("iso-8859-1", None), "utf-8"),
        (encoded("utf-8", "utf-7"), "utf-7"),
        (encoded("utf-8", "unicode_escape"), "unicode_escape"),
        (encoded("utf-8", "rot13"), "rot13"),
        (encoded("utf-8", "no-such-thing"), "no-such-thing"),
    ],
)
def test_what_is_not_in_the_encoding_that_it_says_is_refused_by_its_name(raw: bytes, named: str) -> None:
    with pytest.raises(MetadataError) as refused:
        read(raw)
    assert (str(refused.value), named in refused.value.told) == ("encoding", True)


SHA1 = (b"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", b"http://www.w3.org/2000/09/xmldsig#rsa-sha1")
OLD_DIGEST = (b"http://www.w3.org/2001/04/xmlenc#sha256", b"http://www.w3.org/2000/09/xmldsig#sha1")
INCLUSIVE = (
    b'<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"',
    b'<ds:CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"',
)


@pytest.mark.parametrize(("old", "new"), [SHA1, OLD_DIGEST, INCLUSIVE])
def test_an_old_signature_is_called_what_it_is_and_hinders_nobody_who_needs_none(old: bytes, new: bytes) -> None:
    signer = key_pair("federation")
    raw = signed(document(), signer).replace(old, new)
    assert new in raw
    assert read_idp(raw, ISSUER, None, NOW).sso_url == SSO
    with pytest.raises(MetadataError) as refused:
        read_idp(raw, ISSUER, signer.certificate, NOW)
    assert str(refused.value) == "signature_algorithm"
    assert new.decode().rstrip('"').rpartition('"')[2] in refused.value.told
    assert "SHA-256" in refused.value.told
    with pytest.raises(MetadataError) as unsigned:
        read_idp(document(), ISSUER, signer.certificate, NOW)
    assert "no signature covers the whole" in unsigned.value.told


@pytest.mark.parametrize(
    "extra",
    [
        '<Extensions><x:Thing xmlns:x="urn:x" Id="1"/><x:Thing xmlns:x="urn:x" Id="1"/></Extensions>',
        '<Extensions><ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:Manifest/></ds:Object></Extensions>',
        '<KeyDescriptor use="encryption"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:KeyValue>'
        "<ds:DSAKeyValue><ds:P>AA==</ds:P></ds:DSAKeyValue></ds:KeyValue><ds:MgmtData>x</ds:MgmtData></ds:KeyInfo>"
        "</KeyDescriptor>",
        '<KeyDescriptor use="encryption"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
        "<ds:X509CRL>AA==</ds:X509CRL></ds:X509Data></ds:KeyInfo></KeyDescriptor>",
        '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>',
    ],
)
def test_what_nobody_needs_hinders_nobody(extra: str) -> None:
    raw = document().replace(b"<SingleLogoutService", extra.encode() + b"<SingleLogoutService", 1)
    signer = key_pair("federation")
    assert read_idp(raw, ISSUER, None, NOW).sso_url == SSO
    if 'Id="1"' not in extra:
        assert read_idp(signed(raw, signer), ISSUER, signer.certificate, NOW).sso_url == SSO


def test_an_entity_counts_only_where_entities_stand() -> None:
    hidden = document(sso="https://evil.example/sso").replace(b'ID="_m"', b"")
    raw = document(entity_id="urn:other").replace(
        b"<IDPSSODescriptor", b"<Extensions>" + hidden + b"</Extensions><IDPSSODescriptor", 1
    )
    with pytest.raises(MetadataError, match="place"):
        read(raw)


def test_of_several_addresses_the_first_that_can_be_used_counts() -> None:
    good = document().split(b"<SingleSignOnService")[1].split(b"/>")[0]
    bad = b"<SingleSignOnService" + good.replace(b"https://idp", b"http://idp") + b"/>"
    raw = document().replace(b"<SingleSignOnService", bad + b"<SingleSignOnService", 1)
    assert read_idp(raw, ISSUER, None, NOW).sso_url == SSO


@pytest.mark.parametrize("value", ["2099-01-01T00:00:00.000Z", "2099-01-01T02:00:00+02:00", "2099-01-01T00:00:00"])
def test_its_end_may_be_written_as_xml_writes_times(value: str) -> None:
    assert read_idp(document(more=f'validUntil="{value}"'), ISSUER, None, NOW).valid_until == datetime(
        2099, 1, 1, tzinfo=UTC
    )


def test_a_time_that_is_none_is_shown() -> None:
    with pytest.raises(MetadataError) as refused:
        read(document(more='validUntil="tomorrow"'))
    assert '"tomorrow"' in refused.value.told


@pytest.mark.parametrize(
    ("raw", "code", "both"),
    [
        (document() + b" " * 1_048_576, "bytes", "at most 1048576"),
        (document().replace(b"<SingleLog", b"<a/>" * 20_001 + b"<SingleLog", 1), "elements", "at most 20000"),
    ],
)
def test_a_limit_is_named_with_both_sides(raw: bytes, code: str, both: str) -> None:
    with pytest.raises(MetadataError) as refused:
        read(raw)
    assert str(refused.value) == code
    assert both in refused.value.told


def test_one_entity_is_asked_of_a_metadata_query_service() -> None:
    identity = "https://idp.example.org/metadata?a=b c"
    mdq = "https://mdq.example.org/entities/"
    assert entity_address(f"{mdq}{{entity_id}}", identity) == (
        f"{mdq}https%3A%2F%2Fidp.example.org%2Fmetadata%3Fa%3Db%20c"
    )
    # The example of draft-young-md-query-saml-14, section 3.1.
    assert entity_address(f"{mdq}{{sha1}}", "http://example.org/service") == (
        f"{mdq}%7Bsha1%7D11d72e8cf351eb6c75c721e838f469677ab41bdb"
    )
    assert entity_address("https://idp.example.org/metadata", identity) == "https://idp.example.org/metadata"
