"""Whether a client of one OpenAPI document would trip over another: the rules, and nothing about where they come from.

What a client sends must still be taken, and what it is answered must still be what it was made for. The tool for this,
oasdiff, is in neither PyPI nor npm; these are its rules, for what our documents can say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]
_UPPER: Final = ("maxLength", "maximum", "maxItems", "maxProperties", "exclusiveMaximum")
_LOWER: Final = ("minLength", "minimum", "minItems", "minProperties", "exclusiveMinimum")
_MAX_DEPTH: Final = 40


def breaks(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What would break a client, a sentence each.

    Args:
        old: The document that the client was made from.
        new: The document of the service that it meets.
    """
    present = dict(_operations(new))
    for place, was in _operations(old):
        if (now := present.get(place)) is None:
            yield f"{place} is gone"
            continue
        if was.get("operationId") != now.get("operationId"):
            yield f"{place} was called {was.get('operationId')} and is called {now.get('operationId')}"
        yield from _Comparison(old, new, place).operation(was, now)


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}", operation


class _Comparison:
    """One operation in both documents."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> None:
        self._old, self._new, self._place = old, new, place

    def operation(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
        yield from self._callers(was, now)
        yield from self._parameters(was, now)
        yield from self._body(was, now)
        for status, answer in was.get("responses", {}).items():
            after = now.get("responses", {}).get(status)
            if status.startswith(("2", "3")) and after is None:
                yield f"{self._place} no longer answers {status}"
            elif after is not None:
                yield from self._contents(answer, after, f"answer {status}", answer=True)

    def _callers(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
        after = [set(one) for one in now.get("security", ())] or [set[str]()]
        for one in was.get("security", ()) or [{}]:
            if not any(names <= set(one) for names in after):
                yield f"{self._place} no longer takes a caller with {' and '.join(sorted(one)) or 'no credentials'}"

    def _parameters(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
        before, after = _by_name(self._old, was), _by_name(self._new, now)
        for key, parameter in after.items():
            known = before.get(key)
            if parameter.get("required") and not (known or {}).get("required"):
                yield f"{self._place} needs the {key[0]} parameter {key[1]}"
            if known is not None:
                sent, taken = known.get("schema", {}), parameter.get("schema", {})
                yield from self._fits(sent, taken, f"{key[0]} parameter {key[1]}", answer=False)
        for key in before.keys() - after.keys():
            yield f"{self._place} no longer reads the {key[0]} parameter {key[1]}"

    def _body(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
        before, after = was.get("requestBody", {}), now.get("requestBody", {})
        if after.get("required") and not before.get("required"):
            yield f"{self._place} needs a body"
        yield from self._contents(before, after, "body", answer=False)

    def _contents(self, was: Schema, now: Schema, where: str, *, answer: bool) -> Iterator[str]:
        before = _resolved(self._old, was).get("content", {})
        after = _resolved(self._new, now).get("content", {})
        for kind, content in before.items():
            if kind not in after:
                yield f"{self._place}, {where}: {kind} is gone"
            else:
                yield from self._fits(content.get("schema", {}), after[kind].get("schema", {}), where, answer=answer)

    def _fits(self, old: Any, new: Any, where: str, *, answer: bool) -> Iterator[str]:
        """What is sent must fit what is taken: of a request the old sends, of an answer the new."""
        documents = (self._new, self._old) if answer else (self._old, self._new)
        values = (new, old) if answer else (old, new)
        for reason in _Fit(*documents, answer).misfits(*values, where):
            yield f"{self._place}, {reason}"


@dataclass(frozen=True, slots=True)
class _Fit:
    """One way of sending: whether each value of the sender's schemas will do for those who take it.

    Attributes:
        sender: The document whose schemas say what is sent.
        taker: The one whose schemas say what is taken.
        answer: The service sends; else the client does.
    """

    sender: Mapping[str, Any]
    taker: Mapping[str, Any]
    answer: bool

    def misfits(self, value: Any, taken: Any, where: str, above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
        """Why a value of one schema would not do for another."""
        of_value, of_taken = _variants(self.sender, value), _variants(self.taker, taken)
        pair = (id(value), id(taken))
        if pair in above or len(above) > _MAX_DEPTH:  # a type that holds itself was compared further up
            return
        above = (*above, pair)
        for one in of_value:
            reasons = [list(self._of_one(one, other, where, above)) for other in of_taken]
            if all(reasons):
                yield from min(reasons, key=len)

    def _of_one(self, value: Schema, taken: Schema, where: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
        kind, wanted = value.get("type"), taken.get("type")
        if wanted and kind != wanted and (kind, wanted) != ("integer", "number"):
            yield f"{where}: {self._both(wanted, kind)}"
            return
        choice, among = _choices(value), _choices(taken)
        if among is not None and (choice is None or not choice <= among):
            yield f"{where}: {self._both(sorted(among), 'any' if choice is None else sorted(choice))}"
        if taken.get("format") not in (None, value.get("format")) and wanted == "string":
            yield f"{where}: format {self._both(taken['format'], value.get('format'))}"
        if not self.answer and taken.get("pattern") not in (None, value.get("pattern")) and choice is None:
            yield f"{where}: the pattern is another"
        if choice is None:
            for key in (*_UPPER, *_LOWER):
                sign = 1 if key in _UPPER else -1
                if key in taken and (key not in value or sign * value[key] > sign * taken[key]):
                    yield f"{where}: {key} {self._both(taken[key], value.get(key))}"
        yield from self._members(value, taken, where, above)

    def _members(self, value: Schema, taken: Schema, where: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
        has, wants = value.get("properties", {}), taken.get("properties", {})
        for name in sorted(set(taken.get("required", ())) - set(value.get("required", ()))):
            yield f"{where}: {name} {'may be missing' if self.answer else 'is needed'}"
        gone = wants.keys() - has.keys() if self.answer else has.keys() - wants.keys()
        yield from (f"{where}: {name} is gone" for name in sorted(gone) if wants or has)
        pairs = [(has[name], wants[name], f"{where}, {name}") for name in has if name in wants]
        for key in ("items", "additionalProperties"):
            if isinstance(value.get(key), dict) and isinstance(taken.get(key), dict):
                pairs.append((value[key], taken[key], where))
        for one, other, place in pairs:
            yield from self.misfits(one, other, place, above)

    def _both(self, taken: object, value: object) -> str:
        old, new = (taken, value) if self.answer else (value, taken)
        return f"was {old if old is not None else 'free'} and is {new if new is not None else 'free'}"


def _choices(schema: Schema) -> set[str] | None:
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return None if listed is None else {str(one) for one in listed}


def _variants(document: Mapping[str, Any], schema: Any) -> list[Schema]:
    """The kinds of value that a schema allows, one each."""
    schema = _resolved(document, schema) if isinstance(schema, dict) else {}
    found: list[Schema] = []
    for key in ("anyOf", "oneOf"):
        for one in schema.get(key, ()):
            found += _variants(document, one)
    kinds = schema.get("type")
    if isinstance(kinds, list):
        found += [{**schema, "type": kind} for kind in kinds]
    return found or [schema]


def _resolved(document: Mapping[str, Any], holder: Any) -> Mapping[str, Any]:
    for _ in range(_MAX_DEPTH):
        if "$ref" not in holder:
            break
        found: Any = document
        for part in holder["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        holder = found
    result: Mapping[str, Any] = holder
    return result


def _by_name(document: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Parameters by place and name; those of a path by their order, for their names are not sent."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for number, parameter in enumerate(_resolved(document, one) for one in operation.get("parameters", ())):
        name = str(number) if parameter["in"] == "path" else str(parameter["name"]).lower()
        found[parameter["in"], name] = parameter
    return found
