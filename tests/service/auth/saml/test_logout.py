"""Logout messages, which travel in an address: every rule broken alone in a message that is genuine otherwise."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

from service.auth import errors
from service.auth.saml import messages
from service.auth.saml.grammar import LOGOUT
from service.auth.saml.messages import LogoutRequest, LogoutResponse, read_logout
from service.auth.saml.party import Idp
from service.errors import ApiError, Error
from tests.support.saml.logout import SHA1, SHA256, SUCCESS, deflated, message, query, sent, signed_query
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


NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def when(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def judged(text: str, **changes: Any) -> tuple[Error, str | None] | None:
    try:
        read_logout(party(**changes), text, NOW)
    except ApiError as refusal:
        return refusal.error, refusal.reason
    return None


def sent_at(seconds: float = 0, **changes: str | None) -> str:
    attributes: dict[str, Any] = {"IssueInstant": when(seconds), **changes}
    return query(message(**attributes))


LOGOUT_REASONS: list[tuple[Callable[[], str], Error | None, str | None]] = [
    (sent_at, None, None),
    (lambda: sent_at(60), None, None),
    (lambda: sent_at(61), errors.SAML_LOGOUT, "issue_instant"),
    (lambda: sent_at(-360), None, None),
    (lambda: sent_at(-361), errors.SAML_LOGOUT, "issue_instant"),
    (lambda: sent_at(IssueInstant=None), errors.SAML_LOGOUT, "IssueInstant"),
    (lambda: sent_at(NotOnOrAfter=when(-59)), None, None),
    (lambda: sent_at(NotOnOrAfter=when(-60)), errors.SAML_LOGOUT, "not_on_or_after"),
    (lambda: sent_at(NotOnOrAfter="soon"), errors.SAML_LOGOUT, "NotOnOrAfter"),
    (lambda: sent_at(Destination=None), errors.SAML_LOGOUT, "destination"),
    (lambda: query(message(IssueInstant=when(0)).replace(ISSUER.encode(), b"urn:x")), errors.SAML_LOGOUT, "issuer"),
    (lambda: query(message(body="", IssueInstant=when(0))), errors.SAML_LOGOUT, "NameID"),
    (
        lambda: query(message(body="<saml:NameID>a </saml:NameID>", IssueInstant=when(0))),
        errors.SAML_LOGOUT,
        "value",
    ),
    (lambda: query(message("LogoutResponse", IssueInstant=when(0))), errors.SAML_LOGOUT, "kind"),
    (lambda: query(message(IssueInstant=when(0)), "SAMLResponse"), errors.SAML_LOGOUT, "kind"),
    (lambda: query(message(IssueInstant=when(0)), key=key_pair("mallory")), errors.SAML_LOGOUT, "signature"),
    (lambda: query(message(IssueInstant=when(0)), algorithm=SHA1), errors.SAML_LOGOUT, "unsigned"),
    (lambda: sent_at().partition("&SigAlg=")[0], errors.SAML_LOGOUT, "unsigned"),
    (lambda: sent_at().partition("&Signature=")[0], errors.SAML_LOGOUT, "unsigned"),
    (lambda: "", errors.SAML_UNREADABLE, "query"),
    (lambda: "RelayState=r", errors.SAML_UNREADABLE, "query"),
    (lambda: sent_at() + "&RelayState=r", errors.SAML_UNREADABLE, "query"),
    (lambda: sent_at() + "&other=", errors.SAML_UNREADABLE, "query"),
    (lambda: sent_at() + "&SAMLResponse=x", errors.SAML_UNREADABLE, "query"),
    (lambda: sent_at() + "&a&b", errors.SAML_UNREADABLE, "query"),
    (lambda: sent_at() + "&", errors.SAML_UNREADABLE, "query"),
    (lambda: sent_at().replace("RelayState=r", "RelayState"), errors.SAML_UNREADABLE, "query"),
    (lambda: "&".join(f"x{number}=1" for number in range(6)), errors.SAML_UNREADABLE, "query"),
    (lambda: "SAMLRequest=" + "x" * (messages.MAX_QUERY - 12), errors.SAML_UNREADABLE, "encoding"),
    (lambda: "SAMLRequest=" + "x" * (messages.MAX_QUERY - 11), errors.SAML_OVERSIZED, "query"),
    (lambda: "SAMLRequest=!AAA", errors.SAML_UNREADABLE, "encoding"),
    (lambda: "SAMLRequest=", errors.SAML_UNREADABLE, "encoding"),
    (lambda: "SAMLRequest=AAAA", errors.SAML_UNREADABLE, "encoding"),
    (lambda: signed_query(deflated(message()) + b"x", "SAMLRequest"), errors.SAML_UNREADABLE, "encoding"),
    (lambda: signed_query(deflated(message())[:-9], "SAMLRequest"), errors.SAML_UNREADABLE, "encoding"),
    (lambda: query(b" " * LOGOUT.max_bytes), errors.SAML_UNREADABLE, "xml"),
    (lambda: query(b" " * (LOGOUT.max_bytes + 1)), errors.SAML_OVERSIZED, "bytes"),
]


@pytest.mark.parametrize(("make", "row", "reason"), LOGOUT_REASONS)
def test_each_refusal_of_a_logout_message_says_which_rule_it_broke(
    make: Callable[[], str], row: Error | None, reason: str | None
) -> None:
    assert judged(make()) == (None if row is None else (row, reason))


def test_a_response_is_judged_by_its_own_kind_of_signature_and_as_old_as_any() -> None:
    answer = message("LogoutResponse", IssueInstant=when(-361))
    assert judged(query(answer, "SAMLResponse")) == (errors.SAML_LOGOUT, "issue_instant")
    fresh = message("LogoutResponse", IssueInstant=when(0))
    assert judged(query(fresh, "SAMLResponse", key=key_pair("mallory"))) == (errors.SAML_LOGOUT, "signature")
    assert judged(query(fresh, "SAMLResponse")) is None


@pytest.mark.parametrize("kind", ["LogoutRequest", "LogoutResponse"])
def test_a_signature_is_over_the_address_as_it_was_written(kind: str) -> None:
    """Some write escapes in small letters (.NET), or escape more than they have to."""
    for spell in (
        lambda text: re.sub("%..", lambda found: found[0].lower(), text),
        lambda text: text.replace("-", "%2D"),
    ):
        text = signed_query(deflated(message(kind)), f"SAML{kind[6:]}", spelled=spell)
        assert "%2f" in text or "%2D" in text
        assert read_logout(party(), text, utc_now())


@pytest.mark.parametrize("number", [0, 2])
def test_all_sessions_that_are_named_are_meant_and_what_we_sent_along_comes_back(number: int) -> None:
    named = "".join(f"<samlp:SessionIndex>_s{index}</samlp:SessionIndex>" for index in range(number))
    raw = message(body=f"<saml:NameID>al-1</saml:NameID>{named}")
    sessions = tuple(f"_s{index}" for index in range(number))
    assert read_logout(party(), query(raw, relay=""), utc_now()) == LogoutRequest("_logout", "al-1", sessions, "")
    unnamed = query(message(ID=None))
    assert read_logout(party(), unnamed, utc_now()) == LogoutRequest("", "al-1", ("_s1",), "r")


@pytest.mark.parametrize(
    ("status", "succeeded"),
    [("", False), (f'<samlp:StatusCode Value="{SUCCESS}"/><samlp:x/>', True), ("<samlp:StatusCode/>", False)],
)
def test_a_logout_has_succeeded_where_the_provider_says_so(status: str, succeeded: bool) -> None:
    raw = message("LogoutResponse", body=f"<samlp:Status>{status}</samlp:Status>", InResponseTo=None)
    assert read_logout(party(), query(raw, "SAMLResponse"), utc_now()) == LogoutResponse("", succeeded, "r")


def proven(url: str, kind: str) -> list[str]:
    """The names of the fields of an address of ours, whose signature by our key is good."""
    text = urlsplit(url).query
    fields = parse_qs(text)
    covered = "&".join(
        f"{name}={quote(fields[name][0], safe='')}" for name in (kind, "RelayState", "SigAlg") if name in fields
    )
    public = load_pem_x509_certificate(key_pair("sp").certificate.encode()).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(base64.b64decode(fields["Signature"][0]), covered.encode(), padding.PKCS1v15(), hashes.SHA256())
    assert fields["SigAlg"] == [SHA256]
    return sorted(fields.keys() - {"a", "b"})


def test_what_we_send_is_signed_as_a_whole() -> None:
    url, request_id = messages.sign_in_url(party(), "relay")
    assert proven(url, "SAMLRequest") == ["RelayState", "SAMLRequest", "SigAlg", "Signature"]
    request, fields = sent(url, "SAMLRequest")
    assert (request.get("ForceAuthn"), fields["RelayState"], request.get("ID")) == (None, ["relay"], request_id)
    assert request.find("samlp:RequestedAuthnContext", NS) is None
    anew, _ = sent(messages.sign_in_url(party(), "relay", True)[0], "SAMLRequest")
    assert anew.get("ForceAuthn") == "true"
    url = messages.answer_url(party(), LogoutRequest("_logout", "al-1", (), None))
    assert proven(url, "SAMLResponse") == ["SAMLResponse", "SigAlg", "Signature"]
    answer, _ = sent(url, "SAMLResponse")
    assert (answer.get("InResponseTo"), answer.get("Destination")) == ("_logout", "https://idp.example.org/slo-done")
    assert [code.get("Value") for code in answer.iterfind(".//samlp:StatusCode", NS)] == [SUCCESS]


def test_a_logout_request_names_the_person_as_the_provider_did() -> None:
    url, _ = messages.sign_out_url(party(), "al-1", "urn:any-format", None, "relay")
    assert url.startswith("https://idp.example.org/slo?")
    assert proven(url, "SAMLRequest") == ["RelayState", "SAMLRequest", "SigAlg", "Signature"]
    request, _ = sent(url, "SAMLRequest")
    name = request.find("saml:NameID", NS)
    assert (name.text, name.get("Format"), request.get("Destination")) == (
        "al-1",
        "urn:any-format",
        "https://idp.example.org/slo",
    )
    assert request.find("samlp:SessionIndex", NS) is None


def test_a_provider_without_a_logout_is_called_that() -> None:
    known = party().idp
    alone = party(idp=Idp(known.sso_url, None, None, known.certificates, known.expires_at, None))
    for call in (
        lambda: messages.sign_out_url(alone, "al-1", None, None, "r"),
        lambda: messages.answer_url(alone, LogoutRequest("_logout", "al-1", (), None)),
    ):
        with pytest.raises(ApiError) as refused:
            call()
        assert (refused.value.error, refused.value.reason) == (errors.SAML_NO_LOGOUT, None)


def test_now_is_told_with_its_zone() -> None:
    assert messages.utc_now().tzinfo is UTC
