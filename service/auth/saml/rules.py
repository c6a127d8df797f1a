"""What a response must say before anyone is signed in: our rules, each a pure function with a row of the registry.

python3-saml's strict mode compares ``Destination`` by prefix and ``Recipient`` by substring, lets ``InResponseTo``,
``AudienceRestriction`` and ``NotOnOrAfter`` be absent and bounds no lifetime, so none of that is left to it. The rules
of the envelope are judged before any cryptography, those of the assertion after its signature was verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lxml.etree import _Element as Element

from service import errors as core_errors
from service.auth import errors
from service.auth.saml.grammar import DS, SAML, SAMLP
from service.auth.saml.reading import attribute, confirmation, instant, one, sane, text
from service.errors import ApiError
from service.tenancy import TenantId

SKEW = timedelta(seconds=60)  # clock difference between us and a provider
MAX_AGE = timedelta(minutes=5)  # since IssueInstant: a response comes straight from the provider
MAX_LIFETIME = timedelta(minutes=80)  # Entra ID's assertions live 75
MAX_SIGN_IN_AGE = timedelta(hours=12)  # since the user last proved who they are: a working day
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a genuine response of this provider to this browser says.

    Attributes:
        issuer: The provider's entity id.
        audience: Our entity id.
        acs: Our assertion consumer service, where the response must have been sent.
        request_id: Of this browser's pending request; None when it has none.
        unsolicited: Whether a response without a request is accepted.
        subject_attribute: Attribute that names the user; None means the persistent NameID.
        tenants: What the provider may speak for, by what its attribute says; never empty.
        tenant_attribute: Attribute that holds the tenant. With several tenants it chooses among them, with one it must
            agree.
        now: The time.
    """

    issuer: str
    audience: str
    acs: str
    request_id: str | None
    unsolicited: bool
    subject_attribute: str | None
    tenants: Mapping[str, TenantId]
    tenant_attribute: str | None
    now: datetime


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What an accepted assertion says.

    Attributes:
        assertion_id: To be used once.
        remember_until: Until when it could be used again.
        subject: The user, unique within the provider.
        tenant: Whose data the user may see.
        name_id: For the logout: the NameID's text.
        name_id_format: Its format; None when the provider gave none.
        session_index: The provider's session, for the logout; None when it gave none.
        ends_at: When the provider wants the session to end; None when it does not say.
    """

    assertion_id: str
    remember_until: datetime
    subject: str
    tenant: TenantId
    name_id: str
    name_id_format: str | None
    session_index: str | None
    ends_at: datetime | None


def check_envelope(response: Element, expected: Expected) -> None:
    """The rules of the response around the assertion.

    Args:
        response: Its root; screened, nothing in it is verified.
        expected: What it must say.

    Raises:
        ApiError: The first rule that is broken.
    """
    _first_broken(_ENVELOPE, response, expected)


def check_assertion(assertion: Element, expected: Expected) -> SignedIn:
    """The rules of the assertion.

    Args:
        assertion: The element whose signature was verified.
        expected: What it must say.

    Raises:
        ApiError: The first rule that is broken.
    """
    _first_broken(_ASSERTION, assertion, expected)
    name_id, name_format = _name_id(assertion)
    statement = one(assertion, "AuthnStatement", errors.SAML_AUTHN)
    ends_at = statement.get("SessionNotOnOrAfter")
    data = confirmation(assertion)
    until = max(
        instant(data, "NotOnOrAfter", errors.SAML_EXPIRED),
        instant(one(assertion, "Conditions", errors.SAML_EXPIRED), "NotOnOrAfter", errors.SAML_EXPIRED),
    )
    session_index = statement.get("SessionIndex")
    return SignedIn(
        assertion_id=assertion.get("ID", ""),
        remember_until=until + SKEW,
        subject=_subject(assertion, expected),
        tenant=_tenant(assertion, expected),
        name_id=name_id,
        name_id_format=name_format,
        session_index=None if session_index is None else sane(session_index, errors.SAML_AUTHN),
        ends_at=None if ends_at is None else instant(statement, "SessionNotOnOrAfter", errors.SAML_AUTHN),
    )


Rule = Callable[[Element, Expected], bool]


def _first_broken(rules: Sequence[tuple[core_errors.Error, Rule]], element: Element, expected: Expected) -> None:
    for row, holds in rules:
        if not holds(element, expected):
            raise ApiError(row, holds.__name__.strip("_"))


def _succeeded(response: Element, _: Expected) -> bool:
    codes = response.findall(f"{{{SAMLP}}}Status/{{{SAMLP}}}StatusCode")
    return [code.get("Value") for code in codes] == [_SUCCESS]


def _version(element: Element, _: Expected) -> bool:
    version: str | None = element.get("Version")
    return version == "2.0" and bool(element.get("ID"))


def _one_assertion(response: Element, _: Expected) -> bool:
    return len(response.findall(f"{{{SAML}}}Assertion") + response.findall(f"{{{SAML}}}EncryptedAssertion")) == 1


def _sent_by_issuer(response: Element, expected: Expected) -> bool:
    issuers = response.findall(f"{{{SAML}}}Issuer")  # optional here, required in the assertion
    return all(text(issuer) == expected.issuer for issuer in issuers)


def _issued_by_issuer(assertion: Element, expected: Expected) -> bool:
    return [text(issuer) for issuer in assertion.findall(f"{{{SAML}}}Issuer")] == [expected.issuer]


def _destination(response: Element, expected: Expected) -> bool:
    destination: str | None = response.get("Destination")
    return destination == expected.acs


def _answers(element: Element, expected: Expected) -> bool:
    """The response, or its subject confirmation, answers this browser's request; a missing one is no wildcard."""
    answered: str | None = element.get("InResponseTo")
    if expected.request_id is None:
        return expected.unsolicited and answered is None
    return answered == expected.request_id


