"""A metadata document, from its bytes to a tree that may be read: bounded, in UTF-8, signed where that is asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from lxml import etree
from lxml.etree import _Element as Element

from service.auth.saml.encoding import EncodingError, to_utf8
from service.auth.saml.grammar import ALGORITHMS, DS, METADATA, SIGNED_METADATA, Form
from service.auth.saml.library import is_signed_by, parse
from service.auth.saml.screen import OverLimitError, screen
from service.errors import ApiError

# What a person who configures the provider is told beside the reason code.
_REMEDIES: Mapping[str, str] = {
    "xml": "it is no XML: the address may be a sign-in page or need a login; take the provider's metadata address",
    "doctype": "it has a DOCTYPE, as web pages have: take the provider's metadata address, not a page about it",
    "root": "its root is neither EntityDescriptor nor EntitiesDescriptor: take the provider's SAML 2.0 metadata",
    "signature": "METADATA_CERTIFICATE did not sign it, or signed a part: compare it with the federation's certificate",
    "role": "it has no SAML 2.0 role of an identity provider: take the metadata of the provider, not of a service",
    "no_redirect_sign_in": "it has no SingleSignOnService for HTTP-Redirect: switch that binding on at the provider",
    "no_usable_certificate": "no signing certificate of it is fit: RSA of 2048 to 8192 bits, made well, or EC of 256",
}


class MetadataError(Exception):
    """Metadata cannot be used; the text is a reason code for the log.

    Args:
        reason: The code.
        told: What is wrong with it and what to do, both sides shown, for the person who configures the provider; it
            may quote the metadata and is never logged.
    """

    def __init__(self, reason: str, told: str | None = None) -> None:
        super().__init__(reason)
        self.told = told or _REMEDIES.get(reason, "see docs/AUTH_CONFIGURATION.md, section SAML")


def quoted(value: str | None) -> str:
    """What a document says, fit to be shown on a terminal."""
    shown = "".join(character if character.isprintable() else "?" for character in (value or "")[:200])
    return f'"{shown}"' if shown else "nothing"


def read_document(raw: bytes, signer: str | None) -> Element:
    """The tree of a document.

    Args:
        raw: In any encoding.
        signer: Certificate (PEM) that it must be signed with; None where its origin is trust enough.

    Raises:
        MetadataError: It is not what it must be.
    """
    root = tree_of(raw, METADATA if signer is None else SIGNED_METADATA)
    if signer is not None:
        _check_signature(root, signer)
    return root


def tree_of(raw: bytes, form: Form) -> Element:
    """The tree of what a form admits.

    Raises:
        MetadataError: It does not.
    """
    try:
        if len(raw) > form.max_bytes:  # before anything is made of it
            raise OverLimitError("bytes", f"bytes: {len(raw)}, at most {form.max_bytes}")
        text_ = to_utf8(raw)
        screen(text_, form)
        return parse(text_)
    except EncodingError as failure:
        raise MetadataError(
            "encoding", f"it is not text in the encoding that it says, {quoted(str(failure))}"
        ) from None
    except OverLimitError as over:
        remedy = "take the metadata of this one provider, such as its address at the federation's MDQ service"
        raise MetadataError(over.reason or "", f"{over.both}: {remedy}") from None
    except ApiError as failure:
        raise MetadataError(failure.reason or "unreadable") from None


def _check_signature(root: Element, signer: str) -> None:
    """Of the document as a whole, whose root holds all the rest: a signature further in would cover a part."""
    signature = root.find(f"{{{DS}}}Signature")
    if signature is None:
        raise MetadataError(
            "signature",
            "METADATA_CERTIFICATE is set, and no signature covers the whole of it: unset that, "
            "where an https address of the provider's own is trust enough, or take the signed document",
        )
    check_algorithms(signature)
    if not is_signed_by(root, [signer]):
        raise MetadataError("signature")


def check_algorithms(signature: Element) -> None:
    """What a signature over metadata is made with.

    Raises:
        MetadataError: With something that proves nothing (SHA-1), or that we do not execute.
    """
    for element in signature.iter(etree.Element):
        name = etree.QName(element)
        allowed, used = ALGORITHMS.get(f"{name.namespace} {name.localname}"), element.get("Algorithm")
        if allowed is None or used in allowed:
            continue
        old = "sha1" in (used or "").lower() or "md5" in (used or "").lower()
        why = "which others can forge today" if old else "which is not among those we verify with"
        raise MetadataError(
            "signature_algorithm",
            f"the {name.localname} of its signature is {quoted(used)}, {why}: ask the federation for metadata that is "
            "signed with RSA or ECDSA, SHA-256 or more, and exclusive canonicalization",
        )


def read_until(value: str) -> datetime:
    """``validUntil``: xs:dateTime. SAML writes UTC, and a document that names no zone means it.

    Raises:
        MetadataError: It is none.
    """
    try:
        read = datetime.fromisoformat(value.strip())
    except ValueError:
        raise MetadataError("valid_until", f"its validUntil is {quoted(value)}, which is no time") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
