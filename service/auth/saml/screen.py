"""What XML must look like before a library sees it: bounded, plain, and with nothing in it that makes a library work.

libxmlsec runs the transforms a sender names while it digests a reference, before any signature is judged, and, once it
has a private key, also those below ``CipherReference`` and ``RetrievalMethod``, whose URIs open local files: a few
kilobytes of nested XSLT cost minutes (python3-saml issue 447, GHSA-8mmq-f9vf-8fg2). So the XML Signature and XML
Encryption vocabularies are a grammar here, not a list of what is forbidden: an element, a place or an algorithm that is
not in the tables of ``grammar`` is refused. The pass is a stream; no tree is built of what it has not seen to the end.

Exclusive canonicalization looks every prefix of a ``PrefixList`` up among the namespaces in scope, for every element:
1,000 elements, 1,000 declarations and 2,000 prefixes in 39 kB cost 13 s of processor time before a signature was
judged. A limit on each factor leaves their product open, so the product itself is bounded, together with everything
else that a library's time grows with (``Form.max_work``). Why nothing else can: docs/SAML_WORK.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn
from xml.parsers import expat

from service.auth.errors import SAML_CONSTRUCT, SAML_OVERSIZED, SAML_UNREADABLE
from service.auth.saml.grammar import (
    ALGORITHMS,
    CLOSED,
    CLOSED_ATTRIBUTES,
    CRYPTO,
    DS,
    EC,
    ENCRYPTION,
    MAX_PREFIXES,
    REFUSED,
    SINGLE,
    XENC,
    XENC11,
    Form,
)
from service.errors import ApiError
from service.log import get_logger

log = get_logger(__name__)
_NCNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}\Z")
_MAX_ATTRIBUTES = 32  # of one element
_MAX_NAMESPACES = 4_000  # declarations in a document; some providers repeat two with every attribute value
_MAX_IN_SCOPE = 64  # declarations in scope at one element; genuine messages have up to a dozen
# What judging costs, in units of about 50 ns, all certificates of a provider together (docs/SAML_WORK.md): one for a
# byte, and for a look-up of canonicalization, which are the ancestors and the namespaces in scope, summed over all
# elements, times one more than the prefixes of all lists; and for what a library has a structure of, as many as here.
ELEMENT, ATTRIBUTE, DECLARATION = 200, 100, 50
_MAX_XML_DEPTH = 32  # the deepest genuine message has 10 levels
_IDS = ("ID", "Id", "id", "AssertionID", "http://www.w3.org/XML/1998/namespace id")
_SIGNATURE = f"{DS} Signature"
_FOREIGN = (
    "http://www.w3.org/1999/XSL/Transform",
    "http://www.w3.org/2001/XInclude",
    "http://www.w3.org/2009/xmldsig11#",  # KeyInfoReference fetches like RetrievalMethod
)


class OverLimitError(ApiError):
    """AUTH_071.

    Args:
        what: Which limit, as the reason.
        both: The limit and what came.
    """

    def __init__(self, what: str, both: str) -> None:
        super().__init__(SAML_OVERSIZED, what)
        self.both = both


def screen(raw: bytes, form: Form) -> None:
    """Refuse a document before anything is built of it.

    Args:
        raw: The document, UTF-8.
        form: What it may be.

    Raises:
        ApiError: AUTH_071 over a limit, AUTH_072 for what is never processed, AUTH_070 when it is no XML.
    """
    try:
        _screen(raw, form)
    except OverLimitError as over:
        log.warning("saml_over_a_limit", limit=over.reason, both=over.both)
        raise


def _screen(raw: bytes, form: Form) -> None:
    if len(raw) > form.max_bytes:
        raise _over("bytes", form.max_bytes, len(raw))
    # UTF-8 and nothing else: in another encoding, which a parser guesses from the first bytes whatever it is told, this
    # pass and the library's could read different texts.
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ApiError(SAML_UNREADABLE, "encoding") from None
    if b"\x00" in raw:
        raise ApiError(SAML_UNREADABLE, "encoding")
    _Pass(form, len(raw)).run(raw)


@dataclass(slots=True)
class _Pass:
    form: Form
    size: int
    stack: list[tuple[str, set[str]]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    elements: int = 0
    namespaces: int = 0
    in_scope: int = 0
    looked_up: int = 0
    attributes: int = 0
    prefixes: int = 0

    @property
    def work(self) -> int:
        """What judging it costs as far as it has been read."""
        parts = self.elements * ELEMENT + self.attributes * ATTRIBUTE + self.namespaces * DECLARATION
        return self.size + parts + self.looked_up * (1 + self.prefixes)

    def run(self, raw: bytes) -> None:
        parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        parser.buffer_text = True
        parser.XmlDeclHandler = _declaration
        parser.StartDoctypeDeclHandler = _refuse("doctype")
        parser.EntityDeclHandler = _refuse("entity")
        parser.SkippedEntityHandler = _refuse("entity")
        if not self.form.remarks:
            parser.StartCdataSectionHandler = _refuse("cdata")
            parser.CommentHandler = _refuse("comment")
            parser.ProcessingInstructionHandler = _refuse("instruction")
        parser.StartNamespaceDeclHandler = self.declare
        parser.EndNamespaceDeclHandler = self.forget
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        try:
            parser.Parse(raw, True)
        except expat.ExpatError:
            raise ApiError(SAML_UNREADABLE, "xml") from None

    def declare(self, _: str | None, __: str | None) -> None:
        self.namespaces += 1
        self.in_scope += 1
        if self.namespaces > _MAX_NAMESPACES or self.in_scope > _MAX_IN_SCOPE:
            raise _over("namespaces", f"{_MAX_NAMESPACES}, {_MAX_IN_SCOPE} in scope")

    def forget(self, _: str | None) -> None:
        self.in_scope -= 1

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements > self.form.max_elements:
            raise _over("elements", self.form.max_elements)
        if len(self.stack) >= _MAX_XML_DEPTH:
            raise _over("depth", _MAX_XML_DEPTH)
        if len(attributes) > _MAX_ATTRIBUTES:
            raise _over("attributes", f"{_MAX_ATTRIBUTES} of an element", len(attributes))
        self.looked_up += 1 + len(self.stack) + self.in_scope
        self.attributes += len(attributes)
        if name == f"{EC} InclusiveNamespaces" and self._inside():
            self._count_prefixes(attributes.get("PrefixList", ""))
        if self.work > self.form.max_work:
            raise _over("work", f"{self.form.max_work} units of work (docs/SAML_WORK.md)")
        parent, siblings = self.stack[-1] if self.stack else ("", set())
        self._check_place(name, parent)
        if self._judged(name):
            self._check_crypto(name, parent, siblings, attributes)
        siblings.add(name)
        if self.form.crypto != "nothing":
            for key in _IDS:
                if key in attributes:
                    self._check_id(attributes[key])
        self.stack.append((name, set()))

    def _judged(self, name: str) -> bool:
        """The same, or that it begins here."""
        return self._inside() or (self.form.crypto == "signature" and len(self.stack) == 1 and name == _SIGNATURE)

    def _inside(self) -> bool:
        """Whether what begins now is part of what a library acts on."""
        within = len(self.stack) > 1 and self.stack[1][0] == _SIGNATURE
        return self.form.crypto == "all" or (self.form.crypto == "signature" and within)

    def _check_crypto(self, name: str, parent: str, siblings: set[str], attributes: dict[str, str]) -> None:
        closed = name.rpartition(" ")[0] in CLOSED
        if closed and not attributes.keys() <= CLOSED_ATTRIBUTES.get(name, frozenset()):
            raise ApiError(SAML_CONSTRUCT, "attribute")
        if name in SINGLE and name in siblings:
            raise ApiError(SAML_CONSTRUCT, "duplicate")
        if (
            name == f"{DS} Transform"
        ):  # each can cost a pass over all it covers; SAML core 5.4.4 has use for one of each
            kind = f"{name} {attributes.get('Algorithm')}"
            if kind in siblings:
                raise ApiError(SAML_CONSTRUCT, "transforms")
            siblings.add(kind)
        self._check_algorithm(name, parent, attributes)

    def _count_prefixes(self, listed: str) -> None:
        prefixes = listed.split()
        if len(prefixes) > MAX_PREFIXES or len(set(prefixes)) != len(prefixes):
            raise _over("prefixes", f"{MAX_PREFIXES}, each once", len(prefixes))
        if not all(prefix == "#default" or _NCNAME.match(prefix) for prefix in prefixes):
            raise ApiError(SAML_CONSTRUCT, "prefixes")
        self.prefixes += len(prefixes)

    def end(self, _: str) -> None:
        self.stack.pop()

    def _check_place(self, name: str, parent: str) -> None:
        if not parent:
            if name not in self.form.roots:
                raise ApiError(SAML_CONSTRUCT, "root")
            return
        allowed = self.form.places.get(name)
        if allowed is None and self._inside():
            namespace, allowed = name.rpartition(" ")[0], CRYPTO.get(name)
            if (allowed is None and namespace in CLOSED) or namespace in _FOREIGN or name in REFUSED:
                raise ApiError(SAML_CONSTRUCT, "element")
        if allowed is not None and parent not in allowed:
            raise ApiError(SAML_CONSTRUCT, "place")

    def _check_algorithm(self, name: str, parent: str, attributes: dict[str, str]) -> None:
        if parent.endswith(" EncryptionMethod") and name != f"{XENC11} MGF":  # a digest within OAEP, see above
            return
        allowed = ENCRYPTION.get(parent) if name == f"{XENC} EncryptionMethod" else ALGORITHMS.get(name)
        # Of metadata, ``metadata`` says which algorithm is not allowed, before anything executes it.
        if self.form.crypto == "all" and allowed is not None and attributes.get("Algorithm") not in allowed:
            raise ApiError(SAML_CONSTRUCT, "algorithm")
        if name == f"{XENC} EncryptedData" and attributes.get("Type") != f"{XENC}Element":
            raise ApiError(SAML_CONSTRUCT, "type")
        if name == f"{DS} RetrievalMethod" or name == f"{DS} Reference":
            uri = attributes.get("URI", "")
            # An element of this document by its ID. "" is the whole document, and xpointer() a language.
            if not uri.startswith("#") or not _NCNAME.match(uri[1:]):
                raise ApiError(SAML_CONSTRUCT, "reference")

    def _check_id(self, value: str) -> None:
        if not _NCNAME.match(value) or value in self.ids:
            raise ApiError(SAML_CONSTRUCT, "id")
        self.ids.add(value)


def _over(what: str, limit: int | str, found: int | None = None) -> OverLimitError:
    return OverLimitError(what, f"{what}: {'more' if found is None else found}, at most {limit}")


def _declaration(version: str, encoding: str | None, standalone: int) -> None:
    if encoding is not None and encoding.upper() != "UTF-8":
        raise ApiError(SAML_CONSTRUCT, "encoding")


def _refuse(reason: str) -> Callable[..., Any]:
    def handler(*_: object) -> NoReturn:
        raise ApiError(SAML_CONSTRUCT, reason)

    return handler
