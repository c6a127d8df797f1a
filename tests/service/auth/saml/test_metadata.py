"""Metadata of a provider: what is believed of it, and how its state is told before it becomes an outage."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from service.auth import errors
from service.auth.saml import messages
from service.auth.saml.metadata import MetadataError, certificate_pem, read_idp, sp_key, write_sp
from service.auth.saml.source import COOLDOWN, HARD_AGE, MetadataSource
from service.auth.saml.workers import Workers
from service.errors import ApiError
from tests.support.saml.metadata import MD, MetadataHost, document, key_descriptor
from tests.support.saml.mint import ISSUER, at, party, signed, utc_now
from tests.support.saml.provider import KeyPair, key_pair

pytestmark = pytest.mark.anyio


def read(raw: bytes, signer: KeyPair | None = None) -> list[str]:
    """The certificates it has."""
    return list(read_idp(raw, ISSUER, signer.certificate if signer else None, utc_now()).certificates)


def reason(raw: bytes, signer: KeyPair | None = None) -> str:
    with pytest.raises(MetadataError) as refused:
        read(raw, signer)
    return str(refused.value)


def test_it_tells_addresses_and_every_signing_certificate() -> None:
    old, new, encryption = key_pair("idp"), key_pair("idp-next"), key_pair("sp")
    keys = key_descriptor(old) + key_descriptor(new, "") + key_descriptor(encryption, 'use="encryption"')
    idp = read_idp(b"<!-- made by hand -->" + document(keys=keys), ISSUER, None, utc_now())
    assert idp.sso_url == "https://idp.example.org/sso"
    assert (idp.slo_url, idp.slo_response_url) == ("https://idp.example.org/slo", "https://idp.example.org/slo-done")
    assert list(idp.certificates) == [old.certificate, new.certificate]


def test_what_products_write_around_it_is_no_hindrance() -> None:
    """Methods of encryption as Shibboleth lists them, another protocol's role as Entra ID and AD FS do, extensions."""
    methods = (
        '<EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#rsa-oaep"><ds:DigestMethod '
        'xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"/>'
        '<x:MGF xmlns:x="http://www.w3.org/2009/xmlenc11#" Algorithm="http://www.w3.org/2009/xmlenc11#mgf1sha1"/>'
        '</EncryptionMethod><EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#tripledes-cbc"/>'
    )
    keys = key_descriptor(key_pair("sp"), 'use="encryption"').replace("</KeyDescriptor>", methods + "</KeyDescriptor>")
    federation = (
        '<RoleDescriptor xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706" xsi:type="fed:SecurityTokenServiceType" '
        'protocolSupportEnumeration="http://docs.oasis-open.org/wsfed/federation/200706">'
        f'{key_descriptor(key_pair("mallory"))}<fed:ClaimTypesOffered><auth:ClaimType '
        'xmlns:auth="http://docs.oasis-open.org/wsfed/authorization/200706" Uri="urn:x"/></fed:ClaimTypesOffered>'
        "</RoleDescriptor>"
    )
    extensions = (
        '<Extensions><alg:SigningMethod xmlns:alg="urn:oasis:names:tc:SAML:metadata:algsupport" '
        'Algorithm="http://www.w3.org/2000/09/xmldsig#rsa-sha1"/></Extensions>'
    )
    raw = document(keys=keys + key_descriptor(key_pair("idp"))).replace(
        b"<IDPSSODescriptor", (extensions + federation).encode() + b"<IDPSSODescriptor"
    )
    assert read(raw) == [key_pair("idp").certificate]
    signer = key_pair("federation")
    assert read(signed(raw, signer), signer) == [key_pair("idp").certificate]


def test_of_several_entities_the_configured_one_counts() -> None:
    other = document(key_pair("mallory"), entity_id=ISSUER + "/").replace(b'ID="_m"', b"")
    both = b'<EntitiesDescriptor xmlns="%s">%s%s</EntitiesDescriptor>' % (MD.encode(), other, document())
    assert read(both) == [key_pair("idp").certificate]
    assert reason(b'<EntitiesDescriptor xmlns="%s">%s</EntitiesDescriptor>' % (MD.encode(), other)) == "entity_id"


