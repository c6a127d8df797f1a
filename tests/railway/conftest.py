"""A fake of Railway's API, and a client that does not wait long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.railway.api import Client
from infra.railway.operations import Railway
from tests.support.cloud.railway import FakeRailway


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests are slow on purpose, and these tests make thousands."""
    monkeypatch.setattr("infra.railway.sealed._COST", 4)


@pytest.fixture
def fake() -> Iterator[FakeRailway]:
    with FakeRailway() as running:
        yield running


@pytest.fixture
def client(fake: FakeRailway) -> Iterator[Client]:
    """Without a network between; test_api.py has one."""
    with fake.carried() as found:
        yield found


@pytest.fixture
def railway(client: Client) -> Railway:
    return Railway(client)
