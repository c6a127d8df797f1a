"""The OpenAPI document: what FastAPI derives, corrected where it would not be true of this service."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse

from service import errors
from service.errors import openapi_responses
from service.routing import SECURITY_SCHEME, ProtectedRoute, PublicRoute

_ALWAYS = (errors.INTERNAL,)
_WITH_INPUT = (errors.BAD_REQUEST, errors.TOO_LARGE, errors.INVALID_REQUEST)


def install(app: FastAPI, *, public: bool) -> None:
    """Serve ``/openapi.json``.

    Args:
        app: The application, all routes in place.
        public: Whether anyone may read it; otherwise it takes a token.
    """
    derive = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _corrected(derive())
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend it

    async def openapi_json(_: Request) -> JSONResponse:
        return JSONResponse(document())

    kind = PublicRoute if public else ProtectedRoute
    app.router.routes.append(kind("/openapi.json", openapi_json, include_in_schema=False))


def _corrected(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {SECURITY_SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    for path in schema["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            takes_input = answers.pop("422", None) is not None
            for status, answer in openapi_responses(_ALWAYS + (_WITH_INPUT if takes_input else ())).items():
                answer.pop("model")
                answer["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/ErrorResponse"}
                answers.setdefault(str(status), answer)
    for unused in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(unused, None)
    components.setdefault("schemas", {}).update(_error_schemas())
    return schema


def _error_schemas() -> dict[str, Any]:
    schema = errors.ErrorResponse.model_json_schema(ref_template="#/components/schemas/{model}")
    nested: dict[str, Any] = schema.pop("$defs")
    return {"ErrorResponse": schema, **nested}
