"""What an operator sees of a start when the schema is behind, ahead, being migrated by others, or out of reach."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import asyncpg
import pytest

from service.database.migrations import expected
from service.product import FEATURES
from tests.support.api.server import Server, free_port
from tests.support.api.zygote import Divided, run
from tests.support.database.databases import (
    MASTER,
    MASTER_PASSWORD,
    Database,
    Databases,
    migrate,
    migration_environment,
    newest,
    start_migration,
)
from tests.support.idp.issuer import Issuer

_LOCK = 0x7369676E616C6278  # migrations/turn.py
(_REVISION,) = expected().heads  # the template's own
_PRODUCTS = expected([feature.migrations for feature in FEATURES if feature.migrations]).heads


@pytest.fixture
def empty(databases: Databases) -> Database:
    return databases.empty()


def replica(database: Database, issuer: Issuer, *, fresh: bool = False, **more: str) -> Server:
    environment = {**issuer.environment(), "DATABASE_URL": database.url(MASTER, MASTER_PASSWORD), **more}
    return Server(environment, fresh=fresh)


def checks(server: Server, database: str | None = None) -> dict[str, str]:
    """As readiness tells them once the database was asked; until it is as ``database`` says, or all is well."""
    deadline = time.monotonic() + 10
    while True:
        asked = any(event.get("check") == "database" for event in server.events())
        found: dict[str, str] = server.get("/api/v1/health/ready").json()["checks"]
        done = found["database"] == database if database else found["migrations"] == "ok" or found["database"] != "ok"
        if (asked and done) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def applied(database: Database) -> list[str]:
    return [row[0] for row in database.as_superuser("select version_num from migrations.alembic_version")]


def untouched(database: Database) -> bool:
    (found,) = database.as_superuser("select to_regnamespace('migrations') is null and to_regnamespace('app') is null")
    return bool(found[0])


@contextmanager
def started(database: Database, **more: str) -> Iterator[Divided]:
    """A start that is not expected to come to serving."""
    environment = migration_environment(database) | {"HOST": "127.0.0.1", "PORT": str(free_port()), **more}
    process = Divided(["service"], environment, apart=True)
    try:
        yield process
    finally:
        process.kill()


@contextmanager
def turn_taken(database: Database) -> Iterator[tuple[asyncio.Runner, asyncpg.Connection]]:
    """Somebody else is migrating: an open transaction that holds the lock."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database.url(MASTER, MASTER_PASSWORD).partition("?")[0], ssl=False))
        try:
            runner.run(connection.execute("begin"))
            runner.run(connection.execute(f"select pg_advisory_xact_lock({_LOCK})"))
            yield runner, connection
        finally:
            runner.run(connection.close())


def wait_for_waiting(database: Database, count: int) -> None:
    deadline = time.monotonic() + 60
    waiting = (  # they ask again and again, and hold nothing in between
        "select count(*) from pg_stat_activity "
        "where application_name = 'signalbox-migrations' and datname = current_database()"
    )
    while database.as_superuser(waiting)[0][0] < count:
        assert time.monotonic() < deadline, "they never waited for their turn"
        time.sleep(0.02)


def test_auto_migrates_an_empty_database_before_it_serves(empty: Database, issuer: Issuer) -> None:
    with replica(empty, issuer, fresh=True) as server:
        assert checks(server)["migrations"] == "ok"
    messages = [event["message"] for event in server.events()]
    assert "migrations_applied" in messages
    assert server.process.returncode == 0


def test_three_replicas_and_the_pre_deploy_command_at_once_all_succeed(empty: Database, issuer: Issuer) -> None:
    replicas = [replica(empty, issuer) for _ in range(3)]
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        with turn_taken(empty):  # so that each of them finds the schema behind, and all four stand in line
            command = start_migration(empty)
            serving = [pool.submit(stack.enter_context, server) for server in replicas]
            wait_for_waiting(empty, 4)
        out, err = command.communicate(timeout=60)
        assert [checks(future.result())["migrations"] for future in serving] == ["ok"] * 3
    assert command.returncode == 0, out + err
    # The command also applies the migrations of features, each a line of its own.
    assert set(applied(empty)) == newest()
    assert not empty.as_superuser("select from pg_locks where locktype = 'advisory'")


