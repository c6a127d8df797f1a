"""One server of the database that drills may break, one table of what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from infra.local.postgres import LocalPostgres, temporary_postgres
from tests.faults.drill import Row, Traffic, promised, table
from tests.faults.mended import Mended
from tests.support.api.server import Server
from tests.support.database.databases import Database, Databases
from tests.support.idp.issuer import Issuer

_rows: list[Row] = []
_taken_out: list[tuple[Mended, str]] = []


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether drills were asked for: they then last as long as it takes to measure something."""
    return "faults" in request.config.option.markexpr


@pytest.fixture(scope="session")
def in_full(long: bool) -> None:
    """For a drill that has no short form; it comes before what would be started for it."""
    if not long:
        pytest.skip("there is no short form of it: -m faults")


@pytest.fixture(scope="session")
def postgres_to_break() -> Iterator[LocalPostgres]:
    with temporary_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def database_to_break(postgres_to_break: LocalPostgres) -> Database:
    return Databases(postgres_to_break).migrated()


@pytest.fixture(scope="module")
def issuer_of_drills() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def server(database_to_break: Database, issuer_of_drills: Issuer) -> Iterator[Server]:
    """The service beside that database, as most drills want it; one of its providers is never there."""
    gone = {"IDP__GONE__KIND": "cognito", "IDP__GONE__ISSUER": "http://127.0.0.1:1", "IDP__GONE__CLIENT_ID": "x"}
    environment = {
        **issuer_of_drills.environment(),
        **gone,
        "DATABASE_URL": database_to_break.url(),
        "LOG_LEVEL": "INFO",
    }
    with Server(environment, "tests.support.api.serve") as running:
        running.until_ready()
        yield running


@pytest.fixture
def traffic(database_to_break: Database, issuer_of_drills: Issuer) -> Traffic:
    return Traffic(database_to_break, issuer_of_drills)


@pytest.fixture
def told(pytestconfig: pytest.Config) -> Callable[[Row], Row]:
    """Puts a row into the table, and holds what every drill promises."""

    def tell(row: Row) -> Row:
        _rows.append(row)
        return promised(row)

    return tell


@pytest.fixture
def took_out() -> Callable[[Mended, str], None]:
    """Puts a line that was taken out into the table, with what its drill said then."""

    def tell(mended: Mended, said: str) -> None:
        _taken_out.append((mended, said))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _rows:
        terminalreporter.write_sep("=", "drills")
        terminalreporter.write_line(table(_rows))
        _rows.clear()
    if _taken_out:
        terminalreporter.write_sep("=", "without the line")
        for mended, said in _taken_out:
            terminalreporter.write_line(f"{mended.name} ({mended.file}): {mended.line}\n    {mended.drill}\n    {said}")
        _taken_out.clear()
