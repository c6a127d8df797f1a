"""What a response must say before its user is signed in: our rules, each a pure function with a row of the registry.

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
from service.auth.saml.reading import attribute, confirmation, instant, one, sane, text, values
from service.errors import ApiError
from service.tenancy import TenantId

SKEW = timedelta(seconds=60)  # clock difference between us and a provider; every time is read with it
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"


class TooOldError(ApiError):
    """The person proved who they are too long ago; all else is right, and the provider can ask them again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings permit a provider.

    Attributes:
        age: Since ``IssueInstant``: a message comes straight from the provider.
        lifetime: From now to an assertion's ``NotOnOrAfter``; Entra ID's live 75 minutes, LemonLDAP::NG's 20 hours.
        sign_in_age: Since the user last proved who they are: a working day.
    """

    age: timedelta = timedelta(minutes=5)
    lifetime: timedelta = timedelta(minutes=80)
    sign_in_age: timedelta = timedelta(hours=12)


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
        limits: Of times.
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
    limits: Limits = Limits()


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
        ends_at: When the provider wants the session to end, by a clock that may be behind ours; None when it does not
            say.
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
        TooOldError: Nothing is wrong but the age of the sign-in.
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
        ends_at=None if ends_at is None else instant(statement, "SessionNotOnOrAfter", errors.SAML_AUTHN) + SKEW,
    )


def moment(assertion: Element, now: datetime) -> datetime:
    """When an accepted assertion holds by its own times: now, or as little off as the clocks are."""
    ends = [instant(limit, "NotOnOrAfter", errors.SAML_EXPIRED) for limit in _limits(assertion)]
    statement = one(assertion, "AuthnStatement", errors.SAML_AUTHN)
    if statement.get("SessionNotOnOrAfter") is not None:
        ends.append(instant(statement, "SessionNotOnOrAfter", errors.SAML_AUTHN))
    begins = [limit for limit in _limits(assertion) if limit.get("NotBefore") is not None]
    last = min(now, min(ends) - timedelta(seconds=1))
    return max([last, *(instant(limit, "NotBefore", errors.SAML_EARLY) for limit in begins)])


Rule = Callable[[Element, Expected], bool | str]  # True: it holds; a text: it is broken, and these are both sides


def _first_broken(rules: Sequence[tuple[core_errors.Error, Rule]], element: Element, expected: Expected) -> None:
    for row, rule in rules:
        if (held := rule(element, expected)) is not True:
            name = rule.__name__.strip("_")
            raise ApiError(row, f"{name}: {held}" if held else name)


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"


def _with_skew(limit: timedelta) -> str:
    return f"at most {_seconds(limit)} and {_seconds(SKEW)} for clocks"


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
    """A signed response must have one (SAML bindings 3.5.5.2); an unsigned one proves nothing by it.

    What counts then is the ``Recipient`` in the signed assertion. One that is there must be right all the same.
    """
    destination: str | None = response.get("Destination")
    return destination == expected.acs if destination is not None else not _signed(response, expected)


def _answers(element: Element, expected: Expected) -> bool:
    """The response, or its subject confirmation, answers this browser's request; a missing one is no wildcard."""
    answered: str | None = element.get("InResponseTo")
    if expected.request_id is None:
        return expected.unsolicited and answered is None
    return answered == expected.request_id


def _response_answers(response: Element, expected: Expected) -> bool:
    """As ``_destination``: where the response is not signed, the signed subject confirmation says it, or nothing."""
    unsaid = response.get("InResponseTo") is None and not _signed(response, expected)
    return _answers(response, expected) or (unsaid and expected.request_id is not None)


def _confirmation_answers(assertion: Element, expected: Expected) -> bool:
    return _answers(confirmation(assertion), expected)


def _fresh(element: Element, expected: Expected) -> bool | str:
    age, limit = expected.now - instant(element, "IssueInstant", errors.SAML_LIFETIME), expected.limits.age
    return age <= limit + SKEW or f"IssueInstant is {_seconds(age)} ago, {_with_skew(limit)} (ISSUED_MINUTES)"


def _not_early(element: Element, expected: Expected) -> bool | str:
    ahead = instant(element, "IssueInstant", errors.SAML_LIFETIME) - expected.now
    return ahead <= SKEW or f"IssueInstant is {_seconds(ahead)} ahead of our clock, at most {_seconds(SKEW)}"


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


