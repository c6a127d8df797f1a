"""A document in pieces: its encoding, its canonical form, and the limits that hold while it streams by."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from lxml import etree

from service.auth.saml.canonical import XML, Canonical
from service.auth.saml.document import MetadataError
from service.auth.saml.encoding import EncodingError, Utf8, to_utf8
from service.auth.saml.federation import Federation, is_genuine
from service.auth.saml.grammar import EC, MD, METADATA
from tests.support.saml.mint import ISSUER, NS, good, signed
from tests.support.saml.provider import key_pair

TEXT = "<a>\u00e4\U0001f600</a>"


def head(encoding: str, quote: str = '"') -> str:
    return f"<?xml version='1.0' encoding={quote}{encoding}{quote} ?>"


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32-le"),
        TEXT.encode("utf-32-be"),
        (head("utf-8") + TEXT).encode(),
        (head("utf-8", "'") + TEXT).encode(),
        (head("UTF-16") + TEXT).encode(),
        (head("utf-32") + TEXT).encode(),
        (head("utf-16") + TEXT).encode("utf-16"),
        (head("GB18030") + TEXT).encode("gb18030"),
    ],
)
@pytest.mark.parametrize("piece", [1, 5, 1 << 16])
def test_a_document_in_any_encoding_comes_out_as_utf_8_however_it_is_cut(raw: bytes, piece: int) -> None:
    assert to_utf8(raw) == TEXT.encode()
    read = Utf8()
    parts = [read.feed(raw[start : start + piece]) for start in range(0, len(raw), piece)]
    assert b"".join(parts) + read.feed(b"", last=True) == TEXT.encode()


def test_the_first_kilobyte_decides_and_the_rest_follows_at_once() -> None:
    read = Utf8()
    first = (head("iso-8859-1") + "<a>\u00e4").encode("iso-8859-1").ljust(1023, b"x")
    assert read.feed(first) == b""
    given = read.feed(b"y")
    assert given == first.partition(b"?>")[2].decode("iso-8859-1").encode() + b"y"
    assert read.feed("\u00e4".encode("iso-8859-1")) == "\u00e4".encode()
    assert read.feed(b"", last=True) == b""
    late = b"<?xml version='1.0'" + b" " * 1024 + b"encoding='iso-8859-1'?><a>\xe4</a>"
    with pytest.raises(EncodingError, match=r"\Autf-8\Z"):
        to_utf8(late)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"<a>\xff</a>", "utf-8"),
        (head("utf-7").encode() + b"<a/>", "utf-7"),
        (head("hex").encode() + b"<a/>", "hex"),
        (head("x-nothing").encode() + b"<a/>", "x-nothing"),
        (head("us-ascii").encode() + b"<a>\xff</a>", "ascii"),
        (codecs.BOM_UTF16_LE + b"<\x00a\x00\x00\xd8", "utf-16"),
        (codecs.BOM_UTF8 + b"\xff", "utf-8-sig"),
    ],
)
def test_what_is_not_text_in_its_encoding_is_refused_by_name(raw: bytes, named: str) -> None:
    with pytest.raises(EncodingError) as refused:
        to_utf8(raw)
    assert str(refused.value) == named


def test_a_piece_that_is_no_text_is_refused_wherever_it_comes() -> None:
    read = Utf8()
    read.feed(b"<a>" + b"x" * 2000)
    with pytest.raises(EncodingError):
        read.feed(b"\xff")
    cut = Utf8()
    assert cut.feed(b"x" * 2000 + b"\xc3")
    with pytest.raises(EncodingError):
        cut.feed(b"", last=True)


def written(inclusive: frozenset[str], *calls: Callable[[Canonical], Any]) -> str:
    parts: list[str] = []
    form = Canonical(parts.append, inclusive)
    for call in calls:
        call(form)
    return "".join(parts)


SCOPE = {"": "urn:d", "b": "urn:b", "a": "urn:z", "xml": XML, "u": "urn:u"}


@pytest.mark.parametrize(
    ("inclusive", "call", "expected"),
    [
        ((), lambda form: form.start("x", [], SCOPE), '<x xmlns="urn:d">'),
        ((), lambda form: form.start("x", [], {**SCOPE, "": ""}), "<x>"),
        ((), lambda form: form.start("b:x", [], SCOPE), '<b:x xmlns:b="urn:b">'),
        ((), lambda form: form.start("b:x", [("xml:id", "1")], SCOPE), '<b:x xmlns:b="urn:b" xml:id="1">'),
        (
            (),
            lambda form: form.start("b:x", [("a:q", "1"), ("z", "2"), ("b:r", "3"), ("c", "4")], SCOPE),
            '<b:x xmlns:a="urn:z" xmlns:b="urn:b" c="4" z="2" b:r="3" a:q="1">',
        ),
        (("u", "none"), lambda form: form.start("b:x", [], SCOPE), '<b:x xmlns:b="urn:b" xmlns:u="urn:u">'),
        (("xml",), lambda form: form.start("b:x", [], SCOPE), '<b:x xmlns:b="urn:b">'),
        (("",), lambda form: form.start("b:x", [], SCOPE), '<b:x xmlns="urn:d" xmlns:b="urn:b">'),
        (
            (),
            lambda form: form.start("b:x", [("q", '&<>"\t\n\r')], {"b": '&<>"'}),
            '<b:x xmlns:b="&amp;&lt;>&quot;" q="&amp;&lt;>&quot;&#x9;&#xA;&#xD;">',
        ),
        ((), lambda form: form.text('&<>"\t\n\r'), '&amp;&lt;&gt;"\t\n&#xD;'),
        ((), lambda form: form.instruction("a", ""), "<?a?>"),
        ((), lambda form: form.instruction("a", "b c"), "<?a b c?>"),
    ],
)
def test_the_canonical_form(inclusive: tuple[str, ...], call: Callable[[Canonical], Any], expected: str) -> None:
    assert written(frozenset(inclusive), call) == expected


def test_a_namespace_is_written_where_it_changes_and_forgotten_with_its_element() -> None:
    other = {**SCOPE, "b": "urn:c"}
    assert (
        written(
            frozenset(),
            lambda form: form.start("b:x", [], SCOPE),
            lambda form: form.start("b:y", [], SCOPE),
            lambda form: form.start("b:z", [], other),
            lambda form: form.end("b:z"),
            lambda form: form.end("b:y"),
            lambda form: form.start("b:w", [], other),
        )
        == '<b:x xmlns:b="urn:b"><b:y><b:z xmlns:b="urn:c"></b:z></b:y><b:w xmlns:b="urn:c">'
    )
    form = Canonical(lambda _: None)
    assert not form.open
    form.start("b:x", [], SCOPE)
    assert form.open
    form.end("b:x")
    assert not form.open
    with pytest.raises(KeyError):
        form.start("none:x", [], SCOPE)


# --- a federation ----------------------------------------------------------------------------------------------------


def group(inner: str, more: str = "", name: str = "EntitiesDescriptor") -> bytes:
    return f'<{name} xmlns="{MD}" ID="_all" {more}>{inner}</{name}>'.encode()


def entity(name: str = ISSUER, inner: str = "") -> str:
    return f'<EntityDescriptor entityID="{name}">{inner}</EntityDescriptor>'


def taken(raw: bytes, signer: str | None = None, piece: int = 1 << 20) -> tuple[bytes, tuple[datetime, ...]]:
    federation = Federation(ISSUER, signer)
    for start in range(0, len(raw), piece):
        federation.feed(raw[start : start + piece])
    federation.feed(b"", last=True)
    return federation.found()


def told(raw: bytes, signer: str | None = None) -> tuple[str, str]:
    with pytest.raises(MetadataError) as refused:
        taken(raw, signer)
    return str(refused.value), refused.value.told


WITHIN = '<x:y xmlns:x="urn:x" b="&amp;" a="1">t&lt;<!-- c --><?p d?></x:y>'


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_the_entity_comes_out_in_canonical_form_with_all_that_is_in_scope(piece: int) -> None:
    raw = group(f'{entity("urn:a", WITHIN)}{entity(ISSUER, WITHIN)}{entity("urn:b")}', 'xmlns:q="urn:q"')
    expected = (
        f'<EntityDescriptor xmlns="{MD}" xmlns:q="urn:q" entityID="{ISSUER}">'
        '<x:y xmlns:x="urn:x" a="1" b="&amp;">t&lt;<?p d?></x:y></EntityDescriptor>'
    )
    found, around = taken(raw, piece=piece)
    assert (found.decode(), around) == (expected, ())


def test_the_ends_of_all_that_stands_around_it_count_and_no_others() -> None:
    def until(year: int) -> str:
        return f'validUntil="{year}-01-01T00:00:00Z"'

    inner = f"<EntitiesDescriptor {until(2031)}>{entity()}</EntitiesDescriptor>"
    inner += f"<EntitiesDescriptor {until(2032)}>{entity('urn:x')}</EntitiesDescriptor>"
    raw = group(f"<EntitiesDescriptor>{inner}</EntitiesDescriptor>", until(2030))
    assert taken(raw)[1] == (datetime(2030, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC))


DEEP = 64


@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        (group(entity("urn:x")), "entity_id", f'ISSUER is "{ISSUER}", compared to the letter, and it is not in there'),
        (
            group(entity() * 2),
            "entity_id",
            f'ISSUER is "{ISSUER}", compared to the letter, and that one is in there more than once',
        ),
        (group(f"<x>{entity()}</x>"), "entity_id", None),
        (group(f'<x:EntityDescriptor xmlns:x="urn:x" entityID="{ISSUER}"/>'), "entity_id", None),
        (group("", name="EntityDescriptor"), "bytes", "bytes: more, at most 1048576 for one entity"),
        (b"<a/>", "root", None),
        (f'<x:EntitiesDescriptor xmlns:x="{MD}x"/>'.encode(), "root", None),
        (b"<x:a/>", "xml", None),
        (group("<x:a/>"), "xml", None),
        (group("<a>"), "xml", None),
        (b"<!DOCTYPE a>" + group(entity()), "doctype", None),
        (group(entity(), 'validUntil="soon"'), "valid_until", 'its validUntil is "soon", which is no time'),
        (
            group(entity(), "\u00e4=''").decode().encode("latin-1"),
            "encoding",
            'it is not text in the encoding that it says, "utf-8"',
        ),
        (
            group("<a>" * DEEP + "</a>" * DEEP + entity()),
            "depth",
            f"it is nested deeper than {DEEP} levels",
        ),
        (
            group(entity(ISSUER, "x" * METADATA.max_bytes)),
            "bytes",
            f"one entity or signature has more than {METADATA.max_bytes} characters",
        ),
    ],
)
def test_what_a_federation_is_refused_for(raw: bytes, code: str, said: str | None) -> None:
    found = told(raw)
    assert found == (code, found[1] if said is None else said)


def test_a_federation_may_be_as_deep_as_that() -> None:
    assert taken(group("<a>" * (DEEP - 1) + "</a>" * (DEEP - 1) + entity()))


def test_an_entity_may_be_as_large_as_one_that_stands_alone() -> None:
    spare = METADATA.max_bytes - len(taken(group(entity(ISSUER, "x")))[0]) + 1
    assert len(taken(group(entity(ISSUER, "x" * spare)))[0]) == METADATA.max_bytes
    assert told(group(entity(ISSUER, "x" * (spare + 1))))[0] == "bytes"


def test_a_federation_is_bounded_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = group(entity())
    monkeypatch.setattr("service.auth.saml.federation.MAX_BYTES", len(raw))
    assert taken(raw)
    assert told(raw + b" ") == ("bytes", f"it has more than {len(raw)} bytes: ask the federation's MDQ service")


def test_one_piece_of_markup_is_bounded_however_it_comes() -> None:
    federation = Federation(ISSUER, None)
    federation.feed(f'<EntitiesDescriptor xmlns="{MD}" x="'.encode() + b"y" * 2000)
    federation.feed(b"y" * ((1 << 18) - 2000 - len(f'<EntitiesDescriptor xmlns="{MD}" x="')))
    with pytest.raises(MetadataError) as refused:
        federation.feed(b"y")
    assert (str(refused.value), refused.value.told) == (
        "bytes",
        f"one piece of its markup has more than {1 << 18} bytes",
    )


def whole(inner: str = "", before: str = "") -> bytes:
    """A federation that is signed as one, with something before its signature."""
    raw = signed(group(inner or entity()), key_pair("federation"))
    return raw.replace(b"<ds:Signature", before.encode() + b"<ds:Signature", 1)


FEDERATION = key_pair("federation").certificate


def test_where_a_signature_is_asked_for_it_stands_first_and_once() -> None:
    missing = "METADATA_CERTIFICATE is set, and no signature covers the whole of it"
    assert taken(whole(), FEDERATION)[0].endswith(b"</EntityDescriptor>")
    assert told(group(entity()), FEDERATION) == ("signature", missing)
    assert told(whole(before="<Extensions/>"), FEDERATION) == ("signature", missing)
    assert told(group(""), FEDERATION)[0] == "signature"
    assert told(whole(before="x"), FEDERATION)[0] == "signature"
    second = whole()
    begin, end = second.index(b"<ds:Signature"), second.index(b"</ds:Signature>") + 15
    assert told(second[:end] + second[begin:end] + second[end:], FEDERATION)[0] == "signature"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'URI="#_all"', b'URI=""'),
        (b'URI="#_all"', b'URI="#_other"'),
        (b'ID="_all"', b'ID="_other"'),
        (b'ID="_all"', b""),
        (b"</ds:DigestValue>", b"A</ds:DigestValue>"),
        (b"<ds:DigestValue>", b"<ds:DigestValue>A"),
        (b"</ds:SignatureValue>", b"!</ds:SignatureValue>"),
        (b"<ds:SignatureValue>", b"<ds:SignatureValue>AAAA"),
        (b'<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>', b""),
        (f'<ds:Transform Algorithm="{EC}"/>'.encode(), b""),
    ],
)
def test_a_signature_that_was_changed_is_none(old: bytes, new: bytes) -> None:
    raw = whole()
    assert old in raw
    assert told(raw.replace(old, new), FEDERATION)[0] in ("signature", "reference")


def test_a_remark_or_an_instruction_within_what_is_signed_is_covered_as_canonical_xml_says() -> None:
    raw = signed(group(f"<?p q?>{entity()}<!-- remark -->"), key_pair("federation"))
    assert taken(raw, FEDERATION)
    assert taken(raw.replace(b"<!-- remark -->", b"<!-- other -->"), FEDERATION)
    assert told(raw.replace(b"<?p q?>", b"<?p r?>"), FEDERATION)[0] == "signature"
    assert told(raw.replace(b"<?p q?>", b""), FEDERATION)[0] == "signature"
    assert taken(b"<?before it?>" + raw + b"<?after it?>", FEDERATION)


def test_text_before_a_signature_is_covered_and_bounded() -> None:
    spaced = signed(group(f"  \n {entity()}"), key_pair("federation"))
    assert taken(spaced, FEDERATION)
    assert told(spaced.replace(b"  \n ", b"  \n"), FEDERATION)[0] == "signature"
    most = 1 << 17
    assert taken(signed(group(" " * most + entity()), key_pair("federation")), FEDERATION)
    with pytest.raises(MetadataError, match=r"\Asignature\Z"):
        Federation(ISSUER, FEDERATION).feed(group(" " * (most + 1)))


def test_a_signature_over_nothing_is_none_and_a_list_without_prefixes_has_none() -> None:
    raw = whole()
    begin, end = raw.index(b"<ds:Reference"), raw.index(b"</ds:Reference>") + len(b"</ds:Reference>")
    assert told(raw[:begin] + raw[end:], FEDERATION)[0] == "signature"
    empty = f'<ec:InclusiveNamespaces xmlns:ec="{EC}"/></ds:CanonicalizationMethod>'.encode()
    method = f'<ds:CanonicalizationMethod Algorithm="{EC}"'.encode()
    assert method + b"/>" in raw
    assert told(raw.replace(method + b"/>", method + b">" + empty), FEDERATION)[0] == "signature"


def signature(change: Callable[[Any], object] = lambda _: None, curve: bool = False) -> Any:
    root = etree.fromstring(signed(etree.tostring(good().find("saml:Assertion", NS), with_tail=False), key_pair("idp")))
    found = root.find("ds:Signature", NS)
    change(found)
    return found


def without(path: str) -> Callable[[Any], None]:
    def change(root: Any) -> None:
        for found in root.findall(path, NS):
            found.getparent().remove(found)

    return change


def set_text(path: str, text: str) -> Callable[[Any], None]:
    def change(root: Any) -> None:
        root.find(path, NS).text = text

    return change


def set_method(algorithm: str) -> Callable[[Any], None]:
    def change(root: Any) -> None:
        root.find("ds:SignedInfo/ds:SignatureMethod", NS).set("Algorithm", algorithm)

    return change


MORE = "http://www.w3.org/2001/04/xmldsig-more#"


@pytest.mark.parametrize(
    ("change", "pair", "good"),
    [
        (lambda _: None, "idp", True),
        (lambda _: None, "other", False),
        (without("ds:SignedInfo"), "idp", False),
        (without("ds:SignedInfo/ds:SignatureMethod"), "idp", False),
        (without("ds:SignedInfo/ds:CanonicalizationMethod"), "idp", False),
        (without("ds:SignatureValue"), "idp", False),
        (set_text("ds:SignatureValue", "!"), "idp", False),
        (set_text("ds:SignatureValue", ""), "idp", False),
        (set_method(f"{MORE}ecdsa-sha256"), "idp", False),
        (set_method(f"{MORE}rsa-sha512"), "idp", False),
    ],
)
def test_a_signature_is_genuine_by_the_key_of_the_certificate(
    change: Callable[[Any], None], pair: str, good: bool
) -> None:
    assert is_genuine(signature(change), key_pair(pair).certificate) is good


def test_a_certificate_with_a_curve_verifies_no_rsa() -> None:
    assert is_genuine(signature(), key_pair("elliptic", curve=True).certificate) is False
