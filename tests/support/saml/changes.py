"""What a test changes in a message, by XPath."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from tests.support.saml.mint import NS, Change, Element


def put(path: str, name: str, value: str | Callable[[], str] | None) -> Change:
    """Set an attribute of an element; None removes it, a function gives the value when the test runs."""

    def change(root: Element) -> None:
        (element,) = root.xpath(path, namespaces=NS)
        if value is None:
            del element.attrib[name]
        else:
            element.set(name, value() if callable(value) else value)

    return change


def write(path: str, text: str) -> Change:
    def change(root: Element) -> None:
        (element,) = root.xpath(path, namespaces=NS)
        element.text = text

    return change


def drop(path: str) -> Change:
    def change(root: Element) -> None:
        for element in root.xpath(path, namespaces=NS):
            element.getparent().remove(element)

    return change


def add(path: str, xml: str) -> Change:
    def change(root: Element) -> None:
        (element,) = root.xpath(path, namespaces=NS)
        names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
        element.extend(etree.fromstring(f"<x {names}>{xml}</x>"))

    return change