def _confirmation_answers(assertion: Element, expected: Expected) -> bool:
    return _answers(confirmation(assertion), expected)


def _fresh(element: Element, expected: Expected) -> bool:
    return expected.now - instant(element, "IssueInstant", errors.SAML_LIFETIME) <= MAX_AGE + SKEW


def _not_early(element: Element, expected: Expected) -> bool:
    return instant(element, "IssueInstant", errors.SAML_LIFETIME) <= expected.now + SKEW


def _signed(element: Element, _: Expected) -> bool:
    """An encrypted assertion is judged without being decrypted: by the signature of the response around it."""
    return element.find(f"{{{DS}}}Signature") is not None


def _assertion_signed(response: Element, expected: Expected) -> bool:
    assertion = response.find(f"{{{SAML}}}Assertion")
    return _signed(response if assertion is None else assertion, expected)


def _recipient(assertion: Element, expected: Expected) -> bool:
    recipient: str | None = confirmation(assertion).get("Recipient")
    return recipient == expected.acs


def _audience(assertion: Element, expected: Expected) -> bool:
    restrictions = assertion.findall(f"{{{SAML}}}Conditions/{{{SAML}}}AudienceRestriction")
    # Several restrictions must all hold, several audiences are alternatives (SAML core 2.5.1.4).
    return bool(restrictions) and all(
        expected.audience in [text(audience) for audience in restriction.findall(f"{{{SAML}}}Audience")]
        for restriction in restrictions
    )


def _limits(assertion: Element) -> tuple[Element, Element]:
    return confirmation(assertion), one(assertion, "Conditions", errors.SAML_EXPIRED)


def _not_ended(assertion: Element, expected: Expected) -> bool:
    return all(
        expected.now < instant(limit, "NotOnOrAfter", errors.SAML_EXPIRED) + SKEW for limit in _limits(assertion)
    )