def test_manual_refuses_a_schema_that_is_behind_and_names_the_command(empty: Database, issuer: Issuer) -> None:
    with started(empty, RUN_MIGRATIONS="manual") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "python -m migrations upgrade" in err
    assert f"needed: {_REVISION}" in err
    assert "Traceback" not in out + err
    assert MASTER_PASSWORD not in out + err
    assert untouched(empty)

    assert run(["migrations", "upgrade"], migration_environment(empty)).returncode == 0
    with replica(empty, issuer, RUN_MIGRATIONS="manual") as server:
        assert checks(server)["migrations"] == "ok"


@pytest.mark.parametrize("mode", ["auto", "manual"])
def test_a_schema_that_newer_code_has_migrated_is_served_and_left_alone(
    empty: Database, issuer: Issuer, mode: str
) -> None:
    assert migrate(empty).returncode == 0
    empty.as_superuser("delete from migrations.alembic_version")
    empty.as_superuser("insert into migrations.alembic_version values ('of_newer_code')")
    with replica(empty, issuer, RUN_MIGRATIONS=mode) as server:
        assert checks(server)["migrations"] == "ok"
    assert applied(empty) == ["of_newer_code"]


def test_newer_code_that_migrates_while_a_replica_waits_does_not_fail_it(empty: Database, issuer: Issuer) -> None:
    server = replica(empty, issuer)
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        with turn_taken(empty) as (runner, connection):
            serving = pool.submit(stack.enter_context, server)
            wait_for_waiting(empty, 1)
            runner.run(connection.execute("create schema migrations"))
            runner.run(connection.execute("create table migrations.alembic_version (version_num text primary key)"))
            runner.run(connection.execute("insert into migrations.alembic_version values ('of_newer_code')"))
            runner.run(connection.execute("commit"))
        assert checks(serving.result())["migrations"] == "ok"
    assert applied(empty) == ["of_newer_code"]


def test_without_its_database_it_serves_what_needs_none_and_migrates_once_it_is_back(
    databases: Databases, issuer: Issuer
) -> None:
    missing = Database(databases.server, "later_auto")
    with replica(missing, issuer) as server:
        assert checks(server)["database"] == "unavailable"
        assert server.get("/api/v1/auth/validate", issuer.token()).status_code == 200
        Database(databases.server, "postgres").as_superuser(f"create database {missing.name} owner {MASTER}")
        deadline = time.monotonic() + 30
        while server.get("/api/v1/health/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert "schema_unknown" in [event["message"] for event in server.events()]
    assert set(applied(missing)) == _PRODUCTS


def test_manual_refuses_a_schema_that_is_behind_also_when_it_learns_of_it_later(
    databases: Databases, issuer: Issuer
) -> None:
    missing = Database(databases.server, "later_manual")
    with replica(missing, issuer, RUN_MIGRATIONS="manual") as server:
        assert checks(server)["database"] == "unavailable"
        Database(databases.server, "postgres").as_superuser(f"create database {missing.name} owner {MASTER}")
        assert server.process.wait(30) == 1
    assert any("python -m migrations upgrade" in line for line in server.lines)
    assert untouched(missing)


def test_it_lives_and_takes_no_request_while_the_database_hangs_at_start(issuer: Issuer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # accepts, and never says a word
        port = hanging.getsockname()[1]
        address = f"postgresql://{MASTER}:x@127.0.0.1:{port}/none?sslmode=disable"
        server = Server({**issuer.environment(), "DATABASE_URL": address}, fresh=True)
        server.start(wait=False)
        try:
            answers = [server.get(f"/api/v1/health/{name}").status_code for name in ("live", "ready")]
            refused = server.get("/api/v1/auth/validate", issuer.token())
            told = [event["message"] for event in server.events()]
        finally:
            server.__exit__()
    assert answers == [200, 503]
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "SYS_014")
    assert refused.headers["Retry-After"]
    assert "schema_unknown" not in told, "the question to the database has not ended yet"


def test_sigterm_ends_a_start_that_waits_for_its_turn(empty: Database) -> None:
    with turn_taken(empty), started(empty) as process:
        wait_for_waiting(empty, 1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert err == ""
    assert "migrations_applied" not in out
    assert untouched(empty)


def test_migrations_that_fail_end_the_start_with_one_message_and_no_trace(empty: Database) -> None:
    empty.as_superuser("do $$ begin create role weak login password 'weak-password'; exception when others then end $$")
    empty.as_superuser(f"grant connect on database {empty.name} to weak")
    with started(empty, DATABASE_URL=empty.url("weak", "weak-password")) as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "DATABASE_MIGRATION_SECRET_ID" in err
    assert "Traceback" not in out + err
    assert "migrations_failed" in out
    assert untouched(empty)
