"""Fixtures that several folders use: a real PostgreSQL as RDS presents it, a real issuer, a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

# from infra.local.postgres import LocalPostgres
# from tests.support.database import Databases
from tests.support.issuer import Issuer


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running
