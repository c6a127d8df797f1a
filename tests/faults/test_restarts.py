"""Replicas are restarted one after the other while callers go on: no request fails, whatever stands in between."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.drill import Row, Traffic
from tests.faults.load import Callers, Outcome, get, percentile
from tests.faults.load import run as in_a_loop
from tests.support.api.server import Server, free_port
from tests.support.idp.peers import absent

pytestmark = pytest.mark.faults
READY = get("/api/v1/health/ready")
# Both as they come: what is not said here is what they do by themselves.
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
frontend callers
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  option httpchk GET /api/v1/health/ready
  server a 127.0.0.1:{a} check
  server b 127.0.0.1:{b} check
"""
NGINX = """
daemon off;
pid {folder}/pid;
error_log stderr crit;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream replicas {{ server 127.0.0.1:{a}; server 127.0.0.1:{b}; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://replicas; }}
  }}
}}
"""


@contextmanager
def replicas(traffic: Traffic, lame_duck: int) -> Iterator[list[Server]]:
    environment = {
        **traffic.issuer.environment(),
        "DATABASE_URL": traffic.database.url(),
        "LAME_DUCK_SECONDS": str(lame_duck),
        "LOG_LEVEL": "INFO",
    }
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(environment, "tests.support.api.serve")) for _ in range(2)]
        assert [server.until_ready().status_code for server in servers] == [200, 200]  # no balancer sends before
        yield servers


def restart(server: Server) -> float:
    """Stop it as the platform does, and start it again; seconds that the stop took."""
    began = time.monotonic()
    assert server.stop() == 0
    took = time.monotonic() - began
    server.__enter__()
    assert server.until_ready().status_code == 200
    return took


@contextmanager
def proxy(kind: str, folder: Path, a: int, b: int) -> Iterator[int]:
    binary = shutil.which(kind, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if binary is None:
        absent(f"{kind} is not on this machine (Debian: apt-get install {kind})")
        raise AssertionError
    port, file = free_port(), folder / "conf"
    file.write_text({"haproxy": HAPROXY, "nginx": NGINX}[kind].format(port=port, a=a, b=b, folder=folder))
    options = ["-f", str(file)] if kind == "haproxy" else ["-c", str(file), "-p", str(folder)]
    process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, f"{kind} does not listen"
            time.sleep(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_callers_who_mind_readiness_notice_nothing_of_a_restart(traffic: Traffic, told: Callable[[Row], Row]) -> None:
    """A balancer of our own, that asks each replica twice a second and keeps connections open."""

    async def run(servers: list[Server]) -> list[Outcome]:
        ways = {server.port: traffic.callers(server.port) for server in servers}
        ready, outcomes, over = set(ways), list[Outcome](), asyncio.Event()

        async def judge(port: int) -> None:
            while not over.is_set():
                good = (await Callers(port).ask(READY)).good
                (ready.add if good else ready.discard)(port)
                await asyncio.sleep(0.5)

        async def call(number: int) -> None:
            while not over.is_set():
                way = ways[sorted(ready)[number % len(ready)]]
                outcomes.append(await way.ask(traffic.request()))
                await asyncio.sleep(0.03)

        async def happen() -> None:
            await asyncio.sleep(0.3)
            await asyncio.to_thread(restart, servers[0])
            over.set()

        await asyncio.gather(happen(), *map(judge, ways), *map(call, range(4)))
        return outcomes

    with replicas(traffic, 2) as servers:
        outcomes = in_a_loop(run(servers))
    row = told(traffic.row("restart, callers mind readiness", outcomes))
    assert row.answers.keys() == {"200", "201"}


@pytest.mark.usefixtures("in_full")
@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_ten_rolling_restarts_behind_a_balancer_as_it_comes(
    traffic: Traffic, told: Callable[[Row], Row], tmp_path: Path, kind: str
) -> None:
    stops: list[float] = []

    async def run(servers: list[Server], port: int) -> list[Outcome]:
        callers, over = traffic.callers(port), asyncio.Event()
        outcomes: list[Outcome] = []

        async def call() -> None:
            while not over.is_set():
                outcomes.append(await callers.ask(traffic.request()))
                await asyncio.sleep(0.05)

        async def happen() -> None:
            await asyncio.sleep(5)
            for number in range(10):
                stops.append(await asyncio.to_thread(restart, servers[number % 2]))
                await asyncio.sleep(6)  # until the balancer has seen that it is back
            over.set()

        await asyncio.gather(happen(), *[call() for _ in range(8)])
        return outcomes

    with replicas(traffic, 8) as servers, proxy(kind, tmp_path, servers[0].port, servers[1].port) as port:
        outcomes = in_a_loop(run(servers, port))
    told_besides = f"stops of {min(stops):.0f} to {max(stops):.0f} s, p99 {1000 * percentile(outcomes, 0.99):.0f} ms"
    row = told(traffic.row(f"ten restarts behind {kind}", outcomes, besides=told_besides))
    assert row.answers.keys() == {"200", "201"}
