"""Every rule that a SAML response is judged by, each broken alone in a response that is genuine otherwise."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import xmlsec
from lxml import etree

from service.auth import errors
from service.auth.saml.library import accept
from service.auth.saml.rules import Limits, TooOldError
from service.errors import ApiError, Error
from service.tenancy import TenantId
from tests.support.saml.changes import add, drop, put, write
from tests.support.saml.mint import ACS, NS, REQUEST, Change, Element, at, expected, good, party, response
from tests.support.saml.provider import key_pair


def refused(raw: bytes, **changes: Any) -> Error:
    with pytest.raises(ApiError) as refusal:
        accept(raw, expected(**changes), party())
    return refusal.value.error


CONFIRMATION = "//saml:SubjectConfirmationData"
STATEMENT = "//saml:AuthnStatement"
BAD_STATUS = "urn:oasis:names:tc:SAML:2.0:status:Responder"
OTHER = "https://idp.example.net/metadata"

BROKEN: list[tuple[str, Change, Error]] = [
    ("version", put(".", "Version", "1.1"), errors.SAML_UNVERIFIED),
    ("assertion_version", put("//saml:Assertion", "Version", "1.1"), errors.SAML_UNVERIFIED),
    ("status", put("//samlp:StatusCode", "Value", BAD_STATUS), errors.SAML_STATUS),
    ("no_status", drop("//samlp:Status"), errors.SAML_STATUS),
    ("no_assertion", drop("//saml:Assertion"), errors.SAML_ASSERTIONS),
    ("issuer", write("/samlp:Response/saml:Issuer", OTHER), errors.SAML_ISSUER),
    ("assertion_issuer", write("//saml:Assertion/saml:Issuer", OTHER), errors.SAML_ISSUER),
    ("destination", put(".", "Destination", ACS + "-2"), errors.SAML_DESTINATION),
    ("destination_case", put(".", "Destination", ACS.replace("api.", "API.")), errors.SAML_DESTINATION),
    ("no_destination", put(".", "Destination", None), errors.SAML_DESTINATION),
    ("recipient", put(CONFIRMATION, "Recipient", ACS + "/"), errors.SAML_RECIPIENT),
    ("recipient_around", put(CONFIRMATION, "Recipient", "https://evil.example/?" + ACS), errors.SAML_RECIPIENT),
    ("no_recipient", put(CONFIRMATION, "Recipient", None), errors.SAML_RECIPIENT),
    ("audience", write("//saml:Audience", "https://other.example.com"), errors.SAML_AUDIENCE),
    ("no_audience", drop("//saml:Audience"), errors.SAML_AUDIENCE),
    ("no_audience_restriction", drop("//saml:AudienceRestriction"), errors.SAML_AUDIENCE),
    ("in_response_to", put(".", "InResponseTo", "_other"), errors.SAML_UNSOLICITED),
    ("no_in_response_to", put(".", "InResponseTo", None), errors.SAML_UNSOLICITED),
    ("confirmation_in_response_to", put(CONFIRMATION, "InResponseTo", "_other"), errors.SAML_UNSOLICITED),
    ("no_confirmation_in_response_to", put(CONFIRMATION, "InResponseTo", None), errors.SAML_UNSOLICITED),
    ("confirmation_ended", put(CONFIRMATION, "NotOnOrAfter", lambda: at(seconds=-70)), errors.SAML_EXPIRED),
    ("no_confirmation_end", put(CONFIRMATION, "NotOnOrAfter", None), errors.SAML_EXPIRED),
    ("conditions_ended", put("//saml:Conditions", "NotOnOrAfter", lambda: at(seconds=-70)), errors.SAML_EXPIRED),
    ("no_conditions_end", put("//saml:Conditions", "NotOnOrAfter", None), errors.SAML_EXPIRED),
    ("no_conditions", drop("//saml:Conditions"), errors.SAML_AUDIENCE),
    (
        "end_of_another_zone",
        put(CONFIRMATION, "NotOnOrAfter", lambda: at(minutes=5)[:-1] + "+00:00"),
        errors.SAML_EXPIRED,
    ),
    ("not_begun", put("//saml:Conditions", "NotBefore", lambda: at(seconds=90)), errors.SAML_EARLY),
    ("confirmation_not_begun", put(CONFIRMATION, "NotBefore", lambda: at(seconds=90)), errors.SAML_EARLY),
    ("issued_in_the_future", put("//saml:Assertion", "IssueInstant", lambda: at(seconds=90)), errors.SAML_EARLY),
    ("response_of_the_future", put(".", "IssueInstant", lambda: at(seconds=90)), errors.SAML_EARLY),
    ("issued_long_ago", put("//saml:Assertion", "IssueInstant", lambda: at(minutes=-7)), errors.SAML_LIFETIME),
    ("response_of_long_ago", put(".", "IssueInstant", lambda: at(minutes=-7)), errors.SAML_LIFETIME),
    ("lives_long", put("//saml:Conditions", "NotOnOrAfter", lambda: at(days=3650)), errors.SAML_LIFETIME),
    ("confirmation_lives_long", put(CONFIRMATION, "NotOnOrAfter", lambda: at(hours=2)), errors.SAML_LIFETIME),
    ("no_confirmation", drop("//saml:SubjectConfirmation"), errors.SAML_CONFIRMATION),
    ("no_confirmation_data", drop(CONFIRMATION), errors.SAML_CONFIRMATION),
    (
        "holder_of_key",
        put("//saml:SubjectConfirmation", "Method", "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"),
        errors.SAML_CONFIRMATION,
    ),
    ("no_statement", drop(STATEMENT), errors.SAML_AUTHN),
    ("signed_in_yesterday", put(STATEMENT, "AuthnInstant", lambda: at(hours=-13)), errors.SAML_AUTHN),
    ("no_instant", put(STATEMENT, "AuthnInstant", None), errors.SAML_AUTHN),
    ("session_over", put(STATEMENT, "SessionNotOnOrAfter", lambda: at(seconds=-70)), errors.SAML_EXPIRED),
    ("no_name", drop("//saml:NameID"), errors.SAML_SUBJECT),
    ("empty_name", write("//saml:NameID", ""), errors.SAML_SUBJECT),
    ("blank_name", write("//saml:NameID", "\u3164"), errors.SAML_SUBJECT),
    ("padded_name", write("//saml:NameID", " al-1"), errors.SAML_SUBJECT),
    ("control_in_name", write("//saml:NameID", "al\t1"), errors.SAML_SUBJECT),
    ("long_name", write("//saml:NameID", "x" * 257), errors.SAML_SUBJECT),
    ("nested_name", add("//saml:NameID", "<saml:y>root</saml:y>"), errors.SAML_SUBJECT),
    (
        "transient_name",
        put("//saml:NameID", "Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"),
        errors.SAML_SUBJECT,
    ),
    ("no_name_format", put("//saml:NameID", "Format", None), errors.SAML_SUBJECT),
    ("two_restrictions", add("//saml:Conditions", "<saml:AudienceRestriction/>"), errors.SAML_CONSTRUCT),
    ("encrypted_id", add("//saml:Subject", "<saml:EncryptedID/>"), errors.SAML_CONSTRUCT),
    ("advice", add("//saml:Assertion", "<saml:Advice/>"), errors.SAML_CONSTRUCT),
]


def test_a_response_that_breaks_no_rule_signs_in() -> None:
    forms: list[dict[str, Any]] = [{}, {"sign_response": True}, {"sign_response": True, "encrypt_to": key_pair("sp")}]
    for options in forms:
        signed_in = accept(response(**options), expected(), party())
        assert (signed_in.subject, signed_in.tenant, signed_in.session_index) == ("al-1", "acme", "_session")


@pytest.mark.parametrize(("change", "row"), [(c, r) for _, c, r in BROKEN], ids=[name for name, _, _ in BROKEN])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_each_rule_refuses_with_its_code(change: Change, row: Error, encrypted: bool) -> None:
    encrypted = encrypted and row is not errors.SAML_ASSERTIONS
    raw = response(change, sign_response=True, encrypt_to=key_pair("sp") if encrypted else None)
    assert refused(raw) is row


def test_the_assertion_must_be_signed_and_the_response_too_around_an_encrypted_one() -> None:
    assert refused(response(sign_assertion=False)) is errors.SAML_UNSIGNED
    assert refused(response(sign_assertion=False, sign_response=True)) is errors.SAML_UNSIGNED
    sp = key_pair("sp")
    assert refused(response(encrypt_to=sp)) is errors.SAML_UNSIGNED
    assert refused(response(sign_assertion=False, sign_response=True, encrypt_to=sp)) is errors.SAML_UNVERIFIED


def test_a_signature_of_somebody_else_and_a_foreign_encryption_are_one_refusal() -> None:
    sp, other = key_pair("sp"), key_pair("mallory")
    for raw in (
        response(key=other),
        response(key=other, sign_response=True, encrypt_to=sp),
        response(sign_response=True, encrypt_to=other),
        response(sign_response=True, encrypt_to=sp, after=_flip_cipher),
    ):
        assert refused(raw) is errors.SAML_UNVERIFIED


def _flip_cipher(root: Element) -> None:
    value = root.findall(".//xenc:CipherValue", NS)[-1]
    value.text = ("B" if value.text[0] == "A" else "A") + value.text[1:]


def test_either_of_two_certificates_and_either_of_our_keys_will_do() -> None:
    old, new, sp_old, sp_new = (key_pair(name) for name in ("idp", "idp-next", "sp", "sp-next"))
    both = party(old, new, sp=sp_new)
    both = party(old, new, sp_keys=(*both.sp_keys, *party(sp=sp_old).sp_keys))
    for key in (old, new):
        for own in (sp_old, sp_new):
            assert accept(response(key=key, sign_response=True, encrypt_to=own), expected(), both).subject == "al-1"


@pytest.mark.parametrize("bits", [256, 384, 512])
@pytest.mark.parametrize("curve", [False, True], ids=["rsa", "ecdsa"])
def test_every_allowed_algorithm_is_understood(bits: int, curve: bool) -> None:
    key = key_pair("elliptic" if curve else "idp", curve=curve)
    names = xmlsec.constants
    method = getattr(names, f"Transform{'Ecdsa' if curve else 'Rsa'}Sha{bits}")
    options = {"method": method, "digest": getattr(names, f"TransformSha{bits}"), "sign_response": True}
    for encrypt_to in (None, key_pair("sp")):
        assert accept(response(key=key, encrypt_to=encrypt_to, **options), expected(), party(key)).subject == "al-1"


def test_without_a_request_only_a_response_that_names_none_and_only_where_it_is_allowed() -> None:
    def unasked(root: Element) -> None:
        put(".", "InResponseTo", None)(root)
        put(CONFIRMATION, "InResponseTo", None)(root)

    assert refused(response(unasked), request_id=None) is errors.SAML_UNSOLICITED
    assert refused(response(), request_id=None, unsolicited=True) is errors.SAML_UNSOLICITED
    assert refused(response(unasked), request_id=REQUEST, unsolicited=True) is errors.SAML_UNSOLICITED
    assert accept(response(unasked), expected(request_id=None, unsolicited=True), party()).subject == "al-1"


def test_the_subject_can_be_an_attribute_with_exactly_one_value() -> None:
    by_mail = {"subject_attribute": "email"}
    assert accept(response(), expected(**by_mail), party()).subject == "alice@example.com"
    value = "<saml:AttributeValue>b</saml:AttributeValue>"
    statement = "//saml:AttributeStatement"
    for change in (
        drop("//saml:Attribute[@Name='email']"),
        add("//saml:Attribute[@Name='email']", value),
        add(statement, f'<saml:Attribute Name="email">{value}</saml:Attribute>'),
        put("//saml:Attribute[@Name='email']", "Name", "EMAIL"),
    ):
        assert refused(response(change), **by_mail) is errors.SAML_SUBJECT


ACME, GLOBEX = TenantId.parse("acme"), TenantId.parse("globex")


def test_an_attribute_never_widens_what_the_binding_lists() -> None:
    tenant = "//saml:Attribute[@Name='tenant']/saml:AttributeValue"
    other = write(tenant, "globex")
    assert accept(response(other), expected(), party()).tenant == "acme"
    one = {"tenant_attribute": "tenant", "tenants": {"acme": ACME}}
    assert accept(response(), expected(**one), party()).tenant == "acme"
    assert refused(response(other), **one) is errors.TENANT_FORBIDDEN
    two = {"tenant_attribute": "tenant", "tenants": {"acme": ACME, "globex": GLOBEX}}
    assert accept(response(other), expected(**two), party()).tenant == "globex"
    assert refused(response(write(tenant, "initech")), **two) is errors.TENANT_FORBIDDEN
    assert refused(response(write(tenant, "acme ")), **two) is errors.TENANT_MISSING
    assert refused(response(write(tenant, "../acme")), **two) is errors.TENANT_FORBIDDEN
    mapped = {"tenant_attribute": "tenant", "tenants": {"clinic-7": GLOBEX}}
    assert accept(response(write(tenant, "clinic-7")), expected(**mapped), party()).tenant == "globex"
    assert refused(response(other), **mapped) is errors.TENANT_FORBIDDEN
    assert refused(response(drop("//saml:Attribute[@Name='tenant']")), **two) is errors.TENANT_MISSING
    several = add("//saml:Attribute[@Name='tenant']", "<saml:AttributeValue>globex</saml:AttributeValue>")
    assert refused(response(several), **two) is errors.TENANT_AMBIGUOUS
    # Of several values the one that is bound counts, wherever it stands; two that are, are a choice.
    assert accept(response(several), expected(**one), party()).tenant == "acme"
    assert accept(response(several), expected(**mapped | {"tenants": {"globex": GLOBEX}}), party()).tenant == "globex"
    assert refused(response(several), **mapped) is errors.TENANT_FORBIDDEN
    apart = add(
        "//saml:AttributeStatement",
        '<saml:Attribute Name="tenant"><saml:AttributeValue>initech</saml:AttributeValue></saml:Attribute>',
    )
    assert accept(response(apart), expected(**two), party()).tenant == "acme"
    same = {"tenant_attribute": "tenant", "tenants": {"acme": ACME, "globex": ACME}}
    assert accept(response(several), expected(**same), party()).tenant == "acme"
    assert refused(response(), tenants={"acme": ACME, "globex": GLOBEX}) is errors.TENANT_MISSING


def test_an_assertion_is_remembered_for_as_long_as_it_could_be_used() -> None:
    signed_in = accept(response(put("//saml:Conditions", "NotOnOrAfter", at(minutes=30))), expected(), party())
    assert signed_in.assertion_id == "_assertion"
    assert signed_in.remember_until >= expected().now + timedelta(minutes=30)
    assert etree.tostring(good())


@pytest.mark.parametrize("name", ["x" * 256, "a b", "\u00e9" * 256])
def test_a_name_may_have_the_256_characters_of_saml(name: str) -> None:
    assert accept(response(write("//saml:NameID", name)), expected(), party()).subject == name


def without(*names: str) -> Change:
    def change(root: Element) -> None:
        for name in names:
            put(".", name, None)(root)

    return change


@pytest.mark.parametrize("names", [["Destination"], ["InResponseTo"], ["Destination", "InResponseTo"]])
def test_what_an_unsigned_response_leaves_out_is_what_the_signed_assertion_says(names: list[str]) -> None:
    """And where it leaves nothing out, it must not contradict; a signed response must say it itself."""
    assert accept(response(without(*names)), expected(), party()).subject == "al-1"
    for name in names:
        row = errors.SAML_DESTINATION if name == "Destination" else errors.SAML_UNSOLICITED
        for wrong in ("", "https://evil.example/"):
            assert refused(response(put(".", name, wrong))) is row
        assert refused(response(without(name), sign_response=True)) is row

    def elsewhere(root: Element) -> None:
        without(*names)(root)
        put(CONFIRMATION, "Recipient", "https://evil.example/")(root)

    def another(root: Element) -> None:
        without(*names)(root)
        put(CONFIRMATION, "InResponseTo", "_other")(root)

    assert refused(response(elsewhere)) is errors.SAML_RECIPIENT
    assert refused(response(another)) is errors.SAML_UNSOLICITED
    # Without a request of this browser, nothing may name one.
    assert refused(response(without(*names)), request_id=None, unsolicited=True) is errors.SAML_UNSOLICITED


TIMES: list[tuple[str, str, timedelta, Error]] = [
    (".", "IssueInstant", timedelta(), errors.SAML_EARLY),
    (".", "IssueInstant", timedelta(minutes=-5), errors.SAML_LIFETIME),
    ("//saml:Assertion", "IssueInstant", timedelta(), errors.SAML_EARLY),
    ("//saml:Assertion", "IssueInstant", timedelta(minutes=-5), errors.SAML_LIFETIME),
    ("//saml:Conditions", "NotBefore", timedelta(), errors.SAML_EARLY),
    (CONFIRMATION, "NotBefore", timedelta(), errors.SAML_EARLY),
    ("//saml:Conditions", "NotOnOrAfter", timedelta(), errors.SAML_EXPIRED),
    (CONFIRMATION, "NotOnOrAfter", timedelta(), errors.SAML_EXPIRED),
    ("//saml:Conditions", "NotOnOrAfter", timedelta(minutes=80), errors.SAML_LIFETIME),
    (CONFIRMATION, "NotOnOrAfter", timedelta(minutes=80), errors.SAML_LIFETIME),
    (STATEMENT, "AuthnInstant", timedelta(), errors.SAML_AUTHN),
    (STATEMENT, "AuthnInstant", timedelta(hours=-12), errors.SAML_AUTHN),
    (STATEMENT, "SessionNotOnOrAfter", timedelta(), errors.SAML_EXPIRED),
]
LATEST = {("NotOnOrAfter", 0.0), ("SessionNotOnOrAfter", 0.0)}  # what must not lie in the past


@pytest.mark.parametrize(("path", "name", "limit", "row"), TIMES, ids=[f"{p} {n} {d}" for p, n, d, _ in TIMES])
def test_every_time_is_read_with_the_difference_that_clocks_may_have(
    path: str, name: str, limit: timedelta, row: Error
) -> None:
    ends = (name, limit.total_seconds()) in LATEST or limit < timedelta()
    sign = -1 if ends else 1
    within, beyond = (limit + sign * timedelta(seconds=seconds) for seconds in (50, 70))
    accept(response(put(path, name, at(seconds=within.total_seconds()))), expected(), party())
    with pytest.raises(ApiError) as refusal:
        accept(response(put(path, name, at(seconds=beyond.total_seconds()))), expected(), party())
    assert refusal.value.error is row
    # Both sides: how far it is, and what is allowed.
    assert name in str(refusal.value.reason)
    assert "60 s" in str(refusal.value.reason)
    assert re.search(rf"\b{abs(beyond.total_seconds()):.0f} s|\b{abs(beyond.total_seconds()) - 1:.0f} s"
                     rf"|\b{abs(beyond.total_seconds()) + 1:.0f} s", str(refusal.value.reason))  # fmt: skip


def test_a_session_that_ends_by_a_clock_behind_ours_still_makes_a_token_that_lives() -> None:
    signed_in = accept(response(put(STATEMENT, "SessionNotOnOrAfter", at(seconds=-30))), expected(), party())
    assert signed_in.ends_at is not None
    assert signed_in.ends_at > expected().now


def test_limits_are_settings_and_the_refusal_names_them() -> None:
    day = response(put("//saml:Conditions", "NotOnOrAfter", at(hours=20)))
    with pytest.raises(ApiError, match="AUTH_084") as refusal:
        accept(day, expected(), party())
    assert re.search(r"72000 s|71999 s", str(refusal.value.reason))
    assert "at most 4800 s" in str(refusal.value.reason)
    assert "ASSERTION_MINUTES" in str(refusal.value.reason)
    assert accept(day, expected(limits=Limits(lifetime=timedelta(minutes=1200))), party()).subject == "al-1"
    late = response(put("//saml:Assertion", "IssueInstant", at(minutes=-20)))
    with pytest.raises(ApiError, match="AUTH_084") as refusal:
        accept(late, expected(), party())
    assert "at most 300 s" in str(refusal.value.reason)
    assert "ISSUED_MINUTES" in str(refusal.value.reason)
    assert accept(late, expected(limits=Limits(age=timedelta(minutes=20))), party()).subject == "al-1"
    old = response(put(STATEMENT, "AuthnInstant", at(hours=-13)))
    with pytest.raises(TooOldError) as too_old:
        accept(old, expected(), party())
    assert "at most 43200 s" in str(too_old.value.reason)
    assert "SIGN_IN_MINUTES" in str(too_old.value.reason)
    assert accept(old, expected(limits=Limits(sign_in_age=timedelta(hours=14))), party()).subject == "al-1"


def test_a_sign_in_is_only_called_too_old_when_nothing_else_is_wrong() -> None:
    for path, name, value in (("//saml:Conditions", "NotOnOrAfter", at(hours=20)), (CONFIRMATION, "Recipient", "x")):

        def change(root: Element, path: str = path, name: str = name, value: str = value) -> None:
            put(STATEMENT, "AuthnInstant", at(hours=-13))(root)
            put(path, name, value)(root)

        with pytest.raises(ApiError) as refusal:
            accept(response(change), expected(), party())
        assert not isinstance(refusal.value, TooOldError)
