"""What whoever can send us something, or stands where a provider should, can make us compute before it is believed.

Each generator draws the shapes that its limits admit, towards those limits; the promise is in processor time, with room
for a slow machine. ``UNTRUSTED_WORK_SECONDS`` lets each of them run for longer than a part of a second.
"""

from __future__ import annotations

import base64
import json
import os
import random
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

import pytest
from jose import jwk

from service.auth.providers.fetch import MAX_BYTES
from service.auth.providers.presets import PRESETS
from service.auth.saml.federation import Federation
from service.auth.saml.grammar import EC, METADATA
from service.auth.saml.messages import MAX_QUERY, read_logout
from service.auth.saml.metadata import MetadataError, read_idp
from service.auth.tokens.key_set import key_for, reasons, usable_keys
from service.auth.tokens.unverified import MAX_TOKEN_BYTES, UnverifiedToken
from service.errors import ApiError
from service.strict import json_object
from tests.support.idp.issuer import b64
from tests.support.saml.metadata import MD, key_descriptor
from tests.support.saml.mint import ISSUER, NS, SLS, at, party, signed, utc_now
from tests.support.saml.provider import KeyPair, key_pair

BUDGET = float(os.environ.get("UNTRUSTED_WORK_SECONDS", "0.2"))
PROMISED, MARGIN = 0.1, 3  # seconds of processor time; how much slower a busy machine may be


def dearest(make: Callable[[random.Random], bytes], judge: Callable[[bytes], object]) -> float:
    """The most processor time that a document of a generator took."""
    begun, seed, most = time.monotonic(), 0, 0.0
    while seed < 5 or time.monotonic() - begun < BUDGET:
        seed += 1
        raw = make(random.Random(seed))  # noqa: S311
        before = time.process_time()
        with suppress(ApiError, MetadataError, ValueError, RecursionError):
            judge(raw)
        most = max(most, time.process_time() - before)
    print(f"{seed} made, the dearest took {most * 1000:.1f} ms")  # noqa: T201
    return most


