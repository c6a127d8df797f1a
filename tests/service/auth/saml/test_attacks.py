"""What an attacker without the provider's key can send, made from responses of a provider that nobody here wrote."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.auth import errors
from service.auth.saml import messages, metadata
from service.auth.saml.grammar import RESPONSE
from service.auth.saml.library import accept
from service.auth.saml.party import Party
from service.auth.saml.screen import screen
from service.errors import ApiError
from tests.support.saml import bombs
from tests.support.saml.mint import ACS, AUDIENCE, ISSUER, SLS, expected, party, response, utc_now
from tests.support.saml.provider import SamlIdp, User, key_pair
from tests.support.saml.variants import changed, duplicated, remarked, wrapped

FORMS = {
    "assertion_signed": {"signAssertion": True, "signResponse": False},
    "response_signed": {"signAssertion": False, "signResponse": True},
    "both_signed": {"signAssertion": True, "signResponse": True},
}
Family = Callable[[bytes], Iterator[tuple[str, bytes]]]


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SamlIdp]:
    sps = {AUDIENCE: {"acs": ACS, "sls": SLS}}
    users = {"alice": User("al-1", attributes={"email": "alice@example.com", "tenant_id": "acme"})}
    with SamlIdp(tmp_path_factory.mktemp("idp"), issuer=ISSUER, sps=sps, users=users) as running:
        yield running


@pytest.fixture(scope="module")
def federation(idp: SamlIdp) -> Party:
    """Us and that provider, as its metadata describes it."""
    found = metadata.read_idp(bombs.fetch(idp.metadata_url), ISSUER, None, utc_now())
    return party(idp=found)


def genuine(idp: SamlIdp, federation: Party, **options: Any) -> tuple[bytes, str]:
    idp.set(**{"encrypted": False, **options})
    url, request_id = messages.sign_in_url(federation, "relay")
    return idp.sign_in(url, "alice").response, request_id


@pytest.mark.parametrize("family", [wrapped, remarked, duplicated, changed])
@pytest.mark.parametrize("form", FORMS)
def test_no_variant_of_a_good_response_is_accepted(idp: SamlIdp, federation: Party, form: str, family: Family) -> None:
    raw, request_id = genuine(idp, federation, **FORMS[form])
    rules = expected(request_id=request_id)
    if form == "response_signed":  # never enough: the assertion itself must be signed
        with pytest.raises(ApiError) as refused:
            accept(raw, rules, federation)
        assert refused.value.error is errors.SAML_UNSIGNED
    else:
        assert accept(raw, rules, federation).subject == "al-1"
    variants = {name: variant for name, variant in family(raw) if variant != raw}
    assert len(variants) > 30
    accepted = [name for name, variant in variants.items() if not _is_refused(variant, rules, federation)]
    assert accepted == []


def _is_refused(raw: bytes, rules: Any, federation: Party) -> bool:
    """Anything but an ``ApiError`` fails the test: it would be a 500."""
    try:
        accept(raw, rules, federation)
    except ApiError as failure:
        return failure.error.status in (400, 401, 413)
    return False


def test_an_encrypted_response_cannot_be_opened_up_and_wrapped(idp: SamlIdp, federation: Party) -> None:
    raw, request_id = genuine(idp, federation, signAssertion=True, signResponse=True, encrypted=True)
    rules = expected(request_id=request_id)
    assert accept(raw, rules, federation).subject == "al-1"
    for family in (duplicated, changed):
        for name, variant in family(raw):
            assert _is_refused(variant, rules, federation), name


@pytest.mark.parametrize("bomb", bombs.ALL, ids=lambda bomb: bomb.__name__)
def test_a_message_that_would_make_a_library_work_is_refused_at_once(bomb: Callable[[], bytes]) -> None:
    """Measured, here and below, in time of the processor, which a busy machine does not lengthen."""
    raw = bomb()
    started = time.thread_time()
    with pytest.raises(ApiError) as refused:
        accept(raw, expected(), party())
    assert time.thread_time() - started < 0.3  # 0.1 on a core of its own
    assert refused.value.error in (errors.SAML_CONSTRUCT, errors.SAML_OVERSIZED, errors.SAML_UNREADABLE)


@pytest.mark.parametrize("inner", bombs.INNER, ids=lambda inner: inner.__name__)
@pytest.mark.parametrize("signed", [False, True], ids=["anybody", "the_provider_itself"])
def test_the_same_inside_an_encrypted_assertion(inner: Callable[[Any], None], signed: bool) -> None:
    raw = response(inner, sign_assertion=False, sign_response=signed, encrypt_to=key_pair("sp"))
    started = time.thread_time()
    with pytest.raises(ApiError) as refused:
        accept(raw, expected(), party())
    assert time.thread_time() - started < 0.3  # 0.1 on a core of its own
    known = (errors.SAML_CONSTRUCT, errors.SAML_OVERSIZED, errors.SAML_UNVERIFIED)
    assert refused.value.error in (known if signed else (errors.SAML_UNSIGNED, *known))


def test_our_key_decrypts_nothing_for_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """With our key at hand an attacker could ask, one guess per request, what a captured assertion holds."""
    from onelogin.saml2.utils import OneLogin_Saml2_Utils

    opened: list[object] = []
    original = OneLogin_Saml2_Utils.decrypt_element

    def watched(*arguments: Any, **options: Any) -> Any:
        opened.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(OneLogin_Saml2_Utils, "decrypt_element", watched)
    sp = key_pair("sp")
    for raw in (
        response(encrypt_to=sp),
        response(key=key_pair("mallory"), sign_response=True, encrypt_to=sp),
        response(sign_response=True, encrypt_to=sp, after=lambda root: root.set("ID", "_other")),
    ):
        with pytest.raises(ApiError):
            accept(raw, expected(), party())
    assert opened == []
    accept(response(sign_response=True, encrypt_to=sp), expected(), party())
    assert opened


def test_a_transform_that_got_past_the_screen_would_still_not_run() -> None:
    """The second lock: the context that verifies knows the allowed transforms only."""
    from service.auth.saml.library import is_signed_by, parse

    raw = bombs.xslt()
    with pytest.raises(ApiError):
        screen(raw, RESPONSE)
    started = time.thread_time()
    assertion = parse(raw).find("{urn:oasis:names:tc:SAML:2.0:assertion}Assertion")
    assert not is_signed_by(assertion, [key_pair("idp").certificate])
    assert time.thread_time() - started < 0.3  # 0.1 on a core of its own
