"""The local AWS as a process of its own, as `signalbox up` starts it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import boto3
import httpx
from botocore.config import Config

from infra.local.emulated import emulator_command
from infra.local.postgres import LocalPostgres
from tests.support.api.server import ROOT, free_port


class Emulator:
    """The process, and clients for it.

    Args:
        environment: Variables on top of those that every process needs.
    """

    def __init__(self, **environment: str) -> None:
        self.port = int(environment.pop("GATEWAY_PORT", "") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment |= {"GATEWAY_PORT": str(self.port), **environment}
        self.log = Path(tempfile.mkstemp(prefix="signalbox-test-")[1])

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                emulator_command(ROOT),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                httpx.get(f"{self.url}/_ministack/health")
                return self
            except httpx.TransportError:
                time.sleep(0.02)
        said = self.log.read_text()
        self.__exit__()
        raise RuntimeError(f"the emulator did not start:\n{said}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.log.unlink(missing_ok=True)

    def stop(self) -> float:
        """In good order; returns the seconds it took."""
        started = time.monotonic()
        self.process.terminate()
        assert self.process.wait(10) == 0
        return time.monotonic() - started

    def client(self, service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )


def described(server: LocalPostgres) -> str:
    return json.dumps(
        {"host": "127.0.0.1", "port": server.port, "superuser": server.superuser, "password": server.password}
    )
