"""How the local AWS is started: ``emulator.py`` in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.shell import machine
from infra.shell.tools import CdkError


def emulator_command(project_root: Path) -> list[str]:
    """How to start the local AWS, in its own locked environment, which is made when missing.

    Not ``uv run``: that would be one more process between us and the one that has to be stopped.

    Args:
        project_root: The checkout.

    Raises:
        CdkError: uv could not make the environment.
    """
    script = str(project_root.resolve() / "infra" / "local" / "emulator.py")
    # The project's interpreter: one is there for certain, and Lambda functions run with it, too.
    steps = (
        ["sync", "--locked", "--quiet", "--python", sys.executable, "--script", script],
        ["python", "find", "--script", script],
    )
    for step in steps:
        done = subprocess.run(["uv", *step], cwd=project_root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CdkError(_told(done.stderr))
    return [done.stdout.strip(), script]


def _told(printed: str) -> str:
    """One sentence out of uv's: the error and its last cause, without its hints."""
    if machine.is_offline(printed):
        return f"The packages of the local AWS could not be downloaded: {machine.OFFLINE}; they are needed once"
    lines = [line.strip() for line in printed.partition("\nhint:")[0].splitlines() if line.strip()]
    told = lines[0] if lines else "it said nothing"
    why = f" ({lines[-1].removeprefix('cause: ')})" if len(lines) > 1 else ""
    return f"uv could not make the environment of the local AWS: {told.removeprefix('error: ')}{why}"
