"""Documents within the grammar that make a library work: elements, declarations, prefixes, attributes, by number."""

from __future__ import annotations

import random

from service.auth.saml.grammar import EC, RESPONSE
from service.auth.saml.rules import Expected
from service.auth.saml.screen import ATTRIBUTE, DECLARATION, ELEMENT
from tests.support.saml.mint import NS, expected, response, utc_now
from tests.support.saml.provider import key_pair


def document(
    elements: int = 0,
    namespaces: int = 0,
    prefixes: int = 0,
    attributes: int = 0,
    repeated: int = 0,
    text: int = 0,
    transforms: int = 1,
    within: str = "assertion",
    rules: Expected | None = None,
    filling: str | None = None,
) -> bytes:
    """A response whose signature names a list of prefixes, around many elements, below many declarations.

    Args:
        elements: How many, of which each has so many ``attributes``, ``repeated`` declarations, characters of ``text``.
        namespaces: Declarations at the root.
        prefixes: In the list.
        attributes: See there.
        repeated: See there.
        text: See there.
        transforms: Of one kind.
        within: What is signed, ``assertion`` or ``response``.
        rules: What the envelope is right for.
        filling: In place of the elements.
    """
    rules = rules or expected()
    declared = "".join(f' xmlns:n{i}="urn:n:{i}"' for i in range(namespaces))
    again = "".join(f' xmlns:r{i}="urn:r:{i}"' for i in range(repeated))
    named = "".join(f' a{i}="{i}"' for i in range(attributes))
    listed = " ".join(f"n{i}" for i in range(prefixes))
    transform = (
        f'<ds:Transform Algorithm="{EC}"><ec:InclusiveNamespaces xmlns:ec="{EC}" PrefixList="{listed}"/>'
        "</ds:Transform>"
    )
    enveloped = f'<ds:Transform Algorithm="{NS["ds"]}enveloped-signature"/>'
    signature = (
        f'<ds:Signature xmlns:ds="{NS["ds"]}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{EC}"/>'
        '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>'
        f'<ds:Reference URI="#_{within}"><ds:Transforms>{enveloped}{transform * transforms}</ds:Transforms>'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>AAAA</ds:DigestValue>'
        "</ds:Reference></ds:SignedInfo><ds:SignatureValue>AAAA</ds:SignatureValue></ds:Signature>"
    )
    filling = f"<x{again}{named}>{'t' * text}</x>" * elements if filling is None else filling
    outer, inner = (signature, "") if within == "response" else ("", signature)
    return (
        f'<samlp:Response xmlns:samlp="{NS["samlp"]}" xmlns:saml="{NS["saml"]}"{declared} ID="_response" Version="2.0" '
        f'IssueInstant="{utc_now():%Y-%m-%dT%H:%M:%SZ}" Destination="{rules.acs}" '
        f'InResponseTo="{rules.request_id}">'
        f"<saml:Issuer>{rules.issuer}</saml:Issuer>{outer}"
        '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
        '<saml:Assertion ID="_assertion" Version="2.0" IssueInstant="2026-01-01T00:00:00Z">'
        f"<saml:Issuer>{rules.issuer}</saml:Issuer>{inner}{filling}</saml:Assertion></samlp:Response>"
    ).encode()


def dearest(rules: Expected) -> list[bytes]:
    """One document for each thing that costs, with as much of it as is admitted."""
    return [
        document(elements=3_450, rules=rules),
        document(elements=950, namespaces=30, prefixes=16, rules=rules),
        document(prefixes=16, filling=("<x>" * 25 + "</x>" * 25) * 48, rules=rules),
        document(elements=2_400, attributes=1, rules=rules),
        document(elements=2_000, namespaces=60, prefixes=1, rules=rules),
        document(elements=1_300, repeated=3, rules=rules),
        document(elements=12, text=20_000, rules=rules),
    ]


def drawn(choice: random.Random) -> bytes:
    """A document of the grammar whose factors are drawn, and which has about as many elements as are admitted.

    A third of them are what somebody with an account at the provider can make: a genuine assertion, of which the
    signature holds, in a response that is theirs to fill.
    """
    genuine = choice.random() < 0.3
    namespaces, prefixes = choice.randint(0, 58), 0 if genuine else choice.choice([0, 0, 1, 4, 16])
    attributes, repeated = choice.choice([0, 0, 1, 4, 30]), choice.choice([0, 0, 0, 1, 4])
    value = choice.choice(["", "v", "&#9;&quot;&lt;", "\u00e9" * 40, "v" * 400])
    text = choice.choice(["", "", "t", "&lt;&amp;&gt;", "\r\n \t", "\u20ac" * 60, "t" * 2_000])
    name = choice.choice(["x", "n0:x"]) if namespaces else "x"
    named = "".join(f' a{i}="{value}"' for i in range(attributes))
    named += choice.choice(["", ' xml:lang="en"', ' xmlns:q="urn:q" q:a="1"'])
    named += "".join(f' xmlns:r{i}="urn:r:{i}"' for i in range(repeated))
    depth, identified = choice.choice([1, 1, 2, 25]), choice.random() < 0.1
    one = f"<{name}{named}{' ID=%s' if identified else ''}>{text}</{name}>"
    scope = (4 + depth // 2 + namespaces + repeated) * (1 + prefixes)
    share = ELEMENT + (attributes + 1) * ATTRIBUTE + (repeated + 1) * DECLARATION + len(one.encode()) + scope
    room = min(
        RESPONSE.max_work // share, (RESPONSE.max_bytes - 6_000) // len(one.encode()), RESPONSE.max_elements - 50
    )
    room = int(min(room, 3_900 // (repeated + 1)) * choice.uniform(0.85, 1.0))
    if identified:
        filling = "".join(one % f'"i{i}"' for i in range(room))
    else:
        body = f"<{name}{named}>{text}"
        filling = (body * depth + f"</{name}>" * depth) * (room // depth)
    if not genuine:
        return document(0, namespaces, prefixes, within=choice.choice(["assertion", "response"]), filling=filling)
    declared = "".join(f' xmlns:n{i}="urn:n:{i}"' for i in range(namespaces))
    raw = response(key=key_pair("fifth")).decode().replace("<samlp:Response", f"<samlp:Response{declared}", 1)
    if choice.random() < 0.5:  # what the schema admits, so that the library comes to its end
        filling = f'<samlp:Extensions xmlns="urn:x">{filling}</samlp:Extensions>'
    return raw.replace("<samlp:Status>", f"{filling}<samlp:Status>", 1).encode()
