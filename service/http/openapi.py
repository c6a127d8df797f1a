"""The OpenAPI document: what FastAPI derives, corrected where it would not be true of this service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import JSONResponse

from service import errors
from service.database.session import tenant_session
from service.errors import Error, openapi_responses
from service.http.gate import SECURITY_SCHEME, ProtectedRoute, PublicRoute

_ALWAYS = (errors.INTERNAL,)
_WITH_INPUT = (errors.BAD_REQUEST, errors.TOO_LARGE, errors.INVALID_REQUEST)
_WITH_SESSION = (errors.DATABASE_DOWN, errors.SECRETS_DOWN)


def install(app: FastAPI, *, public: bool) -> None:
    """Serve ``/openapi.json``.

    Args:
        app: The application, all routes in place.
        public: Whether anyone may read it; otherwise it takes a token.
    """
    derive = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _corrected(derive(), set(_with_session(app)))
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend it

    async def openapi_json(_: Request) -> JSONResponse:
        return JSONResponse(document())

    kind = PublicRoute if public else ProtectedRoute
    app.router.routes.append(kind("/openapi.json", openapi_json, include_in_schema=False))


def _corrected(schema: dict[str, Any], with_session: set[tuple[str, str]]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {SECURITY_SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            takes_input = answers.pop("422", None) is not None
            session = _WITH_SESSION if (path, method) in with_session else ()
            _add(answers, (*_ALWAYS, *(_WITH_INPUT if takes_input else ()), *session))
    for unused in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(unused, None)
    components.setdefault("schemas", {}).update(_error_schemas())
    return schema


def _add(answers: dict[str, Any], rows: Iterable[Error]) -> None:
    """Add rows to the answers of an operation, beside others of the same status."""
    for status, answer in openapi_responses(rows).items():
        answer.pop("model")
        answer["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/ErrorResponse"}
        known = answers.setdefault(str(status), answer)
        examples = known["content"]["application/json"].setdefault("examples", {})
        examples.update(answer["content"]["application/json"]["examples"])
        known["description"] = "; ".join(f"{code}: {row['summary']}" for code, row in examples.items())


def _with_session(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Path and method of every operation that opens a tenant's session, so that no feature has to say so itself."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and _asks_for(route.dependant, tenant_session):
            yield from ((str(context.path_format), method.lower()) for method in context.methods or ())


def _asks_for(dependant: Dependant, call: object) -> bool:
    return any(inner.call is call or _asks_for(inner, call) for inner in dependant.dependencies)


def _error_schemas() -> dict[str, Any]:
    schema = errors.ErrorResponse.model_json_schema(ref_template="#/components/schemas/{model}")
    nested: dict[str, Any] = schema.pop("$defs")
    return {"ErrorResponse": schema, **nested}
