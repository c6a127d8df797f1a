"""Fixtures that several folders use: a real PostgreSQL as RDS presents it, a real issuer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.postgres import LocalPostgres, temporary_postgres
from tests.support.database import Database, Databases
from tests.support.issuer import Issuer
from tests.support.peers import install


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """One server for the whole run. A test that stops, kills or pauses it must start one of its own."""
    with temporary_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: LocalPostgres) -> Databases:
    return Databases(postgres)


@pytest.fixture
def database(databases: Databases) -> Database:
    """A database of this test's own, migrated, with the tables of the test's feature."""
    return databases.migrated()


@pytest.fixture(scope="session")
def peers() -> Path:
    """Providers from npm, installed once."""
    return install()
