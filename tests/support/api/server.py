"""The service as a process of its own, as it runs in production."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Self

import httpx

from service.errors import STARTING
from tests.support.api.zygote import ROOT as ROOT
from tests.support.api.zygote import Divided


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """``python -m service`` (or the test's variant of it) on a free port.

    Args:
        environment: What it is started with, over a development's.
        module: What is run.
        port: Where it listens; without it, where nothing does.
        fresh: In a new interpreter, for a test that is about the start; else by the zygote.
    """

    def __init__(
        self, environment: Mapping[str, str], module: str = "service", port: int | None = None, *, fresh: bool = False
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._module, self._fresh = module, fresh
        self.process: subprocess.Popen[str] | Divided
        self._env = base | {
            "ENVIRONMENT": "development",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PUBLIC_URL": self.url,
            "LOG_LEVEL": "DEBUG",
            **environment,
        }
        self.client = httpx.Client(base_url=self.url, timeout=20)
        self._answered = ""  # the request whose line must be there before the log is read

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self, *, wait: bool = True) -> None:
        """Begin to serve; with ``wait``, until requests are taken and not health alone is told."""
        self.process = self._interpreter() if self._fresh else Divided([self._module], self._env)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                # With a short wait: another process may hold the port, in silence.
                told = self.client.get("/api/v1/health/ready", timeout=1).json()
                if told.get("error", {}).get("code") != STARTING.code or not wait:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self.process.kill()
        self.__exit__()
        raise RuntimeError("the service did not start:\n" + "\n".join(self.lines))

    def _interpreter(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", self._module]
        return subprocess.Popen(
            command, cwd=ROOT, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.client.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def stop(self, timeout: float = 30) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def until_ready(self, seconds: float = 20) -> httpx.Response:
        """The first good answer of readiness, or the last bad one."""
        deadline = time.monotonic() + seconds
        while (answer := self.get("/api/v1/health/ready")).status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        return answer

    def forget(self) -> None:
        """What was logged so far."""
        self.lines.clear()
        self._answered = ""

    def events(self) -> list[dict[str, Any]]:
        """The log up to the last answer, whose line is written after it; a line that is no JSON object fails."""
        deadline = time.monotonic() + 5
        while self._answered and time.monotonic() < deadline and self.process.poll() is None:
            if any(self._answered in line and '"request"' in line for line in reversed(list(self.lines))):
                break
            time.sleep(0.02)
        self._answered = ""
        found = [json.loads(line) for line in list(self.lines)]
        assert all(isinstance(event, dict) for event in found)
        return found

    def get(self, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        return self.request("GET", path, token, **options)

    def post(self, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        return self.request("POST", path, token, **options)

    def request(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        answer = self.client.request(method, path, headers=headers, **options)
        if "/health/" not in path:  # what asks for health writes no line
            self._answered = answer.headers.get("x-request-id", "")
        return answer
