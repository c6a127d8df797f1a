"""A federation's metadata of any size: one entity out of a stream, with the signature of the whole."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import xmlsec
from lxml import etree

from service.auth.saml.document import MetadataError
from service.auth.saml.federation import Federation
from service.auth.saml.metadata import read_idp
from service.auth.saml.source import MetadataSource
from service.auth.saml.workers import Workers
from service.errors import ApiError
from tests.support.saml.metadata import MD, MetadataHost, document
from tests.support.saml.mint import ISSUER, signed
from tests.support.saml.provider import KeyPair, key_pair

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 26, tzinfo=UTC)
DS = "http://www.w3.org/2000/09/xmldsig#"
EC = "http://www.w3.org/2001/10/xml-exc-c14n#"


def entity(name: str, **changes: str) -> str:
    return document(entity_id=name, **changes).decode().replace('ID="_m"', "")


def aggregate(*inner: str, more: str = 'validUntil="2099-01-01T00:00:00Z"') -> bytes:
    names = (
        f'xmlns="{MD}" xmlns:md="{MD}" xmlns:xs="urn:xs" xmlns:zz="urn:zz" zz:b="1" zz:a="&lt;&#9;&quot;" xml:lang="en"'
    )
    text = "".join(inner) or entity(ISSUER)
    return (
        f'<EntitiesDescriptor {names} ID="_all" Name="f" {more}>\n  '
        '<Extensions><md:x xmlns:md="urn:other" md:y="&amp;">'
        f"a&gt;b &#13; <![CDATA[<&>]]><?pi some data?><!-- c --></md:x></Extensions>\n{text}</EntitiesDescriptor>"
    ).encode()


def taken(raw: bytes, signer: KeyPair | None = None, *, piece: int = 1000, entity_id: str = ISSUER) -> bytes:
    federation = Federation(entity_id, signer.certificate if signer else None)
    for start in range(0, len(raw), piece):
        federation.feed(raw[start : start + piece])
    federation.feed(b"", last=True)
    return federation.found()[0]


def reason(raw: bytes, signer: KeyPair | None = None) -> str:
    with pytest.raises(MetadataError) as refused:
        taken(raw, signer)
    return str(refused.value)


def signed_with(raw: bytes, pair: KeyPair, *, prefixes: str = "", curve: bool = False) -> bytes:
    """As ``mint.signed``, with namespaces that the canonical form has to keep, and any key."""
    constants = xmlsec.constants
    root = etree.fromstring(raw)
    xmlsec.tree.add_ids(root, ["ID"])
    method = constants.TransformEcdsaSha384 if curve else constants.TransformRsaSha512
    signature = xmlsec.template.create(root, constants.TransformExclC14N, method, ns="ds")
    root.insert(0, signature)
    reference = xmlsec.template.add_reference(signature, constants.TransformSha384, uri="#_all")
    xmlsec.template.add_transform(reference, constants.TransformEnveloped)
    transform = xmlsec.template.add_transform(reference, constants.TransformExclC14N)
    if prefixes:
        for parent in (transform, signature.find(f".//{{{DS}}}CanonicalizationMethod")):
            etree.SubElement(parent, f"{{{EC}}}InclusiveNamespaces", nsmap={"ec": EC}).set("PrefixList", prefixes)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(pair.private_key, constants.KeyDataFormatPem, None)
    context.sign(signature)
    return bytes(etree.tostring(root))


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_the_entity_that_is_taken_out_is_read_as_if_it_stood_alone(piece: int) -> None:
    raw = aggregate(entity("urn:a"), entity(ISSUER), entity("urn:b", sso="https://b.example/sso"))
    idp = read_idp(taken(raw, piece=piece), ISSUER, None, NOW)
    assert (idp.sso_url, list(idp.certificates)) == ("https://idp.example.org/sso", [key_pair("idp").certificate])
    assert read_idp(taken(raw, entity_id="urn:b"), "urn:b", None, NOW).sso_url == "https://b.example/sso"


def test_entities_may_stand_in_groups_which_end_for_all_that_is_in_them() -> None:
    ends = 'validUntil="2027-01-01T00:00:00Z"'
    group = f"<md:EntitiesDescriptor {ends}>{entity(ISSUER)}</md:EntitiesDescriptor>"
    group += '<md:EntitiesDescriptor validUntil="2020-01-01T00:00:00Z"/>'
    federation = Federation(ISSUER, None)
    federation.feed(aggregate(group), last=True)
    raw, around = federation.found()
    assert read_idp(raw, ISSUER, None, NOW, around).valid_until == datetime(2027, 1, 1, tzinfo=UTC)
    with pytest.raises(MetadataError, match="valid_until"):
        read_idp(raw, ISSUER, None, datetime(2028, 1, 1, tzinfo=UTC), around)


@pytest.mark.parametrize("prefixes", ["", "xs", "xs zz #default", "md"])
@pytest.mark.parametrize("curve", [False, True], ids=["rsa", "ecdsa"])
def test_the_signature_of_the_whole_is_verified_while_it_streams_by(prefixes: str, curve: bool) -> None:
    signer = key_pair("elliptic" if curve else "federation", curve=curve)
    raw = signed_with(aggregate(), signer, prefixes=prefixes, curve=curve)
    assert read_idp(taken(raw, signer), ISSUER, None, NOW)
    assert taken(raw.replace(b"\n", b"\r\n"), signer)  # XML reads the one like the other
    for old, new in (
        (b"idp.example.org/sso", b"idp.example.net/sso"),
        (b'Name="f"', b'Name="g"'),
        (b"some data", b"x"),
    ):
        assert reason(raw.replace(old, new), signer) == "signature"
    assert reason(raw.replace(b"</EntitiesDescriptor>", entity("urn:late").encode() + b"</EntitiesDescriptor>"), signer)
    assert reason(raw, key_pair("mallory")) == "signature"


def test_what_python3_saml_signed_is_verified_too() -> None:
    signer = key_pair("federation")
    assert read_idp(taken(signed(aggregate(), signer), signer), ISSUER, None, NOW)


def test_what_is_digested_is_what_libxml2_would_write() -> None:
    """Apart from the signature: an independent implementation of the canonical form agrees, byte for byte."""
    signer = key_pair("federation")
    raw = signed_with(aggregate(entity(ISSUER), entity("urn:b")), signer)
    root = etree.fromstring(raw)
    signature = root.find(f"{{{DS}}}Signature")
    assert signature is not None
    value = "".join(signature.findtext(f".//{{{DS}}}DigestValue", "").split())
    root.remove(signature)
    written = etree.tostring(root, method="c14n", exclusive=True, with_comments=False)
    assert base64.b64encode(hashlib.sha384(written).digest()).decode() == value
    assert taken(raw, signer)


def moved(raw: bytes) -> bytes:
    """The signature, good as it is, behind the entities."""
    begin, end = raw.index(b"<ds:Signature"), raw.index(b"</ds:Signature>") + len(b"</ds:Signature>")
    return raw[:begin] + raw[end:].replace(b"</EntitiesDescriptor>", raw[begin:end] + b"</EntitiesDescriptor>")


def test_nothing_else_passes_for_a_signature_of_the_whole() -> None:
    signer = key_pair("federation")
    good = signed_with(aggregate(), signer)
    inner = signed(document(), signer).decode()
    for raw in (
        aggregate(),
        aggregate(inner),
        moved(good),
        good.replace(b'URI="#_all"', b'URI=""'),
        good.replace(b'URI="#_all"', b'URI="#_m"'),
        good.replace(b'ID="_all"', b'ID="_other"'),
        b'<EntitiesDescriptor xmlns="%s" ID="_x">%s</EntitiesDescriptor>' % (MD.encode(), good),
    ):
        assert reason(raw, signer) in ("signature", "reference", "root")
    old = good.replace(b"xmldsig-more#rsa-sha512", b"xmldsig-more#rsa-sha1")
    assert reason(old, signer) == "signature_algorithm"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "xml"),
        (aggregate() + b"<x/>", "xml"),
        (aggregate()[:-5], "xml"),
        (b"<html/>", "root"),
        (document(), "bytes"),
        (aggregate(entity("urn:other")), "entity_id"),
        (aggregate(entity(ISSUER), entity(ISSUER)), "entity_id"),
        (aggregate(f"<Extensions>{entity(ISSUER)}</Extensions>"), "entity_id"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + aggregate(), "doctype"),
        (aggregate("<a>" * 100), "depth"),
        (aggregate(more='validUntil="soon"'), "valid_until"),
        (aggregate(entity(ISSUER, more=f'x="{"y" * 1_100_000}"')), "bytes"),
        (b'<EntitiesDescriptor xmlns="%s" x="' % MD.encode() + b"y" * 500_000, "bytes"),
        (b'<?xml version="1.0" encoding="utf-7"?>' + aggregate(), "encoding"),
    ],
)
def test_what_is_not_as_it_must_be_is_refused_with_a_reason(raw: bytes, expected: str) -> None:
    assert reason(raw) == expected


def parts(megabytes: int) -> Iterator[bytes]:
    """A federation in which our provider is the last."""
    yield aggregate("<!--cut-->").partition(b"<!--cut-->")[0]
    block = "".join(entity(f"urn:{n}") for n in range(300)).encode()
    for _ in range(megabytes * 1_000_000 // len(block) + 1):
        yield block
    yield entity(ISSUER).encode() + b"</EntitiesDescriptor>"


def test_memory_does_not_grow_with_the_document_and_neither_does_the_work_of_a_piece() -> None:
    federation, begun = Federation(ISSUER, None), time.process_time()
    tracemalloc.start()
    try:
        for piece in parts(3):
            federation.feed(piece)
        federation.feed(b"", last=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read_idp(federation.found()[0], ISSUER, None, NOW)
    assert peak < 3_000_000
    assert time.process_time() - begun < 60


@pytest.mark.parametrize("by_file", [True, False])
async def test_a_source_takes_its_provider_out_of_a_federation(
    tmp_path: Path, client: httpx.AsyncClient, by_file: bool
) -> None:
    signer = key_pair("federation")
    whole = signed_with(aggregate(*(entity(f"urn:{n}") for n in range(700)), entity(ISSUER)), signer)
    assert len(whole) > 1_048_576
    file = tmp_path / "federation.xml"
    file.write_bytes(whole)
    with MetadataHost() as host:
        host.body = whole
        origin = file if by_file else host.metadata_url
        source = MetadataSource("x", ISSUER, origin, signer.certificate, client=client, workers=Workers())
        await source.refresh()
        assert (await source.current()).sso_url == "https://idp.example.org/sso"
        changed = whole.replace(b"urn:7<", b"urn:8<").replace(b'"urn:7"', b'"urn:9"')
        file.write_bytes(changed)
        host.body = changed
        await source.refresh()
        assert (source.failure, source.state) == ("signature", "stale")


async def test_a_sign_in_does_not_wait_for_a_federation(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.auth.saml.source._PATIENCE", 0.2)
    with MetadataHost() as host:
        host.body = aggregate(*(entity(f"urn:{n}") for n in range(1_500)), entity(ISSUER))
        source = MetadataSource("x", ISSUER, host.metadata_url, None, client=client, workers=Slow())
        with pytest.raises(ApiError, match="SYS_003"):
            await source.current()
        await source.refresh()  # goes on behind it
        assert await source.current()


class Slow(Workers):
    async def run(self, work, *args, **kwargs):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.02)
        return await super().run(work, *args, **kwargs)
