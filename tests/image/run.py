"""An image as an engine would run it, from its unpacked files and its configuration: needs Linux and root.

Own process, mount and PID namespaces, root file system read-only, the user, the environment and the command of the
configuration, the service as process 1. Only the network is the machine's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ENTER = """
set -e
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
if [ -n "$3" ]; then mount --rbind "$3" "$0/run"; fi
exec chroot --userspec="$1" "$0" /usr/bin/env -i -C "$2" "${@:4}"
"""


@dataclass
class Image:
    """The built image: its files, and its configuration as an engine reads it."""

    root: Path
    context: Path
    config: Mapping[str, Any]
    site: Path = field(init=False)

    def __post_init__(self) -> None:
        (self.site,) = self.root.glob("app/.venv/lib/python3.*/site-packages")

    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    @contextmanager
    def started(
        self, command: list[str], environment: Mapping[str, str], run_folder: Path | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        assignments = [f"{name}={value}" for name, value in {**self.environment(), **environment}.items()]
        place = [str(self.root), self.config["User"], self.config["WorkingDir"], str(run_folder or "")]
        inside = [*place, *assignments, *command]
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "bash", "-c", _ENTER, *inside],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()  # and with it, the kernel ends the whole namespace
            process.communicate()

    def run(self, command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        with self.started(command, environment) as process:
            out, err = process.communicate(timeout=60)
            return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def first_process(outer: subprocess.Popen[str]) -> int:
    """Process 1 of the container, by the number it has outside."""
    return int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0])
