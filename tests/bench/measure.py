"""Runs the variants in turn: servers on one core, the load on the other, CPU as the operating system counts it."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # comes with the tools that tests use

from tests.bench.load import keep_busy
from tests.bench.variants import BARE, VARIANTS, Variant
from tests.support.api.server import ROOT, free_port
from tests.support.database.databases import Database
from tests.support.idp.issuer import CLIENT_ID, Issuer, SigningKey
from tests.support.idp.peers import environment as node_environment
from tests.support.idp.peers import install

SERVER_CORE, LOAD_CORE = 0, 1
ORIGIN = "https://app.example.com"
TENANTS = ("acme", "globex", "initech", "umbrella")  # of the callers, in turn: one tenant has a share, not the replica


@dataclass(frozen=True)
class Row:
    """What a variant costs; medians over the rounds.

    Attributes:
        name: Of the variant.
        cpu_us: CPU of the server process for one request, in microseconds.
        ratio: CPU of the bare FastAPI route in the same round, divided by that.
        base: What ``to_base`` compares with, where it is something else than the bare FastAPI route.
        to_base: CPU of this variant divided by that of its base.
        p50_ms: Time of the middle answer.
        p99_ms: Time that 99 of 100 answers keep within.
        spread: Largest ratio less the smallest.
    """

    name: str
    cpu_us: float
    ratio: float
    base: str | None
    to_base: float | None
    p50_ms: float
    p99_ms: float
    spread: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class _Slice:
    cpu: float
    p50: float
    p99: float


class Servers:
    """Starts each server when it is first asked for, and ends them all."""

    def __init__(self, issuer: Issuer, database_url: str, logs: Path, root: Path = ROOT) -> None:
        self._issuer, self._database, self._logs, self._root = issuer, database_url, logs, root
        self._running: dict[str, tuple[subprocess.Popen[bytes], int]] = {}

    def process(self, name: str) -> tuple[psutil.Process, int]:
        """A server that answers, and its port."""
        if name not in self._running:
            port = free_port()
            command = [sys.executable, "-m", f"tests.bench.servers.{name}", str(port)]
            folder, base = self._root, {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
            if name == "fastify":
                folder = install(ROOT / "tests" / "bench" / "fastify")
                base = node_environment()
                command = [shutil.which("node", path=base["PATH"]) or "node", "server.mjs", str(port)]
            environment = base | self._environment(port)
            with (self._logs / name).open("wb") as log:
                process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
            self._running[name] = process, port
            pin(process.pid, SERVER_CORE)
        process, port = self._running[name]
        return psutil.Process(process.pid), port

    def runs(self, name: str) -> bool:
        return self._running[name][0].poll() is None

    def log(self, name: str) -> str:
        """The end of what a server has printed."""
        return (self._logs / name).read_text(errors="replace")[-2000:]

    def _environment(self, port: int) -> dict[str, str]:
        return self._issuer.environment() | {
            "IDP__TEST__KIND": "oidc",
            "IDP__TEST__AUDIENCE": CLIENT_ID,
            "PYTHONPATH": str(self._root),
            "ENVIRONMENT": "development",
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "ALLOWED_ORIGINS": ORIGIN,
            "DATABASE_URL": self._database,
            "DATABASE_POOL_SIZE": "20",
            "DATABASE_MAX_OVERFLOW": "12",
            "BENCH_DATABASE": self._database.replace("postgresql:", "postgresql+asyncpg:").partition("?")[0],
            "BENCH_ISSUER": self._issuer.url,
            "BENCH_JWKS": f"{self._issuer.url}/keys",
            "BENCH_CLIENT": CLIENT_ID,
            "BENCH_ORIGIN": ORIGIN,
        }

    def close(self) -> None:
        for process, _ in self._running.values():
            process.terminate()
        for process, _ in self._running.values():
            process.wait(30)


class Bench:
    """The servers, what they need, and tokens for them."""

    def __init__(self, servers: Servers, issuer: Issuer, connections: int, new_tokens: int) -> None:
        self._servers, self._issuer = servers, issuer
        self._connections, self._new_tokens = connections, new_tokens
        self._curve = SigningKey("ec", curve=True)
        issuer.keys.append(self._curve.jwk(use=None))  # fastapi-azure-auth falls over a curve that says so
        self._few = [self._token("RS256", tenant) for tenant in TENANTS]

    def _token(self, algorithm: str, tenant: str) -> str:
        """As providers make them: 1.2 kB, about twenty claims, and what fastapi-azure-auth asks for."""
        claims: dict[str, Any] = {f"claim_{number}": secrets.token_hex(12) for number in range(9)}
        claims |= {"aud": CLIENT_ID, "nbf": int(time.time()), "ver": "2.0", "jti": secrets.token_hex(16)}
        key = self._curve if algorithm == "ES256" else self._issuer.key
        return self._issuer.token(tenant, key=key, roles=["reader", "writer"], **claims)

    def _requests(self, variant: Variant, port: int) -> Iterator[bytes]:
        head = f"GET {variant.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {ORIGIN}\r\nAccept: */*\r\n"
        if variant.tokens.startswith("new"):
            algorithm, tenants = variant.tokens.removeprefix("new "), itertools.cycle(TENANTS)
            made = [self._token(algorithm, next(tenants)) for _ in range(self._new_tokens)]
            return iter([f"{head}Authorization: Bearer {token}\r\n\r\n".encode() for token in made])
        if variant.tokens == "none":
            return itertools.repeat(f"{head}\r\n".encode())
        return itertools.cycle([f"{head}Authorization: Bearer {token}\r\n\r\n".encode() for token in self._few])

    def until_it_answers(self, variant: Variant) -> None:
        """Wait for the server, and have it do what it does once."""
        port = self._servers.process(variant.server)[1]
        deadline = time.monotonic() + 60
        while True:
            try:
                keep_busy(port, itertools.islice(self._requests(variant, port), 100), 5, 4)
                return
            except RuntimeError as failure:
                if time.monotonic() > deadline or not self._servers.runs(variant.server):
                    raise RuntimeError(f"{variant.name}: {failure}\n{self._servers.log(variant.server)}") from None
                time.sleep(0.1)

    def slice(self, variant: Variant, seconds: float) -> _Slice:
        """Keep a variant busy for a while."""
        process, port = self._servers.process(variant.server)
        requests = self._requests(variant, port)
        before = _cpu(process)
        found = keep_busy(port, requests, seconds, self._connections)
        cpu = (_cpu(process) - before) / len(found.times)
        times = sorted(found.times)
        return _Slice(cpu * 1e6, times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3)


def pin(pid: int, core: int) -> None:
    if hasattr(os, "sched_setaffinity"):  # Linux; elsewhere the ratios are less steady
        os.sched_setaffinity(pid, {core})


def _cpu(process: psutil.Process) -> float:
    """Seconds of CPU that a process has taken, to the nanosecond where Linux tells it."""
    tasks = Path(f"/proc/{process.pid}/task")
    if tasks.exists():
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def bench(
    issuer: Issuer, database: Database, logs: Path, *, connections: int = 32, new_tokens: int = 3000, root: Path = ROOT
) -> Iterator[Bench]:
    """The servers of the variants, and tokens for them.

    Args:
        issuer: Whose keys the services trust.
        database: Migrated, with the notes example in it.
        logs: Folder for what the servers print.
        connections: How many requests are under way at once.
        new_tokens: How many tokens that no server has seen there are in each round.
        root: Folder of the service.
    """
    database.as_superuser(
        f"""insert into app.note (tenant_id, body)
            select tenant, 'note ' || n from unnest(array{list(TENANTS)}) tenant, generate_series(1, 5) n"""  # noqa: S608
    )
    database.as_superuser("create table app.plain_note as select * from app.note")  # for a session without policies
    database.as_superuser("grant select on app.plain_note to public")
    servers = Servers(issuer, database.url(), logs, root)
    try:
        yield Bench(servers, issuer, connections, new_tokens)
    finally:
        servers.close()


def measure(found: Bench, *, rounds: int, seconds: float, variants: Sequence[Variant] = VARIANTS) -> list[Row]:
    """Measure variants in turn, round after round, so that what else the machine does meets all of them.

    Args:
        found: The servers.
        rounds: How often.
        seconds: For each variant in each round.
        variants: What to measure; that of the bare route is among them.
    """
    for variant in variants:
        found.until_it_answers(variant)
        found.slice(variant, seconds / 2)  # caches, code that adapts itself
    taken = [{variant.name: found.slice(variant, seconds) for variant in variants} for _ in range(rounds)]
    return [_row(variant, taken) for variant in variants]


def _row(variant: Variant, taken: Sequence[Mapping[str, _Slice]]) -> Row:
    mine = [each[variant.name] for each in taken]
    ratios = [each[BARE].cpu / each[variant.name].cpu for each in taken]
    base = variant.base
    to_base = [each[variant.name].cpu / each[base].cpu for each in taken if base is not None and base in each]
    return Row(
        variant.name,
        statistics.median(one.cpu for one in mine),
        statistics.median(ratios),
        base,
        statistics.median(to_base) if to_base else None,
        statistics.median(one.p50 for one in mine),
        statistics.median(one.p99 for one in mine),
        max(ratios) - min(ratios),
    )
