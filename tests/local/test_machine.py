"""What a person's machine refuses ends each command in one sentence: an old Python, a network, space, a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.shell import machine
from tests.support.api.server import ROOT, free_port

SIGNALBOX = [sys.executable, "-m", "infra.cli.main"]
UP = [*SIGNALBOX, "up", "--port", str(free_port()), "--aws-port", str(free_port())]
AS_IF = (
    "import runpy, sys; sys.version_info = (3, 10, 13, 'final', 0); runpy.run_module({module!r}, run_name='__main__')"
)
# Where there is no network, whatever uses it ends here.
CLOSED = f"http://127.0.0.1:{free_port()}"
OFFLINE = {"HTTPS_PROXY": CLOSED, "HTTP_PROXY": CLOSED, "https_proxy": CLOSED, "UV_HTTP_RETRIES": "0"}


def line(*command: str, **environment: str) -> str:
    """The last line on stderr of a command that fails; what stands above it are steps."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    *steps, last = done.stderr.splitlines()
    assert [step for step in steps if step[:1] not in "✓✗"] == []
    return last


def old_python() -> str | None:
    """One that is on this machine, where there is one."""
    kept = (str(one) for one in sorted(Path.home().glob(".pyenv/versions/3.[6-9].*/bin/python")))
    known = (path for minor in range(10, 5, -1) if (path := shutil.which(f"python3.{minor}")))
    works = (
        one for one in (*kept, *known) if not subprocess.run([one, "-V"], capture_output=True, check=False).returncode
    )
    return next(works, None)


@pytest.mark.parametrize("module", ["infra.cli.main", "service", "migrations"])
def test_an_old_python_is_one_sentence_with_the_next_step(module: str) -> None:
    assert "is Python 3" in line(sys.executable, "-c", AS_IF.format(module=module))


def test_a_real_old_python_reads_as_far_as_that_sentence() -> None:
    if (python := old_python()) is None:
        pytest.skip("no Python below 3.11 is on this machine")
    for module in ("infra.cli.main", "service", "migrations"):
        told = line(python, "-m", module)
        assert told.startswith(f"{python} is Python 3.")
        assert told.endswith("Signalbox needs 3.11 or newer: start it with uv run")


def test_without_a_network_up_says_so_before_it_starts_anything(tmp_path: Path) -> None:
    """The real uv, with nothing in its cache."""
    told = line(*UP, UV_CACHE_DIR=str(tmp_path / "cache"), SIGNALBOX_STATE=str(tmp_path / "state"), **OFFLINE)
    assert (
        told == f"Error: The packages of the local AWS could not be downloaded: {machine.OFFLINE}; they are needed once"
    )
    assert not (tmp_path / "state/postgres").exists()


def test_a_cache_that_takes_no_file_is_named(tmp_path: Path) -> None:
    told = line(*UP, UV_CACHE_DIR="/sys/cache", SIGNALBOX_STATE=str(tmp_path))
    assert "local AWS: Failed to initialize cache at `/sys/cache`" in told


def test_without_a_network_a_stage_is_not_reached_and_the_next_step_is_said(tmp_path: Path) -> None:
    known = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x")
    told = line(
        *SIGNALBOX, "restore", "staging", SIGNALBOX_STATE=str(tmp_path), AWS_MAX_ATTEMPTS="1", **known, **OFFLINE
    )
    assert told.endswith(machine.OFFLINE)


@pytest.mark.long
def test_a_full_disk_is_one_sentence_with_the_next_step(tmp_path: Path) -> None:
    """A disk of 100 kB, which only this process has."""
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=100k,mode=755 none '{tmp_path}'"
    if shutil.which("unshare") is None or subprocess.run([*own, "sh", "-c", mount], check=False).returncode:
        pytest.skip("a disk of one's own cannot be made here")
    tmp_path.chmod(0o755)
    told = line(*own, "sh", "-c", f'{mount} && exec "$@"', "sh", *UP, SIGNALBOX_STATE=str(tmp_path / "state"))
    assert told.startswith("Error: PostgreSQL could not make its data directory: ")
    assert told.endswith(f"No space left on device. {machine.FULL}")
