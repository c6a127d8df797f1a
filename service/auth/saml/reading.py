"""Readers for a screened SAML document: the one element, the whole text, the instant, or the row that says why not."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from lxml.etree import _Element as Element

from service.auth.errors import SAML_CONFIRMATION
from service.auth.saml.grammar import SAML
from service.errors import ApiError, Error
from service.strict import is_name

_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
MAX_VALUE = 256  # characters of a persistent NameID (SAML core 8.3.7), and of what may stand in its place
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z\Z", re.ASCII)  # SAML core 1.3.3: UTC, and says so


def one(parent: Element, name: str, row: Error) -> Element:
    """The one child with this name of the assertion vocabulary.

    Raises:
        ApiError: ``row`` when there is none, or more than one.
    """
    found: list[Element] = parent.findall(f"{{{SAML}}}{name}")
    if len(found) != 1:
        raise ApiError(row, name)
    return found[0]


def instant(element: Element, name: str, row: Error) -> datetime:
    """The time that an attribute holds; fractions of a second are dropped.

    Raises:
        ApiError: ``row`` when the attribute is missing or holds something else.
    """
    value = element.get(name, "")
    try:
        if not _INSTANT.match(value):
            raise ValueError(name)
        return datetime.fromisoformat(value[:19]).replace(tzinfo=UTC)
    except ValueError:
        raise ApiError(row, name) from None


def text(element: Element) -> str:
    """The whole text of an element that holds nothing else: a part of it could be another user's name."""
    return "" if len(element) else element.text or ""


def sane(value: str, row: Error) -> str:
    """A name that looks like what it is: bounded, printable, not padded.

    Raises:
        ApiError: ``row`` when it does not.
    """
    if not is_name(value, MAX_VALUE) or value != value.strip():
        raise ApiError(row, "value")
    return value


def attribute(assertion: Element, name: str, row: Error) -> str:
    """The one value of the attribute with this ``Name``; friendly names are decoration.

    Raises:
        ApiError: ``row`` when there is none, or more than one.
    """
    found = _attribute_values(assertion, name)
    if len(found) != 1:
        raise ApiError(row, f"attribute: {len(found)} values, exactly one")
    return sane(found[0], row)


def values(assertion: Element, name: str) -> frozenset[str]:
    """All values of the attribute with this ``Name`` that look like names."""
    return frozenset(
        value for value in _attribute_values(assertion, name) if is_name(value, MAX_VALUE) and value == value.strip()
    )


def _attribute_values(assertion: Element, name: str) -> list[str]:
    return [
        text(value)
        for candidate in assertion.findall(f"{{{SAML}}}AttributeStatement/{{{SAML}}}Attribute")
        if candidate.get("Name") == name
        for value in candidate.findall(f"{{{SAML}}}AttributeValue")
    ]


def confirmation(assertion: Element) -> Element:
    """The data of the one subject confirmation. A second one, of whatever method, would be a second way in."""
    subject = one(assertion, "Subject", SAML_CONFIRMATION)
    method = one(subject, "SubjectConfirmation", SAML_CONFIRMATION)
    if method.get("Method") != _BEARER:
        raise ApiError(SAML_CONFIRMATION, "method")
    return one(method, "SubjectConfirmationData", SAML_CONFIRMATION)
