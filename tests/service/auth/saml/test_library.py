"""What the libraries are told, and what is made of their answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from lxml import etree
from structlog.testing import capture_logs

from service.auth import errors
from service.auth.saml import library
from service.auth.saml.library import accept, is_signed_by, parse, request_data, settings
from service.auth.saml.party import Idp, Party
from service.errors import ApiError
from tests.support.saml.changes import drop, put
from tests.support.saml.mint import (
    ACS,
    AUDIENCE,
    ISSUER,
    NS,
    SLS,
    Change,
    at,
    expected,
    good,
    party,
    response,
    signed,
)
from tests.support.saml.provider import key_pair

SAML2 = "urn:oasis:names:tc:SAML:2.0"


@pytest.mark.parametrize("published", [False, True])
def test_nothing_of_it_is_left_to_the_librarys_defaults(monkeypatch: pytest.MonkeyPatch, published: bool) -> None:
    """Each option is a second lock behind a rule of ours, or what our own messages promise."""
    both, told = party(), list[dict[str, Any]]()
    monkeypatch.setattr(library, "OneLogin_Saml2_Settings", told.append)
    settings(both, both.sp_keys[0], published=published)
    assert told == [
        {
            "strict": True,
            "debug": False,
            "sp": {
                "entityId": AUDIENCE,
                "assertionConsumerService": {"url": ACS, "binding": f"{SAML2}:bindings:HTTP-POST"},
                "singleLogoutService": {"url": SLS, "binding": f"{SAML2}:bindings:HTTP-Redirect"},
                "NameIDFormat": f"{SAML2}:nameid-format:persistent",
                "x509cert": key_pair("sp").certificate,
                "privateKey": key_pair("sp").private_key,
            },
            "idp": {
                "entityId": ISSUER,
                "singleSignOnService": {"url": "https://idp.example.org/sso?a=1&amp;b=2"},
                "singleLogoutService": {
                    "url": "https://idp.example.org/slo",
                    "responseUrl": "https://idp.example.org/slo-done",
                },
                "x509certMulti": {"signing": [key_pair("idp").certificate]},
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
                "signatureAlgorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
                "digestAlgorithm": "http://www.w3.org/2001/04/xmlenc#sha256",
            },
        }
    ]


def test_a_provider_without_a_logout_and_a_name_that_may_be_any_are_told_too() -> None:
    known = party().idp
    bare = Idp(known.sso_url, None, None, known.certificates, known.expires_at, None)
    both = party(idp=bare, persistent=False, sp_keys=(*party().sp_keys, *party(sp=key_pair("sp-next")).sp_keys))
    told = settings(both, both.sp_keys[0])
    assert (told.is_strict(), told.is_debug_active()) == (True, False)
    assert told.get_idp_data()["singleLogoutService"] == {"url": "", "responseUrl": ""}
    assert told.get_sp_data()["NameIDFormat"] == "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
    assert key_pair("sp-next").one_line in "".join(told.get_sp_data()["x509certNew"].split())
    other = settings(both, both.sp_keys[1]).get_sp_data()
    assert key_pair("sp").one_line in "".join(other["x509certNew"].split())
    assert "x509certNew" not in settings(party(), party().sp_keys[0]).get_sp_data()


@pytest.mark.parametrize(
    ("url", "https", "host", "path"),
    [
        ("https://a.example:8443/b/c?d=e", "on", "a.example:8443", "/b/c"),
        ("http://localhost:8000/b", "off", "localhost:8000", "/b"),
    ],
)
def test_addresses_are_compared_with_the_settings(url: str, https: str, host: str, path: str) -> None:
    assert request_data(url) == {
        "https": https,
        "http_host": host,
        "script_name": path,
        "get_data": {},
        "post_data": {},
    }


REFERENCE = "//ds:Reference"


@pytest.mark.parametrize(
    ("change", "certificates", "good"),
    [
        (lambda _: None, ("idp",), True),
        (lambda _: None, ("other", "idp"), True),
        (lambda _: None, ("other",), False),
        (lambda _: None, (), False),
        (drop("//ds:Signature"), ("idp",), False),
        (drop(REFERENCE), ("idp",), False),
        (put(REFERENCE, "URI", "#_other"), ("idp",), False),
        (put(REFERENCE, "URI", "_assertion"), ("idp",), False),
        (put(REFERENCE, "URI", ""), ("idp",), False),
        (put(REFERENCE, "URI", None), ("idp",), False),
        (put(".", "ID", "_other"), ("idp",), False),
        (put(".", "ID", None), ("idp",), False),
        (put(".", "Version", "2.1"), ("idp",), False),
    ],
)
def test_a_signature_counts_over_the_element_that_carries_it(
    change: Change, certificates: tuple[str, ...], good: bool
) -> None:
    element = etree.fromstring(signed(etree.tostring(good_assertion(), with_tail=False), key_pair("idp")))
    change(element)
    assert is_signed_by(element, [key_pair(name).certificate for name in certificates]) is good


def good_assertion() -> Any:
    return good().find("saml:Assertion", NS)


def test_a_signature_over_another_element_of_the_document_counts_for_none() -> None:
    root = etree.fromstring(response())
    assertion = root.find("saml:Assertion", NS)
    assert is_signed_by(assertion, [key_pair("idp").certificate])
    root.append(assertion.find("ds:Signature", NS))
    assert not is_signed_by(root, [key_pair("idp").certificate])


def no_assertion(root: Any) -> None:
    root.replace(root.find("saml:Assertion", NS), etree.Element(f"{{{NS['saml']}}}Other"))


def no_keys() -> Party:
    return party(sp_keys=())


@pytest.mark.parametrize(
    ("make", "sides", "reason"),
    [
        (lambda: response(key=key_pair("mallory")), party, "signature"),
        (lambda: response(key=key_pair("mallory"), sign_response=True), party, "signature"),
        (lambda: response(sign_assertion=False, sign_response=True, encrypt_to=key_pair("sp")), party, "signature"),
        (lambda: response(sign_response=True, encrypt_to=key_pair("sp")), no_keys, "no_key"),
        (lambda: response(sign_response=True, encrypt_to=key_pair("mallory")), party, "Error"),
        (
            lambda: response(no_assertion, sign_response=True, encrypt_to=key_pair("sp"), encrypted="saml:Other"),
            party,
            "decrypted",
        ),
        (lambda: response(put("//saml:Attribute[@Name='email']", "Name", None)), party, "library"),
    ],
)
def test_what_failed_is_told_apart_in_the_log_alone(
    make: Callable[[], bytes], sides: Callable[[], Party], reason: str
) -> None:
    with capture_logs() as logs, pytest.raises(ApiError) as refused:
        accept(make(), expected(), sides())
    assert (refused.value.error, refused.value.reason) == (errors.SAML_UNVERIFIED, reason)
    told = [(entry["event"], entry["reason"], entry["code"]) for entry in logs]
    assert told == ([("saml_library_refused", "OneLogin_Saml2_ValidationError", 14)] if reason == "library" else [])


def test_the_library_is_asked_about_the_assertions_own_moment_and_about_now_again_afterwards() -> None:
    """A clock that is 50 seconds behind: our rules allow it, the library allows none."""
    early = put("//saml:Conditions", "NotBefore", at(seconds=50))
    late = put("//saml:Conditions", "NotOnOrAfter", at(seconds=-50))
    for change in (early, late):
        assert accept(response(change), expected(), party()).subject == "al-1"
    with pytest.raises(ApiError):
        accept(response(late), expected(now=expected().now + timedelta(seconds=60)), party())


def test_the_library_judges_by_the_request_too() -> None:
    """Its opinion is asked with what ours was: a response for another browser is refused by both."""
    from onelogin.saml2.response import OneLogin_Saml2_Response

    asked: list[tuple[Any, ...]] = []
    judge = OneLogin_Saml2_Response.is_valid

    def noted(self: Any, *args: Any, **options: Any) -> Any:
        asked.append((args, options))
        return judge(self, *args, **options)

    OneLogin_Saml2_Response.is_valid = noted
    try:
        accept(response(), expected(), party())
    finally:
        OneLogin_Saml2_Response.is_valid = judge
    ((args, options),) = asked
    assert args == (request_data(ACS), expected().request_id)
    assert options == {"raise_exceptions": True}


@pytest.mark.parametrize("raw", [b"", b"<a", b"<a>&b;</a>", b"plain"])
def test_what_libxml2_does_not_read_is_unreadable(raw: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        parse(raw)
    assert (refused.value.error, refused.value.reason) == (errors.SAML_UNREADABLE, "xml")
