"""What one authenticated request costs: CPU of the server process per request, against a bare FastAPI route.

    uv run python -m tests.bench.authenticated_request [folder of another checkout]

CPU, not time: it does not depend on what else the machine does, nor on the client. The ratio is that of the bare route
to the variant in the same run, so that runs on different machines can be compared. docs/API_ARCHITECTURE.md,
"Performance", has the results.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # comes with the tools that tests use

from tests.support.api.app import NOWHERE
from tests.support.api.server import free_port
from tests.support.idp.issuer import Issuer

CONNECTIONS, REQUESTS, WARM_UP, ROUNDS = 32, 10_000, 2_000, 3

SERVE = """
import sys, os, socket, uvicorn
variant, port = sys.argv[1], int(sys.argv[2])
if variant == "bare":
    from fastapi import FastAPI
    app = FastAPI()
    @app.get("/api/v1/auth/validate")
    async def bare():
        return {"subject": "alice", "tenant": "acme", "issuer": "x", "provider": "test"}
else:
    from service import log_lines as log
    from service.auth.tokens import judge
    from service.settings import load
    from tests.support.api.app import product
    log.configure("INFO")
    if variant == "without cache":
        judge.Authenticator.__init__.__kwdefaults__["remembered"] = 0
    app = product(load(os.environ))
uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False, loop="uvloop", http="httptools")
"""


async def load(port: int, token: str, count: int) -> None:
    request = (
        f"GET /api/v1/auth/validate HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()

    async def one(share: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(share):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.close()

    await asyncio.gather(*(one(count // CONNECTIONS) for _ in range(CONNECTIONS)))


def measure(variant: str, issuer: Issuer, folder: Path) -> float:
    """CPU microseconds per request."""
    port = free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        "PYTHONPATH": str(folder),
        "ENVIRONMENT": "development",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DATABASE_URL": NOWHERE,
        **issuer.environment(),
    }
    command = [sys.executable, "-c", SERVE, variant, str(port)]
    server = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        process = psutil.Process(server.pid)
        process.cpu_affinity([0])
        psutil.Process().cpu_affinity([1])
        for _ in range(100):
            try:
                asyncio.run(load(port, issuer.token(), WARM_UP))
                break
            except OSError:
                asyncio.run(asyncio.sleep(0.1))
        token = issuer.token(filler=["x" * 40] * 12)  # 1.2 kB, as real ones are
        before = process.cpu_times()
        asyncio.run(load(port, token, REQUESTS))
        after = process.cpu_times()
        return float(after.user + after.system - before.user - before.system) / REQUESTS * 1e6
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    here = Path(__file__).resolve().parents[2]
    variants = [("bare", here), ("with cache", here), ("without cache", here), *((f, Path(f)) for f in sys.argv[1:])]
    with Issuer() as issuer:
        # The least of several rounds: what else the machine does only ever adds.
        rounds = [{name: measure(name, issuer, folder) for name, folder in variants} for _ in range(ROUNDS)]
    found = {name: min(each[name] for each in rounds) for name, _ in variants}
    for variant, cost in found.items():
        print(f"{variant:<24} {cost:7.0f} us   ratio {found['bare'] / cost:.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
