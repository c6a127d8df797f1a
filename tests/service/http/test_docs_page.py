"""Who sees the API's documentation, and what that page may load."""

from __future__ import annotations

import re

import anyio
import httpx
import pytest

from service.settings import load
from tests.support.api.app import product
from tests.support.api.environments import AUTH, GOOD

FILES = ("/docs", "/docs/page.js", "/docs/page.css", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css")


def ask(path: str, **variables: str) -> httpx.Response:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(product(load({**GOOD, **variables}, AUTH)))
        async with httpx.AsyncClient(transport=transport, base_url="https://api.example.com") as client:
            return await client.get(path)

    return anyio.run(get)


@pytest.mark.parametrize(
    ("variables", "open_to_all"),
    [
        ({}, False),
        ({"DOCS": "on"}, True),
        ({"ENVIRONMENT": "staging"}, True),
        ({"ENVIRONMENT": "staging", "DOCS": "off"}, False),
    ],
)
def test_production_shows_no_documentation_unless_it_is_switched_on(
    variables: dict[str, str], open_to_all: bool
) -> None:
    assert ask("/openapi.json", **variables).status_code == (200 if open_to_all else 401)
    for path in FILES:
        assert ask(path, **variables).status_code == (200 if open_to_all else 404), path


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_inline_script() -> None:
    page = ask("/docs", DOCS="on")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert named
    for address in named:
        assert address.startswith("/docs/")
        assert ask(address, DOCS="on").status_code == 200
    assert not re.search(r"<script(?![^>]*src=)|style=|onload=", page.text)
