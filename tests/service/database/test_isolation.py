"""Two tenants, one table, one connection: neither ever sees a row of the other, whatever fails in between."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from tests.support.api.server import Server
from tests.support.database.databases import APP, OWNER, Database
from tests.support.idp.issuer import Issuer

FEATURES = "tests.support.api.serve"


@pytest.fixture(scope="module")
def server(module_issuer: Issuer, module_database: Database) -> Iterator[Server]:
    """One connection, so that every request meets what the one before has left on it."""
    environment = {
        **module_issuer.environment(),
        "DATABASE_URL": module_database.url(),
        "DATABASE_POOL_SIZE": "1",
        "DATABASE_MAX_OVERFLOW": "0",
    }
    with Server(environment, FEATURES) as running:
        yield running


@pytest.fixture(autouse=True)
def empty(module_database: Database) -> None:
    module_database.as_superuser("truncate app.note")


def bodies(server: Server, token: str) -> list[str]:
    answer = server.get("/api/v1/notes", token)
    assert answer.status_code == 200, answer.text
    return [note["body"] for note in answer.json()]


def add(server: Server, token: str, body: str, **more: str) -> str:
    answer = server.post("/api/v1/notes", token, json={"body": body, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_a_tenant_sees_its_own_rows_and_no_others(server: Server, module_issuer: Issuer) -> None:
    acme, globex = module_issuer.token("acme"), module_issuer.token("globex", "bob")
    mine = add(server, acme, "of acme")
    add(server, globex, "of globex")
    assert bodies(server, acme) == ["of acme"]
    assert bodies(server, globex) == ["of globex"]
    foreign = server.get(f"/api/v1/notes/{mine}", globex)
    missing = server.get("/api/v1/notes/00000000-0000-4000-8000-000000000000", globex)
    assert (foreign.status_code, foreign.json()) == (missing.status_code, missing.json())
    assert foreign.status_code == 404


@pytest.mark.parametrize("failing", ["then-fail", "broken-sql", "stolen/globex", "sleep/1"])
def test_after_an_error_in_mid_transaction_the_next_request_sees_its_own_tenant(
    server: Server, module_issuer: Issuer, failing: str
) -> None:
    acme, globex = module_issuer.token("acme"), module_issuer.token("globex", "bob")
    add(server, acme, "of acme")
    if failing.startswith("sleep"):
        with pytest.raises(Exception, match="timed out"):  # the client gives up, the server must not keep the tenant
            server.post(f"/api/v1/notes/{failing}", acme, timeout=0.3)
    else:
        failed = server.post(f"/api/v1/notes/{failing}", acme, json={"body": "half done"})
        assert failed.status_code in (422, 500), failed.text
    assert bodies(server, globex) == []
    assert bodies(server, acme) == ["of acme"], "what failed has left nothing behind"


def test_a_row_cannot_be_written_for_another_tenant(
    server: Server, module_issuer: Issuer, module_database: Database
) -> None:
    answer = server.post("/api/v1/notes/stolen/globex", module_issuer.token("acme"))
    assert answer.status_code == 500
    assert "globex" not in answer.text
    assert module_database.as_superuser("select 1 from app.note") == []


def test_a_key_tells_nothing_about_another_tenants_rows(server: Server, module_issuer: Issuer) -> None:
    acme, globex = module_issuer.token("acme"), module_issuer.token("globex", "bob")
    add(server, acme, "one", slug="same")
    add(server, globex, "two", slug="same")
    again = server.post("/api/v1/notes", acme, json={"body": "three", "slug": "same"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "REQ_008")


def test_what_was_answered_is_committed(server: Server, module_issuer: Issuer, module_database: Database) -> None:
    for number in range(20):
        note = add(server, module_issuer.token("acme"), f"note {number}")
        assert note in {str(row["id"]) for row in module_database.as_superuser("select id from app.note")}


def test_many_tenants_at_once_do_not_mix(module_issuer: Issuer, module_database: Database) -> None:
    environment = {**module_issuer.environment(), "DATABASE_URL": module_database.url(), "DATABASE_POOL_SIZE": "3"}
    tenants = [f"tenant-{number}" for number in range(8)]

    def visit(tenant: str) -> list[str]:
        token = module_issuer.token(tenant)
        for number in range(10):
            add(shared, token, f"{tenant} {number}")
        return bodies(shared, token)

    with Server(environment, FEATURES) as shared, ThreadPoolExecutor(8) as threads:
        for tenant, seen in zip(tenants, threads.map(visit, tenants), strict=True):
            assert seen == [f"{tenant} {number}" for number in range(10)]


def test_without_a_tenant_nothing_is_readable(module_database: Database) -> None:
    module_database.as_superuser("insert into app.note (tenant_id, body) values ('acme', 'x')")
    assert module_database.run("select * from app.note") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        module_database.run("insert into app.note (tenant_id, body) values ('acme', 'y')")
    with pytest.raises(asyncpg.PostgresError):
        module_database.run("insert into app.note (body) values ('y')")


@pytest.mark.parametrize(
    "statement",
    [
        "truncate app.note",
        "alter table app.note disable row level security",
        "drop policy tenant_isolation on app.note",
        f"set role {OWNER}",
        "create table app.mine (x int)",
        "create table public.mine (x int)",
        "copy app.note to program 'cat'",
        "update migrations.alembic_version set version_num = 'x'",
    ],
)
def test_the_application_login_cannot_get_round_the_policy(module_database: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        module_database.run(statement)


def test_every_table_with_a_tenant_is_isolated_even_from_its_owner(module_database: Database) -> None:
    """The catalogue of the whole schema: a migration that forgot ``isolate`` fails here."""
    tables = module_database.as_superuser(
        "select c.oid::regclass::text, c.relrowsecurity, c.relforcerowsecurity, exists (select from pg_policy p"
        " where p.polrelid = c.oid and p.polqual is not null and p.polwithcheck is not null)"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped"
        " where c.relkind in ('r', 'p') and c.relnamespace = 'app'::regnamespace"
    )
    assert tables
    assert [tuple(table)[1:] for table in tables] == [(True, True, True)] * len(tables)
    (login,) = module_database.as_superuser(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles" " where rolname = $1",
        APP,
    )
    assert not any(login)


def test_a_login_that_policies_do_not_bind_is_refused(module_issuer: Issuer, module_database: Database) -> None:
    server = module_database.server
    environment = {
        **module_issuer.environment(),
        "DATABASE_URL": module_database.url(server.superuser, server.password),
    }
    with Server(environment, FEATURES) as unbound:
        answer = unbound.get("/api/v1/notes", module_issuer.token())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SYS_002")
        ready = unbound.get("/api/v1/health/ready")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "unavailable")
        assert any(event["message"] == "database_login_unbound" for event in unbound.events())
