"""Everything that can be done to a good response without its signer's key: a family, generated from the response.

Signature wrapping after Somorovsky and others, "On Breaking SAML: Be Whoever You Want to Be" (USENIX Security 2012):
the signed original is kept somewhere in the document, where its signature still verifies, and a forged copy stands
where the application looks. Here every place is combined with every way of arranging identifiers and signatures.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

from lxml import etree

from tests.support.saml.mint import NS

Element = Any
FORGED = "mallory"

# Where the signed original can be kept: a path from the forged element (or, with /, from the root), and what to put
# there around it.
_WRAPPERS = {
    "object": ("ds:Signature", "ds", "Object"),
    "key_info": ("ds:Signature/ds:KeyInfo", "ds", "X509Data"),
    "extensions": ("/", "samlp", "Extensions"),
    "status": ("/samlp:Status", "samlp", "StatusDetail"),
    "advice": ("//saml:Assertion", "saml", "Advice"),
    "subject": ("//saml:Subject", None, None),
    "confirmation": ("//saml:SubjectConfirmationData", None, None),
    "attribute_value": ("//saml:AttributeValue", None, None),
    "condition": ("//saml:Conditions", None, None),
    "root": ("/", None, None),
}


def wrapped(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Signature wrapping: name and document of each."""
    for target, place, identity, signature in product(
        ("saml:Assertion", "samlp:Response"), _WRAPPERS, ("same", "other", "none"), ("kept", "moved", "both")
    ):
        root = etree.fromstring(raw)
        original = root if target == "samlp:Response" else root.find(target, NS)
        forged = _forge(original, identity, signature)
        document = forged
        if target != "samlp:Response":
            root.replace(original, forged)
            document = root
        path, prefix, name = _WRAPPERS[place]
        holders = [document] if path == "/" else document.xpath(path.replace("/samlp", "samlp", 1), namespaces=NS)
        if path.startswith("ds:"):
            holders = forged.findall(path, NS)
        if not holders:
            continue
        holder = holders[0]
        if prefix is not None:
            holder = etree.SubElement(holder, f"{{{NS[prefix]}}}{name}")
        for first in (True, False):
            kept = copy.deepcopy(original)
            if signature == "moved":
                _without_signature(kept)
            holder.insert(0 if first else len(holder), kept)
            yield f"{target} {place} {identity} {signature} {first}", etree.tostring(document)
            holder.remove(kept)
    yield from _around(raw)


def _around(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The forged assertion beside the original, in both orders, and around it."""
    for identity, order in product(("same", "other", "none"), ("before", "after", "around", "inside")):
        root = etree.fromstring(raw)
        original = root.find("saml:Assertion", NS)
        forged = _forge(original, identity, "kept")
        if order == "before":
            original.addprevious(forged)
        elif order == "after":
            original.addnext(forged)
        elif order == "around":
            root.replace(original, forged)
            forged.append(original)
        else:
            original.append(forged)
        yield f"assertion {identity} {order}", etree.tostring(root)


def _forge(original: Element, identity: str, signature: str) -> Element:
    forged = copy.deepcopy(original)
    for name in forged.iter(f"{{{NS['saml']}}}NameID"):
        name.text = FORGED
    if identity == "other":
        forged.set("ID", "_forged")
    elif identity == "none":
        forged.attrib.pop("ID")
    if signature == "kept":
        _without_signature(forged)
    return forged


def _without_signature(element: Element) -> None:
    for signature in element.findall("ds:Signature", NS):
        element.remove(signature)


def remarked(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Comments, processing instructions and CDATA sections in every text, which canonical XML leaves no trace of."""
    text = raw.decode()
    for number, found in enumerate(re.finditer(r">([^<>]+)<", text)):
        begin, end = found.span(1)
        for place, remark in product((begin, (begin + end) // 2, end), ("<!--x-->", "<?x y?>", "<![CDATA[]]>")):
            yield f"text {number} {place - begin} {remark}", (text[:place] + remark + text[place:]).encode()
        whole = f"<![CDATA[{found[1]}]]>"
        yield f"text {number} cdata", (text[:begin] + whole + text[end:]).encode()


def duplicated(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Every element twice: the same again, or a forged one, before the original and behind it."""
    count = len(list(etree.fromstring(raw).iter(etree.Element)))
    for number, forge, before in product(range(1, count), (False, True), (False, True)):
        root = etree.fromstring(raw)
        element = list(root.iter(etree.Element))[number]
        twin = copy.deepcopy(element)
        if forge:
            twin.text = FORGED
        if before:
            element.addprevious(twin)
        else:
            element.addnext(twin)
        name = etree.QName(element).localname
        yield f"{name} {number} forged={forge} before={before}", etree.tostring(root)


def changed(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Every text and every attribute of what was signed, changed."""
    root = etree.fromstring(raw)
    for number, element in enumerate(root.iter(etree.Element)):
        name = f"{etree.QName(element).localname} {number}"
        if not any(above.findall("ds:Signature", NS) for above in (element, *element.iterancestors())):
            continue  # around a signed assertion
        if any(etree.QName(ancestor).localname == "KeyInfo" for ancestor in (element, *element.iterancestors())):
            continue  # nobody reads the keys that a message brings along
        if element.text and element.text.strip():
            before, element.text = element.text, element.text + "x"
            yield f"{name} text", etree.tostring(root)
            element.text = before
        for attribute, value in element.attrib.items():
            element.set(attribute, value + "x")
            yield f"{name} {attribute}", etree.tostring(root)
            element.set(attribute, value)
