"""What a promise about a property is, and whether a resource keeps it. The promises themselves are in tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from infra.stage.record import Stage

Resource = Mapping[str, Any]
When = Callable[["Stage"], bool]

_ACCOUNT: Final = re.compile(r"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])")  # never part of a made-up name
_FOUND_AT_DEPLOYMENT: Final = ("Ref", "Fn::GetAtt", "Fn::GetStackOutput")
_PLACES: Final = ("AWS::Partition", "AWS::Region", "AWS::URLSuffix")  # the same for everyone


def always(_: Stage) -> bool:
    """A promise of every stage."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Every resource of a type has a property that is so.

    Attributes:
        rule: Its id in the report of a synthesis.
        type: CloudFormation type.
        path: Property, with dots; ``*`` is each element of a list, ``?`` one of them at least, and a dot within a name
            has a backslash before it.
        operator: One of ``OPERATORS``.
        value: What it is compared with, or what makes that of a stage.
        why: What would be wrong otherwise.
        when: Stages that it holds for.
        only: Property (``id`` is the logical id) and pattern: the resources that it is about.
        never: The same, for those that it is not about.
    """

    rule: str
    type: str
    path: str
    operator: str = "is"
    value: Any = None
    why: str
    when: When = always
    only: tuple[str, str] | None = None
    never: tuple[str, str] | None = None


def broken(promise: Promise, logical_id: str, resource: Resource, stage: Stage) -> str | None:
    """What is wrong, with both sides; None where the promise is kept, or is about something else."""
    if resource["Type"] != promise.type or not promise.when(stage):
        return None
    if promise.only and not _fits(promise.only, logical_id, resource):
        return None
    if promise.never and _fits(promise.never, logical_id, resource):
        return None
    wanted = promise.value(stage) if callable(promise.value) else promise.value
    values = list(dig(resource.get("Properties", {}), promise.path))
    if holds(promise.operator, values, wanted, stage, some="?" in promise.path.split(".")):
        return None
    shown = ", ".join(sorted({json.dumps(value)[:80] for value in values}))
    expected = promise.operator + ("" if wanted is None else f" {wanted}")
    return f"{promise.why}: {promise.path} is {shown}, and has to be: {expected}"


def holds(operator: str, values: list[Any], wanted: Any, stage: Stage | None, *, some: bool = False) -> bool:
    """Whether all of the values are so; with ``some``, whether one is."""
    try:
        found = [OPERATORS[operator](value, wanted, stage) for value in values]
    except (TypeError, ValueError):  # a word where a number belongs
        return False
    return any(found) if some else bool(found) and all(found)


def dig(value: Any, path: str) -> Iterator[Any]:
    """The values at a path; None where there is nothing."""
    step, _, rest = re.sub(r"(?<!\\)\.", "\0", path).partition("\0")
    rest = rest.replace("\0", ".")
    if step in ("*", "?"):
        inner = list(value) if isinstance(value, list) and value else [None]
    else:
        inner = [value.get(step.replace("\\.", ".")) if isinstance(value, Mapping) else None]
    for found in inner:
        if rest:
            yield from dig(found, rest)
        else:
            yield found


def ours(value: Any, stage: Stage | None) -> bool:
    """Whether a value is found at deployment in this account, or has its number in it."""
    text = json.dumps(value)
    if {*_ACCOUNT.findall(text)} - {stage.account if stage else None}:
        return False
    if "${AWS::AccountId}" in text:
        return True
    if isinstance(value, Mapping):
        return any(
            (name in _FOUND_AT_DEPLOYMENT and inner not in _PLACES) or ours(inner, stage)
            for name, inner in value.items()
        )
    if isinstance(value, list):
        return any(ours(inner, stage) for inner in value)
    return bool(stage and stage.account and stage.account in text)


def _fits(which: tuple[str, str], logical_id: str, resource: Resource) -> bool:
    path, pattern = which
    values = [logical_id] if path == "id" else dig(resource.get("Properties", {}), path)
    return any(re.search(pattern, value if isinstance(value, str) else json.dumps(value)) for value in values)


def _words(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else str(value or "").split(",")
    return [str(word).strip() for word in listed if word]


OPERATORS: Final[Mapping[str, Callable[[Any, Any, Stage | None], bool]]] = {
    # CloudFormation takes true and "true"; what is not there is not the word "None".
    "is": lambda found, wanted, _: found is not None and str(found).lower() == str(wanted).lower(),
    "one of": lambda found, wanted, _: found in wanted,
    "at least": lambda found, wanted, _: found is not None and float(found) >= wanted,
    "at most": lambda found, wanted, _: found is not None and 0 <= float(found) <= wanted,
    "at least, if set": lambda found, wanted, _: found is None or float(found) >= wanted,
    "at most, if set": lambda found, wanted, _: found is None or 0 <= float(found) <= wanted,
    "is set": lambda found, _, __: found not in (None, "", [], {}),
    "is not set": lambda found, _, __: found is None,
    "is not": lambda found, wanted, _: str(found) != str(wanted),
    "lists": lambda found, wanted, _: {*wanted} <= {*_words(found)},
    "only lists": lambda found, wanted, _: bool(found) and {*_words(found)} <= {*wanted},
    "only lists, if set": lambda found, wanted, _: found is None or {*_words(found)} <= {*wanted},
    "has elements": lambda found, wanted, _: isinstance(found, list) and len(found) >= wanted,
    "matches": lambda found, wanted, _: isinstance(found, str) and re.search(wanted, found) is not None,
    "mentions": lambda found, wanted, _: all(word in json.dumps(found) for word in wanted),
    "one of, or ours": lambda found, wanted, stage: ours(found, stage) or found in wanted,
    "is ours": lambda found, _, stage: ours(found, stage),
    "is ours, if set": lambda found, _, stage: found is None or ours(found, stage),
}
