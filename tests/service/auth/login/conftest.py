"""A browser, a provider with a page of its own, and the service between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from tests.support.api.chromium import chromium
from tests.support.api.server import Server, free_port
from tests.support.database.databases import Databases
from tests.support.idp.peers import CLIENT_SECRET, OpenIdProvider


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def others() -> Mapping[str, str]:
    """Settings of further providers, where a module has some."""
    return {}


@pytest.fixture(scope="module")
def server(peers: Path, databases: Databases, port: int, others: Mapping[str, str]) -> Iterator[Server]:
    with OpenIdProvider.running(port) as provider:
        environment = {
            **provider.settings("basic", secret=CLIENT_SECRET),
            **others,
            "DATABASE_URL": databases.migrated().url(),
        }
        with Server(environment, "tests.support.api.serve", port=provider.api_port) as running:
            yield running


@pytest.fixture(scope="module")
def window() -> Iterator[WebDriver]:
    with chromium() as opened:
        yield opened