def _begun(assertion: Element, expected: Expected) -> bool:
    return all(
        instant(limit, "NotBefore", errors.SAML_EARLY) <= expected.now + SKEW
        for limit in _limits(assertion)
        if limit.get("NotBefore") is not None
    )


def _lifetime(assertion: Element, expected: Expected) -> bool:
    latest = expected.now + MAX_LIFETIME + SKEW
    return all(instant(limit, "NotOnOrAfter", errors.SAML_EXPIRED) <= latest for limit in _limits(assertion))


def _signed_in_recently(assertion: Element, expected: Expected) -> bool:
    at = instant(one(assertion, "AuthnStatement", errors.SAML_AUTHN), "AuthnInstant", errors.SAML_AUTHN)
    return expected.now - MAX_SIGN_IN_AGE <= at <= expected.now + SKEW


def _session_lasts(assertion: Element, expected: Expected) -> bool:
    statement = one(assertion, "AuthnStatement", errors.SAML_AUTHN)
    if statement.get("SessionNotOnOrAfter") is None:
        return True
    return expected.now < instant(statement, "SessionNotOnOrAfter", errors.SAML_AUTHN)


_ENVELOPE: Sequence[tuple[core_errors.Error, Rule]] = (
    (errors.SAML_UNVERIFIED, _version),
    (errors.SAML_ISSUER, _sent_by_issuer),
    (errors.SAML_DESTINATION, _destination),
    (errors.SAML_UNSOLICITED, _answers),
    (errors.SAML_STATUS, _succeeded),
    (errors.SAML_ASSERTIONS, _one_assertion),
    (errors.SAML_UNSIGNED, _assertion_signed),
    (errors.SAML_EARLY, _not_early),
    (errors.SAML_LIFETIME, _fresh),
)
_ASSERTION: Sequence[tuple[core_errors.Error, Rule]] = (
    (errors.SAML_UNSIGNED, _signed),
    (errors.SAML_UNVERIFIED, _version),
    (errors.SAML_ISSUER, _issued_by_issuer),
    (errors.SAML_RECIPIENT, _recipient),
    (errors.SAML_AUDIENCE, _audience),
    (errors.SAML_UNSOLICITED, _confirmation_answers),
    (errors.SAML_EXPIRED, _not_ended),
    (errors.SAML_EARLY, _begun),
    (errors.SAML_EARLY, _not_early),
    (errors.SAML_LIFETIME, _fresh),
    (errors.SAML_LIFETIME, _lifetime),
    (errors.SAML_AUTHN, _signed_in_recently),
    (errors.SAML_EXPIRED, _session_lasts),
)


def _name_id(assertion: Element) -> tuple[str, str | None]:
    name = one(one(assertion, "Subject", errors.SAML_SUBJECT), "NameID", errors.SAML_SUBJECT)
    return sane(text(name), errors.SAML_SUBJECT), name.get("Format")


def _subject(assertion: Element, expected: Expected) -> str:
    """A transient NameID is another one at the next sign-in, and an e-mail address may be given to somebody else."""
    if expected.subject_attribute is not None:
        return attribute(assertion, expected.subject_attribute, errors.SAML_SUBJECT, errors.SAML_SUBJECT)
    name_id, name_format = _name_id(assertion)
    if name_format != PERSISTENT:
        raise ApiError(errors.SAML_SUBJECT, "format")
    return name_id


def _tenant(assertion: Element, expected: Expected) -> TenantId:
    if expected.tenant_attribute is None:
        if len(expected.tenants) != 1:  # the settings refuse this
            raise ApiError(errors.TENANT_MISSING, "binding")
        return next(iter(expected.tenants.values()))
    named = attribute(assertion, expected.tenant_attribute, errors.TENANT_MISSING, errors.TENANT_AMBIGUOUS)
    if named not in expected.tenants:
        raise ApiError(errors.TENANT_FORBIDDEN)
    return expected.tenants[named]
