"""The database password changes in Secrets Manager and in PostgreSQL while requests run; no request fails."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from infra.local.postgres import temporary_postgres
from tests.support.api.server import Server
from tests.support.cloud.emulator import Emulator
from tests.support.database.databases import APP, APP_PASSWORD, MASTER, MASTER_PASSWORD, Database, Databases, migrate
from tests.support.idp.issuer import Issuer


@dataclass
class Store:
    """A database of its own, because a password is the whole server's, and the secrets with its logins."""

    aws: Emulator
    database: Database

    def environment(self, issuer: Issuer) -> dict[str, str]:
        server = self.database.server
        return issuer.environment() | {
            "DATABASE_URL": f"postgresql://{APP}@127.0.0.1:{server.port}/{self.database.name}?sslmode=disable",
            "DATABASE_SECRET_ID": "app",
            # One connection is kept, the others are opened and closed with the load: each logs in.
            "DATABASE_POOL_SIZE": "1",
            "DATABASE_MAX_OVERFLOW": "9",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def put(self, password: str) -> None:
        value = json.dumps({"username": APP, "password": password})
        self.aws.client("secretsmanager").put_secret_value(SecretId="app", SecretString=value)

    def migrate(self, issuer: Issuer, *, iam: bool = False) -> None:
        """The second half of a rotation, as docs/INFRASTRUCTURE.md has it."""
        environment = self.environment(issuer) | {"DATABASE_MIGRATION_SECRET_ID": "master"}
        if iam:
            environment |= {"DATABASE_IAM_AUTH": "true", "DATABASE_SECRET_ID": ""}
        done = migrate(self.database, **environment)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def store(aws: Emulator) -> Iterator[Store]:
    with temporary_postgres() as postgres:
        found = Store(aws, Databases(postgres).migrated())
        secrets = aws.client("secretsmanager")
        for name, login in (("app", (APP, APP_PASSWORD)), ("master", (MASTER, MASTER_PASSWORD))):
            value = json.dumps(dict(zip(("username", "password"), login, strict=True)))
            secrets.create_secret(Name=name, SecretString=value)
        yield found


def test_a_rotation_under_load_fails_no_request(store: Store, issuer: Issuer) -> None:
    answers: Counter[int] = Counter()
    stop = threading.Event()

    def work(url: str, token: str) -> None:
        with httpx.Client(base_url=url, timeout=30, headers={"Authorization": f"Bearer {token}"}) as client:
            while not stop.is_set():
                answers[client.post("/api/v1/notes", json={"body": "x"}).status_code] += 1
                time.sleep(0.005)  # the other processes of this test want the cores, too

    with Server(store.environment(issuer), "tests.support.api.serve") as server:
        workers = [threading.Thread(target=work, args=(server.url, issuer.token())) for _ in range(4)]
        for worker in workers:
            worker.start()
        store.put("second-password")
        # A replica that starts now reads a password that the database does not know yet.
        with Server(store.environment(issuer), "tests.support.api.serve") as fresh:
            assert fresh.get("/api/v1/notes", issuer.token()).status_code == 200
        store.migrate(issuer)
        rotated = answers[201]
        while answers[201] < rotated + 20:
            assert set(answers) == {201}
            time.sleep(0.02)
        stop.set()
        for worker in workers:
            worker.join()
    assert set(answers) == {201}
    assert answers[201] > 50
    with pytest.raises(Exception, match="password authentication failed"):
        store.database.run("select 1", password=APP_PASSWORD)


def test_a_password_that_neither_version_knows_is_an_outage(store: Store, issuer: Issuer) -> None:
    for password in ("unknown-1", "unknown-2"):
        store.put(password)
    with Server(store.environment(issuer), "tests.support.api.serve") as server:
        refused = server.get("/api/v1/notes", issuer.token())
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert not any("unknown-" in line for line in server.lines)


def test_migrations_put_the_login_under_iam_and_take_it_back(store: Store, issuer: Issuer) -> None:
    store.database.as_superuser("create role rds_iam")  # RDS has it from the start
    store.database.as_superuser(f"grant rds_iam to {MASTER} with admin option")
    member = f"select pg_has_role('{APP}', 'rds_iam', 'member')"
    store.migrate(issuer, iam=True)
    assert store.database.as_superuser(member)[0][0] is True
    store.migrate(issuer)
    assert store.database.as_superuser(member)[0][0] is False
