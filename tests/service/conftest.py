"""What several files of the service's tests start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cloud.emulator import Emulator
from tests.support.database.databases import Database, Databases
from tests.support.idp.issuer import Issuer


@pytest.fixture(scope="module")
def module_issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def module_database(databases: Databases) -> Database:
    return databases.migrated()


@pytest.fixture(scope="session")
def aws() -> Iterator[Emulator]:
    """One local AWS for every test that needs keys or secrets; each makes its own, under a name of its own."""
    with Emulator() as running:
        yield running
