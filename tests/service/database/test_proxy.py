"""A database that this side cannot even resolve, through a real SOCKS5 server: reached, verified, never guessed at."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sized
from pathlib import Path

import httpx
import pytest
import trustme

from service.settings import SettingsError, load
from tests.support.api.server import Server, free_port
from tests.support.database.databases import APP, APP_PASSWORD, MASTER, MASTER_PASSWORD, Database, Databases, migrate
from tests.support.database.socks import SocksProxy
from tests.support.idp.issuer import Issuer
from tests.support.idp.tls_front import TlsFront, write_authority

NAME = "signalbox-production.c1abcdefghij.us-east-1.rds.amazonaws.com"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def proxy() -> Iterator[SocksProxy]:
    with SocksProxy(NAME) as running:
        yield running


def environment(issuer: Issuer, database: Database, front_port: int, ca_file: str, proxy_url: str) -> dict[str, str]:
    address = f"postgresql://{APP}:{APP_PASSWORD}@{NAME}:{front_port}/{database.name}?sslmode=verify-full"
    return issuer.environment() | {"DATABASE_URL": address, "DATABASE_CA_FILE": ca_file, "DATABASE_PROXY": proxy_url}


def test_the_name_is_resolved_on_the_far_side_and_verified_on_this(
    issuer: Issuer, database: Database, authority: trustme.CA, proxy: SocksProxy, tmp_path: Path
) -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(NAME, 5432)
    with TlsFront(database.server.port, NAME, authority) as front:
        variables = environment(issuer, database, front.port, write_authority(authority, tmp_path), proxy.url)
        with Server(variables, "tests.support.api.serve") as server:
            assert server.post("/api/v1/notes", issuer.token(), json={"body": "through the tunnel"}).status_code == 201
            assert server.get("/api/v1/notes", issuer.token()).json()[0]["body"] == "through the tunnel"
            assert _ready(server) == {"database": "ok", "migrations": "ok"}
        assert front.connections >= 2


def test_migrations_take_the_same_way(
    databases: Databases, authority: trustme.CA, proxy: SocksProxy, tmp_path: Path
) -> None:
    database = databases.empty()
    with TlsFront(database.server.port, NAME, authority) as front:
        address = f"postgresql://{MASTER}:{MASTER_PASSWORD}@{NAME}:{front.port}/{database.name}?sslmode=verify-full"
        ca_file = write_authority(authority, tmp_path)
        done = migrate(database, DATABASE_URL=address, DATABASE_CA_FILE=ca_file, DATABASE_PROXY=proxy.url)
        assert done.returncode == 0, done.stdout + done.stderr
        assert front.connections >= 1


@pytest.mark.parametrize("wrong", ["name", "authority", "resolution", "proxy"])
def test_what_is_not_the_database_is_refused_as_an_outage(
    wrong: str, issuer: Issuer, database: Database, authority: trustme.CA, proxy: SocksProxy, tmp_path: Path
) -> None:
    shown = "other.c1abcdefghij.us-east-1.rds.amazonaws.com" if wrong == "name" else NAME
    signer = trustme.CA() if wrong == "authority" else authority
    with TlsFront(database.server.port, shown, signer) as front:
        variables = environment(issuer, database, front.port, write_authority(authority, tmp_path), proxy.url)
        if wrong == "resolution":
            variables["DATABASE_URL"] = variables["DATABASE_URL"].replace(NAME, f"x{NAME}")
        if wrong == "proxy":
            variables["DATABASE_PROXY"] = f"socks5://127.0.0.1:{free_port()}"
        with Server(variables, "tests.support.api.serve") as server:
            refused = server.post("/api/v1/notes", issuer.token(), json={"body": "must not get there"})
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "SYS_002"
            assert refused.headers["Retry-After"]
            assert NAME not in refused.text
            assert server.get("/api/v1/health/ready").json()["checks"]["database"] != "ok"
        assert not [line for line in server.lines if "CERTIFICATE" in line.upper() and "BEGIN" in line]
    assert database.as_superuser("select count(*) from app.note")[0]["count"] == 0


def test_a_restart_of_the_proxy_under_load_loses_no_write_that_was_acknowledged(
    issuer: Issuer, database: Database, authority: trustme.CA, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    others: list[httpx.Response] = []
    stop = threading.Event()

    def write(worker: int, url: str, token: str) -> None:
        with httpx.Client(base_url=url, timeout=30, headers={"Authorization": f"Bearer {token}"}) as client:
            for number in range(10_000):
                if stop.is_set():
                    return
                body = f"{worker}-{number}"
                answer = client.post("/api/v1/notes", json={"body": body})
                if answer.status_code == 201:
                    acknowledged.append(body)
                else:
                    others.append(answer)
                    time.sleep(0.02)

    with SocksProxy(NAME) as proxy, TlsFront(database.server.port, NAME, authority) as front:
        variables = environment(issuer, database, front.port, write_authority(authority, tmp_path), proxy.url)
        with Server(variables, "tests.support.api.serve") as server:
            token = issuer.token()
            workers = [threading.Thread(target=write, args=(n, server.url, token)) for n in range(6)]
            for worker in workers:
                worker.start()
            for _ in range(2):
                _grows(acknowledged)
                proxy.kill()
                _grows(others)
                proxy.start()
            _grows(acknowledged, by=50)
            stop.set()
            for worker in workers:
                worker.join()
    kept = {row["body"] for row in database.as_superuser("select body from app.note")}
    assert set(acknowledged) <= kept
    assert len(acknowledged) > 50
    assert {answer.status_code for answer in others} == {503}
    # Whoever certainly changed nothing is told to repeat it; whoever may have is not.
    for answer in others:
        assert ("Retry-After" in answer.headers) == (answer.json()["error"]["code"] != "SYS_010")


@pytest.mark.parametrize(
    "value", ["http://p:1", "socks4://p:1", "socks5://p", "socks5://u:s@p:1", "socks5://p:1/x", "p:1", "socks5://p:x"]
)
def test_another_kind_of_proxy_is_refused_at_the_start(value: str, issuer: Issuer) -> None:
    variables = issuer.environment() | {"ENVIRONMENT": "development", "PUBLIC_URL": "http://127.0.0.1:1"}
    variables |= {"DATABASE_URL": "postgresql://a@h/d?sslmode=verify-full", "DATABASE_PROXY": value}
    with pytest.raises(SettingsError, match="DATABASE_PROXY"):
        load(variables)


def test_outside_development_a_proxy_needs_verified_tls() -> None:
    variables = {
        "ENVIRONMENT": "staging",
        "PUBLIC_URL": "https://api.example.com",
        "DATABASE_URL": "postgresql://a@h/d?sslmode=disable",
        "DATABASE_PROXY": "socks5://p:1",
        "IDP__X__KIND": "cognito",
        "IDP__X__ISSUER": "https://idp.example.com",
        "IDP__X__CLIENT_ID": "x",
    }
    with pytest.raises(SettingsError, match="sslmode=verify-full with DATABASE_IAM_AUTH or DATABASE_PROXY"):
        load(variables)


def _ready(server: Server) -> dict[str, str]:
    """Database and migrations as readiness sees them, once the database has answered."""
    deadline = time.monotonic() + 10
    while True:
        checks = server.get("/api/v1/health/ready").json()["checks"]
        if checks["database"] != "unavailable" or time.monotonic() > deadline:
            return {name: checks[name] for name in ("database", "migrations")}
        time.sleep(0.1)


def _grows(found: Sized, by: int = 1) -> None:
    enough, deadline = len(found) + by, time.monotonic() + 30
    while len(found) < enough:
        assert time.monotonic() < deadline
        time.sleep(0.02)
