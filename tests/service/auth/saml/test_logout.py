"""Logout messages, which travel in an address: every rule broken alone in a message that is genuine otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from service.auth import errors
from service.auth.saml import messages
from service.auth.saml.messages import LogoutRequest, LogoutResponse, read_logout
from service.errors import ApiError, Error
from tests.support.saml.logout import SHA1, SHA256, deflated, message, query, sent, signed_query
from tests.support.saml.mint import AUDIENCE, ISSUER, NS, SLS, at, party, utc_now
from tests.support.saml.provider import key_pair


def refused(text: str) -> Error:
    with pytest.raises(ApiError) as refusal:
        read_logout(party(), text, utc_now())
    return refusal.value.error


def test_a_good_request_and_a_good_response_are_read() -> None:
    request = read_logout(party(), query(message()), utc_now())
    assert request == LogoutRequest("_logout", "al-1", ("_s1",), "r")
    response = read_logout(party(), query(message("LogoutResponse"), "SAMLResponse"), utc_now())
    assert response == LogoutResponse("_asked", True, "r")
    failed = message("LogoutResponse", body='<samlp:Status><samlp:StatusCode Value="urn:x:Responder"/></samlp:Status>')
    told = read_logout(party(), query(failed, "SAMLResponse"), utc_now())
    assert isinstance(told, LogoutResponse)
    assert not told.succeeded


def test_either_of_two_certificates_will_do() -> None:
    both = party(key_pair("idp"), key_pair("idp-next"))
    assert read_logout(both, query(message(), key=key_pair("idp-next")), utc_now())


@pytest.mark.parametrize(
    "make",
    [
        lambda: query(message(), key=key_pair("mallory")),
        lambda: query(message(), algorithm=SHA1),
        lambda: query(message()).partition("&SigAlg=")[0],
        lambda: query(message()).partition("&Signature=")[0],
        lambda: query(message()).partition("&Signature=")[0] + "&Signature=",
        lambda: query(message()).partition("&Signature=")[0] + "&Signature=AAAA",
        lambda: query(message()).replace("RelayState=r", "RelayState=s"),
        lambda: query(message(Destination=SLS + "/")),
        lambda: query(message(Destination=None)),
        lambda: query(message(IssueInstant=at(minutes=-7))),
        lambda: query(message(IssueInstant=at(minutes=2))),
        lambda: query(message(IssueInstant=None)),
        lambda: query(message(NotOnOrAfter=at(minutes=-2))),
        lambda: query(message().replace(ISSUER.encode(), b"urn:other")),
        lambda: query(message(body="")),
        lambda: query(message(body="<saml:NameID> al-1</saml:NameID>")),
        lambda: query(message("LogoutResponse"), "SAMLRequest"),
        lambda: query(message(), "SAMLResponse"),
    ],
)
def test_what_is_not_the_providers_own_word_is_refused(make: Callable[[], str]) -> None:
    assert refused(make()) is errors.SAML_LOGOUT


@pytest.mark.parametrize(
    ("make", "row"),
    [
        (lambda: "", errors.SAML_UNREADABLE),
        (lambda: "SAMLRequest=!&SigAlg=x&Signature=x", errors.SAML_UNREADABLE),
        (lambda: "SAMLRequest=QUJD", errors.SAML_UNREADABLE),
        (lambda: query(message()) + "&SAMLRequest=x", errors.SAML_UNREADABLE),
        (lambda: query(message()) + "&RelayState=x", errors.SAML_UNREADABLE),
        (lambda: query(message()) + "&SAMLResponse=x", errors.SAML_UNREADABLE),
        (lambda: query(message()) + "&other=x", errors.SAML_UNREADABLE),
        (lambda: signed_query(deflated(message()) + b"more", "SAMLRequest"), errors.SAML_UNREADABLE),
        (lambda: signed_query(deflated(message())[:-10], "SAMLRequest"), errors.SAML_UNREADABLE),
        (lambda: query(b" " * 12_000_000), errors.SAML_OVERSIZED),  # 12 kB of deflate
        (lambda: query(message(), relay="x" * 20_000), errors.SAML_OVERSIZED),
        (lambda: query(b'<!DOCTYPE x [<!ENTITY a "b">]>' + message()), errors.SAML_CONSTRUCT),
        (lambda: query(message(body="<saml:EncryptedID/>")), errors.SAML_CONSTRUCT),
        (lambda: query(message(body="<saml:NameID>al<!-- -->-1</saml:NameID>")), errors.SAML_CONSTRUCT),
        (
            lambda: query(message(body="<saml:NameID>a</saml:NameID><saml:NameID>b</saml:NameID>")),
            errors.SAML_CONSTRUCT,
        ),
    ],
)
def test_what_cannot_be_a_logout_message_is_refused_by_its_form(make: Callable[[], str], row: Error) -> None:
    assert refused(make()) is row


def test_nothing_a_provider_names_a_session_can_add_to_our_request() -> None:
    evil = '_s</samlp:SessionIndex><samlp:SessionIndex>other & "more"'
    url, request_id = messages.sign_out_url(party(), "al<1>&", None, evil, "relay")
    request, fields = sent(url, "SAMLRequest")
    assert request.findtext("samlp:SessionIndex", namespaces=NS) == evil
    assert request.findtext("saml:NameID", namespaces=NS) == "al<1>&"
    assert (request.get("ID"), fields["RelayState"]) == (request_id, ["relay"])
    assert request.findtext("saml:Issuer", namespaces=NS) == AUDIENCE


def test_addresses_with_a_query_of_their_own_stay_whole() -> None:
    url, request_id = messages.sign_in_url(party(), "relay")
    assert url.startswith("https://idp.example.org/sso?a=1&b=2&SAMLRequest=")
    request, _ = sent(url, "SAMLRequest")
    assert request.get("Destination") == "https://idp.example.org/sso?a=1&b=2"
    assert (request.get("ID"), request.get("AssertionConsumerServiceURL")) == (request_id, party().acs)


def test_our_answer_names_the_request_and_goes_where_the_provider_wants_answers() -> None:
    url = messages.answer_url(party(), LogoutRequest("_logout", "al-1", (), "back"))
    assert url.startswith("https://idp.example.org/slo-done?SAMLResponse=")
    response, fields = sent(url, "SAMLResponse")
    assert (response.get("InResponseTo"), fields["RelayState"]) == ("_logout", ["back"])
    assert fields["SigAlg"] == [SHA256]


def test_how_old_a_message_may_be_is_a_setting() -> None:
    old = query(message(IssueInstant=at(minutes=-20)))
    with pytest.raises(ApiError, match="AUTH_089") as refused:
        read_logout(party(), old, utc_now())
    assert refused.value.reason == "issue_instant"
    assert isinstance(read_logout(party(), old, utc_now(), timedelta(minutes=20)), LogoutRequest)
