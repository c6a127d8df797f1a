"""The local PostgreSQL: a real server that behaves like RDS where it matters, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil  # type: ignore[import-untyped]
import pytest

from infra.local.postgres import LocalPostgres, LocalPostgresError, prepare_rds_like, temporary_postgres

ROOT = Path(__file__).resolve().parents[2]


async def _connect(server: LocalPostgres, user: str, password: str, database: str) -> Any:
    return await asyncpg.connect(
        host="127.0.0.1", port=server.port, user=user, password=password, database=database, ssl=False, timeout=5
    )


def ask(
    server: LocalPostgres, statement: str, user: str = "postgres", password: str = "", database: str = "postgres"
) -> Any:
    """First value of the first row, on a connection of its own."""

    async def run() -> Any:
        connection = await _connect(server, user, password or server.password, database)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def processes_on(data: Path) -> list[int]:
    """Ids of the servers that run on a data directory."""
    return [
        process.pid
        for process in psutil.process_iter(["name", "cmdline", "status"])
        if process.info["name"] == "postgres"
        and str(data) in (process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def wait_until_gone(data: Path) -> None:
    deadline = time.monotonic() + 10
    while processes_on(data):
        assert time.monotonic() < deadline, "a server outlives whoever started it"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalPostgres]:
    with temporary_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """One data directory for the tests that start and stop a server on it: initdb is what takes time."""
    with _folder() as path:
        yield path / "data"


@pytest.fixture
def folder() -> Iterator[Path]:
    with _folder() as path:
        yield path


@contextmanager
def _folder() -> Iterator[Path]:
    """Not pytest's, which is 0700: where there are no user namespaces, the server of root is another user."""
    with tempfile.TemporaryDirectory(prefix="signalbox-test-", ignore_cleanup_errors=True) as path:
        Path(path).chmod(0o755)
        yield Path(path)


def test_it_listens_on_this_machine_only_and_wants_a_password(server: LocalPostgres) -> None:
    assert ask(server, "show listen_addresses") == "127.0.0.1"
    assert ask(server, "show unix_socket_directories") == ""
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(server, "select 1", password="wrong")