def json_of(choice: random.Random, size: int) -> bytes:
    """JSON that is dear to read: nested, numbered, of many members, escaped, or all the same."""
    shapes: list[Callable[[], bytes]] = [
        lambda: b'{"a":' * (size // 6),
        lambda: b"[" * size,
        lambda: b'{"a":' + b"9" * (size - 6) + b"}",
        lambda: b'{"a":1e' + b"9" * (size - 8) + b"}",
        lambda: b'{"a":"' + b"\\u00e9" * (size // 6 - 2) + b'"}',
        lambda: b'{"a":[' + b"1," * (size // 2 - 5) + b"1]}",
        lambda: b'{"a":[' + b"{}," * (size // 3 - 5) + b"{}]}",
        lambda: b'{"a":[' + b'"",' * (size // 3 - 5) + b'""]}',
        lambda: b"{" + b",".join(b'"%x":0' % n for n in range(size // 9)) + b"}",
        lambda: b"{" + b",".join(b'"a":0' for n in range(size // 6)) + b"}",
        lambda: (b'{"a":' + b'{"a":[' * 7 + b"1" * 20 + b"," + b"0," * (size // 3) + b"0" + b"]}" * 7 + b"}"),
    ]
    return choice.choice(shapes)()[:size]


def test_the_parts_of_a_token() -> None:
    def make(choice: random.Random) -> bytes:
        size = MAX_TOKEN_BYTES * 3 // 4 - 40
        first = choice.choice([0, 20, size // 2, size - 20])
        head = json_of(choice, first) if first > 20 else b'{"alg":"RS256"}'
        parts = [b64(head), b64(json_of(choice, size - len(head))), choice.choice(["", "AAAA", "A" * 400])]
        return ".".join(parts).encode()[:MAX_TOKEN_BYTES]

    assert dearest(make, lambda raw: UnverifiedToken.parse(raw.decode())) < PROMISED * MARGIN


def entry(choice: random.Random) -> dict[str, object]:
    """A key that costs as much as one can, or pretends to be one."""
    bits = choice.choice([2048, 8192, 8192, 8193, 65_536])
    modulus = choice.getrandbits(bits) | 1 << (bits - 1) | 1
    exponent = choice.choice([3, 65537, (1 << 63) + 3, (1 << 64) + 1, modulus])
    numbers = {
        name: b64(value.to_bytes((value.bit_length() + 7) // 8)) for name, value in (("n", modulus), ("e", exponent))
    }
    point = {name: b64(choice.randbytes(choice.choice([32, 48, 66]))) for name in ("x", "y")}
    kind = choice.choice([{"kty": "RSA", **numbers}, {"kty": "EC", "crv": choice.choice(["P-256", "P-521"]), **point}])
    return {**kind, "kid": choice.choice(["k", "k" * 256, str(choice.random())])}


def test_a_key_set() -> None:
    algorithms = PRESETS["oidc"].algorithms

    def make(choice: random.Random) -> bytes:
        if choice.random() < 0.3:
            return b'{"keys":' + json_of(choice, MAX_BYTES - 9) + b"}"
        kept, size = list[dict[str, object]](), 0
        while size < MAX_BYTES - 100_000 and len(kept) < 400:
            kept.append(entry(choice))
            size += len(json.dumps(kept[-1]))
        return json.dumps({"keys": kept}).encode()

    def judge(raw: bytes) -> None:
        document = json_object(raw)
        table = usable_keys(document, algorithms)
        reasons(document, algorithms)
        for name in algorithms:
            key_for(table, None, name, ISSUER)

    assert dearest(make, judge) < PROMISED * MARGIN


def test_a_signature_with_the_slowest_key_that_is_used() -> None:
    choice = random.Random(1)  # noqa: S311
    modulus = choice.getrandbits(8192) | 1 << 8191 | 1
    published = {"kty": "RSA", "n": b64(modulus.to_bytes(1024)), "e": b64(((1 << 64) - 1).to_bytes(8)), "kid": "k"}
    (found,) = usable_keys({"keys": [published]}, frozenset({"RS512"})).values()
    assert isinstance(jwk.construct(published, "RS512"), type(found[""]))
    assert dearest(lambda one: one.randbytes(1023), lambda raw: found[""].verify(b"x", b"\0" + raw)) < PROMISED * MARGIN


def test_a_discovery_document() -> None:
    provider = PRESETS["oidc"]

    def judge(raw: bytes) -> None:
        listed = json_object(raw).get("a")
        frozenset(name for name in listed if isinstance(name, str)) & provider.algorithms if listed else None

    assert dearest(lambda choice: json_of(choice, MAX_BYTES), judge) < PROMISED * MARGIN


def filled(choice: random.Random, room: int, elements: int) -> str:
    """Elements, attributes, declarations and text: so many and so long, at most."""
    attributes = " ".join(f'a{n}="{"v" * choice.choice([0, 40])}"' for n in range(choice.choice([0, 8, 32])))
    declared = " ".join(f'xmlns:p{n}="urn:{n}"' for n in range(choice.choice([0, 0, 0, 4])))
    one = f"<x {declared} {attributes}>{'t' * choice.choice([0, 0, 500])}"
    depth = min(elements, choice.choice([1, 1, 20]))
    times = min(elements // depth, room // ((len(one) + 4) * depth))
    return (one * depth + "</x>" * depth) * max(1, times)


def test_a_logout_message() -> None:
    judged = party(*(key_pair(name) for name in ("idp", "other", "third", "fourth", "fifth")))

    def make(choice: random.Random) -> bytes:
        kind = choice.choice(["LogoutRequest", "LogoutResponse"])
        names = " ".join(f'xmlns:n{n}="urn:{n}"' for n in range(choice.choice([0, 20, 55])))
        head = f'<samlp:{kind} xmlns:samlp="{NS["samlp"]}" xmlns:saml="{NS["saml"]}" {names} ID="_a" Version="2.0" '
        head += f'IssueInstant="{at()}" Destination="{SLS}"><saml:Issuer>{ISSUER}</saml:Issuer>'
        text = head + filled(choice, choice.choice([100, 12_000]), 45) + f"</samlp:{kind}>"
        if choice.random() < 0.1:
            text = head + "<a>" * 1_000_000  # what deflate makes small
        squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
        raw = base64.b64encode(squeezer.compress(text.encode()) + squeezer.flush()).decode()
        fields = {
            "SAMLRequest" if kind == "LogoutRequest" else "SAMLResponse": raw,
            "RelayState": "r" * choice.choice([0, 80, 5_000]),
            "SigAlg": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
            "Signature": base64.b64encode(b"\0" + choice.randbytes(255)).decode(),
        }
        return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items()).encode()[:MAX_QUERY]

    assert dearest(make, lambda raw: read_logout(judged, raw.decode(), utc_now())) < PROMISED * MARGIN


def metadata(choice: random.Random) -> bytes:
    """Metadata with a signature that names prefixes, around what canonicalization has to carry along."""
    names = " ".join(f'xmlns:n{n}="urn:{n}"' for n in range(choice.choice([0, 20, 55])))
    listed = " ".join(f"n{n}" for n in range(choice.choice([0, 4, 16])))
    digest = "http://www.w3.org/2001/04/xmlenc#sha512"
    signature = (
        f'<ds:Signature xmlns:ds="{NS["ds"]}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{EC}"/>'
        '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"/><ds:Reference URI="#_m">'
        f'<ds:Transforms><ds:Transform Algorithm="{NS["ds"]}enveloped-signature"/><ds:Transform Algorithm="{EC}">'
        f'<ec:InclusiveNamespaces xmlns:ec="{EC}" PrefixList="{listed}"/></ds:Transform></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue>AAAA</ds:DigestValue></ds:Reference></ds:SignedInfo>'
        "<ds:SignatureValue>AAAA</ds:SignatureValue></ds:Signature>"
    )
    keys = key_descriptor(key_pair("idp")) * choice.choice([1, 5, 200])
    role = (
        f'<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">{keys}</IDPSSODescriptor>'
    )
    filling = filled(choice, choice.choice([1_000, METADATA.max_bytes - 600_000]), 19_000)
    return (
        f'<EntityDescriptor xmlns="{MD}" {names} ID="_m" entityID="{ISSUER}">{signature}'
        f"<Extensions>{filling}</Extensions>{role}</EntityDescriptor>"
    ).encode()


@pytest.mark.parametrize("signer", [None, key_pair("federation").certificate], ids=["trusted", "signed"])
def test_metadata(signer: str | None) -> None:
    assert dearest(metadata, lambda raw: read_idp(raw, ISSUER, signer, utc_now())) < PROMISED * MARGIN


@pytest.mark.parametrize("signer", [None, key_pair("federation")], ids=["trusted", "signed"])
def test_a_piece_of_a_federations_metadata(signer: KeyPair | None) -> None:
    """It is read a piece at a time, between which others have their turn."""
    whole = b'<EntitiesDescriptor xmlns="%s" ID="_m"></EntitiesDescriptor>' % MD.encode()
    begun = (signed(whole, signer) if signer else whole.replace(b"></E", b"> </E")).rpartition(b"</Entities")[0]

    def judge(raw: bytes) -> None:
        federation = Federation(ISSUER, signer.certificate if signer else None)
        federation.feed(begun)
        federation.feed(raw)

    assert dearest(lambda choice: filled(choice, 65_000, 5_000).encode()[:65_536], judge) < PROMISED * MARGIN
