"""What an answer gets beside its own headers: the short way gives what Starlette's CORS middleware would."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.http.request import EXPOSED, RequestMiddleware

pytestmark = pytest.mark.anyio

LISTED, OTHER = "https://app.example.com", "https://evil.example.com"
OWN: tuple[dict[str, str], ...] = (
    {},
    {"Vary": "Accept"},
    {"Cache-Control": "max-age=60"},
    {"Access-Control-Allow-Origin": "*", "X-Frame-Options": "SAMEORIGIN"},
    {"Access-Control-Expose-Headers": "Secret", "Content-Type": "text/plain"},
)


async def answer_of(app: Any, origin: str | None) -> list[tuple[bytes, bytes]]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [] if origin is None else [(b"origin", origin.encode())]
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b""}
    await app({**scope, "headers": headers}, receive, send)
    return list(sent[0]["headers"])


def merged(headers: list[tuple[bytes, bytes]]) -> dict[str, set[str]]:
    """Fields by name; a list in several fields is the list in one (RFC 9110, section 5.3)."""
    found: dict[str, set[str]] = {}
    for name, value in headers:
        found.setdefault(name.decode(), set()).update(part.strip() for part in value.decode().split(","))
    return found


@pytest.mark.parametrize(("own", "origin"), [*itertools.product(OWN, (None, LISTED, OTHER))])
async def test_an_answer_says_of_origins_what_starlette_says(own: dict[str, str], origin: str | None) -> None:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b"{}", headers=own)(scope, receive, send)

    ours = RequestMiddleware(
        handler, allowed_origins=[LISTED], allowed_headers=(), local_origins=False, max_body_bytes=1024
    )
    starlettes = CORSMiddleware(
        handler,
        allow_origins=[LISTED],
        allow_credentials=True,
        expose_headers=EXPOSED,
    )
    found, expected = merged(await answer_of(ours, origin)), merged(await answer_of(starlettes, origin))
    for name in expected:
        assert found[name] == expected[name]
    for name, value in {"cache-control": "no-store", "x-frame-options": "DENY"}.items():
        stands = MutableHeaders(headers=own).get(name, value)
        assert found[name] == {stands}, "what a handler says stands, what it does not say is added"
    assert len(found["x-request-id"]) == 1
    (length,) = [value for name, value in await answer_of(ours, origin) if name == b"content-length"]
    assert length == b"2"
    assert {name for name in found if name.startswith("access-control-")} == {
        name for name in expected if name.startswith("access-control-")
    }
