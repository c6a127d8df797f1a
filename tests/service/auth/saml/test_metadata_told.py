"""What is read of a provider's metadata, to the letter, and what is told of one that cannot be used."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from lxml import etree
from structlog.testing import capture_logs

from service.auth.saml.document import MetadataError, check_algorithms, quoted, read_until
from service.auth.saml.metadata import certificate_pem, read_idp, sp_key, write_sp
from service.auth.saml.party import Idp, SpKey
from tests.support.saml.metadata import MD, REDIRECT, document, key_descriptor
from tests.support.saml.mint import ISSUER, NS, party, signed
from tests.support.saml.provider import KeyPair, key_pair

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def read(raw: bytes, signer: KeyPair | None = None, around: tuple[datetime, ...] = ()) -> Idp:
    return read_idp(raw, ISSUER, signer.certificate if signer else None, NOW, around)


def told(raw: bytes, signer: KeyPair | None = None) -> tuple[str, str]:
    with pytest.raises(MetadataError) as refused:
        read(raw, signer)
    return str(refused.value), refused.value.told


def group(*inner: bytes, more: str = "") -> bytes:
    return f'<EntitiesDescriptor xmlns="{MD}" {more}>{b"".join(inner).decode()}</EntitiesDescriptor>'.encode()


def named(name: str) -> bytes:
    return document(entity_id=name).replace(b'ID="_m"', b"")


def ends(pair: KeyPair) -> datetime:
    return x509.load_pem_x509_certificate(pair.certificate.encode()).not_valid_after_utc


def test_all_of_it_is_read() -> None:
    far, near = key_pair("idp"), key_pair("near", days=300)
    raw = document(far, near, more='validUntil="2027-01-01T00:00:00Z"')
    assert read(raw) == Idp(
        sso_url="https://idp.example.org/sso",
        slo_url="https://idp.example.org/slo",
        slo_response_url="https://idp.example.org/slo-done",
        certificates=(far.certificate, near.certificate),
        expires_at=ends(near),
        valid_until=datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert read(document()).valid_until is None
    without = document().replace(b'ResponseLocation="https://idp.example.org/slo-done"', b"")
    assert read(without).slo_response_url == "https://idp.example.org/slo"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "it has "),
        (("a",), 'it has "a"'),
        (("a", "b", "c"), 'it has "a", "b", "c"'),
        (("a", "b", "c", "d"), 'it has "a", "b", "c" and 1 more'),
        (("a", "b", "c", "d", "e"), 'it has "a", "b", "c" and 2 more'),
        ((ISSUER, ISSUER), "it has that one more than once"),
    ],
)
def test_which_entities_it_has_is_told(names: tuple[str, ...], said: str) -> None:
    expected = f'ISSUER is "{ISSUER}", compared to the letter, and {said}'
    assert told(group(*map(named, names))) == ("entity_id", expected)


ROLE = f'<IDPSSODescriptor protocolSupportEnumeration="{NS["samlp"]}"/>'.encode()


def test_one_role_is_read_and_two_are_none() -> None:
    assert told(document().replace(b"</EntityDescriptor>", ROLE + b"</EntityDescriptor>"))[0] == "role"
    assert told(document().replace(b"IDPSSODescriptor", b"SPSSODescriptor"))[0] == "role"
    assert told(document().replace(b"protocolSupportEnumeration", b"x"))[0] == "role"
    both = document().replace(b'"urn:oasis:names:tc:SAML:2.0:protocol"', f'"urn:x {NS["samlp"]}"'.encode())
    assert read(both) == read(document())


PLACES: list[Callable[[str], bytes]] = [
    lambda until: group(document(), more=until),
    lambda until: document(more=until),
    lambda until: document().replace(b"<IDPSSODescriptor", f"<IDPSSODescriptor {until}".encode()),
]


@pytest.mark.parametrize("place", PLACES, ids=["document", "entity", "role"])
def test_the_end_counts_wherever_it_stands_with_the_difference_of_clocks(place: Callable[[str], bytes]) -> None:
    assert read(place('validUntil="2026-11-26T11:59:01Z"')).valid_until == NOW - timedelta(seconds=59)
    assert told(place('validUntil="2026-11-26T11:59:00Z"')) == (
        "valid_until",
        "its validUntil is 2026-11-26T11:59:00Z, and now is 2026-11-26T12:00:00Z: fetch it anew "
        "from the provider, or name its address with METADATA_URL so that it stays fresh",
    )


def test_the_first_of_all_ends_counts() -> None:
    raw = group(document(more='validUntil="2028-01-01T00:00:00Z"'), more='validUntil="2027-01-01T00:00:00Z"')
    assert read(raw).valid_until == datetime(2027, 1, 1, tzinfo=UTC)
    around = (datetime(2029, 1, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert read(raw, around=around).valid_until == datetime(2026, 12, 1, tzinfo=UTC)
    assert read(document(), around=around).valid_until == datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2027-01-01T00:00:00Z", datetime(2027, 1, 1, tzinfo=UTC)),
        (" 2027-01-01T00:00:00 ", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01T03:00:00+02:00", datetime(2027, 1, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_end_is_read_in_utc(value: str, expected: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        read = read_until(value)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (read, read.tzinfo) == (expected, UTC)
    with pytest.raises(MetadataError) as refused:
        read_until("soon")
    assert (str(refused.value), refused.value.told) == ("valid_until", 'its validUntil is "soon", which is no time')


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "nothing"), ("", "nothing"), ("a\x9b\nb", '"a??b"'), ("x" * 201, f'"{"x" * 200}"')],
)
def test_what_a_document_says_is_shown_bounded_and_printable(value: str | None, shown: str) -> None:
    assert quoted(value) == shown


def service(binding: str = REDIRECT, location: str | None = "https://first.example/sso") -> bytes:
    place = "" if location is None else f'Location="{location}"'
    return f'<SingleSignOnService Binding="{binding}" {place}/>'.encode()


def with_services(*services: bytes) -> bytes:
    head, _, tail = document().partition(b"<SingleSignOnService")
    return head + b"".join(services) + tail.partition(b"/>")[2]


USABLE = service(location="https://good.example/sso")


@pytest.mark.parametrize(
    "others",
    [
        (),
        (service(binding="urn:other"),),
        (service(location=None),),
        (service(location="http://plain.example/sso"),),
        (service(location=""),),
    ],
)
def test_the_first_address_that_can_be_used_counts(others: tuple[bytes, ...]) -> None:
    assert read(with_services(*others, USABLE, service())).sso_url == "https://good.example/sso"
    assert read(with_services(service(location=" https://a.example/ "))).sso_url == "https://a.example/"


def test_of_several_that_cannot_the_first_is_shown() -> None:
    found = with_services(service(location="http://one.example"), service(location="http://two.example"))
    assert told(found) == (
        "address",
        'the Location of its SingleSignOnService is "http://one.example", and browsers are sent to https addresses '
        "only: give the provider an https address, and fetch its metadata anew",
    )
    for none in (with_services(), with_services(service(binding="urn:x")), with_services(service(location=None))):
        assert told(none)[0] == "no_redirect_sign_in"


@pytest.mark.parametrize(
    ("address", "fits"),
    [
        ("https://a.example/x?y=z", True),
        ("http://localhost:8080/x", True),
        ("http://127.0.0.1/x", True),
        ("http://[::1]/x", True),
        ("http://a.example/x", False),
        ("ftp://localhost/x", False),
        ("https:///x", False),
        ("http:///x", False),
        ("https://alice@a.example/x", False),
        ("http://alice@localhost/x", False),
        ("https://a.example/x y", False),
        ("https://a.example/x&#x9b;", False),
        ("https://[a/x", False),
        ("javascript:alert(1)", False),
        ("", False),
    ],
)
def test_where_a_browser_may_be_sent(address: str, fits: bool) -> None:
    raw = with_services(service(location=address))
    if fits:
        assert read(raw).sso_url == address
    else:
        assert told(raw)[0] == "address"


def test_a_logout_address_that_cannot_be_used_is_a_line_in_the_log() -> None:
    raw = document().replace(b"https://idp.example.org/slo-done", b"http://idp.example.org/slo-done")
    with capture_logs() as logs:
        found = read(raw)
    assert (found.slo_url, found.slo_response_url) == ("https://idp.example.org/slo",) * 2
    assert logs == [{"event": "saml_logout_address_ignored", "reason": "address", "log_level": "warning"}]


@cache
def pair_of(make: Callable[[], Key]) -> KeyPair:
    """A key pair of any kind, with a certificate that another key signed."""
    key, signer = make(), load_pem_private_key(key_pair("idp").private_key.encode(), None)
    assert isinstance(signer, rsa.RSAPrivateKey)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=10))
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return KeyPair(private, certificate.public_bytes(Encoding.PEM).decode())


def weak() -> Key:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  what must be refused


def small() -> Key:
    return ec.generate_private_key(ec.SECP192R1())


def sound() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (lambda: key_descriptor(pair_of(weak)), "weak"),
        (lambda: key_descriptor(pair_of(small)), "weak"),
        (lambda: key_descriptor(key_pair("idp")).replace("MII", "XXX"), "unreadable"),
        (lambda: key_descriptor(key_pair("idp")).replace("MII", "!"), "unreadable"),
    ],
)
def test_a_certificate_that_cannot_be_used_loses_itself_and_is_a_line_in_the_log(
    bad: Callable[[], str], why: str
) -> None:
    good = pair_of(sound)
    with capture_logs() as logs:
        found = read(document(keys=bad() + key_descriptor(good)))
    assert (found.certificates, found.expires_at) == ((good.certificate,), NOW + timedelta(days=10))
    assert logs == [{"event": "saml_certificate_unusable", "reason": why, "log_level": "warning"}]
    assert told(document(keys=bad()))[0] == "no_usable_certificate"


def test_five_certificates_are_tried_and_those_for_encryption_are_none_of_them() -> None:
    pairs = [key_pair(name) for name in ("idp", "idp-next", "other", "mallory", "federation", "sp")]
    encryption = key_descriptor(pairs[-1], 'use="encryption"')
    raw = document(keys=encryption + "".join(map(key_descriptor, pairs)))
    assert read(raw).certificates == tuple(pair.certificate for pair in pairs[:5])


def test_what_a_signature_of_metadata_is_made_with_is_told() -> None:
    algorithms = {
        f"{NS['ds']}rsa-SHA1": "which others can forge today",
        f"{NS['ds']}rsa-MD5": "which others can forge today",
        "urn:any": "which is not among those we verify with",
        None: "which is not among those we verify with",
    }
    for name in ("CanonicalizationMethod", "SignatureMethod", "DigestMethod", "Transform"):
        for algorithm, why in algorithms.items():
            signature = etree.Element(f"{{{NS['ds']}}}Signature")
            signature.append(etree.Comment("no element"))
            etree.SubElement(signature, f"{{{NS['ds']}}}KeyInfo").set("Algorithm", "urn:whatever")
            method = etree.SubElement(signature, f"{{{NS['ds']}}}{name}")
            if algorithm is not None:
                method.set("Algorithm", algorithm)
            with pytest.raises(MetadataError) as refused:
                check_algorithms(signature)
            assert str(refused.value) == "signature_algorithm"
            start = f"the {name} of its signature is {quoted(algorithm)}, {why}: ask the federation"
            assert refused.value.told.startswith(start)


def test_a_document_that_must_be_signed_is_judged_by_the_stricter_form() -> None:
    signer = key_pair("federation")
    twice = signed(document(), signer).replace(b"<ds:KeyInfo>", b"<ds:Object/><ds:KeyInfo>")
    assert read(twice) == read(document())
    assert told(twice, signer)[0] == "element"
    code, why = told(document(), signer)
    assert code == "signature"
    assert why.startswith("METADATA_CERTIFICATE is set, and no signature covers the whole of it")
    assert told(signed(document(), key_pair("other")), signer)[1].startswith("METADATA_CERTIFICATE did not sign it")


def test_what_is_too_large_is_told_with_both_sides_and_where_to_get_a_smaller_one() -> None:
    remedy = "take the metadata of this one provider, such as its address at the federation's MDQ service"
    raw = document()
    assert read(raw + b" " * (1_048_576 - len(raw))) == read(raw)
    assert told(raw + b" " * (1_048_577 - len(raw))) == (
        "bytes",
        f"bytes: 1048577, at most 1048576: {remedy}",
    )
    deep = raw.replace(b"<SingleLog", b"<a>" * 40 + b"</a>" * 40 + b"<SingleLog", 1)
    assert told(deep) == ("depth", f"depth: more, at most 32: {remedy}")


def test_a_reason_without_a_remedy_of_its_own_leads_to_the_documents() -> None:
    assert MetadataError("other").told == "see docs/AUTH_CONFIGURATION.md, section SAML"
    assert MetadataError("role").told.startswith("it has no SAML 2.0 role")
    assert MetadataError("role", "told").told == "told"
    assert str(MetadataError("role")) == "role"


def test_our_own_metadata_changes_with_the_keys_and_not_with_the_calendar() -> None:
    written = write_sp(party())
    assert written.startswith(b"<?xml version='1.0' encoding='utf-8'?>")
    root = etree.fromstring(written)
    assert (root.get("validUntil"), root.get("cacheDuration")) == (None, None)
    uses = sorted(entry.get("use") for entry in root.iter(f"{{{MD}}}KeyDescriptor"))
    assert uses == ["encryption", "signing"]


def encrypted() -> str:
    key = load_pem_private_key(key_pair("sp").private_key.encode(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()


def test_our_own_keys_are_judged_too() -> None:
    sp = key_pair("sp")
    assert sp_key(sp.private_key, sp.certificate) == SpKey(sp.private_key, sp.certificate, ends(sp))
    for private, certificate, reason in (
        (pair_of(weak).private_key, pair_of(weak).certificate, "sp_key_unfit"),
        (pair_of(sound).private_key, pair_of(sound).certificate, "sp_key_unfit"),
        (sp.private_key, key_pair("other").certificate, "sp_key_and_certificate_differ"),
        (encrypted(), sp.certificate, "sp_key_unreadable"),
        ("x", sp.certificate, "sp_key_unreadable"),
        (sp.private_key, "x", "sp_key_unreadable"),
    ):
        with pytest.raises(MetadataError) as refused:
            sp_key(private, certificate)
        assert str(refused.value) == reason


def test_a_certificate_may_be_given_as_pem_or_on_one_line() -> None:
    pair = key_pair("sp")
    for given in (pair.certificate, "\n" + pair.certificate, pair.one_line, " ".join(pair.one_line)):
        assert certificate_pem(given) == pair.certificate
    with pytest.raises(ValueError, match=r"\Anot base64\Z"):
        certificate_pem(pair.one_line + "!")
