"""The two sides of a sign-in: a provider that says what a test wants, and a browser; and a client that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.support.idp.op import ScriptedProvider


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as opened:
        yield opened


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


@pytest.fixture
def provider(scripted: ScriptedProvider) -> ScriptedProvider:
    """A correct one, until the test says otherwise."""
    scripted.reset()
    return scripted


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    """For the service as a process: it keeps cookies and follows no redirect."""
    with httpx.Client(timeout=20) as opened:
        yield opened
