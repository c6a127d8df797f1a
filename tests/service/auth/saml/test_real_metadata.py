"""Metadata as providers really publish it: what nobody needs is ignored, what is needed and wrong is named."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.auth.saml.metadata import MetadataError, read_idp
from tests.support.saml.metadata import document, key_descriptor
from tests.support.saml.mint import ISSUER
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