def _not_ended(assertion: Element, expected: Expected) -> bool | str:
    ended = expected.now - min(instant(limit, "NotOnOrAfter", errors.SAML_EXPIRED) for limit in _limits(assertion))
    return ended < SKEW or f"NotOnOrAfter was {_seconds(ended)} ago, less than {_seconds(SKEW)} are for clocks"


def _begun(assertion: Element, expected: Expected) -> bool | str:
    given = [limit for limit in _limits(assertion) if limit.get("NotBefore") is not None]
    ahead = max((instant(limit, "NotBefore", errors.SAML_EARLY) - expected.now for limit in given), default=SKEW)
    return ahead <= SKEW or f"NotBefore is {_seconds(ahead)} ahead of our clock, at most {_seconds(SKEW)}"


def _lifetime(assertion: Element, expected: Expected) -> bool | str:
    left = max(instant(limit, "NotOnOrAfter", errors.SAML_EXPIRED) for limit in _limits(assertion)) - expected.now
    return left <= expected.limits.lifetime + SKEW or (
        f"NotOnOrAfter is {_seconds(left)} away, {_with_skew(expected.limits.lifetime)} (ASSERTION_MINUTES)"
    )


def _sign_in_not_early(assertion: Element, expected: Expected) -> bool | str:
    ahead = _signed_in_at(assertion) - expected.now
    return ahead <= SKEW or f"AuthnInstant is {_seconds(ahead)} ahead of our clock, at most {_seconds(SKEW)}"


def _session_lasts(assertion: Element, expected: Expected) -> bool | str:
    statement = one(assertion, "AuthnStatement", errors.SAML_AUTHN)
    if statement.get("SessionNotOnOrAfter") is None:
        return True
    ended = expected.now - instant(statement, "SessionNotOnOrAfter", errors.SAML_AUTHN)
    return ended < SKEW or f"SessionNotOnOrAfter was {_seconds(ended)} ago, less than {_seconds(SKEW)} are for clocks"


def _signed_in_at(assertion: Element) -> datetime:
    return instant(one(assertion, "AuthnStatement", errors.SAML_AUTHN), "AuthnInstant", errors.SAML_AUTHN)


def _signed_in_recently(assertion: Element, expected: Expected) -> bool:
    age, limit = expected.now - _signed_in_at(assertion), expected.limits.sign_in_age
    if age > limit + SKEW:
        both = f"AuthnInstant was {_seconds(age)} ago, {_with_skew(limit)} (SIGN_IN_MINUTES)"
        raise TooOldError(errors.SAML_AUTHN, f"signed_in_recently: {both}")
    return True


_ENVELOPE: Sequence[tuple[core_errors.Error, Rule]] = (
    (errors.SAML_UNVERIFIED, _version),
    (errors.SAML_ISSUER, _sent_by_issuer),
    (errors.SAML_DESTINATION, _destination),
    (errors.SAML_UNSOLICITED, _response_answers),
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
    (errors.SAML_AUTHN, _sign_in_not_early),
    (errors.SAML_EXPIRED, _session_lasts),
    (errors.SAML_AUTHN, _signed_in_recently),  # the last: all else is right when it alone is broken
)


def _name_id(assertion: Element) -> tuple[str, str | None]:
    name = one(one(assertion, "Subject", errors.SAML_SUBJECT), "NameID", errors.SAML_SUBJECT)
    return sane(text(name), errors.SAML_SUBJECT), name.get("Format")


def _subject(assertion: Element, expected: Expected) -> str:
    """A transient NameID is another one at the next sign-in, and an e-mail address may be given to another person."""
    if expected.subject_attribute is not None:
        return attribute(assertion, expected.subject_attribute, errors.SAML_SUBJECT)
    name_id, name_format = _name_id(assertion)
    if name_format != PERSISTENT:
        raise ApiError(errors.SAML_SUBJECT, "format")
    return name_id


def _tenant(assertion: Element, expected: Expected) -> TenantId:
    if expected.tenant_attribute is None:
        if len(expected.tenants) != 1:  # the settings refuse this
            raise ApiError(errors.TENANT_MISSING, "binding")
        return next(iter(expected.tenants.values()))
    # A person may belong to more than this provider speaks for here; what counts is that just one of it is bound.
    named = values(assertion, expected.tenant_attribute)
    if not named:
        raise ApiError(errors.TENANT_MISSING, "attribute")
    bound = {expected.tenants[name] for name in named if name in expected.tenants}
    if len(bound) != 1:
        raise ApiError(errors.TENANT_AMBIGUOUS if bound else errors.TENANT_FORBIDDEN, f"{len(bound)} of {len(named)}")
    return bound.pop()