def test_where_a_certificate_is_configured_the_document_must_be_signed_with_it() -> None:
    signer, good = key_pair("federation"), document()
    assert read(signed(good, signer), signer)
    assert reason(good, signer) == "signature"
    assert reason(signed(good, key_pair("mallory")), signer) == "signature"
    changed = signed(good, signer).replace(b"idp.example.org/sso", b"idp.example.net/sso")
    assert reason(changed, signer) == "signature"
    # A good signature over one entity says nothing about the rest of the document it stands in.
    evil = document(key_pair("mallory")).replace(b'ID="_m"', b'ID="_evil"')
    inner = signed(document(entity_id="urn:other"), signer)
    wrapped = b'<EntitiesDescriptor ID="_all" xmlns="%s">%s%s</EntitiesDescriptor>' % (MD.encode(), inner, evil)
    assert reason(wrapped, signer) == "signature"


def test_its_end_is_read_with_the_difference_that_clocks_may_have() -> None:
    assert read(document(more=f'validUntil="{at(seconds=-50)}"'))
    assert reason(document(more=f'validUntil="{at(seconds=-70)}"')) == "valid_until"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "xml"),
        (b"<html/>", "root"),
        (document(entity_id=ISSUER + "x"), "entity_id"),
        (document(more='validUntil="2020-01-01T00:00:00Z"'), "valid_until"),
        (document(more='validUntil="soon"'), "valid_until"),
        (document(sso="http://idp.example.org/sso"), "address"),
        (document(sso="javascript:alert(1)"), "address"),
        (document(keys="<KeyDescriptor/>"), "no_usable_certificate"),
        (document().replace(b"HTTP-Redirect", b"HTTP-POST"), "no_redirect_sign_in"),
        (document().replace(b"SAML:2.0:protocol", b"SAML:1.1:protocol"), "role"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + document(), "doctype"),
        (document() + b" " * 1_100_000, "bytes"),
        (document().replace(b"<SingleLog", b"<a>" * 40 + b"</a>" * 40 + b"<SingleLog"), "depth"),
    ],
)
def test_what_is_not_as_it_must_be_is_refused_with_a_reason(raw: bytes, expected: str) -> None:
    assert reason(raw) == expected


def test_one_unusable_certificate_costs_no_other() -> None:
    broken = key_descriptor(key_pair("idp")).replace("MII", "XXX")
    assert read(document(keys=broken + key_descriptor(key_pair("idp-next")))) == [key_pair("idp-next").certificate]


def test_ours_publishes_every_key_that_a_provider_may_meet() -> None:
    old, new = key_pair("sp"), key_pair("sp-next")
    both = party(sp_keys=tuple(sp_key(pair.private_key, pair.certificate) for pair in (old, new)))
    written = "".join(write_sp(both).decode().split())
    assert written.count(old.one_line) >= 2  # it signs, and may be encrypted to
    assert written.count(new.one_line) >= 2
    url, _ = messages.sign_in_url(both, "relay")
    assert "Signature=" in url


def test_a_key_and_a_certificate_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MetadataError, match="differ"):
        sp_key(key_pair("sp").private_key, key_pair("sp-next").certificate)
    with pytest.raises(MetadataError, match="unreadable"):
        sp_key("x", "y")
    assert certificate_pem(key_pair("sp").one_line) == certificate_pem(key_pair("sp").certificate)
    with pytest.raises(ValueError, match="base64"):
        certificate_pem("no certificate")


@pytest.fixture
def host() -> Iterator[MetadataHost]:
    with MetadataHost() as running:
        yield running


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.time - 1000)


def source_of(origin: str | Path, client: httpx.AsyncClient, clock: Clock) -> MetadataSource:
    return MetadataSource("x", ISSUER, origin, None, client=client, workers=Workers(), clock=clock, now=clock.now)


