"""The OpenAPI document of every feature there is: what programs that are generated from it rely on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, Field
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from examples.files.feature import FILES
from examples.notes.feature import NOTES
from service.app import create_app
from service.errors import Error, raises
from service.feature import Feature
from service.http.gate import Router
from service.http.shape import ErrorResponse
from service.naming import Names
from service.product import FEATURES, NAME, TITLE
from service.settings import load
from tests.support.api.environments import AUTH, GOOD
from tests.support.features import beside

FULL = Error("OTHER_001", 503, "Service unavailable", "Nothing is left", "Wait.")
own = Router(public=True, prefix="/api/v1/other", tags=["other"])


class Full(BaseModel):
    """What this route says beside the error of a dependency."""

    left: Annotated[int, Field(ge=0, le=9)]


class Note(BaseModel):
    """Of the same name as the class of another feature."""

    titled: str = Field(default="", title="A title of its own")


_FULL: dict[str, Any] = {"model": Full, "content": {"application/json": {"examples": {"x": {"value": {"left": 0}}}}}}


@own.get("", responses={503: _FULL, 400: {"description": "Of this route."}})
@raises(FULL)
async def list_others() -> list[Note]:
    """Nothing but this."""
    return []


OTHER = Feature(name="other", routers=(own,), errors=(FULL,))


def document(*features: Feature) -> dict[str, Any]:
    app = create_app(load(GOOD, AUTH), beside(*features), names=Names(NAME), title=TITLE)
    made: dict[str, Any] = app.openapi()
    return made


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return document(NOTES, FILES, OTHER)


def operations(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in whole["paths"].values():
        yield from methods.values()


def test_operations_and_types_have_names_of_their_own(whole: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(whole)]
    assert len(names) == len(set(names))
    assert {"list_notes", "add_note", "validate_token", "check_liveness", "list_others"} <= set(names)
    schemas = whole["components"]["schemas"]
    assert {name: schema["title"] for name, schema in schemas.items()} == {name: name for name in schemas}
    assert sum(name.endswith("Note") and not name.endswith("NewNote") for name in schemas) == 2
    assert json.dumps(whole).count('"title"') == len(schemas) + 1, "only a type has a title, and the document"


def test_two_operations_of_one_name_keep_the_application_from_being_made() -> None:
    again = Router(prefix="/api/v1/again", tags=["again"])

    @again.get("")
    async def list_notes() -> None: ...

    with pytest.raises(RuntimeError, match=r"list_notes exists twice, at GET /api/v1/notes and at GET /api/v1/again"):
        document(NOTES, Feature(name="again", routers=(again,)))


def test_who_may_call_stands_at_every_operation(whole: dict[str, Any]) -> None:
    for path, methods in whole["paths"].items():
        for operation in methods.values():
            public = "health" in path or "other" in path or "well-known" in path
            public = public or (path.startswith("/api/v1/auth/") and not path.endswith("/validate"))
            assert operation["security"] == ([] if public else [{"bearer": []}, {"files_key": []}]), path


def test_what_is_the_same_for_all_is_said_once_and_everywhere(whole: dict[str, Any]) -> None:
    assert [server["url"] for server in whole["servers"]] == [GOOD["PUBLIC_URL"]]
    assert {"description", "contact", "license"} <= whole["info"].keys()
    described = {tag["name"]: tag["description"] for tag in whole["tags"]}
    assert described["notes"] == "Notes of a tenant."
    for operation in operations(whole):
        assert set(operation["tags"]) <= described.keys()
        assert operation["description"]
        assert {"400", "431", "500"} <= operation["responses"].keys()
        for status, answer in operation["responses"].items():
            if status == "default":
                answer = whole["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            assert {"X-Request-ID", "Access-Control-Allow-Origin"} <= answer["headers"].keys()
            assert ("Retry-After" in answer["headers"]) == (status == "503")
            assert all(header["$ref"].rpartition("/")[2] == name for name, header in answer["headers"].items())


def examples(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Every example with the schema that it is of."""
    if isinstance(holder, list):
        for inner in holder:
            yield from examples(inner)
    if not isinstance(holder, dict):
        return
    if "schema" in holder:
        named = holder["examples"].values() if "examples" in holder else ()
        yield from ((holder["schema"], example["value"]) for example in named)
        if "example" in holder:
            yield holder["schema"], holder["example"]
    elif isinstance(holder.get("examples"), list):
        yield from (({k: v for k, v in holder.items() if k != "examples"}, example) for example in holder["examples"])
    for name, inner in holder.items():
        if name not in ("example", "examples"):
            yield from examples(inner)


def test_every_example_fits_its_schema(whole: dict[str, Any]) -> None:
    registry: Registry[Any] = Registry().with_resource("urn:document", Resource.from_contents(whole, DRAFT202012))
    found = list(examples(whole))
    assert len(found) > 100
    for schema, example in found:
        absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
        Draft202012Validator(absolute, registry=registry, format_checker=FormatChecker()).validate(example)


def test_bounds_follow_from_what_a_type_is(whole: dict[str, Any]) -> None:
    schemas = whole["components"]["schemas"]
    assert schemas["File"]["properties"]["bytes"]["format"] == "int32"
    assert schemas["Status"]["properties"]["uptime_seconds"]["format"] == "int64"
    assert schemas["File"]["properties"]["id"]["maxLength"] == 36


def test_no_schema_of_an_error_is_built_for_a_route() -> None:
    """FastAPI builds one for each status of each route at every start, a third of what making the routes takes."""
    routes = [route for feature in FEATURES for router in feature.routers for route in router.routes]
    fields = [field for route in routes if isinstance(route, APIRoute) for field in route.response_fields.values()]
    assert fields, "readiness says more than an error"
    assert ErrorResponse not in {field.field_info.annotation for field in fields}
