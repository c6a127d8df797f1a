"""The application inside the test's own process, with a browser in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from fastapi import FastAPI

from service.app import create_app
from service.naming import Names
from service.product import FEATURES, NAME, TITLE
from service.settings import Settings, load
from tests.support.api.environments import AUTH

API = "http://127.0.0.1:8000"
LOGIN_COOKIE = Names(NAME).login_cookie
NOWHERE = f"postgresql://{Names(NAME).app_role}:x@127.0.0.1:1/none?sslmode=disable"


def product(settings: Settings) -> FastAPI:
    """The adopter's application, not started."""
    return create_app(settings, FEATURES, names=Names(NAME), title=TITLE)


@asynccontextmanager
async def application(environment: Mapping[str, str]) -> AsyncIterator[FastAPI]:
    """A started application."""
    base = {"ENVIRONMENT": "development", "PUBLIC_URL": API, "DATABASE_URL": NOWHERE}
    app = product(load({**base, **environment}, AUTH))
    async with app.router.lifespan_context(app):
        yield app


class Browser:
    """Keeps cookies, follows no redirect."""

    def __init__(self, app: FastAPI, base_url: str = API) -> None:
        self.app = app
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)

    async def begin(self, provider: str = "op", return_to: str | None = None) -> dict[str, str]:
        """Press the button; what the provider is asked."""
        options: dict[str, Any] = {"params": {"return_to": return_to}} if return_to else {}
        answer = await self.client.get(f"/api/v1/auth/{provider}/login", **options)
        assert answer.status_code == 303, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))

    async def come_back(self, provider: str = "op", **fields: str) -> httpx.Response:
        """Be sent back by the provider."""
        return await self.client.get(f"/api/v1/auth/{provider}/callback", params=fields)

    async def redeem(self, code: str) -> httpx.Response:
        return await self.client.post("/api/v1/auth/token", json={"login_code": code})


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]
