"""Which changes would break a client of the last release: one of each kind, on the document of the notes example."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from examples.notes.feature import NOTES
from infra.cli.main import main
from infra.docs import openapi
from infra.docs.compatible import breaks
from tests.service.http.test_openapi import document

NOTE, NEW = "components.schemas.Note", "components.schemas.NewNote"
LIST, ADD = "paths./api/v1/notes.get", "paths./api/v1/notes.post"
BODY = f"{NEW}.properties.body"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    return document(NOTES)


def at(document: Any, path: str) -> Any:
    head, *rest = path.split("./") if "./" in path else (path,)
    for key in head.split("."):
        document = document[key]
    if rest:
        route, _, method = rest[0].rpartition(".")
        document = document[f"/{route}"][method]
    return document


def put(place: str, **values: Any) -> Change:
    return lambda document: at(document, place).update(values)


def drop(place: str, *names: str) -> Change:
    def change(document: Any) -> None:
        holder = at(document, place)
        for name in names:
            holder.remove(name) if isinstance(holder, list) else holder.pop(name)

    return change


FIELD = {"type": "string", "maxLength": 5}
LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer"}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["paths"].pop("/api/v1/notes/{note_id}"), "GET /api/v1/notes/{} is gone"),
        (put(LIST, operationId="all_notes"), "was called list_notes and is called all_notes"),
        (put(ADD, parameters=[]), "no longer reads the header parameter idempotency-key"),
        (put(LIST, parameters=[{**LIMIT, "required": True}]), "needs the query parameter limit"),
        (put(LIST, security=[{"other": []}]), "no longer takes a caller with bearer"),
        (lambda d: at(d, LIST)["responses"].pop("200"), "no longer answers 200"),
        (put(BODY, maxLength=10), "body, body: maxLength was 1000 and is 10"),
        (put(BODY, minLength=1), "body, body: minLength was free and is 1"),
        (put(BODY, type="integer"), "body, body: was string and is integer"),
        (put(BODY, enum=["a"]), "body, body: was any and is ['a']"),
        (put(BODY, pattern="^a$"), "body, body: the pattern is another"),
        (put(NEW, required=["body", "slug"]), "body: slug is needed"),
        (drop(f"{NEW}.properties", "slug"), "body: slug is gone"),
        (drop(f"{NOTE}.required", "body"), "answer 200: body may be missing"),
        (drop(f"{NOTE}.properties", "id"), "answer 200: id is gone"),
        (put(f"{NOTE}.properties.body", maxLength=5000), "answer 200, body: maxLength was 1000 and is 5000"),
        (put(f"{NOTE}.properties", body={"anyOf": [FIELD, {"type": "null"}]}), "was string and is null"),
        (put(f"{NOTE}.properties.id", format="date"), "format was uuid and is date"),
        (put("components.schemas.Live.properties.status", const="well"), "was ['ok'] and is ['well']"),
    ],
)
def test_what_breaks_a_client_is_named(before: dict[str, Any], change: Change, said: str) -> None:
    after = copy.deepcopy(before)
    change(after)
    assert any(said in line for line in breaks(before, after)), list(breaks(before, after))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: None,
        lambda d: d["paths"].update({"/api/v1/more": at(d, LIST) and {"get": at(d, LIST)}}),
        put(LIST, parameters=[LIMIT]),
        put(LIST, security=[]),
        put(BODY, maxLength=9000),
        put(f"{NEW}.properties", more=FIELD),
        put(f"{NOTE}.properties", more=FIELD),
        put(f"{NOTE}.properties.body", maxLength=10, enum=["a"]),
        put(f"{NEW}", required=[]),
        put(f"{NEW}.properties", body={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        lambda d: d["paths"].update({"/api/v1/notes/{id}": d["paths"].pop("/api/v1/notes/{note_id}")}),
    ],
)
def test_what_a_client_does_not_notice_is_not(before: dict[str, Any], change: Change) -> None:
    after = copy.deepcopy(before)
    change(after)
    assert list(breaks(before, after)) == []


def test_a_type_that_holds_itself_is_compared_once(before: dict[str, Any]) -> None:
    changed = copy.deepcopy(before)
    for one in (before := copy.deepcopy(before), changed):
        put(f"{NOTE}.properties", answers={"type": "array", "items": {"$ref": "#/components/schemas/Note"}})(one)
    drop(f"{NOTE}.required", "id")(changed)
    assert any("id may be missing" in line for line in breaks(before, changed))


def test_one_command_says_it_and_a_version_can_say_that_it_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = openapi.document()
    monkeypatch.setattr("infra.cli.api.ROOT", tmp_path)
    (tmp_path / openapi.RELEASED).parent.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"')

    def check(released: str) -> tuple[int, str]:
        (tmp_path / openapi.RELEASED).write_text(released)
        done = CliRunner().invoke(main, ["openapi", "--check"])
        return done.exit_code, done.output

    assert check(json.dumps(old)) == (0, "Clients of the last release go on working.\n")
    old["paths"]["/api/v1/gone"] = old["paths"]["/api/v1/health/live"]
    code, told = check(json.dumps(old))
    assert (code, "GET /api/v1/gone is gone" in told) == (1, True)
    old["info"]["version"] = "0.0.9"
    assert check(json.dumps(old))[0] == 0
    code, told = check("[]")
    assert (code, "git checkout v0.1.0 -- docs/reference/openapi-released.json" in told) == (1, True)