def test_the_master_is_what_it_is_on_rds(server: LocalPostgres) -> None:
    prepare_rds_like(server, "master", "first", "app")
    as_master = {"user": "master", "password": "first", "database": "app"}
    rights = ask(
        server,
        "select (rolsuper, rolbypassrls, rolreplication, rolcreaterole, rolcreatedb) from pg_roles "
        "where rolname = current_user",
        **as_master,
    )
    assert tuple(rights) == (False, False, False, True, True)
    ask(server, "create role made_by_master", **as_master)
    for statement in ("alter role made_by_master superuser", "select pg_read_file('PG_VERSION')"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            ask(server, statement, **as_master)


def test_preparing_again_changes_the_password_and_keeps_the_data(server: LocalPostgres) -> None:
    prepare_rds_like(server, "second", "old", "kept")
    ask(server, "create table thing as select 1", "second", "old", "kept")
    prepare_rds_like(server, "second", "new", "kept")
    assert ask(server, "select count(*) from thing", "second", "new", "kept") == 1
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(server, "select 1", "second", "old", "kept")


def test_names_and_passwords_are_quoted(server: LocalPostgres) -> None:
    user, password, database = 'o"; drop role x; --', "it's \\ 50%I", "a b'c"
    prepare_rds_like(server, user, password, database)
    assert ask(server, "select current_user", user, password, database) == user


def test_a_restart_keeps_data_password_and_port(data: Path) -> None:
    first = LocalPostgres(data, fsync="off").start()
    ask(first, "create table kept as select 7 as value")
    first.stop()
    assert processes_on(first.data) == []
    with LocalPostgres(data, fsync="off") as second:
        assert (second.port, second.password) == (first.port, first.password)
        assert ask(second, "select value from kept") == 7
    assert processes_on(first.data) == []


def test_a_paused_server_takes_connections_and_answers_nothing(server: LocalPostgres) -> None:
    async def outage() -> None:
        connection = await _connect(server, "postgres", server.password, "postgres")
        server.pause()
        try:
            with pytest.raises(TimeoutError):
                await connection.fetchval("select 1", timeout=0.2)
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.close()
        finally:
            server.resume()
        await connection.close()

    asyncio.run(outage())
    assert ask(server, "select 1") == 1


def test_a_paused_server_can_be_stopped(data: Path) -> None:
    with LocalPostgres(data, fsync="off") as server:
        server.pause()
    assert processes_on(server.data) == []


def test_after_a_kill_it_starts_again_with_what_was_committed(data: Path) -> None:
    server = LocalPostgres(data, fsync="off").start()
    ask(server, "create table committed as select 7 as value")
    server.kill()
    assert processes_on(server.data) == []
    assert (server.data / "postmaster.pid").exists()
    with server:
        assert ask(server, "select value from committed") == 7


def test_a_pid_file_that_names_somebody_else_harms_nobody(data: Path) -> None:
    server = LocalPostgres(data, fsync="off").start()
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as somebody:
        (server.data / "postmaster.pid").write_text(f"{somebody.pid}\n{server.data}\n")
        with server:
            assert ask(server, "select 1") == 1
        assert somebody.poll() is None
        somebody.kill()


def test_a_server_that_still_runs_on_the_data_is_stopped_first(data: Path) -> None:
    forgotten = LocalPostgres(data, fsync="off").start()
    with LocalPostgres(data, fsync="off") as server:
        assert ask(server, "select 1") == 1
        assert len(processes_on(server.data)) == 1
    forgotten.stop()


def test_why_it_does_not_start_is_one_line(data: Path, server: LocalPostgres) -> None:
    with pytest.raises(LocalPostgresError, match=r"FATAL: .*socket") as caught:
        LocalPostgres(data, port=server.port, fsync="off").start()
    assert "\n" not in str(caught.value)
    assert processes_on(data) == []


def test_data_without_their_password_say_so(data: Path) -> None:
    LocalPostgres(data, fsync="off").start().stop()
    password = data.with_name("data.password").rename(data.with_name("elsewhere"))
    with pytest.raises(LocalPostgresError, match="password of the data"):
        LocalPostgres(data, fsync="off").start()
    password.rename(data.with_name("data.password"))


def test_a_first_start_that_was_cut_off_is_made_good(folder: Path) -> None:
    (folder / "data.new").mkdir()
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    with LocalPostgres(folder / "data", fsync="off") as server:
        assert ask(server, "select 1") == 1


def test_somebody_elses_files_are_left_alone(folder: Path) -> None:
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(LocalPostgresError, match="something else"):
        LocalPostgres(folder).start()
    assert (folder / "thesis.txt").exists()


STARTER = """
import sys, time
from pathlib import Path
from infra.local.postgres import LocalPostgres
server = LocalPostgres(Path(sys.argv[1]), fsync="off").start()
print(server.port, server.password, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_it_ends_with_whoever_started_it_even_by_kill_9(data: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER, data], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        running = processes_on(data)
        parent.kill()
    assert len(running) == 1
    wait_until_gone(data)


def _runs(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test runs as an ordinary user already")
def test_it_runs_as_an_ordinary_user(data: Path) -> None:
    ordinary = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if not _runs(*ordinary, "true"):
        pytest.skip("no user namespaces here, and another real user could not read this checkout")
    command = [*ordinary, sys.executable, "-c", STARTER, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True) as parent:
        assert parent.stdout is not None
        said = parent.stdout.readline()
        parent.kill()
        assert said, parent.stderr and parent.stderr.read()
    wait_until_gone(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_it_runs_as_root_where_user_namespaces_are_forbidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setpriv = shutil.which("setpriv")
    binaries = LocalPostgres(folder / "data").bin
    if setpriv is None or not _runs(setpriv, "--reuid=65534", "--clear-groups", binaries / "postgres", "--version"):
        pytest.skip("nobody cannot reach PostgreSQL's programs here")
    (folder / "bin").mkdir()
    (folder / "bin" / "setpriv").symlink_to(setpriv)
    monkeypatch.setenv("PATH", str(folder / "bin"))
    with LocalPostgres(folder / "data", fsync="off") as server:
        assert psutil.Process(processes_on(server.data)[0]).uids().effective == 65534
        assert ask(server, "select 1") == 1
    assert processes_on(server.data) == []
