"""The OpenAPI document: what FastAPI derives, corrected where it would not be true of this service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import JSONResponse

from service import errors
from service.errors import Call, Error, raised_by
from service.http.credentials import GATE_ERRORS, Scheme
from service.http.described import complete, refuse_same_names
from service.http.gate import ProtectedRoute, PublicRoute, VitalRoute
from service.http.shape import SHAPE, ErrorResponse, openapi_responses

_ALWAYS = (errors.BAD_REQUEST, errors.HEADERS_TOO_LARGE, errors.INTERNAL)
_UNLESS_VITAL = (errors.OVERLOADED, errors.STOPPING)
_PARAMETER = "openapi_parameter"
_WITH_INPUT = (errors.TOO_LARGE, errors.TIMED_OUT, errors.INVALID_REQUEST)


def parameter(described: Mapping[str, Any]) -> Callable[[Call], Call]:
    """Say which parameter a dependency reads by itself; every operation that uses it lists it.

    Args:
        described: A Parameter Object.
    """

    def mark(call: Call) -> Call:
        call.__dict__[_PARAMETER] = dict(described)
        return call

    return mark


def install(app: FastAPI, registry: Mapping[str, Error], schemes: Sequence[Scheme], *, public: bool) -> None:
    """Serve ``/openapi.json``.

    Args:
        app: The application, all routes in place.
        registry: Every row by code; the order of the rows is the order in which answers list them.
        schemes: How callers may present themselves.
        public: Whether anyone may read it; otherwise it takes a token.

    Raises:
        RuntimeError: Two operations have the same name.
    """
    refuse_same_names(_names(app))
    derive = app.openapi
    order = {code: index for index, code in enumerate(sorted(registry))}

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _corrected(derive(), dict(_operations(app, schemes)), schemes, order)
            complete(app.openapi_schema, _tags(app))
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend it

    async def openapi_json(_: Request) -> JSONResponse:
        return JSONResponse(document())

    kind = PublicRoute if public else ProtectedRoute
    app.router.routes.append(kind("/openapi.json", openapi_json, include_in_schema=False))


def _corrected(
    schema: dict[str, Any],
    operations: Mapping[tuple[str, str], tuple[bool, list[Error], list[dict[str, Any]]]],
    schemes: Sequence[Scheme],
    order: Mapping[str, int],
) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {scheme.name: dict(scheme.openapi) for scheme in schemes}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            protected, rows, parameters = operations[path, method]
            if parameters:
                operation["parameters"] = [*operation.get("parameters", ()), *parameters]
            answers = operation["responses"]
            takes_input = answers.pop("422", None) is not None
            operation["security"] = [{scheme.name: []} for scheme in schemes] if protected else []
            _add(answers, (*rows, *(_WITH_INPUT if takes_input else ()), *_ALWAYS), order)
    for unused in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(unused, None)
    components.setdefault("schemas", {}).update(_error_schemas())
    return schema


def _add(answers: dict[str, Any], rows: Iterable[Error], order: Mapping[str, int]) -> None:
    """Add rows to the answers of an operation, beside others of the same status."""
    for status, answer in openapi_responses(sorted(set(rows), key=lambda row: order.get(row.code, 0))).items():
        known = answers.setdefault(str(status), answer)
        content = known.setdefault("content", {}).setdefault("application/json", {})
        own = content.setdefault("schema", {**SHAPE})
        if own != SHAPE:  # what the route says of this status itself, such as readiness
            content["schema"] = {"anyOf": [own, {**SHAPE}]}
        examples = content.setdefault("examples", {})
        examples.update(answer["content"]["application/json"]["examples"])
        known["description"] = "; ".join(f"{code}: {row.get('summary', '')}" for code, row in examples.items())


def _operations(
    app: FastAPI, schemes: Sequence[Scheme]
) -> Iterator[tuple[tuple[str, str], tuple[bool, list[Error], list[dict[str, Any]]]]]:
    """For path and method of every operation: whether the gate guards it, the rows that its dependencies can raise,
    and the parameters that they read by themselves."""
    at_gate = [*GATE_ERRORS, *(row for scheme in schemes for row in scheme.errors)]
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            protected = isinstance(route, ProtectedRoute)
            below = list(_below(context.dependant))
            rows = [
                *(at_gate if protected else ()),
                *(() if isinstance(route, VitalRoute) else _UNLESS_VITAL),
                *raised_by(route.endpoint),
                *(r for c in below for r in raised_by(c)),
            ]
            parameters = [call.__dict__[_PARAMETER] for call in below if _PARAMETER in getattr(call, "__dict__", {})]
            for method in context.methods or ():
                yield (str(context.path_format), method.lower()), (protected, rows, parameters)


def _api_routes(app: FastAPI) -> Iterator[tuple[str, APIRoute, Iterable[str]]]:
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.include_in_schema:
            yield str(context.path_format), route, context.methods or ()


def _names(app: FastAPI) -> Iterator[tuple[str, str]]:
    for path, route, methods in _api_routes(app):
        for method in methods:
            yield route.unique_id, f"{method} {path}"


def _tags(app: FastAPI) -> dict[str, str]:
    found: dict[str, str] = {}
    for _, route, _ in _api_routes(app):
        for tag in route.tags:
            found.setdefault(str(tag), route.endpoint.__module__)
    return found


def _below(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _below(inner)


def _error_schemas() -> dict[str, Any]:
    schema = ErrorResponse.model_json_schema(ref_template="#/components/schemas/{model}")
    nested: dict[str, Any] = schema.pop("$defs")
    return {"ErrorResponse": schema, **nested}
