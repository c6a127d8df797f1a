"""What the OpenAPI document says beyond what FastAPI derives, for the routes of every feature alike.

Here stand the words with which models bound what they answer, and the one pass over the finished document that gives
tags, headers, titles and bounds which follow from what is there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any, Final

from pydantic import WithJsonSchema

PLAIN: Final = r"^[^\x00]*$"  # a text as PostgreSQL can keep it
LINE: Final = r"^[^\x00-\x1f\x7f]+$"  # on one line
_ABOUT: Final = """\
Every operation that names a security scheme takes a credential of the caller; which tenant is meant follows from it,
and from nothing else that is sent. An error has one shape, `ErrorResponse`; its `code` is stable. Every answer has an
`X-Request-ID`: name it when something is to be looked into. A 503 with `Retry-After` may be repeated."""
# What a format says of the length, in the canonical form.
_LENGTHS: Final = {"uuid": 36, "date": 10, "date-time": 40, "time": 24, "ipv4": 15, "ipv6": 45, "email": 320}
_FAILURE: Final = {"$ref": "#/components/responses/Failure"}
_REQUEST_ID, _ORIGIN = "X-Request-ID", "Access-Control-Allow-Origin"
_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    _REQUEST_ID: {
        "description": "Names this request in the log.",
        "schema": {"type": "string", "maxLength": 64, "pattern": "^[0-9a-f-]+$"},
        "example": "0b1e2d3c-4f5a-6b7c-8d9e-0f1a2b3c4d5e",
    },
    _ORIGIN: {
        "description": "To a page of ALLOWED_ORIGINS: its origin.",
        "schema": {"type": "string", "format": "uri", "maxLength": 320},
        "example": "https://app.example.com",
    },
    "Retry-After": {
        "description": "Seconds until it is worth another try; left out where the change may have been stored.",
        "schema": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 3600},
        "example": 5,
    },
    "WWW-Authenticate": {
        "description": "How to present oneself (RFC 6750).",
        "schema": {"type": "string", "maxLength": 1000, "pattern": LINE},
        "example": 'Bearer realm="api"',
    },
    "Location": {
        "description": "Where to go on.",
        "schema": {"type": "string", "format": "uri", "maxLength": 16384},
        "example": "https://app.example.com/",
    },
}
_BY_STATUS: Final = {"303": "Location", "401": "WWW-Authenticate", "503": "Retry-After"}


def told(longest: int, pattern: str = LINE) -> WithJsonSchema:
    """What the document promises of a text that is answered; at an answer it is not judged again.

    Args:
        longest: In characters.
        pattern: Holds for the whole text.
    """
    return WithJsonSchema({"type": "string", "maxLength": longest, "pattern": pattern})


def counted(most: int) -> WithJsonSchema:
    """The same for a number from 0 on.

    Args:
        most: It never passes this.
    """
    return WithJsonSchema({"type": "integer", "minimum": 0, "maximum": most})


def complete(document: dict[str, Any], tags: Mapping[str, str]) -> None:
    """Say in a document what is the same for all operations, and what follows from what it says.

    Args:
        document: Complete otherwise; changed in place.
        tags: Name of each and the module that its operations are in.
    """
    info, components = document["info"], document.setdefault("components", {})
    info.setdefault("description", _ABOUT)
    info.setdefault("contact", {"name": info["title"]})  # no address: at the root of an API there is no page
    info.setdefault("license", _license())
    document["servers"] = [{"x-internal": False, **server} for server in document["servers"]]
    document["tags"] = [{"name": name, "description": _first_line(module)} for name, module in sorted(tags.items())]
    components["headers"] = dict(_HEADERS)
    components.setdefault("responses", {})["Failure"] = {
        "description": "What else went wrong, in the one shape that every error has.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}},
        "headers": _headers(None),
    }
    for operation in (one for methods in document["paths"].values() for one in methods.values()):
        for status, answer in operation["responses"].items():
            answer["headers"] = _headers(_BY_STATUS.get(status)) | answer.get("headers", {})
        operation["responses"]["default"] = _FAILURE
    for schema in _schemas(document):
        _bound(schema)
        schema.pop("title", None)  # what FastAPI makes of a field's name: generators would name types by it, twice
    for name, schema in components["schemas"].items():
        schema["title"] = name  # a class of the same name elsewhere is another type


def _headers(of_status: str | None) -> dict[str, Any]:
    names = (_REQUEST_ID, _ORIGIN, *((of_status,) if of_status else ()))
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _bound(schema: dict[str, Any]) -> None:
    kind = schema.get("type")
    if kind == "string" and schema.get("format") in _LENGTHS:
        schema.setdefault("maxLength", _LENGTHS[schema["format"]])
    if kind == "integer" and {"minimum", "maximum"} <= schema.keys():
        small = schema["minimum"] >= -(2**31) and schema["maximum"] < 2**31
        schema.setdefault("format", "int32" if small else "int64")


def _schemas(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every schema of a document, however deep; what stands in an example is none."""
    for schema in document["components"]["schemas"].values():
        yield from _within(schema)
    for methods in document["paths"].values():
        for operation in methods.values():
            for described in (*operation.get("parameters", ()), *_contents(operation)):
                if "schema" in described:
                    yield from _within(described["schema"])


def _contents(operation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from holder.get("content", {}).values()


def _within(schema: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(schema, dict):  # true and false are schemas too
        return
    yield schema
    for key in ("properties", "patternProperties", "$defs"):
        for inner in schema.get(key, {}).values():
            yield from _within(inner)
    for key in ("items", "additionalProperties", "not", "contains", "propertyNames"):
        yield from _within(schema.get(key))
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for inner in schema.get(key, ()):
            yield from _within(inner)


def _first_line(module: str) -> str:
    """The first sentence about a module, which says what its operations are for."""
    line = (sys.modules[module].__doc__ or module).strip().splitlines()[0]
    return line.partition(". ")[0].rstrip(".") + "."


def _license() -> dict[str, str]:
    try:
        name = str(metadata("signalbox").json.get("license_expression", ""))
    except PackageNotFoundError:  # run from a source tree that was never installed
        name = ""
    return {"name": name, "url": f"https://spdx.org/licenses/{name}.html"} if name else {"name": "Not stated"}


def refuse_same_names(operations: Iterator[tuple[str, str]]) -> None:
    """Check that every operation has a name of its own: clients name their methods after it.

    Args:
        operations: The name and the place (method and path) of each.

    Raises:
        RuntimeError: Two have the same; the text names both places.
    """
    taken: dict[str, str] = {}
    for name, place in operations:
        if (other := taken.setdefault(name, place)) != place:
            raise RuntimeError(
                f"The operation {name} exists twice, at {other} and at {place}: rename one of the functions, or give "
                "its route an operation_id"
            )
