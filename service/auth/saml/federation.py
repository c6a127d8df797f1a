"""A federation's metadata, which can be tens of megabytes: one entity is taken out while the document streams by.

Nothing is kept but that entity, the signature of the whole, and where the stream stands. What is taken out counts only
when the document has come to its end and, where a certificate is set, to the signature's digest.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import NoReturn
from xml.parsers import expat

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from lxml import etree
from lxml.etree import _Element as Element

from service.auth.saml.canonical import XML, Attributes, Canonical, Scope
from service.auth.saml.document import MetadataError, check_algorithms, quoted, read_until, tree_of
from service.auth.saml.encoding import EncodingError, Utf8
from service.auth.saml.grammar import DS, EC, MD, METADATA, SIGNED_METADATA

MAX_BYTES = 1 << 30
_MAX_DEPTH = 64
_MAX_PENDING = 1 << 18  # bytes of one piece of markup, which expat reads from its beginning with every chunk
_MAX_SIGNATURE = 1 << 17  # characters
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


class Federation:
    """Takes one entity out of a document.

    Args:
        entity_id: Which; compared to the letter.
        signer: Certificate (PEM) that the whole must be signed with; None where its origin is trust enough.
    """

    def __init__(self, entity_id: str, signer: str | None) -> None:
        self._entity_id, self._signer = entity_id, signer
        self._utf8, self._fed, self._parsed = Utf8(), 0, 0
        self._stack: list[tuple[str, Scope, datetime | None]] = []
        self._root: tuple[str, Attributes, Scope] | None = None
        self._before: list[str] = []  # text between the root's beginning and its first element
        self._signature = _Copy(_MAX_SIGNATURE)
        self._entity = _Copy(METADATA.max_bytes)
        self._until: list[datetime] = []
        self._whole: Canonical | None = None
        self._digest, self._proof = hashlib.sha256(), ""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text, parser.ordered_attributes = True, True
        parser.StartDoctypeDeclHandler = _doctype
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler, parser.ProcessingInstructionHandler = self._text, self._instruction
        self._parser = parser

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        """The next piece.

        Raises:
            MetadataError: It is not what it must be.
        """
        self._fed += len(chunk)
        if self._fed > MAX_BYTES:
            raise MetadataError("bytes", f"it has more than {MAX_BYTES} bytes: ask the federation's MDQ service")
        try:
            text = self._utf8.feed(chunk, last=last)
            self._parsed += len(text)
            self._parser.Parse(text, last)
            if self._parsed - self._parser.CurrentByteIndex > _MAX_PENDING:
                raise MetadataError("bytes", f"one piece of its markup has more than {_MAX_PENDING} bytes")
        except EncodingError as failure:
            named = quoted(str(failure))
            raise MetadataError("encoding", f"it is not text in the encoding that it says, {named}") from None
        except expat.ExpatError:
            raise MetadataError("xml") from None
        except KeyError:  # a prefix that was never declared
            raise MetadataError("xml") from None

    def found(self) -> tuple[bytes, tuple[datetime, ...]]:
        """The entity as a document of its own, and until when what stands around it is valid.

        Raises:
            MetadataError: It is not in there, or more than once; or the document is not signed as it must be.
        """
        if self._signer is not None:
            expected = base64.b64encode(self._digest.digest()).decode()
            if not self._proof or self._proof != expected:
                raise MetadataError("signature")
        if self._entity.count != 1:
            said = "it is not in there" if not self._entity.count else "that one is in there more than once"
            raise MetadataError("entity_id", f"ISSUER is {quoted(self._entity_id)}, compared to the letter, and {said}")
        return self._entity.taken(), tuple(self._until)

    def _start(self, name: str, pairs: list[str]) -> None:
        if len(self._stack) >= _MAX_DEPTH:
            raise MetadataError("depth", f"it is nested deeper than {_MAX_DEPTH} levels")
        listed = list(zip(pairs[::2], pairs[1::2], strict=True))
        declared = {key[6:]: value for key, value in listed if key == "xmlns" or key.startswith("xmlns:")}
        attributes = [(key, value) for key, value in listed if key != "xmlns" and not key.startswith("xmlns:")]
        parent, scope, _ = self._stack[-1] if self._stack else ("", {"": "", "xml": XML}, None)
        if declared:
            scope = {**scope, **declared}
        prefix, _, local = name.rpartition(":")
        full = f"{scope[prefix]} {local}"
        found = dict(attributes)
        self._place(full, parent, name, attributes, scope)
        entities = full == f"{MD} EntitiesDescriptor"
        until = read_until(found["validUntil"]) if entities and "validUntil" in found else None
        entity = full == f"{MD} EntityDescriptor" and parent == f"{MD} EntitiesDescriptor"
        if entity and found.get("entityID") == self._entity_id:
            self._entity.begin(scope)
            self._until = [entry[2] for entry in self._stack if entry[2] is not None]
        self._stack.append((full, scope, until))
        for copy in (self._signature, self._entity):
            if copy.running:
                copy.canonical.start(name, attributes, scope)
        if self._whole is not None and not self._signature.running:
            self._whole.start(name, attributes, scope)

    def _place(self, full: str, parent: str, name: str, attributes: Attributes, scope: Scope) -> None:
        """What may begin here: the root, and after it the signature, where there must be one."""
        if not parent:
            if full == f"{MD} EntityDescriptor":
                raise MetadataError("bytes", f"bytes: more, at most {METADATA.max_bytes} for one entity")
            if full != f"{MD} EntitiesDescriptor":
                raise MetadataError("root")
            self._root = (name, attributes, scope)
        elif len(self._stack) == 1 and self._signer is not None:
            if full == f"{DS} Signature" and self._whole is None and not self._signature.count:
                self._signature.begin(scope)
            elif self._whole is None:
                raise MetadataError("signature", "METADATA_CERTIFICATE is set, and no signature covers the whole of it")

    def _end(self, name: str) -> None:
        self._stack.pop()
        running = self._signature.running
        for copy in (self._signature, self._entity):
            copy.end(name)
        if running:
            if not self._signature.running:
                self._signed()
        elif self._whole is not None:
            self._whole.end(name)

    def _text(self, text: str) -> None:
        for copy in (self._signature, self._entity):
            if copy.running:
                copy.canonical.text(text)
        if self._signature.running:
            return
        if self._whole is not None:
            self._whole.text(text)
        elif self._signer is not None and self._stack:
            self._before.append(text)
            if sum(map(len, self._before)) > _MAX_SIGNATURE:
                raise MetadataError("signature")

    def _instruction(self, target: str, data: str) -> None:
        for canonical in (self._entity.canonical if self._entity.running else None, self._whole):
            if canonical is not None and self._stack and not self._signature.running:
                canonical.instruction(target, data)

    def _signed(self) -> None:
        """The signature has ended: from here on it is known what is digested, and how."""
        assert self._root is not None
        assert self._signer is not None
        name, attributes, scope = self._root
        wrapped = b'<EntitiesDescriptor xmlns="%s">%s</EntitiesDescriptor>' % (MD.encode(), self._signature.taken())
        signature = tree_of(wrapped, SIGNED_METADATA).find(f"{{{DS}}}Signature")
        assert signature is not None
        check_algorithms(signature)
        reference = signature.find(f"{{{DS}}}SignedInfo/{{{DS}}}Reference")
        identity = dict(attributes).get("ID")
        if reference is None or not identity or reference.get("URI") != f"#{identity}":
            raise MetadataError("signature")
        transforms = [entry.get("Algorithm") for entry in reference.iter(f"{{{DS}}}Transform")]
        if transforms != [f"{DS}enveloped-signature", EC]:
            raise MetadataError("signature")
        if not is_genuine(signature, self._signer):
            raise MetadataError("signature")
        method, value = reference.find(f"{{{DS}}}DigestMethod"), reference.findtext(f"{{{DS}}}DigestValue")
        assert method is not None
        self._digest = hashlib.new(f"sha{method.get('Algorithm', '')[-3:]}")
        self._proof = "".join((value or "").split())
        self._whole = Canonical(lambda text: self._digest.update(text.encode()), _prefixes(reference))
        self._whole.start(name, attributes, scope)
        for text in self._before:
            self._whole.text(text)


class _Copy:
    """One element, kept as canonical XML with every namespace that is in scope."""

    def __init__(self, limit: int) -> None:
        self._limit, self._kept, self._parts = limit, 0, list[str]()
        self.count, self.running = 0, False

    def begin(self, scope: Scope) -> None:
        self.count += 1
        self._parts, self._kept, self.running = [], 0, True
        self.canonical = Canonical(self._keep, frozenset(scope))

    def end(self, name: str) -> None:
        if self.running:
            self.canonical.end(name)
            self.running = self.canonical.open

    def taken(self) -> bytes:
        return "".join(self._parts).encode()

    def _keep(self, text: str) -> None:
        self._kept += len(text)
        if self._kept > self._limit:
            raise MetadataError("bytes", f"one entity or signature has more than {self._limit} characters")
        self._parts.append(text)


def is_genuine(signature: Element, signer: str) -> bool:
    """Whether a certificate's key made the signature over what a ``SignedInfo`` says.

    Args:
        signature: Its algorithms were checked.
        signer: PEM.
    """
    info = signature.find(f"{{{DS}}}SignedInfo")
    method = None if info is None else info.find(f"{{{DS}}}SignatureMethod")
    form = None if info is None else info.find(f"{{{DS}}}CanonicalizationMethod")
    if info is None or method is None or form is None:
        return False
    said: list[str] = []
    _walk(info, Canonical(said.append, _prefixes(form)))  # lxml's own leaves "#default" out
    key, algorithm = x509.load_pem_x509_certificate(signer.encode()).public_key(), method.get("Algorithm", "")
    digest, signed = _HASHES[algorithm[-3:]], "".join(said).encode()
    try:
        value = base64.b64decode("".join((signature.findtext(f"{{{DS}}}SignatureValue") or "").split()), validate=True)
        if isinstance(key, rsa.RSAPublicKey) and "#rsa-" in algorithm:
            key.verify(value, signed, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and "#ecdsa-" in algorithm:
            half = len(value) // 2
            numbers = int.from_bytes(value[:half]), int.from_bytes(value[half:])
            key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, ValueError):
        return False
    return True


def _walk(element: Element, into: Canonical) -> None:
    name = f"{element.prefix}:{etree.QName(element).localname}" if element.prefix else etree.QName(element).localname
    into.start(
        name, sorted(element.attrib.items()), {"": "", **{prefix or "": uri for prefix, uri in element.nsmap.items()}}
    )
    into.text(element.text or "")
    for child in element:
        if isinstance(child.tag, str):  # no comment
            _walk(child, into)
        into.text(child.tail or "")
    into.end(name)


def _prefixes(method: Element) -> frozenset[str]:
    lists = [entry.get("PrefixList", "") for entry in method.iter(f"{{{EC}}}InclusiveNamespaces")]
    return frozenset("" if prefix == "#default" else prefix for text in lists for prefix in text.split())


def _doctype(*_: object) -> NoReturn:
    raise MetadataError("doctype")
