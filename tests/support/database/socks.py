"""A SOCKS5 server (pproxy) at the far end of a tunnel: it knows a name that nobody on this side can resolve.

``python -m tests.support.database.socks PORT NAME`` serves 127.0.0.1:PORT and resolves NAME to 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from typing import Any, Self

from tests.support.api.server import ROOT, free_port


class SocksProxy:
    """The server as a process of its own; ``kill`` and ``start`` make an outage.

    Args:
        name: What it resolves.
    """

    def __init__(self, name: str) -> None:
        self.port = free_port()
        self.url = f"socks5://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "tests.support.database.socks", str(self.port), name]

    def start(self) -> Self:
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise RuntimeError("the proxy did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.kill()


def main() -> None:
    port, name = sys.argv[1:]
    original = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **options: Any) -> Any:
        return original("127.0.0.1" if host in (name, name.encode()) else host, *rest, **options)

    socket.getaddrinfo = resolve
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # with it, pproxy would forget the loop that it asks for
    asyncio.set_event_loop(asyncio.new_event_loop())  # pproxy asks for the current one, which newer Pythons do not make
    from pproxy import server  # type: ignore[import-untyped]

    server.main(["-l", f"socks5://127.0.0.1:{port}"])


if __name__ == "__main__":
    main()
