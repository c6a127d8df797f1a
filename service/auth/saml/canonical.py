"""Exclusive XML Canonicalization 1.0 (without comments) of one element while it streams by: what a signature covers,
of a document that is too large for a tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

XML = "http://www.w3.org/XML/1998/namespace"
_TEXT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"}
_VALUE = {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}
_IN_TEXT, _IN_VALUE = re.compile("[&<>\r]"), re.compile('[&<"\t\n\r]')

Attributes = Sequence[tuple[str, str]]
Scope = Mapping[str, str]  # what each prefix in scope stands for; "" is the default namespace


class Canonical:
    """Writes one element and what is in it.

    Args:
        write: Takes the text, piece by piece.
        inclusive: Prefixes that are written wherever they are in scope (``InclusiveNamespaces``).
    """

    def __init__(self, write: Callable[[str], object], inclusive: frozenset[str] = frozenset()) -> None:
        self._write, self._inclusive = write, inclusive
        self._written: list[Scope] = [{"": ""}]

    @property
    def open(self) -> bool:
        """Whether the element has not ended."""
        return len(self._written) > 1

    def start(self, name: str, attributes: Attributes, scope: Scope) -> None:
        """An element begins.

        Args:
            name: As it is written, prefix and all.
            attributes: The same, without declarations of namespaces.
            scope: Of this element.

        Raises:
            KeyError: A prefix was never declared.
        """
        used = {_prefix(name), *(_prefix(key) for key, _ in attributes if ":" in key)} - {"xml"}
        used |= self._inclusive & scope.keys() - {"xml"}
        before = self._written[-1]
        new = {prefix: scope[prefix] for prefix in used if before.get(prefix) != scope[prefix]}
        parts = [f"<{name}"]
        parts += [f' xmlns{prefix and f":{prefix}"}="{_escaped(uri)}"' for prefix, uri in sorted(new.items())]
        parts += [
            f' {key}="{_escaped(value)}"' for key, value in sorted(attributes, key=lambda one: _order(one, scope))
        ]
        self._write("".join(parts) + ">")
        self._written.append({**before, **new} if new else before)

    def end(self, name: str) -> None:
        """An element ends."""
        self._write(f"</{name}>")
        self._written.pop()

    def text(self, text: str) -> None:
        """Characters, CDATA as well."""
        self._write(_IN_TEXT.sub(lambda found: _TEXT[found[0]], text))

    def instruction(self, target: str, data: str) -> None:
        """A processing instruction."""
        self._write(f"<?{target} {data}?>" if data else f"<?{target}?>")


def _prefix(name: str) -> str:
    return name.partition(":")[0] if ":" in name else ""


def _order(attribute: tuple[str, str], scope: Scope) -> tuple[str, str]:
    prefix, _, local = attribute[0].rpartition(":")
    return (scope[prefix] if prefix else "", local)


def _escaped(value: str) -> str:
    return _IN_VALUE.sub(lambda found: _VALUE[found[0]], value)
