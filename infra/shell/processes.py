"""Child processes that cannot outlive us: each in a session of its own, stopped as a group, in reverse order."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

GRACE = 10.0  # seconds between asking a process to end and ending it
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before the fork, where little is safe to do


def die_with_parent(number: int = signal.SIGTERM) -> Callable[[], None] | None:
    """For ``preexec_fn``: on Linux the kernel sends the signal when we die, be it by ``kill -9``.

    Args:
        number: The signal that stops the child.
    """
    if _libc is None:
        return None
    libc = _libc
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, number)


class Process:
    """A server that runs beside us.

    Args:
        name: For messages.
        command: Program and arguments.
        env: Its whole environment.
        cwd: Its working directory.
        log: File that takes what it prints.
    """

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # one prctl call: no lock, no allocation
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.poll()

    def last_lines(self, count: int = 12) -> str:
        """The end of what it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def stop(self) -> None:
        """Ask it to end, wait, and end whatever of its group is left."""
        if self._child.poll() is None:
            self._child.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(GRACE)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(GRACE)
