"""Starts of the service that do not pay for its imports again: a process that has made them divides for each.

What is started is a process like any other, with its own memory, environment, output and end; only that its imports are
there already. A test that is about the start itself begins a fresh interpreter (``Server(..., fresh=True)``).
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[3]
IMPORTED_BEFORE = (
    "service.app",
    "service.feature",
    "service.log_lines",
    "service.product",
    "service.database.start",
    "service.http.server",
    "service.http.protocol",
    "examples.notes.feature",
    "tests.features.faults",
    "alembic.command",
    "asyncpg",
    "boto3",
    "cryptography.hazmat.primitives.ciphers.aead",
    "httpcore",
    "httpx",
    "jose.jwk",
)
LARGEST_REQUEST = 1_000_000  # bytes of an environment


class Divided:
    """A process that the zygote made, as ``subprocess.Popen`` presents one: what the tests use of it.

    Args:
        arguments: A module, which is run as ``python -m`` would run it, and what follows it.
        environment: All that it has.
        apart: Its errors have a pipe of their own; else they are among its output.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], *, apart: bool = False) -> None:
        self.args = list(arguments)
        out, writing_out = os.pipe()
        errors, writing_errors = os.pipe() if apart else (-1, os.dup(writing_out))
        self._told, told = socket.socketpair()
        try:
            request = json.dumps({"arguments": self.args, "environment": dict(environment)}).encode()
            # One message, with a connection of this start's own: several threads of a test may start at once.
            _ask(request, [writing_out, writing_errors, told.fileno()])
        finally:
            os.close(writing_out)
            os.close(writing_errors)
            told.close()
        self.stdout: IO[str] = os.fdopen(out, encoding="utf-8")
        self.stderr: IO[str] | None = os.fdopen(errors, encoding="utf-8") if apart else None
        self.returncode: int | None = None
        self._answers = self._told.makefile("r", encoding="utf-8")
        self.pid = int(self._answers.readline())

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, as ``subprocess`` gives it.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._answers.readline()))
            self._answers.close()
            self._told.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its exit code when it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def communicate(self, timeout: float) -> tuple[str, str]:
        """All that it says, when it has ended.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        with ThreadPoolExecutor(2) as readers:
            said = [readers.submit(stream.read) for stream in (self.stdout, self.stderr) if stream]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            out, *errors = (each.result() for each in said)
        for stream in filter(None, (self.stdout, self.stderr)):
            stream.close()
        return out, "".join(errors)

    def send_signal(self, number: int) -> None:
        """Nothing when it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A process from its start to its end, which it reaches within a minute."""
    process = Divided(arguments, environment, apart=True)
    out, errors = process.communicate(60)
    return subprocess.CompletedProcess(process.args, process.wait(), out, errors)


def _ask(request: bytes, descriptors: Sequence[int]) -> None:
    socket.send_fds(_zygote(), [len(request).to_bytes(4, "big") + request], descriptors)


@functools.cache
def _zygote() -> socket.socket:
    """The way to this test process's zygote, which ends when its other end is closed."""
    ours, its = socket.socketpair()
    with its:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        command = [sys.executable, "-m", __name__, str(its.fileno())]
        zygote = subprocess.Popen(command, cwd=ROOT, env=kept, pass_fds=[its.fileno()])
    atexit.register(zygote.wait, 60)
    atexit.register(ours.close)  # runs before the wait, and ends it
    return ours


def serve(control: socket.socket) -> None:
    """Divide for each request. Returns in the divided process alone, which is to run what was asked for."""
    for module in IMPORTED_BEFORE:
        import_module(module)
    gc.collect()
    gc.freeze()  # so that no collection of a divided process writes to the memory that it shares, which copies it
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    while True:
        watched: list[socket.socket | int] = [control, woken]
        ready, _, _ = select.select(watched, [], [])
        if woken in ready:
            os.read(woken, 4096)
            for pid in list(running):
                if (ended := os.waitpid(pid, os.WNOHANG))[0]:
                    with running.pop(pid) as listening:
                        _tell(listening, ended[1])
        if control not in ready:
            continue
        head, descriptors, *_ = socket.recv_fds(control, 4, 3)
        if not head:
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            raise SystemExit
        request = json.loads(_exactly(control, int.from_bytes(head, "big")))
        out, errors, told = descriptors
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for held in (*(each.fileno() for each in running.values()), control.detach(), woken, wakes, told):
                os.close(held)
            for given, standard in ((out, 1), (errors, 2)):
                os.dup2(given, standard)
                os.close(given)
            os.environ.clear()
            os.environ.update(request["environment"])
            sys.argv = request["arguments"]
            return
        os.close(out)
        os.close(errors)
        running[pid] = socket.socket(fileno=told)
        _tell(running[pid], pid)


def _tell(listening: socket.socket, number: int) -> None:
    with suppress(OSError):  # the test has gone on without it
        listening.sendall(f"{number}\n".encode())


def _exactly(control: socket.socket, size: int) -> bytes:
    assert size <= LARGEST_REQUEST
    read = b""
    while len(read) < size:
        read += control.recv(size - len(read))
    return read


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