async def test_the_last_good_one_serves_while_the_provider_is_down_but_not_for_ever(
    host: MetadataHost, client: httpx.AsyncClient
) -> None:
    clock = Clock()
    source = source_of(host.metadata_url, client, clock)
    assert source.state == "unavailable"
    first = await source.current()
    assert source.state == "ok"
    for status, body in ((500, b""), (302, b""), (200, b"<html/>"), (200, document(entity_id="urn:other"))):
        host.status, host.body = status, body
        await source.refresh()
        assert source.state == "stale"
        assert await source.current() is first
    clock.time += HARD_AGE
    with pytest.raises(ApiError) as refused:
        await source.current()
    # What answered last was metadata, of another entity.
    assert (refused.value.error, refused.value.reason) == (errors.KEYS_UNUSABLE, "entity_id")
    assert source.state == "unavailable"
    host.status = 500
    clock.time += COOLDOWN
    with pytest.raises(ApiError) as refused:
        await source.current()
    assert (refused.value.error, refused.value.reason) == (errors.KEYS_DOWN, "status_500")
    host.status, host.body = 200, document()
    clock.time += COOLDOWN
    assert (await source.current()).certificates == first.certificates


async def test_a_compressed_document_is_refused_before_it_grows(host: MetadataHost, client: httpx.AsyncClient) -> None:
    host.body = b" " * 20_000_000
    for _ in range(3):  # encodings can be stacked: each step makes a thousand times as much
        host.body = gzip.compress(host.body)
    host.headers = {"Content-Encoding": "gzip, gzip, gzip"}
    source = source_of(host.metadata_url, client, Clock())
    await source.refresh()
    assert source.failure == "compressed"


async def test_a_certificate_may_change_twice_within_the_cooldown(
    host: MetadataHost, client: httpx.AsyncClient
) -> None:
    source = source_of(host.metadata_url, client, Clock())
    for name in ("idp-next", "idp-third"):
        known = await source.current()
        host.body = document(key_pair(name))
        # All that come meanwhile wait for the one fetch, and learn what it learned.
        assert await asyncio.gather(*[source.changed(known) for _ in range(20)]) == [True] * 20
    assert host.fetches == 3


async def test_unknown_signatures_cause_few_fetches_at_once_and_one_in_a_while(
    host: MetadataHost, client: httpx.AsyncClient
) -> None:
    clock = Clock()
    source = source_of(host.metadata_url, client, clock)
    known = await source.current()
    for _ in range(50):
        assert not await source.changed(known)
    assert host.fetches == 1 + 4
    for _ in range(120):
        clock.time += COOLDOWN / 4
        assert not await source.changed(known)
    assert host.fetches <= 1 + 4 + 30  # one in each cooldown


async def test_a_file_is_read_again_too(tmp_path: Path, client: httpx.AsyncClient) -> None:
    file, clock = tmp_path / "metadata.xml", Clock()
    source = source_of(file, client, clock)
    with pytest.raises(ApiError):
        await source.current()
    file.write_bytes(document())
    await source.refresh()
    known = await source.current()
    file.write_bytes(document(key_pair("idp"), key_pair("idp-next")))
    assert await source.changed(known)


async def test_a_certificate_that_ends_within_30_days_is_a_warning_and_shows(
    host: MetadataHost, client: httpx.AsyncClient
) -> None:
    clock = Clock()
    source = source_of(host.metadata_url, client, clock)
    for pairs, expected in (
        ((key_pair("far", days=32),), []),
        ((key_pair("far", days=32), key_pair("soon", days=29)), [("warning", 28)]),
        ((key_pair("over", days=0),), [("warning", -1)]),
    ):
        host.body = document(*pairs)
        with capture_logs() as logs:
            await source.refresh()
        told = [(e["log_level"], e["days"]) for e in logs if e["event"] == "saml_certificate_expires"]
        assert told == expected
        assert source.state == ("expiring" if expected else "ok")
        assert await source.current()


def test_the_sp_secret_is_a_json_list() -> None:
    from service.auth.saml.sign_in import read_sp_keys

    pair = {"private_key": key_pair("sp").private_key, "certificate": key_pair("sp").certificate}
    assert len(read_sp_keys(json.dumps([pair, pair]))) == 2
    for text in ("", "{}", "[]", "[1]", json.dumps([pair] * 3), json.dumps([{"private_key": "x"}]), "[" * 100_000):
        with pytest.raises(MetadataError):
            read_sp_keys(text)
