"""Each rule of a response without any cryptography: to the second, and with the reason that an operator reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lxml import etree

from service.auth import errors
from service.auth.saml.reading import values
from service.auth.saml.rules import PERSISTENT, SignedIn, TooOldError, check_assertion, check_envelope, moment
from service.errors import ApiError, Error
from service.tenancy import TenantId
from tests.support.saml.changes import add, drop, put, write
from tests.support.saml.mint import ACS, NS, REQUEST, Change, Element, expected, good

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ASSERTION, CONFIRMATION = "//saml:Assertion", "//saml:SubjectConfirmationData"
CONDITIONS, STATEMENT, NAME = "//saml:Conditions", "//saml:AuthnStatement", "//saml:NameID"
END, SESSION_END = "NotOnOrAfter", "SessionNotOnOrAfter"
EMAIL, TENANT = "//saml:Attribute[@Name='email']", "//saml:Attribute[@Name='tenant']"
VALUE = "<saml:AttributeValue>b</saml:AttributeValue>"
TIMES = (
    (".", "IssueInstant", 0),
    (ASSERTION, "IssueInstant", 0),
    (CONFIRMATION, END, 300),
    (CONDITIONS, "NotBefore", -60),
    (CONDITIONS, END, 300),
    (STATEMENT, "AuthnInstant", 0),
)


def when(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def at(path: str, name: str, seconds: float) -> Change:
    return put(path, name, when(seconds))


def both(*changes: Change) -> Change:
    def change(root: Element) -> None:
        for one in changes:
            one(root)

    return change


def unchanged(_: Element) -> None:
    pass


def made(change: Change) -> Element:
    """A response in which all is right at ``NOW``, and whose signatures nobody reads."""
    root = good()
    both(*(at(*time) for time in TIMES))(root)
    root.find("saml:Assertion", NS).append(etree.Element(f"{{{NS['ds']}}}Signature"))
    change(root)
    return root


def judged(rules: Any, element: Element, **changes: Any) -> tuple[Error, str | None] | None:
    try:
        rules(element, expected(now=NOW, **changes))
    except ApiError as refusal:
        return refusal.error, refusal.reason
    return None


def of_response(change: Change, **changes: Any) -> tuple[Error, str | None] | None:
    return judged(check_envelope, made(change), **changes)


def of_assertion(change: Change, **changes: Any) -> tuple[Error, str | None] | None:
    return judged(check_assertion, made(change).find("saml:Assertion", NS), **changes)


def read(change: Change = unchanged, **changes: Any) -> SignedIn:
    return check_assertion(made(change).find("saml:Assertion", NS), expected(now=NOW, **changes))


SIGNATURE = "<ds:Signature/>"
CODE = '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/>'
ENVELOPE: Sequence[tuple[Change, Error | None, str | None]] = [
    (unchanged, None, None),
    (put(".", "Version", "1.1"), errors.SAML_UNVERIFIED, "version"),
    (put(".", "Version", None), errors.SAML_UNVERIFIED, "version"),
    (put(".", "ID", ""), errors.SAML_UNVERIFIED, "version"),
    (put(".", "ID", None), errors.SAML_UNVERIFIED, "version"),
    (drop("/samlp:Response/saml:Issuer"), None, None),
    (write("/samlp:Response/saml:Issuer", "urn:other"), errors.SAML_ISSUER, "sent_by_issuer"),
    (add("/samlp:Response", "<saml:Issuer>urn:other</saml:Issuer>"), errors.SAML_ISSUER, "sent_by_issuer"),
    (put(".", "Destination", ACS + "/"), errors.SAML_DESTINATION, "destination"),
    (put(".", "Destination", None), None, None),
    (both(put(".", "Destination", None), add(".", SIGNATURE)), errors.SAML_DESTINATION, "destination"),
    (put(".", "InResponseTo", "_other"), errors.SAML_UNSOLICITED, "response_answers"),
    (put(".", "InResponseTo", None), None, None),
    (both(put(".", "InResponseTo", None), add(".", SIGNATURE)), errors.SAML_UNSOLICITED, "response_answers"),
    (put("//samlp:StatusCode", "Value", "urn:x"), errors.SAML_STATUS, "succeeded"),
    (drop("//samlp:StatusCode"), errors.SAML_STATUS, "succeeded"),
    (add("//samlp:Status", CODE), errors.SAML_STATUS, "succeeded"),
    (drop(ASSERTION), errors.SAML_ASSERTIONS, "one_assertion"),
    (add(".", "<saml:Assertion/>"), errors.SAML_ASSERTIONS, "one_assertion"),
    (add(".", "<saml:EncryptedAssertion/>"), errors.SAML_ASSERTIONS, "one_assertion"),
    (drop("//ds:Signature"), errors.SAML_UNSIGNED, "assertion_signed"),
    (both(drop("//ds:Signature"), add(".", SIGNATURE)), errors.SAML_UNSIGNED, "assertion_signed"),
    (both(drop(ASSERTION), add(".", "<saml:EncryptedAssertion/>" + SIGNATURE)), None, None),
    (both(drop(ASSERTION), add(".", "<saml:EncryptedAssertion/>")), errors.SAML_UNSIGNED, "assertion_signed"),
    (put(".", "IssueInstant", "soon"), errors.SAML_LIFETIME, "IssueInstant"),
    (put(".", "IssueInstant", None), errors.SAML_LIFETIME, "IssueInstant"),
    (at(".", "IssueInstant", 60), None, None),
    (
        at(".", "IssueInstant", 61),
        errors.SAML_EARLY,
        "not_early: IssueInstant is 61 s ahead of our clock, at most 60 s",
    ),
    (at(".", "IssueInstant", -360), None, None),
    (
        at(".", "IssueInstant", -361),
        errors.SAML_LIFETIME,
        "fresh: IssueInstant is 361 s ago, at most 300 s and 60 s for clocks (ISSUED_MINUTES)",
    ),
]


@pytest.mark.parametrize(("change", "row", "reason"), ENVELOPE)
def test_each_rule_of_the_response(change: Change, row: Error | None, reason: str | None) -> None:
    assert of_response(change) == (None if row is None else (row, reason))


RULES: Sequence[tuple[Change, Error | None, str | None]] = [
    (unchanged, None, None),
    (drop("//ds:Signature"), errors.SAML_UNSIGNED, "signed"),
    (put(ASSERTION, "Version", "1.1"), errors.SAML_UNVERIFIED, "version"),
    (put(ASSERTION, "ID", ""), errors.SAML_UNVERIFIED, "version"),
    (drop(f"{ASSERTION}/saml:Issuer"), errors.SAML_ISSUER, "issued_by_issuer"),
    (write(f"{ASSERTION}/saml:Issuer", "urn:other"), errors.SAML_ISSUER, "issued_by_issuer"),
    (add(ASSERTION, "<saml:Issuer>urn:other</saml:Issuer>"), errors.SAML_ISSUER, "issued_by_issuer"),
    (drop("//saml:Subject"), errors.SAML_CONFIRMATION, "Subject"),
    (drop("//saml:SubjectConfirmation"), errors.SAML_CONFIRMATION, "SubjectConfirmation"),
    (add("//saml:Subject", "<saml:SubjectConfirmation/>"), errors.SAML_CONFIRMATION, "SubjectConfirmation"),
    (put("//saml:SubjectConfirmation", "Method", "urn:x"), errors.SAML_CONFIRMATION, "method"),
    (drop(CONFIRMATION), errors.SAML_CONFIRMATION, "SubjectConfirmationData"),
    (put(CONFIRMATION, "Recipient", ACS + "/"), errors.SAML_RECIPIENT, "recipient"),
    (drop(CONDITIONS), errors.SAML_AUDIENCE, "audience"),
    (drop("//saml:Audience"), errors.SAML_AUDIENCE, "audience"),
    (add("//saml:AudienceRestriction", "<saml:Audience>urn:x</saml:Audience>"), None, None),
    (add(CONDITIONS, "<saml:AudienceRestriction/>"), errors.SAML_AUDIENCE, "audience"),
    (put(CONFIRMATION, "InResponseTo", "_other"), errors.SAML_UNSOLICITED, "confirmation_answers"),
    (add(ASSERTION, "<saml:Conditions/>"), errors.SAML_EXPIRED, "Conditions"),
    (put(CONDITIONS, END, None), errors.SAML_EXPIRED, END),
    (put(CONFIRMATION, END, "soon"), errors.SAML_EXPIRED, END),
    (at(CONDITIONS, END, -59), None, None),
    (at(CONFIRMATION, END, -59), None, None),
    (
        at(CONDITIONS, END, -60),
        errors.SAML_EXPIRED,
        "not_ended: NotOnOrAfter was 60 s ago, less than 60 s are for clocks",
    ),
    (
        both(at(CONDITIONS, END, -61), at(CONFIRMATION, END, -90)),
        errors.SAML_EXPIRED,
        "not_ended: NotOnOrAfter was 90 s ago, less than 60 s are for clocks",
    ),
    (put(CONDITIONS, "NotBefore", "soon"), errors.SAML_EARLY, "NotBefore"),
    (put(CONDITIONS, "NotBefore", None), None, None),
    (at(CONDITIONS, "NotBefore", 60), None, None),
    (
        at(CONDITIONS, "NotBefore", 61),
        errors.SAML_EARLY,
        "begun: NotBefore is 61 s ahead of our clock, at most 60 s",
    ),
    (
        both(at(CONDITIONS, "NotBefore", 61), at(CONFIRMATION, "NotBefore", 90)),
        errors.SAML_EARLY,
        "begun: NotBefore is 90 s ahead of our clock, at most 60 s",
    ),
    (put(ASSERTION, "IssueInstant", None), errors.SAML_LIFETIME, "IssueInstant"),
    (
        at(ASSERTION, "IssueInstant", 61),
        errors.SAML_EARLY,
        "not_early: IssueInstant is 61 s ahead of our clock, at most 60 s",
    ),
    (
        at(ASSERTION, "IssueInstant", -361),
        errors.SAML_LIFETIME,
        "fresh: IssueInstant is 361 s ago, at most 300 s and 60 s for clocks (ISSUED_MINUTES)",
    ),
    (at(CONDITIONS, END, 4860), None, None),
    (
        at(CONDITIONS, END, 4861),
        errors.SAML_LIFETIME,
        "lifetime: NotOnOrAfter is 4861 s away, at most 4800 s and 60 s for clocks (ASSERTION_MINUTES)",
    ),
    (
        both(at(CONDITIONS, END, 4900), at(CONFIRMATION, END, 5000)),
        errors.SAML_LIFETIME,
        "lifetime: NotOnOrAfter is 5000 s away, at most 4800 s and 60 s for clocks (ASSERTION_MINUTES)",
    ),
    (drop(STATEMENT), errors.SAML_AUTHN, "AuthnStatement"),
    (put(STATEMENT, "AuthnInstant", None), errors.SAML_AUTHN, "AuthnInstant"),
    (at(STATEMENT, "AuthnInstant", 60), None, None),
    (
        at(STATEMENT, "AuthnInstant", 61),
        errors.SAML_AUTHN,
        "sign_in_not_early: AuthnInstant is 61 s ahead of our clock, at most 60 s",
    ),
    (put(STATEMENT, SESSION_END, "soon"), errors.SAML_AUTHN, SESSION_END),
    (at(STATEMENT, SESSION_END, -59), None, None),
    (
        at(STATEMENT, SESSION_END, -60),
        errors.SAML_EXPIRED,
        "session_lasts: SessionNotOnOrAfter was 60 s ago, less than 60 s are for clocks",
    ),
    (at(STATEMENT, "AuthnInstant", -43260), None, None),
    (
        at(STATEMENT, "AuthnInstant", -43261),
        errors.SAML_AUTHN,
        "signed_in_recently: AuthnInstant was 43261 s ago, at most 43200 s and 60 s for clocks (SIGN_IN_MINUTES)",
    ),
    (drop(NAME), errors.SAML_SUBJECT, "NameID"),
    (add("//saml:Subject", "<saml:NameID/>"), errors.SAML_SUBJECT, "NameID"),
    (write(NAME, "al-1 "), errors.SAML_SUBJECT, "value"),
    (put(NAME, "Format", None), errors.SAML_SUBJECT, "format"),
    (put(STATEMENT, "SessionIndex", " x"), errors.SAML_AUTHN, "value"),
]


@pytest.mark.parametrize(("change", "row", "reason"), RULES)
def test_each_rule_of_the_assertion(change: Change, row: Error | None, reason: str | None) -> None:
    assert of_assertion(change) == (None if row is None else (row, reason))


def test_only_the_age_of_a_sign_in_is_of_the_kind_that_the_provider_can_mend() -> None:
    with pytest.raises(TooOldError):
        read(at(STATEMENT, "AuthnInstant", -43261))
    with pytest.raises(ApiError) as refused:
        read(put(NAME, "Format", None))
    assert not isinstance(refused.value, TooOldError)


ACME, GLOBEX = TenantId.parse("acme"), TenantId.parse("globex")
TWO = {"tenant_attribute": "tenant", "tenants": {"acme": ACME, "globex": GLOBEX}}
GLOBEX_TOO = add(TENANT, "<saml:AttributeValue>globex</saml:AttributeValue>")


@pytest.mark.parametrize(
    ("change", "changes", "row", "reason"),
    [
        (drop(EMAIL), {"subject_attribute": "email"}, errors.SAML_SUBJECT, "attribute: 0 values, exactly one"),
        (add(EMAIL, VALUE), {"subject_attribute": "email"}, errors.SAML_SUBJECT, "attribute: 2 values, exactly one"),
        (write(f"{EMAIL}/*", "a "), {"subject_attribute": "email"}, errors.SAML_SUBJECT, "value"),
        (unchanged, {"tenants": {}}, errors.TENANT_MISSING, "binding"),
        (unchanged, {"tenants": TWO["tenants"]}, errors.TENANT_MISSING, "binding"),
        (drop(TENANT), TWO, errors.TENANT_MISSING, "attribute"),
        (write(f"{TENANT}/*", "initech"), TWO, errors.TENANT_FORBIDDEN, "0 of 1"),
        (GLOBEX_TOO, TWO, errors.TENANT_AMBIGUOUS, "2 of 2"),
        (both(GLOBEX_TOO, add(TENANT, VALUE)), TWO, errors.TENANT_AMBIGUOUS, "2 of 3"),
    ],
)
def test_who_and_whose_are_told_apart(change: Change, changes: dict[str, Any], row: Error, reason: str) -> None:
    assert of_assertion(change, **changes) == (row, reason)


def test_of_the_values_of_an_attribute_those_that_look_like_names_count() -> None:
    raw = "".join(f"<saml:AttributeValue>{text}</saml:AttributeValue>" for text in (" b", "c", "x" * 257, "&#9;", ""))
    assertion = made(add(TENANT, raw)).find("saml:Assertion", NS)
    assert values(assertion, "tenant") == {"acme", "c"}
    assert values(assertion, "TENANT") == frozenset()


def test_what_an_assertion_says_is_read_as_it_is() -> None:
    said = SignedIn(
        assertion_id="_assertion",
        remember_until=NOW + timedelta(seconds=360),
        subject="al-1",
        tenant=ACME,
        name_id="al-1",
        name_id_format=PERSISTENT,
        session_index="_session",
        ends_at=None,
    )
    assert read() == said
    other = both(
        at(CONFIRMATION, END, 600),
        put(STATEMENT, "SessionIndex", None),
        at(STATEMENT, SESSION_END, 900),
        put(NAME, "Format", None),
    )
    assert read(other, subject_attribute="email", tenant_attribute="tenant") == SignedIn(
        assertion_id="_assertion",
        remember_until=NOW + timedelta(seconds=660),
        subject="alice@example.com",
        tenant=ACME,
        name_id="al-1",
        name_id_format=None,
        session_index=None,
        ends_at=NOW + timedelta(seconds=960),
    )


@pytest.mark.parametrize(
    ("change", "seconds"),
    [
        (unchanged, 0),
        (at(CONDITIONS, END, -30), -31),
        (at(CONFIRMATION, END, -40), -41),
        (at(STATEMENT, SESSION_END, -10), -11),
        (at(CONDITIONS, "NotBefore", 40), 40),
        (at(CONFIRMATION, "NotBefore", 50), 50),
        (put(CONDITIONS, "NotBefore", None), 0),
    ],
)
def test_the_library_is_asked_about_a_moment_at_which_the_assertion_holds_by_its_own_times(
    change: Change, seconds: int
) -> None:
    assert moment(made(change).find("saml:Assertion", NS), NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("change", "row", "reason"),
    [
        (put(CONDITIONS, END, None), errors.SAML_EXPIRED, END),
        (drop(CONDITIONS), errors.SAML_EXPIRED, "Conditions"),
        (put(CONDITIONS, "NotBefore", "x"), errors.SAML_EARLY, "NotBefore"),
        (drop(STATEMENT), errors.SAML_AUTHN, "AuthnStatement"),
        (put(STATEMENT, SESSION_END, "x"), errors.SAML_AUTHN, SESSION_END),
    ],
)
def test_without_a_time_there_is_no_such_moment(change: Change, row: Error, reason: str) -> None:
    with pytest.raises(ApiError) as refused:
        moment(made(change).find("saml:Assertion", NS), NOW)
    assert (refused.value.error, refused.value.reason) == (row, reason)


@pytest.mark.parametrize(
    ("answered", "request_id", "unsolicited", "fits"),
    [
        (REQUEST, REQUEST, False, True),
        (None, REQUEST, False, False),
        (None, REQUEST, True, False),
        (None, None, True, True),
        (None, None, False, False),
        (REQUEST, None, True, False),
        ("", None, True, False),
    ],
)
def test_a_confirmation_answers_this_request_or_none(
    answered: str | None, request_id: str | None, unsolicited: bool, fits: bool
) -> None:
    found = of_assertion(put(CONFIRMATION, "InResponseTo", answered), request_id=request_id, unsolicited=unsolicited)
    assert found == (None if fits else (errors.SAML_UNSOLICITED, "confirmation_answers"))
